import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.decibels import Reference, db_to_magnitude, db_to_power, magnitude_to_db, power_to_db

OPTIONS = [
    {},
    {"top_db": None},
    {"top_db": 30},
    {"ref": -4.0},  # librosa takes the absolute value
    {"ref": 1e-12, "amin": 1e-9},
    {"ref": 0},
    {"amin": 1e-3, "top_db": 0},
]


def librosa_s(function, values, **options):
    """For each spectrogram by itself."""
    if options.get("ref") is Reference.MAX:
        options["ref"] = np.max
    return np.stack([function(value, **{"ref": 1.0, **options}) for value in values])


@pytest.mark.parametrize("exact", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(power_to_db, librosa.power_to_db), (magnitude_to_db, librosa.amplitude_to_db)]
)
def test_is_librosa_s(ours, theirs, exact, quick, rng):
    values = 10 ** rng.uniform(-14, 3, (4, 20, 30))
    values[3] = 0.0  # silence
    given = [*OPTIONS, {"ref": Reference.MAX}, {"ref": Reference.MAX, "top_db": None}]
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if exact else {"atol": 1e-4}
    with jax.enable_x64(exact):
        every = quick(lambda x: [ours(x, **options) for options in given])(jnp.asarray(values, float))
    for options, got in zip(given, every, strict=True):
        assert got.dtype == (np.float64 if exact else np.float32)
        np.testing.assert_allclose(got, librosa_s(theirs, values, **options), **tolerance, err_msg=str(options))


def test_a_batch_is_its_spectrograms_one_by_one(quick, rng):
    power = (rng.uniform(0, 1, (2, 3, 5, 7)) * 10.0 ** np.arange(-6, 0).reshape(2, 3, 1, 1)).astype(np.float32)
    want = np.stack([[librosa.power_to_db(p, ref=np.max, top_db=20) for p in row] for row in power])
    got = quick(lambda x: power_to_db(x, Reference.MAX, top_db=20))(power)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_negative_magnitudes_count_by_their_absolute_value(quick, rng):
    values = rng.standard_normal((5, 7))
    want = librosa.amplitude_to_db(values, ref=2.0)
    np.testing.assert_allclose(quick(lambda x: magnitude_to_db(x, 2.0))(values.astype(np.float32)), want, atol=1e-4)


def test_and_back(quick, rng):
    db = rng.uniform(-80, 20, (3, 4))

    def there_and_back(db):
        magnitude = db_to_magnitude(db, 0.5)
        return db_to_power(db, 0.5), magnitude, magnitude_to_db(magnitude, 0.5, top_db=None)

    with jax.enable_x64(True):
        power, magnitude, back = quick(there_and_back)(db)
    np.testing.assert_allclose(power, librosa.db_to_power(db, ref=0.5), rtol=1e-12)
    np.testing.assert_allclose(magnitude, librosa.db_to_amplitude(db, ref=0.5), rtol=1e-12)
    np.testing.assert_allclose(back, db, atol=1e-9)


@pytest.mark.realdata
def test_real_spectrograms_in_db(quick, recordings):
    decibels = quick(lambda x: [power_to_db(x, Reference.MAX), magnitude_to_db(x, Reference.MAX)])
    for samples, rate in recordings.values():
        _, _, power = scipy.signal.spectrogram(samples[:1999], rate)
        in_power, in_magnitude = decibels(power.astype(np.float32))
        np.testing.assert_allclose(in_power, librosa.power_to_db(power, ref=np.max), atol=1e-4)
        np.testing.assert_allclose(in_magnitude, librosa.amplitude_to_db(power, ref=np.max), atol=1e-4)


def test_gradients_by_hand(quick, rng):
    """Of 10 log10 they are 10 / ln 10 / power, of the maximum's share the sum of all."""
    power = rng.uniform(0.1, 1, (3, 4))
    with jax.enable_x64(True):
        for function, factor in ((power_to_db, 10 / np.log(10)), (magnitude_to_db, 20 / np.log(10))):
            gradients = quick(
                lambda p, f=function: [jax.grad(lambda q, r=ref: f(q, r).sum())(p) for ref in (2.0, Reference.MAX)]
            )
            to_number, to_maximum = gradients(power)
            want = factor / power
            np.testing.assert_allclose(to_number, want, rtol=1e-12)
            want[power == power.max()] -= 12 * factor / power.max()
            np.testing.assert_allclose(to_maximum, want, rtol=1e-12)
        for function, factor in ((db_to_power, np.log(10) / 10), (db_to_magnitude, np.log(10) / 20)):
            got = quick(jax.grad(lambda x, f=function: f(x).sum()))(power)
            np.testing.assert_allclose(got, factor * np.exp(factor * power), rtol=1e-12)
    silent = quick(lambda p: [jax.grad(lambda q, f=f: f(q).sum())(p) for f in (power_to_db, magnitude_to_db)])
    np.testing.assert_array_equal(silent(jnp.zeros((3, 4))), 0.0)


def test_a_nan_stays_one_and_spreads_only_by_way_of_the_maximum(quick):
    power = np.ones((2, 3, 4), np.float32)
    power[0, 1, 2] = np.nan
    limited, whole = quick(lambda p: (power_to_db(p), power_to_db(p, top_db=None)))(power)
    for got in (limited, whole):
        assert np.isnan(got[0, 1, 2])
    assert np.isnan(limited).sum(axis=(1, 2)).tolist() in ([1, 0], [12, 0])  # by the device's maximum of NaN and 1
    assert np.isnan(whole).sum() == 1


def test_half_precision_is_computed_in_single():
    assert jax.eval_shape(power_to_db, jnp.ones((3, 4), jnp.float16)).dtype == jnp.float32
    assert jax.eval_shape(db_to_power, jnp.ones((3, 4), jnp.bfloat16)).dtype == jnp.float32


def test_impossible_floors_say_so():
    for options in ({"amin": 0.0}, {"top_db": -1.0}):
        for function in (power_to_db, magnitude_to_db):
            with pytest.raises(ValueError, match="positive amin and a top_db that is not negative"):
                function(jnp.ones((3, 4)), **options)
