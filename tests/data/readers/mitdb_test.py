import collections
import hashlib
import pathlib
import pickle
import shutil
import sys

import numpy as np
import pytest
import wfdb

from hsjax.data.readers import beat_labels, mitdb
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


def reasons(dataset) -> dict[str, str]:
    return {finding.id: finding.reason for finding in dataset.quarantined}


def test_dataset(root):
    folder = root / mitdb.FOLDER
    (folder / "RECORDS").write_text("900\r\n901\r\n905\r\n../../etc/passwd\r\n")
    (folder / "904.dat").write_bytes(b"")
    header = (folder / "901.hea").read_text()
    (folder / "901.hea").write_text(header.replace("\n", "\r\n") + "# 69 M 1085 1629 x1\r\n# Aldomet, infarction\r\n")
    dataset = mitdb.dataset(root, labels="aami")
    assert (dataset.name, dataset.classes, dataset.positive) == ("mitdb", ("N", "S", "V", "F", "Q"), None)
    assert [(r.id, r.label, r.group, r.sample_rate, r.num_samples) for r in dataset.recordings] == [
        (name, "", name, 360, 360) for name in ("900", "901", "902")
    ]
    assert dataset.grouping
    assert reasons(dataset) == {
        "903": "lacks 903.dat: complete it from https://physionet.org/content/mitdb/1.0.0/",
        "904": "lacks 904.hea: complete it from https://physionet.org/content/mitdb/1.0.0/",
        "905": "lacks 905.hea: complete it from https://physionet.org/content/mitdb/1.0.0/",
    }
    assert [(finding.id, finding.reason) for finding in dataset.noted] == [("900", "no lead MLII: V5 is read")]
    first, second = (pickle.loads(pickle.dumps(recording)) for recording in dataset.recordings[1:])
    assert first.metadata == {"lead": "MLII", "age": "69", "sex": "M"}
    assert second.metadata == {"lead": "MLII"}
    samples = second.read()
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, -np.arange(360) % 70 / 100, atol=1e-4)  # the second channel of 902
    assert second.digest == hashlib.sha256(samples.tobytes()).hexdigest()
    beats = first.beats()
    assert beats.index.tolist() == [20, 60, 130, 310]
    assert beats.symbol.tolist() == ["N", "V", "/", "f"]
    assert beats.label.tolist() == ["N", "V", "Q", "Q"]


def test_labels_and_leads(root):
    assert mitdb.dataset(root).recordings[0].beats().label.tolist() == ["N", "V", "", ""]
    assert mitdb.dataset(root, labels="birton").recordings[0].beats().label.tolist() == ["N", "V", "/", "f"]
    by_name = mitdb.dataset(root, lead=("II", "V2"))
    assert [r.metadata["lead"] for r in by_name.recordings] == ["V2", "MLII", "V5"]
    assert [finding.reason for finding in by_name.noted] == [
        "no lead II or V2: MLII is read",
        "no lead II or V2: V5 is read",
    ]
    with pytest.raises(UserError, match=r"no beat labels 'five': set --config\.data\.mitdb\.labels to aami, aami-nsv"):
        mitdb.dataset(root, labels="five")


def test_what_was_found_is_remembered_by_lead(root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    (root / mitdb.FOLDER / "903.hea").unlink()  # what is missing has nothing to be remembered by
    cold = mitdb.dataset(root, cache)
    other = mitdb.dataset(root, cache, lead="V5")
    assert cold.recordings[1].digest != other.recordings[1].digest
    monkeypatch.setattr(mitdb, "digital", lambda *_: pytest.fail("it is known"))
    warm = mitdb.dataset(root, cache)
    assert [r.digest for r in warm.recordings] == [r.digest for r in cold.recordings]
    assert warm.noted == cold.noted


def test_the_same_person_is_one_group(root):
    folder = root / mitdb.FOLDER
    for name in ("201", "202"):
        for suffix in (".hea", ".dat", ".atr"):
            shutil.copy(folder / f"901{suffix}", folder / f"{name}{suffix}")
        (folder / f"{name}.hea").write_text((folder / "901.hea").read_text().replace("901", name))
    groups = {r.id: (r.subject, r.group) for r in mitdb.dataset(root).recordings}
    assert groups["201"] == groups["202"] == ("201", "201")
    assert groups["901"] == ("901", "901")


SIGNAL = "901.dat 16 1000(0)/mV 16 0 0 {checksum} 0 MLII\n"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("901 2 360 360", "901 2 360 361", "truncated: 4 bytes fewer than its header claims"),
        ("901 2 360 360", "901 2 360 359", "holds 4 bytes more than its header claims"),
        ("901 2 360 360", "901 2 360 1000000000000", "too long or damaged: its header claims 1000000000000 samples"),
        ("901 2 360 360", "901 2 360 " + "9" * 5000, "too long or damaged: its header claims 99999999999999999999..."),
        ("901 2 360 360", "901 2 360 000", "its header claims no samples"),
        ("901 2 360 360", "901 1000000 360 360", "its header claims 1000000 signals and has 2 lines"),
        ("901 2 360 360", "901 0 360 360", "its header claims 0 signals and has 2 lines"),
        ("901 2 360 360", "901/2 2 360 360", "its header does not begin with a record line of 901"),
        ("901 2 360 360", "902 2 360 360", "its header does not begin with a record line of 901"),
        ("901 2 360 360", "901 2 nan 360", "its header does not begin with a record line of 901"),
        ("901 2 360 360", "901 2 -360 360", "its header does not begin with a record line of 901"),
        ("901 2 360 360", "901 2 0 360", "its header claims a sample rate of 0 Hz"),
        ("901 2 360 360", "901 2 " + "9" * 400 + " 360", "its header claims a sample rate of 9999"),
        ("901 2 360 360", "901 2 250 360", "wrong sample rate: 250 Hz, not 360 Hz"),
        ("901 2 360 360", "901 2 360.5 360", "wrong sample rate: 360.5 Hz, not 360 Hz"),
        ("901.dat 16", "../901.dat 16", "line 1 of the signals in its header is damaged"),
        ("901.dat 16", "https://x/901.dat 16", "line 1 of the signals in its header is damaged"),
        ("901.dat 16", "902.dat 16", "its header names another file of samples than 901.dat"),
        ("901.dat 16", "901.dat 8", "its samples are in format 16 and 8, not 212 or 16"),
        ("901.dat 16", "901.dat 16x99", "line 1 of the signals in its header is damaged"),
        ("/mV", "/uV", "its header claims the unit uV, not mV"),
        ("/mV 16", "/mV nan", "line 1 of the signals in its header is damaged"),
        ("MLII", "M\0LII", "its header is not text"),
        ("MLII", "M\x85LII", "its header is not text"),
        ("MLII", "", "line 1 of the signals in its header is damaged"),
        ("", "#" * 70000, "its header has 7"),
    ],
)
def test_lying_headers(root, old, new, reason):
    path = root / mitdb.FOLDER / "901.hea"
    path.write_text(path.read_text().replace(old, new, 1), encoding="latin-1")
    dataset = mitdb.dataset(root)
    assert [r.id for r in dataset.recordings] == ["900", "902"]
    assert reasons(dataset)["901"].startswith(reason)
    if not reason.startswith("wrong"):
        with pytest.raises(UserError, match="901"):
            mitdb.lead(root, "901")


@pytest.mark.parametrize("gain", ["0", "nan", "inf", "-200", "1e300", "1e-400"])
def test_gains_that_are_none(root, gain):
    path = root / mitdb.FOLDER / "901.hea"
    lines = path.read_text().splitlines()
    fields = lines[2].split()
    fields[2] = f"{gain}(0)/mV"
    path.write_text("\n".join([*lines[:2], " ".join(fields)]))
    assert reasons(mitdb.dataset(root))["901"].startswith(
        ("line 2 of the signals in its header is damaged", "its header claims a gain of")
    )


def test_damaged_samples_and_annotations(root):
    folder = root / mitdb.FOLDER

    def make(name: str, samples=None, beats=(5, 20), symbols=("N", "N")) -> pathlib.Path:
        samples = np.arange(360) % 50 if samples is None else samples
        wfdb.wrsamp(
            name, 360, ["mV"], ["MLII"], d_signal=samples[:, None], fmt=["212"], adc_gain=[200], baseline=[0],
            write_dir=str(folder),
        )  # fmt: skip
        wfdb.wrann(name, "atr", np.array(beats), list(symbols), write_dir=str(folder))
        return folder / name

    missing = np.arange(360) % 50
    missing[7] = -2048
    make("910")
    make("911", missing)
    make("912", np.full(360, 3))
    make("913", symbols=("~", "+"))
    make("914", beats=(5, 360))
    make("915", beats=(5, 5), symbols=("N", "V"))
    make("916").with_suffix(".atr").write_bytes(b"")
    flipped = make("917").with_suffix(".dat")
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"\7")
    make("918").with_suffix(".atr").write_bytes(b"\xff" * 99)
    make("919").with_suffix(".atr").write_bytes(b"\0" * (mitdb.MAX_ANNOTATION_BYTES + 1))
    dataset = mitdb.dataset(root)
    assert {r.id for r in dataset.recordings} == {"900", "901", "902", "910"}
    found = reasons(dataset)
    assert found.pop("903")
    begins = {
        "911": "holds samples that are marked as missing",
        "912": "constant: every sample is 0.015 mV",
        "913": "no label: its annotation has no beats",
        "914": "its annotation has a beat at sample 360, behind the record's end",
        "915": "its annotation has two beats at one sample",
        "916": "",  # wfdb may call an empty file an annotation or not
        "917": "damaged: MLII has another checksum in its header",
        "918": "",
        "919": "its annotation has more than",
    }
    assert found.keys() == begins.keys()
    for name, reason in begins.items():
        assert found[name].startswith(reason)


@pytest.mark.parametrize(
    ("symbols", "positions", "flutter"),
    [
        ("]N[", (1, 2, 3), [[3, np.iinfo(np.int64).max]]),
        ("N]]", (1, 2, 3), []),
        ("[[]", (1, 2, 3), [[1, 3], [2, 3]]),
    ],
)
def test_flutter_marks_of_no_pair(root, symbols, positions, flutter):
    wfdb.wrann("901", "atr", np.array(positions), list(symbols), write_dir=str(root / mitdb.FOLDER))
    assert mitdb.beats(root, "901").flutter.tolist() == flutter


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


# By hand from the tables of the directory and those of EC57: beats of each AAMI class.
AAMI = {
    "100": {"N": 2239, "S": 33, "V": 1},
    "102": {"N": 99, "V": 4, "Q": 2084},
    "200": {"N": 1743, "S": 30, "V": 826, "F": 2},
    "208": {"N": 1586, "S": 2, "V": 992, "F": 373, "Q": 2},
}


@pytest.mark.realdata
def test_real_dataset(real_root, real_cache):
    dataset = mitdb.dataset(real_root, real_cache, labels="aami")
    assert dataset.quarantined == ()
    assert {finding.id: finding.reason for finding in dataset.noted} == {
        "102": "no lead MLII: V5 is read",
        "104": "no lead MLII: V5 is read",
    }
    by_id = {recording.id: recording for recording in dataset.recordings}
    assert len(by_id) >= 39
    assert {recording.num_samples for recording in dataset.recordings} == {650000}
    assert by_id["201"].group == by_id["202"].group
    assert len({recording.group for recording in dataset.recordings}) == len(by_id) - 1
    assert by_id["100"].metadata == {"lead": "MLII", "age": "69", "sex": "M"}
    assert by_id["219"].metadata == {"lead": "MLII", "sex": "M"}  # its age is not known
    for record, want in AAMI.items():
        assert collections.Counter(by_id[record].beats().label.tolist()) == want
    want = wfdb.rdrecord(str(real_root / mitdb.FOLDER / "114"), channel_names=["MLII"]).p_signal[:, 0]
    np.testing.assert_array_equal(by_id["114"].read(), want.astype(np.float32))


@pytest.mark.realdata
def test_real_beats_have_intervals(real_root):
    beats = mitdb.beats(real_root, "100")
    intervals = beat_labels.rr_intervals(beats.index, mitdb.SAMPLE_RATE)
    assert np.isnan(intervals[[0, -1], [0, 1]]).all()
    assert np.isnan(intervals).sum() == 2
    # 74 beats a minute: 2273 beats in 1805.6 s.
    np.testing.assert_allclose(np.nanmean(intervals), 1805.6 / 2273, rtol=1e-3)
