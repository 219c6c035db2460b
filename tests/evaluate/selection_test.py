import numpy as np
import pytest
import sklearn.metrics

from hsjax import evaluate


@pytest.mark.parametrize(("classes", "positive"), [(2, 1), (2, 0), (4, None)])
def test_selection_equals_scikit_learn(classes, positive):
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, 80).astype(np.int32)
    logits = rng.normal(size=(80, classes)) + np.eye(classes)[label]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    selected = evaluate.selection(probabilities, label, positive)
    predicted = probabilities.argmax(1)
    assert selected["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(label, predicted))
    assert selected["macc"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(label, predicted))
    if positive is None:
        area = sklearn.metrics.roc_auc_score(label, probabilities, multi_class="ovr", average="macro")
    else:
        area = sklearn.metrics.roc_auc_score(label == positive, probabilities[:, positive])
    assert selected["auroc"] == pytest.approx(area)


def test_one_class_alone_has_no_auroc():
    selected = evaluate.selection(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), 1)
    assert np.isnan(selected["auroc"])
    assert selected["accuracy"] == 0.5
