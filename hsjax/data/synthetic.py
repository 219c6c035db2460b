"""Embedded synthetic heart-sound recordings: labels, subjects and heart states are known, nothing is stored.

Any recording can be rendered alone, in any order, in any number: its chance comes from (seed, subject, recording).
They are made to behave like data (subjects differ, sensors differ, some murmurs drown in noise), not to
replace them: whatever is measured on them is stamped synthetic.
"""

import dataclasses
import enum
import functools

import numpy as np
from jaxtyping import Float32, Int8

from hsjax.data import acquisition, heart_sounds, physiology
from hsjax.data.physiology import Condition, Rhythm, Subject
from hsjax.types import HEART_STATES, Dataset, Recording, UserError


class Task(enum.StrEnum):
    """What the label tells."""

    BINARY = "binary"  # normal or abnormal, half of the subjects each
    CONDITION = "condition"  # Yaseen's five, a fifth of the subjects each


class _Stream(enum.IntEnum):
    """Independent sources of chance: what one of them draws never shifts another."""

    LABELS = 0
    SUBJECT = 1
    LENGTH = 2
    RHYTHM = 3
    SOUND = 4
    NOISE = 5


_NORMAL, _ABNORMAL = "normal", "abnormal"
_DISEASES = (Condition.AS, Condition.MR, Condition.MS, Condition.MVP)

# Below 1 kHz murmurs would not fit. Three quarters of 2 s still hold a heart sound: no diastole is that long.
_MIN_SAMPLE_RATE = 1000
_MIN_SECONDS = 2.0
_DURATION_SPREAD = 0.25


@dataclasses.dataclass(frozen=True)
class _Source:
    """All it takes to render one recording."""

    seed: int
    subject: int
    recording: int
    condition: Condition
    num_samples: int
    sample_rate: int
    noise: float


def _rng(seed: int, stream: _Stream, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *key)))


def dataset(
    *,
    subjects: int,
    recordings_per_subject: int,
    seconds: float | int,
    sample_rate: int = 4000,
    task: Task | str = Task.BINARY,
    noise: float | int = 1.0,
    seed: int = 0,
) -> Dataset:
    """Describes a synthetic dataset; nothing is rendered before a recording is read.

    More subjects or recordings leave those already there as they are. Classes are balanced over subjects up to a
    remainder; `Recording.subset` is the condition and `Recording.annotation` gives the true states (`HeartState`).

    Args:
      subjects: how many.
      recordings_per_subject: how many of each; they share heart and chest, not rhythm, sensor or noise.
      seconds: mean duration; single ones are up to a quarter shorter or longer.
      sample_rate: Hz.
      task: what the label tells.
      noise: amplitude of all disturbances, 1 for ordinary recordings, 0 for none.
      seed: a non-negative integer.

    Raises:
      UserError: an argument is out of range.
    """
    if subjects < 1 or recordings_per_subject < 1:
        raise UserError(
            f"synthetic data needs at least one subject and one recording of each, "
            f"not {subjects} and {recordings_per_subject}: raise them"
        )
    if not _MIN_SECONDS <= seconds < np.inf:
        raise UserError(f"a synthetic recording lasts at least {_MIN_SECONDS:g} s, not {seconds:g}: raise seconds")
    if sample_rate < _MIN_SAMPLE_RATE:
        raise UserError(f"murmurs need a sample_rate of at least {_MIN_SAMPLE_RATE} Hz, not {sample_rate}: raise it")
    if not 0.0 <= noise < np.inf:
        raise UserError(f"noise scales an amplitude, so it cannot be {noise:g}: take 0 or more")
    if seed < 0:
        raise UserError(f"seed must not be negative, and {seed} is: take 0 or more")
    if task not in list(Task):
        raise UserError(f"there is no synthetic task {task!r}: take one of {', '.join(Task)}")
    recordings = []
    for subject in range(subjects):
        condition = _condition(seed, subject, Task(task))
        for recording in range(recordings_per_subject):
            stretch = _rng(seed, _Stream.LENGTH, subject, recording).uniform(-_DURATION_SPREAD, _DURATION_SPREAD)
            num_samples = round(seconds * (1.0 + stretch) * sample_rate)
            source = _Source(seed, subject, recording, condition, num_samples, sample_rate, float(noise))
            recordings.append(_describe(source, Task(task)))
    binary = task == Task.BINARY
    return Dataset(
        name="synthetic",
        classes=(_NORMAL, _ABNORMAL) if binary else tuple(str(condition) for condition in Condition),
        positive=_ABNORMAL if binary else None,
        synthetic=True,
        recordings=tuple(sorted(recordings, key=lambda recording: recording.id)),
    )


def _condition(seed: int, subject: int, task: Task) -> Condition:
    """Conditions come in shuffled blocks, so that any number of subjects is balanced and order tells nothing."""
    if task is Task.CONDITION:
        block, place = divmod(subject, len(Condition))
        return list(Condition)[_rng(seed, _Stream.LABELS, block).permutation(len(Condition))[place]]
    # Pairs of one normal and one abnormal subject in random order, as many pairs to a block as there are diseases.
    block, place = divmod(subject, 2 * len(_DISEASES))
    rng = _rng(seed, _Stream.LABELS, block)
    pair, second = divmod(place, 2)
    disease = _DISEASES[rng.permutation(len(_DISEASES))[pair]]
    abnormal_second = rng.integers(2, size=len(_DISEASES))[pair]
    return disease if second == abnormal_second else Condition.N


def _describe(source: _Source, task: Task) -> Recording:
    group = f"s{source.subject:04d}"
    if task is Task.CONDITION:
        label = str(source.condition)
    else:
        label = _NORMAL if source.condition is Condition.N else _ABNORMAL
    return Recording(
        id=f"{group}-r{source.recording}",
        label=label,
        subset=str(source.condition),
        subject=group,
        group=group,
        sample_rate=source.sample_rate,
        num_samples=source.num_samples,
        path=None,
        read=functools.partial(_samples, source),
        annotation=functools.partial(_states, source),
    )


def _heart(source: _Source) -> tuple[Subject, Rhythm]:
    subject = physiology.draw_subject(_rng(source.seed, _Stream.SUBJECT, source.subject), source.condition)
    rng = _rng(source.seed, _Stream.RHYTHM, source.subject, source.recording)
    # The pulse at rest differs a little from visit to visit.
    subject = dataclasses.replace(subject, heart_rate=subject.heart_rate * rng.uniform(0.95, 1.05))
    return subject, physiology.draw_rhythm(rng, subject, source.num_samples / source.sample_rate)


def _samples(source: _Source) -> Float32[np.ndarray, " time"]:
    """Renders the recording at full scale 1; a few are overdriven and clip, as real ones do."""
    subject, rhythm = _heart(source)
    size = (source.num_samples, source.sample_rate)
    rng = _rng(source.seed, _Stream.SOUND, source.subject, source.recording)
    sensor = acquisition.SENSORS[rng.integers(len(acquisition.SENSORS))]
    # Where the sensor sits decides how much of the murmur reaches it; dB.
    site, gain = rng.uniform(-4.0, 4.0), rng.uniform(-18.0, 1.0)
    heart = heart_sounds.heart_sounds(rng, subject, rhythm, *size)
    heart += 10 ** (site / 20) * heart_sounds.murmur(rng, subject, rhythm, *size)
    rng = _rng(source.seed, _Stream.NOISE, source.subject, source.recording)
    outside = source.noise * acquisition.disturbances(rng, subject, rhythm, *size)
    samples = acquisition.transmit(heart, outside, source.sample_rate, subject.chest_cutoff, sensor)
    samples += source.noise * acquisition.electronics(rng, *size)
    samples *= 10 ** (gain / 20) / np.abs(samples).max()
    return np.clip(samples, -1.0, 1.0).astype(np.float32)


def _states(source: _Source) -> Int8[np.ndarray, " time"]:
    """The true state of every sample."""
    _, rhythm = _heart(source)
    # Onsets of all states in order of time; each sample belongs to the last one that is not after it.
    onsets = np.stack([rhythm.s1[:-1], rhythm.s1_end, rhythm.a2, rhythm.s2_end], axis=1).ravel()
    times = np.arange(source.num_samples) / source.sample_rate
    event = np.searchsorted(onsets, times, side="right") - 1
    return np.array(HEART_STATES, np.int8)[event % len(HEART_STATES)]
