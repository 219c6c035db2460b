"""`python -m hsjax.data list` and `python -m hsjax.data check NAME`: what is there, and what is wrong with it."""

import argparse
import sys
from collections.abc import Sequence

from hsjax.data import load, quarantine
from hsjax.types import UserError


def list_datasets(root: str) -> int:
    """Prints every dataset, whether it is below the root, how to cite it, and its licence and source."""
    print(f"{load.SYNTHETIC}: embedded, generated on the fly")
    try:
        folder = load.root(root)
    except UserError:
        folder = None  # nothing is missing yet: the list says which setting to make
    for name, reader in sorted(load.READERS.items()):
        if folder is None:
            state = f"not looked for, because neither --root nor {load.ROOT_VARIABLE} is set"
        else:
            state = f"{'present' if (folder / name).is_dir() else 'absent'}, {folder / name}"
        print(f"{name}: {state}")
        print(f"  citation: {reader.CITATION}\n  licence: {reader.LICENCE}\n  source: {reader.SOURCE}")
    return 0


def check(name: str, root: str) -> int:
    """Prints the quarantined files as CSV and a summary on standard error; 1 if there are any."""
    dataset = load.READERS[name].dataset(load.root(root))
    print(quarantine.table(dataset), end="")
    print(
        f"{name}: {len(dataset.recordings)} recordings usable, {len(dataset.quarantined)} files quarantined",
        file=sys.stderr,
    )
    return 1 if dataset.quarantined else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code; 2 is a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m hsjax.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    list_parser = commands.add_parser("list", help="datasets, and whether they are present")
    check_parser = commands.add_parser("check", help="decode every file and print the unusable ones as CSV")
    check_parser.add_argument("name", choices=sorted(load.READERS))
    for each in (list_parser, check_parser):
        each.add_argument("--root", default="", help=f"folder of the distributions; default: {load.ROOT_VARIABLE}")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "list":
            return list_datasets(arguments.root)
        return check(arguments.name, arguments.root)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
