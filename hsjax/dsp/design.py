"""Butterworth filters as second-order sections, designed by SciPy on the host in float64."""

import enum
from collections.abc import Sequence

import numpy as np
import scipy.signal
from jaxtyping import Float


class Band(enum.Enum):
    """What a filter lets through; the values are SciPy's names."""

    LOWPASS = "lowpass"
    HIGHPASS = "highpass"
    BANDPASS = "bandpass"
    BANDSTOP = "bandstop"


def checked_edges(
    edges: float | int | Sequence[float | int], sample_rate: float | int, kind: Band
) -> float | list[float]:
    """The edges in the form that `scipy.signal` designs take, once they are possible.

    Raises:
      ValueError: as many edges as the kind does not have, or not `0 < low < high < sample_rate / 2`.
    """
    given = tuple(np.atleast_1d(np.asarray(edges, float)).tolist())
    wanted = 2 if kind in (Band.BANDPASS, Band.BANDSTOP) else 1
    if len(given) != wanted:
        raise ValueError(f"a {kind.value} has {wanted} edge{'s' * (wanted - 1)}, got {len(given)}")
    inside = all(0 < edge < sample_rate / 2 for edge in given)
    if not (inside and given[0] <= given[-1] and len(set(given)) == wanted):
        shape = "0 < low < high <" if wanted == 2 else "0 < edge <"
        raise ValueError(f"want {shape} {sample_rate / 2:g} Hz, got {' and '.join(f'{edge:g}' for edge in given)}")
    return list(map(float, given)) if wanted == 2 else float(given[0])


def butterworth(
    order: int,
    edges: float | int | Sequence[float | int],
    sample_rate: float | int,
    kind: Band = Band.BANDPASS,
) -> Float[np.ndarray, "sections 6"]:
    """Second-order sections of a Butterworth filter: `scipy.signal.butter(..., output="sos")`, float64.

    Args:
      order: of the low-pass prototype; band-pass and band-stop have twice as many poles.
      edges: -3 dB edge in Hz, for band-pass and band-stop the pair (low, high).
      sample_rate: Hz.
      kind: what passes.

    Returns:
      `(sections, 6)`, a host array for `sos_filter` and `zero_phase`.

    Raises:
      ValueError: the order is not positive, the number of edges is not the kind's, or not
        `0 < low < high < sample_rate / 2`.
    """
    if order < 1:
        raise ValueError(f"the order of a Butterworth filter is at least 1, got {order}")
    checked = checked_edges(edges, sample_rate, kind)
    return np.asarray(scipy.signal.butter(order, checked, kind.value, fs=sample_rate, output="sos"))
