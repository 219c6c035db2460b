import contextlib
import hashlib
import json
import os
import shutil

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


@pytest.fixture
def finished(tmp_path):
    """A part with files at two depths, and with checkpoints that are of no more use."""
    part = folder.Part(tmp_path / "part", {"epochs": 3})
    part.claim()
    for name in ("features.npz", "variables/d/0", "checkpoints/3/0", "member-1/checkpoints/3/0"):
        (part.path / name).parent.mkdir(parents=True, exist_ok=True)
        (part.path / name).write_text(f"what {name} holds")
    (part.path / "config.json.partial").write_text("half")
    part.finish({"best": 2})
    return part


def test_a_part_that_is_older_than_a_key_was_made_with_its_default(tmp_path):
    folder.Part(tmp_path / "part", {"epochs": 3}).claim()
    defaults = {"fit": "end", "unknown": 1}
    folder.Part(tmp_path / "part", {"epochs": 3, "fit": "end"}, defaults).check()
    with pytest.raises(UserError, match=r"other settings: fit \(was end, is both\); give another"):
        folder.Part(tmp_path / "part", {"epochs": 3, "fit": "both"}, defaults).check()
    with pytest.raises(UserError, match=r"other settings: level \(was None, is peak\)"):
        folder.Part(tmp_path / "part", {"epochs": 3, "level": "peak"}, defaults).check()


def test_a_finished_part_holds_the_sha256_of_its_files(finished):
    stored = json.loads((finished.path / "done.json").read_text())
    expected = {name: hashlib.sha256((finished.path / name).read_bytes()).hexdigest()
                for name in ("settings.json", "features.npz", "variables/d/0")}  # fmt: skip
    assert stored["files"] == expected
    assert stored["best"] == 2
    assert finished.record() == {"best": 2}
    finished.verify()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["features.npz", "variables/d/0", "settings.json"])
@pytest.mark.parametrize("damage", [flip, os.remove, lambda path: os.truncate(path, 1)])
def test_a_damaged_file_of_a_finished_part_is_named(finished, name, damage):
    damage(finished.path / name)
    with pytest.raises(UserError, match=rf"part/{name} (is missing|has changed).*; delete {finished.path} to make it"):
        finished.verify()


@pytest.mark.parametrize("damage", [flip, lambda path: os.truncate(path, 1), lambda path: os.truncate(path, 0)])
def test_a_damaged_record_is_named(finished, damage):
    damage(finished.path / "done.json")
    for read in (finished.record, finished.verify):
        with pytest.raises(UserError, match=r"part/done.json (is damaged|has changed).*delete"):
            read()


def test_every_bit_of_the_record_matters(finished):
    """Flipped one by one: none gives other figures, and none is a crash."""
    file = finished.path / "done.json"
    content = file.read_bytes()
    for index in range(len(content)):
        for bit in range(8):
            file.write_bytes(content[:index] + bytes([content[index] ^ 1 << bit]) + content[index + 1 :])
            with contextlib.suppress(UserError):
                assert finished.record() == {"best": 2}  # white space between two of its parts


def test_settings_that_are_no_json_are_named(tmp_path):
    part = folder.Part(tmp_path / "part", {"epochs": 3})
    part.claim()
    os.truncate(part.path / "settings.json", 5)
    with pytest.raises(UserError, match=r"settings.json is damaged; delete"):
        part.check()


def test_what_lies_beside_the_files_does_not_matter(finished):
    shutil.rmtree(finished.path / "checkpoints")
    (finished.path / "notes.txt").write_text("mine")
    finished.verify()


def test_a_part_is_verified_only_where_its_files_were_recorded(tmp_path):
    part = folder.Part(tmp_path / "part", {"epochs": 3})
    part.claim()
    part.verify()  # unfinished
    (part.path / "done.json").write_text('{"best": 2}')  # finished before files were recorded
    part.verify()
    assert part.record() == {"best": 2}


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
