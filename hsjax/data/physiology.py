"""Who is recorded: the hearts, chests and rhythms of synthetic subjects.

Amplitudes are relative to the mitral component of an ordinary first heart sound, whose peak is about 1; levels are in
dB of the same unit.
"""

import dataclasses
import enum
import math

import numpy as np
from jaxtyping import Float, Inexact


class Condition(enum.StrEnum):
    """The five classes of Yaseen, Son & Kwon (Applied Sciences 8:2344, 2018)."""

    AS = "AS"  # aortic stenosis
    MR = "MR"  # mitral regurgitation
    MS = "MS"  # mitral stenosis
    MVP = "MVP"  # mitral valve prolapse
    N = "N"  # normal


@dataclasses.dataclass(frozen=True)
class Murmur:
    """Turbulent flow as band noise.

    Attributes:
      level: root mean square where the murmur is loudest, dB.
      centre: Hz.
      width: standard deviation of the bell-shaped spectrum, octaves.
      peak: where in its course the murmur of aortic stenosis turns from crescendo to decrescendo, 0 to 1.
    """

    level: float
    centre: float
    width: float
    peak: float


@dataclasses.dataclass(frozen=True)
class Subject:
    """One heart in one chest. Sounds with amplitude 0 and murmurs that are None are absent.

    Attributes:
      heart_rate: mean, 1/min.
      sinus_arrhythmia: amplitude of the respiratory swing of the RR interval, relative to it.
      slow_variability: the same at `SLOW_WAVE` Hz.
      beat_variability: standard deviation from beat to beat, the same unit.
      respiration: breaths per second.
      female: selects Weissler's regression.
      q_to_s1: electromechanical delay from the Q wave to S1, s.
      s1_duration: s.
      s1_frequency: of the mitral component, Hz.
      s1_amplitude: 1 is ordinary; loud in mitral stenosis, soft in mitral regurgitation.
      s1_split: from the mitral to the tricuspid component, s.
      s2_duration: s.
      s2_frequency: of the aortic component, Hz.
      s2_amplitude: of the aortic component.
      s2_split: from the aortic to the pulmonary component at end of expiration, s; inspiration widens it.
      s3: amplitude of the third sound, early rapid filling.
      s4: amplitude of the fourth sound, atrial contraction.
      click: amplitude of the mid-systolic click of prolapse.
      click_phase: where in systole it falls, 0 to 1.
      opening_snap: amplitude of the snap of a stenosed mitral valve.
      snap_delay: from A2 to the opening snap, s; the shorter, the tighter the stenosis.
      chest_cutoff: above it the chest attenuates by 6 dB per octave, Hz.
    """

    condition: Condition
    heart_rate: float
    sinus_arrhythmia: float
    slow_variability: float
    beat_variability: float
    respiration: float
    female: bool
    q_to_s1: float
    s1_duration: float
    s1_frequency: float
    s1_amplitude: float
    s1_split: float
    s2_duration: float
    s2_frequency: float
    s2_amplitude: float
    s2_split: float
    s3: float
    s4: float
    click: float
    click_phase: float
    opening_snap: float
    snap_delay: float
    chest_cutoff: float
    murmur: Murmur | None


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """When things happen, in seconds from the recording's beginning; covers the recording and a margin around it.

    Attributes:
      s1_end: where S1 turns into systole.
      a2: onsets of S2.
      s2_end: where S2 turns into diastole.
      s1: onsets of S1, one more than there are beats: the last one closes the last beat.
      breath_phase: radians at second 0; inspiration is where the sine is positive.
    """

    s1_end: Float[np.ndarray, " beats"]
    a2: Float[np.ndarray, " beats"]
    s2_end: Float[np.ndarray, " beats"]
    s1: Float[np.ndarray, " beats+1"]
    breath_phase: float


@dataclasses.dataclass(frozen=True)
class _Presentation:
    """How a condition sounds: probabilities of what may be absent, and ranges.

    Attributes:
      s3: probability of a third sound.
      s4: probability of a fourth sound.
      opening_snap: probability.
      murmur: probability.
      level: of the murmur, from the mildest to the severest case, dB.
      centre: of the murmur, Hz.
      s1: amplitude.
      s2: amplitude.
    """

    s3: float = 0.05
    s4: float = 0.05
    opening_snap: float = 0.0
    murmur: float = 1.0
    level: tuple[float, float] = (-24.0, -4.0)
    centre: tuple[float, float] = (150.0, 350.0)
    s1: tuple[float, float] = (0.75, 1.3)
    s2: tuple[float, float] = (0.4, 1.0)


# After Walker, Hall & Hurst, Clinical Methods, 3rd edition (1990), chapters 22 to 27. Levels and probabilities are set
# so that the mildest murmurs drown in the noise and a small network is wrong about every tenth recording.
_PRESENTATIONS = {
    # Harsh; a stiff valve closes softly and a thick ventricle hears the atrium.
    Condition.AS: _Presentation(s4=0.4, level=(-24.0, -2.0), centre=(130.0, 260.0), s2=(0.25, 0.8)),
    # Blowing; the valve fails to close with a snap, and the overfilled ventricle has an S3.
    Condition.MR: _Presentation(s3=0.5, s1=(0.5, 0.95)),
    # Rumbling; the stiff valve snaps open and shut.
    Condition.MS: _Presentation(
        s3=0.0, s4=0.0, opening_snap=0.85, level=(-22.0, -4.0), centre=(60.0, 130.0), s1=(1.2, 1.9)
    ),
    # Sometimes a click and nothing else.
    Condition.MVP: _Presentation(murmur=0.85, level=(-24.0, -6.0)),
    # Young hearts have an S3, and a quarter an innocent murmur.
    Condition.N: _Presentation(s3=0.15, murmur=0.25, level=(-36.0, -24.0), centre=(90.0, 170.0)),
}


def draw_subject(rng: np.random.Generator, condition: Condition) -> Subject:
    """A random subject with the given condition. What the condition does not touch is drawn alike for all.

    Durations of S1 and S2 follow Schmidt et al. (Physiol. Meas. 31:513, 2010): 122 and 92 ms. The opening snap comes
    60 to 120 ms after A2, the earlier the severer; the severer an aortic stenosis, the later its murmur peaks.
    """
    presentation = _PRESENTATIONS[condition]
    severity = rng.random()
    faint, loud = presentation.level
    low, high = presentation.centre
    murmur = Murmur(
        level=faint + (loud - faint) * severity,
        centre=low * (high / low) ** rng.random(),
        width=rng.uniform(0.3, 0.6),
        peak=0.3 + 0.25 * severity + rng.uniform(-0.05, 0.05),
    )
    return Subject(
        condition=condition,
        heart_rate=float(np.clip(rng.normal(73.0, 11.0), 50.0, 110.0)),
        sinus_arrhythmia=rng.uniform(0.01, 0.07),
        slow_variability=rng.uniform(0.005, 0.04),
        beat_variability=rng.uniform(0.004, 0.02),
        respiration=rng.uniform(0.18, 0.35),
        female=bool(rng.random() < 0.5),
        q_to_s1=rng.uniform(0.06, 0.09),
        s1_duration=float(np.clip(rng.normal(0.122, 0.012), 0.1, 0.15)),
        s1_frequency=rng.uniform(30.0, 55.0),
        s1_amplitude=rng.uniform(*presentation.s1),
        s1_split=rng.uniform(0.015, 0.03),
        s2_duration=float(np.clip(rng.normal(0.092, 0.01), 0.075, 0.115)),
        s2_frequency=rng.uniform(45.0, 75.0),
        s2_amplitude=rng.uniform(*presentation.s2),
        s2_split=rng.uniform(0.005, 0.02),
        s3=rng.uniform(0.2, 0.5) * (rng.random() < presentation.s3),
        s4=rng.uniform(0.2, 0.5) * (rng.random() < presentation.s4),
        click=rng.uniform(0.3, 0.9) * (condition is Condition.MVP),
        click_phase=rng.uniform(0.35, 0.65),
        opening_snap=rng.uniform(0.2, 0.7) * (rng.random() < presentation.opening_snap),
        snap_delay=0.12 - 0.06 * severity,
        chest_cutoff=rng.uniform(90.0, 250.0),
        murmur=murmur if rng.random() < presentation.murmur else None,
    )


# Mayer waves, the middle of the low-frequency band of heart-rate variability (Task Force, Circulation 93:1043, 1996).
SLOW_WAVE = 0.1

# Electromechanical systole from Q to S2 = intercept - slope * heart rate, in s (Weissler, Harris & Schoenfeld,
# Circulation 37:149, 1968).
_QS2_MALE = (0.546, 0.0021)
_QS2_FEMALE = (0.549, 0.0020)


def breath(rhythm: Rhythm, subject: Subject, times: Inexact[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Phase of breathing at `times` (s): 1 at the middle of inspiration, -1 at the middle of expiration."""
    return np.sin(2 * np.pi * subject.respiration * times + rhythm.breath_phase)


def draw_rhythm(rng: np.random.Generator, subject: Subject, seconds: float | int) -> Rhythm:
    """Beats that cover `[0, seconds]`.

    The RR interval swings with breathing (shorter in inspiration) and with the slow wave, and varies from beat to
    beat. Systole follows the rate of the preceding interval by Weissler's regression for electromechanical systole,
    less the delay from Q to S1; so a faster heart loses diastole first.
    """
    mean_interval = 60.0 / subject.heart_rate
    breath_phase, slow_phase = rng.uniform(0.0, 2 * np.pi, 2)
    interval = mean_interval
    onsets, preceding = [-mean_interval * rng.uniform(1.0, 2.0)], []
    while onsets[-1] <= seconds + mean_interval:
        preceding.append(interval)
        swing = (
            -subject.sinus_arrhythmia * math.sin(2 * math.pi * subject.respiration * onsets[-1] + breath_phase)
            + subject.slow_variability * math.sin(2 * math.pi * SLOW_WAVE * onsets[-1] + slow_phase)
            + subject.beat_variability * rng.normal()
        )
        interval = mean_interval * (1.0 + swing)
        onsets.append(onsets[-1] + interval)
    intercept, slope = _QS2_FEMALE if subject.female else _QS2_MALE
    s1 = np.array(onsets)
    a2 = s1[:-1] + intercept - slope * 60.0 / np.array(preceding) - subject.q_to_s1
    return Rhythm(
        s1_end=s1[:-1] + subject.s1_duration,
        a2=a2,
        s2_end=a2 + subject.s2_duration,
        s1=s1,
        breath_phase=float(breath_phase),
    )
