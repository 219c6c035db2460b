"""Gradients of what the oracles compute, views with padding that holds junk, and a compiler that is quick."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

from tests import hurry


def _finite_differences(function, *arrays, step=1e-6):
    """Central differences of a function of float64 arrays, by every element of each."""
    gradients = []
    for which, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [one.copy() for one in arrays]
                moved[which][index] += sign * step
                ends.append(function(*moved))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


@pytest.fixture(scope="session")
def finite_differences() -> Callable:
    return _finite_differences


class Views(NamedTuple):
    """Two views of eight examples, five of them unmasked; the masked ones hold junk. All float64."""

    first: np.ndarray
    second: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    some: np.ndarray  # rows of the unmasked


@pytest.fixture
def views(rng) -> Views:
    first, second = rng.normal(0.3, 1.5, (2, 8, 3))
    mask = np.array([1.0, 0, 1, 1, 0, 1, 1, 0])
    first[1], first[4], second[1], second[7] = np.nan, np.inf, -np.inf, np.nan
    return Views(first, second, np.array([2, 0, 1, 2, 1, 0, 1, 2]), mask, np.flatnonzero(mask))


@pytest.fixture(scope="session")
def quick_options() -> dict[str, int | bool]:
    """Options of XLA that compile fast what need not run fast."""
    return hurry.known({"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False})


@pytest.fixture(scope="session")
def quick(quick_options) -> Callable:
    """`jax.jit` for what is only computed to be compared: compiling is most of the time these tests take."""
    return functools.partial(jax.jit, compiler_options=quick_options)
