"""The losses of objectives written with NumPy in float64, and their gradients by differences."""

from collections.abc import Callable

import jax
import numpy as np

from tests.losses.differences import slope


def double(tree):
    """Every leaf in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def forward(params, inputs):
    """Embedding and logits of `toys.Plain`."""
    hidden, last = params["hidden"], params["logits"]
    embedding = np.tanh(np.asarray(inputs, np.float64).mean(-1) @ hidden["kernel"] + hidden["bias"])
    return embedding, embedding @ last["kernel"] + last["bias"]


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(logits, label, smoothing=0.0):
    classes = logits.shape[1]
    target = (1 - smoothing) * np.eye(classes)[np.asarray(label)] + smoothing / classes
    return -(target * log_softmax(logits)).sum(-1)


def soft(logits, teacher, temperature):
    return -(
        np.exp(log_softmax(np.asarray(teacher, np.float64) / temperature)) * log_softmax(logits / temperature)
    ).sum(-1)


def mean(values, batch):
    """By weight of what is not padding."""
    weight = np.asarray(batch.mask, np.float64) * np.asarray(batch.weight, np.float64)
    return (weight * values).sum() / weight.sum()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def gradient(loss: Callable, tree):
    """Of a function of a tree, by differences."""
    leaves, structure = jax.tree.flatten(double(tree))

    def split(point):
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = zip(np.split(point, ends), leaves, strict=True)
        return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in parts])

    return split(slope(lambda point: loss(split(point)), np.concatenate([np.ravel(leaf) for leaf in leaves])))
