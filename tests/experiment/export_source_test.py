import numpy as np

from hsjax.experiment import export_source


def test_calibration_has_as_many_of_each_class_and_is_seeded(rng):
    label = rng.choice(2, 1000, p=[0.9, 0.1])
    group = rng.integers(0, 100, 1000).astype(str)
    chosen = export_source.calibration_examples(label, group, 60, seed=0)
    assert np.bincount(label[chosen]).tolist() == [30, 30]
    assert len(np.unique(chosen)) == 60
    np.testing.assert_array_equal(chosen, export_source.calibration_examples(label, group, 60, seed=0))
    assert (chosen != export_source.calibration_examples(label, group, 60, seed=1)).any()


def test_groups_take_turns_in_calibration():
    # One recording with 900 windows, fifty with two each.
    group = np.array(["long"] * 900 + [f"short {number}" for number in range(50) for _ in range(2)])
    label = np.zeros(1000, int)
    all_once = export_source.calibration_examples(label, group, 51, seed=0)
    assert len(set(group[all_once])) == 51
    counts = {
        name: int((group[export_source.calibration_examples(label, group, 120, 0)] == name).sum()) for name in group
    }
    assert counts.pop("long") == 20
    assert set(counts.values()) == {2}


def test_classes_with_few_examples_give_what_they_have():
    label = np.array([0] * 50 + [1] * 3)
    chosen = export_source.calibration_examples(label, np.array(["a"] * 53), 20, seed=0)
    assert np.bincount(label[chosen]).tolist() == [10, 3]
