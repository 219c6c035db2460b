"""Fractions of e by hand, equation 1 in float64 loops, and a Python list as the queue."""

import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.losses.contrastive import MoCoQueue, enqueue, info_nce, init_queue
from hsjax.types import UserError

E = np.e


def holding(keys, size, dtype=np.float32):
    """A queue with room for `size` that holds these keys, written without `enqueue`."""
    slots = np.full((size, keys.shape[1]), 0.5, dtype)  # what is not filled may be anything finite
    slots[: len(keys)] = keys
    return MoCoQueue(jnp.array(slots), jnp.int32(len(keys)), jnp.int32(len(keys) % size))


def equation_1(query, key, negatives, temperature):
    losses = []
    for q, k in zip(query, key, strict=True):
        q, k = q / np.sqrt(q @ q), k / np.sqrt(k @ k)
        total = np.exp(q @ k / temperature) + sum(np.exp(q @ n / temperature) for n in negatives)
        losses.append(-np.log(np.exp(q @ k / temperature) / total))
    return np.mean(losses)


class InfoNCETest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_value_by_hand(self):
        # Positive at cosine 1, the one key in the queue at 0; the slots that are not filled are no negatives.
        query, key, queue = jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 0.0]]), holding(np.array([[0, 1]]), 3)
        value = self.variant(info_nce)(query, key, queue, jnp.ones(1), 1.0)
        np.testing.assert_allclose(value, np.log(1 + 1 / E), rtol=1e-6)


def test_gradients_by_hand(quick):
    loss = quick(jax.grad(lambda q, k, n, queue: info_nce(q, k, queue._replace(keys=n), jnp.ones(1), 1.0), (0, 1, 2)))
    queue = holding(np.array([[0, 1]]), 3)
    by_query, by_key, by_queue = loss(jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 1.0]]), queue.keys, queue)
    key = np.array([3, 1]) / np.sqrt(10)
    # Across itself the query is pushed from the negative and pulled to its key by the negative's probability, over the
    # query's length.
    probability = 1 / (1 + np.exp(key[0]))
    np.testing.assert_allclose(by_query, [[0, probability * (1 - key[1]) / 2]], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(by_key, np.zeros((1, 2)))
    np.testing.assert_array_equal(by_queue, np.zeros((3, 2)))


def test_an_empty_queue_gives_zero(quick):
    vectors = jnp.array([[1.0, 2.0], [2.0, -1.0]])
    value, gradient = quick(jax.value_and_grad(info_nce))(vectors, vectors, init_queue(4, 2), jnp.ones(2), 0.1)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_against_the_equation_in_float64(views, finite_differences, rng, quick):
    query, key, _, mask, some = views
    negatives = rng.normal(size=(4, 3))
    negatives /= np.linalg.norm(negatives, axis=1, keepdims=True)
    with jax.enable_x64(True):
        queue = holding(negatives, 6, np.float64)
        value, gradient = quick(jax.value_and_grad(info_nce))(
            jnp.array(query), jnp.array(key), queue, jnp.array(mask), 0.2
        )
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, equation_1(query[some], key[some], negatives, 0.2), rtol=1e-12)
    want = finite_differences(lambda q: equation_1(q, key[some], negatives, 0.2), query[some])[0]
    np.testing.assert_allclose(gradient[some], want, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(np.delete(gradient, some, 0), 0)


def test_extreme_similarities_stay_finite(quick):
    loss, query = quick(jax.value_and_grad(info_nce)), np.array([[0.6, 0.8]], np.float32)
    # The negative is the query: as good as the key where that is the query too, 200 better where it is the opposite.
    for sign, want in ((1, np.log(2)), (-1, 200)):
        value, gradient = loss(jnp.array(query), jnp.array(sign * query), holding(query, 2), jnp.ones(1), 0.01)
        np.testing.assert_allclose(value, want, rtol=1e-5)
        np.testing.assert_allclose(gradient, np.zeros((1, 2)), atol=1e-4)


@pytest.mark.parametrize(("size", "batch"), [(5, 3), (4, 7)])
def test_the_queue_holds_the_last_unmasked_keys_in_order(size, batch, rng, quick):
    """Fed random batches with junk in what is masked, it is the tail of a list, written around a ring."""
    queue, step = init_queue(size, 2), quick(enqueue)
    seen = []
    for _ in range(12):
        keys, mask = rng.normal(size=(batch, 2)).astype(np.float32), rng.integers(0, 2, batch).astype(np.float32)
        seen += [key / np.sqrt(key @ key) for key in keys[mask > 0]]
        keys[mask == 0] = rng.choice([np.nan, np.inf])
        queue = step(queue, jnp.array(keys), jnp.array(mask))
        slots = np.zeros((size, 2))
        for index, key in enumerate(seen):
            slots[index % size] = key
        np.testing.assert_allclose(queue.keys, slots, rtol=1e-6, atol=1e-7)
        assert queue.filled == min(len(seen), size)
        assert queue.cursor == len(seen) % size
    assert len(seen) > 2 * size


def test_every_member_has_its_own_queue(quick):
    keys, mask = jnp.array([[[3.0, 4], [0, 2], [9, 9]]] * 2), jnp.array([[1.0, 1, 0], [0, 1, 0]])
    queues = jax.tree.map(lambda leaf: jnp.array([leaf, leaf]), init_queue(3, 2))
    queues = quick(jax.vmap(enqueue))(queues, keys, mask)
    np.testing.assert_array_equal(queues.filled, [2, 1])
    want = [[[0.6, 0.8], [0, 1], [0, 0]], [[0, 1], [0, 0], [0, 0]]]
    np.testing.assert_allclose(queues.keys, want, rtol=1e-6)


def test_a_queue_keeps_its_precision(quick):
    with jax.enable_x64(True), warnings.catch_warnings(action="error"):
        queue = init_queue(2, 2, jnp.bfloat16)
        assert quick(enqueue)(queue, jnp.ones((1, 2), jnp.float64), jnp.ones(1)).keys.dtype == jnp.bfloat16
        keys = quick(enqueue)(init_queue(2, 2, jnp.float64), jnp.ones((1, 2), jnp.float64), jnp.ones(1)).keys
        np.testing.assert_allclose(keys[0], np.sqrt([0.5, 0.5]), rtol=1e-14)


def test_a_queue_without_room_is_refused():
    with pytest.raises(UserError, match="at least 1"):
        init_queue(0, 4)


def test_keys_of_another_width_are_refused():
    with pytest.raises(Exception, match=r"shape|Shape|type"):
        enqueue(init_queue(4, 2), jnp.ones((3, 5)), jnp.ones(3))
