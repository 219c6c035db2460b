"""XLA's options for programs that run a few times only: compiling them takes nearly all of a test's time."""

import contextlib
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import pytest

from hsjax import train


def known(options: Mapping[str, int | bool]) -> dict[str, int | bool]:
    """Those that this XLA has; the names change with its versions."""
    found = {}
    for name, value in options.items():
        try:
            jax.jit(jnp.negative, compiler_options={name: value})(1.0)
        except jax.errors.JaxRuntimeError:
            continue
        found[name] = value
    return found


OPTIONS = known(
    {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_parallel_codegen_split_count": 1,
        "xla_cpu_use_fusion_emitters": False,  # each fusion by the older and plainer of two ways
    }
)
"""Without optimisation, in one piece."""

FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in OPTIONS.items())
"""The same for the variable XLA_FLAGS."""


@contextlib.contextmanager
def training() -> Iterator[None]:
    """Whole trainings compile so within."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Threads, "options", property(lambda self: OPTIONS))
        train.dispatch.compiled.cache_clear()
        yield
    train.dispatch.compiled.cache_clear()
