import subprocess

import pytest

from hsjax.data.download import checksums
from hsjax.types import UserError

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4, of no bytes


def test_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    assert checksums.of_file(tmp_path / "empty") == EMPTY


@pytest.mark.parametrize("gap", [" ", "  ", " *", "\t"])
def test_physionet_and_sha256sum(gap):
    assert checksums.parse(f"{EMPTY.upper()}{gap}a/b c.wav\r\n\n", "x") == {"a/b c.wav": EMPTY}


def test_as_sha256sum_writes(tmp_path):
    (tmp_path / "one two").write_bytes(b"1")
    (tmp_path / "세").write_bytes(b"2")
    listed = subprocess.run(["sha256sum", "one two", "세"], cwd=tmp_path, capture_output=True, text=True, check=True)
    parsed = checksums.parse(listed.stdout, "x")
    assert parsed == {name: checksums.of_file(tmp_path / name) for name in ("one two", "세")}


@pytest.mark.parametrize("line", ["a", EMPTY, EMPTY[1:] + " a", "<html>", EMPTY + "a"])
def test_no_list(line):
    with pytest.raises(UserError, match="line 2 of the list is not a SHA-256 and a path"):
        checksums.parse(f"{EMPTY} x\n{line}", "the list")


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a\\b", "x", "X"])
def test_paths_that_lead_elsewhere(path):
    with pytest.raises(UserError, match=r"line 2 of the list names .* refused because"):
        checksums.parse(f"{EMPTY} x\n{EMPTY} {path}", "the list")


def test_file_name():
    assert checksums.file_name("https://a/b/N_3%EC%A3%BC%EA%B8%B0.rar?raw=1") == "N_3주기.rar"
