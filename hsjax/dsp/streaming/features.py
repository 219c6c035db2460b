"""Spectra, mel bands, cepstra and what adapts to them, over a stream.

What is relative to a maximum of the whole signal (`top_db`, `Reference.MAX`) cannot be known while it goes on; what
streams is a fixed reference and a floor.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hsjax.dsp.cepstrum import DctType
from hsjax.dsp.cepstrum import mfcc as whole_mfcc
from hsjax.dsp.decibels import Reference
from hsjax.dsp.delta_features import deltas as whole_deltas
from hsjax.dsp.energy_normalisation import PcenArguments, pcen_chunk
from hsjax.dsp.fourier import Backend
from hsjax.dsp.fourier import power_spectrum as whole_power_spectrum
from hsjax.dsp.fourier import stft as whole_stft
from hsjax.dsp.frames import Padding
from hsjax.dsp.inputs import floating
from hsjax.dsp.mel import MelArguments
from hsjax.dsp.mel import log_mel as whole_log_mel
from hsjax.dsp.mel import mel_spectrogram as whole_mel_spectrogram
from hsjax.dsp.streaming.frames import windowed
from hsjax.dsp.streaming.stream import (
    Chunk,
    Count,
    Like,
    State,
    Stream,
    check_chunk,
    floating_dtype,
    ignore_before,
    ignore_from,
    onset,
    places,
)
from hsjax.dsp.windows import Window


def stft(
    n_fft: int,
    hop_length: int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FASTEST,
) -> Stream:
    """Short-time Fourier transform: `hsjax.dsp.stft` as a stream.

    Args:
      n_fft: as for the function of the whole signal; so are the others.
      hop_length: samples between frames; a chunk is a multiple of it.
      window: which window, periodic.
      win_length: its length; `n_fft` where None.
      padding: what stands before and behind the signal, not CENTER_REFLECT.
      backend: how it is computed.

    Returns:
      The stream from samples to `(..., frames, n_fft // 2 + 1)`, complex. Its latency is `frame_latency`.

    Raises:
      ValueError: as the function of the whole signal, or the padding is CENTER_REFLECT.
    """

    def transform(samples: Array) -> Array:
        return whole_stft(samples, n_fft, hop_length, window, win_length, Padding.NONE, backend)

    return windowed(transform, n_fft, hop_length, padding)


def power_spectrum(
    n_fft: int,
    hop_length: int,
    bins: slice = slice(None),
    *,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.DFT,
) -> Stream:
    """Power of the short-time Fourier transform: `hsjax.dsp.fourier.power_spectrum` as a stream.

    Args:
      n_fft: as for `stft`; so are those not named here.
      hop_length: as for `stft`.
      bins: which of the `n_fft // 2 + 1` bins to compute.
      window: as for `stft`.
      win_length: as for `stft`.
      padding: as for `stft`.
      backend: as for `stft`.

    Returns:
      The stream from samples to `(..., frames, bins)`.

    Raises:
      ValueError: as `stft`.
    """

    def power(samples: Array) -> Array:
        return whole_power_spectrum(
            samples,
            n_fft,
            hop_length,
            bins,
            window=window,
            win_length=win_length,
            padding=Padding.NONE,
            backend=backend,
        )

    return windowed(power, n_fft, hop_length, padding)


def mel_spectrogram(sample_rate: float | int, **mel: Unpack[MelArguments]) -> Stream:
    """Power in mel bands: `hsjax.dsp.mel.mel_spectrogram` as a stream.

    Args:
      sample_rate: Hz.
      **mel: `n_fft`, `hop_length`, `n_mels` and what else the function of the whole signal takes.

    Returns:
      The stream from samples to `(..., frames, n_mels)`.

    Raises:
      ValueError: as the function of the whole signal, or the padding is CENTER_REFLECT.
    """
    inner = _unpadded(mel)
    return windowed(lambda samples: whole_mel_spectrogram(samples, sample_rate, **inner), *_frames(mel))


def log_mel(
    sample_rate: float | int,
    *,
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-10,
    top_db: float | int | None = None,
    **mel: Unpack[MelArguments],
) -> Stream:
    """Mel spectrogram in dB: `hsjax.dsp.mel.log_mel(..., top_db=None)` as a stream.

    Args:
      sample_rate: Hz.
      ref: power of 0 dB, a number.
      amin: floor of the power.
      top_db: None.
      **mel: as for `mel_spectrogram`.

    Returns:
      The stream from samples to `(..., frames, n_mels)`, dB.

    Raises:
      ValueError: as `mel_spectrogram`, or `ref` or `top_db` want the maximum of the whole signal.
    """
    _check_reference(ref, top_db)
    inner = _unpadded(mel)

    def db(samples: Array) -> Array:
        return whole_log_mel(samples, sample_rate, ref=ref, amin=amin, top_db=None, **inner)

    return windowed(db, *_frames(mel))


def mfcc(
    sample_rate: float | int,
    n_mfcc: int,
    *,
    dct: DctType = DctType.II,
    lifter: float | int = 0.0,
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-10,
    top_db: float | int | None = None,
    **mel: Unpack[MelArguments],
) -> Stream:
    """Mel-frequency cepstral coefficients: `hsjax.dsp.cepstrum.mfcc(..., top_db=None)` as a stream.

    Args:
      sample_rate: Hz.
      n_mfcc: coefficients kept, from the 0th on.
      dct: which cosine transform.
      lifter: sinusoidal weighting of the coefficients; 0 for none.
      ref: as for `log_mel`.
      amin: as for `log_mel`.
      top_db: as for `log_mel`.
      **mel: as for `mel_spectrogram`.

    Returns:
      The stream from samples to `(..., n_mfcc, frames)`: time is the last axis.

    Raises:
      ValueError: as `log_mel` and as the function of the whole signal.
    """
    _check_reference(ref, top_db)
    inner = _unpadded(mel)

    def coefficients(samples: Array) -> Array:
        return whole_mfcc(
            samples, sample_rate, n_mfcc, dct=dct, lifter=lifter, ref=ref, amin=amin, top_db=None, **inner
        )

    return windowed(coefficients, *_frames(mel), axis_out=-1)


def _unpadded(mel: MelArguments) -> MelArguments:
    return {**mel, "padding": Padding.NONE}


def _frames(mel: MelArguments) -> tuple[int, int, Padding]:
    missing = {"n_fft", "hop_length", "n_mels"} - mel.keys()
    if missing:
        raise TypeError(f"want {', '.join(sorted(missing))} too")
    return mel["n_fft"], mel["hop_length"], mel.get("padding", Padding.CENTER)


def _check_reference(ref: float | int | Reference, top_db: float | int | None) -> None:
    if isinstance(ref, Reference) or top_db is not None:
        raise ValueError(
            f"want a number for ref and None for top_db, for the maximum of a whole signal is not known "
            f"while it goes on, got {ref} and {top_db}; ref and amin are what can be fixed"
        )


def pcen(sample_rate: float | int, hop_length: int, **arguments: Unpack[PcenArguments]) -> Stream:
    """Per-channel energy normalisation: `hsjax.dsp.pcen` as a stream, the running mean carried, without latency.

    A NaN stays in the running mean of its band for good: begin again with `init` to recover.

    Args:
      sample_rate: Hz.
      hop_length: samples between frames.
      **arguments: the others of the function of the whole signal.

    Returns:
      The stream from `(..., frames, bands)` to the same; it takes and gives frames along axis -2.

    Raises:
      ValueError: as the function of the whole signal.
    """

    def after(skip: int) -> Stream:
        def init(chunk: Like) -> State:
            return jnp.ones((*chunk.shape[:-2], chunk.shape[-1]), floating_dtype(chunk)), onset(skip)

        def step(state: State, chunk: Chunk) -> tuple[State, Array]:
            check_chunk(chunk, 1, -2)
            mean, begin = state
            # The running mean begins at 1 and stays there while it hears ones.
            begin, heard = ignore_before(begin, floating(jnp.asarray(chunk)), -2, fill=1.0)
            normalised, mean = pcen_chunk(mean, heard, sample_rate, hop_length, **arguments)
            return (mean, begin), normalised

        def flush(state: State, rest: Chunk, count: Count) -> Array:
            energies = floating(jnp.asarray(rest))
            return step(state, ignore_from(count, energies, -2))[1] if rest.shape[-2] else energies

        return Stream(
            init=init,
            step=step,
            flush=flush,
            flush_count=lambda count: count,
            after=after,
            delay=skip,
            axis_in=-2,
            axis_out=-2,
        )

    stream = after(0)
    jax.eval_shape(lambda one: stream.step(stream.init(one), one), jax.ShapeDtypeStruct((1, 1), jnp.float32))
    return stream


def deltas(width: int = 9, order: int = 1, axis: int = -1) -> Stream:
    """Derivatives over time: `hsjax.dsp.deltas(..., edges=Edges.NEAREST)` as a stream, `width // 2` frames late.

    Args:
      width: frames of the fit, odd.
      order: which derivative; the degree of the polynomial too.
      axis: which axis is time, negative: -1 behind `mfcc`, -2 behind `log_mel`.

    Returns:
      The stream from features to the same shape.

    Raises:
      ValueError: as the function of the whole signal.
    """
    reach = width // 2

    def slopes(features: Array) -> Array:
        """Of all frames but the first and last `width // 2`."""
        inner = whole_deltas(features, width, order, axis)
        return jax.lax.slice_in_dim(inner, reach, inner.shape[axis] - reach, axis=axis % inner.ndim)

    jax.eval_shape(slopes, jax.ShapeDtypeStruct((width,) + (1,) * (-axis - 1), jnp.float32))

    def held(features: Array, first: Array, last: Array | int) -> Array:
        """The first and the last frame instead of what is beyond them."""
        count = features.shape[axis]
        bounds = [jnp.clip(bound, 0, count - 1) for bound in (first, last)]
        begin, end = (jax.lax.dynamic_slice_in_dim(features, bound, 1, axis % features.ndim) for bound in bounds)
        place = places(features, axis)
        return jnp.where(place < first, begin, jnp.where(place > last, end, features))

    def after(skip: int) -> Stream:
        def init(chunk: Like) -> State:
            shape = list(chunk.shape)
            shape[axis] = 2 * reach
            # Where the signal's first frame is, counted from the beginning of the tail.
            return jnp.zeros(shape, floating_dtype(chunk)), jnp.asarray(2 * reach + skip, jnp.int32)

        def step(state: State, chunk: Chunk) -> tuple[State, Array]:
            check_chunk(chunk, 1, axis)
            before, first = state
            frames, count = floating(jnp.asarray(chunk)), chunk.shape[axis]
            features = jnp.concatenate([before, frames], axis=axis)
            tail = jax.lax.slice_in_dim(features, count, None, axis=axis % features.ndim)
            return (tail, jnp.maximum(first - count, 0)), slopes(held(features, first, 2 * reach + count))

        def flush(state: State, rest: Chunk, count: Count) -> Array:
            before, first = state
            behind = jax.lax.slice_in_dim(before, 0, reach, axis=axis % before.ndim)  # of no matter what value
            features = jnp.concatenate([before, floating(jnp.asarray(rest)), behind], axis=axis)
            return slopes(held(features, first, 2 * reach + count - 1))

        return Stream(
            init=init,
            step=step,
            flush=flush,
            flush_count=lambda count: count + reach,
            after=after,
            delay=skip + reach,
            axis_in=axis,
            axis_out=axis,
        )

    return after(0)
