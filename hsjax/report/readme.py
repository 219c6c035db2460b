"""`python -m hsjax.report.readme`: the README's table of the papers' figures beside ours, made from committed tables.

configs/results/tables.toml says which rows of which table it shows; published figures come from configs/published.csv.
"""

import argparse
import pathlib
import sys
import tomllib
from collections.abc import Sequence
from typing import Any

from hsjax.evaluate.rows import MEAN, SPREAD
from hsjax.report import tables, wording
from hsjax.report.published import CLAIMED
from hsjax.types import ResultRow, UserError

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_HEADER = ("paper", "network", "metric", "published", "ours, paper's protocol", "ours, leakage-free", "n (groups)")
_NONE = "-"
_FAILED = 2


def table(root: pathlib.Path) -> str:
    """The table in Markdown, and below it a line for each paper.

    Args:
      root: of the checkout.

    Raises:
      UserError: a table is missing, or one of the rows that it should have.
    """
    results = root / "configs" / "results"
    listed = tomllib.loads((results / "tables.toml").read_text(encoding="utf-8"))["paper"]
    published = tables.read_results(root / "configs" / "published.csv")
    lines, notes = [_line(_HEADER), _line(["---"] * len(_HEADER))], []
    for paper in listed:
        lines += [_line(cells) for cells in _rows(paper, published, results)]
        command = f" `{paper['command']}`" if paper["command"] else ""
        notes.append(f"* {paper['title']}:{command} {paper['note']}".rstrip())
    return "\n".join([*lines, "", *notes])


def replaced(text: str, generated: str) -> str:
    """A text with what is between the two marks made anew.

    Raises:
      UserError: it does not have both of them.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"the README lacks {BEGIN} or, behind it, {END}: put both where the table belongs")
    return f"{before}{BEGIN}\n\n{generated}\n\n{END}{after}"


def _rows(paper: dict[str, Any], published: list[ResultRow], results: pathlib.Path) -> list[list[str]]:
    ours = tables.read_results(results / paper["paper"]) if paper["paper"] else []
    free = tables.read_results(results / paper["free"]) if paper["free"] else []
    made = []
    for stage in paper["stages"]:
        for metric in paper["metrics"]:
            theirs = [
                row for row in published
                if (str(row.seed), row.stage, row.unit, row.metric, row.split) ==
                (paper["source"], stage, paper["unit"], metric, "test")
            ]  # fmt: skip
            a, b = (
                _find(rows, protocol, stage, paper["unit"], metric)
                for rows, protocol in ((ours, paper["protocol"]), (free, paper["free_protocol"]))
            )
            sizes = [_size(row) for row, _ in (a, b) if row is not None]
            made.append(
                [paper["title"], stage, wording.metric(metric), _published(theirs[0]) if theirs else _NONE,
                 _cell(*a), _cell(*b), "; ".join(sizes) or _NONE]
            )  # fmt: skip
    return made


def _published(row: ResultRow) -> str:
    return f"claims > {row.value:.3f}" if row.variant == CLAIMED else f"{row.value:.3f}"


def _find(
    rows: list[ResultRow], protocol: str, stage: str, unit: str, metric: str
) -> tuple[ResultRow | None, ResultRow | None]:
    """A figure and its spread over seeds: the mean over seeds and folds where there are several."""
    found = [
        row for row in rows
        if (row.protocol, row.stage, row.unit, row.variant, row.split) == (protocol, stage, unit, "jax", "test")
    ]  # fmt: skip
    folds = {row.fold for row in found}
    found = [row for row in found if row.fold == (MEAN if MEAN in folds else min(folds, key=str))]
    seeds = {row.seed for row in found}
    if not seeds:
        return None, None
    seed = MEAN if MEAN in seeds else min(seeds, key=str)
    of_seed = {row.metric: row for row in found if row.seed == seed and not row.label}
    return of_seed.get(metric), of_seed.get(SPREAD + metric)


def _cell(row: ResultRow | None, spread: ResultRow | None) -> str:
    if row is None:
        return _NONE
    if spread is not None:
        return f"{row.value:.3f} ± {spread.value:.3f}"
    if row.low is None or row.high is None:
        return f"{row.value:.3f}"
    return f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"


def _size(row: ResultRow) -> str:
    groups = "" if row.n_groups is None else f" ({row.n_groups:,})"
    return _NONE if row.n is None else f"{row.n:,}{groups}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the table into the README of a checkout; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.report.readme", description="Makes the README's table of results anew."
    )
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(), help="of the checkout")
    root = parser.parse_args(argv).root
    path = root / "README.md"
    try:
        path.write_text(replaced(path.read_text(encoding="utf-8"), table(root)), encoding="utf-8")
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
