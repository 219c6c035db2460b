"""Yaseen et al. 2018: heart sounds at 8 kHz, about three cycles each, normal or one of four valve diseases.

Yaseen, Son & Kwon, Classification of heart sound signal using multiple features, Appl. Sci. 8(12):2344, 2018. Official
layout: one folder per class, `AS_New_3주기/New_AS_001.wav` (주기: cycles). Copies in circulation have renamed folders
(`AS_New_3`, `AS`, Korean letters decomposed or garbled) or nest them one level deeper; what stays is that a folder's
name begins with the class. Nothing says who was recorded, and many files are cuts of one recording.
"""

import pathlib
import re
import unicodedata

from hsjax.data.readers import listing
from hsjax.data.readers.assemble import Described, assemble
from hsjax.types import Dataset, UserError

NAME: str = "yaseen2018"
SOURCE: str = "https://github.com/yaseen21khan/Classification-of-Heart-Sound-Signal-Using-Multiple-Features-"
LICENCE: str = "none stated; the authors ask for a citation"
CITATION: str = "Yaseen, Son & Kwon 2018, Applied Sciences 8(12):2344"

CLASSES = ("AS", "MR", "MS", "MVP", "N")
"""Aortic stenosis, mitral regurgitation, mitral stenosis, mitral valve prolapse, normal."""

SAMPLE_RATE = 8000
"""Hz, of every file."""

_DEPTH = 3  # folders to enter: that of an unpacked archive, that of a class, and once more of the same name
_FOLDER = re.compile(rf"({'|'.join(CLASSES)}|normal)(?![a-z])", re.IGNORECASE)
_FILE = re.compile(rf"(?:new[ _-]*)?({'|'.join(CLASSES)})[ _-]*(\d{{1,6}})", re.IGNORECASE | re.ASCII)


def dataset(root: pathlib.Path, cache_dir: pathlib.Path | None = None) -> Dataset:
    """Reads the label of every file from its folder's name, which the file's own name must not contradict.

    Args:
      root: the folder that holds `yaseen2018/`.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_all`.

    Raises:
      UserError: the folder of the distribution, or one of its classes, is missing.
    """
    folder = root / NAME
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: set --config.data.root or HSJAX_DATA to the folder that holds {NAME}/, "
            f"which is to be had from {SOURCE}"
        )
    described = [_describe(path, folder) for path in listing.files(folder, {".wav"}, _DEPTH)]
    missing = [label for label in CLASSES if label not in {one.label for one in described}]
    if missing:
        raise UserError(
            f"{folder} has no recordings in a folder whose name begins with {', '.join(missing)}: "
            f"complete it from {SOURCE}"
        )
    return assemble(described, root, cache_dir, dataset=Dataset(NAME, CLASSES, None, False, ()))


def _describe(path: pathlib.Path, folder: pathlib.Path) -> Described:
    label = _folder_class(path.parent.relative_to(folder))
    name = _FILE.fullmatch(path.stem)
    fault = None
    if label is None:
        fault = f"no label: it lies in no folder whose name begins with {', '.join(CLASSES[:-1])} or {CLASSES[-1]}"
    elif name is not None and name[1].upper() != label:
        fault = f"contradictory labels: {label} by its folder, {name[1].upper()} by its name"
    if name is not None:
        identity = f"New_{name[1].upper()}_{int(name[2]):03d}"
    else:  # renamed: another class may hold the same name
        identity = f"{label or ''}/{unicodedata.normalize('NFC', path.stem)}"
    return Described(identity, path, label or "", fault=fault, sample_rate=SAMPLE_RATE)


def _folder_class(folders: pathlib.PurePath) -> str | None:
    """The class that the innermost folder with a class in its name stands for."""
    for name in reversed(folders.parts):
        if match := _FOLDER.match(name):
            return "N" if match[1].lower() == "normal" else match[1].upper()
    return None
