"""Files of networks with trained ranges: size, and accuracy on the test examples beside the emulation's.

    python tests/benchmarks/trained_files.py --run=DIR STAGE...

For networks that the parity gate takes long for: no recording is decoded here, files get the features that the network
was tested on. Prints a CSV: stage, protocol, bytes of the int8 TFLite file, zipped, parameters that are not zero,
examples, accuracy of the stage that it began with, of the emulation and of the file, part of the examples that the
last two put into the same class, and the file's recall of each class with the number of its examples.
"""

import argparse
import csv
import pathlib
import sys
import tempfile
from collections.abc import Iterator

import numpy as np

from hsjax import models, runtime
from hsjax.compress import sizes
from hsjax.experiment import folder, sensitivity, train_stage
from hsjax.export import trained_ranges
from hsjax.types import Predictions, UserError

COLUMNS = (
    "stage", "protocol", "bytes", "zipped_bytes", "nonzero", "n", "accuracy_before", "accuracy_emulated",
    "accuracy_file", "agreement", "recalls",
)  # fmt: skip


def row(run: pathlib.Path, stage: str, scratch: pathlib.Path) -> dict[str, str | int | float]:
    """The figures of one stage."""
    context, training = sensitivity.opened(run, stage)
    variables, _ = train_stage.load(context, training)
    path = scratch / f"{stage}.tflite"
    network = context.network(stage, models.Form.PLAIN)
    path.write_bytes(trained_ranges.to_tflite(network, variables, context.one_input.shape))
    part = context.trained(training)
    emulated = folder.load_predictions(train_stage.predictions_path(part.path, "test"))
    index = context.split(training.protocol, training.fold).test
    inputs = context.inputs(training.protocol, training.fold).on_host(index)
    found = runtime.load(path).run(inputs).argmax(1)
    begun = context.trained(training._replace(stage=context.stage(stage).begin)).path
    before = folder.load_predictions(train_stage.predictions_path(begun, "test"))
    said, record = emulated.probabilities.argmax(1), part.record() or {}
    size = sizes.of_file(path)
    return {
        "stage": stage,
        "protocol": training.protocol,
        "bytes": size.raw,
        "zipped_bytes": size.zipped,
        "nonzero": record.get("nonzero", ""),
        "n": len(found),
        "accuracy_before": f"{np.mean(before.probabilities.argmax(1) == before.label):.4f}",
        "accuracy_emulated": f"{np.mean(said == emulated.label):.4f}",
        "accuracy_file": f"{np.mean(found == emulated.label):.4f}",
        "agreement": f"{np.mean(found == said):.4f}",
        "recalls": "; ".join(_recalls(found, emulated)),
    }


def _recalls(found: np.ndarray, truth: Predictions) -> Iterator[str]:
    for index, name in enumerate(truth.classes):
        of_class = truth.label == index
        if of_class.any():
            yield f"{name} {np.mean(found[of_class] == index):.3f} of {of_class.sum()}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="+", metavar="STAGE", help="trained with a quantiser")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the run")
    flags = parser.parse_args()
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    with tempfile.TemporaryDirectory() as scratch:
        for stage in flags.stages:
            try:
                writer.writerow(row(flags.run, stage, pathlib.Path(scratch)))
            except UserError as error:
                print(f"hsjax: {error}", file=sys.stderr)
                return 2
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
