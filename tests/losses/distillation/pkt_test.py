"""Values and gradients by hand, and float64 NumPy loops with scipy's divergence."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import scipy.stats

from hsjax.losses import distillation

value_and_gradient = jax.jit(jax.value_and_grad(distillation.pkt))


def loops(student, teacher, some):
    rows = [i for i in range(len(some)) if some[i]]
    divergences = []
    for j in rows:
        conditional = []
        for values in (student, teacher):
            length = np.sqrt(np.sum(values**2, 1))
            cosines = [values[i] @ values[j] / (length[i] * length[j]) for i in rows if i != j]
            conditional.append((np.array(cosines) + 1) / 2)
        divergences.append(scipy.stats.entropy(conditional[1], conditional[0]))  # both divided by their sums
    return np.mean(divergences)


class PKTTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # Two alike, one orthogonal: kernel 1, 1/2, 1/2. For the alike ones p = (2/3, 1/3), for the third (1/2, 1/2).
        # The teacher's are all orthogonal: q = 1/2. (1/2) log(3/4) + (1/2) log(3/2), for two of three.
        student, teacher = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), jnp.eye(3)
        loss = self.variant(distillation.pkt)(student, teacher, jnp.ones(3))
        np.testing.assert_allclose(loss, np.log(9 / 8) / 3, rtol=1e-5)
        # Turning the third towards the others by e: cosines e with both, kernel (1 + e) / 2. Of the first two,
        # p(third) = (1 + e) / (3 + e) has slope 2/9 and the loss slope (2/9) (q1 / p1 - q3 / p3) = (2/9) (3/4 - 3/2)
        # = -1/6 each; a mean over three, and a turn by e is a step of 3 e.
        np.testing.assert_allclose(
            value_and_gradient(student, teacher, jnp.ones(3))[1][2, 0], -(1 / 6) * (2 / 3) / 3, rtol=1e-5
        )

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher, some = rng.normal(size=(7, 3)), rng.normal(size=(7, 5)), [1, 1, 0, 1, 1, 0, 1]
        with jax.enable_x64(True):
            mask = jnp.asarray(some, jnp.float64)
            loss = jax.jit(lambda s: distillation.pkt(s, jnp.asarray(teacher), mask))
            np.testing.assert_allclose(loss(jnp.asarray(student)), loops(student, teacher, some), rtol=1e-5)
            jax.test_util.check_grads(loss, (jnp.asarray(student),), 1, ["rev"])

    def test_opposite_embeddings_are_finite(self):
        # Cosine -1 gives the student probability 0 where the teacher has some.
        student = jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.3, 0.1], [0.0, 0.0]])
        teacher = jnp.array([[1.0, 0.0], [1.0, 0.1], [0.3, 0.1], [0.2, 0.0]])
        for pair in ((student, teacher), (teacher, student)):
            value, gradient = value_and_gradient(*pair, jnp.ones(4))
            chex.assert_tree_all_finite((value, gradient))
            assert value > 0.1

    def test_zero_at_the_teacher_and_nowhere_negative(self):
        rng = np.random.default_rng(0)
        for _ in range(20):
            teacher = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32)
            value, gradient = value_and_gradient(3 * teacher, teacher, jnp.ones(5))
            np.testing.assert_allclose(value, 0, atol=1e-6)
            np.testing.assert_allclose(gradient, 0, atol=1e-6)
            close = teacher + jnp.asarray(1e-3 * rng.normal(size=(5, 4)), jnp.float32)
            assert value_and_gradient(close, teacher, jnp.ones(5))[0] > -1e-6
