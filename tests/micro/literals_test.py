import subprocess

import numpy as np
import pytest

from hsjax.micro import literals
from tests.micro import compiled


def test_a_float_is_read_as_itself(rng):
    values = np.float32([0, -0.0, 1, -1.5, 1 / 3, 1e-38, 1e-45, 3.4e38, 123456.79, 16777217])
    values = np.concatenate([values, rng.normal(size=50) * 10.0 ** rng.integers(-30, 30, 50)]).astype(np.float32)
    for value in values:
        written = literals.real(float(value))
        assert written.endswith("f")
        assert "." in written or "e" in written  # 1f is no literal
        assert np.float32(written[:-1]) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("normal", '"normal"'),
        ('a "b" \\', '"a \\042b\\042 \\134"'),
        ("what??/", '"what\\077\\077/"'),
        ("é\n", '"\\303\\251\\012"'),
    ],
)
def test_texts(text, written):
    assert literals.text(text) == written


def test_arrays_in_c(tmp_path):
    arrays = {
        "a": np.array([-(2**31), 2**31 - 1, 0], np.int32),
        "b": np.array([[1, 2], [-(2**62), 4]], np.int64),
        "c": np.arange(256, dtype=np.uint8),
        "d": np.float32([[0.1, 2.0]]),
    }
    text = "#include <stdint.h>\n#include <stdio.h>\n" + "".join(literals.array(k, v) for k, v in arrays.items())
    writes = "".join(f"fwrite({name}, sizeof {name}, 1, stdout);" for name in arrays)
    (tmp_path / "main.c").write_text(f"{text}int main(void) {{ {writes} return 0; }}\n")
    compiled.compile_c(tmp_path, "main.c", "-o", "main")
    got = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
    assert got == b"".join(values.tobytes() for values in arrays.values())
    assert max(map(len, text.splitlines())) <= 120


def test_sizes_by_name():
    assert "static const uint16_t weights[HS_BANDS]" in literals.array("weights", np.uint16([1, 2]), ("HS_BANDS",))
