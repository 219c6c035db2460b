import csv
import io
import resource
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsjax.data import csv_table
from hsjax.types import UserError


def read(tmp_path, content: bytes | str, columns=("file", "label"), delimiters=","):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return csv_table.read(path, columns, mend="mend it", delimiters=delimiters)


def test_rows_by_line(tmp_path):
    rows = read(tmp_path, '\ufefffile , Label,more\r\n\r\na.wav, x ,"1, 2"\n"b ""c"".wav"\n')
    assert rows == {
        3: {"file": "a.wav", "label": "x", "more": "1, 2"},
        4: {"file": 'b "c".wav', "label": ""},
    }


@given(st.lists(st.tuples(st.text("ab,;\"' é", min_size=1).map(str.strip).filter(bool), st.text('xy,;" ')), max_size=5))
@settings(max_examples=50, deadline=None)
def test_reads_what_the_standard_library_writes(tmp_path_factory, pairs):
    text = io.StringIO()
    csv.writer(text).writerows([("file", "label"), *pairs])
    rows = read(tmp_path_factory.mktemp("t"), text.getvalue())
    assert [tuple(row.values()) for row in rows.values()] == [(name, label.strip()) for name, label in pairs]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "lacks the columns file, label"),
        (b"file,other\na,b\n", "lacks the columns label"),
        (b"file,label,x,x\n", "more than one column x"),
        (b"file,label\na,b\n\xff\xfe,c\n", "line 3 of .* is not text in UTF-8"),
        (b"file,label\na\0b,c\n", "is not a text table"),
        (b'file,label\n"a,b\nc,d\n', "line 2 of .* is damaged"),
        (b"file,label\n" + b"a" * 200_000 + b",b\n", "line 2 of .* is damaged"),
        (b"file,label\na,b,c\n", "line 2 of .* has more values"),
        (b"file,label" + b"," * 2000, "more than 1000 columns"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "is not a text table"),
        (b"\xff\xfe\x00", "is not text"),
    ],
)
def test_damage_is_an_error_that_says_where(tmp_path, content, reason):
    with pytest.raises(UserError, match=rf"{reason}.*: mend it$"):
        read(tmp_path, content)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="does not exist: mend it"):
        csv_table.read(tmp_path / "none.csv", ("file",), mend="mend it")
    with pytest.raises(UserError, match="does not exist: mend it"):
        csv_table.read(tmp_path, ("file",), mend="mend it")


def test_huge_tables_cost_neither_memory_nor_time(tmp_path, monkeypatch):
    with (tmp_path / "sparse.csv").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="larger than any table"):
        csv_table.read(tmp_path / "sparse.csv", ("file",), mend="mend it")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    # A thousand columns and as many short rows as fit: what is empty takes no place.
    header = "file,label," + ",".join(f"c{index}" for index in range(998))
    assert len(read(tmp_path, header + "\na" * 20_000)) == 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15  # KiB
    assert time.process_time() - start < 3
    monkeypatch.setattr(csv_table, "MAX_ROWS", 10)
    with pytest.raises(UserError, match="more than 10 rows"):
        read(tmp_path, "file,label\n" + "a,b\n" * 11)
