"""What a network sees of a batch: held against the front end and the single changes, called one example at a time."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from hsjax import config, features
from hsjax.dsp import augment
from hsjax.train.views import OF_FEATURES, OF_SAMPLES, Change, Views
from hsjax.types import UserError
from tests.models.layers import quick

RATE, WINDOW, BATCH = 1000, 800, 4
KEY = jax.random.key(0)

RECIPE = {
    "samples": {
        "gain": {"gain_db": (-6.0, 6.0)},
        "add_white_noise": {"snr_db": (5.0, 20.0), "probability": 0.5},
        "time_shift": {"shift": (-100, 100), "edge": "circular"},
    },
    "features": {"spec_augment": {"frequency_width": 3, "time_width": 4, "time_masks": 2}},
}


@pytest.fixture(scope="module")
def front_end():
    settings = config.base().features
    settings.n_fft, settings.hop_length, settings.fmax = 128, 50, 450.0
    return features.build(settings, RATE, WINDOW)


@pytest.fixture(scope="module")
def windows():
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, WINDOW)), jnp.float32)


@pytest.fixture(scope="module")
def state(front_end, windows):
    return front_end.fit(np.asarray(windows))


@pytest.fixture(scope="module")
def plain(front_end, windows, state):
    """Features without any view."""
    return quick.jit(front_end.compute)(state, windows)


@pytest.fixture(scope="module")
def recipe(front_end):
    return Views.from_settings(RECIPE, front_end, RATE, "config.views")


# Compiled in a hurry, and not an operator at a time, which takes longer still.
see = functools.partial(quick.jit, static_argnums=0)(lambda views, *arguments: views(*arguments))


def add_one(key, example):
    return example + 1.0


def draw_one(key, example):
    return example + jax.random.normal(key)


def add(key, example, amount, other=0.0):
    return example + amount - other


def test_without_changes_it_is_the_front_end_or_nothing(front_end, windows, state, plain):
    chex.assert_trees_all_equal(Views()(KEY, windows), windows)
    chex.assert_trees_all_equal(see(Views(front_end=front_end), KEY, windows, state), plain)


def test_changes_of_samples_come_before_the_front_end_and_those_of_features_after(front_end, windows, state):
    add_half = Change(add, (("amount", 2.0), ("other", 1.5)))
    views = Views((Change(augment.time_shift, (("shift", 30),)),), (add_half, Change(add_one)), front_end)
    shifted = jnp.asarray(np.pad(windows, ((0, 0), (30, 0)))[:, :WINDOW])
    want = see(Views(front_end=front_end), KEY, shifted, state) + 1.5
    np.testing.assert_allclose(see(views, KEY, windows, state), want, atol=1e-4)


def test_every_example_change_and_batch_draws_for_itself():
    zeros = jnp.zeros((6, 2, 3))
    views = Views(features=(Change(draw_one), Change(draw_one)))
    seen = np.asarray(see(views, KEY, zeros))
    single = Views(features=(Change(draw_one),))
    once, other = (np.asarray(see(single, jax.random.key(seed), zeros)) for seed in (0, 1))
    values = np.stack([once, seen - once, other])
    assert len(np.unique(values[..., 0, 0].round(5))) == 3 * 6
    assert np.ptp(values, axis=(2, 3)).max() < 1e-6
    # An example draws the same whatever batch it is in.
    np.testing.assert_array_equal(see(views, KEY, zeros[:2]), seen[:2])


def test_probability_is_that_of_an_example():
    zeros = jnp.zeros((4000, 1))
    for probability in (0.0, 0.3, 1.0):
        changed = np.asarray(see(Views(features=(Change(add_one, probability=probability),)), KEY, zeros))
        assert set(changed.ravel()) <= {0.0, 1.0}
        # Four standard deviations.
        assert abs(changed.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / 4000)


def test_padding_stays_in_its_row(recipe, windows, state):
    seen = see(recipe, KEY, windows, state)
    for held in (0.0, np.nan, np.inf, 1e30):
        padded = see(recipe, KEY, windows.at[2].set(held), state)
        rows = np.array([0, 1, 3])
        np.testing.assert_allclose(padded[rows], seen[rows], rtol=1e-5, atol=1e-5)


def test_a_recipe_keeps_shapes_and_changes_everything(recipe, windows, state, plain):
    seen = see(recipe, KEY, windows, state)
    assert (seen.shape, seen.dtype) == (plain.shape, plain.dtype)
    assert np.isfinite(seen).all()
    assert np.abs(seen - plain).max(axis=(1, 2)).min() > 0.1


def test_members_under_vmap_are_single_views(recipe, plain):
    views, keys = Views(features=(*recipe.features, Change(draw_one))), jax.random.split(KEY, 2)
    together = quick.jit(jax.vmap(views, (0, None)))(keys, plain)
    for member in (0, 1):
        np.testing.assert_allclose(together[member], see(views, keys[member], plain), rtol=1e-5, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_equal_settings_make_one_compilation(recipe, front_end):
    same = Views.from_settings(ConfigDict(RECIPE), front_end, RATE, "config.views")
    assert same == recipe
    assert hash(same) == hash(recipe)


def test_gradients_reach_the_front_end_s_state(front_end, windows, state):
    views = Views(features=(Change(add_one),), front_end=front_end)
    loss = quick.jit(jax.grad(lambda mean: jnp.sum(views(KEY, windows, state._replace(mean=mean)))))
    gradient = loss(jnp.asarray(state.mean))
    frames = front_end.shape[1]
    np.testing.assert_allclose(gradient, -BATCH * frames / np.asarray(state.std), rtol=1e-4)


def test_settings_become_changes(front_end, recipe):
    # In the order in which they happen to a sound, whatever that in the settings.
    assert recipe.samples == (
        Change(augment.time_shift, (("edge", augment.Edge.CIRCULAR), ("shift", (-100, 100)))),
        Change(augment.add_white_noise, (("snr_db", (5.0, 20.0)),), 0.5),
        Change(augment.gain, (("gain_db", (-6.0, 6.0)),)),
    )
    masks = (("frequency_width", 3), ("time_masks", 2), ("time_width", 4))
    assert recipe.features == (Change(augment.spec_augment, masks),)
    assert recipe.front_end is front_end


def test_settings_of_features_alone_leave_the_front_end_out(front_end):
    views = Views.from_settings({"features": RECIPE["features"]}, front_end, RATE, "config.views")
    assert views.front_end is None
    assert Views.from_settings({}, front_end, RATE, "config.views") == Views()
    assert Views.from_settings(ConfigDict({"samples": {}, "features": {}}), front_end, RATE, "v") == Views()


def test_the_sample_rate_is_filled_in_and_polarity_has_a_probability_of_its_own(front_end):
    settings = {"samples": {"polarity": {"probability": 0.2}, "powerline_hum": {"amplitude": 0.1}}}
    hum, polarity = Views.from_settings(settings, front_end, RATE, "config.views").samples
    assert dict(hum.arguments) == {"amplitude": 0.1, "sample_rate": RATE}
    assert polarity == Change(augment.polarity, (("probability", 0.2),))


# What a change cannot do without.
NEEDED = {
    "time_stretch": {"n_fft": 64, "hop_length": 16},
    "pitch_shift": {"n_fft": 64, "hop_length": 16},
    "time_shift": {"shift": 5},
    "baseline_wander": {"amplitude": 0.1},
    "muscle_noise": {"amplitude": 0.1},
    "powerline_hum": {"amplitude": 0.1},
    "add_white_noise": {"snr_db": 10.0},
    "add_pink_noise": {"snr_db": 10.0},
    "add_coloured_noise": {"snr_db": 10.0, "exponent": 1.0},
    "spec_augment": {"frequency_width": 2, "time_width": 3},
}


def test_every_change_can_be_had_by_name(front_end):
    for section, functions in (("samples", OF_SAMPLES), ("features", OF_FEATURES)):
        settings = {section: {name: NEEDED.get(name, {}) for name in functions}}
        views = Views.from_settings(settings, front_end, RATE, "config.views")
        assert [change.function for change in getattr(views, section)] == list(functions.values())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sample": {}}, r"config.views has no 'sample'; did you mean 'samples'\?"),
        ({"samples": {"gian": {}}}, r"config.views.samples has no 'gian'; did you mean 'gain'\?"),
        ({"samples": {"add_recorded_noise": {"snr_db": 3.0}}}, r"has no 'add_recorded_noise'"),
        ({"samples": {"gain": {"gain": 3.0}}}, r"config.views.samples.gain has no 'gain'; did you mean 'gain_db'\?"),
        ({"samples": {"stethoscope": {"sample_rate": 10}}}, "has no 'sample_rate'"),
        ({"samples": {"time_shift": {}}}, "config.views.samples.time_shift needs the argument 'shift'"),
        ({"samples": {"gain": {"probability": 1.5}}}, "gain.probability to a number from 0 to 1, not to 1.5"),
        ({"samples": {"gain": {"probability": "often"}}}, "gain.probability to a number"),
        ({"samples": {"gain": {"gain_db": "loud"}}}, "gain.gain_db to a number, or to"),
        ({"samples": {"gain": {"gain_db": (1, 2, 3)}}}, r"not to \(1, 2, 3\)"),
        ({"samples": {"gain": {"gain_db": (6.0, -6.0)}}}, "Mend config.views.samples.gain: want a range from low"),
        ({"samples": {"time_shift": {"shift": 1, "edge": "wrap"}}}, "edge to one of zero, circular, not to 'wrap'"),
        ({"samples": {"time_shift": {"shift": 1, "edge": 3}}}, "edge to one of zero, circular, not to 3"),
        ({"samples": {"stethoscope": {"order": 1.5}}}, "stethoscope.order to a whole number, not to 1.5"),
        ({"samples": {"stethoscope": {"bands": 0}}}, "Mend config.views.samples.stethoscope: want at least one band"),
        ({"samples": {"gain": 3.0}}, "Give config.views.samples.gain as names with their values"),
        ({"samples": ("gain",)}, "Give config.views.samples as names with their values"),
        ({"features": {"spec_augment": {"frequency_width": 2}}}, "needs the argument 'time_width'"),
    ],
)
def test_what_cannot_be_is_said_with_its_key(front_end, settings, says):
    with pytest.raises(UserError, match=says):
        Views.from_settings(settings, front_end, RATE, "config.views")
    with pytest.raises(UserError, match=says):
        Views.from_settings(ConfigDict(settings), front_end, RATE, "config.views")


def test_a_front_end_needs_its_state(front_end, windows):
    with pytest.raises(ValueError, match="fitted state"):
        Views(front_end=front_end)(KEY, windows)


def test_changes_of_samples_need_a_front_end():
    with pytest.raises(UserError, match="front end"):
        Views(samples=(Change(add_one),))
