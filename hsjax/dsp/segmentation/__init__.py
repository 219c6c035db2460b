"""Heart states from heart sounds: the duration-dependent hidden Markov segmentation of Springer et al. (2016).

From recordings to states: `envelopes`, `rhythm`, `emission`, `durations`, `viterbi`, put together in `springer` with
the parameters that `python -m hsjax.segment train` fitted; `cycles` cuts the result into heart cycles.
"""

from hsjax.dsp.segmentation.cycles import Cycles, cut_cycles
from hsjax.dsp.segmentation.springer import (
    Parameters,
    Segmentation,
    load_parameters,
    save_parameters,
    segment,
    segment_all,
    states_at,
)

__all__ = [
    "Cycles",
    "Parameters",
    "Segmentation",
    "cut_cycles",
    "load_parameters",
    "save_parameters",
    "segment",
    "segment_all",
    "states_at",
]
