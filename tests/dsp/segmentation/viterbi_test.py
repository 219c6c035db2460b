import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.dsp.segmentation.durations import Durations
from hsjax.dsp.segmentation.viterbi import viterbi


def random_durations(rng, states: int, longest: int, *, impossible: float = 0.0) -> Durations:
    tables = np.log(rng.dirichlet(np.ones(longest), (3, states)))
    tables[0][rng.random((states, longest)) < impossible] = -np.inf
    return Durations(*tables)


def score(segments, emission, durations: Durations) -> float:
    """Log-probability of a list of (state, begin, end), by its definition."""
    total = 0.0
    for index, (state, begin, end) in enumerate(segments):
        table = durations.whole
        if index == len(segments) - 1:
            table = durations.last
        if index == 0:
            table = durations.first
        total += emission[begin:end, state].sum() + table[state, end - begin - 1]
    return total


def enumerated(emission, durations: Durations) -> tuple[float, np.ndarray]:
    """Best score and states (from 1) over every path there is."""
    frames, states = emission.shape
    best = (-np.inf, np.zeros(frames, int))
    for cuts in itertools.product([False, True], repeat=frames - 1):
        ends = [*(np.flatnonzero(cuts) + 1), frames]
        begins = [0, *ends[:-1]]
        if max(np.subtract(ends, begins)) > durations.whole.shape[-1]:
            continue
        for start in range(states):
            segments = [((start + k) % states, b, e) for k, (b, e) in enumerate(zip(begins, ends, strict=True))]
            value = score(segments, emission, durations)
            if value > best[0]:
                best = (value, np.concatenate([np.full(e - b, s + 1) for s, b, e in segments]))
    return best


def dynamic(emission, durations: Durations) -> float:
    """Best score by the textbook's recursion, forward over (frame, state), all loops written out."""
    frames, states = emission.shape
    longest = durations.whole.shape[-1]
    best = np.full((frames, states), -np.inf)
    final = -np.inf
    for t in range(frames):
        for j in range(states):
            for d in range(1, min(longest, t + 1) + 1):
                heard = sum(emission[s, j] for s in range(t - d + 1, t + 1))
                if d == t + 1:
                    candidate = heard + durations.first[j, d - 1]
                    ending = candidate
                else:
                    before = best[t - d, (j - 1) % states] + heard
                    candidate = before + durations.whole[j, d - 1]
                    ending = before + durations.last[j, d - 1]
                best[t, j] = max(best[t, j], candidate)
                if t == frames - 1:
                    final = max(final, ending)
    return final


def batch_of(problems):
    """Tables of several problems with one axis in front."""
    return Durations(*(jnp.asarray(np.stack(tables)) for tables in zip(*problems, strict=True)))


@pytest.mark.parametrize(("states", "longest"), [(4, 6), (3, 12), (2, 1)])
def test_is_the_best_of_all_paths(rng, states, longest):
    lengths = np.array([9, 1, 4, 7, 9, 2])
    emission = rng.normal(0, 2, (len(lengths), 9, states))
    tables = [random_durations(rng, states, longest) for _ in lengths]
    with jax.enable_x64(True):
        found = viterbi(jnp.asarray(emission), batch_of(tables), jnp.asarray(lengths))
    for index, length in enumerate(lengths):
        want, path = enumerated(emission[index, :length], tables[index])
        np.testing.assert_allclose(found.log_probability[index], want, rtol=1e-12)
        np.testing.assert_array_equal(found.states[index, :length], path)
        assert not found.states[index, length:].any()


def test_long_ones_are_the_textbook_s(rng):
    lengths = np.array([60, 33])
    emission = rng.normal(0, 1, (2, 60, 4))
    tables = [random_durations(rng, 4, 15, impossible=0.5) for _ in lengths]
    with jax.enable_x64(True):
        found = viterbi(jnp.asarray(emission), batch_of(tables), jnp.asarray(lengths))
    for index, length in enumerate(lengths):
        want = dynamic(emission[index, :length], tables[index])
        np.testing.assert_allclose(found.log_probability[index], want, rtol=1e-12)
        # The states are a path of that score.
        states = np.asarray(found.states[index, :length]) - 1
        bounds = [0, *(np.flatnonzero(np.diff(states)) + 1), length]
        segments = [(states[b], b, e) for b, e in itertools.pairwise(bounds)]
        np.testing.assert_allclose(score(segments, emission[index], tables[index]), want, rtol=1e-12)
        order = np.array([state for state, _, _ in segments])
        np.testing.assert_array_equal(order[1:], (order[:-1] + 1) % 4)


def test_batch_axes_and_padding_change_nothing(rng):
    emission = rng.normal(0, 2, (2, 3, 20, 4)).astype(np.float32)
    table = random_durations(rng, 4, 8)
    tables = Durations(*(jnp.broadcast_to(jnp.asarray(x, jnp.float32), (2, 3, 4, 8)) for x in table))
    lengths = jnp.array([[20, 11, 0], [3, 20, 15]])
    spoilt = np.where(np.arange(20)[:, None] < np.asarray(lengths)[..., None, None], emission, np.nan)
    found = viterbi(jnp.asarray(spoilt), tables, lengths)
    one = viterbi(jnp.asarray(emission[0, 1, :11]), Durations(*(x[0, 1] for x in tables)))
    np.testing.assert_array_equal(found.states[0, 1, :11], one.states)
    np.testing.assert_allclose(found.log_probability[0, 1], one.log_probability, rtol=1e-6)
    assert found.states.dtype == jnp.int8
    assert not found.states[0, 2].any()
    assert found.log_probability[0, 2] == 0


def test_a_frame_of_nan_tells_nothing(rng):
    emission = rng.normal(0, 2, (15, 4))
    tables = random_durations(rng, 4, 6)
    spoilt, silent = emission.copy(), emission.copy()
    spoilt[5, 2], silent[5] = np.nan, 0.0
    with jax.enable_x64(True):
        found, want = (viterbi(jnp.asarray(x), Durations(*map(jnp.asarray, tables))) for x in (spoilt, silent))
    np.testing.assert_array_equal(found.states, want.states)
    assert found.log_probability == want.log_probability


def test_no_path_is_minus_infinity():
    table = jnp.zeros((4, 2)).at[:, 1].set(-jnp.inf)
    durations = Durations(whole=jnp.full((4, 2), -jnp.inf), first=table, last=table)
    assert viterbi(jnp.zeros((2, 4)), durations).log_probability == 0  # one first and one last frame
    assert viterbi(jnp.zeros((3, 4)), durations).log_probability == -jnp.inf


def test_impossible_shapes_are_refused():
    table = jnp.zeros((4, 2))
    with pytest.raises(ValueError, match="at least one frame"):
        viterbi(jnp.zeros((0, 4)), Durations(table, table, table))
    with pytest.raises(ValueError, match=r"durations.last is \(3, 4, 2\), want \(4, 2\)"):
        viterbi(jnp.zeros((5, 4)), Durations(table, table, jnp.zeros((3, 4, 2))))
