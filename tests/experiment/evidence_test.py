"""What the training part of a split knows about its test part, counted by hand."""

import numpy as np

from hsjax.data.audit import twins
from hsjax.data.download import register
from hsjax.experiment import evidence
from hsjax.types import Recording, Split


def recording(name: str, group: str) -> Recording:
    return Recording(name, "N", "", None, group, 1000, 10, None, lambda: np.zeros(10, np.float32), digest=name)


def known(tmp_path, kept: bool):
    recordings = tuple(recording(name, group) for name, group in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "3")))
    owner = np.array([0, 0, 1, 2, 2, 3])
    # Trained on: one window of a, and d. Tested: the other of a, b (of a's group), both of c (a twin of d).
    split = Split(np.array([0, 5]), np.array([], int), np.array([1, 2, 3, 4]))
    if kept:
        path = tmp_path / f"twins-{twins._key(recordings)}.json"
        path.write_text('{"pairs": [["c", "d", 0.95, 0.9, 0, false], ["a", "b", 0.8, 0.8, 0, false]]}')
    return evidence.known(recordings, owner, split, tmp_path)


def test_recordings_and_groups_that_cross(tmp_path):
    expected = {"examples": 4, "of_trained_recording": 1, "of_trained_group": 2, "of_trained_twin": None}
    assert known(tmp_path, kept=False) == expected


def test_near_copies_count_where_they_have_been_looked_for(tmp_path):
    assert known(tmp_path, kept=True)["of_trained_twin"] == 2


def test_what_is_learnt_from_in_pre_training_is_known_too(tmp_path):
    recordings = tuple(recording(name, group) for name, group in (("a", "1"), ("b", "1"), ("c", "2")))
    split = Split(np.array([2]), np.array([], int), np.array([1]), pretrain=np.array([0]))
    counts = evidence.known(recordings, np.array([0, 1, 2]), split, tmp_path)
    assert (counts["of_trained_recording"], counts["of_trained_group"]) == (0, 1)


def test_the_register_counts_the_official_distributions():
    counts = register.recordings("physionet2016")
    assert (sum(counts.values()), counts["training-e"]) == (3240, 2141)
    assert register.recordings("synthetic") == {}
