"""The few metrics that pick an epoch, without a threshold or an interval."""

import numpy as np
from jaxtyping import Float, Int

from hsjax.evaluate import metrics

# What `selection` returns.
SELECTABLE = ("auroc", "accuracy", "macc")


def selection(
    probabilities: Float[np.ndarray, "n classes"], label: Int[np.ndarray, " n"], positive: int | None
) -> dict[str, float]:
    """AUROC, and accuracy and MAcc of the likeliest class, each on validation data.

    Args:
      probabilities: `(n, classes)`.
      label: true classes.
      positive: index of the class to detect; None ranks every class against the rest and averages.

    Returns:
      `auroc`, `accuracy`, `macc`: with more than two classes MAcc is the macro recall, which it equals with two.
    """
    num_classes = probabilities.shape[1]
    confusion = metrics.confusion_matrix(label, metrics.decide(probabilities, None, positive), num_classes)
    detected = range(num_classes) if positive is None else (positive,)
    rankings = [metrics.rank(probabilities[:, index], label == index) for index in detected]
    return {
        "auroc": float(np.mean([metrics.auroc(metrics.count(ranking)) for ranking in rankings])),
        "accuracy": float(metrics.accuracy(confusion)),
        "macc": float(metrics.macro(metrics.recall(confusion))),
    }
