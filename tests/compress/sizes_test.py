"""Sizes against zlib, scipy's entropy and arithmetic by hand."""

import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hsjax.compress import sizes


def test_of_a_file(tmp_path):
    data = b"lub dub " * 1000
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    found = sizes.of_file(path)
    assert found.raw == 8000
    with zipfile.ZipFile(tmp_path / "oracle.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "model")
    assert found.zipped == (tmp_path / "oracle.zip").stat().st_size < 200
    # l, d and the space once or twice in eight, u and b twice.
    assert found.entropy == pytest.approx(1000 * scipy.stats.entropy([1, 1, 2, 2, 2], base=2))


def test_of_variables_as_they_are(rng):
    dense = rng.normal(size=(64, 50)).astype(np.float32)
    found = sizes.of_variables({"params": {"a": {"kernel": jnp.asarray(dense), "bias": jnp.zeros(50)}}})
    assert found.raw == 4 * (3200 + 50)
    assert found.entropy == 4 * 3200 + 4  # nothing is gained on the kernel; the bias is one value
    sixteen = rng.normal(size=16).astype(np.float32)[np.arange(3200) % 16].reshape(64, 50)
    clustered = sizes.of_variables({"params": {"a": {"kernel": jnp.asarray(sixteen)}}})
    assert clustered.entropy == pytest.approx(16 * 4 + 3200 * 4 / 8)
    assert clustered.zipped < found.zipped / 4


@pytest.mark.parametrize("bits", [4, 8])
def test_of_variables_as_whole_numbers(rng, bits):
    kernel = rng.normal(size=(3, 3, 8, 10)).astype(np.float32)
    kernel[np.abs(kernel) < 1] = 0
    found = sizes.of_variables({"params": {"a": {"kernel": jnp.asarray(kernel), "bias": jnp.arange(10.0)}}}, bits)
    assert found.raw == 720 * bits // 8 + 10 * 4 + 10 * 4
    most = {4: 7, 8: 127}[bits]
    whole = np.rint(kernel.astype(np.float64) / np.abs(kernel).max((0, 1, 2)) * most)
    _, count = np.unique(whole, return_counts=True)
    assert found.entropy == pytest.approx(720 * scipy.stats.entropy(count, base=2) / 8 + 80)


def test_whole_numbers_keep_zeros_and_reach_both_ends():
    kernel = np.array([[1.0, 0.0], [-0.5, 0.0], [0.004, 0.0]], np.float32)
    got = sizes.quantised(kernel)
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, [[127, 0], [-64, 0], [1, 0]])  # -63.5 to even


def test_entropy_by_hand():
    assert sizes.entropy_bits(np.array([3, 3, 3])) == 0.0
    assert sizes.entropy_bits(np.array([0, 1, 0, 1])) == 4.0
    assert sizes.entropy_bits(np.zeros(0)) == 0.0


def test_the_same_bytes_give_the_same_size_on_any_day(monkeypatch):
    once = sizes.zipped(b"abc" * 100)
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 12, 31, 23, 59, 58, 0, 366, 0))
    assert sizes.zipped(b"abc" * 100) == once
