import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import ConvReluMaxPool, Execution, Form, Padding
from hsjax.types import UserError
from tests.models.layers import quick

# Windows, strides and padding of the pool: the fused path, with and without missing rows and columns, and the others.
POOLS = [
    ((2, 2), None, Padding.VALID),
    ((2, 3), None, ((0, 1), (0, 0))),
    ((2, 2), None, ((0, 1), (0, 1))),
    ((1, 2), None, Padding.VALID),
    ((2, 2), None, ((1, 0), (0, 0))),
    ((3, 3), (1, 1), Padding.SAME),
]


def flax_s(variables, x, window, strides, padding):
    """The same from Flax's own layers; its pool takes all rules but ours by name."""
    pads = padding.name if isinstance(padding, Padding) else padding
    features = variables["params"]["bias"].size
    maps = nn.Conv(features, (3, 3)).apply(variables, x)
    return nn.max_pool(nn.relu(maps), window, strides or window, pads)


@pytest.mark.parametrize(("pool", "channels"), [(0, 1), (1, 1), (2, 1), (4, 1), (5, 1), (0, 2), (3, 2)])
def test_both_forms_are_flax_s_layers_in_values_and_gradients(pool, channels):
    window, strides, padding = POOLS[pool]
    x = quick.normal(2, 13, 21, channels)
    variables = {"params": {"kernel": quick.normal(3, 3, channels, 5, seed=1), "bias": quick.normal(5, seed=2)}}
    want, pullback = jax.vjp(lambda v, a: flax_s(v, a, window, strides, padding), variables, x)
    cotangent = quick.normal(*want.shape, seed=3)
    gradients = pullback(cotangent)
    for form in Form:
        module = ConvReluMaxPool(5, window, strides, padding, Execution(form))
        got, *back = quick.jit(lambda v, a, m=module: _with_gradients(m, v, a, cotangent))(variables, x)
        np.testing.assert_allclose(got, want, atol=1e-4)
        for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(b).max()))


def _with_gradients(module, variables, x, cotangent):
    y, pullback = jax.vjp(module.apply, variables, x)
    return y, *pullback(cotangent)


class TestConvReluMaxPool:
    def test_the_fused_form_never_makes_the_map_between(self):
        """Else it would be as slow as the others."""
        x = jnp.zeros((2, 12, 20, 1))
        module = ConvReluMaxPool(5, (2, 2), execution=Execution(Form.FAST))
        variables = module.init(jax.random.key(0), x)
        traced = str(jax.make_jaxpr(jax.grad(lambda v: module.apply(v, x).sum()))(variables))
        assert "2,6,10,5" in traced
        assert "2,12,20,5" not in traced

    def test_units_that_are_off_pass_no_gradient_on(self):
        x = jax.random.normal(jax.random.key(0), (2, 12, 20, 1))
        for form in Form:
            module = ConvReluMaxPool(5, (2, 2), execution=Execution(form))
            params = module.init(jax.random.key(1), x)["params"] | {"bias": jnp.full(5, -1e3)}
            gradient = jax.grad(lambda p, m=module: m.apply({"params": p}, x).sum())(params)
            chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))


@pytest.mark.parametrize("channels", [1, 2])
def test_ties_give_their_gradient_to_the_first_and_none_at_zero(channels):
    """On few distinct values, which the kernel passes on as they are: windows tie above zero, at zero and below."""
    x = jnp.asarray(np.random.default_rng(0).integers(-2, 2, (2, 8, 10, channels)), jnp.float32)
    kernel = jnp.zeros((3, 3, channels, 1)).at[1, 1].set(1.0 if channels == 1 else 0.5)
    variables = {"params": {"kernel": kernel, "bias": jnp.zeros(1)}}
    maps = np.asarray(x.mean(-1))
    by_hand = np.zeros_like(maps)
    for n in range(2):
        for row in range(0, 8, 2):
            for column in range(0, 10, 2):
                window = maps[n, row : row + 2, column : column + 2]
                first = np.unravel_index(window.argmax(), (2, 2))
                by_hand[n, row + first[0], column + first[1]] = window.max() > 0
    for form in Form:
        module = ConvReluMaxPool(1, (2, 2), execution=Execution(form))
        y, pullback = jax.vjp(lambda a, m=module: m.apply(variables, a), x)
        np.testing.assert_array_equal(y[..., 0], np.maximum(maps.reshape(2, 4, 2, 5, 2).max((2, 4)), 0))
        gradient = pullback(jnp.ones_like(y))[0]
        np.testing.assert_array_equal(gradient, np.repeat(by_hand[..., None] / channels, channels, -1))


@pytest.mark.parametrize("form", list(Form))
def test_too_small_a_map_is_refused_by_name(form):
    module = ConvReluMaxPool(5, (2, 4), execution=Execution(form), name="first")
    with pytest.raises(UserError, match="it has shrunk to 2 x 3, and a window of 2 x 4"):
        module.init(jax.random.key(0), jnp.zeros((1, 2, 3, 1)))
