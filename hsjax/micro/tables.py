"""The generated headers of the C front end: its sizes, and its constants for either arithmetic."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float32

from hsjax.micro import fixed_point, literals
from hsjax.micro.design import AMIN, SILENCE, Design
from hsjax.runtime.litert import Quantisation


def sizes(design: Design) -> dict[str, int]:
    """The constants of hs_config.h that arrays are measured by."""
    coefficients, frames = design.shape
    return {
        "HS_COEFFICIENTS": coefficients,
        "HS_FRAMES": frames,
        "HS_FEATURES": coefficients * frames,
        "HS_N_FFT": design.n_fft,
        "HS_HOP_LENGTH": design.hop_length,
        "HS_BANDS": design.filters.shape[1],
        "HS_BINS": design.bins.stop - design.bins.start,
        "HS_SECTIONS": len(design.sections),
    }


def band_pass(design: Design) -> str:
    """Content of hs_tables_band_pass.h, without what stands around it."""
    fraction, sections = fixed_point.band_pass(design)
    return (
        definitions({"HS_FRACTION": fraction}) + "\n" + literals.array("HS_BAND_PASS", sections, ("HS_SECTIONS", "5"))
    )


def fixed(design: Design, quantisation: Quantisation) -> str:
    """Content of hs_tables_fixed.h, likewise."""
    constants = fixed_point.fixed_point(design, quantisation)
    gain_sizes = ("HS_COEFFICIENTS", "HS_BANDS")[: constants.gain.ndim]
    numbers = {
        "HS_FIRST_BIN": design.bins.start,
        "HS_CEPSTRUM": int(design.cepstrum is not None),
        "HS_UNIT_LEVEL": constants.unit_level,
        "HS_LOWEST_LEVEL": constants.lowest_level,
        "HS_RANGE": constants.range,
        "HS_SILENCE": constants.silence,
    }
    arrays = (
        literals.array("HS_COSINE", constants.cosine, ("HS_N_FFT / 4 + 1",)),
        literals.array("HS_BAND_FIRST", constants.first, ("HS_BANDS",)),
        literals.array("HS_BAND_BINS", constants.count, ("HS_BANDS",)),
        literals.array("HS_BAND_WEIGHTS", constants.weights),
        literals.array("HS_GAIN", constants.gain, gain_sizes),
        literals.array("HS_GAIN_SHIFT", constants.shift, ("HS_COEFFICIENTS",)),
        literals.array("HS_BIAS", constants.bias, ("HS_COEFFICIENTS",)),
    )
    return definitions(numbers) + "\n" + "\n".join(arrays)


def float32(design: Design) -> str:
    """Content of hs_tables_float.h, likewise."""
    first, count, weights = fixed_point.bands(design)
    gain, bias = design.normalisation
    gain = gain.T if design.cepstrum is not None else np.diag(gain)
    numbers = {
        "HS_FIRST_BIN": design.bins.start,
        "HS_CEPSTRUM": int(design.cepstrum is not None),
        "HS_LOWEST_ENERGY": literals.real(AMIN),
        "HS_LOWEST_LEVEL": f"({literals.real(10 * np.log10(AMIN))})",
        "HS_RANGE": literals.real(design.top_db),
        "HS_SILENCE": literals.real(SILENCE**2),
    }
    arrays = (
        literals.array("HS_COSINE", _single(fixed_point.cosine(design)), ("HS_N_FFT / 4 + 1",)),
        literals.array("HS_BAND_FIRST", first, ("HS_BANDS",)),
        literals.array("HS_BAND_BINS", count, ("HS_BANDS",)),
        literals.array("HS_BAND_WEIGHTS", _single(weights)),
        literals.array("HS_GAIN", _single(gain), ("HS_COEFFICIENTS", "HS_BANDS")[: gain.ndim]),
        literals.array("HS_BIAS", _single(bias), ("HS_COEFFICIENTS",)),
    )
    return definitions(numbers) + "\n" + "\n".join(arrays)


def definitions(constants: Mapping[str, int | str]) -> str:
    """Constants as macros."""
    return "".join(f"#define {name} {value}\n" for name, value in constants.items())


def _single(values: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    return values.astype(np.float32)
