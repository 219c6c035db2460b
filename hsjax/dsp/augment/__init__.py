"""Augmentation of body sounds and their features: random changes that leave the label as it is, or mix two.

Every function is pure, takes its key first and one example `(..., time)` or `(..., bands, frames)`; `batched` makes it
one of a batch, `sometimes` gives it a probability. Leading axes of an example are its channels, which share what is
drawn for the example. Strengths are numbers or ranges `(low, high)`, and may be traced. The dtype is kept.
"""

from hsjax.dsp.augment.device import random_response, stethoscope
from hsjax.dsp.augment.draw import batched, sometimes
from hsjax.dsp.augment.ecg import baseline_wander, muscle_noise, powerline_hum
from hsjax.dsp.augment.level import Edge, clip, gain, polarity, time_shift
from hsjax.dsp.augment.masking import Fill, spec_augment
from hsjax.dsp.augment.mixing import Mixed, cutmix, mixup
from hsjax.dsp.augment.noise import (
    add_coloured_noise,
    add_pink_noise,
    add_recorded_noise,
    add_white_noise,
    mix_at_snr,
)
from hsjax.dsp.augment.speed import change_speed, resample_speed
from hsjax.dsp.augment.tempo import phase_vocoder, pitch_shift, stretch, time_stretch, transpose

__all__ = [
    "Edge",
    "Fill",
    "Mixed",
    "add_coloured_noise",
    "add_pink_noise",
    "add_recorded_noise",
    "add_white_noise",
    "baseline_wander",
    "batched",
    "change_speed",
    "clip",
    "cutmix",
    "gain",
    "mix_at_snr",
    "mixup",
    "muscle_noise",
    "phase_vocoder",
    "pitch_shift",
    "polarity",
    "powerline_hum",
    "random_response",
    "resample_speed",
    "sometimes",
    "spec_augment",
    "stethoscope",
    "stretch",
    "time_shift",
    "time_stretch",
    "transpose",
]
