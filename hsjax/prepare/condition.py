"""Whole recordings, many at once on the device: filtered without delay, freed of spikes, divided into heart states."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int8

from hsjax.dsp import batches, sos, spikes
from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.segmentation import springer
from hsjax.types import Recording, UserError

# Padded samples of one batch: at 2 kHz eleven minutes. Larger batches leave the caches.
_BATCH = 1_280_000
# Seconds; the filters of the segmentation need as much.
_SEGMENTABLE = 0.05
# One thread decodes while another one computes; and what of a batch is not parallel overlaps with the other's.
_THREADS = 2


@dataclasses.dataclass(frozen=True)
class Steps:
    """What is done to a whole recording; hashable, an argument of the compiled function.

    Attributes:
      band: order, lower and upper edge in Hz of a zero-phase Butterworth band-pass; None: not filtered.
      remove_spikes: flatten them (Schmidt et al. 2010), after the filter.
      segment: find the heart states (Springer et al. 2016), of the recording as it came.
    """

    band: tuple[int, float, float] | None = None
    remove_spikes: bool = False
    segment: bool = False

    @property
    def none(self) -> bool:
        """True where a recording stays as it is."""
        return self == Steps()


@dataclasses.dataclass(frozen=True)
class Conditioned:
    """One recording, on the host.

    Attributes:
      samples: after the steps, at the prepared rate.
      states: `hsjax.types.HeartState` of every sample, None where they were not asked for.
    """

    samples: Float32[np.ndarray, " time"]
    states: Int8[np.ndarray, " time"] | None


def condition(
    recordings: Sequence[Recording],
    load: Callable[[Recording], Float32[np.ndarray, " time"]],
    sample_rate: int,
    steps: Steps,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Conditioned]:
    """Runs the steps over recordings in padded batches; each as if it were alone.

    Args:
      recordings: in any order.
      load: decodes one at `sample_rate`; called in a thread.
      sample_rate: Hz.
      steps: what to do.
      progress: told the number of recordings newly done.

    Returns:
      In the order of the recordings.

    Raises:
      UserError: a band that does not fit the rate, or a recording too short to be filtered.
    """
    sections = _sections(steps, sample_rate)
    lengths = [
        -(-recording.num_samples * sample_rate // recording.sample_rate) + 1 for recording in recordings
    ]  # resamplers round as they like
    needed = _needed(sections, sample_rate, steps)
    short = [recording.id for recording, length in zip(recordings, lengths, strict=True) if length - 1 <= needed]
    if short:
        raise UserError(f"{', '.join(short)}: {needed} samples or fewer at {sample_rate} Hz, too short to be prepared")
    found: dict[int, Conditioned] = {}

    def run(batch: batches.PaddedBatch) -> int:
        sounds = [load(recordings[member]) for member in batch.members]
        samples, valid = batches.pad(sounds, batch)
        done, states = jax.device_get(_compiled(samples, valid, sample_rate, steps))
        for row, member in enumerate(batch.members):
            length = len(sounds[row])
            at = None if states is None else np.asarray(springer.states_at(states[row], sample_rate, length))
            found[int(member)] = Conditioned(done[row, :length].copy(), at)
        return len(batch.members)

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        for done in pool.map(run, batches.padded_batches(lengths, _BATCH)):
            progress(done)
    return [found[place] for place in range(len(recordings))]


def _needed(sections: Float[np.ndarray, "sections 6"] | None, sample_rate: int, steps: Steps) -> int:
    """Samples that a recording must exceed."""
    padding = 0 if sections is None else sos.default_padding_length(sections)
    return max(padding, round(_SEGMENTABLE * sample_rate) if steps.segment else 0)


def _sections(steps: Steps, sample_rate: int) -> Float[np.ndarray, "sections 6"] | None:
    if steps.band is None:
        return None
    order, low, high = steps.band
    try:
        return butterworth(order, (low, high), sample_rate, Band.BANDPASS)
    except ValueError as error:
        raise UserError(f"config.prepare.band: {error}") from error


@functools.partial(jax.jit, static_argnames=("sample_rate", "steps"))
def _compiled(
    samples: Float[Array, "rows time"], lengths: Int[Array, " rows"], sample_rate: int, steps: Steps
) -> tuple[Float[Array, "rows time"], Int8[Array, "rows frames"] | None]:
    states = springer.segment(samples, sample_rate, lengths=lengths).states if steps.segment else None
    sections = _sections(steps, sample_rate)
    if sections is not None:
        samples = sos.zero_phase(samples, sections, lengths=lengths)
    if steps.remove_spikes:
        samples = spikes.remove_spikes(samples, sample_rate, lengths)
    return samples, states
