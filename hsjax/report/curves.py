"""The section on training: losses and validation metrics over epochs."""

from collections.abc import Callable, Iterable

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hsjax.report import figures, html, members, wording
from hsjax.report.cells import caption
from hsjax.report.html import Content, Markup
from hsjax.report.run import MODEL, Run
from hsjax.types import CurveRow

_LOSS = "loss"
_TRAIN, _VALIDATION = "train", "validation"
# Shades of the members of a sweep: from dark to light, but still seen on white.
_SHADES, _LIGHTEST = "viridis", 0.9


def section(run: Run) -> html.Section | None:
    """A picture a stage and protocol, one for all members of a sweep, and the terms of losses folded away.

    None without curves.
    """
    content: list[Content] = []
    for protocol in run.protocols:
        by_stage: dict[str, list[CurveRow]] = {}
        for row in run.curves:
            if row.protocol == protocol:
                by_stage.setdefault(row.stage, []).append(row)
        alone = [stage for stage in (*run.plain_stages, *run.pretraining) if stage in by_stage]
        content.append(
            html.folded_gallery(
                f"Curves of {len(alone)} stages, protocol {protocol}",
                [_of_stage(run, protocol, stage, by_stage[stage]) for stage in alone],
            )
        )
        sweeps = {stage: [name for name in names if name in by_stage] for stage, names in run.sweeps.items()}
        content.append(
            html.gallery([_of_sweep(run, protocol, stage, by_stage, names) for stage, names in sweeps.items() if names])
        )
        terms = [_terms(run, protocol, stage, by_stage[stage]) for stage in alone]
        drawn = [picture for picture in terms if picture is not None]
        if drawn:
            content.append(html.details(f"Terms of the training loss, protocol {protocol}", html.gallery(drawn)))
    if not any(content):
        return None
    words = html.paragraph(
        "With several seeds, a line each. Of a stage that is scored, the epoch that is best on validation is kept, "
        "unless its settings say otherwise."
    )
    return html.Section("training", "Training", [words, *content])


def _of_stage(run: Run, protocol: str, stage: str, rows: list[CurveRow]) -> Markup:
    title = f"{stage}, protocol {protocol}"
    losses = _curves((row for row in rows if row.metric == _LOSS), lambda row: row.split)
    scored = (row for row in rows if row.split == _VALIDATION and row.metric != _LOSS)
    scores = _curves(scored, lambda row: wording.metric(row.metric))
    remark = "; pre-training, no classes are learnt" if stage in run.pretraining else _best_epochs(run, protocol, stage)
    return html.figure(figures.training(title, losses, scores, "validation metrics"), caption(run, title + remark))


def _best_epochs(run: Run, protocol: str, stage: str) -> str:
    networks = [file for file in run.networks(protocol) if file.stage == stage]
    rows = [row for row in (run.find(file, MODEL, "best_epoch") for file in networks) if row is not None]
    return f"; best epoch {', '.join(f'{row.value:g}' for row in rows)}" if rows else ""


def _of_sweep(run: Run, protocol: str, stage: str, by_stage: dict[str, list[CurveRow]], names: list[str]) -> Markup:
    """Validation loss and the first validation metric of every member."""
    rows = [row for name in names for row in by_stage[name] if row.split == _VALIDATION]
    measured = list(dict.fromkeys(row.metric for row in rows if row.metric != _LOSS))
    metric = run.headline_metric if run.headline_metric in measured else next(iter(measured), None)
    losses, scores = (
        _curves((row for row in rows if row.metric == one), lambda row: members.point(members.constants(row.stage)))
        for one in (_LOSS, metric)
    )
    score_name = "" if metric is None else wording.metric(metric)
    title = f"{stage}, {len(names)} members, protocol {protocol}"
    return html.figure(of_members(title, losses, scores, score_name), caption(run, f"{title}, on validation"))


def _terms(run: Run, protocol: str, stage: str, rows: list[CurveRow]) -> Markup | None:
    """Terms of the training loss before they are weighed; None where there is but one."""
    rows = [row for row in rows if row.split == _TRAIN and row.metric != _LOSS]
    if len({row.metric for row in rows}) < 2:
        return None
    title = f"{stage}, protocol {protocol}"
    picture = of_terms(title, _curves(rows, lambda row: row.metric.replace("_", " ")))
    return html.figure(picture, caption(run, f"{title}: terms of the training loss, before they are weighed"))


def _curves(rows: Iterable[CurveRow], name: Callable[[CurveRow], str]) -> list[figures.Curve]:
    lines: dict[tuple, list[CurveRow]] = {}
    for row in rows:
        lines.setdefault((row.stage, row.split, row.metric, row.seed, row.fold), []).append(row)
    return [
        figures.Curve(
            name(line[0]), np.array([row.epoch for row in line], float), np.array([row.value for row in line])
        )
        for line in lines.values()
    ]


def of_members(
    title: str, losses: list[figures.Curve], scores: list[figures.Curve], score_name: str
) -> figures.Picture:
    """Validation loss above, a validation metric below, a colour a member.

    Args:
      title: of the sweep, for the alternative text.
      losses: named by member; one a seed and fold.
      scores: of the metric, likewise.
      score_name: of the metric.
    """
    names = list(dict.fromkeys(curve.name for curve in losses or scores))
    shades = matplotlib.colormaps[_SHADES](np.linspace(0, _LIGHTEST, len(names)))
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure((figures.WIDTH, 3.8 + 0.16 * -(-len(names) // 2)), layout="constrained")
        axes = figure.subplots(2, 1, sharex=True)
        for each, drawn, name in zip(axes, (losses, scores), ("validation loss", score_name), strict=True):
            for curve in drawn:
                marker = "." if len(curve.x) == 1 else None
                each.plot(curve.x, curve.y, color=shades[names.index(curve.name)], linewidth=1.0, marker=marker)
            each.set(ylabel=name)
        axes[1].set(xlabel="epoch")
        handles = [axes[0].plot([], [], color=shade, label=name)[0] for shade, name in zip(shades, names, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        said = (f"{curve.name} ends at {curve.y[-1]:.3g}" for curve in scores or losses)
        return figures.svg(figure, f"Training curves of {title}, {score_name or 'loss'}: " + "; ".join(said) + ".")


def of_terms(title: str, terms: list[figures.Curve]) -> figures.Picture:
    """Terms of a loss over epochs; their scale is logarithmic, because they differ by orders.

    Args:
      title: of the stage, for the alternative text.
      terms: one line each and seed.
    """
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure((figures.WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        figures.lines(axes, terms)
        if all((curve.y > 0).all() for curve in terms):
            axes.set(yscale="log")
        axes.set(xlabel="epoch", ylabel="term")
        figure.legend(loc="outside lower center", ncols=2)
        ends = (f"{curve.name} ends at {curve.y[-1]:.3g}" for curve in terms)
        return figures.svg(figure, f"Terms of the training loss of {title}: " + "; ".join(ends) + ".")
