"""Recordings of different length in few padded shapes: every shape is compiled once, and padding is computed too."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int, Int32


@dataclasses.dataclass(frozen=True)
class PaddedBatch:
    """Some recordings under one shape.

    Attributes:
      members: which recordings, indices into the given ones.
      time: padded length, samples.
      rows: padded number of recordings; the last `rows - len(members)` rows are empty.
    """

    members: Int[np.ndarray, " members"]
    time: int
    rows: int


def edges(lengths: Int[np.ndarray, " n"], shapes: int) -> Int[np.ndarray, " edges"]:
    """The at most `shapes` padded lengths that pad the least in all, ascending; the last holds the longest recording.

    Exact on a grid of a 512th of the longest recording, by dynamic programming over the sorted lengths.
    """
    step = max(1, int(lengths.max()) // 512)
    values, counts = np.unique(-(-lengths // step) * step, return_counts=True)
    shapes = min(shapes, len(values))
    below = np.concatenate([[0], np.cumsum(counts)])
    # cost[j]: least padded total of the j shortest distinct lengths, in as many groups as rounds were done.
    cost = np.concatenate([[0.0], np.full(len(values), np.inf)])
    choices = []
    for _ in range(shapes):
        group = (below[None, 1:] - below[:-1, None]) * values[None, :].astype(float)  # group [i, j] padded to values[j]
        total = np.where(np.tri(len(values), k=-1, dtype=bool), np.inf, cost[:-1, None] + group)
        choices.append(total.argmin(axis=0))
        cost = np.concatenate([[0.0], total.min(axis=0)])
    chosen, last = [], len(values) - 1
    for choice in reversed(choices):
        if last < 0:
            break
        chosen.append(values[last])
        last = choice[last] - 1
    return np.array(chosen[::-1])


def padded_batches(
    lengths: Sequence[int], samples_per_batch: int, shapes: int = 6, shortest: int = 1
) -> Iterator[PaddedBatch]:
    """All recordings once, grouped by length; longest first, so that no straggler comes last.

    Args:
      lengths: samples of each recording.
      samples_per_batch: padded samples of a batch at most; a longer recording is a batch by itself.
      shapes: number of padded lengths at most.
      shortest: least padded length.
    """
    sizes = np.maximum(np.asarray(lengths, np.int64), shortest)
    if not sizes.size:
        return
    order = np.argsort(sizes, kind="stable")
    upper = edges(sizes, shapes)
    for time in upper[::-1]:
        group = order[upper[np.searchsorted(upper, sizes[order])] == time]
        rows = min(max(1, samples_per_batch // int(time)), len(group))
        rows = -(-len(group) // -(-len(group) // rows))  # even batches: the last one is not mostly padding
        for start in range(0, len(group), rows):
            yield PaddedBatch(group[start : start + rows], int(time), rows)


def pad(
    sequences: Sequence[Float[np.ndarray, "_ ..."]], batch: PaddedBatch
) -> tuple[Float32[np.ndarray, "rows time ..."], Int32[np.ndarray, " rows"]]:
    """The batch's members, zero-padded, and their lengths; an empty row counts as all silence.

    Args:
      sequences: `(time, ...)` each, of one trailing shape, in the order of `batch.members`.
      batch: what shape they get.
    """
    padded = np.zeros((batch.rows, batch.time, *sequences[0].shape[1:]), np.float32)
    lengths = np.full(batch.rows, batch.time, np.int32)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
        lengths[row] = len(sequence)
    return padded, lengths
