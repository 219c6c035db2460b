"""Sections of pictures: training curves, confusion matrices, ROC, examples."""

from collections.abc import Callable, Iterable

import numpy as np

from hsjax.evaluate import metrics
from hsjax.evaluate.rows import PREDICTED
from hsjax.report import figures, html, wording
from hsjax.report.cells import caption
from hsjax.report.exports import name_of
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import MODEL, File, Run
from hsjax.types import CurveRow, Predictions

_LOSS = "loss"


def training(run: Run) -> html.Section | None:
    """Losses and validation metrics over epochs, a picture a stage and protocol; None without curves."""
    pictures = []
    for protocol in run.protocols:
        for stage in run.stages:
            rows = [row for row in run.curves if (row.protocol, row.stage) == (protocol, stage)]
            losses = _curves((row for row in rows if row.metric == _LOSS), lambda row: row.split)
            scores = _curves((row for row in rows if row.metric != _LOSS), lambda row: wording.metric(row.metric))
            if rows:
                title = f"{stage}, protocol {protocol}"
                picture = figures.training(title, losses, scores, "validation metrics")
                pictures.append(html.figure(picture, caption(run, f"{title}{_best_epochs(run, protocol, stage)}")))
    if not pictures:
        return None
    words = html.paragraph("With several seeds, a line each. The epoch that is best on validation is kept.")
    return html.Section("training", "Training", [words, html.gallery(pictures)])


def _best_epochs(run: Run, protocol: str, stage: str) -> str:
    networks = [file for file in run.networks(protocol) if file.stage == stage]
    rows = [row for row in (run.find(file, MODEL, "best_epoch") for file in networks) if row is not None]
    return f"; best epoch {', '.join(f'{row.value:.0f}' for row in rows)}" if rows else ""


def _curves(rows: Iterable[CurveRow], name: Callable[[CurveRow], str]) -> list[figures.Curve]:
    lines: dict[tuple, list[CurveRow]] = {}
    for row in rows:
        lines.setdefault((row.split, row.metric, row.seed, row.fold), []).append(row)
    return [
        figures.Curve(
            name(line[0]), np.array([row.epoch for row in line], float), np.array([row.value for row in line])
        )
        for line in lines.values()
    ]


def confusions(run: Run) -> html.Section:
    """Confusion matrices of one seed, per protocol and unit; those of exported files folded away."""
    content: list[Content] = []
    for protocol in run.protocols:
        for unit in run.units(protocol):
            shown = [(file, _confusion(run, file, unit)) for file in run.of_first_seed(protocol)]
            networks, files = (
                [picture for file, picture in shown if picture is not None and file.exported is exported]
                for exported in (False, True)
            )
            content += [element("h3", f"Protocol {protocol}, per {unit}"), html.gallery(networks)]
            if files:
                content.append(html.details("Exported files", html.gallery(files)))
    words = html.paragraph(
        f"Counts, and the part of each true class; {wording.decided(run.positive)}.{_seed_note(run)}"
    )
    return html.Section("confusion", "Confusion matrices", [words, *content])


def _confusion(run: Run, file: File, unit: str) -> Markup | None:
    classes = run.classes
    cells = [run.find(file, unit, "confusion", f"{true}{PREDICTED}{other}") for true in classes for other in classes]
    values = [cell.value for cell in cells if cell is not None]
    if len(values) < len(cells):
        return None
    counts = np.array(values, np.int64).reshape(len(classes), len(classes))
    title = f"{file.stage}, {name_of(file)}, protocol {file.protocol}, per {unit}"
    return html.figure(figures.confusion(title, counts, classes), caption(run, f"{title}, n = {counts.sum():,}"))


def roc(run: Run) -> html.Section | None:
    """ROC of one seed: the networks per protocol and unit, and each exported network with its files."""
    if run.positive is None:
        return None
    pictures = []
    for protocol in run.protocols:
        for unit in run.units(protocol):
            files = run.of_first_seed(protocol)
            networks = [file for file in files if not file.exported]
            pictures.append(
                _roc(run, f"networks, protocol {protocol}, per {unit}", networks, unit, lambda file: file.stage)
            )
            for stage in run.stages:
                of_stage = [file for file in files if file.stage == stage and run.predicted(file, unit) is not None]
                if len(of_stage) > 1:
                    pictures.append(
                        _roc(run, f"{stage} and its files, protocol {protocol}, per {unit}", of_stage, unit, name_of)
                    )
    words = html.paragraph(f"Found positives over false alarms, for every threshold.{_seed_note(run)}")
    return html.Section("roc", "ROC", [words, html.gallery(pictures)])


def _roc(run: Run, title: str, files: list[File], unit: str, name: Callable[[File], str]) -> Markup:
    curves = []
    for file in files:
        predictions, area = run.predicted(file, unit), run.find(file, unit, "auroc")
        if predictions is not None and area is not None:
            legend = f"{name(file)}: {area.value:.3f} (n = {area.n})"
            curves.append(figures.Curve(legend, *_roc_points(predictions, run.positive)))
    return html.figure(figures.roc(title, curves), caption(run, f"{title}; AUROC and n in the legend"))


def _roc_points(predictions: Predictions, positive: str | None) -> tuple[np.ndarray, np.ndarray]:
    index = predictions.classes.index(positive)
    ranking = metrics.rank(predictions.probabilities[:, index], predictions.label == index)
    return metrics.roc_curve(metrics.count(ranking))


def _seed_note(run: Run) -> str:
    seeds = {row.seed for row in run.results if isinstance(row.seed, int)}
    return f" Of several seeds, seed {min(seeds)} is shown." if len(seeds) > 1 else ""


def examples(run: Run) -> html.Section | None:
    """Windows and what the network sees of them; None where the run kept none."""
    if not run.examples:
        return None
    pictures = [
        html.figure(
            figures.example(
                one.title, one.samples, one.sample_rate, one.spectrogram, one.max_hertz, one.features, one.hop_seconds
            ),
            caption(run, one.title),
        )
        for one in run.examples
    ]
    words = html.paragraph(
        "The sound, its spectrogram, and the normalised features that the network sees, on one time axis."
    )
    return html.Section("examples", "Examples", [words, html.gallery(pictures)])
