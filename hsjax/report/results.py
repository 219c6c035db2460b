"""Sections that show how good the models are."""

from hsjax.evaluate.bootstrap import MIN_GROUPS
from hsjax.report import html, wording
from hsjax.report.cells import NONE, amounts, caption, extents, rate, rates, size
from hsjax.report.cells import stage as name_cell
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import File, Run


def glance(run: Run) -> html.Section:
    """The one table to read: how good each model is under each protocol, and what it costs."""
    metric = run.headline_metric
    name = wording.metric(metric)
    header = ["stage", *(f"{name}, {protocol}" for protocol in run.protocols), "parameters", "multiply-adds"]
    rows: list[list[Content]] = []
    for stage in run.stages:
        networks = [file for file in run.files if file.stage == stage and not file.exported]
        leading = [run.leading(protocol, stage) for protocol in run.protocols]
        found = [rates(run, file, run.unit, [metric])[0] if file else NONE for file in leading]
        rows.append([name_cell(stage), *found, amounts(run, networks, "parameters"), amounts(run, networks, "macs")])
    words = (
        f"{name[0].upper()}{name[1:]} per {run.unit} of the test part, with its 95 % interval, or the standard "
        f"deviation over seeds where there are several; of several folds the mean. "
        f"{extents(run, [(protocol, run.unit) for protocol in run.protocols])}"
    )
    return html.Section("glance", "At a glance", html.table(caption(run, words), header, rows))


def everything(run: Run) -> html.Section:
    """Every metric of every model, per protocol and unit."""
    content: list[Content] = []
    for protocol in run.protocols:
        content.append(element("h3", f"Protocol {protocol}"))
        shown = run.summarised(protocol)
        single = [file for file in run.networks(protocol) if file not in shown]
        content += [_table(run, protocol, unit, shown) for unit in run.units(protocol)]
        if single:
            tables = [_table(run, protocol, unit, single) for unit in run.units(protocol)]
            content.append(html.details(f"Every seed of the members of {', '.join(run.sweeps)}", tables))
    if any(row.n_groups is not None and row.n_groups < MIN_GROUPS for row in run.results):
        content.append(html.paragraph(f"With fewer than {MIN_GROUPS} groups no interval is given."))
    return html.Section("results", "Results", content)


def _table(run: Run, protocol: str, unit: str, networks: list[File]) -> Markup:
    metrics = [name for name in wording.METRICS if any(run.find(file, unit, name) for file in networks)]
    thresholds = ["threshold"] if run.positive else []
    header = ["stage", "seed", "n (groups)", *(wording.metric(name) for name in metrics), *thresholds]
    rows: list[list[Content]] = []
    for file in networks:
        scored = run.find(file, unit, "accuracy")
        if scored is not None:
            found = [rate(run.find(file, unit, name, run.positive or "")) for name in thresholds]
            rows.append([name_cell(file.stage), str(file.seed), size(scored), *rates(run, file, unit, metrics), *found])
    decided = wording.decided(run.positive)
    words = f"Protocol {protocol}, per {unit} of the test part, {decided}; 95 % intervals below the figures."
    words = " ".join(filter(None, [words, run.warning(protocol)]))
    return html.table(caption(run, words), header, rows)
