"""`python -m hsjax.launch --config=configs/kd.py[:variant] [--workdir=DIR] [--config.KEY=VALUE ...]`."""

import pathlib
import re
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from hsjax.types import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file below configs/, with :VARIANT where it has some.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; runs/NAME[-VARIANT] by default.")


def main(argv: list[str]) -> None:
    """Start, or go on with, the run that the flags describe."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is no flag; flags begin with --, for example --config=configs/kd.py")
    if not flags.FLAGS["config"].present:
        raise UserError("no --config is given; try --config=configs/kd.py")
    file, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if not pathlib.Path(file).is_file():
        raise UserError(f"there is no file {file}; run in a checkout of hsjax, where configs/ lies")
    name = "-".join(filter(None, (_CONFIG.value.name, variant)))
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # checkpointing tells of every file it writes
    from hsjax.experiment import run  # jax starts here: --help and mistaken flags are answered at once

    published = pathlib.Path(file).parent / "published.csv"
    workdir = pathlib.Path(_WORKDIR.value or f"runs/{name}")
    run.run(_CONFIG.value, workdir, published if published.exists() else None)


def parse(argv: list[str]) -> list[str]:
    """Flags, with the complaints of absl and ml_collections turned into one sentence."""
    try:
        return flags.FLAGS(argv)
    except AttributeError as error:  # ml_collections: an override names a key that is not there
        missing, *near = re.findall(r"^\W*(\w+)|Did you mean \W*(\w+)", str(error))
        override = next((arg for arg in argv if missing[0] in arg), "an override")
        hint = f"did you mean {near[0][1]}?" if near else "config.json in the folder of a run lists all keys"
        raise UserError(f"{override}: the config has no {missing[0]!r}; {hint}") from error
    except KeyError as error:  # likewise, inside of a section
        missing = re.search(r"\w+", str(error.args[0]))
        name = missing[0] if missing else str(error.args[0])
        override = next((arg for arg in argv if name in arg), "an override")
        raise UserError(
            f"{override}: the config has no {name!r}; config.json in a run's folder lists all keys"
        ) from error
    except (flags.Error, OSError, ValueError, TypeError) as error:
        raise UserError(" ".join(str(error).split())) from error


def start(argv: list[str]) -> None:
    """A UserError ends with its sentence and exit code 1; anything else is a bug and keeps its trace."""
    try:
        app.run(main, argv=argv, flags_parser=parse)
    except UserError as error:
        sys.exit(f"hsjax: {error}")
    except KeyboardInterrupt:
        sys.exit("hsjax: interrupted; the same command goes on where it stopped")
    except OSError as error:  # a full disk, a read-only folder, a file where a folder is wanted
        if error.errno is None:
            raise
        sys.exit(f"hsjax: {error}; what is finished is kept: make room or give another --workdir, and run it again")


if __name__ == "__main__":
    start(sys.argv)
