import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from hsjax import config as run_config
from hsjax.experiment import train_stage
from hsjax.types import Split


def test_validation_metrics_are_sklearn_s(rng):
    logits, label = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200).astype(np.int32)
    got = train_stage.validate(logits, label=label, positive=1)
    probability = scipy.special.softmax(logits.astype(np.float64), -1)
    assert got["loss"] == pytest.approx(sklearn.metrics.log_loss(label, probability))
    assert got["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(label, probability[:, 1]))
    assert got["macc"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(label, logits.argmax(1)))


def test_a_share_of_the_training_examples_holds_every_smaller_one():
    split = Split(np.arange(10, 110), np.arange(10), np.arange(110, 120))
    half, third, whole = (
        train_stage._learnt(run_config.train_stage("dscnn", share=share), split) for share in (0.5, 1 / 3, 1.0)
    )
    np.testing.assert_array_equal(whole, split.train)
    assert (len(half), len(third)) == (50, 34)
    assert set(third) < set(half) < set(whole)
    assert (np.diff(half) > 0).all()
    assert np.abs(np.mean(half) - np.mean(whole)) < 10  # drawn from everywhere: sd 2.9; the first half is 25 lower
