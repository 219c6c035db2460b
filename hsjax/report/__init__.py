"""What a run has shown: the three tidy tables, and one page that stands alone. Computes no metric."""

from hsjax.report.page import build
from hsjax.report.tables import (
    CURVES,
    PREDICTIONS,
    RESULTS,
    read_curves,
    read_predictions,
    read_results,
    write_curves,
    write_predictions,
    write_results,
)

__all__ = [
    "CURVES",
    "PREDICTIONS",
    "RESULTS",
    "build",
    "read_curves",
    "read_predictions",
    "read_results",
    "write_curves",
    "write_predictions",
    "write_results",
]
