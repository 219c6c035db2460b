"""A small distribution in the layout of PhysioNet 2016, of synthetic hearts whose states are known."""

import pathlib

import numpy as np
import pytest
import scipy.io
import soundfile

from hsjax.data import synthetic

_NAMES = {1: "S1", 2: "systole", 3: "S2", 4: "diastole"}


def _write_states(path: pathlib.Path, states: np.ndarray) -> None:
    begins = np.concatenate([[0], np.flatnonzero(np.diff(states)) + 1])
    cells = np.empty((len(begins), 2), object)
    for row, begin in enumerate(begins):
        cells[row] = [np.array([[begin + 1]]), _NAMES[int(states[begin])]]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"state_ans": cells})


@pytest.fixture(scope="session")
def distribution(tmp_path_factory) -> pathlib.Path:
    """24 recordings of 24 groups in two of the sub-datasets; the last has no known state."""
    root = tmp_path_factory.mktemp("distribution")
    folder = root / "physionet2016"
    hearts = synthetic.dataset(subjects=24, recordings_per_subject=1, seconds=5.0, sample_rate=2000).recordings
    references: dict[str, list[str]] = {letter: [] for letter in "abcdef"}
    metadata = ["record,class,subject,group"]
    for index, heart in enumerate(hearts):
        letter = "ab"[index % 2]
        record, label = f"{letter}{index:04d}", {"normal": "-1", "abnormal": "1"}[heart.label]
        (folder / f"training-{letter}").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"training-{letter}" / f"{record}.wav", heart.read(), 2000)
        references[letter].append(f"{record},{label}")
        metadata.append(f"{record},{label},{heart.subject},{heart.group}")
        states = folder / "annotations" / "hand_corrected" / f"training-{letter}_StateAns" / f"{record}_StateAns.mat"
        if index < len(hearts) - 1:
            _write_states(states, heart.annotation())
    for letter, rows in references.items():
        (folder / f"training-{letter}").mkdir(parents=True, exist_ok=True)
        (folder / f"training-{letter}" / "REFERENCE.csv").write_text("".join(f"{row}\n" for row in rows))
    (folder / "records_metadata.csv").write_text("\n".join(metadata) + "\n")
    return root
