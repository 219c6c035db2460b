"""The section on probabilities: how far they can be believed, and what a chosen specificity costs."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hsjax.evaluate import calibration
from hsjax.evaluate.inference import SPECIFICITY
from hsjax.report import html, wording
from hsjax.report.cells import caption, rate, size, stage
from hsjax.report.figures import COLOURS, STYLE, WIDTH, Picture, svg
from hsjax.report.html import Content, Markup, element
from hsjax.report.members import short
from hsjax.report.run import File, Run

_METRICS = (
    "ece", "ece_of_noise", "brier",
    f"sensitivity@specificity{SPECIFICITY:g}", f"specificity@specificity{SPECIFICITY:g}",
)  # fmt: skip


def section(run: Run) -> html.Section | None:
    """Reliability plots, calibration errors and operating points; None for runs without such rows."""
    content: list[Content] = []
    for protocol in run.protocols:
        files = [file for file in run.summarised(protocol) if run.find(file, run.unit, "ece") is not None]
        if not files:
            continue
        rows: list[list[Content]] = [
            [stage(file.stage), str(file.seed), size(run.find(file, run.unit, "ece")),
             *(rate(run.find(file, run.unit, metric)) for metric in _METRICS)]
            for file in files
        ]  # fmt: skip
        header = ["stage", "seed", "n (groups)", *map(wording.metric, _METRICS)]
        words = f"Protocol {protocol}, per {run.unit} of the test part; 95 % intervals by group below the figures."
        content += [element("h3", f"Protocol {protocol}"), html.table(caption(run, words), header, rows)]
        drawn = [file for file in run.of_first_seed(protocol) if not file.exported]
        alone = [_plot(run, protocol, file) for file in drawn if not file.member]
        content.append(html.folded_gallery(f"Reliability of each stage, protocol {protocol}", alone))
        for name, of_sweep in run.sweeps.items():
            plots = [_plot(run, protocol, file) for file in drawn if file.stage in of_sweep]
            if plots:
                content.append(html.details(f"Reliability of the members of {name}", html.gallery(plots)))
    if not content:
        return None
    words = html.paragraph(
        "A probability can be believed if of the units given it that part is positive: points on the diagonal. The "
        "expected calibration error (ECE) is their mean distance from it; beside it, what a perfectly calibrated model "
        "would show with as few units. The operating point is the threshold that leaves "
        f"{100 * SPECIFICITY:.0f} % of validation's negatives alone, applied to the test part."
    )
    return html.Section("calibration", "Calibration and operating points", [words, *content])


def _plot(run: Run, protocol: str, file: File) -> Markup:
    title = f"{short(file.stage)}, protocol {protocol}, per {run.unit}"
    predictions = run.predicted(file, run.unit)
    assert predictions is not None
    if run.positive is None:
        probability, event = calibration.top_label(predictions.probabilities, predictions.label)
    else:
        index = predictions.classes.index(run.positive)
        probability, event = predictions.probabilities[:, index].astype(np.float64), predictions.label == index
    return html.figure(reliability(title, calibration.curve(probability, event)), caption(run, title))


def reliability(title: str, curve: calibration.Curve) -> Picture:
    """Observed frequency over predicted probability with 95 % Wilson intervals, and how many units each bin holds.

    Args:
      title: of the model, for the alternative text.
      curve: of its predictions.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        bounds = np.stack([curve.frequency - curve.low, curve.high - curve.frequency]).clip(0)
        above.errorbar(curve.probability, curve.frequency, bounds, fmt="o-", color=COLOURS[0], markersize=4, capsize=2)
        above.set(ylabel="observed frequency", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below.bar(curve.probability, curve.n, width=0.04, color=COLOURS[0])
        below.set(xlabel="predicted probability", ylabel="units")
        said = ", ".join(
            f"{p:.2f}: {f:.2f} (n = {n})" for p, f, n in zip(curve.probability, curve.frequency, curve.n, strict=True)
        )
        return svg(figure, f"Reliability of {title}. Predicted probability and observed frequency: {said}.")
