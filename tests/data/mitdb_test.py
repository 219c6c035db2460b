import collections
import sys

import numpy as np
import pytest
import wfdb

from hsjax.data import mitdb
from hsjax.types import UserError


@pytest.fixture
def root(tmp_path):
    """Two records of a second, the leads of the second one swapped; and a header alone."""
    folder = tmp_path / mitdb.FOLDER
    folder.mkdir()
    signals = np.stack([np.arange(360) % 50 / 100, -np.arange(360) % 70 / 100], axis=1)
    for name, leads in (("901", ["MLII", "V5"]), ("900", ["V5", "V2"]), ("902", ["V5", "MLII"])):
        wfdb.wrsamp(name, 360, ["mV"] * 2, leads, p_signal=signals, fmt=["16"] * 2, write_dir=str(folder))
        wfdb.wrann(
            name,
            "atr",
            np.array([5, 20, 60, 100, 130, 200, 210, 300, 310, 340]),
            ["+", "N", "V", "~", "/", "[", "!", "]", "f", "["],
            write_dir=str(folder),
        )
    (folder / "903.hea").write_text("903 2 360 650000\n")
    return tmp_path


def test_records_that_are_whole(root):
    assert mitdb.records(root) == ("900", "901", "902")


def test_a_missing_folder_says_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match=r"HSJAX_DATA .* https://physionet\.org"):
        mitdb.records(tmp_path)
    with pytest.raises(UserError, match=r"lacks 100\.hea"):
        mitdb.lead(tmp_path, "100")


def test_leads_by_name(root):
    first, second = np.arange(360) % 50 / 100, -np.arange(360) % 70 / 100
    for record, names, want, samples in [
        ("901", ("MLII",), "MLII", first),
        ("902", ("MLII",), "MLII", second),
        ("900", ("MLII",), "V5", first),
        ("900", ("MLII", "V2"), "V2", second),
    ]:
        lead = mitdb.lead(root, record, names)
        assert (lead.name, lead.sample_rate) == (want, 360)
        np.testing.assert_allclose(lead.samples, samples, atol=1e-4)


def test_beats_are_beats(root):
    beats = mitdb.beats(root, "901")
    assert beats.index.tolist() == [20, 60, 130, 310]
    assert beats.symbol.tolist() == ["N", "V", "/", "f"]
    assert beats.flutter.tolist() == [[200, 300], [340, np.iinfo(np.int64).max]]


def test_without_the_extra(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    assert mitdb.records(root) == ("900", "901", "902")
    for read in (mitdb.lead, mitdb.beats):
        with pytest.raises(UserError, match=r"hsjax\[ecg\]"):
            read(root, "901")


# The tables of the MIT-BIH Arrhythmia Database Directory (Moody, 1997), by hand: beats by type.
DIRECTORY = {
    "100": {"N": 2239, "A": 33, "V": 1},
    "102": {"N": 99, "/": 2028, "f": 56, "V": 4},
    "200": {"N": 1743, "A": 30, "V": 826, "F": 2},
    "208": {"N": 1586, "V": 992, "F": 373, "S": 2, "Q": 2},
}


@pytest.mark.realdata
def test_real_beats_are_the_directory_s(real_root):
    for record, want in DIRECTORY.items():
        beats = mitdb.beats(real_root, record)
        assert collections.Counter(beats.symbol.tolist()) == want
        assert len(beats.flutter) == 0
    assert len(mitdb.beats(real_root, "207").flutter) == 6


@pytest.mark.realdata
def test_real_leads(real_root):
    assert len(mitdb.records(real_root)) >= 39
    assert mitdb.lead(real_root, "102").name == "V5"
    swapped = mitdb.lead(real_root, "114")  # its first lead is V5
    assert (swapped.name, swapped.sample_rate, swapped.samples.shape) == ("MLII", 360, (650000,))
    beats = mitdb.beats(real_root, "100").index
    samples = mitdb.lead(real_root, "100").samples
    assert np.median(samples[beats]) - np.median(samples) > 0.8  # mV
