"""Rounding and its gradients, by hand and in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import grid
from tests.models.layers import quick


def away(x):
    """The nearest whole number, halves away from zero, in float64."""
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero"),
    [
        (-1, 3, 8, 4 / 255, -64),  # -128 + 255 / 4 = -64.25
        (0, 2.55, 8, 0.01, -128),
        (-2.55, 0, 8, 0.01, 127),
        (0, 255 / 256, 8, 1 / 256, -128),  # TFLite's LOGISTIC
        (-1, 127 / 128, 8, 1 / 128, 0),  # its TANH
        (-1, 3, 16, 3 / 32767, 0),
        (-3, 1, 16, 3 / 32767, 0),
        (0, 32767 / 32768, 16, 1 / 32768, 0),
        (0, 0, 8, 1e-8, -128),
    ],
)
def test_a_range_has_a_grid_with_zero_on_it(low, high, bits, scale, zero):
    got = grid.activation_grid(jnp.float32(low), jnp.float32(high), bits)
    np.testing.assert_allclose(got, (scale, zero), rtol=1e-6)


def test_halves_go_away_from_zero():
    np.testing.assert_array_equal(
        grid.half_away(jnp.array([-2.5, -1.5, -0.5, -0.4, 0, 0.5, 1.5, 2.49])), [-3, -2, -1, 0, 0, 1, 2, 2]
    )


X = np.array([[-2, -0.5, 0], [0.3, 2.5, 4]])
DY = np.array([[1, 2, 3], [4, 5, 6.0]])


@pytest.mark.parametrize(
    ("bits", "scale", "zero", "lowest", "highest"), [(8, 4 / 255, -64, -128, 127), (16, 3 / 32767, 0, -32767, 32767)]
)
def test_activations_lie_on_their_grid_and_saturate(bits, scale, zero, lowest, highest):
    got = grid.within(jnp.asarray(X, jnp.float32), jnp.float32(-1), jnp.float32(3), bits)
    want = (np.clip(away(X / scale) + zero, lowest, highest) - zero) * scale
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert got[0, 2] == 0


def test_gradients_pass_within_the_range_and_go_to_its_ends():
    _, gradients = quick.pull(
        lambda three: grid.within(*three, 8),
        (jnp.asarray(X, jnp.float32), jnp.float32(-1), jnp.float32(3)),
        jnp.asarray(DY, jnp.float32),
    )
    by_x, by_low, by_high = gradients
    np.testing.assert_array_equal(by_x, [[0, 2, 3], [4, 5, 0]])
    # A value within becomes low + level * (high - low) / 255: by `high`, level / 255 less what passed straight.
    error = (away(X * 255 / 4) * 4 / 255 - X) / 4
    error[0, 0] = error[1, 2] = 0
    part = np.sqrt(3 * 127)  # three values in an example
    np.testing.assert_allclose(by_high, ((DY * error).sum() + 6) / part, rtol=1e-4)
    np.testing.assert_allclose(by_low, (1 - (DY * error).sum()) / part, rtol=1e-4)


@pytest.mark.parametrize(("low", "high", "ends"), [(-1, 3, (0, 1)), (-3, 1, (-1, 0))])
def test_of_sixteen_bits_the_larger_end_has_the_gradient(low, high, ends):
    x, dy = jnp.asarray([[5.0, -5.0]]), jnp.asarray([[2.0, 7.0]])
    gradients = jax.grad(lambda *both: jnp.sum(dy * grid.within(x, *both, 16)), (0, 1))(
        jnp.float32(low), jnp.float32(high)
    )
    # Both values saturate at the largest magnitude; the scale is that over the highest level.
    np.testing.assert_allclose(gradients, np.array(ends) * (2 - 7) / np.sqrt(2 * 32767), rtol=1e-6)


KERNEL = np.array([[0.5, -1.27, 0], [-0.2, 0.635, 0]], np.float32)


def test_every_channel_has_the_step_of_its_largest_weight():
    np.testing.assert_allclose(grid.weight_step(jnp.asarray(KERNEL), 8), [0.5 / 127, 0.01, 1], rtol=1e-6)
    np.testing.assert_allclose(grid.weight_step(jnp.asarray(KERNEL.T), 4, 0), [0.5 / 7, 1.27 / 7, 1], rtol=1e-6)
    # LSQ: twice the mean magnitude over the root of the highest level.
    np.testing.assert_allclose(
        grid.learnt_step(jnp.asarray(KERNEL), 4), [0.7 / np.sqrt(7), 1.905 / np.sqrt(7), 1], rtol=1e-6
    )


@pytest.mark.parametrize(("bits", "highest"), [(8, 127), (4, 7)])
def test_weights_and_their_gradients(bits, highest):
    step = np.array([0.5 / 8, 0.3, 1])  # so that four bits saturate
    dy = np.array([[1, 2, 3], [4, 5, 6.0]])
    value, (by_kernel, by_step) = quick.pull(
        lambda both: grid.on_steps(*both, bits),
        (jnp.asarray(KERNEL), jnp.asarray(step, jnp.float32)),
        jnp.asarray(dy, jnp.float32),
    )
    scaled = KERNEL.astype(np.float64) / step
    levels = np.clip(away(scaled), -highest, highest)
    np.testing.assert_allclose(value, levels * step, rtol=1e-5)
    inside = np.abs(scaled) <= highest
    assert inside.all() == (bits == 8)
    np.testing.assert_array_equal(by_kernel, dy * inside)
    want = (dy * np.where(inside, levels - scaled, levels)).sum(0) / np.sqrt(2 * highest)  # two weights in a channel
    np.testing.assert_allclose(by_step, want, rtol=1e-4, atol=1e-5)
