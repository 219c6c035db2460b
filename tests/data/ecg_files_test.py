import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import wfdb

from hsjax.data import ecg_files
from hsjax.data.readers import mitdb, wfdb_samples
from hsjax.types import UserError

LEADS = np.array([[0.1, -1.5], [0.25, 2.0], [0.5, 0.0], [-0.125, 1.0]])


def write_record(folder, fmt="212", **changes):
    """As wfdb writes it: V5 and MLII, 200 steps a millivolt."""
    steps = np.rint(200 * np.tile(LEADS, (5, 1)))[:19].astype(int) + 3
    settings: dict[str, Any] = {"fs": 250, "units": ["mV"] * 2, "sig_name": ["V5", "MLII"]}
    settings |= {"adc_gain": [200] * 2, "baseline": [3] * 2}
    wfdb.wrsamp("r1", d_signal=steps, fmt=[fmt] * 2, write_dir=str(folder), **settings | changes)
    return folder / "r1.hea"


@pytest.mark.parametrize("fmt", ["16", "212"])
@pytest.mark.parametrize("name", ["r1.hea", "r1.dat", "r1"])
def test_a_wfdb_record_by_any_of_its_names(tmp_path, fmt, name):
    write_record(tmp_path, fmt)
    lead = ecg_files.read(tmp_path / name, ("II", "MLII"))
    assert (lead.name, lead.sample_rate) == ("MLII", 250)
    np.testing.assert_allclose(lead.samples, np.tile(LEADS[:, 1], 5)[:19], atol=1e-12)
    assert ecg_files.read(tmp_path / name, ("v5",)).name == "V5"


def test_what_a_record_lacks(tmp_path):
    path = write_record(tmp_path)
    with pytest.raises(UserError, match=r"has no lead II or aVF, its leads are: V5, MLII; choose one with --lead"):
        ecg_files.read(path, ("II", "aVF"))
    with pytest.raises(UserError, match=r"r2.hea is not there, and a table's name ends in .csv"):
        ecg_files.read(tmp_path / "r2", ("II",))
    path = write_record(tmp_path, fs=257.5)
    with pytest.raises(UserError, match=r"257.5 Hz, and only whole numbers"):
        ecg_files.read(path, ("V5",))
    content = (tmp_path / "r1.dat").read_bytes()
    (tmp_path / "r1.dat").write_bytes(bytes([content[0] ^ 4]) + content[1:])
    with pytest.raises(UserError, match="damaged: V5 has another checksum"):
        ecg_files.read(path, ("V5",))
    (tmp_path / "r1.dat").write_bytes(content[:-5])
    with pytest.raises(UserError, match="truncated"):
        ecg_files.read(path, ("V5",))


@pytest.mark.parametrize(("name", "message"), [(".", "is a folder"), ("/", "is a folder"), ("n" * 300, "too long")])
def test_a_name_that_is_none(name, message):
    for suffix in ("", ".csv") if len(name) > 1 else ("",):
        with pytest.raises(UserError, match=message):
            ecg_files.read(pathlib.Path(name + suffix), ("II",))


def test_a_gain_that_makes_samples_infinite(tmp_path):
    path = write_record(tmp_path)
    path.write_text(path.read_text().replace("200(", "200e-308("))
    with pytest.raises(UserError, match="samples of MLII are missing, NaN or infinite"):
        ecg_files.read(path, ("MLII",))


def test_a_missing_sample(tmp_path):
    steps = np.ones((20, 1), int)
    steps[7] = -(2**11)
    wfdb.wrsamp(
        "gap", 250, ["mV"], ["II"], d_signal=steps, fmt=["212"], adc_gain=[200], baseline=[0], write_dir=str(tmp_path)
    )
    with pytest.raises(UserError, match="1 samples of II are missing, NaN or infinite"):
        ecg_files.read(tmp_path / "gap", ("II",))


@pytest.mark.parametrize(
    ("text", "rate", "lead"),
    [
        ("time,II,MLII\n0,1,5\n0.004,2,6\n0.008,3,7\n", 250, "MLII"),
        ("MLII;milliseconds\n5;0\n6;4\n7;8\n", 250, "MLII"),
        ("'sample #','MLII','V5'\n0,5,1\n1,6,1\n2,7,1\n", None, "MLII"),
        ('\ufeff"mlii"\r\n5\r\n6\r\n7\r\n', None, "mlii"),
        ("V5\tMLII\n0\t5\n0\t6\n0\t7", None, "MLII"),
        ("5\n6\n7\n", None, ""),
        ("Time (s),MLII\n1.000,5\n1.003,6\n1.006,7\n", 333, "MLII"),  # times that are rounded
    ],
)
def test_tables(tmp_path, text, rate, lead):
    path = tmp_path / "lead.csv"
    path.write_text(text, newline="")
    found = ecg_files.read(path, ("MLII",), None if rate else 360)
    assert (found.name, found.sample_rate, found.samples.tolist()) == (lead, rate or 360, [5, 6, 7])


@pytest.mark.parametrize(
    ("text", "rate", "message"),
    [
        ("MLII\n1\n2\n", None, "no column of times .*: give --sample-rate"),
        ("time,MLII\n0,1\n0.004,2\n", 360, "its times are those of 250 Hz, not of 360 Hz"),
        ("time,MLII\n0,1\n0.004,2\n0.1,3\n", None, "its times are not even"),
        ("time,MLII\n0,1\n0,2\n", None, "its times do not go forward"),
        ("1,2\n3,4\n", 360, "has 2 columns without names"),
        ("V1,V2\n3,4\n", 360, "its leads are: V1, V2; choose one with --lead"),
        ("MLII\n1\nx\n", 360, "no table of numbers below its first line"),
        ("MLII,V1\n1,2\n1\n", 360, "no table of numbers"),
        ("MLII,V1\n1\n2\n", 360, "its first line has 2 columns, the others 1"),
        ("MLII\n1\nnan\n", 360, "1 samples of MLII are missing, NaN or infinite"),
        ("MLII\n", 360, "holds no samples"),
        ("", 360, "its first line is empty"),
        ("time,MLII\n0,1\n5e-324,2\n", None, "a rate of inf Hz, which no ECG has"),
        ("time,MLII\n0,1\n0,1\n5e-324,2\n", None, "a rate of inf Hz, which no ECG has"),
        ("time,MLII\n0,1\n1e-300,2\n", None, "a rate of [0-9.e]+[+]299 Hz, which no ECG has"),
        ("time,MLII\n-1e308,1\n1e308,2\n", None, "its times do not go forward"),
        ("time,MLII\ninf,1\ninf,2\n", None, "its times do not go forward"),
        ("MLII\n1\n2\n", 2_000_000, "a rate of 2000000 Hz, which no ECG has"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, rate, message):
    path = tmp_path / "lead.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        ecg_files.read(path, ("MLII",), rate)


def test_a_table_that_is_none(tmp_path):
    path = tmp_path / "lead.csv"
    with pytest.raises(UserError, match="does not exist"):
        ecg_files.read(path, ("MLII",), 360)
    path.write_bytes(b"MLII\n\xff\xfe\n")
    with pytest.raises(UserError, match="not a text table in UTF-8"):
        ecg_files.read(path, ("MLII",), 360)


@pytest.mark.realdata
def test_samples_are_those_of_wfdb(real_root, tmp_path):
    for name in ("100", "114", "232"):
        path = real_root / mitdb.FOLDER / f"{name}.hea"
        _, samples = wfdb_samples.digital(path)
        np.testing.assert_array_equal(samples, wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal)
        want = mitdb.lead(real_root, name)
        found = ecg_files.read(path, ("MLII",))
        np.testing.assert_array_equal(found.samples, want.samples)
    shutil.copy(real_root / mitdb.FOLDER / "100.hea", tmp_path)
    with pytest.raises(UserError, match=r"100.dat: does not exist"):
        ecg_files.read(tmp_path / "100", ("MLII",))
