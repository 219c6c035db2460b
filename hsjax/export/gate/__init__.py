"""The parity gate: what an exported file has to show before anyone may use it.

Every check is recorded with its value and limit, whether it passes or not; only when all are there does `enforce`
refuse, so that one bad file does not hide what the others are like.
"""

from hsjax.export.gate.checks import Check, GateFailed, broken, enforce, none_of
from hsjax.export.gate.inspection import emulation, inspect, locate
from hsjax.export.gate.layers import EXAMPLES
from hsjax.export.gate.parity import AGREEMENT, EMULATION, MAX_DEVIATION, agreement, deviation, labels, metric_drop

__all__ = [
    "AGREEMENT",
    "EMULATION",
    "EXAMPLES",
    "MAX_DEVIATION",
    "Check",
    "GateFailed",
    "agreement",
    "broken",
    "deviation",
    "emulation",
    "enforce",
    "inspect",
    "labels",
    "locate",
    "metric_drop",
    "none_of",
]
