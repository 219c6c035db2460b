import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.delta_features import Edges, deltas

CASES = [(width, order, edges) for width, order in [(9, 1), (9, 2), (5, 3), (3, 1)] for edges in Edges]


@pytest.mark.parametrize(("axis", "exact"), [(-1, False), (1, True)])
def test_is_librosa_s(axis, exact, quick, rng):
    features = rng.standard_normal((2, 13, 41))
    with jax.enable_x64(exact):
        every = quick(lambda x: [deltas(x, width, order, axis, edges) for width, order, edges in CASES])
        results = every(jnp.asarray(features, float))
    for case, got in zip(CASES, results, strict=True):
        width, order, edges = case
        want = librosa.feature.delta(features, width=width, order=order, axis=axis, mode=edges.value)
        tolerance = (1e-9 if exact else 1e-4) * np.abs(want).max()
        np.testing.assert_allclose(got, want, atol=tolerance, err_msg=str(case))


@pytest.mark.realdata
def test_of_real_features(quick, recordings):
    slopes = quick(lambda x: [deltas(x, order=1, axis=0), deltas(x, order=2, axis=0)])
    for samples, _ in recordings.values():
        db = librosa.amplitude_to_db(np.abs(librosa.stft(samples[:1999], n_fft=256, hop_length=50))).T
        for order, got in enumerate(slopes(db.astype(np.float32)), start=1):
            np.testing.assert_allclose(got, librosa.feature.delta(db, order=order, axis=0), atol=1e-4)


def test_a_straight_line_has_its_slope_everywhere_and_a_nan_stays(quick):
    line = quick(deltas)
    np.testing.assert_allclose(line(3.0 * np.arange(31.0)), 3.0, atol=1e-5)
    np.testing.assert_allclose(line(np.ones(31)), 0.0, atol=1e-6)
    for place, spoiled in [(15, np.arange(11, 20)), (2, np.arange(7))]:  # a NaN stays within half the width
        features = np.ones(31)
        features[place] = np.nan
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(line(features))), spoiled)


def test_as_few_frames_as_possible(quick):
    ramp = np.arange(9.0, dtype=np.float32)
    nine, one = quick(lambda x: (deltas(x), deltas(x[1:2], edges=Edges.NEAREST)))(ramp)
    np.testing.assert_allclose(nine, librosa.feature.delta(ramp), atol=1e-5)
    np.testing.assert_allclose(one, librosa.feature.delta(np.ones(1), mode="nearest"), atol=1e-6)


def test_its_gradient_is_librosa_s_transposed(quick):
    matrix = librosa.feature.delta(np.eye(7), width=5, axis=0)
    got = quick(jax.jacrev(lambda x: deltas(x, 5)))(jnp.ones(7))
    np.testing.assert_allclose(got, matrix, atol=1e-6)


def test_impossible_arguments_say_so():
    with pytest.raises(ValueError, match=r"at least 9 frames for Edges\.INTERP.* got 8"):
        deltas(jnp.ones((9, 8)))
    with pytest.raises(ValueError, match="got 0"):
        deltas(jnp.ones((9, 0)), edges=Edges.NEAREST)
    for width in (1, 8):
        with pytest.raises(ValueError, match=f"odd width of at least 3 frames, got {width}"):
            deltas(jnp.ones(20), width)
    for order in (0, 9):
        with pytest.raises(ValueError, match=f"order between 1 and width - 1 = 8, got {order}"):
            deltas(jnp.ones(20), order=order)
