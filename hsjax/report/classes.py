"""The section on single classes: how many of each are found, and how many that are called so are right."""

from hsjax.report import html, wording
from hsjax.report.cells import NONE, amount, caption, rate, stage
from hsjax.report.html import Content, Markup
from hsjax.report.run import Run


def section(run: Run) -> html.Section | None:
    """Sensitivity and precision of every class, per protocol and unit; None with a class to detect."""
    if run.positive is not None:
        return None
    tables = [_table(run, protocol, unit) for protocol in run.protocols for unit in run.units(protocol)]
    return html.Section("classes", "Classes", tables)


def _table(run: Run, protocol: str, unit: str) -> Markup:
    header = ["stage", "seed", *(f"{name}, {what}" for name in run.classes for what in ("sensitivity", "precision"))]
    networks = [file for file in run.summarised(protocol) if run.find(file, unit, "accuracy")]
    counts: list[Content] = ["n", ""]
    for name in run.classes:
        found = (run.find(file, unit, "support", name) for file in networks)
        counts += [next((amount(row.value) for row in found if row is not None), NONE), ""]
    rows: list[list[Content]] = [counts]
    for file in networks:
        found = (run.find(file, unit, metric, name) for name in run.classes for metric in ("recall", "precision"))
        rows.append([stage(file.stage), str(file.seed), *map(rate, found)])
    words = (
        f"Protocol {protocol}, per {unit} of the test part, {wording.decided(run.positive)}: of each class the part "
        "that is found (sensitivity), and of what is called so the part that is right (precision); n as the data have "
        "it, 95 % intervals below the figures."
    )
    return html.table(caption(run, words), header, rows)
