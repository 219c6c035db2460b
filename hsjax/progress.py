"""Progress of long parts: a bar with the time left on a terminal, sparse lines where output is piped."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress
import rich.table

# When piped, one line at most every so many seconds.
_LINE_SECONDS = 30.0
# Characters that a terminal shows beside the description: the shortest bar, the amount, both times.
_BESIDE = 42


@contextlib.contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show `description` while the body runs; the body calls what it is given with the amount newly done.

    Args:
      description: what is going on, a few words.
      total: the amount that is all of it. Finishing early (early stopping) is fine.
    """
    if sys.stderr.isatty():
        console = rich.console.Console(stderr=True)
        # On a narrow terminal the bar gives way, and then the description.
        named = rich.table.Column(no_wrap=True, overflow="ellipsis", max_width=max(20, console.width - _BESIDE))
        whole = rich.table.Column(no_wrap=True)
        columns = (
            rich.progress.TextColumn("{task.description}", table_column=named),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.MofNCompleteColumn(table_column=whole.copy()),
            rich.progress.TimeElapsedColumn(table_column=whole.copy()),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(table_column=whole.copy()),
        )
        with rich.progress.Progress(*columns, console=console) as display:
            task = display.add_task(description, total=total)
            yield lambda amount: display.advance(task, amount)
            display.update(task, completed=total)
        return
    yield _lines(description, total)


def _lines(description: str, total: int) -> Callable[[int], None]:
    began = last = time.monotonic()
    done = before = 0

    def advance(amount: int) -> None:
        nonlocal began, done, last, before
        now = time.monotonic()
        if done == 0:
            # What comes first was done by an earlier run, or while compiling: it says nothing about the speed.
            began, before = now, amount
        done += amount
        if now - last >= _LINE_SECONDS and done < total:
            last = now
            left = (now - began) / max(done - before, 1) * (total - done)
            print(f"{description}: {done} of {total}, about {left:.0f} s left", file=sys.stderr, flush=True)

    return advance
