"""hs_stream cuts windows as NumPy slices them, however samples come."""

import ctypes

import numpy as np
import pytest

from tests.micro import compiled


@pytest.mark.parametrize(("window", "hop"), [(10, 10), (10, 3), (10, 1), (10, 14), (7, 30)])
def test_windows(tmp_path, rng, window, hop):
    (tmp_path / "hs_config.h").write_text(f"#include <stdint.h>\n#define HS_WINDOW {window}\n#define HS_HOP {hop}\n")
    for name in ("hs_stream.h", "hs_stream.c"):
        (tmp_path / name).write_bytes((compiled.SOURCES / name).read_bytes())
    library = compiled.load(tmp_path)
    stream = ctypes.create_string_buffer(2 * window + 64)
    samples = rng.integers(-32768, 32768, 200).astype(np.int16)
    found, position = [], 0
    while position < len(samples):
        chunk = np.ascontiguousarray(samples[position : position + rng.integers(0, 25)])
        taken = library.hs_stream_put(stream, chunk.ctypes.data_as(ctypes.c_void_p), len(chunk))
        assert 0 <= taken <= len(chunk)
        position += taken
        if library.hs_stream_full(stream):
            found.append(np.frombuffer(stream.raw[: 2 * window], np.int16))
            assert library.hs_stream_put(stream, chunk.ctypes.data_as(ctypes.c_void_p), len(chunk)) == 0
            library.hs_stream_next(stream)
            assert not library.hs_stream_full(stream)
        else:
            assert taken == len(chunk)
    starts = range(0, len(samples) - window + 1, hop)
    np.testing.assert_array_equal(found, [samples[start : start + window] for start in starts])
