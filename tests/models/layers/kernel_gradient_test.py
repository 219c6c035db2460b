"""That values and gradients are right is in convolution_test.py; here, that they are had by the quick way."""

import jax
import jax.numpy as jnp
import pytest

from hsjax.models.layers import kernel_gradient

NONE = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("size", "window", "strides", "products"),
    [((10, 10), (3, 3), (1, 1), 9), ((9, 11), (3, 3), (1, 1), 0), ((10, 10), (1, 1), (2, 2), 1)],
)
def test_large_maps_have_one_product_for_each_position_of_the_kernel(size, window, strides, products):
    x, kernel = jnp.zeros((2, *size, 3)), jnp.zeros((*window, 3, 4))

    def loss(k):
        return jnp.sum(kernel_gradient.convolution(x, k, strides, NONE) ** 2)

    graph = str(jax.make_jaxpr(jax.grad(loss))(kernel))
    assert graph.count("dot_general") == products


def test_pointwise_is_a_product_of_matrices():
    x, kernel = jnp.zeros((2, 20, 20, 3)), jnp.zeros((1, 1, 3, 4))
    graph = str(jax.make_jaxpr(lambda k: kernel_gradient.convolution(x, k, (1, 1), NONE))(kernel))
    assert "dot_general" in graph
    assert "conv_general_dilated" not in graph
