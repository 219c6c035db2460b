"""Where to put the threshold of a two-class detector, decided on validation data."""

import numpy as np
from jaxtyping import Bool, Float

from hsjax.evaluate import metrics
from hsjax.types import UserError


def choose(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The threshold with the highest mean of sensitivity and specificity.

    Candidates lie halfway between neighbouring distinct scores, so that neither rounding nor the next decimal of a
    score flips a decision; among equally good ones the closest to 0.5 wins. If all scores are equal there is nothing
    to choose between, and it is 0.5.

    Args:
      score: probability of the positive class, on validation data.
      positive: whether a unit is of that class.

    Returns:
      For `metrics.decide`: positive where the probability is at least this.

    Raises:
      UserError: only one class is present.
    """
    if positive.all() or not positive.any():
        raise UserError(
            "the validation part holds one class only, so no threshold can be chosen; enlarge it or change the split"
        )
    ranking = metrics.rank(score.astype(np.float64), positive)
    counts = metrics.count(ranking)
    between = (ranking.threshold[:-1] + ranking.threshold[1:]) / 2
    if len(between) == 0:
        return 0.5
    # Candidate k lies just below distinct score k, where the counts at k are predicted positive. This is MAcc up to
    # a constant and a factor, in whole numbers, so that ties are exact.
    positives, negatives = counts.true_positives[-1], counts.false_positives[-1]
    gain = (counts.true_positives * negatives - counts.false_positives * positives)[:-1]
    best = between[gain == gain.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])
