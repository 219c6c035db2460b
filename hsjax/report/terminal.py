"""What a run says in the terminal: notes on the way and a closing table; plain text where output is piped."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

_UNBOUNDED = 10_000


def note(text: str) -> None:
    """One line."""
    rich.console.Console(highlight=False, soft_wrap=True).print(text, markup=False)


def table(lines: Sequence[tuple[str, ...]], title: str) -> None:
    """A table as wide as the terminal; where output is piped, every row is one line, however long.

    Args:
      lines: header first; where they do not fit, what is in the first column is broken, and nothing else.
      title: what it shows.
    """
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    for index, name in enumerate(lines[0]):
        numeric = all(_is_number(line[index]) for line in lines[1:])
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=index > 0)
    for line in lines[1:]:
        shown.add_row(*line)
    console = rich.console.Console(highlight=False)
    if not console.is_terminal:
        unbounded = console.options.update(max_width=_UNBOUNDED)
        console.width = max(console.width, console.measure(shown, options=unbounded).maximum)
    note(f"\n{title}")
    console.print(shown)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdecimal() or text == "nan"
