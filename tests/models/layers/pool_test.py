import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Form, Padding, average_pool, global_average_pool, max_pool
from hsjax.types import UserError
from tests.models.layers import oracle, quick

# Map, window, strides, padding, zeros (before and after, in height and width) by hand.
CASES = {
    "tiles": ((4, 6), (2, 2), None, Padding.VALID, ((0, 0), (0, 0))),
    "tiles that leave a rest": ((7, 8), (2, 3), None, Padding.VALID, ((0, 0), (0, 0))),
    "tiles, padded": ((5, 6), (2, 3), (2, 3), ((0, 1), (0, 0)), ((0, 1), (0, 0))),
    "tiles, ceil": ((5, 7), (2, 3), None, Padding.CEIL, ((0, 1), (0, 2))),
    "tiles, same": ((5, 7), (2, 3), None, Padding.SAME, ((0, 1), (1, 1))),
    "overlapping": ((6, 7), (3, 3), (1, 1), Padding.SYMMETRIC, ((1, 1), (1, 1))),
    "overlapping, strides 2": ((9, 8), (3, 3), (2, 2), Padding.SYMMETRIC, ((1, 1), (1, 1))),
    "overlapping, strides 2, same": ((8, 7), (3, 3), (2, 2), Padding.SAME, ((0, 1), (1, 1))),
    "overlapping, strides 2, ceil": ((8, 7), (3, 3), (2, 2), Padding.CEIL, ((0, 1), (0, 0))),
    "overlapping, a rest": ((8, 10), (3, 4), (2, 3), Padding.VALID, ((0, 0), (0, 0))),
    "strides 3": ((10, 9), (4, 5), (3, 3), ((1, 2), (2, 0)), ((1, 2), (2, 0))),
    "strides wider than the window": ((9, 8), (2, 1), (3, 3), Padding.VALID, ((0, 0), (0, 0))),
    # PyTorch: ceil((8 - 2) / 4) + 1 = 3 windows, less the one that would begin at 8, behind the map.
    "strides wider than the window, ceil": ((8, 9), (2, 2), (4, 3), Padding.CEIL, ((0, 0), (0, 0))),
    "one row": ((1, 9), (1, 2), None, Padding.VALID, ((0, 0), (0, 0))),
    "the whole map": ((5, 4), (5, 4), None, Padding.VALID, ((0, 0), (0, 0))),
    "more than 127 positions": ((13, 20), (12, 11), (1, 3), Padding.VALID, ((0, 0), (0, 0))),
}  # fmt: skip


def tied(size, channels=2):
    """Few distinct values, so that most windows hold ties."""
    return jnp.asarray(np.random.default_rng(0).integers(-1, 2, (2, *size, channels)), np.float32)


def pulled(case, forms, x, dy, variant=quick.jit):
    """Output and gradient, in each form."""
    _, window, strides, padding, _ = CASES[case]

    def compute(a, cotangent):
        results = []
        for form in forms:
            y, pullback = jax.vjp(lambda m, f=form: max_pool(m, window, strides, padding, f), a)
            results.append((y, pullback(cotangent)[0]))
        return results

    return variant(compute)(x, dy)


def wanted(case, x):
    """What the definition gives, and the cotangent."""
    size, window, strides, _, pads = CASES[case]
    strides = strides or window
    height, width = oracle.size_out(size, window, strides, pads)
    dy = quick.normal(x.shape[0], height, width, x.shape[3], seed=1)
    return oracle.max_pool(x, window, strides, pads, np.asarray(dy, np.float64)), dy


@pytest.mark.parametrize("case", CASES)
def test_both_forms_are_the_definition_even_where_values_tie(case):
    x = tied(CASES[case][0])
    want, dy = wanted(case, x)
    for y, by_maps in pulled(case, Form, x, dy):
        np.testing.assert_array_equal(y, want.y)
        np.testing.assert_allclose(by_maps, want.by_maps, atol=1e-5)


class VariantsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_compiled_or_not(self):
        for case in ("tiles that leave a rest", "overlapping, strides 2"):
            x = tied(CASES[case][0])
            want, dy = wanted(case, x)
            ((y, by_maps),) = pulled(case, [Form.FAST], x, dy, self.variant)
            np.testing.assert_array_equal(y, want.y)
            np.testing.assert_allclose(by_maps, want.by_maps, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_other_precisions(dtype):
    with jax.enable_x64(True):
        x = tied((7, 8)).astype(dtype)
        want, dy = wanted("tiles that leave a rest", x)
        for y, by_maps in pulled("tiles that leave a rest", Form, x, dy.astype(dtype)):
            assert y.dtype == by_maps.dtype == dtype
            np.testing.assert_array_equal(y.astype(np.float64), want.y)
            np.testing.assert_allclose(by_maps.astype(np.float64), want.by_maps, atol=0.02)


def test_by_hand():
    x = jnp.array([[1.0, 2.0, 0.0, 5.0], [2.0, 0.0, 5.0, 5.0]])[None, :, :, None]
    y, pullback = jax.vjp(lambda a: max_pool(a, (2, 2), form=Form.FAST), x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[2, 5]])
    gradient = pullback(jnp.array([[[[3.0], [7.0]]]]))[0][0, :, :, 0]
    np.testing.assert_array_equal(gradient, [[0, 3, 0, 7], [0, 0, 0, 0]])


@pytest.mark.parametrize("form", list(Form))
def test_padding_never_wins_over_negative_values(form):
    y = quick.jit(lambda x: max_pool(x, (2, 2), (1, 1), ((1, 1), (1, 0)), form))(jnp.full((1, 2, 2, 1), -3.0))
    np.testing.assert_array_equal(y, np.full((1, 3, 2, 1), -3.0))


@pytest.mark.parametrize("form", list(Form))
def test_traces_to_what_its_form_promises(form):
    graph = str(jax.make_jaxpr(lambda x: max_pool(x, (2, 2), form=form))(jnp.zeros((1, 4, 4, 1))))
    assert ("reduce_window_max" in graph) == (form is Form.PLAIN)
    assert ("optimization_barrier" in graph) == (form is Form.FAST)


@pytest.mark.parametrize("pool", [max_pool, average_pool])
def test_too_small_a_map_is_named(pool):
    with pytest.raises(UserError, match="too small: at pool 3 it has shrunk to 2 x 5, and a window of 3 x 2 has to"):
        pool(jnp.zeros((1, 2, 5, 1)), (3, 2), where="pool 3")


def test_average_pool_by_hand():
    x = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)  # 1 2 3 / 4 5 6
    np.testing.assert_allclose(average_pool(x, (2, 2))[0, :, :, 0], [[3.0]])
    np.testing.assert_allclose(average_pool(x, (2, 2), (1, 1))[0, :, :, 0], [[3.0, 4.0]])
    # Zeros count: 3 and 6, with two of them.
    np.testing.assert_allclose(average_pool(x, (2, 2), padding=Padding.CEIL)[0, :, :, 0], [[3.0, 2.25]])


def test_global_average_pool_by_hand():
    x = jnp.stack([jnp.arange(6.0).reshape(2, 3), jnp.full((2, 3), -4.0)], -1)[None]
    np.testing.assert_allclose(global_average_pool(x), [[2.5, -4.0]])
