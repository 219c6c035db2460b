import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.fir import butterworth_fir, fir_filter, linear_phase_fir
from hsjax.models.summary import equation_macs


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(20, 400, "bandpass"), (None, 400, "lowpass"), (20, None, "highpass")]
)
def test_impulse_response_filters_as_scipy_s_recursion(rng, low, high, kind):
    taps = butterworth_fir(3, low, high, 2000)
    edges = [low, high] if low and high else low or high
    samples = rng.standard_normal(5000)
    want = scipy.signal.sosfilt(scipy.signal.butter(3, edges, kind, fs=2000, output="sos"), samples)
    np.testing.assert_allclose(np.convolve(samples, taps)[:5000], want, atol=1e-5)
    assert len(taps) < 700


@pytest.mark.parametrize("edges", [(0.0, 400.0), (20.0, 1000.0), (400.0, 20.0)])
@pytest.mark.parametrize("design", [butterworth_fir, linear_phase_fir])
def test_impossible_bands_are_refused(edges, design):
    with pytest.raises(ValueError, match="0 < low < high < 1000"):
        design(3, *edges, 2000)


def test_endless_ringing_and_no_edge_are_refused():
    with pytest.raises(ValueError, match=r"a 0.01 Hz edge of order 3 rings"):
        butterworth_fir(3, 0.01, 400.0, 2000)
    with pytest.raises(ValueError, match="got neither"):
        butterworth_fir(3, None, None, 2000)
    with pytest.raises(ValueError, match="odd number of taps, got 100"):
        linear_phase_fir(100, 20, None, 2000)


@pytest.mark.parametrize(("low", "high"), [(50, 400), (None, 400), (50, None)])
def test_linear_phase_is_symmetric_and_half_at_its_edges(low, high):
    taps = linear_phase_fir(201, low, high, 2000)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    _, response = scipy.signal.freqz(taps, worN=[200.0, *(edge for edge in (low, high) if edge)], fs=2000)
    np.testing.assert_allclose(np.abs(response), [1, *[0.5] * (len(response) - 1)], atol=0.01)


@pytest.mark.parametrize("exact", [False, True], ids=["float32", "float64"])
def test_is_scipy_s_lfilter(quick, rng, exact):
    cases = [(1000, 480, 64), (64, 65, 64), (1, 3, 64), (130, 1, 7), (333, 70, None)]  # samples, taps, block
    dtype = np.float64 if exact else np.float32
    signals = [rng.standard_normal((2, time)).astype(dtype) for time, _, _ in cases]
    kernels = [rng.standard_normal(taps) for _, taps, _ in cases]

    def every(signals):
        blocks = [() if block is None else (block,) for _, _, block in cases]
        return [fir_filter(x, kernel, *block) for x, kernel, block in zip(signals, kernels, blocks, strict=True)]

    with jax.enable_x64(exact):
        results = quick(every)(signals)
    for samples, kernel, got in zip(signals, kernels, results, strict=True):
        want = scipy.signal.lfilter(kernel, 1, samples.astype(np.float64))
        np.testing.assert_allclose(got, want, atol=1e-12 if exact else 1e-4)


def test_nothing_to_filter_is_refused():
    with pytest.raises(ValueError, match="want samples"):
        fir_filter(jnp.zeros((2, 0)), np.ones(3))
    with pytest.raises(ValueError, match="tolerance from 0 on"):
        fir_filter(jnp.zeros((2, 5)), np.ones(3), tolerance=-1e-3)


@pytest.mark.parametrize(("low", "high", "rate"), [(20, 400, 2000), (20, 400, 1000), (None, 300, 4000)])
def test_a_recursion_s_past_in_few_numbers_filters_as_scipy_s(rng, low, high, rate):
    taps = butterworth_fir(3, low, high, rate)
    samples = rng.standard_normal((2, 1999)).astype(np.float32)
    want = scipy.signal.lfilter(taps, 1, samples.astype(np.float64))

    def products(tolerance):
        jaxpr = jax.make_jaxpr(lambda x: fir_filter(x, taps, tolerance=tolerance))(samples)
        counts = [equation_macs(equation) for equation in jaxpr.jaxpr.eqns]
        return sum(counts)

    got = jax.jit(lambda x: fir_filter(x, taps, tolerance=5e-6))(samples)
    np.testing.assert_allclose(got, want, atol=2e-5)
    assert products(5e-6) < (products(0) / 2 if low else products(0))
    # Nothing of few numbers: as it is.
    noise = rng.standard_normal(300)
    got = jax.jit(lambda x: fir_filter(x, noise, tolerance=5e-6))(samples)
    np.testing.assert_allclose(got, scipy.signal.lfilter(noise, 1, samples.astype(np.float64)), atol=1e-4)
