"""Whether a file gives what its network gives: numbers, classes, and how well they fit the truth."""

import itertools

import numpy as np
from jaxtyping import Float, Int

from hsjax.export.gate.checks import Check, none_of

MAX_DEVIATION = 1e-4
"""Of a float32 file's logits from JAX's, relative to the largest of these: rounding in another order is far smaller."""

MAX_HALF_DEVIATION = 0.03
"""Likewise of a file with weights in half precision, whose steps are 1/2048 of a weight."""

MAX_BATCH_DEVIATION = 1e-5
"""Between batches of 1, 8 and 16 of one ONNX file, relative as above."""

MAX_DYNAMIC_BATCH_DEVIATION = 0.1
"""Likewise of one whose ranges are those of each batch."""

MIN_AGREEMENT = 0.99
"""Part of the recordings that a file puts into the same class as JAX."""

MAX_METRIC_DROP = 0.01
"""What a file may lose of AUROC, to the worse end of its interval."""

AGREEMENT = "class agreement"
"""Name of that check."""

EMULATION = "agreement of windows with the emulation in training"
"""Name of that check of files with trained ranges."""

_ONE_MAY_DIFFER = 20
"""Units from which on one may."""

_MOST_CLASSES = 6
"""Of which all exchanges are tried: 6! are 720."""


def deviation(
    model: str,
    reference: Float[np.ndarray, "n ..."],
    measured: Float[np.ndarray, "n ..."],
    limit: float = MAX_DEVIATION,
    check: str = "deviation",
) -> Check:
    """Largest absolute difference of a float file's outputs from JAX's, over the largest absolute one of these."""
    if reference.shape != measured.shape or not reference.size:
        return Check(model, check, np.inf, limit, False, f"shapes {reference.shape} and {measured.shape}")
    difference = float(np.abs(measured.astype(np.float64) - reference).max())
    scale = float(np.abs(reference).max())
    value = difference / scale if scale else np.inf
    detail = f"{difference:.2g} of outputs up to {scale:.3g}, {len(reference)} examples"
    return Check(model, check, value, limit, value <= limit, detail)


def labels(model: str, described: tuple[str, ...], classes: tuple[str, ...]) -> Check:
    """Whether the labels that a sidecar gives to the outputs of its file are the network's classes, in their order.

    Args:
      model: name of the file.
      described: by its sidecar.
      classes: of the data that the network was trained on.
    """
    pairs = itertools.zip_longest(described, classes, fillvalue="nothing")
    wrong = [f"output {index} is {meant}, not {said}" for index, (said, meant) in enumerate(pairs) if said != meant]
    return none_of(model, "labels out of place", wrong, ", ".join(classes))


def agreement(
    model: str,
    reference: Int[np.ndarray, " n"],
    measured: Int[np.ndarray, " n"],
    limit: float = MIN_AGREEMENT,
    classes: tuple[str, ...] = (),
    one_may_differ: bool = False,
) -> Check:
    """Part of the units (recordings) for which a file predicts the same class as JAX.

    Args:
      model: name of the file.
      reference: class predicted by JAX.
      measured: class predicted by the file.
      limit: the least that passes.
      classes: their names, to tell which are exchanged where exchanging them would make the file agree.
      one_may_differ: of 20 or more, where one alone is more than `limit` leaves out: that one recording lies on the
        threshold says nothing.
    """
    equal, total = int((reference == measured).sum()), len(reference)
    value = equal / total if total else np.nan
    detail = f"{equal} of {total}"
    passed = value >= limit or (one_may_differ and total >= _ONE_MAY_DIFFER and total - equal == 1)
    if passed and value < limit:
        detail += "; of so few, one may differ"
    if not passed and classes:
        detail += _exchanged(reference, measured, limit, classes)
    return Check(model, AGREEMENT, value, limit, passed, detail)


def _exchanged(reference: np.ndarray, measured: np.ndarray, limit: float, classes: tuple[str, ...]) -> str:
    """Which labels are swapped, if that is what is wrong."""
    if len(classes) > _MOST_CLASSES or not len(reference):
        return ""
    meant = max(
        itertools.permutations(range(len(classes))), key=lambda to: np.mean(np.array(to)[measured] == reference)
    )
    part = float(np.mean(np.array(meant)[measured] == reference))
    if part < limit or meant == tuple(range(len(classes))):
        return ""
    names = ", ".join(f"{classes[said]} for {classes[is_]}" for said, is_ in enumerate(meant) if said != is_)
    return f"; its labels are swapped: it says {names}, and agrees in {part:.1%} if they are put right"


def metric_drop(
    model: str,
    metric: str,
    reference: float,
    measured: float,
    limit: float = MAX_METRIC_DROP,
    bound: float | None = None,
    few: int | None = None,
) -> list[Check]:
    """How much lower a metric (AUROC) of a file is than JAX's on the same units. nan, an undefined metric, fails.

    Args:
      model: name of the file.
      metric: its name.
      reference: of JAX.
      measured: of the file.
      limit: the most that passes.
      bound: the largest drop in the paired 95 % interval, for a second check; None where there is no interval, which
        is told.
      few: how many groups hold the rarest class, where they are too few for an interval that means what it says (see
        `evaluate.coverage`): it is told and not judged. None where they suffice.
    """
    value = reference - measured
    detail = f"{measured:.4f} after {reference:.4f}"
    if bound is None:
        detail += "; no interval"
    elif few is not None:
        detail += f"; its paired 95 % interval reaches {bound:.4f}, not judged with {few} groups of a class"
    checks = [Check(model, f"{metric} drop", value, limit, value <= limit, detail)]
    if bound is not None and few is None:
        words = f"the drop is {value:.4f}; units of a group are drawn together, for file and network alike"
        checks.append(
            Check(model, f"{metric} drop, worse end of its paired 95 % interval", bound, limit, bound <= limit, words)
        )
    return checks
