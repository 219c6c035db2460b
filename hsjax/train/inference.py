"""Logits and embeddings of many examples, in chunks."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models import Network, Variables
from hsjax.train.dispatch import Threads, forward
from hsjax.train.sources import WindowFeatures

# Examples per forward pass where no gradient is needed.
_FORWARD_BATCH = 256


def logits(
    network: Network,
    variables: Variables,
    inputs: Array | np.ndarray | WindowFeatures,
    threads: Threads = Threads.ALL,
) -> Float[np.ndarray, "n classes"]:
    """The network's logits for many examples, in chunks; host array out."""
    return _in_chunks(functools.partial(forward(threads), network, variables), inputs)


def embeddings(
    network: Network, variables: Variables, inputs: Array | np.ndarray | WindowFeatures
) -> Float[np.ndarray, "n dims"]:
    """What the network makes of many examples before its last layer, in chunks; host array out."""
    return _in_chunks(functools.partial(_embed, network, variables), inputs)


@functools.partial(jax.jit, static_argnums=0)
def _embed(network: Network, variables: Variables, inputs: Array) -> Array:
    return network.apply(variables, inputs)[0].embedding


def _in_chunks(
    forward: Callable[[Array], Array], inputs: Array | np.ndarray | WindowFeatures
) -> Float[np.ndarray, "n dims"]:
    chunks = []
    for start in range(0, len(inputs), _FORWARD_BATCH):
        chunk = inputs[start : start + _FORWARD_BATCH]
        padded = jnp.pad(chunk, [(0, _FORWARD_BATCH - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        chunks.append(np.asarray(forward(padded))[: len(chunk)])
    return np.concatenate(chunks)
