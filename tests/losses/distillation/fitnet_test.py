"""Values and gradients by hand, and float64 NumPy written out per position."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hsjax.losses import distillation


@jax.jit
def gradients(params, student, teacher):
    return jax.grad(lambda p, s: distillation.fitnet(p, s, teacher).sum(), (0, 1))(params, student)


class FitNetTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # Student 1 and 2 make 2 s + 1 = 3 and 5; the teacher has 3 and 1: (0 + 16) / 2.
        params = {"kernel": jnp.array([[2.0]]), "bias": jnp.array([1.0])}
        student, teacher = jnp.array([1.0, 2.0]).reshape(1, 2, 1), jnp.array([3.0, 1.0]).reshape(1, 2, 1)
        np.testing.assert_allclose(self.variant(distillation.fitnet)(params, student, teacher), [8.0], rtol=1e-6)
        by_params, by_student = gradients(params, student, teacher)
        # d/ds = 2 (guess - teacher) kernel / 2, d/dkernel = sum of 2 (guess - teacher) s / 2
        np.testing.assert_allclose(by_student.ravel(), [0.0, 8.0], rtol=1e-6)
        np.testing.assert_allclose(by_params["kernel"], [[8.0]], rtol=1e-6)
        np.testing.assert_allclose(by_params["bias"], [4.0], rtol=1e-6)

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher = rng.normal(size=(3, 4, 6, 2)), rng.normal(size=(3, 2, 6, 5))
        kernel, bias = rng.normal(size=(2, 5)), rng.normal(size=5)
        want = np.zeros(3)
        for b in range(3):
            for h in range(2):
                for w in range(6):
                    pooled = student[b, 2 * h : 2 * h + 2, w].mean(0)
                    for c in range(5):
                        want[b] += (pooled @ kernel[:, c] + bias[c] - teacher[b, h, w, c]) ** 2 / (2 * 6 * 5)
        with jax.enable_x64(True):
            params = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
            loss = jax.jit(lambda p, s: distillation.fitnet(p, s, jnp.asarray(teacher)))
            np.testing.assert_allclose(loss(params, jnp.asarray(student)), want, rtol=1e-12)
            jax.test_util.check_grads(loss, (params, jnp.asarray(student)), 1, ["rev"])

    def test_zero_where_the_regression_is_exact(self):
        params = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
        values = jnp.arange(12.0).reshape(3, 4)
        np.testing.assert_array_equal(distillation.fitnet(params, values, values), 0)

    def test_initial_regressor(self):
        params = distillation.init_fitnet(jax.random.key(0), 300, 200)
        chex.assert_shape([params["kernel"], params["bias"]], [(300, 200), (200,)])
        # Glorot: uniform within sqrt(6 / (300 + 200)).
        limit = np.sqrt(6 / 500)
        assert 0.99 * limit < np.abs(params["kernel"]).max() <= limit
        np.testing.assert_allclose(params["kernel"].std(), limit / np.sqrt(3), rtol=0.02)
        np.testing.assert_array_equal(params["bias"], 0)
        other = distillation.init_fitnet(jax.random.key(1), 300, 200)
        assert not np.array_equal(other["kernel"], params["kernel"])

    def test_channels_must_fit_the_regressor(self):
        params = distillation.init_fitnet(jax.random.key(0), 3, 4)
        with pytest.raises(AssertionError):
            distillation.fitnet(params, jnp.zeros((2, 4)), jnp.zeros((2, 4)))
