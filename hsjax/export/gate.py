"""The parity gate: what an exported file has to show before anyone may use it.

Every check is recorded with its value and limit, whether it passes or not; only when all are there does `enforce`
refuse, so that one bad file does not hide what the others are like.
"""

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

from hsjax import runtime
from hsjax.export.tflite import required
from hsjax.runtime import litert
from hsjax.types import UserError

MAX_DEVIATION = 1e-4
"""Of a float file's logits from JAX's, relative to the largest of these: rounding in another order is far smaller."""

MAX_BATCH_DEVIATION = 1e-5
"""Between batches of 1, 8 and 16 of one ONNX file, relative as above."""

MIN_AGREEMENT = 0.99
"""Part of the recordings that an int8 file puts into the same class as JAX."""

MAX_METRIC_DROP = 0.01
"""What an int8 file may lose of AUROC."""

_BATCHES = (1, 8, 16)


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing a file was tested for.

    Attributes:
      model: name of the file.
      check: what was tested.
      value: what was measured.
      limit: what it is measured against.
      passed: whether it is within.
      detail: for people.
    """

    model: str
    check: str
    value: float
    limit: float
    passed: bool
    detail: str = ""


class GateFailed(UserError):  # noqa: N818, the gate's failing is the outcome, not an accident
    """An exported file is not what was trained.

    Attributes:
      checks: the ones that failed.
    """

    def __init__(self, checks: tuple[Check, ...]):
        super().__init__(checks)
        self.checks = checks

    def __str__(self) -> str:
        failures = [f"{c.model}: {c.check} is {c.value:.3g}, limit {c.limit:g} ({c.detail})" for c in self.checks]
        return f"the export gate failed, do not use these files: {'; '.join(failures)}"


def enforce(checks: Iterable[Check]) -> None:
    """Raises GateFailed if any check failed. To be called when all checks of all files are recorded."""
    failed = tuple(check for check in checks if not check.passed)
    if failed:
        raise GateFailed(failed)


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


def agreement(
    model: str,
    reference: Int[np.ndarray, " n"],
    measured: Int[np.ndarray, " n"],
    limit: float = MIN_AGREEMENT,
) -> Check:
    """Part of the units (recordings) for which a file predicts the same class as JAX.

    Args:
      model: name of the file.
      reference: class predicted by JAX.
      measured: class predicted by the file.
      limit: the least that passes.
    """
    equal, total = int((reference == measured).sum()), len(reference)
    value = equal / total if total else np.nan
    return Check(model, "class agreement", value, limit, value >= limit, f"{equal} of {total}")


def metric_drop(model: str, metric: str, reference: float, measured: float, limit: float = MAX_METRIC_DROP) -> Check:
    """How much lower a metric (AUROC) of a file is than JAX's on the same units. nan, an undefined metric, fails."""
    value = reference - measured
    return Check(model, f"{metric} drop", value, limit, value <= limit, f"{measured:.4f} after {reference:.4f}")


def inspect(
    path: pathlib.Path,
    inputs: Float[np.ndarray, "n ..."],
    reference: Float[np.ndarray, "n ..."],
    limit: float = MAX_DEVIATION,
) -> list[Check]:
    """All checks that one file needs by itself.

    TFLite: only builtin operators. ONNX: `onnx.checker`, and equal results for batches of 1, 8 and 16. Files that take
    float32: `deviation` of their outputs. An int8 file deviates by design: see `agreement` and `metric_drop`.

    Args:
      path: the file.
      inputs: what it takes, at least 16 examples for ONNX.
      reference: what JAX makes of them.
      limit: of the deviation.
    """
    checks = []
    try:
        checks.append(_builtin(path) if path.suffix == ".tflite" else _valid(path))
        session = runtime.load(path)
        if path.suffix == ".onnx":
            checks.append(_batches(path, session, inputs))
        if session.input_dtype == np.float32:
            checks.append(deviation(path.name, reference, session.run(inputs), limit))
    except UserError as error:
        checks.append(Check(path.name, "runs", 0.0, 1.0, False, str(error)))
    return checks


def _builtin(path: pathlib.Path) -> Check:
    custom = [name for name in litert.operators(path.read_bytes()) if name.startswith(litert.CUSTOM)]
    detail = f"not builtin: {', '.join(custom)}" if custom else "all builtin"
    return Check(path.name, "operators that are not builtin", float(len(custom)), 0.0, not custom, detail)


def _valid(path: pathlib.Path) -> Check:
    onnx = required("onnx")
    try:
        onnx.checker.check_model(str(path), full_check=True)
        problem = ""
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problem = str(error)
    return Check(path.name, "onnx.checker problems", float(bool(problem)), 0.0, not problem, problem or "valid")


def _batches(path: pathlib.Path, session: runtime.Session, inputs: Float[np.ndarray, "n ..."]) -> Check:
    check = f"deviation between batches of {', '.join(map(str, _BATCHES))}"
    largest = max(_BATCHES)
    if session.batch is not None or len(inputs) < largest:
        detail = f"batch of the file {session.batch}, {len(inputs)} examples"
        return Check(path.name, check, np.inf, MAX_BATCH_DEVIATION, False, detail)
    alone, *batched = (
        np.concatenate([session.run(inputs[start : start + size]) for start in range(0, largest, size)])
        for size in _BATCHES
    )
    checks = [deviation(path.name, alone, together, MAX_BATCH_DEVIATION, check) for together in batched]
    return max(checks, key=lambda one: one.value)
