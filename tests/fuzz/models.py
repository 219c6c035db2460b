"""Gives damaged and contradictory model files to `predict` and to the parity gate: each is run or refused.

    python tests/fuzz/models.py --count=10000 --seed=0 [--jobs=2] [--failures=FOLDER]

Starts from small TFLite and ONNX files of several forms. Most mutants are well formed and say something else in one to
three fields of their graph (`models_mutations`); the others are damaged like any file. A sidecar vouches for each, so
that its checksum is no reason to refuse it. What must not happen: that the process which asks for a prediction, or for
the gate's verdict, ends, hangs, or gets anything but a sentence for its user. Prints a table by format on standard
output and, on standard error, how often the process that ran the mutant died of it; failures are kept as by
`readers.py`. Exits with 1 if there was one.
"""

import argparse
import collections
import csv
import functools
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable

import cases
import numpy as np
import readers

from hsjax.predict import calls
from hsjax.runtime import Aggregation, Description, Input, Variant, asking, isolated, sidecar

WINDOW, CLASSES = 80, ("normal", "abnormal")
_SOUND = "sound.wav"
_SECONDS = 8.0  # of one mutant in the process that runs it
_DEATH = re.compile(r"the process that ran it ([^:]*):")
_COLUMNS = ("format", "mutants", "read", "refused", "failed")

DESCRIPTION = Description(
    stage="student", protocol="grouped", seed=0, dataset="synthetic", synthetic=True, labels=CLASSES,
    positive="abnormal", threshold=0.5, aggregation=Aggregation.MEAN, sample_rate=2000, window=WINDOW, hop=WINDOW,
    versions={},
)  # fmt: skip


def made() -> tuple[cases.Case, ...]:
    """A small network from samples in several forms, each for `predict` and for the gate."""
    import jax
    import jax.numpy as jnp

    from hsjax.export import onnx as to_onnx
    from hsjax.export import onnx_forms, tflite

    rng = np.random.default_rng(0)
    kernel, depthwise, weights = (
        rng.normal(size=shape).astype(np.float32) for shape in ((3, 3, 1, 4), (3, 3, 1, 4), (4, 2))
    )
    convolve = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def network(samples: jax.Array) -> jax.Array:
        x = jax.nn.relu(convolve(samples.reshape(1, 8, 10, 1), kernel, (1, 1), "SAME"))
        x = convolve(x, depthwise, (2, 2), "SAME", feature_group_count=4)
        return jnp.mean(jax.nn.sigmoid(x) * x, (1, 2)) @ weights

    windows = rng.normal(size=(16, WINDOW)).astype(np.float32)
    traced = tflite.Traced(network, (1, WINDOW))
    float32 = to_onnx.from_tflite(traced.float32())
    contents = {
        Variant.TFLITE_FLOAT32: traced.float32(),
        Variant.TFLITE_INT8: traced.int8(windows),
        Variant.TFLITE_DYNAMIC: traced.dynamic(),
        Variant.ONNX_FLOAT32: float32,
        Variant.ONNX_INT8_STATIC: onnx_forms.int8_static(float32, windows),
    }
    found = []
    for variant, content in contents.items():
        target = f"{variant}-samples.{variant.runtime}"
        files = {target: content, _SOUND: cases._sound(2000, 0.2)}
        found += [
            cases.Case(variant.runtime, f"models:{reader}", files, target) for reader in ("predicted", "inspected")
        ]
    return tuple(found)


def _model(root: pathlib.Path) -> pathlib.Path:
    """The one model in a folder, with a sidecar that vouches for it."""
    (path,) = [path for path in root.iterdir() if path.suffix in (".tflite", ".onnx")]
    variant = Variant(path.stem.removesuffix("-samples"))
    sidecar.write(root, sidecar.describe(DESCRIPTION, path, variant, Input.SAMPLES, None))
    return path


def predicted(root: pathlib.Path) -> tuple[()]:
    """What `python -m hsjax.predict` does with a model and a recording."""
    _ask(_predict, _model(root), root / _SOUND)
    return ()


def _predict(model: pathlib.Path, recording: pathlib.Path) -> None:
    calls.forget()  # mutants have one path, one after the other
    calls.load(model, 1)
    calls.of_file(model, 1, recording)


def inspected(root: pathlib.Path) -> tuple[()]:
    """What the gate does with a model."""
    _ask(_inspect, _model(root))
    return ()


def _inspect(path: pathlib.Path) -> None:
    from hsjax.export import gate

    variant = sidecar.read(path).variant
    inputs = np.random.default_rng(0).normal(size=(16, WINDOW)).astype(np.float32)
    logits = np.zeros((16, len(CLASSES)), np.float32)
    for check in (*gate.inspect(path, inputs, logits, variant=variant),
                  gate.locate(path, variant, inputs, None, {"logits": logits})):  # fmt: skip
        assert check.detail
        assert np.isfinite(check.limit)


def _ask(function: Callable[..., None], *arguments: pathlib.Path) -> None:
    try:
        asking.ask(_process(), "ran it", function, *arguments)
    except asking.Unforeseen as error:  # the commands have a line for it, and it is a fault nevertheless
        raise AssertionError(str(error)) from error.__cause__


@functools.cache
def _process() -> isolated.Isolated:
    from hsjax.export import gate  # so that every copy has it

    del gate
    return isolated.Isolated(isolated.Start.FORK, seconds=_SECONDS)


def deaths(results: list[readers.Result]) -> collections.Counter[str]:
    """How often the process that ran a mutant ended in which way."""
    told = (_DEATH.match(result.detail) for result in results if result.outcome == "refused")
    return collections.Counter(how[1] for how in told if how)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--failures", type=pathlib.Path, default=readers._FAILURES, help="folder for mutants that failed"
    )
    arguments = parser.parse_args()
    chosen = made()
    begin = time.monotonic()
    results = readers.run(chosen, count=arguments.count, seed=arguments.seed, jobs=arguments.jobs, seconds=2 * _SECONDS)
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(readers.table(chosen, results))
    print(
        f"{len(results)} mutants in {time.monotonic() - begin:.0f} s; of them died: {dict(deaths(results))}",
        file=sys.stderr,
    )
    failed = [result for result in results if result.outcome == "failed"]
    readers._keep(chosen, arguments.seed, failed, arguments.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
