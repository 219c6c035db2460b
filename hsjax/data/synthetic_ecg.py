"""Embedded synthetic ECG records, every beat of which is known; nothing is stored.

A beat is a sum of Gaussian waves P, Q, R, S and T, as McSharry, Clifford, Tarassenko & Smith, A Dynamical Model for
Generating Synthetic Electrocardiogram Signals, IEEE Trans. Biomed. Eng. 50(3), 2003, has them; kinds of beats differ in
what tells them apart for a reader: a premature ventricular beat comes early, is wide, has no P wave and a T wave of the
other sign; a paced one follows a spike; a fusion is between two kinds. People differ in the size and place of all
waves. Like the synthetic heart sounds these behave like data and do not replace them.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float32, Float64

from hsjax.data.readers import beat_labels
from hsjax.data.readers.beat_labels import Labels
from hsjax.types import Beats, Dataset, Recording, UserError

NAME: str = "synthetic_ecg"

_MIN_SAMPLE_RATE = 100  # or the waves of a beat would not be there
_MIN_SECONDS = 10.0
_PACEMAKERS = 4  # every so many-th person has one

# Of each wave: height in mV, seconds from the R peak, and width (standard deviation) in seconds.
_NORMAL = {"p": (0.15, -0.17, 0.022), "q": (-0.12, -0.028, 0.009), "r": (1.1, 0.0, 0.011), "s": (-0.25, 0.03, 0.011),
           "t": (0.3, 0.26, 0.05)}  # fmt: skip
_VENTRICULAR = {"p": (0.0, -0.17, 0.022), "q": (-0.25, -0.09, 0.025), "r": (1.5, 0.0, 0.034), "s": (-0.7, 0.1, 0.035),
                "t": (-0.4, 0.3, 0.06)}  # fmt: skip
_PACED = {"p": (0.0, -0.17, 0.022), "q": (-0.1, -0.05, 0.02), "r": (-0.9, 0.0, 0.04), "s": (0.2, 0.09, 0.03),
          "t": (0.35, 0.3, 0.06)}  # fmt: skip
_SPIKE = (1.6, -0.1, 0.0025)

# What follows each other: share of all beats, and the distance from the beat before and to the next one, relative.
_PREMATURE = {"V": (0.62, 1.38), "A": (0.72, 1.1), "F": (0.9, 1.05)}
_SHARES = {False: {"N": 0.7, "V": 0.14, "A": 0.1, "F": 0.06}, True: {"/": 0.7, "f": 0.14, "N": 0.06, "V": 0.1}}


@dataclasses.dataclass(frozen=True)
class _Source:
    """All it takes to render one record."""

    seed: int
    person: int
    num_samples: int
    sample_rate: int
    noise: float


def dataset(
    *,
    people: int,
    seconds: float | int,
    sample_rate: int = 360,
    labels: Labels | str = Labels.BIRTON,
    noise: float | int = 1.0,
    seed: int = 0,
) -> Dataset:
    """Describes synthetic ECG records, one of each person; nothing is rendered before one is read.

    Args:
      people: how many; every fourth has a pacemaker.
      seconds: of each record.
      sample_rate: Hz.
      labels: how beats are labelled, as in MIT-BIH.
      noise: amplitude of wander, hum and muscle noise, 1 for ordinary records, 0 for none.
      seed: a non-negative integer.

    Raises:
      UserError: an argument is out of range.
    """
    if people < 1 or seed < 0:
        raise UserError(f"synthetic ECG needs at least one person and a seed of 0 or more, not {people} and {seed}")
    if not _MIN_SECONDS <= seconds < np.inf:
        raise UserError(f"a synthetic ECG lasts at least {_MIN_SECONDS:g} s, not {seconds:g}: raise seconds")
    if sample_rate < _MIN_SAMPLE_RATE:
        raise UserError(f"an ECG needs a sample_rate of at least {_MIN_SAMPLE_RATE} Hz, not {sample_rate}: raise it")
    if not 0.0 <= noise < np.inf:
        raise UserError(f"noise scales an amplitude, so it cannot be {noise:g}: take 0 or more")
    if labels not in list(Labels):
        raise UserError(f"there are no beat labels {labels!r}: take one of {', '.join(Labels)}")
    size = round(seconds * sample_rate)
    sources = [_Source(seed, person, size, sample_rate, float(noise)) for person in range(people)]
    return Dataset(
        name=NAME,
        classes=beat_labels.CLASSES[Labels(labels)],
        positive=None,
        synthetic=True,
        recordings=tuple(_describe(source, Labels(labels)) for source in sources),
    )


def _describe(source: _Source, labels: Labels) -> Recording:
    name = f"e{source.person:04d}"
    return Recording(
        id=name,
        label="",
        subset="",
        subject=name,
        group=name,
        sample_rate=source.sample_rate,
        num_samples=source.num_samples,
        path=None,
        read=functools.partial(_samples, source),
        beats=functools.partial(_beats, source, labels),
        metadata={"lead": "MLII"},
    )


def _rng(source: _Source, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(source.seed, spawn_key=(stream, source.person)))


def _rhythm(source: _Source) -> tuple[Float64[np.ndarray, " beats"], np.ndarray]:
    """Seconds of each R peak, and the annotation code of each beat."""
    rng, paced = _rng(source, 0), source.person % _PACEMAKERS == _PACEMAKERS - 1
    end = source.num_samples / source.sample_rate
    normal, shares = rng.uniform(0.65, 1.0), _SHARES[paced]
    times, symbols, now, after = [], [], rng.uniform(0.5, 0.9), 1.0
    while now < end - 0.5:
        symbol = str(rng.choice(list(shares), p=list(shares.values())))
        early, late = _PREMATURE.get(symbol, (1.0, 1.0))
        if times:
            # Two premature beats in a row would otherwise be atop each other.
            now += normal * max(after * early, 0.5) * rng.uniform(0.97, 1.03)
            if now >= end - 0.5:
                break
        times.append(now)
        symbols.append(symbol)
        after = late
    return np.array(times), np.array(symbols, dtype="<U1")


def _waves(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The waves (5, 3) of each kind of beat in one person."""
    size, place, width = (rng.uniform(1 - spread, 1 + spread, (5, 1)) for spread in (0.3, 0.1, 0.2))
    own = np.concatenate([size, place, width], axis=1)
    normal, ventricular, paced = (own * np.array(list(kind.values())) for kind in (_NORMAL, _VENTRICULAR, _PACED))
    early = normal.copy()
    early[0] *= (-0.8, 0.8, 1.0)  # a P wave from elsewhere in the atrium
    return {"N": normal, "V": ventricular, "/": paced, "A": early, "F": (normal + ventricular) / 2,
            "f": (normal + paced) / 2}  # fmt: skip


def _samples(source: _Source) -> Float32[np.ndarray, " time"]:
    """Renders a record in millivolts."""
    times, symbols = _rhythm(source)
    waves = _waves(_rng(source, 1))
    time = np.arange(source.num_samples) / source.sample_rate
    samples = np.zeros(source.num_samples)
    for beat, symbol in zip(times, symbols, strict=True):
        begin, end = np.searchsorted(time, (beat - 0.5, beat + 0.6))
        near = time[begin:end] - beat
        parts = [*waves[symbol], *([_SPIKE] if symbol in "/f" else [])]
        for height, place, width in parts:
            samples[begin:end] += height * np.exp(-0.5 * ((near - place) / width) ** 2)
    return (samples + source.noise * _noise(_rng(source, 2), time)).astype(np.float32)


def _noise(rng: np.random.Generator, time: Float64[np.ndarray, " time"]) -> Float64[np.ndarray, " time"]:
    """Breathing moves the baseline, the mains hum, muscles tremble."""
    wander = sum(
        rng.uniform(0.03, 0.12) * np.sin(2 * np.pi * (rate * time + rng.uniform()))
        for rate in rng.uniform(0.15, 0.45, 3)
    )
    hum = rng.uniform(0.0, 0.02) * np.sin(2 * np.pi * 50.0 * time)
    return wander + hum + rng.uniform(0.01, 0.04) * rng.standard_normal(len(time))


def _beats(source: _Source, labels: Labels) -> Beats:
    times, symbols = _rhythm(source)
    index = np.round(times * source.sample_rate).astype(np.int64)
    return Beats(index, symbols, beat_labels.label(symbols, labels))
