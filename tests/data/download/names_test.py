import unicodedata

import pytest

from hsjax.data.download import names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.wav", "a.wav"),
        ("./a/b", "a/b"),
        ("a/b/", "a/b"),
        ("Training B Normal/1.wav", "Training B Normal/1.wav"),
        ("N_New_3주기/New_N_001.wav", "N_New_3주기/New_N_001.wav"),
        (unicodedata.normalize("NFD", "N_New_3주기/x"), "N_New_3주기/x"),
    ],
)
def test_safe(name, expected):
    assert names.safe(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        ".",
        "..",
        "a/../b",
        "../a",
        "/a",
        "//a",
        "a//b",
        "a/./b",
        "a\\b",
        "..\\a",
        "C:a",
        "C:/a",
        "a:stream",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "\udcff",
        "a ",
        "a.",
        "a./b",
        "... /b",
        "con",
        "a/NUL.txt",
        "com1",
        "a" * 256,
        "b/" * 501 + "c",
    ],
)
def test_unsafe(name):
    with pytest.raises(names.UnsafeNameError):
        names.safe(name)


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("__MACOSX/a", True),
        ("x/__MACOSX", True),
        (".DS_Store", True),
        ("x/._a.wav", True),
        ("x/Thumbs.db", True),
        ("x_DS_Store", False),
        ("a__MACOSX/b", False),
        ("x.DS_Store", False),
    ],
)
def test_dropped(name, dropped):
    assert names.dropped(name) is dropped


@pytest.mark.parametrize(("encoding", "utf8"), [("utf-8", True), ("utf-8", False), ("cp949", False), ("euc-kr", False)])
def test_korean_names(encoding, utf8):
    name = "MVP_New_3주기/New_MVP_001.wav"
    assert names.decode_zip(name.encode(encoding), utf8) == name


@pytest.mark.parametrize(("raw", "utf8"), [(b"\xb1\xe2", True), (b"\xff\xff", False)])
def test_undecodable_names(raw, utf8):
    with pytest.raises(names.UnsafeNameError):
        names.decode_zip(raw, utf8)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a"),
        ("a", "A"),
        ("straße", "STRASSE"),
        ("a/b", "A/c"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("ﬁle", "file"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}", "a"),
        ("K", "\N{KELVIN SIGN}"),
    ],
)
def test_collisions(first, second):
    taken = names.Taken()
    taken.add(first)
    with pytest.raises(names.UnsafeNameError):
        taken.add(second)


def test_no_collision():
    taken = names.Taken()
    for name in ("a/b", "a/c", "b", "a/d/b"):
        taken.add(name)
