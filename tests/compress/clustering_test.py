"""Codebooks against scikit-learn's k-means and arithmetic by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.cluster

from hsjax.compress import clustering
from hsjax.compress.clustering import Beginning, codebook
from hsjax.types import UserError

KEY = jax.random.key(0)


@pytest.fixture
def kernel(rng):
    """Most weights near zero, a few far away, as trained kernels are."""
    return jnp.asarray(rng.laplace(size=(30, 40)), jnp.float32)


def inertia(kernel, k: int) -> float:
    values = np.asarray(kernel, np.float64).reshape(-1, 1)
    return sklearn.cluster.KMeans(k, n_init=10, random_state=0).fit(values).inertia_


@pytest.mark.parametrize("k", [4, 16])
def test_from_the_same_beginning_the_same_clusters(k, rng):
    """Where none is ever empty: scikit-learn fills these in another order."""
    kernel = jnp.asarray(rng.uniform(-1, 2, (30, 40)), jnp.float32)
    start = np.linspace(float(kernel.min()), float(kernel.max()), k)[:, None]
    book = codebook(kernel, KEY, k=k, beginning=Beginning.LINEAR)
    fitted = sklearn.cluster.KMeans(k, init=start, n_init=1, tol=0).fit(np.asarray(kernel, np.float64).reshape(-1, 1))
    np.testing.assert_allclose(np.sort(book.centroids), np.sort(fitted.cluster_centers_.ravel()), rtol=1e-4, atol=1e-4)
    assert float(clustering.inertia(kernel, book)) == pytest.approx(fitted.inertia_, rel=1e-4)


@pytest.mark.parametrize("beginning", Beginning)
def test_nearly_as_tight_as_the_best_of_ten(kernel, beginning):
    book = codebook(kernel, KEY, k=16, beginning=beginning)
    assert float(clustering.inertia(kernel, book)) < 1.5 * inertia(kernel, 16)
    values = clustering.clustered(book)
    assert len(np.unique(values)) == 16
    nearest = np.abs(np.asarray(kernel)[..., None] - np.asarray(book.centroids)).argmin(-1)
    assert (nearest == book.assigned).mean() > 0.999  # but for a tie of rounding


def test_the_same_key_gives_the_same_and_another_another(kernel):
    one, same, other = (
        codebook(kernel, jax.random.key(seed), k=8, beginning=Beginning.PLUS_PLUS, iterations=0) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.centroids, same.centroids)
    assert (one.centroids != other.centroids).any()


@pytest.mark.parametrize("beginning", Beginning)
def test_zeros_are_a_cluster_of_their_own(kernel, beginning):
    pruned = jnp.where(jnp.abs(kernel) > 1, kernel, 0.0)
    book = codebook(pruned, KEY, k=5, beginning=beginning)
    values = clustering.clustered(book)
    np.testing.assert_array_equal(values == 0, pruned == 0)
    assert bool(book.holds_zeros)
    assert len(np.unique(values)) == 5
    rest = np.asarray(pruned)[np.asarray(pruned) != 0]
    assert float(clustering.inertia(pruned, book)) < 2 * inertia(rest, 4)
    assert not codebook(kernel, KEY, k=5, beginning=beginning).holds_zeros


@pytest.mark.parametrize("beginning", Beginning)
def test_a_clustered_kernel_keeps_its_values(kernel, beginning):
    first = clustering.clustered(codebook(jnp.where(kernel > -1, kernel, 0), KEY, k=16, beginning=Beginning.LINEAR))
    again = codebook(first, jax.random.key(1), k=16, beginning=beginning)
    np.testing.assert_array_equal(clustering.clustered(again), first)


@pytest.mark.parametrize("beginning", Beginning)
def test_few_weights_keep_their_values(beginning):
    kernel = jnp.array([[0.5, -1.0], [0.0, 2.0]])
    book = codebook(kernel, KEY, k=256, beginning=beginning)
    np.testing.assert_array_equal(clustering.clustered(book), kernel)
    again = codebook(clustering.clustered(book), jax.random.key(7), k=4, beginning=beginning)
    np.testing.assert_array_equal(clustering.clustered(again), kernel)
    nothing = codebook(jnp.zeros((3, 2)), KEY, k=4, beginning=beginning)
    np.testing.assert_array_equal(clustering.clustered(nothing), np.zeros((3, 2)))
    assert np.isfinite(nothing.centroids).all()


def test_the_number_of_clusters_is_one_byte_at_most(kernel):
    for k in (1, 257):
        with pytest.raises(UserError, match=f"from 2 to 256, not to {k}"):
            codebook(kernel, KEY, k=k, beginning=Beginning.LINEAR)


def test_gradients_are_summed_by_cluster_and_values_follow():
    """Three weights of one value, one of another, and two zeros; plain descent at a rate of 0.1, by hand."""
    kernel = jnp.array([1.0, 0.0, 1.0, -2.0, 1.0, 0.0])
    book = codebook(kernel, KEY, k=3, beginning=Beginning.LINEAR)
    gradient = jnp.array([1.0, 50.0, 2.0, 4.0, -7.0, 30.0])
    np.testing.assert_allclose(clustering.summed(gradient, book), [-4, 0, -4, 4, -4, 0])
    moved = clustering.followed(book, clustering.clustered(book) - 0.1 * clustering.summed(gradient, book))
    np.testing.assert_allclose(clustering.clustered(moved), [1.4, 0, 1.4, -2.4, 1.4, 0], rtol=1e-6)


def test_the_sum_is_the_gradient_by_the_codebook(kernel, rng):
    pruned = jnp.where(jnp.abs(kernel) > 0.3, kernel, 0.0)
    book = codebook(pruned, KEY, k=9, beginning=Beginning.LINEAR)
    weights = jnp.asarray(rng.normal(size=kernel.shape), jnp.float32)

    def loss(values):
        return jnp.sum(jnp.sin(values) * weights)

    by_codebook = jax.grad(lambda centroids: loss(centroids[book.assigned]))(book.centroids)
    by_weight = jax.grad(loss)(clustering.clustered(book))
    want = np.where(pruned == 0, 0.0, np.asarray(by_codebook)[np.asarray(book.assigned)])
    np.testing.assert_allclose(clustering.summed(by_weight, book), want, rtol=1e-4, atol=1e-4)


def test_a_large_cluster_does_not_drift(rng):
    """Tens of thousands of equal weights that do not move, a thousand times."""
    kernel = jnp.asarray(rng.choice([-0.7, 0.3], (300, 200)), jnp.float32)
    book = codebook(kernel, KEY, k=2, beginning=Beginning.LINEAR)
    begun = np.asarray(book.centroids)
    follow = jax.jit(clustering.followed)
    for _ in range(1000):
        book = follow(book, clustering.clustered(book))
    np.testing.assert_array_equal(book.centroids, begun)
