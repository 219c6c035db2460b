"""Schedule and masks: values by hand, counts exact whatever the ties, traced once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import compress
from hsjax.compress import magnitude
from hsjax.types import UserError


def kernels(rng, *shapes):
    return {f"{number}/kernel": jnp.asarray(rng.normal(size=s), jnp.float32) for number, s in enumerate(shapes)}


def test_the_schedule_is_the_paper_s():
    """Equation 1 of Zhu and Gupta 2017 by hand: from .2 to .8 over steps 10 to 20."""
    found = [float(compress.polynomial_sparsity(step, 10, 20, 0.8, 0.2)) for step in (0, 10, 12, 15, 19, 20, 35)]
    by_hand = [0.2, 0.2, 0.8 - 0.6 * 0.8**3, 0.8 - 0.6 / 8, 0.8 - 0.6 / 1000, 0.8, 0.8]
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)
    at_once = [float(compress.polynomial_sparsity(step, 4, 4, 0.5)) for step in (3, 4)]
    assert at_once == [0.0, 0.5]
    assert float(compress.polynomial_sparsity(5, 0, 10, 1.0, power=1.0)) == pytest.approx(0.5)


def test_the_largest_of_all_or_of_each():
    small, large = np.array([[0.1, -0.4], [0.3, 0.2]]), np.array([[-8.0, 5.0], [6.0, 7.0]])
    held = {"a": jnp.asarray(small, jnp.float32), "b": jnp.asarray(large, jnp.float32)}
    got = magnitude.globally(held, 0.5)
    assert not got["a"].any()
    assert got["b"].all()
    got = magnitude.by_layer(held, 0.5)
    np.testing.assert_array_equal(got["a"], [[False, True], [True, False]])
    np.testing.assert_array_equal(got["b"], [[True, False], [False, True]])
    assert float(magnitude.sparsity(got)) == 0.5


def test_masks_are_numpy_s_order(rng):
    held = kernels(rng, (3, 3, 2, 5), (40, 7))
    every = np.concatenate([np.abs(kernel).ravel() for kernel in held.values()])
    got = magnitude.globally(held, 0.7)
    threshold = np.sort(every)[round(0.7 * every.size)]
    for path, kernel in held.items():
        np.testing.assert_array_equal(got[path], np.abs(kernel) >= threshold)


@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("masks", [magnitude.globally, magnitude.by_layer])
def test_counts_are_exact_where_all_are_equal(masks, sparsity):
    held = {"a": jnp.full((9, 11), 0.25), "b": jnp.full((7, 13), -0.25)}
    got = masks(held, sparsity)
    zeros = [int(mask.size - mask.sum()) for mask in got.values()]
    if masks is magnitude.globally:
        assert sum(zeros) == round(sparsity * (99 + 91))
    else:
        assert zeros == [round(sparsity * 99), round(sparsity * 91)]


def test_the_first_of_equal_ones_stay():
    np.testing.assert_array_equal(magnitude.largest(jnp.array([2.0, 1, 3, 2, 2]), 3), [True, False, True, True, False])
    assert not magnitude.largest(jnp.array([2.0, 1.0]), 0).any()


def test_zeros_stay_where_they_were():
    held = {"a": jnp.array([[5.0, 0.1, 4.0, 3.0]])}
    allowed = {"a": jnp.array([[False, True, True, False]])}
    np.testing.assert_array_equal(magnitude.globally(held, 0.0, allowed)["a"], allowed["a"])
    np.testing.assert_array_equal(magnitude.globally(held, 0.75, allowed)["a"], [[False, False, True, False]])
    held = {"a": jnp.arange(1.0, 9.0).reshape(8, 1)}
    allowed = {"a": jnp.arange(8).reshape(8, 1) != 7}
    np.testing.assert_array_equal(
        magnitude.n_of_m(held, 0.5, 4, allowed)["a"].ravel(), [False, False, True, True, False, True, True, False]
    )


def test_two_of_four_along_the_input(rng):
    held = kernels(rng, (16, 6), (3, 3, 8, 5))
    held["ties"] = jnp.ones((12, 2))
    for path, mask in magnitude.n_of_m(held, 0.5, 4).items():
        groups = np.asarray(mask).reshape(*mask.shape[:-2], -1, 4, mask.shape[-1])
        assert (groups.sum(-2) == 2).all()
        values = np.abs(held[path]).reshape(groups.shape)
        assert (np.where(groups, values, np.inf).min(-2) >= np.where(groups, -np.inf, values).max(-2)).all()


@pytest.mark.parametrize(
    ("sparsity", "m", "left"), [(0.0, 4, 4), (0.3, 4, 3), (0.75, 4, 1), (1 / 3, 3, 2), (0.875, 8, 1)]
)
def test_how_many_are_left_of_m(sparsity, m, left, rng):
    mask = magnitude.n_of_m(kernels(rng, (24, 2)), jnp.float32(sparsity), m)["0/kernel"]
    assert (np.asarray(mask).reshape(-1, m, 2).sum(1) == left).all()


def test_kernels_whose_inputs_make_no_groups_are_left_out(rng):
    held = kernels(rng, (3, 3, 1, 8), (8, 2))
    assert set(magnitude.fits_n_of_m(held, 4)) == {"1/kernel"}
    with pytest.raises(UserError, match="no kernel has inputs in groups of 16; they have 0/kernel 1, 1/kernel 8"):
        magnitude.fits_n_of_m(held, 16)


@pytest.mark.parametrize("which", ["globally", "by_layer", "n_of_m"])
def test_another_sparsity_compiles_nothing(which, rng):
    held = kernels(rng, (8, 6), (3, 3, 4, 2))

    traces = []

    @jax.jit
    def masks(sparsity):
        traces.append(sparsity)
        return getattr(magnitude, which)(held, sparsity, *[4] * (which == "n_of_m"))

    zeros = [float(magnitude.sparsity(masks(jnp.float32(s)))) for s in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(zeros, [0.25, 0.5, 0.75], atol=0.01)
    assert len(traces) == 1
