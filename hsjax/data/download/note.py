"""What is known of a file that is not complete: kept beside it, so that a later process can go on."""

import dataclasses
import json
import os
import pathlib


@dataclasses.dataclass
class Note:
    """Of which file the bytes are.

    Attributes:
      address: where they came from.
      validator: what the server can be asked with whether it still has the same file; empty if it said nothing.
      total: length of the whole, None if the server did not say.
    """

    address: str
    validator: str = ""
    total: int | None = None

    def write(self, path: pathlib.Path) -> None:
        """Puts it at `path`, all at once."""
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: pathlib.Path, address: str) -> "Note | None":
        """The one at `path`; None if there is none, it is damaged, or of another address."""
        try:
            state = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        known = isinstance(state.validator, str) and isinstance(state.total, int | None)
        return state if known and state.address == address else None
