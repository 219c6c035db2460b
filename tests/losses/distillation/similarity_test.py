"""Values and gradients by hand, and float64 NumPy loops."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np

from hsjax.losses import distillation

value_and_gradient = jax.jit(jax.value_and_grad(distillation.similarity_preserving))


def loops(student, teacher, some):
    rows = [i for i in range(len(some)) if some[i]]
    scaled = []
    for values in (student, teacher):
        gram = np.array([[np.sum(values[i] * values[j]) for j in rows] for i in rows])
        scaled.append(np.array([row / np.sqrt(np.sum(row**2)) for row in gram]))
    return np.sum((scaled[0] - scaled[1]) ** 2) / len(rows) ** 2


class SimilarityPreservingTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # Orthogonal: rows (1, 0), (0, 1). Alike: rows (1, 1) / sqrt(2). The difference of each row squared is
        # 2 - sqrt(2), and there are four entries.
        student, teacher, mask = jnp.eye(2), jnp.array([[3.0], [3.0]]), jnp.ones(2)
        loss = self.variant(distillation.similarity_preserving)(student, teacher, mask)
        np.testing.assert_allclose(loss, (2 - np.sqrt(2)) / 2, rtol=1e-6)
        # A row (1, e) has length 1 to first order, so only e counts: d/de of 2 (e - 1/sqrt(2))^2 / 4 = -1 / sqrt(2);
        # e = s1 . s2 grows with s1's second and s2's first number.
        np.testing.assert_allclose(
            value_and_gradient(student, teacher, mask)[1], -np.sqrt(0.5) * (1 - np.eye(2)), atol=1e-6
        )

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher, some = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 5, 2, 2)), [1, 1, 0, 1, 0, 1]
        with jax.enable_x64(True):
            mask = jnp.asarray(some, jnp.float64)
            loss = jax.jit(lambda s: distillation.similarity_preserving(s, jnp.asarray(teacher), mask))
            np.testing.assert_allclose(loss(jnp.asarray(student)), loops(student, teacher, some), rtol=1e-10)
            jax.test_util.check_grads(loss, (jnp.asarray(student),), 1, ["rev"])

    def test_each_networks_scale_does_not_count(self):
        values = jnp.asarray(np.random.default_rng(0).normal(size=(5, 8)), jnp.float32)
        got = distillation.similarity_preserving(7 * values, values, jnp.ones(5))
        np.testing.assert_allclose(got, 0, atol=1e-12)
