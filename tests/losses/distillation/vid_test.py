"""Values and gradients by hand, and float64 against scipy's normal density."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import scipy.stats

from hsjax.losses import distillation


def identity():
    """Parameters whose mean is the student where that is positive; one channel."""
    params = distillation.init_vid(jax.random.key(0), 1, 1)
    return params | {"hidden_kernel": jnp.eye(1), "kernel": jnp.eye(1)}


@jax.jit
def gradients(params, student, teacher):
    return jax.grad(lambda p, s: distillation.vid(p, s, teacher).sum(), (0, 1))(params, student)


class VIDTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # Variance 5 at first; prediction 1, teacher 3: (4 / 5 + log 5) / 2.
        params, student, teacher = identity(), jnp.array([[1.0], [-1.0]]), jnp.array([[3.0], [3.0]])
        value = self.variant(distillation.vid)(params, student, teacher)
        np.testing.assert_allclose(value, [0.4 + np.log(5) / 2, 0.9 + np.log(5) / 2], rtol=1e-6)
        by_params, by_student = gradients(params, student, teacher)
        # -(3 - 1) / 5; the ReLU stops the other.
        np.testing.assert_allclose(by_student, [[-0.4], [0.0]], atol=1e-6)
        # Of the variance: (1 / 5 - 4 / 25) / 2 + (1 / 5 - 9 / 25) / 2 = -0.06, times softplus' slope 1 - exp(-5).
        np.testing.assert_allclose(by_params["variance"], [-0.06 * (1 - np.exp(-5))], rtol=1e-4)

    def test_against_the_normal_density_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher = rng.normal(size=(3, 6, 2)), rng.normal(size=(3, 3, 4))
        params = {
            "hidden_kernel": rng.normal(size=(2, 4)),
            "hidden_bias": rng.normal(size=4),
            "kernel": rng.normal(size=(4, 4)),
            "bias": rng.normal(size=4),
            "variance": np.array([-20.0, 0.0, 1.0, 3.0]),
        }
        want = np.zeros(3)
        for b in range(3):
            for t in range(3):
                pooled = (student[b, 2 * t] + student[b, 2 * t + 1]) / 2
                hidden = np.maximum(pooled @ params["hidden_kernel"] + params["hidden_bias"], 0)
                mean = hidden @ params["kernel"] + params["bias"]
                deviation = np.sqrt(np.log1p(np.exp(params["variance"])) + 1e-5)
                density = scipy.stats.norm.logpdf(teacher[b, t], mean, deviation)
                want[b] -= (density + np.log(2 * np.pi) / 2).mean() / 3
        with jax.enable_x64(True):
            params = {name: jnp.asarray(value) for name, value in params.items()}
            loss = jax.jit(lambda p, s: distillation.vid(p, s, jnp.asarray(teacher)))
            np.testing.assert_allclose(loss(params, jnp.asarray(student)), want, rtol=1e-10)
            ordinary = params | {"variance": jnp.array([-1.0, 0.0, 1.0, 3.0])}
            jax.test_util.check_grads(loss, (ordinary, jnp.asarray(student)), 1, ["rev"])

    def test_smallest_value(self):
        values = jnp.arange(3.0).reshape(3, 1)
        params = identity() | {"variance": jnp.array([-100.0])}
        np.testing.assert_allclose(distillation.vid(params, values, values), np.log(1e-5) / 2, rtol=1e-6)

    def test_initial_parameters(self):
        params = distillation.init_vid(jax.random.key(0), 200, 300)
        chex.assert_shape([params["hidden_kernel"], params["kernel"]], [(200, 300), (300, 300)])
        # He: deviation sqrt(2 / 200) before a ReLU; LeCun: sqrt(1 / 300).
        np.testing.assert_allclose(params["hidden_kernel"].std(), 0.1, rtol=0.02)
        np.testing.assert_allclose(params["kernel"].std(), np.sqrt(1 / 300), rtol=0.02)
        np.testing.assert_allclose(np.log1p(np.exp(params["variance"])) + 1e-5, 5.0, rtol=1e-6)
