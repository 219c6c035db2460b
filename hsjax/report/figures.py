"""Figures as pictures with a text that says the same, for those who do not see them.

Matplotlib's objects without its global state. The same numbers give the same bytes: no dates, salted ids. One card of a
phone's width each, in the colours of Okabe and Ito (2008), which stay apart for the colour-blind; line styles and
markers tell the same apart again.
"""

import base64
import dataclasses
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# Blue, vermilion, green, purple, orange, sky blue, black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Inches. At a width of 390 CSS pixels, a phone's, the text stays above 10 pixels.
WIDTH = 4.2
STYLE = {
    "svg.hashsalt": "hsjax",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure ready for a page.

    Attributes:
      media_type: of `content`.
      content: the file.
      alt: what it shows, in words and numbers.
    """

    media_type: str
    content: bytes
    alt: str

    @property
    def uri(self) -> str:
        """The file as an address that needs no request."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
      name: in the legend.
      x: (points,).
      y: (points,).
    """

    name: str
    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]


@dataclasses.dataclass(frozen=True)
class Point:
    """One model in the plane of size and accuracy.

    Attributes:
      model: stage; one colour each.
      variant: form of the model; one marker each.
      size: bytes.
      accuracy: 0 to 1.
    """

    model: str
    variant: str
    size: float
    accuracy: float


def training(title: str, losses: Sequence[Curve], scores: Sequence[Curve], score_name: str) -> Picture:
    """Losses above, the validation metric below, over epochs.

    Args:
      title: of the model, for the alternative text.
      losses: of training and validation.
      scores: the validation metrics, one line each; none leaves the losses alone.
      score_name: label of their axis.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.8 if scores else 2.4), layout="constrained")
        above, *below = figure.subplots(2 if scores else 1, 1, sharex=True, squeeze=False)[:, 0]
        lines(above, losses)
        above.legend(loc="upper right")
        above.set(ylabel="loss")
        for axes in below:
            lines(axes, scores)
            axes.legend(loc="lower right")
            axes.set(ylabel=score_name)
        (below or [above])[-1].set(xlabel="epoch")
        ends = [
            f"{curve.name} ends at {curve.y[-1]:.3g} after {curve.x[-1]:.0f} epochs" for curve in (*losses, *scores)
        ]
        return svg(figure, f"Training curves of {title}: " + "; ".join(ends) + ".")


def confusion(title: str, counts: Int[np.ndarray, "classes classes"], classes: Sequence[str]) -> Picture:
    """Counts, and the part of each true class, shaded by that part."""
    part = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure((WIDTH, 0.62 * WIDTH + 0.25 * len(classes)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(part, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (true, predicted), count in np.ndenumerate(counts):
            share = part[true, predicted]
            axes.text(
                predicted,
                true,
                f"{count}\n{share:.1%}",
                ha="center",
                va="center",
                color="white" if share > 0.6 else "black",
            )
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        cells = [
            f"{counts[true, predicted]} of {counts[true].sum()} {name} predicted {other}"
            for true, name in enumerate(classes)
            for predicted, other in enumerate(classes)
        ]
        return svg(figure, f"Confusion matrix of {title}: " + "; ".join(cells) + ".")


def roc(title: str, curves: Sequence[Curve]) -> Picture:
    """True over false positive rate; the legend's names carry the areas."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        lines(axes, curves)
        axes.legend(loc="lower right")
        axes.set(
            xlabel="1 - specificity",
            ylabel="sensitivity",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
            aspect="equal",
        )
        return svg(figure, f"ROC curves, {title}: " + "; ".join(curve.name for curve in curves) + ".")


def size_accuracy(title: str, points: Sequence[Point], accuracy_name: str) -> Picture:
    """Accuracy over size in bytes, on a logarithmic axis."""
    models, variants = (
        list(dict.fromkeys(names)) for names in ([p.model for p in points], [p.variant for p in points])
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.9), layout="constrained")
        axes = figure.subplots()
        for point in points:
            axes.plot(
                point.size,
                point.accuracy,
                marker=MARKERS[variants.index(point.variant) % len(MARKERS)],
                color=COLOURS[models.index(point.model) % len(COLOURS)],
                # Open, so that models of the same size and accuracy show through each other.
                markerfacecolor="none",
                markeredgewidth=1.8,
                markersize=9,
                linestyle="none",
            )
        handles = [
            axes.plot([], [], "o", color=COLOURS[i % len(COLOURS)], label=name)[0] for i, name in enumerate(models)
        ]
        handles += [
            axes.plot([], [], MARKERS[i % len(MARKERS)], color="#666666", label=name)[0]
            for i, name in enumerate(variants)
        ]
        axes.set(xscale="log", xlabel="size in kilobytes", ylabel=accuracy_name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1000:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        said = [f"{p.model} {p.variant}: {p.size:,.0f} bytes, {p.accuracy:.3f}" for p in points]
        return svg(figure, f"{title}: " + "; ".join(said) + ".")


def example(
    title: str,
    samples: Float[np.ndarray, " window"],
    sample_rate: float,
    spectrogram: Float[np.ndarray, "bins frames"],
    max_hertz: float,
    features: Float[np.ndarray, "coeffs columns"],
    hop_seconds: float,
) -> Picture:
    """A window, its spectrogram and the features the network sees, on one time axis.

    Args:
      title: of the window, for the alternative text.
      samples: full scale 1.
      sample_rate: Hz.
      spectrogram: dB, from 0 Hz upwards, one column a frame.
      max_hertz: of the last bin.
      features: one column a frame, or as many as the front end makes of the window.
      hop_seconds: between frames.
    """
    seconds = len(samples) / sample_rate
    # Frame t is centred on t hops.
    frames = (-hop_seconds / 2, (spectrogram.shape[1] - 0.5) * hop_seconds)
    columns = frames if features.shape[1] == spectrogram.shape[1] else (0.0, seconds)
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure((WIDTH, 4.6), layout="constrained")
        above, middle, below = figure.subplots(3, 1, sharex=True)
        above.plot(np.arange(len(samples)) / sample_rate, samples, color=COLOURS[0], linewidth=0.5)
        above.set(ylabel="amplitude")
        middle.imshow(spectrogram, extent=(*frames, 0, max_hertz), cmap="magma", **shown)
        middle.set(ylabel="Hz")
        below.imshow(features, extent=(*columns, -0.5, features.shape[0] - 0.5), cmap="cividis", **shown)
        below.set(xlabel="seconds", ylabel="coefficient", xlim=(0, seconds))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        alt = (
            f"{title}: waveform of {seconds:g} seconds, its spectrogram up to {max_hertz:g} Hz and its "
            f"{features.shape[0]} feature coefficients over time."
        )
        return Picture("image/png", buffer.getvalue(), alt)


def lines(axes: Axes, curves: Sequence[Curve]) -> None:
    """Curves of one name (one a seed) share a style and one entry of the legend."""
    names = list(dict.fromkeys(curve.name for curve in curves))
    for index, name in enumerate(names):
        for number, curve in enumerate(curve for curve in curves if curve.name == name):
            axes.plot(
                curve.x,
                curve.y,
                color=COLOURS[index % len(COLOURS)],
                linestyle=DASHES[index % len(DASHES)],
                marker="." if len(curve.x) == 1 else None,
                linewidth=1.4,
                label=name if number == 0 else None,
            )


def svg(figure: Figure, alt: str) -> Picture:
    """A figure as bytes that do not change from run to run."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Picture("image/svg+xml", buffer.getvalue(), alt)
