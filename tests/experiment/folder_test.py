import json

import numpy as np
import pytest

from hsjax.config import ConfigDict
from hsjax.experiment import folder
from hsjax.types import Predictions, RunKey, UserError


def test_flat_names_are_as_json_returns_them():
    flat = folder.flat(ConfigDict({"a": {"b": (1, 2)}, "c": "x"}))
    assert flat == {"a.b": [1, 2], "c": "x"}
    assert json.loads(json.dumps(flat)) == flat


def test_a_part_is_bound_to_its_settings(tmp_path):
    part = folder.Part(tmp_path / "part", {"epochs": 3, "rate": 0.1})
    part.claim()
    (part.path / "work").write_text("half")
    assert part.record() is None
    part.claim()  # the same settings go on
    assert (part.path / "work").exists()
    part.finish({"best": 2})
    assert folder.Part(part.path, part.settings).record() == {"best": 2}
    with pytest.raises(UserError, match=r"epochs \(was 3, is 4\)"):
        folder.Part(part.path, {"epochs": 4, "rate": 0.1}).claim()


def test_foreign_files_are_neither_trusted_nor_deleted(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "done.json").write_text("{}")
    with pytest.raises(UserError, match="no run has made"):
        folder.Part(tmp_path / "part", {"epochs": 3}).claim()
    assert (tmp_path / "part" / "done.json").exists()


def test_a_kill_while_the_settings_are_written_does_not_lock_the_folder(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "settings.json.partial").write_text('{"epo')
    part = folder.Part(tmp_path / "part", {"epochs": 3})
    part.claim()
    part.check()
    assert json.loads((part.path / "settings.json").read_text()) == {"epochs": 3}


def test_one_run_at_a_time(tmp_path):
    with folder.locked(tmp_path), pytest.raises(UserError, match="another run"), folder.locked(tmp_path):
        pass
    with folder.locked(tmp_path):  # given back
        pass


def test_predictions_survive_the_disk(tmp_path, rng):
    predictions = Predictions(
        RunKey("d", "grouped", "kd", 3), "segment", ("normal", "abnormal"), np.array(["a", "b"]), np.array([0.0, 2.5]),
        np.array(["g", "h"]), np.array([0, 1], np.int32), rng.random((2, 2)).astype(np.float32),
    )  # fmt: skip
    folder.save_predictions(tmp_path / "p.npz", predictions)
    loaded = folder.load_predictions(tmp_path / "p.npz")
    assert (loaded.key, loaded.unit, loaded.classes) == (predictions.key, predictions.unit, predictions.classes)
    for name in ("recording", "start", "group", "label", "probabilities"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(predictions, name))
