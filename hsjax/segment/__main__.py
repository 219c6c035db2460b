"""`python -m hsjax.segment train` and `python -m hsjax.segment evaluate`: heart-sound segmentation and its scores."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from hsjax.data import load
from hsjax.dsp.segmentation import springer
from hsjax.segment import evaluate, train
from hsjax.types import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code; 2 is a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m hsjax.segment", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("train", help="fit it to the training part of PhysioNet 2016 and write its parameters")
    fit.add_argument("--output", type=pathlib.Path, required=True, help="JSON file to write")
    judge = commands.add_parser("evaluate", help="score it on the validation and test parts and on PASCAL's timings")
    judge.add_argument("--output", type=pathlib.Path, help="folder for the table (CSV) and the figures; default: none")
    judge.add_argument("--parameters", type=pathlib.Path, help="of `train`; default: the shipped ones")
    for each in (fit, judge):
        each.add_argument("--data", default="", help=f"folder of the distributions; default: {load.ROOT_VARIABLE}")
    flags = parser.parse_args(argv)
    try:
        root = load.root(flags.data)
        if flags.command == "train":
            springer.save_parameters(train.train(root), flags.output)
        else:
            print(evaluate.run(root, flags.output, flags.parameters))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
