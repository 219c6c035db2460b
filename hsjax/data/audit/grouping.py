"""Groups from near-duplicates, for recordings of which nobody says what they belong to."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse

from hsjax.data.audit import twins
from hsjax.types import Dataset, Recording


def fill(dataset: Dataset, cache_dir: pathlib.Path | None = None, pairs: Sequence[twins.Pair] | None = None) -> Dataset:
    """Gives recordings without a group that of the recordings they are alike with.

    Recordings of a connected component of the pairs of `twins.search` are one group: single link, so that two are in
    one group, too, of which each resembles a third. This errs on the side of groups that are too large. Where a
    component holds recordings of a known group, the others join it (of several, the one with most recordings in the
    component). Known groups stay as they are, even where there are twins across them.

    Args:
      dataset: of any reader. The unlabelled recordings are looked at, too: pre-training leaks as well.
      cache_dir: see `twins.search`.
      pairs: what `twins.search` has found among them; None searches where a group is missing.

    Returns:
      The dataset with a group for every recording, and `grouping` saying so; the very same if it has them.

    Raises:
      UserError: a recording cannot be read, or `cache_dir` cannot be written to.
    """
    recordings = (*dataset.recordings, *dataset.unlabelled)
    unknown = [recording for recording in recordings if recording.group is None]
    if not unknown:
        return dataset
    group = _groups(recordings, twins.search(recordings, cache_dir) if pairs is None else pairs)
    return dataclasses.replace(
        dataset,
        recordings=tuple(dataclasses.replace(each, group=group[each.id]) for each in dataset.recordings),
        unlabelled=tuple(dataclasses.replace(each, group=group[each.id]) for each in dataset.unlabelled),
        grouping=_sentence(dataset, recordings, group),
    )


def components(ids: Sequence[str], pairs: Sequence[twins.Pair]) -> dict[str, int]:
    """The number of the connected component of each id; pairs of other ids do not count."""
    index = {each: place for place, each in enumerate(ids)}
    edges = [(index[pair.first], index[pair.second]) for pair in pairs if pair.first in index and pair.second in index]
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    graph = scipy.sparse.coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(ids), len(ids)))
    _, number = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return dict(zip(ids, number.tolist(), strict=True))


def _groups(recordings: Sequence[Recording], pairs: Sequence[twins.Pair]) -> dict[str, str]:
    number = components([recording.id for recording in recordings], pairs)
    members = collections.defaultdict(list)
    for recording in recordings:
        members[number[recording.id]].append(recording)
    known = {recording.group for recording in recordings if recording.group is not None}
    group = {}
    for component in members.values():
        named = collections.Counter(each.group for each in component if each.group is not None)
        name = min(named, key=lambda one: (-named[one], one)) if named else _name(component, known)
        group |= {each.id: name if each.group is None else each.group for each in component}
    return group


def _name(component: Sequence[Recording], known: set[str]) -> str:
    """After the first member, because numbers would change with every recording added."""
    name = f"source-{min(recording.id for recording in component)}"
    while name in known:
        name += "+"
    return name


def _sentence(dataset: Dataset, recordings: Sequence[Recording], group: Mapping[str, str]) -> str:
    found = {recording.id for recording in recordings if recording.group is None}
    source = dataset.grouping.rstrip(".") or "groups as the distribution says"
    before = f"{source}; " if len(found) < len(recordings) else ""
    which = "all" if len(found) == len(recordings) else f"the other {len(found)} of"
    number = len({group[each] for each in found})
    return (
        f"{before}{which} {len(recordings)} recordings: {number} groups from near-duplicates among all pairs "
        f"(correlation of at least {twins.TWIN:g} where they overlap, or {twins.SAME_SOURCE:g} over the whole of both; "
        "single link)"
    )
