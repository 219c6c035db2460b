"""Scores the segmentation on recordings it was not fitted to, beside the simple baseline."""

import csv
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8

from hsjax import progress
from hsjax.data import audio
from hsjax.data.readers import pascal_timings, physionet2016
from hsjax.dsp.segmentation import springer
from hsjax.dsp.segmentation.envelopes import FRAME_RATE
from hsjax.evaluate import segmentation as scoring
from hsjax.report import segmentation_figures
from hsjax.report.segmentation_figures import Shown
from hsjax.segment import peaks
from hsjax.segment.parts import Part, divide, load
from hsjax.types import HeartState, Recording, UserError

SOUNDS = (HeartState.S1, HeartState.S2)
TOLERANCES = (0.1, 0.06)
"""s; the first is that of Springer et al., and picks the figures."""
PASCAL = "pascal-set-a"
SPRINGER, PEAKS = "springer", "peaks"

_RATE = physionet2016.SAMPLE_RATE
_ALL, _BOTH = "all", "S1+S2"
_SHOWN_SECONDS = 6.0
CAPTION = (
    "Onsets of S1 and S2 (pascal-set-a: middles, which is what its marks are), paired one to one in order of time. "
    "springer is the hidden semi-Markov segmentation, fitted to the training part alone; peaks is the simple baseline: "
    "peaks of the Hilbert envelope, the shorter interval being systole. The reference of PhysioNet 2016 began as the "
    "output of Springer's own segmenter and was corrected by hand, so that it favours segmentations of that kind. 95 % "
    "intervals: bootstrap over groups, none below 10 groups."
)

Onsets = Mapping[HeartState, Float[np.ndarray, " onsets"]]


class Case(NamedTuple):
    """One recording with its reference.

    Attributes:
      id: of the recording.
      dataset: its name.
      part: of the protocol; empty where there is none.
      subset: of the dataset.
      group: it belongs to.
      samples: at 2 kHz.
      marked: by sound, s.
      told: which found times count as extra where they match no marked one.
      points: times that the marks correspond to, of found states at 50 Hz.
      states: the true ones, at 2 kHz; None where only points are known.
    """

    id: str
    dataset: str
    part: str
    subset: str
    group: str
    samples: Float[np.ndarray, " time"]
    marked: Onsets
    told: Callable[[Float[np.ndarray, " found"], float], np.ndarray]
    points: Callable[[Int8[np.ndarray, " frames"], HeartState], np.ndarray]
    states: Int8[np.ndarray, " time"] | None


class Row(NamedTuple):
    """A line of segmentation.csv."""

    dataset: str
    part: str
    subset: str
    method: str
    sound: str
    tolerance_ms: int
    metric: str
    value: float
    low: float | None
    high: float | None
    onsets: int
    n: int
    n_groups: int


Counts = dict[tuple[str, HeartState, float], scoring.Matches]


def run(root: pathlib.Path, output: pathlib.Path | None, parameters: pathlib.Path | None) -> str:
    """Scores validation, test and PASCAL, writes table and figures, and returns the table as text.

    Args:
      root: folder of the distributions.
      output: folder for segmentation.csv and the figures; None writes nothing.
      parameters: a file of `train`; None takes the shipped one.

    Raises:
      UserError: data or parameters are not there or not what they should be.
    """
    try:
        settings = springer.load_parameters(parameters)
    except ValueError as error:
        raise UserError(str(error)) from error
    cases = [*physionet_cases(root), *pascal_cases(root)]
    with progress.bar("segmentation", len(cases)) as advance:
        found = springer.segment_all([case.samples for case in cases], _RATE, settings, advance)
    with progress.bar("scores", len(cases)) as advance:
        counts = []
        for case, one in zip(cases, found, strict=True):
            counts.append(score(case, np.asarray(one.states)))
            advance(1)
    rows = list(table(cases, counts))
    if output is not None:
        write(output, rows, cases, counts, [np.asarray(one.states) for one in found])
    return text(rows)


def physionet_cases(root: pathlib.Path) -> Iterator[Case]:
    """Validation and test recordings of PhysioNet 2016 of which some state is known."""
    divided = divide(load(root))
    for part in (Part.VALIDATION, Part.TEST):
        for recording in divided[part]:
            case = physionet_case(recording, part)
            if case is not None:
                yield case


def physionet_case(recording: Recording, part: Part) -> Case | None:
    """The recording with its onsets; None where no state is known."""
    states = recording.annotation() if recording.annotation is not None else np.zeros(0, np.int8)
    if not (states != HeartState.UNKNOWN).any():
        return None
    return Case(
        id=recording.id,
        dataset=physionet2016.NAME,
        part=part.value,
        subset=recording.subset,
        group=recording.group or recording.id,
        samples=recording.read(),
        marked={sound: scoring.onsets(states, sound) / _RATE for sound in SOUNDS},
        told=lambda found, tolerance: scoring.told(found, states, _RATE, tolerance),
        points=scoring.onsets,
        states=states,
    )


def pascal_cases(root: pathlib.Path) -> Iterator[Case]:
    """The timed recordings of PASCAL set A, if it is there; only what lies among the marks can be wrong."""
    if not (root / "pascal").is_dir():
        return
    for timing in pascal_timings.read(root):
        samples, sample_rate = audio.decode(timing.path)
        marks = np.concatenate([timing.s1, timing.s2])
        first, last = marks.min(), marks.max()
        yield Case(
            id=timing.path.stem,
            dataset=PASCAL,
            part="",
            subset="set_a",
            group=timing.path.stem,
            samples=audio.resample(samples, sample_rate, _RATE),
            marked={HeartState.S1: timing.s1, HeartState.S2: timing.s2},
            told=lambda found, _, first=first, last=last: (found >= first) & (found <= last),
            points=scoring.middles,
            states=None,
        )


def score(case: Case, states: Int8[np.ndarray, " frames"]) -> Counts:
    """Counts by method, sound and tolerance."""
    ours = {sound: case.points(states, sound) / FRAME_RATE for sound in SOUNDS}
    onset, centre = peaks.find(case.samples, _RATE)
    simple = dict(zip(SOUNDS, centre if case.states is None else onset, strict=True))
    return {
        (method, sound, tolerance): scoring.score(
            found[sound], case.marked[sound], tolerance, case.told(found[sound], tolerance)
        )
        for method, found in ((SPRINGER, ours), (PEAKS, simple))
        for sound in SOUNDS
        for tolerance in TOLERANCES
    }


def table(cases: Sequence[Case], counts: Sequence[Counts]) -> Iterator[Row]:
    """All figures, by part, sub-dataset, method, sound and tolerance."""
    parts = dict.fromkeys((case.dataset, case.part) for case in cases)
    for dataset, part in parts:
        members = [index for index, case in enumerate(cases) if (case.dataset, case.part) == (dataset, part)]
        subsets = sorted({cases[index].subset for index in members})
        for subset in (_ALL, *subsets) if len(subsets) > 1 else subsets:
            chosen = [index for index in members if subset in (_ALL, cases[index].subset)]
            groups = [cases[index].group for index in chosen]
            for method in (SPRINGER, PEAKS):
                for sound in (_BOTH, *(one.name for one in SOUNDS)):
                    for tolerance in TOLERANCES:
                        matches = [_total(counts[index], method, sound, tolerance) for index in chosen]
                        summary = scoring.summarise(matches, groups)
                        for metric in ("f1", "sensitivity", "ppv"):
                            value, interval = getattr(summary, metric)
                            low, high = (None, None) if interval is None else interval
                            onsets = summary.counts.right + summary.counts.missed
                            key = (dataset, part, subset, method, sound, round(1000 * tolerance), metric)
                            yield Row(*key, value, low, high, onsets, summary.recordings, summary.groups)


def _total(counts: Counts, method: str, sound: str, tolerance: float) -> scoring.Matches:
    chosen = [state for state in SOUNDS if sound in (_BOTH, state.name)]
    return sum((counts[method, state, tolerance] for state in chosen), scoring.Matches())


def text(rows: Iterable[Row]) -> str:
    """The figures of both sounds together as a table, a line for each sub-dataset and tolerance."""
    found = {row[:7]: row for row in rows}
    lines = [
        f"{'dataset':<15}{'part':<11}{'subset':<12}{'ms':>4}{'n':>5}{'groups':>7}{'onsets':>8}"
        f"  {'F1':<22}{'sensitivity':>11}{'PPV':>8}{'F1 of peaks':>13}"
    ]
    for row in found.values():
        if (row.method, row.sound, row.metric) != (SPRINGER, _BOTH, "f1"):
            continue
        others = [found[*row[:6], metric].value for metric in ("sensitivity", "ppv")]
        peak = found[*row[:3], PEAKS, *row[4:7]].value
        interval = "" if row.low is None else f" ({row.low:.3f}-{row.high:.3f})"
        lines.append(
            f"{row.dataset:<15}{row.part:<11}{row.subset:<12}{row.tolerance_ms:>4}{row.n:>5}{row.n_groups:>7}"
            f"{row.onsets:>8}  {f'{row.value:.4f}{interval}':<22}{others[0]:>11.4f}{others[1]:>8.4f}{peak:>13.4f}"
        )
    return "\n".join([*lines, "", CAPTION])


def write(
    output: pathlib.Path,
    rows: Sequence[Row],
    cases: Sequence[Case],
    counts: Sequence[Counts],
    states: Sequence[Int8[np.ndarray, " _"]],
) -> None:
    """segmentation.csv and pictures of the best, the median and the worst test recording."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / "segmentation.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)
    quality = {
        index: (total.f1, total.right)
        for index, case in enumerate(cases)
        if case.part == Part.TEST
        for total in [_total(counts[index], SPRINGER, _BOTH, TOLERANCES[0])]
        if total.right + total.missed
    }
    order = sorted(quality, key=quality.__getitem__)
    for name, place in (("worst", 0), ("median", len(order) // 2), ("best", len(order) - 1)):
        if order:
            index = order[place]
            picture = segmentation_figures.segmentation(_shown(name, cases[index], states[index], quality[index][0]))
            (output / f"{name}.svg").write_bytes(picture.content)


def _shown(name: str, case: Case, states: Int8[np.ndarray, " frames"], f1: float) -> Shown:
    """The six seconds in which most frames differ from the truth."""
    assert case.states is not None
    truth = case.states[:: _RATE // FRAME_RATE][: len(states)]
    wrong = np.cumsum(np.concatenate([[0], (truth != states[: len(truth)]) & (truth != HeartState.UNKNOWN)]))
    width = min(len(truth), round(_SHOWN_SECONDS * FRAME_RATE))
    begin = int(np.argmax(wrong[width:] - wrong[: len(wrong) - width]))
    first, last = (frame * _RATE // FRAME_RATE for frame in (begin, begin + width))
    return Shown(
        title=f"{name} of the test recordings: {case.id}, {case.subset}, F1 {f1:.3f} within 100 ms",
        start=begin / FRAME_RATE,
        samples=case.samples[first:last],
        sample_rate=_RATE,
        envelope=peaks.envelope(case.samples, _RATE)[first:last],
        truth=case.states[first:last],
        found=np.asarray(springer.states_at(states, _RATE, len(case.samples)))[first:last],
    )
