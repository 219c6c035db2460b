import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import BatchNorm, Phase
from tests.models.layers import quick

SHAPE = (6, 3, 5, 4)
MASK = np.array([1, 0, 1, 1, 0, 1], np.float32)


def trained(norm, variables, x, dy, mask=None):
    """Outputs and running statistics of a training step, and gradients by maps and parameters."""

    def compute(a, params):
        y, moved = norm.apply(variables | {"params": params}, a, Phase(True, mask), mutable=["batch_stats"])
        return y, moved["batch_stats"]

    def pull(a, params, cotangent):
        y, pullback, stats = jax.vjp(compute, a, params, has_aux=True)
        return y, stats, pullback(cotangent)

    y, stats, (by_maps, by_params) = quick.jit(pull)(x, variables["params"], dy)
    return {"y": y, **stats, "by_maps": by_maps, "by_scale": by_params["scale"], "by_bias": by_params["bias"]}


def by_hand(x, variables, dy, epsilon, momentum, unbiased):
    """Ioffe and Szegedy's algorithm 1 and its gradients, in float64."""
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    scale, bias = (np.asarray(variables["params"][name], np.float64) for name in ("scale", "bias"))
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    inverse = 1 / np.sqrt(x.var(axes) + epsilon)
    unit = (x - x.mean(axes)) * inverse
    by_unit = dy * scale
    before = variables["batch_stats"]
    var = x.var(axes, ddof=1) if unbiased else x.var(axes)
    return {
        "y": unit * scale + bias,
        "mean": momentum * before["mean"] + (1 - momentum) * x.mean(axes),
        "var": momentum * before["var"] + (1 - momentum) * var,
        # By maps, with `count` values in each mean.
        "by_maps": inverse / count * (count * by_unit - by_unit.sum(axes) - unit * (by_unit * unit).sum(axes)),
        "by_scale": (dy * unit).sum(axes),
        "by_bias": dy.sum(axes),
    }


@pytest.fixture(scope="module")
def keras_norm():
    """Keras's layer with given variables, its outputs in both modes and its gradients."""
    import keras
    import tensorflow as tf

    def compute(variables, x, dy, momentum, epsilon):
        layer = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)
        layer.build(x.shape)
        values = [variables["params"]["scale"], variables["params"]["bias"], *variables["batch_stats"].values()]
        layer.set_weights([np.asarray(value) for value in values])
        evaluated = layer(np.asarray(x), training=False).numpy()
        maps = tf.constant(np.asarray(x))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            y = layer(maps, training=True)
        sources = [maps, layer.gamma.value, layer.beta.value]
        by_maps, by_scale, by_bias = tape.gradient(y, sources, output_gradients=np.asarray(dy))
        got = {"y": y, "mean": layer.moving_mean, "var": layer.moving_variance}
        got |= {"by_maps": by_maps, "by_scale": by_scale, "by_bias": by_bias}
        return evaluated, {name: np.asarray(value) for name, value in got.items()}

    return compute


@pytest.mark.parametrize("shape", [SHAPE, (7, 3)])
def test_biased_is_keras_s(keras_norm, shape):
    x, dy = 3 + 2 * quick.normal(*shape), quick.normal(*shape, seed=1)
    norm = BatchNorm(momentum=0.8, epsilon=1e-3, unbiased=False)
    variables = quick.variables(norm, x)
    assert list(variables["batch_stats"]) == ["mean", "var"]
    evaluated, want = keras_norm(variables, x, dy, 0.8, 1e-3)
    np.testing.assert_allclose(norm.apply(variables, x), evaluated, rtol=1e-5, atol=1e-5)
    got = trained(norm, variables, x, dy)
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)


def test_unbiased_by_hand():
    x, dy = 3 + 2 * quick.normal(*SHAPE), quick.normal(*SHAPE, seed=1)
    norm = BatchNorm(momentum=0.7, epsilon=0.1, unbiased=True)
    variables = quick.variables(norm, x)
    got = trained(norm, variables, x, dy)
    chex.assert_trees_all_close(got, by_hand(x, variables, dy, 0.1, 0.7, True), rtol=1e-4, atol=1e-5)


def test_evaluation_by_hand():
    norm = BatchNorm(epsilon=0.5)
    variables = {
        "params": {"scale": jnp.array([2.0]), "bias": jnp.array([1.0])},
        "batch_stats": {"mean": jnp.array([3.0]), "var": jnp.array([3.5])},
    }
    y, moved = norm.apply(variables, jnp.array([[7.0], [3.0]]), mutable=["batch_stats"])
    np.testing.assert_allclose(y, [[2 * 4 / 2 + 1], [1.0]])
    chex.assert_trees_all_equal(moved["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("unbiased", [True, False])
def test_masked_examples_might_as_well_not_be_there(unbiased):
    x, dy = 3 + 2 * quick.normal(*SHAPE), quick.normal(*SHAPE, seed=1)
    shown = MASK > 0
    x, dy = x.at[~shown].set(1e4), dy.at[~shown].set(0)  # no loss looks at a masked example
    norm = BatchNorm(unbiased=unbiased)
    variables = quick.variables(norm, x)
    got = trained(norm, variables, x, dy, jnp.asarray(MASK))
    want = by_hand(x[shown], variables, dy[shown], 1e-5, 0.9, unbiased)
    chex.assert_trees_all_equal(got["by_maps"][~shown], jnp.zeros((2, *SHAPE[1:])))
    got["y"], got["by_maps"] = got["y"][shown], got["by_maps"][shown]
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)


def test_a_mask_of_ones_changes_nothing():
    x, dy = quick.normal(*SHAPE), quick.normal(*SHAPE, seed=1)
    variables = quick.variables(BatchNorm(), x)
    got, want = (trained(BatchNorm(), variables, x, dy, mask) for mask in (jnp.ones(6), None))
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-6)


def test_a_batch_without_examples_says_nothing():
    x, dy = quick.normal(*SHAPE), jnp.zeros(SHAPE)
    variables = quick.variables(BatchNorm(), x)
    got = trained(BatchNorm(), variables, x, dy, jnp.zeros(6))
    chex.assert_tree_all_finite(got)
    chex.assert_trees_all_equal({name: got[name] for name in ("mean", "var")}, variables["batch_stats"])
    assert not np.any(got["by_maps"])


def test_one_value_has_no_unbiased_variance():
    """Of one value; PyTorch refuses, here the last batch of an epoch may have but one example."""
    x = quick.normal(1, 4)
    got = trained(BatchNorm(), quick.variables(BatchNorm(), x), x, jnp.ones((1, 4)))
    chex.assert_tree_all_finite(got)


def test_a_mean_ten_thousand_times_the_spread():
    """Float32 cannot do better than 3e-4: that is how exactly it holds the mean, in units of the spread."""
    x, dy = 1e3 + 0.1 * quick.normal(8, 16, 16, 4), quick.normal(8, 16, 16, 4, seed=1)
    variables = quick.variables(BatchNorm(), x)
    got, want = trained(BatchNorm(), variables, x, dy), by_hand(x, variables, dy, 1e-5, 0.9, True)
    np.testing.assert_allclose(got["y"], want["y"], atol=3e-3)
    np.testing.assert_allclose(got["var"], want["var"], rtol=1e-4)
    for name in ("by_maps", "by_scale", "by_bias"):
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=5e-3 * np.abs(want[name]).max())


def test_evaluation_with_a_mean_ten_thousand_times_the_spread():
    x = 1e3 + 0.1 * quick.normal(8, 16, 16, 4)
    variables = quick.variables(BatchNorm(), x)
    exact = np.asarray(x, np.float64)
    stats = {"mean": exact.mean((0, 1, 2)), "var": exact.var((0, 1, 2))}
    want = (exact - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * variables["params"]["scale"]
    variables["batch_stats"] = {name: jnp.asarray(value, jnp.float32) for name, value in stats.items()}
    np.testing.assert_allclose(BatchNorm().apply(variables, x), want + variables["params"]["bias"], atol=3e-3)
