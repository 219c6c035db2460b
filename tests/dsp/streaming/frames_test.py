import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.frames import Padding
from hsjax.dsp.streaming import Listener, chain, each, frame, frame_latency, in_chunks, windowed


def librosa_s(samples, length, hop, padding):
    """Frames by librosa of what NumPy pads; none where the signal is too short."""
    time = samples.shape[-1]
    left = 0 if padding in (Padding.NONE, Padding.END) else length // 2
    whole = np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(left, left)])
    behind = {
        Padding.END: (-(-time // hop) - 1) * hop + length - time,
        Padding.SCIPY: -(whole.shape[-1] - length) % hop,
    }
    whole = np.pad(whole, [(0, 0)] * (samples.ndim - 1) + [(0, max(behind.get(padding, 0), 0))])
    if whole.shape[-1] < length:
        return np.zeros((*samples.shape[:-1], 0, length), samples.dtype)
    frames = np.swapaxes(librosa.util.frame(whole, frame_length=length, hop_length=hop), -1, -2)
    return frames[..., : -(-time // hop), :] if padding is Padding.END else frames


STREAMING = [padding for padding in Padding if padding is not Padding.CENTER_REFLECT]


@hypothesis.settings(max_examples=4, deadline=None, derandomize=True)
@hypothesis.given(
    time=st.integers(1, 150),
    length=st.integers(1, 33),
    hop=st.integers(1, 40),
    hops=st.integers(1, 3),
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(any),
    padding=st.sampled_from(STREAMING),
)
def test_frames_are_librosa_s_whatever_the_chunks(hear, time, length, hop, hops, sizes, padding):
    samples = np.random.default_rng(time).standard_normal(time).astype(np.float32)
    got = hear(frame(length, hop, padding), samples, sizes, hops * hop)
    np.testing.assert_array_equal(got, librosa_s(samples, length, hop, padding))


@pytest.mark.parametrize(
    ("length", "hop", "chunk"), [(24, 10, 10), (25, 10, 30), (3, 7, 14)], ids=["even", "odd", "gaps"]
)
def test_every_padding_and_every_rest_bit_for_bit(length, hop, chunk, hear, rng):
    for padding in STREAMING:
        stream = frame(length, hop, padding)
        for time in (1, 4, 60, 69):
            samples = rng.standard_normal((2, time)).astype(np.float32)
            np.testing.assert_array_equal(hear(stream, samples, [17], chunk), librosa_s(samples, length, hop, padding))


def test_frames_behind_a_late_stream_begin_with_the_signal(rng):
    """Frames of the first samples of frames are every hop's sample, which come late by some number of items."""
    samples = jnp.asarray(rng.standard_normal(230), jnp.float32)
    for late, length, hop, padding in [(9, 6, 4, Padding.CENTER), (15, 3, 5, Padding.NONE)]:
        thinned = windowed(
            lambda x, late=late: x[..., ::2][..., : (x.shape[-1] - late) // 2 + 1], late, 2, Padding.END, axis_out=-1
        )
        assert thinned.delay == (late - 1) // 2
        stream = chain(thinned, frame(length, hop, padding))
        got = jax.jit(lambda x, s=stream: in_chunks(s, x, s.multiple * 3))(samples)
        np.testing.assert_array_equal(got, librosa_s(np.asarray(samples)[::2], length, hop, padding))


def test_a_frame_comes_with_its_last_sample():
    """By hand: of 6 samples every 2, centred, frame t ends with sample 2 t + 2, in the chunk that ends with 2 t + 3."""
    listener = Listener(frame(6, 2), 2)
    given = [len(listener.push(np.full(2, t, np.float32))) for t in range(4)]
    assert given == [0, 1, 1, 1]
    assert frame(6, 2).latency == frame_latency(6, 2) == 2
    assert [frame_latency(6, 2, Padding.NONE), frame_latency(256, 50), frame_latency(3, 4)] == [4, 100, 0]
    listener = Listener(frame(6, 2, Padding.NONE), 2)
    assert [len(listener.push(np.zeros(2, np.float32))) for _ in range(4)] == [0, 0, 1, 1]


def test_a_nan_stays_in_the_frames_that_hold_it():
    samples = jnp.zeros(40).at[17].set(jnp.nan)
    got = jax.jit(lambda x: in_chunks(frame(8, 4), x, 8))(samples)
    assert np.isnan(got).any(axis=-1).sum() == 2


def test_frames_keep_the_dtype():
    got = jax.eval_shape(lambda x: in_chunks(frame(4, 2), x, 4), jnp.ones(9, jnp.bfloat16))
    assert got.dtype == jnp.bfloat16
    assert got.shape == (5, 4)


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="mirror image is not there"):
        frame(8, 4, Padding.CENTER_REFLECT)
    with pytest.raises(ValueError, match="must be positive, got 8, 0"):
        frame(8, 0)
    with pytest.raises(ValueError, match=r"want one item along axis -2 from 8 samples, got the shape \(2, 4\)"):
        windowed(lambda x: x.reshape(2, 4), 8, 4)
    stream = frame(8, 4)
    state = stream.init(jnp.zeros(8))
    with pytest.raises(ValueError, match="positive multiple of 4 items along axis -1, got 6"):
        stream.step(state, jnp.zeros(6))
    with pytest.raises(ValueError, match="positive multiple of 4 items along axis -1, got 0"):
        stream.step(state, jnp.zeros(0))
    with pytest.raises(ValueError, match="at least one sample, got none"):
        in_chunks(stream, jnp.zeros(0), 4)
    with pytest.raises(ValueError, match="takes items along axis -1, but the one before gives them along axis -2"):
        chain(each(jnp.abs), stream, stream)
    with pytest.raises(ValueError, match="at least one stream"):
        chain()
