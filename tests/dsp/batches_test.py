import itertools

import numpy as np
import pytest

from hsjax.dsp import batches


def padded_total(edges, lengths) -> int:
    return sum(min(edge for edge in edges if edge >= length) for length in lengths)


@pytest.mark.parametrize("seed", range(30))
def test_edges_waste_the_least(seed):
    rng = np.random.default_rng(seed)
    lengths, shapes = rng.integers(1, 20, rng.integers(1, 8)), int(rng.integers(1, 5))
    candidates = itertools.chain.from_iterable(
        itertools.combinations(sorted(set(lengths.tolist())), n) for n in range(1, shapes + 1)
    )
    best = min(padded_total(edges, lengths) for edges in candidates if max(edges) == lengths.max())
    edges = batches.edges(lengths, shapes)
    assert len(edges) <= shapes
    assert list(edges) == sorted(edges)
    assert padded_total(edges, lengths) == best


def test_edges_of_many_lengths_are_found_quickly_on_a_grid(rng):
    lengths = rng.integers(10_000, 250_000, 20_000)
    edges = batches.edges(lengths, 6)
    assert edges[-1] >= lengths.max()
    assert padded_total(edges, lengths) < 1.2 * lengths.sum()


def test_every_recording_is_in_one_batch_and_fits(rng):
    lengths = rng.integers(100, 5_000, 97)
    found = list(batches.padded_batches(lengths.tolist(), 20_000, shapes=4))
    members = np.concatenate([batch.members for batch in found])
    assert sorted(members) == list(range(97))
    assert len({(batch.rows, batch.time) for batch in found}) <= 4
    for batch in found:
        assert len(batch.members) <= batch.rows
        assert lengths[batch.members].max() <= batch.time
        assert batch.rows == 1 or batch.rows * batch.time <= 20_000


def test_a_recording_longer_than_a_batch_is_one_by_itself():
    (batch,) = batches.padded_batches([50_000], 20_000)
    assert batch.time >= 50_000
    assert batch.rows == 1


def test_no_recordings_no_batches():
    assert list(batches.padded_batches([], 20_000)) == []


def test_padding_is_silence_and_empty_rows_are_whole():
    batch = batches.PaddedBatch(np.array([4, 2]), time=4, rows=3)
    samples, lengths = batches.pad([np.ones(2, np.float32), np.ones(4, np.float32)], batch)
    np.testing.assert_array_equal(samples, [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(lengths, [2, 4, 4])


def test_trailing_axes_are_kept():
    batch = batches.PaddedBatch(np.array([0]), time=3, rows=1)
    samples, lengths = batches.pad([np.ones((2, 4), np.float32)], batch)
    assert samples.shape == (1, 3, 4)
    np.testing.assert_array_equal(samples.sum(axis=(0, 2)), [4, 4, 0])
    np.testing.assert_array_equal(lengths, [2])


def test_no_batch_is_shorter_than_wanted():
    assert min(batch.time for batch in batches.padded_batches([3, 50], 100, shortest=20)) >= 20
