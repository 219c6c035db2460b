import numpy as np
import pytest
from sklearn import datasets, linear_model, preprocessing

from hsjax.evaluate.classical import Classical, fit_predict

IRIS, KIND = datasets.load_iris(return_X_y=True)
TRAIN, TEST = np.arange(0, 150, 2), np.arange(1, 150, 2)


def fitted(model, label=KIND, num_classes=3):
    return fit_predict(model, IRIS[TRAIN], label[TRAIN], num_classes, IRIS[TEST], seed=0)


def test_majority_says_how_frequent_each_class_is():
    label = np.where(np.arange(150) < 60, 0, 2)
    np.testing.assert_allclose(fitted(Classical.MAJORITY, label), np.tile([0.4, 0.0, 0.6], (75, 1)))


@pytest.mark.parametrize("model", [model for model in Classical if model is not Classical.MAJORITY])
def test_flowers_are_told_apart(model):
    found = fitted(model)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found.argmax(axis=1) == KIND[TEST]).mean() > 0.9


def test_features_are_standardised_on_the_training_examples():
    scaler = preprocessing.StandardScaler().fit(IRIS[TRAIN])
    theirs = linear_model.LogisticRegression(max_iter=2000, class_weight="balanced")
    theirs.fit(scaler.transform(IRIS[TRAIN]), KIND[TRAIN])
    expected = theirs.predict_proba(scaler.transform(IRIS[TEST]))
    np.testing.assert_allclose(fitted(Classical.LOGISTIC), expected)


def test_a_single_class_is_certain():
    np.testing.assert_array_equal(fitted(Classical.LOGISTIC, np.ones(150, int)), np.tile([0, 1, 0], (75, 1)))


def test_one_example_of_a_class_is_too_few_for_platt():
    label = np.where(np.arange(150) == 0, 1, 0)
    with pytest.raises(ValueError, match="two training examples of every class"):
        fitted(Classical.RBF_SVM, label)
