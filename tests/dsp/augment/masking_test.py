import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hsjax.dsp import augment

BANDS, FRAMES = 20, 50


@pytest.fixture(scope="module")
def masks(quick):
    """By numbers of masks and for any widths: (2800, BANDS, FRAMES), True where a mask lies."""
    keys = jax.random.split(jax.random.key(0), 2800)

    def drawn(count, widths, fraction):
        def one(key):
            features = jnp.ones((BANDS, FRAMES))
            return augment.spec_augment(key, features, *widths, *count, fraction, fill=augment.Fill.ZERO)

        return jax.vmap(one)(keys) == 0

    compiled = quick(drawn, static_argnums=0)
    return lambda widths, count, fraction=1.0: np.asarray(compiled(count, widths, fraction))


def edges(lines):
    """Beginnings and ends of runs of True along the last axis, counted."""
    padded = np.pad(lines.astype(int), [(0, 0), (1, 1)])
    return (np.diff(padded, axis=-1) == 1).sum(axis=-1)


def test_widths_are_uniform_and_masks_reach_both_ends(masks):
    over_bands = masks((6, 0), (1, 1))
    assert (over_bands == over_bands[:, :, :1]).all()
    lines = over_bands[:, :, 0]
    assert edges(lines).max() == 1
    widths = lines.sum(axis=1)
    assert scipy.stats.chisquare(np.bincount(widths, minlength=7)).pvalue > 1e-3
    starts = lines[widths == 4].argmax(axis=1)
    counts = np.bincount(starts, minlength=BANDS - 3)
    assert len(counts) == BANDS - 3  # 0 ... 16 are where four bands of twenty fit
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_sriram_s_masks(masks):
    got = masks((4, 6), (2, 5))
    over_bands, over_frames = got.all(axis=2), got.all(axis=1)
    np.testing.assert_array_equal(got, over_bands[:, :, None] | over_frames[:, None, :])
    assert edges(over_bands).max() == 2
    assert over_bands.sum(axis=1).max() in (7, 8)
    assert edges(over_frames).max() == 5
    assert 20 < over_frames.sum(axis=1).max() <= 30


def test_no_time_mask_is_wider_than_its_part(masks):
    widths = masks((0, 1000), (1, 1), 0.2)[:, 0].sum(axis=1)
    assert widths.max() == FRAMES * 0.2
    assert masks((1000, 0), (1, 1))[:, :, 0].sum(axis=1).max() == BANDS  # never wider than there is room


def test_fill(quick):
    """With as many masks as Sriram has."""
    features = jnp.asarray(np.random.default_rng(0).normal(3, 1, (2, BANDS, FRAMES)), jnp.float32)
    fills = (-80.0, augment.Fill.ZERO, augment.Fill.MEAN)
    every = quick(
        lambda key, x: [
            augment.spec_augment(key, x, 8, 20, 0, 0, fill=0.0),
            *(augment.spec_augment(key, x, 8, 20, fill=fill) for fill in fills),
        ]
    )
    unmasked, floor, *filled = every(jax.random.key(1), features)
    np.testing.assert_array_equal(unmasked, features)
    masked = np.asarray(floor) == -80
    assert 0.1 < masked.mean() < 0.9
    np.testing.assert_array_equal(masked[0], masked[1])
    for got, inside in zip(filled, ([0, 0], np.mean(features, axis=(1, 2))), strict=True):
        want = np.where(masked, np.asarray(inside)[:, None, None], features)
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_no_features_are_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        augment.spec_augment(jax.random.key(0), jnp.zeros((5, 0)), 1, 1)
