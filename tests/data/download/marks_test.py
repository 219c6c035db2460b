import csv

import pytest

from hsjax.data.download import marks
from hsjax.types import UserError

# The beginnings of three rows of the organisers' table; the second row begins with an S2.
TABLE = """,S1,S2,S1,S2
201103090635.aif,5366,17632,31432,44464
201105011626.aif,,2855,15497,23246
201103221214.aif,27831,39095,54667,
"""


def test_a_row_per_mark(tmp_path):
    (tmp_path / "seg.csv").write_text(TABLE)
    assert marks.read(tmp_path / "seg.csv") == [
        ("set_a/normal__201103090635.wav", 1, "S1", 5366),
        ("set_a/normal__201103090635.wav", 1, "S2", 17632),
        ("set_a/normal__201103090635.wav", 2, "S1", 31432),
        ("set_a/normal__201103090635.wav", 2, "S2", 44464),
        ("set_a/normal__201105011626.wav", 1, "S2", 2855),
        ("set_a/normal__201105011626.wav", 2, "S1", 15497),
        ("set_a/normal__201105011626.wav", 2, "S2", 23246),
        ("set_a/normal__201103221214.wav", 1, "S1", 27831),
        ("set_a/normal__201103221214.wav", 1, "S2", 39095),
        ("set_a/normal__201103221214.wav", 2, "S1", 54667),
    ]


def test_written_as_the_reader_takes_them(tmp_path):
    marks.write([("set_a/normal__1.wav", 1, "S1", 5)], tmp_path / marks.TABLE)
    assert (tmp_path / marks.TABLE).read_text() == "fname,cycle,sound,location\nset_a/normal__1.wav,1,S1,5\n"


@pytest.mark.parametrize(
    "table",
    [
        "",
        "\n",
        ",S1,S3\na,1,2\n",
        "<html>\n",
        ",S1,S2\na,1,x\n",
        ",S1\na,1,2\n",
        ",S1\na,-1\n",
        ",S1\n,1\n",
        ",S1\na,²\n",
    ],
)
def test_no_table(tmp_path, table):
    (tmp_path / "seg.csv").write_text(table)
    with pytest.raises(UserError, match=r"seg.csv .*report it"):
        marks.read(tmp_path / "seg.csv")


@pytest.mark.realdata
def test_as_in_the_distribution(real_root, tmp_path):
    """Of a real recording, the rows are those of the table in circulation."""
    (tmp_path / "seg.csv").write_text(TABLE)
    expected = marks.read(tmp_path / "seg.csv")[:4]
    with (real_root / "pascal" / marks.TABLE).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["fname"] == expected[0][0]][:4]
    assert [(row["fname"], int(row["cycle"]), row["sound"], int(row["location"])) for row in rows] == expected
