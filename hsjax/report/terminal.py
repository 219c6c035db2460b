"""What a run says in the terminal: notes on the way and a closing table; plain text where output is piped."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table


def note(text: str) -> None:
    """One line."""
    rich.console.Console(highlight=False, soft_wrap=True).print(text, markup=False)


def table(lines: Sequence[tuple[str, ...]], title: str) -> None:
    """A table that fits 80 columns.

    Args:
      lines: header first.
      title: what it shows.
    """
    shown = rich.table.Table(title=title, box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(lines[0]):
        numeric = all(_is_number(line[index]) for line in lines[1:])
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for line in lines[1:]:
        shown.add_row(*line)
    rich.console.Console(highlight=False).print(shown)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdecimal() or text == "nan"
