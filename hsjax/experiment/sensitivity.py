"""Which layers of a trained stage need 8 bits: `python -m hsjax.experiment.sensitivity --run=DIR --stage=NAME`.

Prints, as CSV, how much the loss on the validation part grows when one layer alone has 4 bits, and on standard error
the setting of `quantise` for a stage that begins with this one.
"""

import argparse
import csv
import json
import pathlib
import sys
from collections.abc import Sequence

from hsjax import compress, config
from hsjax.config import ConfigDict, StageKind
from hsjax.experiment import train_stage
from hsjax.experiment.context import Context, Training
from hsjax.types import UserError

_FAILED = 2


def opened(run: pathlib.Path, stage: str) -> tuple[Context, Training]:
    """A run that is there, and the training of one of its stages under its first protocol, seed and fold.

    Args:
      run: a run's folder.
      stage: name of a train stage in it.

    Raises:
      UserError: there is no such run or stage, or it is not trained.
    """
    try:
        settings = ConfigDict(json.loads((run / "config.json").read_text()))
        config.validate(settings)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{run} is no folder of a run of this version: name one that hsjax.launch has made") from error
    stages = config.stages(settings, StageKind.TRAIN)
    if stage not in stages:
        raise UserError(f"{run} has no train stage {stage!r}; it has {', '.join(stages)}")
    context, protocol = Context(settings, run), settings.protocols[0]
    training = Training(protocol, settings.seeds[0], context.folds(protocol)[0], stage)
    if context.trained(training).record() is None:
        raise UserError(f"stage {stage!r} of {run} is not trained; run its command to the end")
    return context, training


def of_stage(run: pathlib.Path, stage: str, bits: int = 4) -> list[compress.Sensitivity]:
    """Of every kernel of a trained stage, the most sensitive one first.

    Args:
      run: a run's folder.
      stage: name of a float train stage in it.
      bits: that one kernel at a time has.

    Raises:
      UserError: see `opened`; or the stage is not a float one.
    """
    context, training = opened(run, stage)
    if context.stage(stage).quantise.weights:
        raise UserError(f"stage {stage!r} is quantised; name the float one that it begins with")
    variables, _ = train_stage.load(context, training)
    chosen = context.split(training.protocol, training.fold).validation
    inputs, label = context.inputs(training.protocol, training.fold).on_host(chosen), context.examples.label[chosen]
    return compress.sensitivities(context.network(stage), variables, inputs, label, bits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hsjax.experiment.sensitivity", description=__doc__)
    parser.add_argument("--run", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--stage", required=True, help="a float train stage of it")
    parser.add_argument(
        "--fraction", type=float, default=0.1, help="of all weights that may keep 8 bits (default: %(default)s)"
    )
    flags = parser.parse_args(arguments)
    if not 0 <= flags.fraction <= 1:
        parser.error("--fraction lies between 0 and 1")
    try:
        found = of_stage(flags.run, flags.stage)
        kept = compress.kept_wide(found, flags.fraction)
    except UserError as error:
        print(f"hsjax: {error}", file=sys.stderr)
        return _FAILED
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("kernel", "weights", "loss_increase_4_bits"))
    writer.writerows((one.path, one.weights, f"{one.increase:.6f}") for one in found)
    overrides = {path.rpartition("/")[0]: {"weights": 8} for path in kept}
    print(f"quantise = {{'weights': 4, 'overrides': {overrides}}}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
