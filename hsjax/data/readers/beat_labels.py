"""Classes of heartbeats: which of PhysioNet's annotation codes belong together, by standard and by paper."""

import enum
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Num

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""PhysioNet's annotation codes of beats. All others mark rhythm, noise and waves ('!' is one of flutter)."""

AAMI: Mapping[str, str] = {
    symbol: label
    for label, symbols in {"N": "NLRBejn", "S": "AaJS", "V": "VrE", "F": "F", "Q": "/fQ?"}.items()
    for symbol in symbols
}
"""ANSI/AAMI EC57: N normal, bundle branch block and supraventricular escape, S supraventricular premature, V
ventricular premature and escape, F fusion of ventricular and normal, Q paced, fused with paced, or unclassifiable. The
escape beats e, j and n are N as in de Chazal, O'Dwyer & Reilly 2004, whom the field follows; B, n, r and ? do not occur
in MIT-BIH."""


class Labels(enum.StrEnum):
    """How beats are labelled.

    Attributes:
      AAMI: N, S, V, F and Q of ANSI/AAMI EC57 (`AAMI`).
      AAMI_NSV: N, S and V of these, for the inter-patient protocol. Beats of F and Q have no label: F is too rare to be
        scored, and most of Q are of the paced records, which are not part of that protocol.
      BIRTON: the annotation codes N, V, F, / (paced) and f (fusion of paced and normal), all others as `other`: Birton,
        Compressed Convolutional Neural Networks for the Classification of Electrocardiogram Signals on Embedded
        Devices, table 2. L, R and A are among the others, although there are more than the 1000 of each that the text
        asks of a class.
    """

    AAMI = "aami"
    AAMI_NSV = "aami-nsv"
    BIRTON = "birton"


CLASSES: Mapping[Labels, tuple[str, ...]] = {
    Labels.AAMI: ("N", "S", "V", "F", "Q"),
    Labels.AAMI_NSV: ("N", "S", "V"),
    Labels.BIRTON: ("N", "V", "F", "/", "f", "other"),
}
"""Names of the classes, in order."""


def label(symbols: np.ndarray, labels: Labels) -> np.ndarray:
    """The class of each beat, empty where the labelling leaves it out.

    Args:
      symbols: str (n,), all of `BEAT_SYMBOLS`.
      labels: the labelling.
    """
    names = {symbol: _name(symbol, labels) for symbol in np.unique(symbols).tolist()}
    return np.array([names[symbol] for symbol in symbols.tolist()], dtype=str)


def _name(symbol: str, labels: Labels) -> str:
    name = symbol if labels is Labels.BIRTON else AAMI[symbol]
    if name in CLASSES[labels]:
        return name
    return "other" if labels is Labels.BIRTON else ""


def rr_intervals(index: Num[np.ndarray, " beats"], sample_rate: float | int) -> Float64[np.ndarray, "beats 2"]:
    """Seconds from the beat before and to the beat behind each beat; NaN where there is none.

    Args:
      index: sample of each R peak, ascending; of all beats, those without a label included.
      sample_rate: Hz.
    """
    gaps = np.diff(index) / sample_rate
    unknown = np.full(min(1, len(index)), np.nan)
    return np.stack([np.concatenate([unknown, gaps]), np.concatenate([gaps, unknown])], axis=1)
