"""Text files that are there whole or not at all, whichever processes write them at once."""

import contextlib
import pathlib
import uuid

from hsjax.types import UserError


def write(path: pathlib.Path, text: str) -> None:
    """Replaces a file, and makes its folder where that is missing.

    Args:
      path: of the file.
      text: names in a file system can hold bytes that are no text; they are written as escapes.

    Raises:
      UserError: the folder or the disk does not allow it; the file is as before.
    """
    # No two processes share this name, even where they have the same number in different containers.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): make room or choose another folder") from error
    finally:
        with contextlib.suppress(OSError):  # there is nothing to remove
            partial.unlink()
