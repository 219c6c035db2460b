"""What a frame sounds like in each state of the heart: logistic regression from envelopes to log-probabilities.

Springer et al., IEEE Trans. Biomed. Eng. 63:822, 2016. The decoder takes log-probabilities from anywhere; this is the
emission that is shipped.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.types import HEART_STATES

STATES = len(HEART_STATES)


class Regression(NamedTuple):
    """Of one frame's envelopes on the states, in the order of `hsjax.types.HEART_STATES`. A pytree.

    Attributes:
      weights: `(features, 4)`.
      bias: `(4,)`.
    """

    weights: Float[Array, "features 4"] | Float[np.ndarray, "features 4"]
    bias: Float[Array, "4"] | Float[np.ndarray, "4"]


def log_emission(
    envelopes: Float[Array, "*batch frames features"], regression: Regression, exponent: float | int = 1.0
) -> Float[Array, "*batch frames 4"]:
    """Log-likelihood of each frame in each state, up to a constant per frame.

    By Bayes p(frame | state) = P(state | frame) p(frame) / P(state). Springer et al. take p(frame) from a multivariate
    normal; it is the same for all states, and every path through a recording crosses every frame once, so it cancels
    in the best path and is left out. The regression is fitted to as many frames of each state: P(state) = 1/4.

    Args:
      envelopes: `(..., frames, features)`, each of zero mean and unit variance over a recording.
      regression: multinomial.
      exponent: power of the likelihood. Neighbouring frames overlap, so they tell less than as many independent ones
        would; below 1 it gives durations their due.
    """
    weights = jnp.asarray(regression.weights, envelopes.dtype)
    logits = jnp.matmul(envelopes, weights, precision=jax.lax.Precision.HIGHEST)
    logits = logits + jnp.asarray(regression.bias, envelopes.dtype)
    return exponent * (jax.nn.log_softmax(logits, axis=-1) + np.log(STATES).item())


@functools.partial(jax.jit, static_argnames=("ridge", "steps"))
def fit(
    features: Float[Array, "frames features"],
    states: Int[Array, " frames"],
    ridge: float | int = 1e-6,
    steps: int = 12,
) -> Regression:
    """Multinomial logistic regression, all states weighing the same: Newton's method from zero.

    Maximises the mean over states of the mean log-probability of their frames, less `ridge / 2` times the squared
    weights and biases, which alone fixes what a softmax leaves open.

    Args:
      features: `(frames, features)`, of unit scale.
      states: `(frames,)`, `HeartState`; frames of unknown state (0) count nothing.
      ridge: of the penalty.
      steps: of Newton's method; the loss is convex and smooth, and 12 leave float32 nothing to gain.
    """
    inputs = jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=1)
    truth = jax.nn.one_hot(states - 1, STATES, dtype=inputs.dtype)
    weight = truth / (STATES * jnp.maximum(truth.sum(axis=0), 1.0))
    weight = weight.sum(axis=1)
    size = inputs.shape[1]
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

    def step(_, coefficients):
        probability = jax.nn.softmax(product("ni,is->ns", inputs, coefficients), axis=1)
        gradient = product("ni,ns->is", inputs, weight[:, None] * (probability - truth)) + ridge * coefficients
        # d2/dc_is dc_jt of the loss: inputs_i inputs_j p_s (delta_st - p_t)
        spread = -product("ns,nt->nst", probability, probability) * weight[:, None, None]
        spread += jax.vmap(jnp.diag)(weight[:, None] * probability)
        pairs = product("ni,nj->nij", inputs, inputs).reshape(len(inputs), size * size)
        hessian = product("na,nb->ab", pairs, spread.reshape(len(inputs), STATES * STATES))
        hessian = hessian.reshape(size, size, STATES, STATES).transpose(0, 2, 1, 3).reshape(size * STATES, -1)
        hessian += ridge * jnp.eye(size * STATES, dtype=inputs.dtype)
        change = jnp.linalg.solve(hessian, gradient.reshape(-1))
        return coefficients - change.reshape(size, STATES)

    coefficients = jax.lax.fori_loop(0, steps, step, jnp.zeros((size, STATES), inputs.dtype))
    return Regression(coefficients[:-1], coefficients[-1])
