"""All that one file has to show by itself. Called in a process of its own: what is wrong with a file may end it."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from hsjax import runtime
from hsjax.export.gate import contents, layers, parity, taken_in
from hsjax.export.gate.checks import Check, broken
from hsjax.runtime import Variant
from hsjax.types import UserError

_BATCHES = (1, 8, 16)

_DYNAMIC = (Variant.ONNX_INT8_DYNAMIC, Variant.ONNX_INT8_DYNAMIC_ALL)
"""Files whose ranges of activations are those of each batch."""

_SENSELESS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of reading a graph that is well formed and contradicts itself."""


def inspect(
    path: pathlib.Path,
    inputs: Float[np.ndarray, "n ..."],
    reference: Float[np.ndarray, "n ..."],
    limit: float = parity.MAX_DEVIATION,
    variant: Variant | None = None,
) -> list[Check]:
    """All checks that one file needs by itself.

    Only builtin operators. ONNX: `onnx.checker`, and equal results for batches of 1, 8 and 16. Integers: a scale for
    every channel of a convolution. Calibrated ranges: that of the network's input fits what comes to it. Float weights:
    `deviation` of the outputs. Any other file deviates by design: see `agreement` and `metric_drop`.

    Args:
      path: the file.
      inputs: what it takes.
      reference: what JAX makes of them.
      limit: of the deviation of a float32 file.
      variant: what kind of file it is; None for float32, or full int8 if it takes that.
    """
    checks = []
    try:
        checks.append(contents.builtin(path))
        if path.suffix == ".onnx":
            checks.append(contents.valid(path))
        session = runtime.load(path)
        exact = variant.exact if variant else session.input_dtype == np.float32
        half = variant in (Variant.TFLITE_FLOAT16, Variant.ONNX_FLOAT16)
        if not exact and not half:
            checks.append(contents.scales(path))
        if variant.calibrated if variant else session.input_dtype != np.float32:
            checks.append(taken_in.check(path, session, inputs))
        if path.suffix == ".onnx":
            most = parity.MAX_BATCH_DEVIATION
            if variant in _DYNAMIC:
                most = parity.MAX_DYNAMIC_BATCH_DEVIATION
            checks.append(_batches(path, session, inputs, most))
        if exact or half:
            most = limit if exact else parity.MAX_HALF_DEVIATION
            checks.append(parity.deviation(path.name, reference, session.run(inputs), most))
    except UserError as error:
        checks.append(broken(path.name, "runs", error))
    except _SENSELESS as error:
        checks.append(broken(path.name, "makes sense", f"reading it gave {type(error).__name__}: {error}"))
    return checks


def emulation(
    path: pathlib.Path,
    inputs: Float[np.ndarray, "n ..."],
    reference: Float[np.ndarray, "n classes"],
    limit: float,
    classes: tuple[str, ...],
) -> Check:
    """Part of the windows for which a file with trained ranges has the class that training has emulated.

    Args:
      path: the file.
      inputs: what it takes.
      reference: emulated logits.
      limit: the least that passes.
      classes: of the network.
    """
    try:
        logits = runtime.load(path).run(inputs)
    except UserError as error:
        return broken(path.name, "runs", error)
    check = parity.agreement(path.name, reference.argmax(1), logits.argmax(1), limit, classes)
    return dataclasses.replace(check, check=parity.EMULATION)


def _batches(path: pathlib.Path, session: runtime.Session, inputs: Float[np.ndarray, "n ..."], limit: float) -> Check:
    check = f"deviation between batches of {', '.join(map(str, _BATCHES))}"
    largest = max(_BATCHES)
    if session.batch is not None or not len(inputs):
        detail = f"batch of the file {session.batch}, {len(inputs)} examples"
        return Check(path.name, check, np.inf, limit, False, detail)
    inputs = np.resize(inputs, (max(largest, len(inputs)), *inputs.shape[1:]))  # of few examples some come again
    alone, *batched = (
        np.concatenate([session.run(inputs[start : start + size]) for start in range(0, largest, size)])
        for size in _BATCHES
    )
    checks = [parity.deviation(path.name, alone, together, limit, check) for together in batched]
    return max(checks, key=lambda one: (not one.passed, one.value))  # what is no number is larger than nothing


def locate(
    path: pathlib.Path,
    variant: Variant,
    inputs: Float[np.ndarray, "n ..."],
    beside: pathlib.Path | None,
    taps: Mapping[str, Float[np.ndarray, "n ..."]],
) -> Check:
    """Which layer of a failed file to look at.

    Args:
      path: the file.
      variant: what kind of file it is.
      inputs: what it takes; a few examples.
      beside: the float file it was made from, which takes the same; None where it is that one.
      taps: what the network in JAX has inside for these inputs; for a file without another beside it.
    """
    few = inputs[: layers.EXAMPLES]
    if not beside and not taps:
        return broken(path.name, "values of its layers", "there is nothing to hold them against")
    expected = layers.Expected.FLOATS if variant.exact else layers.Expected.INTEGERS
    try:
        reference = layers.values(beside, few) if beside else layers.of_taps(taps, len(few))
        return layers.verdict(path.name, layers.compare(reference, layers.values(path, few)), expected)
    except UserError as error:
        return broken(path.name, "values of its layers", error)
    except _SENSELESS as error:
        return broken(path.name, "values of its layers", f"reading them gave {type(error).__name__}: {error}")
