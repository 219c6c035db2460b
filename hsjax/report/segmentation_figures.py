"""Heart sounds with their true and found states, for people to judge."""

import dataclasses
import itertools

import matplotlib
import numpy as np
from jaxtyping import Float, Int8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hsjax.report.figures import STYLE, Picture, svg
from hsjax.types import HEART_STATES, HeartState

# Okabe and Ito (2008): blue, light grey, vermilion, lighter grey; the sounds stand out, whatever eyes look at them.
_COLOURS = {
    HeartState.S1: "#0072B2",
    HeartState.SYSTOLE: "#d9d9d9",
    HeartState.S2: "#D55E00",
    HeartState.DIASTOLE: "#f2f2f2",
    HeartState.UNKNOWN: "#ffffff",
}
_NAMES = {state: state.name if state in (HeartState.S1, HeartState.S2) else state.name.lower() for state in HeartState}


@dataclasses.dataclass(frozen=True)
class Shown:
    """A stretch of a recording.

    Attributes:
      title: in words.
      start: of the stretch, s.
      samples: `(time,)`.
      sample_rate: Hz.
      envelope: `(time,)`.
      truth: `(time,)`, `HeartState`.
      found: `(time,)`, `HeartState`.
    """

    title: str
    start: float
    samples: Float[np.ndarray, " time"]
    sample_rate: float | int
    envelope: Float[np.ndarray, " time"]
    truth: Int8[np.ndarray, " time"]
    found: Int8[np.ndarray, " time"]


def segmentation(shown: Shown) -> Picture:
    """Waveform, envelope, true and found states on one time axis."""
    times = shown.start + np.arange(len(shown.samples)) / shown.sample_rate
    with matplotlib.rc_context(STYLE):
        figure = Figure((9.0, 4.2), layout="constrained")
        sound, level, strip = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.4))
        _tint(sound, shown, shown.found)
        sound.plot(times, shown.samples, color="black", linewidth=0.4)
        sound.set(ylabel="sound", title=shown.title)
        _tint(level, shown, shown.truth)
        level.plot(times, shown.envelope, color="black", linewidth=0.8)
        level.set(ylabel="envelope")
        for row, states in ((0, shown.found), (1, shown.truth)):
            for begin, end, state in _runs(states):
                left, right = (shown.start + place / shown.sample_rate for place in (begin, end))
                strip.broken_barh([(left, right - left)], (row + 0.1, 0.8), color=_COLOURS[state])
        strip.set(yticks=(0.5, 1.5), yticklabels=("found", "true"), ylim=(0, 2), xlabel="time in s")
        strip.grid(visible=False)
        for axes in (sound, level):
            axes.set_xlim(times[0], times[-1])
        patches = [Patch(color=_COLOURS[state], label=_NAMES[state]) for state in HEART_STATES]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
        same = float(np.mean(shown.truth == shown.found))
        return svg(
            figure,
            f"{shown.title}: {len(times) / shown.sample_rate:.1f} s from {shown.start:.1f} s on; waveform over the "
            f"found states, envelope over the true ones; they are the same in {same:.0%} of the time shown.",
        )


def _tint(axes: Axes, shown: Shown, states: Int8[np.ndarray, " time"]) -> None:
    """S1 and S2 as faint bands behind a curve."""
    for begin, end, state in _runs(states):
        if state in (HeartState.S1, HeartState.S2):
            left, right = (shown.start + place / shown.sample_rate for place in (begin, end))
            axes.axvspan(left, right, color=_COLOURS[state], alpha=0.25, linewidth=0)


def _runs(states: Int8[np.ndarray, " time"]) -> list[tuple[int, int, HeartState]]:
    """Begin, end and state of every stretch."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(states)) + 1, [len(states)]])
    return [(int(a), int(b), HeartState(int(states[a]))) for a, b in itertools.pairwise(edges) if b > a]
