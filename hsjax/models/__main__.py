"""`python -m hsjax.models COMMAND`: which networks there are, what one is made of, and weights from elsewhere."""

import argparse
import ast
import csv
import dataclasses
import enum
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import rich.box
import rich.console
import rich.table

from hsjax.models import MODELS, build, parameter_count
from hsjax.models.pretrained import convert, register
from hsjax.models.summary import LayerRow, peak_activations, summary
from hsjax.types import UserError

_SIMPLE = (bool, int, float, str, enum.Enum)

Cells = Sequence[Sequence[str]]


def list_networks(arguments: argparse.Namespace) -> int:
    """Prints every network with its parameters at one input, and the options it can be built with."""
    inputs = _inputs(arguments.input)
    cells = [("network", "parameters", "options")]
    for name in sorted(MODELS):
        options = " ".join(f"{option}={_written(value)}" for option, value in _options(name).items())
        try:
            network = build(name, num_classes=arguments.classes)
            count = f"{parameter_count(jax.eval_shape(network.init, jax.random.key(0), inputs)):,}"
        except UserError:
            count = "other input"  # it is too small, or the network reads samples
        cells.append((name, count, options))
    _print(cells, arguments.csv, right=(1,))
    if not arguments.csv:
        print(f"for {arguments.classes} classes and an input of {arguments.input}; 'other input': give --input another")
    return 0


def summarise(arguments: argparse.Namespace) -> int:
    """Prints a network's layers."""
    inputs = _inputs(arguments.input)
    options = dict(_option(arguments.name, words) for words in arguments.option)
    try:
        network = build(arguments.name, num_classes=arguments.classes, **options)
        rows, peak = summary(network, inputs, arguments.depth), peak_activations(network, inputs)
    # What layers raise where an option or a number of channels makes no sense; the trace through Linen says no more.
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{arguments.name} cannot be built so, change the options or the input: {reason}") from error
    cells = [("layer", "type", "output", "parameters", "MACs"), *map(_cells, rows)]
    if arguments.csv:
        cells = [("layer", "type", "output", "parameters", "statistics", "macs")]
        cells += [
            (row.path, row.type, _by(row.shape), str(row.parameters), str(row.statistics), str(row.macs))
            for row in rows
        ]
    _print(cells, arguments.csv, right=(3, 4))
    if not arguments.csv:
        print(_totals(arguments, rows, peak))
    return 0


def list_weights(arguments: argparse.Namespace) -> int:
    """Prints the ImageNet weights that can be loaded, and where they are."""
    del arguments
    for entry in register.read():
        head = f"{entry.classes} classes" if entry.classes else "without head"
        print(f"{entry.network}: {entry.library.value}, {head}\n  {entry.address}\n  licence: {entry.licence}")
    return 0


def convert_files(arguments: argparse.Namespace) -> int:
    """Converts .pth files, each to a .safetensors beside it."""
    for path in arguments.files:
        print(convert.convert(path))
    return 0


def _cells(row: LayerRow) -> tuple[str, ...]:
    numbers = (f"{number:,}" if number else "" for number in (row.parameters, row.macs))
    return (row.path or "(network)", row.type, _by(row.shape), *numbers)


def _totals(arguments: argparse.Namespace, rows: Sequence[LayerRow], peak: int) -> str:
    parameters, statistics, macs = (
        sum(getattr(row, name) for row in rows) for name in ("parameters", "statistics", "macs")
    )
    return (
        f"{arguments.name}, {arguments.classes} classes, input {arguments.input}\n"
        f"  parameters            {parameters:,} trained, {statistics:,} running statistics\n"
        f"  multiply-accumulates  {macs:,}\n"
        f"  activations, at most  {4 * peak:,} bytes in float32, {peak:,} in int8 (estimates)"
    )


def _inputs(words: str) -> jax.ShapeDtypeStruct:
    """Of `13x101` (coefficients and frames) or `13x101x3` (and channels)."""
    sizes = words.lower().split("x")
    if len(sizes) not in (2, 3) or not all(size.isdecimal() and 0 < int(size) < 10**6 for size in sizes):
        raise UserError(f"--input is COEFFICIENTSxFRAMES, such as 13x101, or with x CHANNELS after it, not {words!r}")
    return jax.ShapeDtypeStruct((1, *map(int, sizes)), jnp.float32)


def _options(name: str) -> dict[str, Any]:
    """The options of a network that have simple values, with their defaults."""
    make: Any = MODELS[name]
    given: Mapping[str, Any] = make.keywords if isinstance(make, functools.partial) else {}
    module: Any = make.func if isinstance(make, functools.partial) else make
    fields = {field.name: given.get(field.name, field.default) for field in dataclasses.fields(module) if field.init}
    return {
        option: value
        for option, value in fields.items()
        if option not in ("num_classes", "execution", "parent", "name") and _simple(value)
    }


def _simple(value: Any) -> bool:
    if isinstance(value, tuple):
        return type(value) is tuple and all(isinstance(item, _SIMPLE) for item in value)
    return isinstance(value, _SIMPLE)


def _option(name: str, words: str) -> tuple[str, Any]:
    """Of `channels=1`; the default's type says how the value is read.

    Raises:
      UserError: no such network or option, or a value of another type.
    """
    option, equals, text = words.partition("=")
    if not equals:
        raise UserError(f"--option is NAME=VALUE, such as channels=1, not {words!r}")
    if name not in MODELS:
        raise UserError(f"no network is called {name!r}; there are {', '.join(sorted(MODELS))}")
    known = _options(name)
    if option not in known:
        raise UserError(f"{name} has no option {option!r} to set here; it has {', '.join(known) or 'none'}")
    default = known[option]
    if isinstance(default, enum.Enum):
        choices = {member.value: member for member in type(default)}
        if text not in choices:
            raise UserError(f"{option} is one of {', '.join(map(str, choices))}, not {text!r}")
        return option, choices[text]
    if isinstance(default, str):
        return option, text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise UserError(f"{option} is of type {type(default).__name__}, such as {_written(default)}, not {text!r}")
    return option, value


def _written(value: Any) -> str:
    """As `--option` takes it."""
    return str(value.value) if isinstance(value, enum.Enum) else str(value).replace(" ", "")


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _print(cells: Cells, as_csv: bool, right: Sequence[int]) -> None:
    """As CSV; on a terminal as a table that fits it; piped, as columns with nothing folded."""
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(cells)
    elif sys.stdout.isatty():
        shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for column, title in enumerate(cells[0]):
            shown.add_column(title, justify="right" if column in right else "left", overflow="fold")
        for line in cells[1:]:
            shown.add_row(*line)
        rich.console.Console(highlight=False, markup=False).print(shown)
    else:
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            padded = (
                text.rjust(width) if column in right else text.ljust(width)
                for column, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            print("  ".join(padded).rstrip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hsjax.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words)
        made.set_defaults(run=run)
        return made

    listed = add("list", list_networks, "networks, their parameters and their options")
    summarised = add("summary", summarise, "the layers of a network: outputs, parameters, multiply-accumulates")
    summarised.add_argument("name")
    for each in (listed, summarised):
        each.add_argument("--input", default="13x101", help="coefficients x frames [x channels]; default: 13x101")
        each.add_argument("--classes", type=_positive, default=2, help="default: 2")
        each.add_argument("--csv", action="store_true", help="as CSV")
    summarised.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    summarised.add_argument("--depth", type=_positive, help="sum up what lies deeper, such as the layers of a block")
    add("weights", list_weights, "ImageNet weights that can be loaded, and where they are")
    converted = add("convert", convert_files, "PyTorch's .pth files to safetensors; needs torch and safetensors")
    converted.add_argument("files", nargs="+", type=pathlib.Path)
    return parser


def _positive(words: str) -> int:
    if not words.isdecimal() or not 0 < int(words) < 10**6:
        raise argparse.ArgumentTypeError(f"give a whole number of at least 1, not {words!r}")
    return int(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code; 2 is a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
