"""What every augmentation promises: one table of them, with the strength that changes nothing."""

import collections
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp import augment

TIME = 600
SAMPLE_RATE = 1000
CLIPS = jnp.asarray(np.random.default_rng(5).standard_normal((3, 250)), jnp.float32)


class Case(NamedTuple):
    """`apply(key, samples, strength)`.

    `bound(samples, strength)` is what no output exceeds in magnitude. `nan_after` is the first of the samples 0 ... 599
    that a NaN at sample 300 may reach, None for those that leave no sample alone.
    """

    apply: Callable
    nothing: float
    strong: float
    bound: Callable = lambda x, s: np.inf
    nan_after: int | None = 300


def masked(key, samples, strength):
    features = samples.reshape(*samples.shape[:-1], 12, -1)
    return augment.spec_augment(key, features, strength, strength, 2, 3, fill=0.0).reshape(samples.shape)


def peak(samples):
    return np.abs(samples).max(axis=-1, keepdims=True)


CASES = {
    "gain": Case(lambda k, x, s: augment.gain(k, x, (-s, s)), 0.0, 6.0, lambda x, s: np.abs(x) * 10 ** (s / 20)),
    "polarity": Case(augment.polarity, 0.0, 0.5, lambda x, s: np.abs(x)),
    "time_shift": Case(lambda k, x, s: augment.time_shift(k, x, (-s, s)), 0, 100, lambda x, s: peak(x), nan_after=200),
    "clip": Case(
        lambda k, x, s: augment.clip(k, x, (-s, -s / 2)),
        0.0,
        12.0,
        lambda x, s: peak(x) * 10 ** (-s / 40),
        nan_after=None,
    ),
    "white": Case(augment.add_white_noise, np.inf, 5.0),
    "pink": Case(augment.add_pink_noise, np.inf, 5.0),
    "recorded": Case(lambda k, x, s: augment.add_recorded_noise(k, x, CLIPS, s), np.inf, 5.0),
    "time_stretch": Case(
        lambda k, x, s: augment.time_stretch(k, x, 64, 16, (1 - s, 1 + s)), 0.0, 0.3, nan_after=int(300 / 1.3) - 64
    ),
    "pitch_shift": Case(lambda k, x, s: augment.pitch_shift(k, x, 64, 16, (-s, s)), 0.0, 3.0, nan_after=200),
    "resample_speed": Case(
        lambda k, x, s: augment.resample_speed(k, x, (1 - s, 1 + s), 8), 0.0, 0.3, nan_after=int(292 / 1.3)
    ),
    "stethoscope": Case(lambda k, x, s: augment.stethoscope(k, x, SAMPLE_RATE, s, 600 / s), 0.0, 6.0, nan_after=None),
    "baseline_wander": Case(
        lambda k, x, s: augment.baseline_wander(k, x, SAMPLE_RATE, s), 0.0, 0.5, lambda x, s: np.abs(x) + s
    ),
    "powerline_hum": Case(
        lambda k, x, s: augment.powerline_hum(k, x, SAMPLE_RATE, s, (49, 61)), 0.0, 0.5, lambda x, s: np.abs(x) + s
    ),
    "muscle_noise": Case(lambda k, x, s: augment.muscle_noise(k, x, SAMPLE_RATE, s), 0.0, 0.5),
    "spec_augment": Case(masked, 0, 5, lambda x, s: np.abs(x)),
}
EACH = pytest.mark.parametrize("name", CASES)


TRACES = collections.Counter()


@pytest.fixture(scope="module")
def batched(quick) -> dict[str, Callable]:
    """By case: `(key, batch, strength) -> batch`, compiled; TRACES counts how often."""

    def compiled(name):
        def run(key, batch, strength):
            TRACES[name] += 1
            return augment.batched(CASES[name].apply)(key, batch, strength)

        return quick(run)

    return {name: compiled(name) for name in CASES}


@pytest.fixture(scope="module")
def single(quick) -> dict[str, Callable]:
    """By case: `(key, samples, strength) -> (output, gradient of a sum of sines of it)`, compiled once."""

    def with_gradient(case):
        def loss(samples, key, strength):
            changed = case.apply(key, samples, strength)
            return jnp.sum(jnp.sin(changed)), changed

        def run(key, samples, strength):
            (_, changed), gradient = jax.value_and_grad(loss, has_aux=True)(samples, key, strength)
            return changed, gradient

        return quick(run)

    return {name: with_gradient(case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def signals() -> jax.Array:
    """Six rows: smooth noise, a ramp, silence, a constant, a NaN at sample 300, an impulse at 300."""
    rows = np.zeros((6, TIME))
    rows[0] = scipy.signal.lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(TIME))
    rows[1] = np.linspace(-1, 1, TIME)
    rows[3] = 0.5
    rows[4] = rows[0]
    rows[4, 300] = np.nan
    rows[5, 300] = 1
    return jnp.asarray(rows, jnp.float32)


@EACH
def test_no_strength_changes_nothing(name, batched, signals):
    case = CASES[name]
    got = batched[name](jax.random.key(1), signals, jnp.float32(case.nothing))
    usual = np.array([0, 1, 2, 3, 5])
    np.testing.assert_allclose(got[usual], signals[usual], atol=2e-5)
    batched[name](jax.random.key(2), signals, jnp.float32(case.strong))
    assert TRACES[name] == 1


@EACH
def test_examples_meet_different_draws_and_the_batch_is_the_loop(name, batched, single, signals):
    case = CASES[name]
    key, strength = jax.random.key(2), jnp.float32(case.strong)
    same = jnp.broadcast_to(signals[0], signals.shape)
    got = np.asarray(batched[name](key, same, strength))
    one, _ = single[name](jax.random.fold_in(key, 3), same[3], strength)
    np.testing.assert_allclose(got[3], one, atol=2e-5)
    distinct = {row.tobytes() for row in got}
    assert len(distinct) == (2 if name == "polarity" else 6)
    np.testing.assert_array_equal(got, batched[name](key, same, strength))
    assert np.abs(got - np.asarray(batched[name](jax.random.key(7), same, strength))).max() > 1e-3
    assert got.dtype == np.float32


@EACH
def test_silence_constants_and_nan_are_defined(name, batched, signals):
    case = CASES[name]
    got = np.asarray(batched[name](jax.random.key(3), signals, jnp.float32(case.strong)))
    assert np.isfinite(np.delete(got, 4, axis=0)).all()
    if name not in ("baseline_wander", "powerline_hum", "muscle_noise"):  # whose amplitudes are absolute
        np.testing.assert_array_equal(got[2], 0)
    if case.nan_after is None:
        assert np.isnan(got[4]).all()
    else:
        assert np.isfinite(got[4, : case.nan_after]).all()
        if (case.bound(1, 1) is not np.inf and name not in ("time_shift", "spec_augment")) or name in ("white", "pink"):
            assert np.flatnonzero(np.isnan(got[4])).tolist() == [300]


@EACH
def test_gradients_are_finite(name, single, signals):
    for row in (0, 2, 5):
        _, gradient = single[name](jax.random.key(4), signals[row], jnp.float32(CASES[name].strong))
        assert np.isfinite(gradient).all()
        assert row or np.abs(gradient).max() > 0.1


@EACH
def test_only_signals_are_augmented(name):
    case = CASES[name]
    if name != "spec_augment":  # masking_test has that one
        with pytest.raises(ValueError, match="at least one sample"):
            case.apply(jax.random.key(0), jnp.zeros((2, 0)), 0.1)
    with pytest.raises(TypeError):
        case.apply(jax.random.key(0), jnp.zeros(TIME, jnp.int32), 0.1)


@EACH
def test_dtype_and_channels_are_kept(name):
    case = CASES[name]
    shaped = jax.eval_shape(case.apply, jax.random.key(0), jnp.zeros((2, TIME), jnp.bfloat16), case.strong)
    assert (shaped.shape, shaped.dtype) == ((2, TIME), jnp.bfloat16)
    with jax.enable_x64(True):
        shaped = jax.eval_shape(case.apply, jax.random.key(0), jnp.zeros((1, 2, TIME)), case.strong)
        assert (shaped.shape, shaped.dtype) == ((1, 2, TIME), jnp.float64)


def test_one_sample_is_enough(quick):
    def every(key, one):
        changed = [case.apply(key, one, case.strong) for name, case in CASES.items() if name != "spec_augment"]
        return *changed, augment.spec_augment(key, one[None], 1, 1)[0]

    assert np.isfinite(quick(every)(jax.random.key(0), jnp.array([0.5]))).all()


@pytest.mark.realdata
@EACH
def test_real_recordings_stay_finite_and_bounded(name, batched, recordings):
    case = CASES[name]
    rows = []
    for samples, sample_rate in recordings.values():
        same_rate = scipy.signal.resample_poly(samples - samples.mean(), SAMPLE_RATE, sample_rate)
        rows.append(same_rate[200 : 200 + TIME])
    rows = np.asarray(rows, np.float32)
    assert len(rows) == 6
    got = np.asarray(batched[name](jax.random.key(5), jnp.asarray(rows), jnp.float32(case.strong)))
    assert np.isfinite(got).all()
    assert (np.abs(got) <= case.bound(rows, case.strong) + 1e-6 * peak(rows)).all()
    assert (np.abs(got - rows).max(axis=-1) > 0).sum() >= 1


def test_sometimes_is_as_often_as_said(quick):
    def doubled(key, batch, probability):
        double = augment.sometimes(lambda _, x, factor: factor * x, probability)
        return augment.batched(double)(key, batch, 2.0)

    run = functools.partial(quick(doubled), jax.random.key(0), jnp.ones((2000, 1)))
    got = np.asarray(run(0.3))
    assert set(np.unique(got)) == {1.0, 2.0}
    # Three standard deviations of a binomial of 2000.
    assert abs((got != 1).mean() - 0.3) < 3 * np.sqrt(0.3 * 0.7 / 2000)
    for probability, want in [(0.0, 1.0), (1.0, 2.0)]:
        np.testing.assert_array_equal(run(probability), want)


def test_an_example_s_draw_does_not_depend_on_the_size_of_the_batch(quick):
    polluted = augment.batched(lambda key, x: augment.gain(key, x, (-6.0, 6.0)))
    five, two = quick(lambda key, x: (polluted(key, x), polluted(key, x[:2])))(jax.random.key(0), jnp.ones((5, 8)))
    assert len(np.unique(five)) == 5
    np.testing.assert_array_equal(five[:2], two)


def test_ranges_the_wrong_way_round_are_refused():
    for wrong in (augment.gain, augment.time_shift, augment.add_white_noise):
        with pytest.raises(ValueError, match=r"from low to high, got \(3, -3\)"):
            wrong(jax.random.key(0), jnp.zeros(4), (3, -3))
