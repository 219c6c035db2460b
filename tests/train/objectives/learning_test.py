"""What is learnt without classes is of use for them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from hsjax import train
from hsjax.train.views import Change
from hsjax.types import Batch
from tests.train.objectives import toys
from tests.train.objectives.toys import CLASSES, HPARAMS, PLAIN, SHAPE

SIZE, SEEDS = 48, 3
CONSTANTS = HPARAMS | {"learning_rate": jnp.float32(0.03), "temperature": jnp.float32(0.3)}
DIRECTION = np.array([0.6, -0.48, 0.64, 0.0], np.float32)
step = toys.hurried(train.step, static_argnums=0)


def disturbed(key, example):
    """Along one direction every view is somewhere else, far more than classes are apart."""
    return example + 40 * jax.random.uniform(key, (), minval=-1, maxval=1) * DIRECTION[:, None]


VIEWS = train.Views(features=(Change(disturbed),))


def data(seed: int) -> Batch:
    """Classes that differ across the direction, at places along it that say nothing."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(SIZE) % CLASSES)
    basis = np.linalg.svd(DIRECTION[None])[2][1:3]
    angle = 2 * np.pi * label / CLASSES
    centre = 1.5 * (np.cos(angle)[:, None] * basis[0] + np.sin(angle)[:, None] * basis[1])
    along = 40 * rng.uniform(-1, 1, (SIZE, 1)) * DIRECTION
    inputs = (centre + along)[:, :, None] + 0.3 * rng.standard_normal((SIZE, *SHAPE))
    ones = jnp.ones(SIZE)
    return Batch(jnp.asarray(inputs, jnp.float32), jnp.asarray(label, jnp.int32), ones, ones, None, jnp.arange(SIZE))


def fitted(objective, network, begin, batch, steps: int):
    learner, state = toys.start(objective, network, rule=train.Rule.ADAM)
    state = state._replace(variables=jax.tree.map(jnp.asarray, begin))
    for _ in range(steps):
        state, _ = step(learner, state, batch, CONSTANTS, jax.random.key(0))
    return state.variables


def probed(begin, seed: int) -> float:
    """Accuracy on other examples of logits that are linear in the embedding as it is."""
    network = dataclasses.replace(PLAIN, frozen=("*", "!logits"))
    probe = fitted(train.Supervised(), network, begin, data(seed), 150)
    np.testing.assert_array_equal(probe["params"]["hidden"]["kernel"], begin["params"]["hidden"]["kernel"])
    other = data(100 + seed)
    return float(np.mean(np.argmax(network.apply(probe, other.inputs)[0].logits, -1) == other.label))


def test_a_probe_of_contrastive_weights_separates_better_than_one_of_random_weights():
    """Three seeds; one in three is guessed right."""
    objective = train.Contrast(train.Contrastive.NT_XENT, (8, 4), views=VIEWS)
    random, contrastive = [], []
    for seed in range(SEEDS):
        begin = toys.drawn(PLAIN, seed)
        random.append(probed(begin, seed))
        contrastive.append(probed(fitted(objective, PLAIN, begin, data(seed), 250), seed))
    assert np.mean(contrastive) > 0.8, (random, contrastive)
    assert np.mean(contrastive) > np.mean(random) + 0.1, (random, contrastive)
