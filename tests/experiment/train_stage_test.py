import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from hsjax.experiment import export_stage, train_stage


def test_validation_metrics_are_sklearn_s(rng):
    logits, label = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200).astype(np.int32)
    got = train_stage.validate(logits, label=label, positive=1)
    probability = scipy.special.softmax(logits.astype(np.float64), -1)
    assert got["loss"] == pytest.approx(sklearn.metrics.log_loss(label, probability))
    assert got["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(label, probability[:, 1]))
    assert got["macc"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(label, logits.argmax(1)))


def test_calibration_is_stratified_and_seeded(rng):
    label = rng.choice(2, 1000, p=[0.9, 0.1])
    chosen = export_stage.calibration_examples(label, 60, seed=0)
    assert np.bincount(label[chosen]).tolist() == [30, 30]
    assert len(np.unique(chosen)) == 60
    np.testing.assert_array_equal(chosen, export_stage.calibration_examples(label, 60, seed=0))
    assert (chosen != export_stage.calibration_examples(label, 60, seed=1)).any()
