"""Names in archives and lists that come from outside: which are taken, and how they are spelled.

A name is refused where any file system would read it as a path to somewhere else, or as another member's name.
"""

import re
import unicodedata

_DROPPED = re.compile(r"(^|/)(__MACOSX(/|$)|\.DS_Store$|\._[^/]*$|Thumbs\.db$|desktop\.ini$)")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 1000


class UnsafeNameError(Exception):
    """A name that must not become a file; the message says why, without the name."""


def safe(name: str) -> str:
    """The name as a relative POSIX path in Unicode NFC, directories without their final slash.

    Raises:
      UnsafeNameError: it is absolute, climbs, names a drive or stream, or has characters that no file name should.
    """
    name = unicodedata.normalize("NFC", name)
    if "\\" in name:
        raise UnsafeNameError("it has a backslash")
    if ":" in name:
        raise UnsafeNameError("it has a colon, which names a drive or a stream")
    if name.startswith("/"):
        raise UnsafeNameError("it is absolute")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise UnsafeNameError("it has control characters")
    while name.startswith("./"):
        name = name[2:]
    parts = name.rstrip("/").split("/")
    if any(part == ".." for part in parts):
        raise UnsafeNameError("it climbs out of the folder with '..'")
    if any(not part or part != part.rstrip(". ") for part in parts):
        raise UnsafeNameError("a part of it is empty, or ends in a dot or a space")
    if any(_RESERVED.fullmatch(part) for part in parts):
        raise UnsafeNameError("a part of it is reserved for a device")
    if len(name.encode()) > _LONGEST or any(len(part.encode()) > 255 for part in parts):
        raise UnsafeNameError("it is too long")
    return "/".join(parts)


def dropped(name: str) -> bool:
    """Whether this is litter of an operating system, such as `__MACOSX/` and `.DS_Store`."""
    return _DROPPED.search(name) is not None


def decode_zip(raw: bytes, utf8: bool) -> str:
    """The text of a name in a zip.

    Args:
      raw: its bytes.
      utf8: the flag that says that they are UTF-8. Without it the standard means code page 437; what is really there is
        UTF-8 (macOS) or the code page of the archiver's Windows, CP949 (EUC-KR) for Korean names.

    Raises:
      UnsafeNameError: the bytes are neither.
    """
    for encoding in ("utf-8",) if utf8 else ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnsafeNameError("it is neither UTF-8 nor CP949")


class Taken:
    """The names given out so far: two that some file system holds to be one are a collision."""

    def __init__(self) -> None:
        self._spelled: dict[str, tuple[str, bool]] = {}
        self._files: set[str] = set()

    def add(self, name: str, is_folder: bool = False) -> None:
        """Takes a safe name, and its folders.

        Raises:
          UnsafeNameError: another name is the same but for case or Unicode form, or is a folder where this is a file.
        """
        parts = name.split("/")
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            folder = is_folder or count < len(parts)
            before = self._spelled.setdefault(_folded(path), (path, folder))
            if before != (path, folder):
                raise UnsafeNameError(f"it collides with {before[0]}")
            if not folder:
                if path in self._files:
                    raise UnsafeNameError("it is there twice")
                self._files.add(path)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
