import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
import scipy.signal
import soundfile

from hsjax.dsp.segmentation.envelopes import envelopes
from hsjax.dsp.segmentation.rhythm import rhythm

FRAME_RATE = 50


def beats(seconds, cycle, systole, loudness=0.6, phase=0.1):
    """Envelope of a heart: narrow bumps at S1 and S2."""
    time = np.arange(int(seconds * FRAME_RATE)) / FRAME_RATE
    return sum(
        height * np.exp(-0.5 * ((time - phase - k * cycle - delay) / 0.03) ** 2)
        for k in range(int(seconds / cycle) + 1)
        for delay, height in [(0, 1.0), (systole, loudness)]
    )


# seconds, cycle, systole
CASES = [(8, 0.83, 0.31), (30, 1.317, 0.37), (12, 0.47, 0.215), (9.7, 1, 0.333), (5, 0.61, 0.27), (3, 0.9, 0.3)]


@pytest.fixture(scope="module")
def found_in(quick):
    return quick(lambda envelopes, lengths: rhythm(envelopes, FRAME_RATE, lengths))


@pytest.fixture(scope="module")
def batch():
    rows = [5 + 0.1 * beats(*case) for case in CASES]
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.full((len(rows), 1600), 77.0, np.float32)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded, lengths


def test_finds_the_rate_and_systole_it_was_made_with(found_in, batch):
    found = found_in(*batch)
    np.testing.assert_allclose(found.heart_rate, [60 / cycle for _, cycle, _ in CASES], rtol=0.005)
    for got, (_, cycle, systole) in zip(found.systole, CASES, strict=True):
        # A diastole nearly as short as systole has a peak that melts into its.
        np.testing.assert_allclose(got, systole, atol=0.005 if cycle > 0.7 else cycle / 2 - systole + 0.005)


def test_confidence_is_the_autocorrelation_at_one_cycle(found_in, batch):
    found = found_in(*batch)
    for confidence, values, length, (_, cycle, _) in zip(found.confidence, *batch, CASES, strict=True):
        centred = values[:length].astype(np.float64) - values[:length].mean(dtype=np.float64)
        full = scipy.signal.correlate(centred, centred)[length - 1 :]
        at_cycle = full[int(cycle * FRAME_RATE) - 1 : int(cycle * FRAME_RATE) + 3].max() / full[0]
        assert at_cycle - 1e-4 <= confidence <= at_cycle + 0.06  # the parabola's top lies above the samples


def test_padding_changes_nothing(found_in, quick, batch):
    together = found_in(*batch)
    alone = quick(lambda x: rhythm(x, FRAME_RATE))(batch[0][3, : batch[1][3]])
    for one, of_many in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, of_many[3], rtol=1e-4)
    folded = found_in(batch[0].reshape(2, 3, -1), batch[1].reshape(2, 3))
    np.testing.assert_allclose(np.ravel(folded.heart_rate), together.heart_rate, rtol=1e-4)


def test_without_a_rhythm_there_is_a_default(found_in):
    nan = beats(4, 0.8, 0.3)
    nan[30] = np.nan
    rows = np.zeros((6, 1600), np.float32)
    rows[1] = 0.1
    rows[2, :200] = nan
    rows[3, 100] = 1
    rows[4:] = 1
    found = found_in(rows, np.array([200, 200, 200, 200, 1, 0], np.int32))
    np.testing.assert_allclose(found.heart_rate, 75)
    np.testing.assert_allclose(found.systole, 0.3, rtol=1e-6)
    np.testing.assert_array_equal(found.confidence, 0)


def test_impossible_input_is_refused():
    with pytest.raises(ValueError, match="without frames"):
        rhythm(jnp.zeros((2, 0)), FRAME_RATE)
    with pytest.raises(ValueError, match="at least 20 frames"):
        rhythm(jnp.zeros(100), 10)


def annotated_cycle(path: pathlib.Path) -> float:
    """Median seconds from S1 to S1; states are (1-based sample at 2 kHz, name) nested in MATLAB cells."""
    states = [(a, b) for a, b in scipy.io.loadmat(path, squeeze_me=True)["state_ans"]]
    starts = [int(np.ravel(a)[0]) for a, b in states if str(np.ravel(b)[0]) == "S1"]
    return float(np.median(np.diff(starts)) / 2000) if len(starts) > 3 else np.nan


@pytest.mark.realdata
def test_heart_rates_of_real_recordings(quick, real_root):
    """One recording in a hundred of PhysioNet 2016, 8 s each, against its hand-corrected annotation."""
    folder = real_root / "physionet2016"
    answers = sorted((folder / "annotations/hand_corrected").glob("*/*_StateAns.mat"))
    paths = [(folder / path.parent.name[:10] / (path.name.split("_")[0] + ".wav"), path) for path in answers]
    paths = [(wav, answer) for wav, answer in paths if wav.exists()][::100]
    samples = np.stack([np.resize(soundfile.read(wav, dtype="float32")[0], 16000) for wav, _ in paths])

    @quick
    def found_in(samples):
        features, frames = envelopes(samples, 2000)
        return rhythm(features[..., 0], FRAME_RATE, frames)

    found = found_in(samples)
    want = np.array([60 / annotated_cycle(answer) for _, answer in paths])
    error = np.abs(found.heart_rate / want - 1)[np.isfinite(want)]
    assert len(error) >= 20
    assert np.median(error) < 0.02
    assert np.mean(error > 0.15) < 0.15
