import numpy as np
import pytest
from sklearn import cluster, preprocessing

from hsjax.evaluate import clustering

# Two heaps far apart: three of class 0 and one of class 1 to the left, two of class 1 to the right.
EMBEDDINGS = np.array([[0.0, 5.0], [0.1, 5.0], [0.2, 5.0], [0.3, 5.0], [9.0, 5.0], [9.1, 5.0]])
LABEL = np.array([0, 0, 0, 1, 1, 1], np.int32)
ELSEWHERE = np.array([[-3.0, 5.0], [20.0, 5.0]])


def test_composition_counts_the_labels_of_each_cluster_and_one_of_each_class():
    made = clustering.fit(EMBEDDINGS, LABEL, 3, 2, seed=0)
    # (3 + 1, 1 + 1, 0 + 1) of 7 and (0 + 1, 2 + 1, 0 + 1) of 5.
    np.testing.assert_allclose(clustering.predict(made, ELSEWHERE), [[4 / 7, 2 / 7, 1 / 7], [1 / 5, 3 / 5, 1 / 5]])


def test_nearest_centroid_is_certain_of_the_most_frequent_class():
    made = clustering.fit(EMBEDDINGS, LABEL, 3, 2, clustering.Rule.NEAREST, seed=0)
    np.testing.assert_array_equal(clustering.predict(made, ELSEWHERE), [[1, 0, 0], [0, 1, 0]])


def test_assignment_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    training, others = random.normal(size=(60, 5)) * [1, 10, 1, 1, 0.1], random.normal(size=(40, 5))
    made = clustering.fit(training, random.integers(0, 2, 60), 2, 7, seed=3)
    scaler = preprocessing.StandardScaler().fit(training)
    theirs = cluster.KMeans(7, n_init=10, random_state=3).fit(scaler.transform(training))
    expected = theirs.predict(scaler.transform(others))
    apart = made._replace(probabilities=np.eye(7))
    np.testing.assert_array_equal(clustering.predict(apart, others).argmax(axis=1), expected)


def test_more_clusters_than_examples_are_refused():
    with pytest.raises(ValueError, match="6 examples do not make 7 clusters"):
        clustering.fit(EMBEDDINGS, LABEL, 2, 7, seed=0)
