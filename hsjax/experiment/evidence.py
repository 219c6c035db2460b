"""What a figure rests on: the recordings, how they are divided, and what else could have told their labels."""

import collections
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hsjax.data.audit import twins
from hsjax.data.download import register
from hsjax.evaluate import controls, coverage
from hsjax.evaluate.bootstrap import Estimate
from hsjax.experiment.context import Context
from hsjax.report.run import CONTROL
from hsjax.types import Dataset, Recording, ResultRow, Split

PARTS = ("train", "validation", "test")
_ALL_PARTS = ("pretrain", *PARTS)
# Examples at a time.
_CHUNK = 2048


def describe(context: Context) -> dict[str, Any]:
    """The dataset and every fold of every protocol in numbers, for the page."""
    dataset = context.dataset
    groups = [recording.group for recording in dataset.recordings if recording.group is not None]
    return {
        "recordings": len(dataset.recordings),
        "hours": sum(recording.num_samples / recording.sample_rate for recording in dataset.recordings) / 3600,
        "groups": len(set(groups)) if len(groups) == len(dataset.recordings) else None,
        "grouping": dataset.grouping,
        "unlabelled": len(dataset.unlabelled),
        "subsets": dict(collections.Counter(recording.subset for recording in dataset.recordings)),
        "distribution": _distribution(dataset),
        "folds": [
            _fold(context, protocol, split)
            for protocol in context.config.protocols
            for split in context.splits(protocol).values()
        ],
    }


def _fold(context: Context, protocol: str, split: Split) -> dict[str, Any]:
    made = parts(context, split)
    test = made["test"]
    return {
        "protocol": protocol,
        "fold": split.name,
        "note": split.note,
        "parts": made,
        "known": known(context.dataset.recordings, context.examples.recording, split, context.cache),
        "warning": coverage.warning(test["groups"], test["groups_by_class"]),
    }


def _distribution(dataset: Dataset) -> dict[str, int]:
    """Recordings of the official distribution, by sub-dataset that the run reads; empty where not registered."""
    counts = register.recordings(dataset.name)
    read = {recording.subset for recording in dataset.recordings}
    return {subset: count for subset, count in counts.items() if subset in read}


def known(
    recordings: Sequence[Recording], owner: Int[np.ndarray, " examples"], split: Split, cache: pathlib.Path
) -> dict[str, int | None]:
    """How many tested examples were known from training or pre-training: their recording, its group, a near-copy of it.

    Args:
      recordings: of the dataset.
      owner: of each example, an index into `recordings`.
      split: of the examples.
      cache: folder in which an audit may have left the near-copies it found. Looking for them takes minutes, so that
        without such a result `of_trained_twin` is None.
    """
    group = np.array([recording.group or recording.id for recording in recordings])
    trained = np.unique(owner[np.concatenate([split.train, split.pretrain])])
    tested = owner[split.test]
    pairs = twins.kept(recordings, cache) if all(recording.digest for recording in recordings) else None
    return {
        "examples": len(tested),
        "of_trained_recording": int(np.isin(tested, trained).sum()),
        "of_trained_group": int(np.isin(group[tested], group[trained]).sum()),
        "of_trained_twin": None if pairs is None else _with_twin(pairs, recordings, trained, tested),
    }


def _with_twin(
    pairs: Iterable[twins.Pair], recordings: Sequence[Recording], trained: np.ndarray, tested: np.ndarray
) -> int:
    """Tested examples of whose recording a near-copy was trained on."""
    ids = {recordings[index].id for index in trained}
    known = {b for pair in pairs if pair.twins for a, b in (pair[:2], pair[1::-1]) if a in ids}
    return sum(recordings[index].id in known for index in tested)


def parts(context: Context, split: Split) -> dict[str, dict[str, Any]]:
    """Examples, recordings and groups of each part, the latter by class, too."""
    examples, dataset = context.examples, context.dataset
    group = np.array([recording.group or recording.id for recording in dataset.recordings])
    made = {}
    for name in _ALL_PARTS if len(split.pretrain) else PARTS:
        chosen = getattr(split, name)
        owner, label = examples.recording[chosen], examples.label[chosen]
        of_part = group[owner]
        made[name] = {
            "examples": len(chosen),
            "recordings": len(np.unique(owner)),
            "groups": len(np.unique(of_part)),
            "groups_by_class": coverage.groups_by_class(label, of_part, dataset.classes),
        }
    return made


def control_rows(context: Context) -> Iterator[ResultRow]:
    """How well the audio tells the sub-dataset, and the sub-dataset the label; without what cannot be learnt.

    The audio is represented by mean and standard deviation over time of the run's own features, so that what is told
    from them is what its networks could have heard.
    """
    recordings = context.dataset.recordings
    subset = np.array([recording.subset for recording in recordings])
    if not context.labelled or len(np.unique(subset)) < 2 or any(recording.group is None for recording in recordings):
        return
    group = np.array([recording.group for recording in recordings])
    label = np.array([recording.label for recording in recordings])
    options = {"resamples": context.config.evaluate.bootstrap, "seed": context.config.data.split_seed}
    if _tellable(subset, group):
        found = controls.predict_factor(_moments(context), subset, group, **options)
        yield from _rows(context, "subset_from_audio", found)
    if _tellable(label, group):
        yield from _rows(context, "label_from_subset", controls.label_from_factor(subset, label, group, **options))


def _tellable(name: np.ndarray, group: np.ndarray) -> bool:
    """Whether two names or more occur in several groups each, so that they can be learnt from other groups."""
    return sum(len(np.unique(group[name == one])) > 1 for one in np.unique(name)) > 1


def _moments(context: Context) -> Float[np.ndarray, "recordings dims"]:
    """Mean and standard deviation over time of every recording's features before normalisation."""
    owner, count = context.examples.recording, len(context.dataset.recordings)
    coefficients, frames_each = context.front_end.shape
    frames = np.bincount(owner, minlength=count)[:, None] * frames_each
    sums = [np.zeros((count, coefficients)) for _ in range(2)]
    for start in range(0, len(owner), _CHUNK):
        rows = slice(start, start + _CHUNK)
        raw = context.raw_features_of(rows).astype(np.float64)
        for power, total in enumerate(sums, 1):
            np.add.at(total, owner[rows], (raw**power).sum(axis=-1))
    mean = sums[0] / frames
    return np.hstack([mean, np.sqrt(np.maximum(sums[1] / frames - mean**2, 0))])


def _rows(context: Context, name: str, found: controls.Control) -> Iterator[ResultRow]:
    figures = {("accuracy", ""): found.accuracy, ("balanced_accuracy", ""): found.balanced_accuracy}
    figures |= {("auroc", ""): found.auroc, ("majority", ""): Estimate(found.majority, None)}
    figures |= {("recall", of): estimate for of, estimate in found.recall.items()}
    for (metric, label), (value, interval) in figures.items():
        low, high = interval or (None, None)
        yield ResultRow(
            context.dataset.name, "", CONTROL, context.config.data.split_seed, "", "test", "recording", "", "features",
            f"{name}:{metric}", label, value, low, high, found.n, found.n_groups,
        )  # fmt: skip
