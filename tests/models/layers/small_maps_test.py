"""Values and gradients are right in convolution_test.py; here, by what they are had, and that XLA keeps them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Form, convolve, small_maps
from tests.models.layers import quick

PADS = ((1, 1), (1, 1))


@pytest.mark.parametrize(("size", "small"), [((3, 3), True), ((1, 9), True), ((2, 5), False), ((4, 4), False)])
def test_maps_of_no_more_positions_than_the_kernel(size, small):
    x, kernel = jnp.zeros((2, *size, 4)), jnp.zeros((3, 3, 1, 4))
    assert small_maps.fits(x, kernel) is small
    graph = str(jax.make_jaxpr(lambda a, k: convolve(a, k, (1, 1), PADS, 4, Form.FAST))(x, kernel))
    assert ("pad" in graph) is not small


def test_second_derivative_by_hand():
    x, kernel = jnp.ones((1, 2, 2, 1)), jnp.full((3, 3, 1, 1), 2.0)

    def cubed(k):
        return jnp.sum(small_maps.depthwise(x, k, (1, 1), PADS) ** 3)

    # Each of four outputs is y = 8 by the four weights it meets: by any two of these, 6 * y. Two weights are met
    # together by 4 outputs if both are the middle, by (2 - |rows|) * (2 - |columns|) in general.
    second = quick.jit(jax.jacrev(jax.grad(cubed)))(kernel)[:, :, 0, 0, :, :, 0, 0]
    assert float(second[1, 1, 1, 1]) == 4 * 6 * 8
    assert float(second[0, 0, 0, 0]) == 1 * 6 * 8
    assert float(second[1, 0, 1, 1]) == 2 * 6 * 8
    assert float(second[0, 0, 2, 2]) == 0


def test_compiled_in_full_within_a_network():
    """On such shapes XLA's sums over a batch of products went wrong, and only where other layers are about them."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 128, 3, 3, 480))
    kernel = rng.normal(size=(3, 3, 1, 480))

    def loss(form, kernel, x, dy):
        y = convolve(jax.nn.silu(x), kernel, (1, 1), PADS, 480, form)
        y = (y - jnp.mean(y, (0, 1, 2))) * jax.lax.rsqrt(jnp.var(y, (0, 1, 2)) + 1e-5)
        return jnp.sum(jax.nn.silu(y) * dy)

    got = jax.jit(jax.grad(lambda *given: loss(Form.FAST, *given)))(*(jnp.float32(one) for one in (kernel, x, dy)))
    with jax.enable_x64(True):
        want = jax.jit(jax.grad(lambda *given: loss(Form.PLAIN, *given)))(kernel, x, dy)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=0, atol=1e-4)
