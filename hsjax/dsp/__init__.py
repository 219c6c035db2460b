"""Signal processing in JAX: pure functions of `(..., time)` arrays and plain arguments, never of a config.

Filters, windows and filterbanks are *designed* on the host in float64 (SciPy, NumPy) from static arguments and
*applied* in JAX in the dtype of the samples (`inputs`). Functions of fixed windows (spectra, bands, cepstra, FIR
filters) trace to matrix products, slices and elementwise operations that TFLite and ONNX have as builtin operators.
Functions of whole recordings (zero-phase filters, spikes, R peaks, segmentation) take padded batches and the `lengths`
of their members.

Spectra and bands are `(..., frames, bands)`, as matrix products want them; cepstra, SciPy's spectrogram and the papers'
recipes are `(..., bands, frames)`, as they are published. `deltas` and `augment.spec_augment` take time last: exchange
the axes of bands first.

Beside what is named here there are `augment` (random changes, key first), `segmentation` (heart states) and `streaming`
(the same features and filters over chunks, with carried state).
"""

from hsjax.dsp import augment, segmentation, streaming
from hsjax.dsp.bands import band_energies
from hsjax.dsp.beats import beat_windows, rr_intervals
from hsjax.dsp.cepstrum import DctType, dct_basis, idct_basis, liftering, mfcc
from hsjax.dsp.decibels import Reference, db_to_magnitude, db_to_power, magnitude_to_db, power_to_db
from hsjax.dsp.delta_features import Edges, deltas
from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.ecg import Baseline, notch, remove_baseline, running_median
from hsjax.dsp.energy_normalisation import Smoother, pcen, pcen_chunk
from hsjax.dsp.fir import butterworth_fir, fir_filter, linear_phase_fir
from hsjax.dsp.fourier import Backend, istft, magnitude_spectrum, power_spectrum, stft, stft_parts
from hsjax.dsp.frames import Padding, frame, frame_count, overlap_add
from hsjax.dsp.gammatone import (
    erb_frequencies,
    gammatone_bands,
    gammatone_filterbank,
    gammatone_fir,
    gammatone_spectrogram,
)
from hsjax.dsp.inputs import from_pcm
from hsjax.dsp.learnable import Bands, equal_energy_bands, learnable_spectrogram, mel_bands
from hsjax.dsp.mel import MelScale, log_mel, mel_filterbank, mel_spectrogram
from hsjax.dsp.normalise import min_max, peak, remove_mean, unit_rms, z_score
from hsjax.dsp.polyphase import AntiAlias, resample
from hsjax.dsp.qrs import RPeaks, r_peaks
from hsjax.dsp.recipes import Fit, Level, Paper, Recipe, recipe
from hsjax.dsp.scipy_spectrogram import (
    Detrend,
    Mode,
    Scaling,
    spectrogram,
    spectrogram_frequencies,
    spectrogram_times,
)
from hsjax.dsp.sos import Extension, Form, initial_state, sos_filter, sos_filter_with_state, zero_phase
from hsjax.dsp.spikes import remove_spikes
from hsjax.dsp.triangular import log_triangular, triangular_filterbank
from hsjax.dsp.windows import Window, hann, window

__all__ = [
    "AntiAlias",
    "Backend",
    "Band",
    "Bands",
    "Baseline",
    "DctType",
    "Detrend",
    "Edges",
    "Extension",
    "Fit",
    "Form",
    "Level",
    "MelScale",
    "Mode",
    "Padding",
    "Paper",
    "RPeaks",
    "Recipe",
    "Reference",
    "Scaling",
    "Smoother",
    "Window",
    "augment",
    "band_energies",
    "beat_windows",
    "butterworth",
    "butterworth_fir",
    "db_to_magnitude",
    "db_to_power",
    "dct_basis",
    "deltas",
    "equal_energy_bands",
    "erb_frequencies",
    "fir_filter",
    "frame",
    "frame_count",
    "from_pcm",
    "gammatone_bands",
    "gammatone_filterbank",
    "gammatone_fir",
    "gammatone_spectrogram",
    "hann",
    "idct_basis",
    "initial_state",
    "istft",
    "learnable_spectrogram",
    "liftering",
    "linear_phase_fir",
    "log_mel",
    "log_triangular",
    "magnitude_spectrum",
    "magnitude_to_db",
    "mel_bands",
    "mel_filterbank",
    "mel_spectrogram",
    "mfcc",
    "min_max",
    "notch",
    "overlap_add",
    "pcen",
    "pcen_chunk",
    "peak",
    "power_spectrum",
    "power_to_db",
    "r_peaks",
    "recipe",
    "remove_baseline",
    "remove_mean",
    "remove_spikes",
    "resample",
    "rr_intervals",
    "running_median",
    "segmentation",
    "sos_filter",
    "sos_filter_with_state",
    "spectrogram",
    "spectrogram_frequencies",
    "spectrogram_times",
    "stft",
    "stft_parts",
    "streaming",
    "triangular_filterbank",
    "unit_rms",
    "window",
    "z_score",
    "zero_phase",
]
