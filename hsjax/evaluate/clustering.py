"""Classes from K-means clusters of embeddings: fitted on training examples, applied to any."""

import enum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Rule(enum.Enum):
    """What an example's cluster says about its class.

    COMPOSITION: the classes of the training examples in its cluster, one of each added (Laplace).
    NEAREST: the class that is most frequent in its cluster, for certain; of equally frequent ones the first.
    """

    COMPOSITION = "composition"
    NEAREST = "nearest-centroid"


class Clusters(NamedTuple):
    """Fitted clusters.

    Attributes:
      mean: of the training embeddings.
      scale: their standard deviation; 1 where it is 0.
      centroids: of standardised embeddings.
      probabilities: of each class in each cluster.
    """

    mean: Float[np.ndarray, " dims"]
    scale: Float[np.ndarray, " dims"]
    centroids: Float[np.ndarray, "clusters dims"]
    probabilities: Float[np.ndarray, "clusters classes"]


def fit(
    embeddings: Float[np.ndarray, "n dims"],
    label: Int[np.ndarray, " n"],
    num_classes: int,
    clusters: int,
    rule: Rule = Rule.COMPOSITION,
    *,
    seed: int,
) -> Clusters:
    """K-means of standardised training embeddings, and what the labels in each cluster say.

    Args:
      embeddings: of training examples only.
      label: their classes.
      num_classes: of the dataset.
      clusters: how many; no more than there are examples.
      rule: see there.
      seed: of the ten starts, of which the best is kept.

    Raises:
      ValueError: more clusters than examples.
    """
    from sklearn import cluster  # takes more than a second

    if clusters > len(embeddings):
        raise ValueError(f"{len(embeddings)} examples do not make {clusters} clusters")
    embeddings = embeddings.astype(np.float64)
    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    found = cluster.KMeans(clusters, n_init=10, random_state=seed).fit((embeddings - mean) / scale)
    counts = np.zeros((clusters, num_classes))
    np.add.at(counts, (found.labels_, label), 1)
    if rule is Rule.COMPOSITION:
        probabilities = (counts + 1) / (counts + 1).sum(axis=1, keepdims=True)
    else:
        probabilities = np.eye(num_classes)[counts.argmax(axis=1)]
    return Clusters(mean, scale, found.cluster_centers_, probabilities)


def predict(clusters: Clusters, embeddings: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n classes"]:
    """The probabilities of each example's nearest centroid."""
    standardised = (embeddings.astype(np.float64) - clusters.mean) / clusters.scale
    # |x - c|^2 without |x|^2, which is the same for all centroids.
    distance = (clusters.centroids**2).sum(axis=1) - 2 * standardised @ clusters.centroids.T
    return clusters.probabilities[distance.argmin(axis=1)]
