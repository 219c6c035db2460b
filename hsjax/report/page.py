"""The page that tells a run to someone who was not there."""

import json
import os
import pathlib

from hsjax.report import (
    architectures,
    calibration,
    classes,
    comparisons,
    compression,
    curves,
    data,
    errors,
    explanations,
    exports,
    gains,
    html,
    pictures,
    published,
    reading,
    results,
    run,
    sweeps,
    wording,
)
from hsjax.report.cells import caption
from hsjax.report.html import Content, element
from hsjax.report.style import CSS


def build(run_dir: pathlib.Path, published_csv: pathlib.Path | None) -> pathlib.Path:
    """Writes `report/index.html` of a run: one file that needs nothing else.

    Args:
      run_dir: the run's folder, with config.json and in report/ the three tables; there also, where the run made them,
        quarantine.csv (the fields of `run.Listed`), data.json, gate.json (a list of `run.Check`) and examples.npz (the
        fields of `run.Window`).
      published_csv: figures of papers to print beside ours, in the columns of results.csv; None prints none.

    Returns:
      Path of the page.

    Raises:
      UserError: a file is missing or damaged, or there is nothing to show.
    """
    shown = reading.load(run_dir, published_csv)
    path = run_dir / run.REPORT / "index.html"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(_page(shown), encoding="utf-8")
    os.replace(partial, path)
    return path


def _page(shown: run.Run) -> str:
    parts = [
        results.glance(shown),
        published.section(shown),
        published.differs(shown),
        data.recordings(shown),
        data.controls(shown),
        sweeps.section(shown),
        gains.section(shown),
        _terms(shown),
        results.everything(shown),
        classes.section(shown),
        data.folds(shown),
        comparisons.differences(shown),
        comparisons.significance(shown),
        calibration.section(shown),
        compression.section(shown),
        architectures.section(shown),
        exports.models(shown),
        exports.gate(shown),
        curves.section(shown),
        pictures.confusions(shown),
        pictures.roc(shown),
        errors.section(shown),
        explanations.section(shown),
        pictures.examples(shown),
        _quarantine(shown),
        _reproduce(shown),
    ]
    sections = [part for part in parts if part is not None]
    title = f"{shown.config['name']}: {shown.dataset}"
    header = element("header", [element("h1", title), html.paragraph(_lead(shown)), html.contents(sections)])
    main = element("main", [section.written() for section in sections])
    return html.document(title, CSS, [_banner(shown), header, main])


def _banner(shown: run.Run) -> Content:
    if not shown.synthetic:
        return ""
    words = (
        "Every figure on this page was made on generated sounds. It shows that the chain works, not how well it hears."
    )
    return element("p", [element("strong", "SYNTHETIC DATA"), words], class_="banner")


def _lead(shown: run.Run) -> str:
    seeds = sorted({row.seed for row in shown.results if isinstance(row.seed, int)})
    classes = ", ".join(shown.classes)
    detected = f" The class to detect is {shown.positive}." if shown.positive else ""
    counted = [f"{stage} ({len(names)} members)" for stage, names in shown.sweeps.items()]
    before = f" Pre-training, which learns no classes: {_listed(shown.pretraining)}." if shown.pretraining else ""
    return (
        f"Stages {_listed([*shown.plain_stages, *counted])} on the dataset {shown.dataset} (classes {classes}), under "
        f"{_plural('protocol', shown.protocols)}, {_plural('seed', [str(seed) for seed in seeds])}.{before}{detected}"
    )


def _plural(noun: str, names: list[str]) -> str:
    return f"{noun} {names[0]}" if len(names) == 1 else f"{noun}s {_listed(names)}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _terms(shown: run.Run) -> html.Section:
    known = {f"protocol {name}": wording.PROTOCOLS[name] for name in shown.protocols if name in wording.PROTOCOLS}
    entries = [[element("dt", term), element("dd", meaning)] for term, meaning in (known | wording.TERMS).items()]
    return html.Section("terms", "What the words mean", element("dl", entries))


def _quarantine(shown: run.Run) -> html.Section | None:
    if shown.findings is None:
        return None
    out = [one for one in shown.findings if not one.used]
    noted = [one for one in shown.findings if one.used]
    content: list[Content] = []
    if not out:
        content.append(html.paragraph("No file of the dataset had to be left out."))
    for listed, words in (
        (out, f"{len(out)} files of the dataset that no stage has used, and why."),
        (noted, f"{len(noted)} files that were used although something is wrong with them."),
    ):
        if listed:
            rows: list[list[Content]] = [[one.id, one.path, one.reason] for one in listed]
            content.append(html.folded_table(words, caption(shown, words), ["id", "file", "reason"], rows))
    return html.Section("quarantine", "Quarantine", content)


def _reproduce(shown: run.Run) -> html.Section:
    settings = json.dumps(shown.config, indent=2, sort_keys=True)
    return html.Section(
        "reproduce",
        "How to make this page again",
        [
            html.preformatted(shown.config["command"]),
            html.paragraph("The figures are in results.csv, predictions.csv and curves.csv beside this page."),
            html.details("Every setting of this run", html.preformatted(settings)),
        ],
    )
