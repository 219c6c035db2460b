"""Signal processing in JAX: pure functions of `(..., time)` arrays and plain arguments, never of a config.

Filters, windows and filterbanks are *designed* on the host in float64 (SciPy, NumPy) from static arguments and
*applied* in JAX, so that every function traces to matrix products, slices and elementwise operations that
TFLite and ONNX have as builtin operators.
"""

from hsjax.dsp.filters import butterworth_fir, fir_filter
from hsjax.dsp.frames import frame
from hsjax.dsp.mel import MelScale, log_mel, mel_filterbank
from hsjax.dsp.mfcc import dct_basis, mfcc
from hsjax.dsp.normalise import remove_mean, unit_rms
from hsjax.dsp.spectrum import hann, power_spectrum, power_to_db

__all__ = [
    "MelScale",
    "butterworth_fir",
    "dct_basis",
    "fir_filter",
    "frame",
    "hann",
    "log_mel",
    "mel_filterbank",
    "mfcc",
    "power_spectrum",
    "power_to_db",
    "remove_mean",
    "unit_rms",
]
