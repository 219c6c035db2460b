"""Logits and embeddings of many examples, in chunks."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models import Network, Variables
from hsjax.train.dispatch import Threads, forward
from hsjax.train.sources import WindowFeatures

# Of one forward pass where no gradient is needed: the maps inside of a network are many times its input.
_EXAMPLES, _VALUES = 256, 2**21


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
    chunks, size = [], min(max(_VALUES // math.prod(inputs.shape[1:]), 1), _EXAMPLES)
    for start in range(0, len(inputs), size):
        chunk = inputs[start : start + size]
        padded = jnp.pad(chunk, [(0, size - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        chunks.append(np.asarray(forward(padded))[: len(chunk)])
    return np.concatenate(chunks)
