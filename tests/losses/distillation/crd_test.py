"""Values by hand, and float64 NumPy loops over the paper's h; the banks' rules one by one."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from hsjax.losses import distillation
from hsjax.losses.distillation.crd import _draw

KEY = jax.random.key(3)


@functools.partial(jax.jit, static_argnums=8)
def step(params, memory, student, teacher, index, label, mask, temperature, negatives, momentum=0.5):
    """((loss, new memory), (gradients by parameters, memory, student)); compiled once per shape."""

    def loss(params, memory, student):
        value, new = distillation.crd(
            params, memory, student, teacher, index, label, mask, KEY, negatives, temperature, momentum
        )
        # What is written must add nothing to the gradients.
        written = jnp.sum(new.student**3) + jnp.sum(new.teacher**3) + jnp.sum(new.log_normalizer)
        return value + written, (value, new)

    (_, kept), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True, allow_int=True)(params, memory, student)
    return kept, gradients


draw = jax.jit(_draw, static_argnums=3)


def given(dims, dtype=jnp.float32):
    """Parameters that only scale to length 1."""
    return {
        "student_kernel": jnp.eye(dims, dtype=dtype),
        "student_bias": jnp.zeros(dims, dtype),
        "teacher_kernel": jnp.eye(dims, dtype=dtype),
        "teacher_bias": jnp.zeros(dims, dtype),
    }


def memory_of(student, teacher, label, started=True):
    arrays = [jnp.asarray(student), jnp.asarray(teacher), jnp.asarray(label, jnp.int32)]
    return distillation.CRDMemory(*arrays, jnp.zeros(2), jnp.asarray(started))


def unit(vector):
    return vector / np.sqrt(np.sum(vector**2))


def loops(queries, banks, normalizers, own, drawn, anchors, temperature):
    """Per side and anchor, written from h = p / (p + n / N)."""
    total = 0.0
    for query, bank, normalizer in zip(queries, banks, normalizers, strict=True):
        noise = drawn.shape[1] / len(bank)
        for b in anchors:
            p = np.exp(unit(query[b]) @ bank[own[b]] / temperature) / normalizer
            total -= np.log(p / (p + noise))
            for j in drawn[b]:
                p = np.exp(unit(query[b]) @ bank[j] / temperature) / normalizer
                total -= np.log(noise / (p + noise))
    return total / len(anchors)


class CRDTest(chex.TestCase):
    def test_by_hand(self):
        # Two examples of two classes, one in the batch, one negative: n / N = 1/2. Scores at temperature 1 and Z = 1:
        # own 1, other 0. The teacher's own entry is opposite: own -1, other 0.
        memory = memory_of([[-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [0, 1])
        vector, first = jnp.array([[2.0, 0.0]]), jnp.array([0])
        (loss, _), gradients = step(given(2), memory, vector, vector, first, first, jnp.ones(1), 1.0, 1)
        by_params, _, by_student = gradients
        e = np.e
        want = -np.log(e / (e + 0.5)) - 2 * np.log(0.5 / 1.5) - np.log((1 / e) / (1 / e + 0.5))
        np.testing.assert_allclose(loss, want, rtol=1e-6)
        # Only a turn counts, by d / 2 for a step of d; then only the negative's score changes: its slope is
        # h = 1 / (1 + 1/2). The teacher's head turns its vector likewise, by d for a step of d in its kernel.
        np.testing.assert_allclose(by_student, [[0.0, 1 / 3]], atol=1e-6)
        np.testing.assert_allclose(by_params["teacher_kernel"], [[0.0, 2 / 3], [0.0, 0.0]], atol=1e-6)

    def test_first_batch_estimates_the_normaliser_and_writes_the_banks(self):
        memory = memory_of([[-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [-1, 1], started=False)
        student, teacher, first, one = jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 5.0]]), jnp.array([0]), jnp.ones(1)
        (_, new), _ = step(given(2), memory, student, teacher, first, first, one, 1.0, 1, 0.25)
        # N times the mean of exp(own), exp(other): the student meets 1 and 0, the teacher 0 and 1.
        np.testing.assert_allclose(new.log_normalizer, np.log(1 + np.e) * np.ones(2), rtol=1e-6)
        assert bool(new.started)
        np.testing.assert_array_equal(new.label, [0, 1])
        # (-1, 0) / 4 + (1, 0) 3 / 4 points to (1, 0); (1, 0) / 4 + (0, 1) 3 / 4 to (1, 3) / sqrt(10).
        np.testing.assert_allclose(new.student, [[1.0, 0.0], [0.0, 1.0]], atol=1e-6)
        np.testing.assert_allclose(new.teacher, [[1 / np.sqrt(10), 3 / np.sqrt(10)], [0.0, 1.0]], rtol=1e-6)
        (_, later), _ = step(given(2), new, teacher, student, first, first, one, 1.0, 1, 0.25)
        np.testing.assert_array_equal(later.log_normalizer, new.log_normalizer)

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        with jax.enable_x64(True):
            shapes = {"student_kernel": (3, 4), "student_bias": 4, "teacher_kernel": (5, 4), "teacher_bias": 4}
            params = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}
            banks = [np.array([unit(row) for row in rng.normal(size=(12, 4))]) for _ in range(2)]
            memory = memory_of(*banks, np.arange(12) % 3, started=False)
            student, teacher = rng.normal(size=(5, 3)), rng.normal(size=(5, 5))
            index, mask = jnp.array([3, 7, -1, 0, 5]), jnp.array([1.0, 1, 1, 0, 1])
            label = index % 3
            drawn, _ = draw(KEY, memory.label, label, 8)
            queries = [
                values @ np.asarray(params[f"{side}_kernel"]) + np.asarray(params[f"{side}_bias"])
                for side, values in (("student", student), ("teacher", teacher))
            ]
            banks, anchors = (np.asarray(memory.teacher), np.asarray(memory.student)), [0, 1, 4]
            normalizers = []
            for query, bank in zip(queries, banks, strict=True):
                scores = [unit(query[b]) @ bank[j] for b in anchors for j in [index[b], *drawn[b]]]
                normalizers.append(12 * np.mean(np.exp(np.array(scores) / 0.07)))
            arguments = (jnp.asarray(teacher), index, label, mask, 0.07, 8)
            (loss, new), first = step(params, memory, jnp.asarray(student), *arguments)
            want = loops(queries, banks, normalizers, np.asarray(index), np.asarray(drawn), anchors, 0.07)
            np.testing.assert_allclose(loss, want, rtol=1e-10)
            np.testing.assert_allclose(new.log_normalizer, np.log(normalizers), rtol=1e-10)
            for bank, old, query in ((new.student, banks[1], queries[0]), (new.teacher, banks[0], queries[1])):
                for row in range(12):
                    at = {3: 0, 7: 1, 5: 4}.get(row)
                    entry = old[row] if at is None else unit((old[row] + unit(query[at])) / 2)
                    np.testing.assert_allclose(bank[row], entry, rtol=1e-10)
            # The normaliser is a constant: its first batch has the gradient of later ones.
            frozen = memory._replace(log_normalizer=new.log_normalizer, started=new.started)
            _, (by_params, _, by_student) = step(params, frozen, jnp.asarray(student), *arguments)
            chex.assert_trees_all_close((first[0], first[2]), (by_params, by_student), rtol=1e-10)
            # Difference quotient along one direction in all that learns.
            there = jax.tree.map(lambda x: rng.normal(size=x.shape), (params, student))
            ahead, behind = (
                step(*_moved(params, frozen, student, there, size), *arguments)[0][0] for size in (1e-5, -1e-5)
            )
            moves = map(jax.tree.leaves, ((by_params, by_student), there))
            slope = sum(jnp.vdot(*leaves) for leaves in zip(*moves, strict=True))
            np.testing.assert_allclose((ahead - behind) / 2e-5, slope, rtol=1e-7)

    def test_smallest_where_both_point_at_their_own_entry(self):
        # Its entry is opposite to the negative: the loss grows with the angle to it.
        memory = memory_of([[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]], [0, 1])
        values = []
        for angle in np.linspace(0, np.pi, 9):
            vector, first = jnp.array([[np.cos(angle), np.sin(angle)]], jnp.float32), jnp.array([0])
            (loss, _), (_, _, gradient) = step(given(2), memory, vector, vector, first, first, jnp.ones(1), 0.5, 1)
            values.append(loss)
            if angle == 0:
                np.testing.assert_allclose(gradient, 0, atol=1e-6)
        assert np.all(np.diff(values) > 0)


def _moved(params, memory, student, there, size):
    params, student = jax.tree.map(lambda x, to: x + size * to, (params, student), there)
    return params, memory, student


class DrawTest:
    def test_uniform_among_known_others(self):
        labels = jnp.array([2, 0, -1, 1, 0, 2, 1, -1, 0, 2, -1, 5], jnp.int32)
        label = jnp.array([0, 1, 2, 5, 3])
        drawn, count = draw(KEY, labels, label, 2000)
        np.testing.assert_array_equal(count, [6, 7, 6, 8, 9])
        for own, row in zip(label, drawn, strict=True):
            times = np.bincount(row, minlength=12)
            eligible = (np.asarray(labels) >= 0) & (np.asarray(labels) != own)
            assert times[~eligible].sum() == 0
            assert scipy.stats.chisquare(times[eligible]).pvalue > 1e-3
        # Of one class only, none is another's negative.
        _, count = draw(KEY, jnp.array([1, -1] * 6, jnp.int32), jnp.array([0, 1, 1, 1, 3]), 2000)
        np.testing.assert_array_equal(count, [6, 0, 0, 0, 6])


class MemoryTest(chex.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        self.params = {
            f"{side}_{name}": jnp.asarray(rng.normal(size=shape), jnp.float32)
            for side in ("student", "teacher")
            for name, shape in (("kernel", (4, 3)), ("bias", (3,)))
        }
        banks = [np.float32([unit(row) for row in rng.normal(size=(6, 3))]) for _ in range(2)]
        self.memory = memory_of(*banks, [0, 1, 0, 1, 0, -1], started=False)
        self.student = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
        self.teacher = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)

    def both(self, index, label, mask, memory=None):
        return step(
            self.params,
            self.memory if memory is None else memory,
            self.student,
            self.teacher,
            jnp.array(index),
            jnp.array(label),
            jnp.array(mask, jnp.float32),
            0.07,
            5,
        )

    def step(self, *arguments, **memory):
        return self.both(*arguments, **memory)[0]

    def test_masked_and_foreign_are_neither_written_nor_used(self):
        loss, new = self.step([1, 4, 5], [1, 0, 1], [1, 0, 0])
        for index, label, mask in [
            ([1, -1, 6], [1, 0, 1], [1, 1, 1]),  # outside of the banks
            ([1, 1, 2], [1, 0, 0], [1, 0, 0]),  # masked with an index that counts
            ([1, 4, 5], [1, -1, -7], [1, 1, 1]),  # without a label
        ]:
            same, memory = self.step(index, label, mask)
            np.testing.assert_array_equal(same, loss)
            chex.assert_trees_all_equal(memory, new)
        np.testing.assert_array_equal(
            new.student[jnp.array([0, 2, 3, 4, 5])], self.memory.student[jnp.array([0, 2, 3, 4, 5])]
        )
        np.testing.assert_array_equal(new.label, self.memory.label)
        assert not np.array_equal(new.student[1], self.memory.student[1])

    def test_last_of_duplicates_is_written(self):
        _, new = self.step([2, 2, 2], [0, 0, 0], [1, 1, 0])
        _, alone = self.step([-1, 2, -1], [0, 0, 0], [0, 1, 0])
        chex.assert_trees_all_equal(new._replace(log_normalizer=0), alone._replace(log_normalizer=0))

    def test_without_negatives_nothing_is_learned_but_entries_are_kept(self):
        memory = self.memory._replace(label=jnp.full(6, -1, jnp.int32))
        (value, new), (_, _, gradient) = self.both([0, 1, 2], [1, 1, 1], [1, 1, 1], memory)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
        assert not bool(new.started)
        np.testing.assert_array_equal(new.log_normalizer, 0)
        np.testing.assert_array_equal(new.label, [1, 1, 1, -1, -1, -1])
        assert not np.array_equal(new.student[0], memory.student[0])

    def test_no_gradient_reaches_the_banks(self):
        _, (_, into, _) = self.both([1, 4, 5], [1, 0, 1], [1, 1, 1])
        for gradient in (into.student, into.teacher, into.log_normalizer):
            np.testing.assert_array_equal(gradient, 0)

    def test_index_as_label_makes_all_others_negatives(self):
        unlabelled = self.memory._replace(label=jnp.full(6, -1, jnp.int32))
        assert self.step([0, 1, 2], [1, 1, 1], [1, 1, 1], memory=unlabelled)[0] == 0
        assert self.step([0, 1, 2], [0, 1, 2], [1, 1, 1], memory=unlabelled)[0] > 0

    def test_contradicting_labels_never_make_an_example_its_own_negative(self):
        # The later duplicate has the last word on the class, and the first one must not meet itself.
        memory = self.memory._replace(label=jnp.full(6, -1, jnp.int32))
        loss, _ = self.step([2, 2, -1], [0, 1, 0], [1, 1, 0], memory=memory)
        # Then it is alone: Z = 6 exp(own score), so h = (1/6) / (1/6 + 5/6) on each side.
        np.testing.assert_allclose(loss, 2 * np.log(6), rtol=1e-5)

    def test_initial_banks(self):
        _, memory = distillation.init_crd(KEY, 4, 5, 500, 128)
        for bank in (memory.student, memory.teacher):
            chex.assert_shape(bank, (500, 128))
            np.testing.assert_allclose(np.sum(np.square(bank), 1), 1, rtol=1e-5)
            assert np.abs(np.mean(bank, 0)).max() < 0.02
        assert not np.array_equal(memory.student, memory.teacher)
        np.testing.assert_array_equal(memory.label, -1)
        assert not bool(memory.started)
