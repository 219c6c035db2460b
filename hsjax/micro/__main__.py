"""`python -m hsjax.micro MODEL --output DIR`: an exported int8 model as C code for a microcontroller."""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from hsjax.micro.generate import generate
from hsjax.types import UserError

_FAILED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, prints one JSON object and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.micro",
        description="Writes an exported int8 model as C code, with a front end in integers and in single precision.",
        epilog="One JSON object goes to standard output: the files, and the bytes of the model and of the arena that "
        f"TFLite Micro runs it in. The exit code is 0, or {_FAILED} where there is no code to be had, with the reason.",
    )
    parser.add_argument("model", type=pathlib.Path, help="int8 .tflite file with input features, in its folder")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--model-only", action="store_true", help="without the front end, where there is no C code for it"
    )
    flags = parser.parse_args(argv)
    try:
        summary = generate(flags.model, flags.output, flags.model_only)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return _FAILED
    print(json.dumps(dataclasses.asdict(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
