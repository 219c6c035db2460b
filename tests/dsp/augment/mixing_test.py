import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hsjax.dsp import augment

MIX = {"mixup": augment.mixup, "cutmix": augment.cutmix}
EACH = pytest.mark.parametrize("name", MIX)
SHAPE = (60, 2, 40)
EVERYBODY = np.ones(60, np.float32)


@pytest.fixture(scope="module")
def mixes(quick):
    """By name and for SHAPE alone, as the Beta distribution takes long to compile."""
    compiled = {name: quick(mix) for name, mix in MIX.items()}

    def run(name, seed, samples, alpha, mask=EVERYBODY):
        got = compiled[name](jax.random.key(seed), samples.astype(np.float32), np.float32(alpha), mask)
        assert got.samples.shape == SHAPE
        return augment.Mixed(*map(np.asarray, got))

    return run


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_beta_distributed(alpha, mixes):
    weight = np.concatenate([mixes("mixup", seed, np.zeros(SHAPE), alpha).weight for seed in range(67)])
    assert scipy.stats.kstest(weight, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert np.mean(weight) == pytest.approx(0.5, abs=0.03)
    assert np.var(weight) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_mixup_is_the_weighted_sum(mixes, rng):
    samples = rng.standard_normal(SHAPE)
    got = mixes("mixup", 0, samples, 1.0)
    weight = got.weight[:, None, None]
    np.testing.assert_allclose(got.samples, weight * samples + (1 - weight) * samples[got.partner], atol=1e-6)


def test_cutmix_pastes_one_stretch_and_says_how_long(mixes):
    got = mixes("cutmix", 0, np.broadcast_to(np.arange(60)[:, None, None], SHAPE), 1.0)
    foreign = got.samples != np.arange(60)[:, None, None]
    np.testing.assert_array_equal(foreign[:, 0], foreign[:, 1])
    np.testing.assert_allclose(1 - foreign[:, 0].mean(axis=1), got.weight, atol=1e-6)
    runs = (np.diff(np.pad(foreign[:, 0].astype(int), [(0, 0), (1, 1)]), axis=1) == 1).sum(axis=1)
    assert set(runs) <= {0, 1}
    np.testing.assert_array_equal(np.where(foreign, got.samples, 0).max(axis=(1, 2)), np.where(runs, got.partner, 0))
    assert foreign[:, 0, 0].any()
    assert foreign[:, 0, -1].any()
    assert scipy.stats.kstest(got.weight, "uniform").pvalue > 1e-3


@EACH
def test_masked_examples_are_never_partners(name, mixes):
    mask = np.zeros(60, np.float32)
    mask[[0, 2, 3, 59]] = 1
    samples = np.broadcast_to(np.where(mask > 0, np.arange(60), np.nan)[:, None, None], SHAPE)
    seen = set()
    for seed in range(60):
        got = mixes(name, seed, samples, 1.0, mask)
        np.testing.assert_array_equal(got.partner[mask == 0], np.flatnonzero(mask == 0))
        np.testing.assert_array_equal(np.sort(got.partner), np.arange(60))
        assert (got.partner != np.arange(60))[mask > 0].all()
        np.testing.assert_array_equal(got.weight[mask == 0], 1)
        assert np.isfinite(got.samples[mask > 0]).all()
        assert np.isnan(got.samples[mask == 0]).all()
        seen.add(got.partner.tobytes())
    assert len(seen) == 6  # the cycles of four


@EACH
def test_nobody_to_mix_with(name, mixes, rng):
    alone = rng.standard_normal(SHAPE).astype(np.float32)
    mask = np.zeros(60, np.float32)
    nobody = mixes(name, 0, alone, 1.0, mask)
    np.testing.assert_array_equal(nobody.samples, alone)
    mask[7] = 1
    got = mixes(name, 0, alone, 1.0, mask)
    np.testing.assert_allclose(got.samples, alone, rtol=1e-6)
    np.testing.assert_array_equal(got.partner, np.arange(60))
    with pytest.raises(ValueError, match="at least one sample"):
        MIX[name](jax.random.key(0), jnp.zeros((0, 3)), 1.0)


@EACH
def test_no_alpha_mixes_nothing(name, mixes, rng):
    samples = rng.standard_normal(SHAPE).astype(np.float32)
    got = mixes(name, 0, samples, 0.0)
    np.testing.assert_array_equal(got.samples, samples)
    np.testing.assert_array_equal(got.weight, 1)
    same, again, other = (mixes(name, seed, samples, 2.0).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 0.1


@EACH
def test_gradients_are_finite_and_without_a_mask_all_are_valid(name, mixes, quick, rng):
    samples = rng.standard_normal(SHAPE).astype(np.float32)

    @quick
    def with_gradient(key, x):
        mixed, transposed = jax.vjp(lambda x: MIX[name](key, x, 2.0).samples, x)
        return mixed, transposed(jnp.ones_like(x))[0]

    mixed, gradient = with_gradient(jax.random.key(1), samples)
    np.testing.assert_allclose(gradient.sum(), samples.size, rtol=1e-5)
    np.testing.assert_allclose(mixed, mixes(name, 1, samples, 2.0).samples, atol=1e-6)
    half = jax.eval_shape(MIX[name], jax.random.key(0), jnp.zeros((5, 4), jnp.bfloat16), 1.0, jnp.ones(5, bool))
    assert half.samples.dtype == jnp.bfloat16


@pytest.mark.realdata
@EACH
def test_real_recordings_stay_within_both(name, mixes, recordings):
    rows = [samples[:800] / np.abs(samples[:800]).max() for samples, _ in recordings.values()]
    rows = np.concatenate(rows).reshape(SHAPE)
    got = mixes(name, 0, rows, 1.0)
    pair = np.stack([rows, rows[got.partner]])
    assert (got.samples <= pair.max(axis=0) + 1e-6).all()
    assert (got.samples >= pair.min(axis=0) - 1e-6).all()
