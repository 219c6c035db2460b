import pathlib
import pickle
import subprocess
import sys
import tracemalloc

import librosa
import numpy as np
import pytest
import scipy.io.wavfile
import sklearn.preprocessing
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsjax.data import audio
from hsjax.types import Fit, Level, UserError

RATE = 2000


@pytest.fixture
def samples(rng):
    return (0.2 * rng.standard_normal(3001)).astype(np.float32)


@pytest.mark.parametrize(
    ("dtype", "full_scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.float32, 1.0), (np.float64, 1.0)]
)
def test_decode_wav_written_by_scipy(tmp_path, samples, dtype, full_scale):
    path = tmp_path / "a.wav"
    written = (samples * full_scale).astype(dtype)
    scipy.io.wavfile.write(path, 44100, written)
    decoded, rate = audio.decode(path)
    assert rate == 44100
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, written / full_scale, rtol=1e-6, atol=1e-9)


def test_decode_24_bit_by_hand(tmp_path):
    # 0.5, -0.25 and the smallest step as 24-bit little-endian words, behind a header of 44 bytes written out here.
    data = (2**22).to_bytes(3, "little") + (2**24 - 2**21).to_bytes(3, "little") + (1).to_bytes(3, "little")
    word = lambda n, size=4: n.to_bytes(size, "little")  # noqa: E731
    header = b"WAVEfmt " + word(16) + word(1, 2) + word(1, 2) + word(8000) + word(24000) + word(3, 2) + word(24, 2)
    body = header + b"data" + word(len(data)) + data + b"\0"
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + word(len(body)) + body)
    decoded, rate = audio.decode(path)
    assert rate == 8000
    np.testing.assert_array_equal(decoded, np.float32([0.5, -0.25, 2**-23]))


@pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("WAV", "PCM_24"), ("WAV", "PCM_U8")])
def test_decode_integer_formats(tmp_path, samples, kind):
    path = tmp_path / "a.audio"
    soundfile.write(path, samples, RATE, format=kind[0], subtype=kind[1])
    step = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}[kind[1]]
    decoded, rate = audio.decode(path)
    assert rate == RATE
    np.testing.assert_allclose(decoded, samples, atol=step)


def test_decode_ogg(tmp_path):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(20000) / 8000)).astype(np.float32)
    soundfile.write(tmp_path / "a.ogg", tone, 8000)
    decoded, rate = audio.decode(tmp_path / "a.ogg")
    assert rate == 8000
    assert len(decoded) == len(tone)
    assert np.corrcoef(decoded, tone)[0, 1] > 0.999


def test_channels_are_averaged(tmp_path, samples):
    stereo = np.stack([samples, -0.5 * samples, 0.2 * samples], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.decode(tmp_path / "a.wav")[0], (0.7 / 3) * samples, atol=1e-7)


def test_mean_of_large_floats_does_not_overflow(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full((4, 2), 3e38, np.float32), RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.decode(tmp_path / "a.wav")[0], 3e38, rtol=1e-6)


def test_longer_than_a_block(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(audio, "_BLOCK_SAMPLES", 1000)
    long = rng.integers(-(2**15), 2**15, (3501, 2), dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", long, RATE)
    np.testing.assert_allclose(audio.decode(tmp_path / "a.flac")[0], long.mean(1) / 2**15, atol=1e-7)


def reason(path: pathlib.Path) -> str:
    with pytest.raises(audio.UnreadableAudio) as caught:
        audio.decode(path)
    return caught.value.reason


@pytest.mark.parametrize(("subtype", "kind"), [("PCM_16", "wav"), ("FLOAT", "wav"), ("PCM_16", "flac")])
def test_truncated(tmp_path, samples, subtype, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, samples, RATE, subtype=subtype)
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in reason(path) or "cannot be decoded" in reason(path)
    if kind == "wav":
        assert reason(path) == "truncated: 100 bytes of sound fewer than its header claims"


def with_flac_length(content: bytes, frames: int) -> bytes:
    """The length is the low 36 bits of bytes 18 to 25 (RFC 9639, section 8.2)."""
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | frames
    return content[:18] + field.to_bytes(8, "big") + content[26:]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (3002, "truncated: 3001 samples per channel, its header claims 3002"),
        (audio.MAX_FRAMES, "truncated: 3001 samples per channel, its header claims 268435456"),
        (2**36 - 1, "too long or damaged: its header claims 68719476735 samples per channel"),
    ],
)
def test_lying_flac_header_costs_no_memory(tmp_path, samples, frames, expected):
    path = tmp_path / "a.flac"
    soundfile.write(path, samples, RATE)
    assert len(path.read_bytes()) < 10_000
    path.write_bytes(with_flac_length(path.read_bytes(), frames))
    tracemalloc.start()
    try:
        assert reason(path) == expected
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_flac_of_unknown_length(tmp_path, samples):
    path = tmp_path / "a.flac"
    soundfile.write(path, samples, RATE)
    path.write_bytes(with_flac_length(path.read_bytes(), 0))
    np.testing.assert_allclose(audio.decode(path)[0], samples, atol=2**-15)


@pytest.mark.parametrize(("size", "readable"), [(2**32 - 1, True), (2**31, False)])
def test_wav_from_a_pipe(tmp_path, samples, size, readable):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE)
    content = path.read_bytes()
    position = content.index(b"data") + 4
    path.write_bytes(content[:position] + size.to_bytes(4, "little") + content[position + 4 :])
    if readable:
        np.testing.assert_allclose(audio.decode(path)[0], samples, atol=2**-15)
    else:
        assert "truncated" in reason(path)


def test_chunk_before_the_data_is_skipped(tmp_path, samples):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE)
    content = path.read_bytes()
    position = content.index(b"data")
    odd_chunk = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    path.write_bytes(content[:position] + odd_chunk + content[position:])
    np.testing.assert_allclose(audio.decode(path)[0], samples, atol=2**-15)
    path.write_bytes(path.read_bytes()[:-6])
    assert reason(path).startswith("truncated: 6 bytes")


def test_other_reasons(tmp_path):
    assert reason(tmp_path / "nowhere.wav") == "does not exist"
    assert reason(tmp_path) == "is not a file"
    (tmp_path / "empty.wav").write_bytes(b"")
    assert reason(tmp_path / "empty.wav") == "the file is empty"
    (tmp_path / "text.wav").write_text("this is no audio")
    assert reason(tmp_path / "text.wav").startswith("cannot be decoded as audio")
    assert str(tmp_path) not in reason(tmp_path / "text.wav")
    (tmp_path / "headerless.raw").write_bytes(b"1234")
    assert reason(tmp_path / "headerless.raw") == "has no header: convert it to WAV or FLAC"
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    assert reason(tmp_path / "none.wav") == "holds no samples"
    soundfile.write(tmp_path / "slow.wav", np.ones(9, np.float32), 49)
    assert reason(tmp_path / "slow.wav") == "its header claims a sample rate of 49 Hz, below 50 Hz"
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "nan.wav", np.array([0.0, value, 0.1]), RATE, subtype="FLOAT")
        assert reason(tmp_path / "nan.wav") == "holds samples that are NaN or infinite"


def test_too_long(tmp_path, samples, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, samples, RATE)
    monkeypatch.setattr(audio, "MAX_FRAMES", len(samples))
    audio.decode(path)
    monkeypatch.setattr(audio, "MAX_FRAMES", len(samples) - 1)
    assert reason(path).startswith("too long")
    path.write_bytes(with_flac_length(path.read_bytes(), 0))
    assert reason(path).startswith("too long")


def test_error_pickles_and_names_the_file(tmp_path):
    error = pickle.loads(pickle.dumps(audio.UnreadableAudio(tmp_path / "a.wav", "the file is empty")))
    assert isinstance(error, UserError)
    assert str(error) == f"{tmp_path / 'a.wav'}: the file is empty"


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("encoded")
    noise = (0.3 * np.random.default_rng(1).standard_normal((700, 2))).astype(np.float32)
    result = {}
    for kind, subtype in (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")):
        path = folder / f"{subtype}.{kind.lower()}"
        soundfile.write(path, noise, 8000, format=kind, subtype=subtype)
        result[path.name] = path.read_bytes()
    return result


@pytest.mark.parametrize("name", ["PCM_16.wav", "FLOAT.wav", "PCM_16.flac", "VORBIS.ogg"])
@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_decoded(tmp_path, sound_files, name, data):
    content = bytearray(sound_files[name])
    # Most flips go into the headers, where they do most harm.
    places = st.one_of(st.integers(0, 63), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        decoded, rate = audio.decode(path)
    except audio.UnreadableAudio:
        pass
    else:
        assert len(decoded)
        assert np.isfinite(decoded).all()
        assert rate > 0
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2**26


def test_resample_keeps_a_tone():
    tone = lambda rate: np.sin(2 * np.pi * 100 * np.arange(rate) / rate).astype(np.float32)  # noqa: E731
    for to_rate in (2000, 1000, 22050):
        resampled = audio.resample(tone(4000), 4000, to_rate)
        assert resampled.dtype == np.float32
        assert len(resampled) == to_rate
        inner = slice(to_rate // 10, -to_rate // 10)
        np.testing.assert_allclose(resampled[inner], tone(to_rate)[inner], atol=1e-3)


def test_resample_removes_what_would_alias():
    tone = np.sin(2 * np.pi * 1800 * np.arange(4000) / 4000).astype(np.float32)
    resampled = audio.resample(tone, 4000, 2000)
    assert np.abs(resampled[200:-200]).max() < 1e-4


def test_resample_to_the_same_rate_is_the_identity(samples):
    assert audio.resample(samples, RATE, RATE) is samples


@pytest.mark.parametrize(
    ("time", "window", "hop", "starts"),
    [
        (10, 4, 4, [0, 4, 6]),  # 2 of 4 are left over: half a window
        (9, 4, 4, [0, 4]),  # 1 is left over
        (8, 4, 4, [0, 4]),
        (11, 4, 4, [0, 4, 7]),
        (10, 4, 2, [0, 2, 4, 6]),
        (11, 4, 2, [0, 2, 4, 6]),
        (11, 5, 4, [0, 4]),  # 2 of 5 are left over
        (12, 5, 4, [0, 4, 7]),
        (4, 4, 4, [0]),
        (3, 4, 4, [0]),
        (1, 4, 1, [0]),
        (9, 2, 4, [0, 4, 7]),  # hop longer than a window
        (1, 1, 1, [0]),
    ],
)
def test_windows(time, window, hop, starts):
    samples = np.arange(1, time + 1, dtype=np.float32)
    cut, found = audio.windows(samples, window, hop)
    assert found.dtype == np.int64
    assert found.tolist() == starts
    padded = [*samples.tolist(), *[0.0] * window]
    np.testing.assert_array_equal(cut, [padded[start : start + window] for start in starts])
    assert cut.dtype == np.float32


@pytest.mark.parametrize(("time", "window"), [(1, 4), (2, 4), (3, 8), (4, 4), (9, 4)])
def test_first_window_of_short_recordings_is_centred_as_librosa_does(time, window):
    samples = np.arange(1, time + 1, dtype=np.float32)
    cut, start = audio.first_window(samples, window, Fit.BOTH)
    want = librosa.util.pad_center(samples, size=window) if time < window else samples[:window]
    np.testing.assert_array_equal(cut, [want])
    assert start.tolist() == [0]
    behind, _ = audio.first_window(samples, window)
    np.testing.assert_array_equal(behind, [librosa.util.fix_length(samples, size=window)])


def test_levels(rng):
    samples = (3.0 * rng.normal(size=500) - 2.0).astype(np.float32)
    np.testing.assert_array_equal(audio.levelled(samples, Level.NONE), samples)
    np.testing.assert_allclose(audio.levelled(samples, Level.PEAK), librosa.util.normalize(samples), rtol=1e-6)
    want = sklearn.preprocessing.scale(samples.astype(np.float64))
    np.testing.assert_allclose(audio.levelled(samples, Level.STANDARD), want, atol=1e-6)
    for level in Level:
        np.testing.assert_array_equal(audio.levelled(np.zeros(9, np.float32), level), np.zeros(9))
        assert audio.levelled(samples, level).dtype == np.float32


@pytest.mark.parametrize(("time", "window", "hop"), [(0, 4, 4), (10, 0, 4), (10, 4, 0)])
def test_windows_refuses(time, window, hop):
    with pytest.raises(ValueError, match="window"):
        audio.windows(np.zeros(time, np.float32), window, hop)


def test_imports_stay_light():
    program = (
        "import sys; import hsjax.data.audio;"
        "print([m for m in ('jax', 'scipy', 'flax', 'tensorflow', 'soxr', 'ml_collections') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
