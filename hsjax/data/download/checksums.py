"""SHA-256 of files, and lists of them as `sha256sum` writes them."""

import hashlib
import pathlib
import posixpath
import re
import urllib.parse

from hsjax.data.download import names
from hsjax.types import UserError

_LINE = re.compile(r"\\?([0-9a-fA-F]{64})[ \t]+\*?(.+)")


def of_file(path: pathlib.Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse(text: str, source: str) -> dict[str, str]:
    """SHA-256 by path, of a list with one line `sha256 path` per file (one or two spaces, as PhysioNet and sha256sum).

    Args:
      text: the list.
      source: where it comes from, for the message.

    Raises:
      UserError: it is no such list, names a file twice, or has a path that leads elsewhere.
    """
    listed: dict[str, str] = {}
    taken = names.Taken()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UserError(
                f"line {number} of {source} is not a SHA-256 and a path: repeat the command to fetch it again"
            )
        try:
            path = names.safe(match[2])
            taken.add(path)
        except names.UnsafeNameError as error:
            raise UserError(
                f"line {number} of {source} names {match[2]!r}, which is refused because {error}: report it"
            ) from None
        listed[path] = match[1].lower()
    return listed


def file_name(address: str) -> str:
    """The last part of an address's path, unquoted."""
    return posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(address).path))


def of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
