"""Means in files of integers, by numpy, on LiteRT's fast and on its reference kernels, which are TFLite Micro's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import runtime
from hsjax.export import tflite
from hsjax.runtime import Kernels, litert

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(1, 1, 6, 6)).astype(np.float32)
WEIGHTS, BIAS = RNG.normal(size=(6, 3)).astype(np.float32), RNG.normal(size=3).astype(np.float32)
MAPS = np.abs(RNG.normal(size=(16, 7, 13, 6))).astype(np.float32)


def maps(x):
    return jax.nn.relu(
        jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    )


def pooled(x):
    return jnp.mean(maps(x), (1, 2)) @ WEIGHTS + BIAS


def gated(x):
    """Squeeze and excitation: the mean is not followed by weights that could hold one over its size."""
    y = maps(x)
    return jnp.mean(y * jax.nn.sigmoid(jnp.mean(y, (1, 2))[:, None, None, :]), (1, 2)) @ WEIGHTS


def by_numpy(function):
    y = np.maximum(np.einsum("bhwi,io->bhwo", MAPS.astype(np.float64), KERNEL[0, 0]), 0)
    if function is gated:
        y = y / (1 + np.exp(-y.mean((1, 2), keepdims=True)))
        return y.mean((1, 2)) @ WEIGHTS
    return y.mean((1, 2)) @ WEIGHTS + BIAS


@pytest.mark.parametrize("form", ["int8", "int16"])
@pytest.mark.parametrize("function", [pooled, gated])
def test_means_of_integers_are_means_on_all_kernels(tmp_path, function, form):
    content = getattr(tflite.Traced(function, (1, 7, 13, 6)), form)(MAPS)
    names = litert.operators(content)
    assert "SUM" not in names
    assert names.count("MEAN") == (1 if function is pooled else 2)
    path = tmp_path / "means.tflite"
    path.write_bytes(content)
    want = by_numpy(function)
    for kernels in (Kernels.VECTOR, Kernels.REFERENCE):
        error = runtime.load(path, kernels=kernels).run(MAPS) - want
        # Three layers of eight bits leave 44 dB; TFLite's own sums leave 8 (reference kernels) or 1 (int16).
        assert 10 * np.log10(np.square(want).sum() / np.square(error).sum()) > 38, kernels


def test_what_has_no_sums_of_integers_stays_as_it_is():
    from hsjax.export.means import with_means

    float32 = tflite.float32(pooled, (1, 7, 13, 6))
    assert "SUM" in litert.operators(float32)
    assert with_means(float32) is float32


def test_a_sum_that_is_no_mean_stays_one():
    content = tflite.int8(lambda x: jnp.sum(maps(x), (1, 2)), (1, 7, 13, 6), MAPS)
    assert "SUM" in litert.operators(content)
