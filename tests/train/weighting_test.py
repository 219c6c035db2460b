import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from hsjax.train import Weighting, class_weights


def test_balanced_weights_are_sklearn_s(rng):
    label = rng.choice(2, 100, p=[0.8, 0.2]).astype(np.int32)
    weights = class_weights(label, 2, Weighting.BALANCED)
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", label), rtol=1e-6)
    np.testing.assert_array_equal(class_weights(label, 2, Weighting.NONE), 1)


def test_a_class_without_examples_changes_nothing():
    np.testing.assert_allclose(class_weights(np.array([0, 0, 2], np.int32), 3, Weighting.BALANCED), [0.75, 0.75, 1.5])


def test_within_balanced_subsets_all_cells_weigh_the_same(rng):
    subset = rng.choice(3, 200, p=[0.7, 0.2, 0.1])
    label = (rng.random(200) < np.array([0.1, 0.5, 0.9])[subset]).astype(np.int32)
    weights = class_weights(label, 2, Weighting.BALANCED_SUBSETS, subset=subset)
    cells = [f"{one} {other}" for one, other in zip(subset, label, strict=True)]
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", cells), rtol=1e-6)


def test_of_one_subset_balanced_subsets_are_balanced_classes(rng):
    label = rng.choice(2, 50).astype(np.int32)
    want = compute_sample_weight("balanced", label)
    for subset in (None, np.zeros(50, np.int64)):
        weights = class_weights(label, 2, Weighting.BALANCED_SUBSETS, subset=subset)
        np.testing.assert_allclose(weights, want, rtol=1e-6)
