import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Conv, Execution, Form, max_pool

POOLS = [
    {"window": (2, 2)},
    {"window": (2, 3), "padding": ((0, 1), (0, 0))},
    {"window": (1, 2)},
    {"window": (3, 3), "strides": (1, 1), "padding": ((1, 1), (1, 1))},
    {"window": (3, 2), "strides": (2, 1)},
]


class PoolTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_fast_is_plain_in_value_and_gradient_even_where_values_tie(self):
        for pool in POOLS:
            # Few distinct values, so that most windows hold ties; the gradient must go to the first of them.
            x = jax.random.randint(jax.random.key(0), (2, 13, 11, 3), -1, 2).astype(jnp.float32)
            cotangent = None
            results = {}
            for form in Form:
                y, pullback = jax.vjp(self.variant(lambda a, f=form, p=pool: max_pool(a, form=f, **p)), x)
                cotangent = jax.random.normal(jax.random.key(1), y.shape) if cotangent is None else cotangent
                results[form] = y, pullback(cotangent)[0]
            np.testing.assert_array_equal(results[Form.FAST][0], results[Form.PLAIN][0])
            np.testing.assert_allclose(results[Form.FAST][1], results[Form.PLAIN][1], rtol=1e-6, atol=1e-6)

    def test_by_hand(self):
        x = jnp.array([[1.0, 2.0, 0.0, 5.0], [2.0, 0.0, 5.0, 5.0]])[None, :, :, None]
        y, pullback = jax.vjp(lambda a: max_pool(a, (2, 2), form=Form.FAST), x)
        np.testing.assert_array_equal(y[0, :, :, 0], [[2, 5]])
        gradient = pullback(jnp.array([[[[3.0], [7.0]]]]))[0][0, :, :, 0]
        np.testing.assert_array_equal(gradient, [[0, 3, 0, 7], [0, 0, 0, 0]])


class ConvTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_both_forms_are_flax_s_convolution(self):
        for channels in (1, 3):
            x = jax.random.normal(jax.random.key(0), (2, 13, 21, channels))
            oracle = nn.Conv(5, (3, 3))
            variables = oracle.init(jax.random.key(1), x)

            def loss(params, module, inputs):
                return jnp.sum(jnp.sin(module.apply(params, inputs)))

            want = jax.value_and_grad(loss, argnums=(0, 2))(variables, oracle, x)
            for form in Form:
                module = Conv(5, execution=Execution(form))
                chex.assert_trees_all_equal_shapes(module.init(jax.random.key(2), x), variables)
                got = self.variant(lambda v, a, m=module: jax.value_and_grad(loss, argnums=(0, 2))(v, m, a))(
                    variables, x
                )
                chex.assert_trees_all_close(got, want, atol=2e-4)


@pytest.mark.parametrize("form", list(Form))
def test_pool_traces_to_what_its_form_promises(form):
    text = str(jax.make_jaxpr(lambda x: max_pool(x, (2, 2), form=form))(jnp.zeros((1, 4, 4, 1))))
    assert ("reduce_window_max" in text) == (form is Form.PLAIN)
    assert ("optimization_barrier" in text) == (form is Form.FAST)
