"""Sections that hold one stage against another."""

import numpy as np

from hsjax.evaluate import hypotheses
from hsjax.evaluate.inference import HOLM, P_VALUE, Z_TEST
from hsjax.evaluate.rows import ALL, DIFFERENCE
from hsjax.report import gains, html, members, wording
from hsjax.report.cells import NONE, caption, difference, extents, number, size, stage
from hsjax.report.html import Content, Markup
from hsjax.report.run import Run
from hsjax.types import ResultRow


def differences(run: Run) -> html.Section | None:
    """One stage minus another on the same examples, with paired intervals; None where the run compares none."""
    names = list(dict.fromkeys(row.stage for row in run.differences))
    if not names:
        return None
    content: list[Content] = [
        html.paragraph(
            "Both models are scored on the same drawn groups, so what makes an example hard for both cancels out. "
            "Bold: the interval leaves out zero. It speaks of who was recorded, not of the luck of a training run "
            "(more seeds show that), and is not corrected for the number of figures."
        )
    ]
    told = {f"{stage} - {baseline}" for baseline, stages in gains.families(run).items() for stage in stages}
    content += [_difference_table(run, name) for name in names if name not in told]
    if told:
        tables = [_difference_table(run, name) for name in names if name in told]
        content.append(html.details(f"Every figure of {len(told)} differences", tables))
    return html.Section("differences", "Differences between stages", content)


def significance(run: Run) -> html.Section | None:
    """P-values of the differences; None where the run tests none."""
    rows = [row for row in (*run.results, *run.folds) if row.metric.startswith(P_VALUE) and row.stage not in run.stages]
    if not rows:
        return None
    of_pairs = {_test(row): row for row in rows if row.metric.endswith(HOLM)}
    rows = [row for row in rows if not row.metric.endswith(HOLM)]
    rows = [row for row in rows if not np.isnan(row.value)]  # nothing to test: one class, or no second group
    papers = [row for row in rows if row.metric.startswith(Z_TEST)]
    rows = [row for row in rows if row not in papers]
    adjusted = [number(p) for p in hypotheses.holm([row.value for row in rows])] + [NONE] * len(papers)
    content: list[Content] = [
        html.paragraph(
            "Two-sided, on the test part. Holm's adjustment is for the pairs that one protocol, seed and fold "
            "compares, and for all the rows here. McNemar's test takes recordings for independent: with several of one "
            "person its p is too small; DeLong's variance is computed by group (Obuchowski 1997)."
        )
    ]
    if papers:
        content.append(
            html.paragraph(
                "The one-tailed z-test is a paper's own, printed to be held against its p and not adjusted. It takes "
                "segments of one recording for independent, and the two models for tested on different ones: its p "
                "is far too small."
            )
        )
    lines: list[list[Content]] = [
        [stage(row.stage), row.protocol, str(row.fold), str(row.seed), wording.metric(row.metric), number(row.value),
         _adjusted(of_pairs.get(_test(row))), holm, size(row)]
        for row, holm in zip([*rows, *papers], adjusted, strict=True)
    ]  # fmt: skip
    header = ["stages", "protocol", "fold", "seed", "test", "p", "p, Holm over pairs", "p, Holm over all", "n (groups)"]
    content.append(html.folded_table(f"{len(lines)} p-values", caption(run, "P-values."), header, lines))
    return html.Section("significance", "Tests of significance", content)


def _test(row: ResultRow) -> tuple:
    """Which test a p-value is of, adjusted or not."""
    return row.stage, row.protocol, row.fold, row.seed, row.metric.removesuffix(HOLM)


def _adjusted(row: ResultRow | None) -> Content:
    return NONE if row is None else number(row.value)


def _difference_table(run: Run, name: str) -> Markup:
    rows = [row for row in run.differences if row.stage == name]
    settings = [(protocol, unit) for protocol in run.protocols for unit in run.units(protocol)]
    by_figure = {(row.protocol, row.unit, row.metric): row for row in rows if not row.label}
    shown = [metric for metric in wording.METRICS if any(row.metric == DIFFERENCE + metric for row in rows)]
    seeds = "all seeds" if any(row.seed == ALL for row in rows) else f"seed {rows[0].seed}"
    return html.table(
        caption(
            run,
            f"{members.short(name)}: paired difference on the test part, {seeds}, with its 95 % interval. "
            f"{extents(run, settings)}",
        ),
        ["figure", *(f"{protocol}, per {unit}" for protocol, unit in settings)],
        [
            [wording.metric(metric), *(difference(by_figure.get((*one, DIFFERENCE + metric))) for one in settings)]
            for metric in shown
        ],
    )
