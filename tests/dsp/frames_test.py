import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.frames import Padding, frame, frame_count, hops, overlap_add

# Odd and even lengths, hops that divide the frame or not, a hop of one sample and one beyond the frame.
SHAPES = [(4999, 256, 50), (300, 255, 64), (24, 12, 1), (257, 128, 200), (130, 255, 255)]


def padded(samples, length, padding):
    """By NumPy."""
    around = [(0, 0)] * (samples.ndim - 1) + [(length // 2, length // 2)]
    match padding:
        case Padding.NONE:
            return samples
        case Padding.CENTER | Padding.SCIPY:
            return np.pad(samples, around)
        case Padding.CENTER_REFLECT:
            return np.pad(samples, around, mode="reflect")
        case Padding.END:
            return np.pad(samples, [*around[:-1], (0, length)])


@pytest.mark.parametrize(("time", "length", "hop"), SHAPES)
def test_whole_frames_are_librosa_s(quick, time, length, hop, rng):
    samples = rng.standard_normal((2, time)).astype(np.float32)
    mirrored = [Padding.CENTER, Padding.CENTER_REFLECT]
    paddings = [Padding.NONE, *mirrored] if time >= length else mirrored
    all_of_them = quick(lambda x: [frame(x, length, hop, padding) for padding in paddings])
    for padding, got in zip(paddings, all_of_them(samples), strict=True):
        whole = padded(samples, length, padding)
        want = np.swapaxes(librosa.util.frame(whole, frame_length=length, hop_length=hop), 1, 2)
        np.testing.assert_array_equal(got, want)
        assert frame_count(time, length, hop, padding) == want.shape[1]


def test_end_and_scipy_pad_until_nothing_is_left_out(quick):
    # 2 + 7 + 2 samples are 4 and three hops of 3 less two.
    centred = [[0, 0, 1, 2], [2, 3, 4, 5], [5, 6, 7, 0], [0, 0, 0, 0]]
    cases = [
        (7, 3, Padding.END, [[1, 2, 3, 4], [4, 5, 6, 7], [7, 0, 0, 0]]),
        (6, 3, Padding.END, [[1, 2, 3, 4], [4, 5, 6, 0]]),
        (5, 6, Padding.END, [[1, 2, 3, 4]]),
        (7, 3, Padding.SCIPY, centred),
        (7, 3, Padding.CENTER, centred[:3]),
        (6, 3, Padding.SCIPY, [[0, 0, 1, 2], [2, 3, 4, 5], [5, 6, 0, 0]]),
    ]
    every = quick(lambda ramp: [frame(ramp[:time], 4, hop, padding) for time, hop, padding, _ in cases])
    for got, (*_, want) in zip(every(np.arange(1.0, 8.0)), cases, strict=True):
        np.testing.assert_array_equal(got, want)
    assert [frame_count(n, 4, 3, Padding.END) for n in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]


@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
@hypothesis.given(
    time=st.integers(1, 400), length=st.integers(1, 33), hop=st.integers(1, 40), padding=st.sampled_from(Padding)
)
def test_frames_start_a_hop_apart_whatever_the_lengths(quick, time, length, hop, padding):
    samples = np.random.default_rng(time).standard_normal(time)
    if (padding is Padding.NONE and time < length) or (padding is Padding.CENTER_REFLECT and time <= length // 2):
        with pytest.raises(ValueError, match=r"fewer than one frame|mirroring"):
            frame_count(time, length, hop, padding)
        return
    with jax.enable_x64(True):
        both = quick(lambda x: (frame(x, length, hop, padding), hops(x, length, hop, padding)))
        got, cut = map(np.asarray, both(samples))
    whole = np.pad(padded(samples, length, padding), (0, length + hop))
    want = np.stack([whole[k * hop : k * hop + length] for k in range(len(got))])
    np.testing.assert_array_equal(got, want)
    assert len(got) == frame_count(time, length, hop, padding)
    end = (len(got) - 1) * hop + length
    np.testing.assert_array_equal(np.concatenate(cut)[:end], whole[:end])


def test_overlap_add_is_a_loop_of_sums(quick, rng):
    cases = [(7, 12, 4), (7, 13, 5), (1, 5, 2), (4, 3, 5), (5, 8, 8)]  # frames, their length, hop
    given = [rng.standard_normal((2, count, length)) for count, length, _ in cases]
    with jax.enable_x64(True):
        every = quick(lambda given: [overlap_add(x, hop) for x, (_, _, hop) in zip(given, cases, strict=True)])
        results = every(given)
    for frames, (count, length, hop), got in zip(given, cases, results, strict=True):
        want = np.zeros((2, (count - 1) * hop + length))
        for k in range(count):
            want[:, k * hop : k * hop + length] += frames[:, k]
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)


def test_a_nan_stays_in_the_frames_that_hold_it(quick):
    every = quick(lambda x: [frame(x, 8, 4, padding) for padding in Padding])
    samples = np.arange(40.0, dtype=np.float32)
    samples[17] = np.nan
    for got in every(samples):
        assert np.isnan(got).sum() == 2  # frames overlap by half
    samples[[2, 17]] = np.nan, 17
    mirrored = every(samples)[list(Padding).index(Padding.CENTER_REFLECT)]
    assert np.flatnonzero(np.isnan(mirrored).any(axis=1)).tolist() == [0, 1]


def test_one_sample_is_one_frame(quick):
    paddings = (Padding.CENTER, Padding.END, Padding.SCIPY)

    @quick
    def every(one):
        longer = [frame(one, 4, 2, padding) for padding in paddings]
        return longer, [frame(one, 1, 2, padding) for padding in (Padding.NONE, Padding.CENTER_REFLECT)]

    longer, whole = every(np.ones(1, np.float32))
    for got in longer:
        np.testing.assert_array_equal(got[0].sum(), 1.0)
    for got in whole:
        np.testing.assert_array_equal(got, [[1.0]])


def test_frames_keep_the_dtype_and_sums_are_single():
    for padding in Padding:
        shape = jax.eval_shape(lambda x, p=padding: frame(x, 4, 2, p), jnp.ones(9, jnp.bfloat16))
        assert shape.dtype == jnp.bfloat16
    assert jax.eval_shape(lambda x: overlap_add(x, 2), jnp.ones((2, 4), jnp.bfloat16)).dtype == jnp.float32


def test_impossible_lengths_say_so():
    with pytest.raises(ValueError, match="3 samples are fewer than one frame of 4"):
        frame(jnp.zeros(3), 4, 1, Padding.NONE)
    with pytest.raises(ValueError, match=r"must be positive, got 4, 0"):
        frame(jnp.zeros(3), 4, 0)
    with pytest.raises(ValueError, match="at least one sample, got none"):
        frame(jnp.zeros(0), 4, 1)
    with pytest.raises(ValueError, match="mirroring 2 samples on both sides takes more than 2 samples, got 2"):
        frame(jnp.zeros(2), 4, 1, Padding.CENTER_REFLECT)
    with pytest.raises(ValueError, match="got 0 of 4, 2"):
        overlap_add(jnp.zeros((0, 4)), 2)
    with pytest.raises(ValueError, match="got 1 of 4, 0"):
        overlap_add(jnp.zeros((1, 4)), 0)
