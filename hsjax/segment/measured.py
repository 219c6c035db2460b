"""How long heart states last in annotated recordings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int8

from hsjax.dsp.segmentation.durations import DurationModel
from hsjax.types import HEART_STATES, HeartState

Annotation = tuple[Int8[np.ndarray, " _"], float | int]
"""States of every sample, and their rate in Hz."""

_LEAST = 4
"""Durations of a state in one recording from which a standard deviation is taken."""


def lasting(states: Int8[np.ndarray, " time"], sample_rate: float | int, state: HeartState) -> Float[np.ndarray, " n"]:
    """Durations in s of a state, where it begins behind the state before it and ends in the one after it."""
    begins = np.concatenate([[0], np.flatnonzero(np.diff(states)) + 1, [len(states)]])
    order = states[begins[:-1]]
    place = HEART_STATES.index(state)
    before, after = HEART_STATES[place - 1], HEART_STATES[(place + 1) % len(HEART_STATES)]
    whole = np.zeros(len(order), bool)
    whole[1:-1] = (order[:-2] == before) & (order[1:-1] == state) & (order[2:] == after)
    return np.diff(begins)[whole] / sample_rate


def duration_model(annotations: Sequence[Annotation]) -> DurationModel:
    """Means over all durations; standard deviations within recordings, root mean square over them.

    That of diastole is a straight line on its mean, by least squares.
    """
    spread: dict[HeartState, list[tuple[float, float]]] = {state: [] for state in HEART_STATES}
    pooled = {state: [lasting(*one, state) for one in annotations] for state in HEART_STATES}
    for state, recordings in pooled.items():
        spread[state] = [(d.mean(), d.std(ddof=1)) for d in recordings if len(d) >= _LEAST]
    sounds = {state: np.concatenate(pooled[state]) for state in (HeartState.S1, HeartState.S2)}
    mean, sd = np.array(spread[HeartState.DIASTOLE]).T
    slope, offset = np.polyfit(mean, sd, 1)
    values = {
        "s1_mean": sounds[HeartState.S1].mean(),
        "s1_sd": sounds[HeartState.S1].std(),
        "s2_mean": sounds[HeartState.S2].mean(),
        "s2_sd": sounds[HeartState.S2].std(),
        "systole_sd": np.sqrt(np.mean([own**2 for _, own in spread[HeartState.SYSTOLE]])),
        "diastole_slope": slope,
        "diastole_offset": offset,
    }
    return DurationModel(**{name: round(float(value), 5) for name, value in values.items()})


def typical_systole(annotations: Sequence[Annotation]) -> tuple[float, float]:
    """Intercept in s and slope of the time from S1 to S2 on the heart period, by least squares over recordings."""
    points = []
    for one in annotations:
        means = [lasting(*one, state) for state in HEART_STATES]
        if all(len(durations) >= _LEAST for durations in means):
            s1, systole, s2, diastole = (float(np.median(durations)) for durations in means)
            points.append((s1 + systole + s2 + diastole, s1 + systole))
    period, systole = np.array(points).T
    slope, intercept = np.polyfit(period, systole, 1)
    return round(float(intercept), 5), round(float(slope), 5)
