"""Heart-sound segmentation from samples to states: envelopes, rhythm, emission, Viterbi (Springer et al. 2016)."""

import dataclasses
import functools
import importlib.resources
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from hsjax.dsp import batches
from hsjax.dsp.segmentation import durations, emission
from hsjax.dsp.segmentation.envelopes import FRAME_RATE, envelopes
from hsjax.dsp.segmentation.rhythm import Rhythm, rhythm
from hsjax.dsp.segmentation.viterbi import viterbi

_SHIPPED = "springer.json"
_LONGEST = 100
"""Frames (2 s): no state lasts longer, as no heart cycle does that `rhythm` finds."""
_MAX_SYSTOLE = 0.6
"""Of the cycle."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """All that is learnt from annotated recordings. Hashable, so that it is an argument of a compiled function.

    Attributes:
      weights: of the emission's regression, 4 envelopes by 4 states.
      bias: of the 4 states.
      exponent: of the emission, see `emission.log_emission`.
      durations: of the states.
      systole: intercept in s, and slope, of the typical systolic interval on the heart period.
      rates: beats per minute that are tried beside what the autocorrelation says; the likeliest of all is kept.
      origin: command, data, protocol and counts that the parameters came from.
    """

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    exponent: float
    durations: durations.DurationModel
    systole: tuple[float, float]
    rates: tuple[float, ...]
    origin: tuple[tuple[str, str | int], ...] = ()


class Segmentation(NamedTuple):
    """Of recordings `(...)`. A pytree.

    Attributes:
      states: `(..., frames)` at 50 Hz, `hsjax.types.HeartState`: frame t is centred on t * 20 ms. UNKNOWN behind a
        recording's length.
      rhythm: that the states were found with; confidence is that of the autocorrelation.
      log_probability: `(...)`, of the path per frame, up to a constant of the emission: higher is a better fit.
    """

    states: Int8[Array, "*batch frames"]
    rhythm: Rhythm
    log_probability: Float[Array, "*batch"]


@functools.cache
def load_parameters(path: pathlib.Path | None = None) -> Parameters:
    """Parameters written by `save_parameters`; the shipped ones where no path is given.

    Raises:
      ValueError: the file holds something else.
    """
    file = importlib.resources.files("hsjax.dsp.segmentation") / _SHIPPED if path is None else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Parameters(
            weights=tuple(tuple(map(float, row)) for row in content["weights"]),
            bias=tuple(map(float, content["bias"])),
            exponent=float(content["exponent"]),
            durations=durations.DurationModel(**content["durations"]),
            systole=(float(content["systole"][0]), float(content["systole"][1])),
            rates=tuple(map(float, content["rates"])),
            origin=tuple(content["origin"].items()),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} holds no parameters of the segmentation ({error!r}): train them again") from error


def save_parameters(parameters: Parameters, path: pathlib.Path) -> None:
    """Writes parameters as JSON that a person can read."""
    content = {"origin": dict(parameters.origin)} | {
        field.name: getattr(parameters, field.name)
        for field in dataclasses.fields(parameters)
        if field.name not in ("origin", "durations")
    }
    content["durations"] = dataclasses.asdict(parameters.durations)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def segment(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    parameters: Parameters | None = None,
    lengths: Int[Array, "*batch"] | None = None,
) -> Segmentation:
    """The state of the heart at every 20 ms.

    Silence, a NaN or less than a heart cycle give states as well, of the typical rhythm: `rhythm.confidence` says that
    nothing was found.

    Args:
      samples: `(..., time)`, as recorded.
      sample_rate: Hz, see `envelopes`.
      parameters: the shipped ones where None.
      lengths: `(...)`, valid samples; all where None.

    Raises:
      ValueError: no samples, or a rate that the envelopes do not take.
    """
    features, frames = envelopes(samples, sample_rate, lengths)
    parameters = load_parameters() if parameters is None else parameters
    guess = rhythm(features[..., 0], FRAME_RATE, frames)
    return decode(emissions(features, parameters), guess, parameters, frames)


def emissions(features: Float[Array, "*batch frames 4"], parameters: Parameters) -> Float[Array, "*batch frames 4"]:
    """Log-likelihoods of frames of envelopes, up to a constant each, to the parameters' exponent."""
    regression = emission.Regression(np.array(parameters.weights), np.array(parameters.bias))
    return emission.log_emission(features, regression, parameters.exponent)


def decode(
    log_emission: Float[Array, "*batch frames 4"],
    measured: Rhythm,
    parameters: Parameters,
    lengths: Int[Array, "*batch"] | None = None,
) -> Segmentation:
    """States from log-probabilities of any origin: the likeliest of the paths that several rhythms lead to.

    The measured rhythm and, with the systole that is typical there, each of `parameters.rates` are decoded. Durations
    are normalised, so the probabilities of their paths compare.

    Args:
      log_emission: `(..., frames, 4)`, see `viterbi`; `parameters.exponent` is not applied to it.
      measured: `(...)`, the first guess.
      parameters: durations, typical systole and rates are used.
      lengths: `(...)`, valid frames; all where None.
    """
    batch = log_emission.shape[:-2]
    frames = log_emission.shape[-2]
    lengths = jnp.broadcast_to(frames if lengths is None else lengths, batch)
    others = [jnp.full(batch, rate, log_emission.dtype) for rate in parameters.rates]
    rate = jnp.stack([measured.heart_rate, *others]).astype(log_emission.dtype)
    systole = _typical_systole(rate, parameters).at[0].set(measured.systole.astype(log_emission.dtype))
    mean, sd = durations.statistics(rate, systole, parameters.durations)
    tables = durations.truncated_gaussians(mean, sd, FRAME_RATE, _LONGEST)
    path = jax.vmap(viterbi, in_axes=(None, 0, None))(log_emission, tables, lengths)
    best = jnp.argmax(path.log_probability, axis=0)[None]

    def chosen(values: Array) -> Array:
        index = best.reshape(*best.shape, *[1] * (values.ndim - best.ndim))
        return jnp.take_along_axis(values, index, axis=0)[0]

    return Segmentation(
        states=chosen(path.states),
        rhythm=Rhythm(chosen(rate), chosen(systole), measured.confidence),
        log_probability=chosen(path.log_probability) / jnp.maximum(lengths, 1),
    )


def _typical_systole(rate: Float[Array, "..."], parameters: Parameters) -> Float[Array, "..."]:
    period = 60.0 / rate
    return jnp.minimum(parameters.systole[0] + parameters.systole[1] * period, _MAX_SYSTOLE * period)


def states_at(
    states: Int8[Array | np.ndarray, "*batch frames"], sample_rate: float | int, length: int
) -> Int8[Array | np.ndarray, "*batch {length}"]:
    """States at another rate: sample n has the state of frame floor(50 n / sample_rate), as in the annotations.

    Args:
      states: `(..., frames)` at 50 Hz.
      sample_rate: Hz.
      length: samples; those behind the last frame have its state.
    """
    frame = np.floor(np.arange(length) * (FRAME_RATE / sample_rate) + 1e-9).astype(np.int32)
    return states[..., np.minimum(frame, states.shape[-1] - 1)]


def segment_all(
    recordings: Sequence[Float[np.ndarray, " _"]],
    sample_rate: float | int,
    parameters: Parameters | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Segmentation]:
    """`segment` of recordings of any lengths, on the host, in padded batches of similar length.

    Args:
      recordings: `(time,)` each.
      sample_rate: of all, Hz.
      parameters: the shipped ones where None.
      progress: told the number of recordings newly done.

    Returns:
      In the order of the recordings, as NumPy arrays without padding.

    Raises:
      ValueError: a recording without samples.
    """
    if any(len(samples) == 0 for samples in recordings):
        raise ValueError("a recording without samples has no states: leave it out")
    parameters = load_parameters() if parameters is None else parameters
    found: dict[int, Segmentation] = {}
    lengths = [len(samples) for samples in recordings]
    for batch in batches.padded_batches(lengths, round(BATCH * sample_rate), shortest=round(SHORTEST * sample_rate)):
        samples, valid = batches.pad([recordings[member] for member in batch.members], batch)
        done = jax.device_get(_compiled(samples, sample_rate, parameters, valid))
        for row, member in enumerate(batch.members):
            one = jax.tree.map(lambda values, row=row: values[row], done)
            frames = -(-lengths[member] * FRAME_RATE // round(sample_rate))
            found[int(member)] = one._replace(states=one.states[:frames])
        progress(len(batch.members))
    return [found[place] for place in range(len(recordings))]


SHORTEST = 1.0
"""s, of the shortest batch that recordings are padded to."""
BATCH = 1600.0
"""s of sound decoded at once, padding included."""
_compiled = jax.jit(segment, static_argnames=("sample_rate", "parameters"))
