"""Grids, folded weights and biases, by hand."""

import numpy as np
import pytest

from hsjax.export.integer_tensors import Grid, Kernel, Weights, bias, folded, nibbles


def kernel(value, step, bits=8):
    value = np.asarray(value, np.float32)
    return Kernel(value, np.round(value / np.float32(step)), np.asarray(step, np.float32), bits)


def test_grids_of_sixteen_bits():
    grid = Grid(0.5, -28)
    assert grid.wide() == Grid(0.5, 0, 16)
    assert grid.spanned() == Grid(float(np.float32(0.5 * 155 / 32767)), 0, 16)  # from -50 to 77.5
    assert Grid(0.1, 0, 16).wide() == Grid(0.1, 0, 16)


def test_weights_are_a_kernel_times_a_factor_for_each_channel():
    rng = np.random.default_rng(0)
    other, own = (rng.normal(size=(2, 3, 4, 5)) for _ in range(2))
    step = np.abs(own).max((0, 1, 2)) / 127
    factors = np.array([2, -0.5, 1, 0, 3.0])
    weights = np.float32(np.moveaxis(own * factors, -1, 0))  # as in a convolution of TFLite
    got = folded(weights, 0, [kernel(other, step), kernel(own, step)])
    np.testing.assert_allclose(got.scale, step * np.abs(factors), rtol=1e-5)
    signs = np.sign(factors)[:, None, None, None]
    np.testing.assert_array_equal(got.levels, np.moveaxis(np.round(own / step), -1, 0) * signs)
    assert got.bits == 8


def test_of_depthwise_weights_the_channels_are_last():
    own = np.random.default_rng(0).normal(size=(3, 3, 1, 4))
    step = np.full(4, 0.5)
    got = folded(np.float32(own.transpose(2, 0, 1, 3)), 3, [kernel(own, step, 4)])
    np.testing.assert_array_equal(got.levels, np.round(own / 0.5).transpose(2, 0, 1, 3))
    assert got.bits == 4


def test_of_kernels_with_one_weight_a_channel_each_is_taken_once_and_in_order():
    """Each is a multiple of any other: what tells them apart is their order."""
    first, second = (np.random.default_rng(seed).uniform(0.5, 1, size=(1, 1, 1, 4)) for seed in (0, 1))
    kernels = [kernel(first, np.full(4, 0.25), 4), kernel(second, np.full(4, 0.01), 8)]
    used = set()
    for value, bits in ((first, 4), (second, 8), (second, 4)):  # of a layer that comes again there is none left
        got = folded(np.float32(value), 3, kernels, used)
        assert got.bits == bits
        used.add(got.kernel)
    assert used == {0, 1}


def test_a_kernel_that_is_used_again_is_found_again():
    own, other = (np.random.default_rng(seed).normal(size=(6, 4)) for seed in (0, 1))
    got = folded(np.float32(own.T), 0, [kernel(own, np.ones(4)), kernel(other, np.ones(4))], {0})
    assert got.kernel == 0


def test_weights_that_are_no_layers_are_refused():
    own = np.random.default_rng(0).normal(size=(6, 4))
    with pytest.raises(ValueError, match=r"weights of shape \(4, 6\) are no multiple of any of 1 kernels"):
        folded(np.float32(own.T + 0.01 * np.eye(4, 6)), 0, [kernel(own, np.ones(4))])
    with pytest.raises(ValueError, match="no multiple"):
        folded(np.float32(own.T), 0, [])


def test_a_bias_is_in_units_of_the_products():
    weights = Weights(np.ones((2, 3), np.float32), np.full((2, 3), 4, np.int8), np.array([0.25, 0.5], np.float32), 0, 8)
    same, levels = bias(weights, np.array([1.0, -0.3], np.float32), Grid(0.1, 3))
    np.testing.assert_array_equal(levels, [40, -6])
    assert levels.dtype == np.int32
    assert same is weights
    _, wide = bias(weights, np.array([1.0, -0.3], np.float32), Grid(0.1, 0, 16))
    assert wide.dtype == np.int64
    assert bias(weights, None, Grid(0.1, 3))[1] is None


def test_a_channel_too_small_for_its_bias_gets_a_larger_scale():
    real = np.array([[1e-12, -1e-12], [1, 1]], np.float32)
    weights = Weights(real, np.array([[127, -127], [2, 2]], np.int8), np.array([1e-14, 0.5], np.float32), 0, 8)
    got, levels = bias(weights, np.array([3.0, 1.0], np.float32), Grid(0.1, 0))
    assert np.abs(levels.astype(np.int64)).max() <= 2**30
    np.testing.assert_allclose(levels * np.float64(got.scale) * 0.1, [3, 1], rtol=1e-6)
    np.testing.assert_array_equal(got.levels, [[0, 0], [2, 2]])


def test_a_bias_of_64_bits_leaves_scales_as_they_are():
    """4e10 products of 1e-6 and .1: more than 32 bits hold, and within the 47 that LiteRT multiplies (common.h)."""
    weights = Weights(
        np.full((1, 3), 1e-4, np.float32), np.full((1, 3), 100, np.int8), np.array([1e-6], np.float32), 0, 8
    )
    same, levels = bias(weights, np.array([4000.0], np.float32), Grid(0.1, 0, 16))
    assert same is weights
    assert int(levels[0]) == pytest.approx(4e10, rel=1e-6)
    tiny = weights._replace(scale=np.array([1e-11], np.float32))
    _, levels = bias(tiny, np.array([4000.0], np.float32), Grid(0.1, 0, 16))
    assert 2**45 < levels[0] < 2**47


def test_two_levels_of_four_bits_share_a_byte():
    np.testing.assert_array_equal(nibbles(np.array([1, -1, 7, -7, 3], np.int8)), [0xF1, 0x97, 0x03])
