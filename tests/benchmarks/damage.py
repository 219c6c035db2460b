"""Damage to the files of a run that was killed, and what the run must say of it."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import numpy as np


def parts(workdir: pathlib.Path) -> Iterator[tuple[pathlib.Path, bool]]:
    """The folders of stages that were begun, and whether each is finished."""
    for path in sorted((workdir / "stages").rglob("settings.json")):
        yield path.parent, (path.parent / "done.json").exists()


@dataclasses.dataclass
class Expected:
    """What the run must say of a damaged file before it ends.

    Attributes:
      pattern: of the sentence.
      refused: whether it says so and stops, rather than going on.
    """

    pattern: str
    refused: bool


def damage(rng: np.random.Generator, workdir: pathlib.Path) -> Expected | str:
    """Flip a bit or cut off the end of one file of checkpoints or variables, most often one that is needed.

    Returns:
      What must be said; why nothing must, where nothing depends on the file, or "" where there is no file.
    """
    needed: list[tuple[pathlib.Path, Expected | str]] = []
    others: list[tuple[pathlib.Path, Expected | str]] = []
    for part, finished in parts(workdir):
        for variables in part.rglob("variables*"):
            for file in [variables] if variables.is_file() else variables.rglob("*"):
                told = rf"{re.escape(str(file))}.*delete {re.escape(str(part))} to make it anew"
                chosen = needed if finished else others
                chosen.append((file, Expected(told, refused=True) if finished else "written anew"))
        for folder in part.rglob("checkpoints"):
            sealed = sorted(int(path.stem) for path in folder.glob("*.sha256"))
            for file in folder.rglob("*"):
                name = file.relative_to(folder).as_posix()
                if not finished and sealed and re.split(r"[/.]", name)[0] == str(sealed[-1]):
                    # Two of its files may be damaged by then; the first is named.
                    told = rf"epoch {sealed[-1]} in {re.escape(str(folder))} is damaged: {sealed[-1]}[./]"
                    needed.append((file, Expected(told, refused=False)))
                else:
                    others.append((file, "not used" if finished or not sealed else "older or interrupted"))
    chosen = needed if needed and rng.random() < 0.75 else [*needed, *others]
    chosen = [(file, told) for file, told in chosen if file.is_file() and file.stat().st_size]
    if not chosen:
        return ""
    file, told = chosen[rng.integers(len(chosen))]
    content = bytearray(file.read_bytes())
    if rng.random() < 0.5:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    else:
        del content[rng.integers(len(content)) :]
    file.write_bytes(content)
    return told
