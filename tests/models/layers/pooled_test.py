import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import ConvReluMaxPool, Execution, Form, Padding
from hsjax.types import UserError

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


class ConvReluMaxPoolTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_both_forms_are_flax_s_layers_in_values_and_gradients(self):
        for window, strides, padding in POOLS:
            for channels in (1, 2):
                x = jax.random.normal(jax.random.key(0), (2, 13, 21, channels))
                variables = ConvReluMaxPool(5, window, strides, padding).init(jax.random.key(1), x)
                bias = jax.random.normal(jax.random.key(2), (5,))
                variables = {"params": variables["params"] | {"bias": bias}}
                want, pullback = jax.vjp(lambda v, a, p=(window, strides, padding): flax_s(v, a, *p), variables, x)
                cotangent = jax.random.normal(jax.random.key(3), want.shape)
                gradients = pullback(cotangent)
                for form in Form:
                    module = ConvReluMaxPool(5, window, strides, padding, Execution(form))
                    got, back = jax.vjp(self.variant(module.apply), variables, x)
                    np.testing.assert_allclose(got, want, atol=1e-5)
                    for a, b in zip(jax.tree.leaves(back(cotangent)), jax.tree.leaves(gradients), strict=True):
                        np.testing.assert_allclose(a, b, atol=1e-4 * float(jnp.abs(b).max()))

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


@pytest.mark.parametrize("form", list(Form))
def test_too_small_a_map_is_refused_by_name(form):
    module = ConvReluMaxPool(5, (2, 4), execution=Execution(form), name="first")
    with pytest.raises(UserError, match="it has shrunk to 2 x 3, and a window of 2 x 4"):
        module.init(jax.random.key(0), jnp.zeros((1, 2, 3, 1)))
