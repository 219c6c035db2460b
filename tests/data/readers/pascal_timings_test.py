import numpy as np
import pytest
import soundfile

from hsjax.data.readers import pascal_timings
from hsjax.types import UserError

HEAD = "fname,cycle,sound,location\n"


def write(root, rows):
    folder = root / "pascal" / "set_a"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", np.zeros(10), 44100)
    (root / "pascal" / "set_a_timing.csv").write_text(HEAD + rows)


def test_marks_are_seconds_by_sound(tmp_path):
    rows = ["set_a/a.wav,1,S1,44100", "set_a/a.wav,1,S2,88200", "set_a/a.wav,2,S1,132300", "set_a/absent.wav,1,S1,5"]
    write(tmp_path, "\n".join(rows))
    (timing,) = pascal_timings.read(tmp_path)
    assert timing.path == tmp_path / "pascal" / "set_a" / "a.wav"
    np.testing.assert_allclose(timing.s1, [1, 3])
    np.testing.assert_allclose(timing.s2, [2])


@pytest.mark.parametrize("row", ["set_a/a.wav,1,S3,7\n", "set_a/a.wav,1,S1,\n", ",1,S1,7\n", "set_a/a.wav\n"])
def test_damaged_rows_are_refused(tmp_path, row):
    write(tmp_path, "set_a/a.wav,1,S1,44100\n" + row)
    with pytest.raises(UserError, match=r"line 3 of .*set_a_timing.csv"):
        pascal_timings.read(tmp_path)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"set_a_timing.csv does not exist"):
        pascal_timings.read(tmp_path)


@pytest.mark.realdata
def test_real_marks(real_root):
    timings = pascal_timings.read(real_root)
    assert len(timings) == 16
    assert sum(len(timing.s1) + len(timing.s2) for timing in timings) == 288
    for timing in timings:
        info = soundfile.info(timing.path)
        assert info.samplerate == pascal_timings.SAMPLE_RATE
        assert max(timing.s1[-1], timing.s2[-1]) < info.duration
        # S2 follows S1 in every marked cycle, after what systole lasts in people (one cycle of one recording apart).
        assert len(timing.s1) == len(timing.s2)
        assert (timing.s2 > timing.s1).all()
        assert 0.2 < np.median(timing.s2 - timing.s1) < 0.4
