"""Small networks and batches of three classes, and every objective there is by name."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hsjax import train
from hsjax.models import Network
from hsjax.models.layers import EVALUATION, ConvNorm, Dense, Phase, as_maps
from hsjax.train.views import Change
from hsjax.types import Batch, Outputs
from tests import hurry

SHAPE, CLASSES, SIZE = (4, 6), 3, 8
EXAMPLE = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)
HURRY = hurry.OPTIONS
HINTS = {train.Hint(loss).name: 0.5 for loss in train.HintLoss}
HPARAMS = train.hparams(learning_rate=0.01, alpha=0.4, temperature=2.0, label_smoothing=0.1, ema_decay=0.9, **HINTS)

hurried = functools.partial(jax.jit, compiler_options=HURRY)
"""Compiled in a hurry, as it runs a few times only."""


class Small(nn.Module):
    """One convolution with batch norm, a linear layer, and the logits."""

    channels: int = 3
    dims: int = 5

    @nn.compact
    def __call__(self, features, phase: Phase = EVALUATION):
        maps = ConvNorm(self.channels, (1, 1), name="stem")(as_maps(features), phase)
        hidden = Dense(self.dims, name="hidden")(maps.reshape(len(maps), -1))
        embedding = jnp.tanh(hidden)
        return Outputs(Dense(CLASSES, name="logits")(embedding), embedding, {"stem": maps})


class Plain(nn.Module):
    """Two linear layers with tanh between them on the means over frames: few enough parameters for differences."""

    dims: int = 4

    @nn.compact
    def __call__(self, features, phase: Phase = EVALUATION):
        embedding = jnp.tanh(Dense(self.dims, name="hidden")(jnp.mean(features, -1)))
        taps = {"hidden": embedding, "double": 2 * embedding}
        return Outputs(Dense(CLASSES, name="logits")(embedding), embedding, taps)


STUDENT, PLAIN, WIDE = Network(Small()), Network(Plain()), Network(Plain(5))
TEACHERS = Network(Small(4, 6)), Network(Small(2, 7))


@functools.cache
def drawn(network: Network, seed: int = 0):
    """Variables with nothing at its neutral value: also biases, scales and running statistics are random."""
    rng = np.random.default_rng(seed)

    def values(path, leaf):
        value = 0.4 * rng.standard_normal(leaf.shape)
        return np.asarray(np.exp(value) if path[-1].key in ("scale", "var") else value, np.float32)

    return jax.tree_util.tree_map_with_path(values, jax.eval_shape(network.init, jax.random.key(0), EXAMPLE))


def variables(network: Network, seed: int = 0):
    """As `drawn`, on the device, to be given away."""
    return jax.tree.map(jnp.array, drawn(network, seed))


def make_batch(seed: int = 0, size: int = SIZE, masked: int = 0, teacher: bool = False) -> Batch:
    """Classes differ in the mean of one coefficient each; the last examples are padding."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(size) % CLASSES)
    inputs = rng.standard_normal((size, *SHAPE))
    inputs[np.arange(size), label] += 2.0
    mask = (np.arange(size) < size - masked).astype(np.float32)
    weight = rng.uniform(0.5, 1.5, size)
    logits = 2.0 * np.eye(CLASSES)[label] + rng.standard_normal((size, CLASSES)) if teacher else None
    index = np.where(mask > 0, np.arange(size), -1).astype(np.int32)
    arrays = [None if a is None else jnp.asarray(a, jnp.float32) for a in (inputs, mask, weight, logits)]
    inputs, mask, weight, logits = arrays
    return Batch(inputs, jnp.asarray(label, jnp.int32), mask, weight, logits, jnp.asarray(index))


def sgd(**settings) -> train.Optimizer:
    """Plain gradient descent at a constant rate, unless said otherwise."""
    plain = {"rule": train.Rule.SGD, "schedule": train.Schedule.CONSTANT, "total_steps": 10, "momentum": 0.0}
    return train.Optimizer(**plain | settings)


def start(
    objective: train.Objective, network: Network = STUDENT, averages: bool = False, examples: int = 64, **settings
):
    """A learner and its state before the first step, from `drawn` weights; teachers with theirs where it has some."""
    learner = train.Learner(network, objective, sgd(**settings), averages)
    teachers = tuple(variables(one, 1 + number) for number, one in enumerate(getattr(objective, "teachers", ())))
    fixed = {train.TEACHERS: teachers} if teachers else {}
    if isinstance(objective, train.Grouped):
        number = jnp.arange(examples)
        fixed = {train.GROUPS: train.Membership(number % 3, jnp.full(3, 1 / 3))}

    def init(ours):
        return learner.init(jax.random.key(0), EXAMPLE, HPARAMS, lambda _: ours, fixed, examples)

    return learner, hurried(init)(variables(network))


def louder(key, example):
    """A cheap random change: a factor for each row."""
    return example * jax.random.uniform(key, (len(example), 1), minval=0.7, maxval=1.3)


NOISY = train.Views(features=(Change(louder),))


def _named():
    yield from ((f"labels {labels.value}", train.Supervised(labels)) for labels in train.Labels)
    yield from ((f"groups {rule.value}", train.Grouped(rule=rule)) for rule in train.Groups)
    yield "mixed", train.Supervised(mix=True)
    yield "changed", train.Supervised(views=NOISY)
    for soft in train.Soft:
        yield f"soft {soft.value}", train.Distil(soft=soft)
    for loss in train.HintLoss:
        yield f"hint {loss.value}", train.Distil(soft=None, hints=(train.Hint(loss),), teachers=TEACHERS[:1])
    hints = train.Hint(train.HintLoss.ATTENTION), train.Hint(train.HintLoss.PKT)
    yield "together", train.Distil(train.Labels.FOCAL, True, train.Soft.TTM, True, hints, TEACHERS[:1], views=NOISY)
    yield "teachers", train.Distil(teachers=TEACHERS)
    yield "self", train.SelfDistil()
    yield "mutual", train.Mutual(peer=TEACHERS[0])
    for loss in train.Contrastive:
        yield f"contrast {loss.value}", train.Contrast(loss, (7, 6), 5, 20, views=NOISY)


EVERY: dict[str, train.Objective] = dict(_named())
"""One of each: a loss that is added to an enum is in it."""


def kinds(base: type = train.Objective) -> set[type]:
    """All concrete objectives of the library."""
    found = {kind for below in base.__subclasses__() for kind in kinds(below)}
    return found | ({base} if not getattr(base, "__abstractmethods__", None) else set())
