"""The constants of a front end, float64: what C code needs to know of it."""

import dataclasses

import ml_collections
import numpy as np
from jaxtyping import Float

from hsjax.dsp.cepstrum import DctType, dct_basis, liftering
from hsjax.dsp.design import butterworth
from hsjax.dsp.frames import frame_count
from hsjax.dsp.mel import MelScale, mel_filterbank
from hsjax.micro.front_end_file import FrontEndFile
from hsjax.types import UserError

AMIN = 1e-10
"""Floor of the energies of bands, the default of `dsp.mfcc` and `dsp.log_mel`."""

SILENCE = 1e-8
"""Floor of the RMS that windows are divided by, as in `dsp.unit_rms`."""

NAMES = ("mfcc", "log-mel")
"""Of the front ends that there is C code for."""

_SHORTEST, _LONGEST = 32, 2048  # samples a frame


@dataclasses.dataclass(frozen=True)
class Design:
    """A front end in numbers.

    Attributes:
      sample_rate: Hz.
      window: samples.
      n_fft: samples a frame.
      hop_length: samples between frames, of which the t-th is centred on sample `t * hop_length`.
      frames: how many.
      sections: of the band-pass, `scipy.signal.sosfilt`'s. The features room computes the same filter without feedback,
        from its impulse response; with it, it takes 15 multiplications a sample instead of hundreds, and no table.
      filters: weight of each bin in each band.
      cepstrum: bands to coefficients, None where the bands are the features.
      top_db: range kept below the highest level, dB.
      mean: of each coefficient, dB.
      std: of each coefficient, dB.
    """

    sample_rate: int
    window: int
    n_fft: int
    hop_length: int
    frames: int
    sections: Float[np.ndarray, "sections 6"]
    filters: Float[np.ndarray, "bins bands"]
    cepstrum: Float[np.ndarray, "bands coeffs"] | None
    top_db: float
    mean: Float[np.ndarray, " coeffs"]
    std: Float[np.ndarray, " coeffs"]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the features: coefficients and frames."""
        return len(self.mean), self.frames

    @property
    def bins(self) -> slice:
        """The bins that any band has a use for."""
        used = np.flatnonzero(self.filters.any(axis=1))
        return slice(int(used[0]), int(used[-1]) + 1)

    @property
    def normalisation(self) -> tuple[Float[np.ndarray, "bands coeffs"], Float[np.ndarray, " coeffs"]]:
        """Levels of bands in dB to features: what to multiply by, cosine transform included, and what to add then."""
        basis = np.eye(len(self.mean)) if self.cepstrum is None else self.cepstrum
        return basis / self.std, -self.mean / self.std


def design(content: FrontEndFile) -> Design:
    """Of the front end that a file describes.

    Raises:
      UserError: there is no C code for such a front end, or its settings contradict each other.
    """
    config = content.features
    if config.name not in NAMES:
        raise UserError(
            f"there is C code for the front ends {' and '.join(NAMES)}, not for {config.name!r}: "
            "use --model-only, and compute the features with your own code"
        )
    for name, there in (("center_window", config.center_window), ("rows", config.rows > 0), ("pool", config.pool > 1)):
        if there:
            raise UserError(
                f"there is no C code for config.features.{name}: use --model-only, and compute the features with "
                "your own code"
            )
    n_fft = config.n_fft
    if n_fft & (n_fft - 1) or not _SHORTEST <= n_fft <= _LONGEST:
        raise UserError(f"config.features.n_fft is {n_fft}; C code takes powers of two from {_SHORTEST} to {_LONGEST}")
    try:
        return _design(config, content)
    except ValueError as error:
        raise UserError(f"config.features: {error}") from error


def _design(config: ml_collections.ConfigDict, content: FrontEndFile) -> Design:
    rate, mean, std = content.sample_rate, content.state.mean, content.state.std
    scale = MelScale(config.mel_scale)
    filters = mel_filterbank(rate, config.n_fft, config.n_mels, config.fmin, config.fmax, scale)
    cepstrum, coefficients = None, config.n_mels
    if config.name == "mfcc":
        coefficients = config.n_mfcc
        basis = dct_basis(config.n_mels, coefficients, DctType(config.dct))
        cepstrum = basis * liftering(coefficients, config.lifter)
    if not len(mean) == len(std) == coefficients:
        raise ValueError(f"normalisation of {len(mean)} coefficients, not {coefficients}")
    return Design(
        sample_rate=rate,
        window=content.window,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        frames=frame_count(content.window, config.n_fft, config.hop_length),
        sections=butterworth(config.band.order, (config.band.low, config.band.high), rate),
        filters=filters,
        cepstrum=cepstrum,
        top_db=config.top_db,
        mean=np.asarray(mean, np.float64).ravel(),
        std=np.asarray(std, np.float64).ravel(),
    )
