"""`python -m hsjax.bench MODEL...`: what exported files cost, as a table to read or a JSON object a file."""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

from hsjax import runtime
from hsjax.bench import output
from hsjax.bench.profile import profile
from hsjax.runtime import asking
from hsjax.types import UserError

_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what each model costs and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.bench",
        description="Measures exported models in fresh processes and counts their multiply-accumulates. Times are "
        "those of this machine alone.",
        epilog="A terminal gets tables. Else one JSON object a model goes to standard output: model, bytes, "
        "zipped_bytes, processor, kernels; of the first batch and number of threads batch, batching, threads, runs, "
        "median, 5th and 95th percentile of the time of one run in microseconds, peak memory of the process and what "
        "the model adds to it in bytes; measurements: the same for each batch and number of threads; macs of one "
        "example, layers: those of each operator, not_counted; arena of TFLite Micro, no_arena: why there is none; "
        "tiers: which kinds of devices it fits, why not, and where their numbers are from. Or model and error. "
        "batching is whole (the file takes the batch), resized (a file for one example was resized, with equal "
        "results) or repeated (as many runs one after another). The exit code is 1 if a model could not be measured.",
    )
    parser.add_argument("models", type=pathlib.Path, nargs="+", metavar="model", help=".tflite or .onnx file")
    parser.add_argument(
        "--batches", type=_numbers, default=(1, 8, 16), help="examples in one run, such as 1,8,16 (the default)"
    )
    parser.add_argument(
        "--threads", type=_numbers, default=(1,), help="threads the runtime may use, such as 1,2 (default: 1)"
    )
    parser.add_argument("--repeats", type=int, default=500, help="timed runs (default: %(default)s)")
    parser.add_argument(
        "--kernels",
        choices=[kernels.value for kernels in runtime.Kernels],
        default=runtime.Kernels.VECTOR.value,
        help="of LiteRT: vector (without Intel's AMX, which slows small int8 models down), auto (LiteRT's own choice) "
        "or reference (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", default=asking.SECONDS,
        help="that each measurement of a model may take, all its runs together (default: %(default)g)",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--table", action="store_true", help="tables, even where standard output is no terminal")
    form.add_argument("--json", action="store_true", help="JSON, even on a terminal")
    flags = parser.parse_args(arguments)
    if flags.repeats < 1:
        parser.error("--repeats has to be at least 1")
    if not 0 < flags.timeout <= asking.MAX_SECONDS:
        parser.error(f"--timeout has to be above 0 and at most {asking.MAX_SECONDS:g} seconds")
    tables = flags.table or (sys.stdout.isatty() and not flags.json)
    failed = False
    for model in flags.models:
        try:
            kernels = runtime.Kernels(flags.kernels)
            found = profile(model, flags.batches, flags.threads, flags.repeats, kernels, flags.timeout)
        except UserError as error:
            failed = True
            shown = str(error) if tables else json.dumps({"model": str(model), "error": str(error)})
            print(shown, file=sys.stderr if tables else sys.stdout, flush=True)
        else:
            print(output.table(found) if tables else json.dumps(output.record(found)), flush=True)
    return _FAILED if failed else 0


def _numbers(words: str) -> tuple[int, ...]:
    """Of `1,8,16`."""
    numbers = words.split(",")
    if not all(number.isdecimal() and 0 < int(number) < 10**4 for number in numbers):
        raise argparse.ArgumentTypeError(f"give whole numbers of at least 1, such as 1,8, not {words!r}")
    return tuple(map(int, numbers))


if __name__ == "__main__":
    sys.exit(main())
