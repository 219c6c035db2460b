import itertools

import numpy as np
import pytest
import scipy.io

from hsjax.data.readers import physionet2016, state_annotations
from hsjax.types import HeartState


def write(path, marks):
    """As the official files are: cells in cells."""
    cells = np.empty((len(marks), 2), object)
    for row, (index, name) in enumerate(marks):
        inner = np.empty((1, 1), object)
        inner[0, 0] = name
        cells[row] = [np.array([[index]], np.uint16), inner]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"state_ans": cells})


def test_a_name_holds_until_the_next(tmp_path):
    path = tmp_path / "a.mat"
    write(path, [(3, "diastole"), (5, "S1"), (6, "systole"), (8, "S2"), (9, "(N"), (11, "N)"), (13, "S1")])
    states = state_annotations.read(path, 14)
    assert states.dtype == np.int8
    #                           index 1  2  3  4  5  6  7  8  9 10 11 12 13 14
    np.testing.assert_array_equal(states, [0, 0, 4, 4, 1, 2, 2, 3, 0, 0, 0, 0, 1, 1])


def test_marks_behind_the_end_do_nothing(tmp_path):
    path = tmp_path / "a.mat"
    write(path, [(1, "S1"), (4, "systole"), (9, "S2")])
    np.testing.assert_array_equal(state_annotations.read(path, 5), [1, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ([(1, "S1"), (4, "S3")], "a state 'S3'"),
        ([(1, "S1"), (1, "systole")], "not behind the one before"),
        ([(0, "S1")], "not behind the one before"),
    ],
)
def test_impossible_marks_are_unknown(tmp_path, marks, reason):
    write(tmp_path / "a.mat", marks)
    with pytest.warns(UserWarning, match=f"a.mat is no list of heart states .*{reason}"):
        states = state_annotations.read(tmp_path / "a.mat", 10)
    assert (states == HeartState.UNKNOWN).all()


@pytest.mark.parametrize("content", [b"", b"no mat file", None])
def test_damaged_files_are_unknown(tmp_path, content):
    path = tmp_path / "a.mat"
    write(path, [(1 + 40 * k, name) for k, name in enumerate(["S1", "systole", "S2", "diastole"] * 20)])
    path.write_bytes(path.read_bytes()[:900] if content is None else content)
    with pytest.warns(UserWarning, match="its states are unknown"):
        states = state_annotations.read(path, 100)
    assert (states == HeartState.UNKNOWN).all()


@pytest.mark.realdata
def test_real_recordings_have_them(real_root, real_cache):
    recordings = physionet2016.dataset(real_root, real_cache).recordings
    assert all(recording.annotation is not None for recording in recordings)
    told = 0
    for recording in recordings[::100]:
        states = recording.annotation()
        assert states.shape == (recording.num_samples,)
        change = np.flatnonzero(np.diff(states)) + 1
        before, behind = states[change - 1], states[change]
        known = (before > 0) & (behind > 0)
        # Every state follows the one before it in a circle, wherever both are known.
        np.testing.assert_array_equal((behind - before)[known] % 4, 1)
        told += (states > 0).any()
    assert told > 20  # the others are noise from beginning to end


@pytest.mark.realdata
def test_a_real_file_by_hand(real_root):
    """The marks of a0002 as SciPy prints them: 1-based."""
    path = state_annotations.path(real_root / "physionet2016", "training-a", "a0002")
    cells = scipy.io.loadmat(path)["state_ans"]
    states = state_annotations.read(path, 100_000)
    for (index, name), (following, _) in itertools.pairwise(cells[:41]):
        begin, end = index.item() - 1, following.item() - 1
        want = {"S1": 1, "systole": 2, "S2": 3, "diastole": 4}[name.item().item()]
        assert (states[begin:end] == want).all()
