"""Sections of pictures: confusion matrices, ROC, examples."""

from collections.abc import Callable

import numpy as np

from hsjax.evaluate import metrics
from hsjax.evaluate.rows import PREDICTED
from hsjax.report import figures, html, members, wording
from hsjax.report.cells import caption
from hsjax.report.exports import name_of
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import File, Run
from hsjax.types import Predictions

_MODELS = "Models"
# As many curves as a picture has colours.
_MOST_CURVES = len(figures.COLOURS)


def _kind(file: File) -> str:
    """What pictures of a model are shown under."""
    if file.exported:
        return "Exported files"
    return f"Members of {members.sweep_of(file.stage)}" if file.member else _MODELS


def confusions(run: Run) -> html.Section:
    """Confusion matrices of one seed, per protocol and unit; those of members and of exported files folded away."""
    content: list[Content] = []
    for protocol in run.protocols:
        for unit in run.units(protocol):
            shown = [(file, _confusion(run, file, unit)) for file in run.of_first_seed(protocol)]
            drawn: dict[str, list[Markup]] = {}
            for file, picture in shown:
                if picture is not None:
                    drawn.setdefault(_kind(file), []).append(picture)
            content.append(element("h3", f"Protocol {protocol}, per {unit}"))
            content.append(html.folded_gallery(_MODELS, drawn.pop(_MODELS, [])))
            content += [html.details(kind, html.gallery(of_kind)) for kind, of_kind in drawn.items()]
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
    title = f"{members.short(file.stage)}, {name_of(file)}, protocol {file.protocol}, per {unit}"
    return html.figure(figures.confusion(title, counts, classes), caption(run, f"{title}, n = {counts.sum():,}"))


def roc(run: Run) -> html.Section | None:
    """ROC of one seed: the models per protocol and unit, and each exported network with its files."""
    if run.positive is None:
        return None
    content: list[Content] = []
    for protocol in run.protocols:
        for unit in run.units(protocol):
            files = run.of_first_seed(protocol)
            by_kind: dict[str, list[File]] = {}
            for file in files:
                if not file.exported:
                    by_kind.setdefault(_kind(file), []).append(file)
            where = f"protocol {protocol}, per {unit}"
            plain = _rocs(run, f"models, {where}", by_kind.pop(_MODELS, []), unit)
            for stage in run.stages:
                of_stage = [file for file in files if file.stage == stage and run.predicted(file, unit) is not None]
                if len(of_stage) > 1:
                    plain.append(_roc(run, f"{members.short(stage)} and its files, {where}", of_stage, unit, name_of))
            content.append(html.gallery(plain))
            for kind, of_kind in by_kind.items():
                title = f"{kind}, {where}"
                content.append(html.details(title, html.gallery(_rocs(run, title, of_kind, unit))))
    words = html.paragraph(f"Found positives over false alarms, for every threshold.{_seed_note(run)}")
    return html.Section("roc", "ROC", [words, *content])


def _rocs(run: Run, title: str, files: list[File], unit: str) -> list[Markup]:
    """Models by stage, no more to a picture than can be told apart."""
    parts = [files[first : first + _MOST_CURVES] for first in range(0, len(files), _MOST_CURVES)]
    number = (f" ({place} of {len(parts)})" if len(parts) > 1 else "" for place in range(1, len(parts) + 1))
    return [
        _roc(run, title + of, part, unit, lambda file: members.short(file.stage))
        for of, part in zip(number, parts, strict=True)
    ]


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
