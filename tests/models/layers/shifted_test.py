"""That values and gradients are right is in convolution_test.py; here, that they are had by the quick way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers.shifted import depthwise, one_channel
from tests.models.layers import quick

PADS = ((1, 1), (1, 1))


def traced(function, kernel, channels):
    """The graph of a value, and of its gradients by maps and kernel."""
    x, kernel = jnp.zeros((1, 6, 7, channels)), jnp.zeros(kernel)
    value = str(jax.make_jaxpr(lambda a, k: function(a, k, (1, 1), PADS))(x, kernel))
    loss = jax.grad(lambda a, k: jnp.sum(function(a, k, (1, 1), PADS)), (0, 1))
    return value, str(jax.make_jaxpr(loss)(x, kernel))


def test_depthwise_is_sums_of_products_alone():
    for graph in traced(depthwise, (3, 3, 1, 2), 2):
        assert "conv_general_dilated" not in graph
        assert "optimization_barrier" in graph


@pytest.mark.parametrize(("window", "convolutions"), [((3, 3), 0), ((2, 5), 1)])
def test_one_channel_is_a_sum_of_products_up_to_nine_positions(window, convolutions):
    value, gradient = traced(one_channel, (*window, 1, 4), 1)
    assert value.count("conv_general_dilated") == convolutions
    # By the maps, there is always one convolution; by the kernel, a product of matrices.
    assert gradient.count("dot_general") == 1
    assert "optimization_barrier" in gradient


def test_second_derivative_by_hand():
    x, kernel = jnp.ones((1, 3, 3, 1)), jnp.full((2, 2, 1, 1), 2.0)

    def cubed(k):
        return jnp.sum(depthwise(x, k, (1, 1), ((0, 0), (0, 0))) ** 3)

    # Each of four outputs is y = 8, the kernel's sum: by any two of its positions, 4 * 6 * y.
    second = quick.jit(jax.jacrev(jax.grad(cubed)))(kernel)
    np.testing.assert_allclose(second, np.full(second.shape, 4 * 6 * 8.0))
