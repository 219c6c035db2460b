"""Pooling against loops over PyTorch's documented bins, and by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.losses.distillation import maps


def pooled(values, size):
    """Every output by its own slice, in float64; two space axes."""
    height, width = values.shape[1:3]
    out = np.zeros((values.shape[0], *size, values.shape[3]))
    for i in range(size[0]):
        for j in range(size[1]):
            top, bottom = int(np.floor(i * height / size[0])), int(np.ceil((i + 1) * height / size[0]))
            left, right = int(np.floor(j * width / size[1])), int(np.ceil((j + 1) * width / size[1]))
            out[:, i, j] = values[:, top:bottom, left:right].mean((1, 2))
    return out


class ResizeTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_sequence_by_hand(self):
        values = jnp.array([1.0, 2.0, 6.0]).reshape(1, 3, 1)
        resize = self.variant(maps.resize, static_argnums=1)
        # Three to two: the bins share the middle one.
        np.testing.assert_allclose(resize(values, (2,)).ravel(), [1.5, 4.0], rtol=1e-6)
        np.testing.assert_allclose(resize(values, (1,)).ravel(), [3.0], rtol=1e-6)
        gradient = jax.grad(lambda x: resize(x, (2,))[0, 0, 0])(values)
        np.testing.assert_allclose(gradient.ravel(), [0.5, 0.5, 0.0], rtol=1e-6)

    def test_against_loops(self):
        rng = np.random.default_rng(0)
        for shape, size in [((7, 5), (3, 2)), ((8, 6), (4, 3)), ((5, 9), (5, 4)), ((13, 25), (6, 1))]:
            values = rng.normal(size=(2, *shape, 3))
            got = maps.resize(jnp.asarray(values, jnp.float32), size)
            np.testing.assert_allclose(got, pooled(values, size), atol=1e-6)

    def test_own_size_is_left_alone(self):
        values = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
        np.testing.assert_array_equal(maps.resize(values, (3, 4)), values)

    def test_refuses_other_sizes(self):
        for size in [(4, 4), (3,), (0, 4)]:
            with pytest.raises(ValueError, match="cannot be pooled"):
                maps.resize(jnp.zeros((2, 3, 4, 5)), size)


def test_both_get_the_smaller_size_along_each_axis():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 6, 9, 3)), rng.normal(size=(2, 8, 5, 4))
    first, second = maps.common(jnp.asarray(student, jnp.float32), jnp.asarray(teacher, jnp.float32))
    np.testing.assert_allclose(first, pooled(student, (6, 5)), atol=1e-6)
    np.testing.assert_allclose(second, pooled(teacher, (6, 5)), atol=1e-6)


def test_a_map_meets_a_sequence_and_an_embedding():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 6, 8, 3))
    image = jnp.asarray(values, jnp.float32)
    first, second = maps.common(image, jnp.ones((2, 4, 5)))
    np.testing.assert_allclose(first, pooled(values.mean(1, keepdims=True), (1, 4))[:, 0], atol=1e-6)
    assert second.shape == (2, 4, 5)
    first, second = maps.common(jnp.ones((2, 5)), image)
    assert first.shape == (2, 5)
    np.testing.assert_allclose(second, values.mean((1, 2)), atol=1e-6)
