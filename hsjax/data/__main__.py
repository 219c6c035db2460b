"""`python -m hsjax.data COMMAND`: what is there, how to get it, what is wrong with it, and what it leaks."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence

from hsjax.data import example_store, load, manifest, quarantine
from hsjax.types import UserError

Parser = argparse.ArgumentParser


def list_datasets(arguments: argparse.Namespace) -> int:
    """Prints every dataset, whether it is below the root, how to cite it, and its licence and source."""
    for name in (load.SYNTHETIC, load.SYNTHETIC_ECG):
        print(f"{name}: embedded, generated on the fly")
    try:
        folder = load.root(arguments.root)
    except UserError:
        folder = None  # nothing is missing yet: the list says which setting to make
    for name, reader in sorted(load.READERS.items()):
        if name == load.OWN:
            print(f"{name}: where config.data.own.path says")
            continue
        place = load.folder(name)
        if folder is None:
            state = f"not looked for, because neither --root nor {load.ROOT_VARIABLE} is set"
        else:
            state = f"{'present' if (folder / place).is_dir() else 'absent'}, {folder / place}"
        print(f"{name}: {state}")
        print(f"  citation: {reader.CITATION}\n  licence: {reader.LICENCE}\n  source: {reader.SOURCE}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Prints all files with which something is wrong as CSV and a summary on standard error; 1 if one is not used."""
    dataset = load.read(arguments.name, arguments.root, options=_options(arguments))
    print(quarantine.table(dataset), end="")
    counts = f"{len(dataset.recordings)} recordings usable"
    if dataset.unlabelled:
        counts += f", {len(dataset.unlabelled)} more without a label"
    print(
        f"{arguments.name}: {counts}, {len(dataset.noted)} of them noted, {len(dataset.quarantined)} files quarantined",
        file=sys.stderr,
    )
    return 1 if dataset.quarantined else 0


def download(arguments: argparse.Namespace) -> int:
    """Fetches a dataset from its official address."""
    from hsjax.data.download import download as fetch  # here, because no other command needs HTTP and archives

    print(fetch(arguments.name, load.root(arguments.root)))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Prints what readers say otherwise than a manifest does; 1 if anything."""
    problems = manifest.verify(arguments.manifest, load.root(arguments.root), None, load.READERS)
    for problem in problems:
        print(f"{problem.id},{problem.path},{problem.reason}")
    print(f"{len(problems)} rows of {arguments.manifest} do not agree with what is read", file=sys.stderr)
    return 1 if problems else 0


def audit(arguments: argparse.Namespace) -> int:
    """Prints near-duplicates, what splits leak, and what tells the label without listening."""
    from hsjax.data.audit import command  # here, because it brings SciPy along

    dataset = load.read(arguments.name, arguments.root, arguments.cache, _options(arguments))
    return command.run(
        dataset, arguments.cache, names=arguments.protocol, lists=arguments.lists, seed=arguments.seed,
        csv_path=arguments.csv,
    )  # fmt: skip


def cache(arguments: argparse.Namespace) -> int:
    """Lists what prepared examples a cache folder holds, or removes them."""
    found = (example_store.clear if arguments.clear else example_store.entries)(arguments.folder)
    for entry in found:
        about = ", ".join(f"{key} {value}" for key, value in entry.about.items()) or "damaged"
        print(f"{entry.key[:12]}: {entry.num_examples} examples, {entry.num_bytes / 1e6:.1f} MB; {about}")
    print(f"{len(found)} entries {'removed from' if arguments.clear else 'in'} {arguments.folder}", file=sys.stderr)
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    return {"path": arguments.path} if arguments.name == load.OWN else {}


def _parser() -> Parser:
    parser = Parser(prog="python -m hsjax.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], words: str, *, rooted: bool = True) -> Parser:
        made = commands.add_parser(name, help=words)
        made.set_defaults(run=run)
        if rooted:
            made.add_argument("--root", default="", help=f"folder of the distributions; default: {load.ROOT_VARIABLE}")
        return made

    add("list", list_datasets, "datasets, and whether they are present")
    named = [
        add("check", check, "decode every file and print those with which something is wrong as CSV"),
        add("audit", audit, "near-duplicates, what splits leak, and what tells the label without listening"),
    ]
    for each in named:
        each.add_argument("name", choices=sorted(load.READERS))
        each.add_argument("--path", default="", help="of own: a folder of class folders, or a CSV with file and label")
    audited = named[1]
    audited.add_argument("--cache", type=pathlib.Path, help="folder that keeps what takes long")
    audited.add_argument("--csv", type=pathlib.Path, help="also write all of it there")
    audited.add_argument("--seed", type=int, default=0, help="of random splits")
    audited.add_argument("--protocol", action="append", default=[], help="measure this one's leakage, too; repeatable")
    audited.add_argument(
        "--lists", nargs="+", action="append", default=[], metavar="FILE",
        help="measure the leakage of files of ids, too: that of the test part, then those of training; repeatable",
    )  # fmt: skip
    add("download", download, "fetch a dataset from its official address").add_argument("name")
    add("verify", verify, "hold a table of all files against what is read").add_argument("manifest", type=pathlib.Path)
    cached = add("cache", cache, "what a cache folder holds", rooted=False)
    cached.add_argument("folder", type=pathlib.Path)
    cached.add_argument("--clear", action="store_true", help="remove it")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code; 2 is a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except UserError as error:
        # Readers name the settings of a run; here they are arguments.
        words = str(error).replace("--config.data.own.path", "--path").replace("--config.data.root", "--root")
        print(words, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
