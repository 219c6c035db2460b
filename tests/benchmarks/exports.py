"""Every network in full size as TFLite and ONNX: `python tests/benchmarks/exports.py [NAME...]`, CSV on stdout.

Each is built for the features of the paper that it is from or compared in, and exported in a process of its own. Its
weights are random, batch norm's scales and biases included, and running statistics are those of the calibration inputs,
so that values neither vanish nor explode in deep networks. Inputs are patches of random level under noise; int8 files
are calibrated on 16 and judged on 16 others. The reference is what the fast form gives, the files are traced from the
plain one.

`deviation` is the largest difference of the logits over the largest logit; `rms_error` the root of the mean squared
difference over that of the logits, each less its mean over the inputs; `batches` the deviation between batches of 1, 8
and 16. Operators that are not builtin are those outside TFLite's own, or ONNX's own. Seconds are of processor time, all
threads together, for the conversion alone. What fails has no row, but is named at the end, with exit code 1.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

COLUMNS = (
    "model", "input", "classes", "parameters", "macs", "variant",
    "bytes", "deviation", "rms_error", "batches", "not_builtin", "seconds",
)  # fmt: skip
Row = dict[str, str | int | float]


class Work(NamedTuple):
    """What a network is for.

    Attributes:
      classes: width of the logits.
      shape: of the features: coefficients (bands) and frames, in a single map.
      options: of the network, where they are not the defaults.
    """

    classes: int
    shape: tuple[int, int]
    options: dict[str, object] = {}  # noqa: RUF012


_SONG, _SRIRAM, _MAHAPATRA = Work(2, (13, 101)), Work(2, (50, 2805)), Work(5, (128, 63))
_SARKHEL, _BIRTON = Work(4, (40, 126)), Work(6, (36, 36))

WORKS = {
    "song-student": _SONG,
    "song-teacher": _SONG,
    "li2021": _SONG,
    "cardioxnet": Work(2, (1, 5000)),  # samples: Song's 2.5 s at 2 kHz
    "mobilenetv3-large": _SONG,
    "dscnn": _SONG,
    "sarkhel-student": _SARKHEL,
    "sarkhel-conv1d": _SARKHEL,
    "sarkhel-conv2d": _SARKHEL,
    "sarkhel-rnn": _SARKHEL,
    "sarkhel-lstm": _SARKHEL,
    "squeezenet": _MAHAPATRA,
    "mobilenetv3-small": _MAHAPATRA,
    "sriram-student": _SRIRAM,
    "sriram-teacher": _SRIRAM,
    "resnet18": _SRIRAM._replace(options={"channels": 1}),
    "mobilenetv2": _BIRTON,
    "efficientnetb0": _BIRTON,
    "resnet50": _BIRTON,
    "resnet101": _BIRTON,
    "efficientnetv2-s": _MAHAPATRA,
    "densenet201": _BIRTON,
}
"""By name; what takes longest comes last. Networks for three equal maps get the one map that hsjax's features have."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=WORKS, help=f"of {', '.join(WORKS)}; all by default")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(WORKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if arguments.child:
        for row in rows(arguments.names[0]):
            writer.writerow({key: f"{x:.3g}" if isinstance(x, float) else x for key, x in row.items()})
            sys.stdout.flush()
        return
    writer.writeheader()
    sys.stdout.flush()
    children = {name: subprocess.run([sys.executable, __file__, name, "--child"]) for name in arguments.names}
    if failed := [name for name, child in children.items() if child.returncode]:
        raise SystemExit(f"failed, see above: {', '.join(failed)}")


def rows(name: str) -> Iterator[Row]:
    """A row for each variant of a network.

    Args:
      name: of `WORKS`.
    """
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp
    import numpy as np

    from hsjax import models, runtime
    from hsjax.export import gate, onnx, tflite
    from hsjax.runtime import litert, quiet
    from tests.models import family, running_statistics

    work = WORKS[name]
    plain, fast = (
        models.build(name, num_classes=work.classes, form=form, **work.options)
        for form in (models.Form.PLAIN, models.Form.FAST)
    )
    shape = (1, *work.shape)
    rng = np.random.default_rng(1)
    patches = rng.standard_normal((2, 16, *(-(-size // 8) for size in work.shape)), np.float32)
    patches = patches.repeat(8, 2).repeat(8, 3)[:, :, : work.shape[0], : work.shape[1]]
    calibration, inputs = patches + 0.5 * rng.standard_normal(patches.shape, np.float32)
    key = {"dropout": jax.random.key(0)}
    forward = jax.jit(lambda variables: variables | fast.apply(variables, calibration, True, key)[1])
    variables = running_statistics.settled(family.draw(fast, shape), forward)
    reference = np.asarray(family.hurried(lambda x: fast.apply(variables, x)[0].logits, inputs))
    about = {
        "model": name,
        "input": "x".join(map(str, work.shape)),
        "classes": work.classes,
        "parameters": models.parameter_count(variables),
        "macs": models.macs(plain, jax.ShapeDtypeStruct(shape, jnp.float32)),
    }

    def function(features):
        return plain.apply(variables, features)[0].logits

    with quiet.native_stderr():
        tflite.required("tensorflow")  # which takes its time, once
    with tempfile.TemporaryDirectory() as folder:

        def row(variant: runtime.Variant, convert: Callable[[], bytes]) -> Row:
            start = time.process_time()
            content = convert()
            seconds = time.process_time() - start
            path = pathlib.Path(folder, f"{variant}.{variant.partition('-')[0]}")
            path.write_bytes(content)
            checks = gate.inspect(path, inputs, reference)
            if broken := [check for check in checks if check.check == "runs" or not np.isfinite(check.value)]:
                raise gate.GateFailed(tuple(broken))
            files[variant] = content
            outputs = runtime.load(path).run(inputs)
            spread = reference - reference.mean(axis=0)
            return about | {
                "variant": str(variant),
                "bytes": len(content),
                "deviation": gate.deviation(path.name, reference, outputs).value,
                "rms_error": float(np.sqrt(np.mean((outputs - reference) ** 2) / np.mean(spread**2))),
                "batches": next((check.value for check in checks if "batches" in check.check), ""),
                "not_builtin": foreign(path, content),
                "seconds": seconds,
            }

        def foreign(path: pathlib.Path, content: bytes) -> int:
            if path.suffix == ".onnx":
                nodes = tflite.required("onnx").load_from_string(content).graph.node
                return sum(node.domain not in ("", "ai.onnx") for node in nodes)
            return sum(one.startswith(litert.CUSTOM) for one in litert.operators(content))

        files: dict[runtime.Variant, bytes] = {}
        yield row(runtime.Variant.TFLITE_FLOAT32, lambda: tflite.float32(function, shape))
        yield row(runtime.Variant.TFLITE_INT8, lambda: tflite.int8(function, shape, calibration))
        yield row(runtime.Variant.ONNX_FLOAT32, lambda: onnx.from_tflite(files[runtime.Variant.TFLITE_FLOAT32]))


if __name__ == "__main__":
    main()
