"""Parameter counts of the paper, and numpy with scipy's z-scores in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hsjax.losses.contrastive import init_mlp, mlp
from hsjax.types import UserError


def counts(widths, normalise):
    params = jax.eval_shape(lambda: init_mlp(jax.random.key(0), widths, normalise))
    return {name: sum(leaf.size for leaf in jax.tree.leaves(layer)) for name, layer in params.items()}


def test_the_projection_of_the_paper():
    assert counts((512, 512, 256), normalise=False) == {"dense_0": 262_656, "dense_1": 131_328}


def test_a_norm_takes_the_place_of_the_bias():
    want = {"dense_0": 128, "norm_0": 32, "dense_1": 256, "norm_1": 32, "dense_2": 68}
    assert counts((8, 16, 16, 4), normalise=True) == want


def test_kernels_are_drawn_uniformly_by_fan_in(quick):
    draw = quick(lambda seed: init_mlp(jax.random.key(seed), (36, 36, 36, 4), False))
    first, second = draw(0), draw(1)
    kernels = [params[layer]["kernel"] for params in (first, second) for layer in ("dense_0", "dense_1")]
    for kernel in kernels:
        assert scipy.stats.kstest(np.ravel(kernel) * 6, "uniform", (-1, 2)).pvalue > 0.001
    assert len({np.asarray(kernel).tobytes() for kernel in kernels}) == 4  # every layer and every key its own
    np.testing.assert_array_equal(first["dense_2"]["bias"], np.zeros(4))


@pytest.mark.parametrize("normalise", [False, True])
def test_against_numpy_in_float64(views, rng, finite_differences, quick, normalise):
    x, _, _, mask, some = views
    with jax.enable_x64(True):
        drawn = jax.eval_shape(lambda: init_mlp(jax.random.key(0), (3, 6, 2), normalise, jnp.float64))
        leaves, structure = jax.tree.flatten(drawn)
        assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float64)}
        leaves = [rng.normal(size=leaf.shape) for leaf in leaves]
        weight = rng.normal(size=(len(some), 2))

        def loss(x, *leaves):
            out = mlp(structure.unflatten(leaves), x, jnp.array(mask))
            return jnp.sum(out[some] * weight), out

        arguments = [jnp.array(array) for array in (x, *leaves)]
        (_, out), gradients = quick(jax.value_and_grad(loss, range(len(arguments)), has_aux=True))(*arguments)

    def theirs(x, *leaves):
        params = structure.unflatten(leaves)
        hidden = x @ params["dense_0"]["kernel"] + params["dense_0"].get("bias", 0)
        if normalise:
            # An epsilon of 1e-5 in the variance.
            deviation = np.sqrt(hidden.var(0) / (hidden.var(0) + 1e-5))
            hidden = scipy.stats.zscore(hidden, 0) * deviation * params["norm_0"]["scale"] + params["norm_0"]["bias"]
        return np.maximum(hidden, 0) @ params["dense_1"]["kernel"] + params["dense_1"]["bias"]

    np.testing.assert_allclose(out[some], theirs(x[some], *leaves), rtol=1e-10)
    assert np.isfinite(out).all()
    want = finite_differences(lambda *a: np.sum(theirs(*a) * weight), x[some], *leaves)
    np.testing.assert_allclose(gradients[0][some], want[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.delete(gradients[0], some, 0), 0)
    for gradient, expected in zip(gradients[1:], want[1:], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def test_too_few_examples_for_a_deviation_give_something_finite(quick):
    params = quick(lambda: init_mlp(jax.random.key(0), (3, 4, 2), normalise=True))()

    def loss(params, x, mask):
        out = mlp(params, x, mask)
        return jnp.sum(jnp.where(mask[:, None] > 0, out, 0)), out

    step = quick(jax.value_and_grad(loss, has_aux=True))
    for unmasked in (0.0, 1.0):
        x = np.full((2, 3), np.nan, np.float32)
        x[0] = 1
        (_, out), gradient = step(params, jnp.array(x), jnp.array([unmasked, 0.0]))
        assert all(np.isfinite(leaf).all() for leaf in (out, *jax.tree.leaves(gradient)))


def test_members_are_drawn_and_applied_apart(rng, quick):
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)

    def project(seed, x):
        return mlp(init_mlp(jax.random.key(seed), (3, 5, 2), True), x, jnp.ones(4))

    together, alone = quick(jax.vmap(project))(jnp.arange(2), jnp.array(x)), quick(project)
    for member in range(2):
        np.testing.assert_allclose(together[member], alone(member, jnp.array(x[member])), rtol=1e-4, atol=1e-6)


def test_a_head_without_layers_is_refused():
    with pytest.raises(UserError, match="no layer"):
        init_mlp(jax.random.key(0), (512,), False)
