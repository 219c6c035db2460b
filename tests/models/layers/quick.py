"""What keeps tests of layers quick: variables drawn by NumPy, and compilation in a hurry of what runs once."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


def normal(*shape: int, seed: int = 0, dtype=np.float32) -> jax.Array:
    """Standard normal values."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def shapes(module: nn.Module, *inputs):
    """Shapes of what `init` would make; nothing is computed."""
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)


def variables(module: nn.Module, *inputs, seed: int = 0):
    """Variables of a module, all of them random; variances and gains are positive."""
    rng = np.random.default_rng(seed)

    def values(path, leaf):
        drawn = rng.normal(size=leaf.shape)
        positive = path[-1].key in ("scale", "var")
        return jnp.asarray(np.exp(0.3 * drawn) if positive else 0.5 * drawn, leaf.dtype)

    return jax.tree_util.tree_map_with_path(values, shapes(module, *inputs))


def pull(function, argument, cotangent):
    """The value at `argument`, and what a cotangent becomes on its way back."""

    def compute(a, dy):
        y, pullback = jax.vjp(function, a)
        return y, pullback(dy)[0]

    return jit(compute)(argument, cotangent)
