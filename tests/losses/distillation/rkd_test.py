"""Values and gradients by hand (points on a line against an equilateral triangle), and float64 NumPy loops."""

import itertools

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np

from hsjax.losses import distillation

LINE = np.array([[0.0], [1.0], [2.0]])
TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


gradients = {loss: jax.jit(jax.value_and_grad(loss)) for loss in (distillation.rkd_distance, distillation.rkd_angle)}


def huber(error):
    return error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5


def distance_loops(student, teacher, some):
    pairs = list(itertools.permutations([i for i in range(len(some)) if some[i]], 2))
    potentials = []
    for values in (student, teacher):
        lengths = [np.sqrt(np.sum((values[i] - values[j]) ** 2)) for i, j in pairs]
        potentials.append(np.array(lengths) / np.mean(lengths))
    return np.mean([huber(a - b) for a, b in zip(*potentials, strict=True)])


def angle_loops(student, teacher, some):
    triples = list(itertools.permutations([i for i in range(len(some)) if some[i]], 3))
    potentials = []
    for values in (student, teacher):
        cosines = []
        for i, j, k in triples:
            first, second = values[i] - values[j], values[k] - values[j]
            cosines.append(first @ second / np.sqrt((first @ first) * (second @ second)))
        potentials.append(cosines)
    return np.mean([huber(a - b) for a, b in zip(*potentials, strict=True)])


class RKDTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_distance_by_hand(self):
        # 1, 1, 2 over their mean 4/3: 3/4, 3/4, 3/2; the triangle's are all 1: (1/32 + 1/32 + 1/8) / 3.
        student, teacher = jnp.asarray(LINE, jnp.float32), jnp.asarray(TRIANGLE, jnp.float32)
        loss = self.variant(lambda s: distillation.rkd_distance(s, teacher, jnp.ones(3)))
        gradient = lambda s: gradients[distillation.rkd_distance](s, teacher, jnp.ones(3))[1]  # noqa: E731
        np.testing.assert_allclose(loss(student), 1 / 16, rtol=1e-6)
        # For 0 < x < 2 the sum of distances stays 4, so the middle's slope vanishes by symmetry. Moving the last
        # by e makes them 1, 1 + e, 2 + e over (4 + 2 e) / 3: slopes -3/8, 3/8, 0; times the errors -1/4, -1/4, 1/2
        # and over 3: 0.
        np.testing.assert_allclose(gradient(student), np.zeros((3, 1)), atol=1e-6)
        # 1, 2, 3 over 2: errors -1/2, 0, 1/2, loss 1/12. The last moved by e: 1, 2 + e, 3 + e over (6 + 2 e) / 3:
        # slopes -1/6, 1/6, 0 times errors, over 3: 1/36. The middle: 1 + e, 2 - e, 3: slopes 1/2, -1/2, 0: -1/12.
        student = jnp.array([[0.0], [1.0], [3.0]])
        np.testing.assert_allclose(loss(student), 1 / 12, rtol=1e-6)
        np.testing.assert_allclose(gradient(student).ravel(), [2 / 36, -3 / 36, 1 / 36], atol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_angle_by_hand(self):
        # On a line: 1 at both ends, -1 in the middle; the triangle's are all 1/2: (1/8 + 1/8 + 1) / 3.
        student, teacher = jnp.asarray(LINE, jnp.float32), jnp.asarray(TRIANGLE, jnp.float32)
        loss = self.variant(lambda s: distillation.rkd_angle(s, teacher, jnp.ones(3)))
        gradient = lambda s: gradients[distillation.rkd_angle](s, teacher, jnp.ones(3))[1]  # noqa: E731
        np.testing.assert_allclose(loss(student), 5 / 12, rtol=1e-6)
        # Cosines of the corner: 0 and twice sqrt(1/2). The second lifted to (1, e): the right angle falls by e, both
        # others rise by e / 2. So the cosines' slopes are 1 and twice -sqrt(1/2) / 2.
        corner = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        root = np.sqrt(0.5)
        want = (-0.5 * 1 - 2 * (root - 0.5) * root / 2) / 3
        np.testing.assert_allclose(gradient(corner)[1, 1], want, rtol=1e-5)

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher, some = rng.normal(size=(7, 3)), rng.normal(size=(7, 5)) ** 3, [1, 1, 0, 1, 1, 0, 1]
        with jax.enable_x64(True):
            mask = jnp.asarray(some, jnp.float64)
            for ours, oracle in [
                (distillation.rkd_distance, distance_loops),
                (distillation.rkd_angle, angle_loops),
            ]:
                loss = jax.jit(lambda s, f=ours: f(s, jnp.asarray(teacher), mask))
                np.testing.assert_allclose(loss(jnp.asarray(student)), oracle(student, teacher, some), rtol=1e-10)
                jax.test_util.check_grads(loss, (jnp.asarray(student),), 1, ["rev"])

    def test_duplicates_have_finite_gradients(self):
        teacher = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
        student = jnp.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        for ours in gradients:
            value, gradient = gradients[ours](student, teacher, jnp.ones(4))
            chex.assert_tree_all_finite((value, gradient))
            assert np.abs(gradient).max() > 0
            # A duplicate in the teacher's batch, and a student that maps everything to one point.
            chex.assert_tree_all_finite(gradients[ours](teacher, student, jnp.ones(4)))
            value, gradient = gradients[ours](jnp.ones((4, 3)), teacher, jnp.ones(4))
            assert np.isfinite(value)
            np.testing.assert_array_equal(gradient, 0)

    def test_near_examples_keep_their_distance_in_float32(self):
        # Far from the origin |a|^2 + |b|^2 - 2ab would round to nothing.
        student = 1000.0 + jnp.asarray(LINE, jnp.float32) / 64
        got = distillation.rkd_distance(student, jnp.asarray(TRIANGLE, jnp.float32), jnp.ones(3))
        np.testing.assert_allclose(got, 1 / 16, rtol=1e-5)

    def test_moved_turned_and_scaled_is_the_same(self):
        rng = np.random.default_rng(0)
        teacher = rng.normal(size=(6, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        student = jnp.asarray(5 * teacher @ turn + 2, jnp.float32)
        for ours in (distillation.rkd_distance, distillation.rkd_angle):
            got = jax.jit(ours)(student, jnp.asarray(teacher, jnp.float32), jnp.ones(6))
            np.testing.assert_allclose(got, 0, atol=1e-10)


def test_a_teacher_of_more_dimensions_than_examples(rng):
    """Turned into 40 dimensions by an orthonormal basis, the same points have the same angles; two of them coincide."""
    student, teacher = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    teacher[4] = teacher[1]
    basis = np.linalg.qr(rng.standard_normal((40, 3)))[0]
    high = teacher @ basis.T
    high[4] = high[1]
    mask = jnp.array([1.0, 1, 1, 1, 1, 0])
    student = jnp.asarray(student, jnp.float32)
    low, turned = (distillation.rkd_angle(student, jnp.asarray(one, jnp.float32), mask) for one in (teacher, high))
    np.testing.assert_allclose(turned, low, rtol=1e-5)
