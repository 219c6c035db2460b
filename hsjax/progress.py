"""Progress of long parts: a bar with the time left on a terminal, sparse lines where output is piped."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress

# When piped, one line at most every so many seconds.
_LINE_SECONDS = 30.0


@contextlib.contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show `description` while the body runs; the body calls what it is given with the amount newly done.

    Args:
      description: what is going on, a few words.
      total: the amount that is all of it. Finishing early (early stopping) is fine.
    """
    if sys.stderr.isatty():
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
        )
        with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True)) as display:
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
