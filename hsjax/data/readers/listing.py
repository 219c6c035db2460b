"""Which files lie below a folder, without those that only look like recordings."""

import os
import pathlib
from collections.abc import Collection


def files(folder: pathlib.Path, suffixes: Collection[str], depth: int) -> tuple[pathlib.Path, ...]:
    """Files below a folder by their suffix, sorted by path.

    Left out is what other programs leave behind: hidden files, `._name.wav` of macOS among them, and all below hidden
    folders or `__MACOSX`. Links are followed, but no folder is visited twice, so that a link to a folder above ends.

    Args:
      folder: where to look; one that does not exist holds nothing.
      suffixes: wanted ones, lower case, with the dot; their case does not matter.
      depth: how many folders below `folder` are entered on the way to a file; 0 looks into `folder` alone.
    """
    found, visited = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        below = len(pathlib.Path(place).relative_to(folder).parts)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not _left_behind(name)) if below < depth else []
        for name in names:
            path = pathlib.Path(place, name)
            if path.suffix.lower() in suffixes and not _left_behind(name):
                found.append(path)
    return tuple(sorted(found))


def _left_behind(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
