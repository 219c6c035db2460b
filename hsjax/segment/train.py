"""Fits the segmentation to annotated recordings: emission and durations on training, their use on validation."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

import hsjax
from hsjax import progress
from hsjax.data.readers import physionet2016
from hsjax.dsp import batches
from hsjax.dsp.segmentation import durations, emission, springer
from hsjax.dsp.segmentation.envelopes import FRAME_RATE, envelopes
from hsjax.dsp.segmentation.rhythm import rhythm
from hsjax.evaluate import segmentation as scoring
from hsjax.segment import measured
from hsjax.segment.parts import Part, divide, load
from hsjax.types import HeartState, Recording, UserError

COMMAND = "python -m hsjax.segment train"

EXPONENTS = (0.35, 0.5, 0.7, 1.0)
"""Of the emission; the best on the validation part is kept."""
RATES = (48.0, 56.0, 65.0, 76.0, 88.0, 103.0, 120.0)
"""Beats per minute that are tried: 17 % apart, so that the diastoles of neighbours (7 % of a mean, cut at three times
that) overlap."""

_TOLERANCE = 0.1  # s, of the figure that selects


class Known(NamedTuple):
    """An annotated recording as training sees it.

    Attributes:
      recording: what it is.
      states: `(time,)`, the true ones at its sample rate.
      features: `(frames, 4)`, its envelopes.
    """

    recording: Recording
    states: Int8[np.ndarray, " time"]
    features: Float[np.ndarray, "frames 4"]


def train(root: pathlib.Path) -> springer.Parameters:
    """Parameters from the training part; settings picked by F1 on the validation part. The test part is not read.

    Args:
      root: folder of the distributions.

    Raises:
      UserError: the data are not there.
    """
    parts = divide(load(root))
    taught, held_out = (_known(parts[part], f"envelopes, {part}") for part in (Part.TRAIN, Part.VALIDATION))
    if not taught or not held_out:
        raise UserError("training or validation has no recording with a known state: check annotations/hand_corrected/")
    frames = [one.states[:: one.recording.sample_rate // FRAME_RATE][: len(one.features)] for one in taught]
    features = np.concatenate([one.features[: len(states)] for one, states in zip(taught, frames, strict=True)])
    states = np.concatenate(frames)
    regression = emission.fit(jnp.asarray(features[states > 0]), jnp.asarray(states[states > 0], jnp.int32))
    marked = [(one.states, one.recording.sample_rate) for one in taught]
    candidates = [
        springer.Parameters(
            weights=tuple(tuple(round(float(weight), 5) for weight in row) for row in regression.weights),
            bias=tuple(round(float(bias), 5) for bias in regression.bias),
            exponent=exponent,
            durations=model,
            systole=measured.typical_systole(marked),
            rates=RATES,
        )
        for model in (durations.DurationModel(), measured.duration_model(marked))
        for exponent in EXPONENTS
    ]
    with progress.bar("settings, validation", len(candidates)) as advance:
        quality = []
        for candidate in candidates:
            quality.append(_f1(held_out, candidate))
            advance(1)
    best = candidates[int(np.argmax(quality))]
    groups = {one.recording.group for one in taught}
    origin = {
        "command": f"{COMMAND} --data=DIR --output=hsjax/dsp/segmentation/springer.json",
        "version": hsjax.__version__,
        "data": f"{physionet2016.NAME}, hand-corrected states; {physionet2016.CITATION}",
        "protocol": "grouped, split seed 0: fitted to the training part, exponent and durations picked on validation",
        "recordings": len(taught),
        "groups": len(groups),
        "frames": int((states > 0).sum()),
        "validation_recordings": len(held_out),
        "validation_f1_100ms": " ".join(f"{value:.4f}" for value in quality),
    }
    return dataclasses.replace(best, origin=tuple(origin.items()))


def _known(recordings: Sequence[Recording], description: str) -> list[Known]:
    """Those of the recordings of which something is known, with their envelopes."""
    states = [recording.annotation() for recording in recordings if recording.annotation is not None]
    told = [pair for pair in zip(recordings, states, strict=True) if (pair[1] != HeartState.UNKNOWN).any()]
    sounds = [recording.read() for recording, _ in told]
    rate = physionet2016.SAMPLE_RATE
    found = {}
    compiled = jax.jit(envelopes, static_argnums=1)
    with progress.bar(description, len(sounds)) as advance:
        for batch in batches.padded_batches([len(sound) for sound in sounds], round(springer.BATCH * rate)):
            samples, valid = batches.pad([sounds[member] for member in batch.members], batch)
            features, lengths = jax.device_get(compiled(samples, rate, valid))
            for row, member in enumerate(batch.members):
                found[int(member)] = features[row, : lengths[row]]
            advance(len(batch.members))
    return [Known(recording, truth, found[place]) for place, (recording, truth) in enumerate(told)]


def _f1(recordings: Sequence[Known], parameters: springer.Parameters) -> float:
    """Of both sounds' onsets, all recordings together."""
    counts = scoring.Matches()
    features = [one.features for one in recordings]
    plain = dataclasses.replace(parameters, exponent=1.0)
    for batch in batches.padded_batches([len(values) for values in features], round(springer.BATCH * FRAME_RATE)):
        values, lengths = batches.pad([features[member] for member in batch.members], batch)
        done = jax.device_get(_decode(values, lengths, jnp.asarray(parameters.exponent), plain))
        for row, member in enumerate(batch.members):
            one = recordings[member]
            states = done.states[row, : lengths[row]]
            rate = one.recording.sample_rate
            for sound in (HeartState.S1, HeartState.S2):
                found = scoring.onsets(states, sound) / FRAME_RATE
                marked = scoring.onsets(one.states, sound) / rate
                told = scoring.told(found, one.states, rate, _TOLERANCE)
                counts += scoring.score(found, marked, _TOLERANCE, told)
    return counts.f1


@functools.partial(jax.jit, static_argnames="parameters")
def _decode(
    features: Float[Array, "batch frames 4"],
    lengths: Int[Array, " batch"],
    exponent: Float[Array, ""],
    parameters: springer.Parameters,
) -> springer.Segmentation:
    """As `springer.segment`, from envelopes. Exponents share a compilation: that of the parameters is to be 1."""
    guess = rhythm(features[..., 0], FRAME_RATE, lengths)
    return springer.decode(exponent * springer.emissions(features, parameters), guess, parameters, lengths)
