import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from hsjax.experiment import train_stage


def test_validation_metrics_are_sklearn_s(rng):
    logits, label = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200).astype(np.int32)
    got = train_stage.validate(logits, label=label, positive=1)
    probability = scipy.special.softmax(logits.astype(np.float64), -1)
    assert got["loss"] == pytest.approx(sklearn.metrics.log_loss(label, probability))
    assert got["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(label, probability[:, 1]))
    assert got["macc"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(label, logits.argmax(1)))
