import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from hsjax.data.readers import mat_cells, state_annotations


def cells(*rows) -> np.ndarray:
    made = np.empty((len(rows), len(rows[0])), object)
    for row, values in enumerate(rows):
        made[row] = values
    return made


def write(path, variables, compressed=True):
    scipy.io.savemat(path, variables, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes(tmp_path, compressed):
    inner = cells([np.array([[7]], np.uint16), "S1"], [np.array([[1.5, -2.0], [3.0, 4.0]]), "syst\u00f3le"])
    variables = {"other": np.arange(3), "c": cells([inner, np.zeros((0, 0))]), "last": "text"}
    path = write(tmp_path / "a.mat", variables, compressed)
    found = mat_cells.read(path, "c")
    assert found.shape == (1, 2)
    first, second = found.values
    assert second == ()
    assert first.shape == (2, 2)
    assert first.values == ((7,), (1.5, 3.0, -2.0, 4.0), "S1", "syst\u00f3le")  # the first index is fastest
    assert mat_cells.read(path, "other") == (0, 1, 2)
    assert mat_cells.read(path, "last") == "text"
    with pytest.raises(mat_cells.DamagedMat, match="it has no variable d"):
        mat_cells.read(path, "d")


def test_the_other_byte_order(tmp_path):
    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">2I", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    array = element(6, struct.pack(">2I", 11, 0)) + element(5, struct.pack(">2i", 1, 2)) + element(1, b"v")
    array += element(4, struct.pack(">2H", 258, 3))
    path = tmp_path / "a.mat"
    path.write_bytes(b" " * 124 + struct.pack(">H", 0x0100) + b"MI" + element(14, array))
    assert mat_cells.read(path, "v") == (258, 3)
    assert scipy.io.loadmat(path)["v"].tolist() == [[258, 3]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([[1j]]), "complex"),
        ({"a": 1}, "class 2"),
        (scipy.sparse.csc_array(np.eye(3)), "class 5"),
    ],
)
def test_what_is_not_understood(tmp_path, value, reason):
    with pytest.raises(mat_cells.DamagedMat, match=reason):
        mat_cells.read(write(tmp_path / "a.mat", {"v": value}), "v")


def test_limits(tmp_path, monkeypatch):
    deep = np.array([[1]])
    for _ in range(mat_cells.MAX_DEPTH + 1):
        deep = cells([deep])
    with pytest.raises(mat_cells.DamagedMat, match="more than 8 deep"):
        mat_cells.read(write(tmp_path / "a.mat", {"v": deep}), "v")
    path = write(tmp_path / "a.mat", {"v": np.zeros(2**20)})
    assert path.stat().st_size < 2**14
    with pytest.raises(mat_cells.DamagedMat, match="packed in it is too large"):
        mat_cells.read(path, "v")
    path.write_bytes(b"\0" * (mat_cells.MAX_BYTES + 1))
    with pytest.raises(mat_cells.DamagedMat, match="it is too large"):
        mat_cells.read(path, "v")


def test_every_truncation_and_every_lie_is_found_or_harmless(tmp_path):
    path = write(tmp_path / "a.mat", {"v": cells([np.array([[3]]), "S1"], [np.array([[9]]), "S2"])}, compressed=False)
    whole = path.read_bytes()
    assert mat_cells.read(path, "v").values == ((3,), (9,), "S1", "S2")
    for place in range(len(whole) - 1):
        path.write_bytes(whole[:place])
        with pytest.raises(mat_cells.DamagedMat):
            mat_cells.read(path, "v")
    for place in range(128, len(whole) - 4, 4):
        for number in (0, 1, 5, 2**16 + 1, 2**31, 2**32 - 1):
            content = whole[:place] + struct.pack("<I", number) + whole[place + 4 :]
            for form in (content, content[:128] + struct.pack("<2I", 15, 10**6) + zlib.compress(content[128:])):
                path.write_bytes(form)
                with contextlib.suppress(mat_cells.DamagedMat):
                    mat_cells.read(path, "v")


@pytest.mark.realdata
def test_real_marks_as_scipy_reads_them(real_root):
    paths = sorted((real_root / "physionet2016" / "annotations").rglob("*.mat"))
    assert len(paths) > 2500
    for path in paths[::100]:
        want = scipy.io.loadmat(io.BytesIO(path.read_bytes()))["state_ans"]
        found = mat_cells.read(path, "state_ans")
        assert found.shape == want.shape
        for row, (index, name) in enumerate(want):
            assert state_annotations._inner(found.values[row]) == (index.item(),)
            while isinstance(name, np.ndarray):
                name = name.item()
            assert state_annotations._inner(found.values[len(want) + row]) == name
