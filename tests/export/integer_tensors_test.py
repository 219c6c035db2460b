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


def test_two_levels_of_four_bits_share_a_byte():
    np.testing.assert_array_equal(nibbles(np.array([1, -1, 7, -7, 3], np.int8)), [0xF1, 0x97, 0x03])
