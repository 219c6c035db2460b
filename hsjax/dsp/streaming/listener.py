"""What hears a microphone: a stream fed with any number of samples at a time, on the host."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from hsjax.dsp.streaming.stream import Stream, check_chunk


class Listener:
    """Takes samples as they come, 0, 1 or many, and gives what has become complete.

    All it gives, joined, is what the function of the whole signal gives; of no sample at all, nothing. The step is
    compiled when the listener is made and the end when it first closes, whatever the lengths.

    Attributes:
      stream: what it computes.
      chunk: samples of a step.
    """

    def __init__(
        self,
        stream: Stream,
        chunk: int,
        batch_shape: tuple[int, ...] = (),
        dtype: jax.typing.DTypeLike = np.float32,
    ):
        """Begins to listen.

        Args:
          stream: a stream of samples, `chain(...)` or one by itself.
          chunk: samples of a step, a multiple of `stream.multiple`; it bounds the wait, and each step has a fixed cost.
          batch_shape: leading axes of what is pushed, channels or wearers.
          dtype: floating point.

        Raises:
          ValueError: the stream does not take samples along the last axis, or a chunk that is not a positive
            multiple of `stream.multiple`.
          TypeError: the dtype is not floating point.
        """
        if stream.axis_in != -1:
            raise ValueError(f"want a stream of samples along axis -1, got one along axis {stream.axis_in}")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"want samples in floating point, as dsp.from_pcm gives them, got {np.dtype(dtype)}")
        self.stream, self.chunk = stream, chunk
        self._waiting = np.zeros((*batch_shape, max(chunk, 0)), dtype)
        check_chunk(self._waiting, stream.multiple, -1)
        self._step, self._flush = jax.jit(stream.step), jax.jit(stream.flush)
        self._beginning = stream.init(self._waiting)
        given = np.asarray(self._step(self._beginning, self._waiting)[1])
        self._nothing = given[self._along(given, 0, 0)]
        self.reset()

    def reset(self) -> None:
        """Forgets everything and begins anew, as it must after a NaN has come into a recursion."""
        self._state = self._beginning
        self._filled, self._ignored, self._heard, self._closed = 0, self.stream.delay, False, False

    def push(self, samples: Shaped[np.ndarray | Array, "*batch time"]) -> Shaped[np.ndarray, "..."]:
        """Hears the next samples.

        Args:
          samples: `(*batch_shape, time)`, any number of them.

        Returns:
          The output items that are complete now, maybe none, along the stream's axis.

        Raises:
          ValueError: the batch is another one, or the listener is closed.
          TypeError: the samples are not floating point.
        """
        samples = np.asarray(samples)
        if not jnp.issubdtype(samples.dtype, jnp.floating):
            raise TypeError(f"want samples in floating point, as dsp.from_pcm gives them, got {samples.dtype}")
        if self._closed:
            raise ValueError("want samples before close(), or after reset(), got them after close()")
        if samples.shape[:-1] != self._waiting.shape[:-1] or samples.ndim != self._waiting.ndim:
            raise ValueError(f"want samples of shape {(*self._waiting.shape[:-1], 'time')}, got {samples.shape}")
        self._heard = self._heard or samples.shape[-1] > 0
        complete, taken = [], 0
        while taken < samples.shape[-1]:
            count = min(self.chunk - self._filled, samples.shape[-1] - taken)
            self._waiting[..., self._filled : self._filled + count] = samples[..., taken : taken + count]
            self._filled, taken = self._filled + count, taken + count
            if self._filled == self.chunk:
                self._filled = 0
                self._state, given = self._step(self._state, self._waiting.copy())  # JAX may keep what it is given
                complete.append(self._late(np.asarray(given)))
        return self._joined(complete)

    def close(self) -> Shaped[np.ndarray, "..."]:
        """The output items that were waiting for samples to come, now that none will. Nothing if none came at all.

        Raises:
          ValueError: the listener is closed.
        """
        if self._closed:
            raise ValueError("want close() once, or again after reset()")
        self._closed = True
        if not self._heard:
            return self._nothing
        given = np.asarray(self._flush(self._state, self._waiting, np.int32(self._filled)))
        count = int(self.stream.flush_count(self._filled))
        return self._joined([self._late(given[self._along(given, 0, count)])])

    def _late(self, given: np.ndarray) -> np.ndarray:
        ignored = min(self._ignored, given.shape[self.stream.axis_out])
        self._ignored -= ignored
        return given[self._along(given, ignored, None)]

    def _joined(self, pieces: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([self._nothing, *pieces], axis=self.stream.axis_out)

    def _along(self, items: np.ndarray, first: int, last: int | None) -> tuple[slice, ...]:
        place = [slice(None)] * items.ndim
        place[self.stream.axis_out] = slice(first, last)
        return tuple(place)
