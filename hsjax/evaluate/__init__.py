"""How good a model is: metrics per segment and recording, thresholds, intervals by subject, tests. Never JAX."""

from hsjax.evaluate.aggregate import recordings
from hsjax.evaluate.bootstrap import Decided
from hsjax.evaluate.rows import MEAN, average, difference, over_folds, over_seeds, score
from hsjax.evaluate.selection import SELECTABLE, selection
from hsjax.evaluate.thresholds import choose

__all__ = [
    "MEAN",
    "SELECTABLE",
    "Decided",
    "average",
    "choose",
    "difference",
    "over_folds",
    "over_seeds",
    "recordings",
    "score",
    "selection",
]
