"""Recordings whose samples are equal to the bit: one of them is enough, and two labels for one sound are none."""

import collections
import dataclasses
import pathlib

from hsjax.types import Dataset, Finding, Recording


def screen(dataset: Dataset, root: pathlib.Path | None = None) -> Dataset:
    """Leaves every sound in a dataset once.

    Of recordings with equal `Recording.digest` the first by id stays; if their labels differ, none does, because
    nothing tells which label is right. An unlabelled recording that equals a labelled one goes, whatever becomes of
    that one. Recordings without a digest stay. Near-copies, which differ in some samples, are not looked for here.

    Args:
      dataset: of any reader.
      root: folder of the distributions, to which paths of findings are relative; None leaves them absolute.

    Returns:
      The dataset with the copies moved to `quarantined`, and without the notes on them.
    """
    same = collections.defaultdict(list)
    for recording in (*dataset.recordings, *dataset.unlabelled):
        if recording.digest:
            same[recording.digest].append(recording)
    reasons = {}
    for copies in same.values():
        reasons |= _reasons(copies)
    gone = [recording for recording in (*dataset.recordings, *dataset.unlabelled) if recording.id in reasons]
    found = tuple(Finding(copy.id, _path(copy, root), reasons[copy.id]) for copy in gone)
    return dataclasses.replace(
        dataset,
        recordings=tuple(recording for recording in dataset.recordings if recording.id not in reasons),
        unlabelled=tuple(recording for recording in dataset.unlabelled if recording.id not in reasons),
        quarantined=tuple(sorted((*dataset.quarantined, *found), key=lambda finding: finding.path)),
        noted=tuple(finding for finding in dataset.noted if finding.id not in reasons),
    )


def _reasons(copies: list[Recording]) -> dict[str, str]:
    """Why each of the recordings of one sound cannot be used, by id; those that stay are absent."""
    # The beats of an ECG have labels and the recording has none: then all copies are unlabelled, and the first stays.
    labels = {recording.label for recording in copies} - {""}
    copies = sorted(copies, key=lambda recording: (bool(labels) and not recording.label, recording.id))
    if len(labels) < 2:
        return {recording.id: f"duplicate of {copies[0].id}" for recording in copies[1:]}
    reasons = {}
    for recording in copies:
        other = next(other for other in copies if other.label not in ("", recording.label))
        is_labelled = f"same sound as {other.id}, which is labelled {other.label}"
        reasons[recording.id] = is_labelled if recording.label else f"duplicate of {other.id}"
    return reasons


def _path(recording: Recording, root: pathlib.Path | None) -> str:
    if recording.path is None:
        return ""
    if root is not None and recording.path.is_relative_to(root):
        return recording.path.relative_to(root).as_posix()
    return recording.path.as_posix()
