import pathlib
import tomllib

import ml_collections
import pytest

import hsjax.types
from hsjax.data import load

REGISTER = pathlib.Path(__file__).parents[2] / "third_party" / "datasets.toml"


def config(name: str, root: str = "") -> ml_collections.ConfigDict:
    synthetic = {
        "subjects": 4,
        "recordings_per_subject": 2,
        "seconds": 6.0,
        "sample_rate": 4000,
        "task": "binary",
        "noise": 1.0,
        "seed": 3,
    }
    settings = {"name": name, "root": root, "unknown_groups": "twins", "synthetic": synthetic}
    return ml_collections.ConfigDict(settings)


def test_synthetic():
    dataset = load.load(config("synthetic"))
    assert dataset.synthetic
    assert len(dataset.recordings) == 8
    assert {r.sample_rate for r in dataset.recordings} == {4000}


def test_unknown_name():
    with pytest.raises(
        hsjax.types.UserError,
        match=r"no dataset 'physionet'.*synthetic, synthetic_ecg, circor, mitdb, own, pascal, physionet2016",
    ):
        load.load(config("physionet"))


@pytest.fixture
def found(monkeypatch):
    """What the reader is called with."""
    calls = []

    class Reader:
        NAME, SOURCE, LICENCE, CITATION = "physionet2016", "https://source", "free", "Someone"

        def dataset(self, root, cache_dir=None):
            calls.append((root, cache_dir))
            return hsjax.types.Dataset("physionet2016", ("a",), None, False, ())

    monkeypatch.setattr(load, "READERS", {"physionet2016": Reader()})
    return calls


def test_root_of_the_config_comes_first(found, monkeypatch, tmp_path):
    monkeypatch.setenv("HSJAX_DATA", "/elsewhere")
    load.load(config("physionet2016", str(tmp_path)), cache_dir=tmp_path / "cache")
    load.load(config("physionet2016"))
    assert found == [(tmp_path, tmp_path / "cache"), (pathlib.Path("/elsewhere"), None)]


def test_home_is_expanded(found, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    load.load(config("physionet2016", "~/data"))
    assert found == [(tmp_path / "data", None)]


def test_no_root_says_what_to_set(found, monkeypatch):
    monkeypatch.delenv("HSJAX_DATA", raising=False)
    with pytest.raises(hsjax.types.UserError, match=r"set --config\.data\.root or HSJAX_DATA .*https://source"):
        load.load(config("physionet2016"))


def test_every_reader_is_registered():
    register = tomllib.loads(REGISTER.read_text(encoding="utf-8"))
    published = {name: reader for name, reader in load.READERS.items() if name != load.OWN}
    assert register.keys() == published.keys()
    for name, reader in published.items():
        assert name == reader.NAME
        assert register[name]["source"] == reader.SOURCE
        assert register[name]["licence"] == reader.LICENCE
        assert register[name]["citation"]
        assert register[name]["faults"]


@pytest.mark.realdata
def test_real_data_by_name(real_root, real_cache):
    dataset = load.load(config("physionet2016", str(real_root)), cache_dir=real_cache)
    assert len(dataset.recordings) == sum(1 for _ in (real_root / "physionet2016").glob("training-?/*.wav"))
