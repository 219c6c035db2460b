import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Conv, Execution, Form, Padding, convolve
from hsjax.types import UserError
from tests.models.layers import oracle, quick

NONE = ((0, 0), (0, 0))

# Name: maps (height, width, channels), kernel (height, width, channels in a group, features), strides, pads, groups.
CASES = {
    "one channel": ((7, 9, 1), (3, 3, 1, 4), (1, 1), ((1, 1), (1, 1)), 1),
    "one channel, large kernel": ((13, 12, 1), (9, 9, 1, 2), (2, 2), ((4, 3), (2, 5)), 1),
    "one channel, one position": ((5, 6, 1), (1, 1, 1, 3), (1, 1), NONE, 1),
    "one channel, uneven": ((8, 11, 1), (2, 4, 1, 3), (3, 2), ((0, 2), (3, 0)), 1),
    "depthwise": ((7, 6, 3), (3, 3, 1, 3), (1, 1), ((1, 1), (1, 1)), 3),
    "depthwise, 5x5, strides": ((11, 9, 2), (5, 5, 1, 2), (2, 2), ((2, 2), (2, 2)), 2),
    "depthwise, uneven": ((9, 12, 3), (2, 5, 1, 3), (2, 3), ((0, 1), (3, 1)), 3),
    "depthwise, valid, a rest": ((10, 8, 2), (3, 3, 1, 2), (3, 2), NONE, 2),
    "depthwise, pads wider than the kernel": ((4, 5, 2), (2, 2, 1, 2), (1, 2), ((3, 2), (2, 3)), 2),
    "depthwise, small map": ((3, 2, 3), (3, 3, 1, 3), (1, 1), ((1, 1), (1, 1)), 3),
    "depthwise, small map, strides": ((3, 5, 2), (5, 5, 1, 2), (2, 2), ((2, 2), (2, 2)), 2),
    "depthwise, small map, uneven": ((2, 4, 2), (2, 5, 1, 2), (2, 1), ((1, 2), (3, 1)), 2),
    "depthwise, small map, as large as the kernel": ((2, 3, 2), (2, 3, 1, 2), (1, 1), NONE, 2),
    "depthwise, small map, pads alone are seen": ((1, 2, 2), (2, 2, 1, 2), (2, 1), ((2, 3), (0, 3)), 2),
    "pointwise": ((6, 5, 3), (1, 1, 3, 4), (1, 1), NONE, 1),
    "pointwise, strides": ((12, 11, 3), (1, 1, 3, 4), (2, 2), NONE, 1),
    "pointwise, pads": ((10, 11, 3), (1, 1, 3, 2), (1, 1), ((1, 0), (0, 2)), 1),
    "general, small map": ((6, 7, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1)), 1),
    "general, large map": ((10, 11, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1)), 1),
    "general, strides, a rest": ((12, 14, 2), (3, 3, 2, 3), (2, 3), NONE, 1),
    "general, uneven": ((11, 13, 2), (3, 5, 2, 3), (2, 1), ((0, 1), (4, 1)), 1),
    "groups": ((10, 11, 4), (3, 3, 2, 6), (2, 1), ((1, 1), (0, 1)), 2),
    "depthwise, two features a channel": ((10, 11, 2), (3, 3, 1, 4), (1, 1), ((1, 1), (1, 1)), 2),
}  # fmt: skip


def drawn(case, dtype=np.float32):
    """Maps, kernel and the gradient of the output."""
    size, window, strides, pads, _ = CASES[case]
    rng = np.random.default_rng(0)
    height, width = oracle.size_out(size[:2], window[:2], strides, pads)
    shapes = (2, *size), window, (2, height, width, window[3])
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def pulled(case, forms, variant=quick.jit, dtype=np.float32):
    """Output and both gradients, in each form."""
    _, _, strides, pads, groups = CASES[case]

    def compute(x, kernel, dy):
        results = []
        for form in forms:
            y, pullback = jax.vjp(lambda a, k, f=form: convolve(a, k, strides, pads, groups, f), x, kernel)
            results.append((y, *pullback(dy)))
        return results

    return variant(compute)(*drawn(case, dtype))


def assert_close(got, want, tolerance):
    for one, other in zip(got, want, strict=True):
        other = np.asarray(other, np.float64)
        np.testing.assert_allclose(np.asarray(one, np.float64), other, rtol=0, atol=tolerance * np.abs(other).max())


def wanted(case, dtype=np.float32):
    _, _, strides, pads, groups = CASES[case]
    x, kernel, dy = drawn(case, dtype)
    return oracle.convolve(x, kernel, strides, pads, groups, dy)


@pytest.mark.parametrize("case", CASES)
def test_both_forms_are_scipy_s_correlation_in_value_and_gradients(case):
    for got in pulled(case, Form):
        chex.assert_trees_all_equal_dtypes(*got, jnp.float32(0))
        assert_close(got, wanted(case), 3e-6)


@pytest.mark.parametrize(
    "case", ["one channel, uneven", "depthwise, uneven", "depthwise, small map, uneven", "general, uneven"]
)
def test_in_float64_both_forms_are_exact(case):
    with jax.enable_x64(True):
        for got in pulled(case, Form, dtype=np.float64):
            assert_close(got, wanted(case, np.float64), 1e-13)


@pytest.mark.parametrize(
    "case", ["one channel", "depthwise", "depthwise, small map", "pointwise", "general, large map"]
)
def test_bfloat16_stays_bfloat16(case):
    (got,) = pulled(case, [Form.FAST], dtype=jnp.bfloat16)
    chex.assert_trees_all_equal_dtypes(*got, jnp.bfloat16(0))
    assert_close(got, wanted(case, jnp.bfloat16), 0.05)


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_compiled_or_not(self):
        for case in ("one channel, uneven", "depthwise, pads wider than the kernel", "depthwise, small map, strides"):
            (got,) = pulled(case, [Form.FAST], self.variant)
            assert_close(got, wanted(case), 3e-6)


def gradients(module, variables, x):
    """Of a loss by variables and maps."""
    return quick.jit(jax.value_and_grad(lambda v, a: jnp.sum(jnp.sin(module.apply(v, a))), (0, 1)))(variables, x)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_layer_is_flax_s_convolution(form, channels):
    x, flax, module = quick.normal(2, 13, 21, channels), nn.Conv(5, (3, 3)), Conv(5, execution=Execution(form))
    chex.assert_trees_all_equal_shapes(quick.shapes(module, x), quick.shapes(flax, x))
    variables = quick.variables(flax, x)
    chex.assert_trees_all_close(gradients(module, variables, x), gradients(flax, variables, x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("form", list(Form))
def test_one_channel_stands_for_three_equal_ones(form, groups):
    """A spectrogram before an ImageNet stem: as shown thrice, in value and gradients."""
    x = quick.normal(2, 7, 9, 1)
    module = Conv(6, (3, 3), (2, 2), groups=groups, channels=3, execution=Execution(form))
    thrice = nn.Conv(6, (3, 3), (2, 2), feature_group_count=groups)
    variables = quick.variables(thrice, jnp.repeat(x, 3, -1))
    chex.assert_trees_all_equal_shapes(quick.shapes(module, x), variables)
    got = gradients(module, variables, x)
    value, (by_variables, by_maps) = gradients(thrice, variables, jnp.repeat(x, 3, -1))
    chex.assert_trees_all_close(got, (value, (by_variables, jnp.sum(by_maps, -1, keepdims=True))), atol=1e-4)


def test_other_channels_than_the_stem_s_are_an_error():
    with pytest.raises(ValueError, match="takes maps of 3 channels or one, got 2"):
        quick.shapes(Conv(2, channels=3), jnp.zeros((1, 5, 5, 2)))


def test_too_small_a_map_is_named():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Conv(2, (3, 3), padding=Padding.VALID, name="stem")(x)

    with pytest.raises(UserError, match="too small: at stem it has shrunk to 2 x 9, and a window of 3 x 3"):
        quick.shapes(Outer(), jnp.zeros((1, 2, 9, 1)))


def test_bias_is_added_to_every_position():
    variables = {"params": {"kernel": jnp.zeros((1, 1, 1, 2)), "bias": jnp.array([1.0, -2.0])}}
    y = quick.jit(Conv(2, (1, 1)).apply)(variables, jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(y, np.broadcast_to([1.0, -2.0], (1, 2, 2, 2)))
    assert quick.shapes(Conv(2, use_bias=False), jnp.ones((1, 2, 2, 1)))["params"].keys() == {"kernel"}
