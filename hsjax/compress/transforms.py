"""Compression inside of training: what happens to gradients before, and to weights after every step of an optimiser.

What a transform has to remember, masks and codebooks, is part of the train state, so that a training that is resumed,
or one of many with a member axis, goes on with the same.
"""

import abc
import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from hsjax.compress import clustering, magnitude
from hsjax.compress.clustering import Beginning
from hsjax.compress.leaves import ALL, Kernels, every, kernels, replaced
from hsjax.compress.magnitude import Masks
from hsjax.compress.schedule import polynomial_sparsity

Params = dict[str, Any]
Books = dict[str, clustering.Codebook]
HParams = Mapping[str, Array]


class Scope(enum.Enum):
    """Among which weights the largest are kept: GLOBAL of all kernels, LAYER of each, N_OF_M of every m inputs."""

    GLOBAL = "global"
    LAYER = "layer"
    N_OF_M = "n-of-m"


@dataclasses.dataclass(frozen=True)
class Transform(abc.ABC):
    """One way to compress while training; hashable, so static under jit."""

    @abc.abstractmethod
    def init(self, params: Params, key: Array) -> tuple[Params, Any]:
        """Parameters as training begins with them, and what is remembered.

        Args:
          params: that are trained.
          key: of what is random.
        """

    @abc.abstractmethod
    def gradient(self, gradient: Params, state: Any) -> Params:
        """What the optimiser sees of a gradient."""

    @abc.abstractmethod
    def after(self, params: Params, state: Any, step: Int[Array, ""], hparams: HParams) -> tuple[Params, Any]:
        """What becomes of parameters that an optimiser has updated, and what is remembered.

        Args:
          params: updated.
          state: what was remembered.
          step: that have been taken, this one included.
          hparams: traced constants.
        """

    @abc.abstractmethod
    def held(self, params: Params, state: Any) -> Params:
        """Other values of the parameters, a moving average, as small as the trained ones are after `after`."""

    @property
    def settles(self) -> int:
        """The step from which on the network is as small as it will be: none before may be the best."""
        return 0


@dataclasses.dataclass(frozen=True)
class KeepZeros(Transform):
    """Kernels' weights that are zero at the beginning, because an earlier training pruned them, stay zero."""

    def init(self, params: Params, key: Array) -> tuple[Params, Masks]:
        """See `Transform`."""
        return params, magnitude.nonzero(self._kernels(params))

    def gradient(self, gradient: Params, state: Masks) -> Params:
        """See `Transform`; clipping by the norm does not count what is not there."""
        return _masked(gradient, state)

    def after(self, params: Params, state: Masks, step: Array, hparams: HParams) -> tuple[Params, Masks]:
        """See `Transform`."""
        return _masked(params, state), state

    def held(self, params: Params, state: Masks) -> Params:
        """See `Transform`."""
        return _masked(params, state)

    def _kernels(self, params: Params) -> Kernels:
        return every(params)


@dataclasses.dataclass(frozen=True)
class Prune(KeepZeros):
    """Weights of small magnitude become zero and stay so, along a schedule, up to `hparams["sparsity"]` of them.

    What is zero at the beginning counts, and never comes back: a training that begins with a pruned network goes on
    from there.

    Attributes:
      scope: see there.
      m: of N_OF_M.
      begin: step of the schedule's beginning, see `schedule`.
      end: step at whose end the sparsity is reached, from 1 on.
      every: steps between two changes of the masks.
      patterns: of the kernels that are pruned, see `leaves.kernels`.
    """

    scope: Scope = Scope.GLOBAL
    m: int = 4
    begin: int = 0
    end: int = 1
    every: int = 1
    patterns: tuple[str, ...] = ALL

    def after(self, params: Params, state: Masks, step: Array, hparams: HParams) -> tuple[Params, Masks]:
        """See `Transform`."""
        held = self._kernels(params)
        sparsity = polynomial_sparsity(step, self.begin, self.end, hparams["sparsity"])
        in_turn = (step >= self.begin) & (step < self.end) & ((step - self.begin) % self.every == 0)
        # Sorting all weights of a large network costs more than a step.
        masks = jax.lax.cond(in_turn | (step == self.end), lambda: self._masks(held, sparsity, state), lambda: state)
        return _masked(params, masks), masks

    @property
    def settles(self) -> int:
        """See `Transform`."""
        return self.end

    def _kernels(self, params: Params) -> Kernels:
        found = kernels(params, self.patterns)
        return magnitude.fits_n_of_m(found, self.m) if self.scope is Scope.N_OF_M else found

    def _masks(self, held: Kernels, sparsity: Array, allowed: Masks) -> Masks:
        if self.scope is Scope.N_OF_M:
            return magnitude.n_of_m(held, sparsity, self.m, allowed)
        of = magnitude.globally if self.scope is Scope.GLOBAL else magnitude.by_layer
        return of(held, sparsity, allowed)


@dataclasses.dataclass(frozen=True)
class Cluster(Transform):
    """Every kernel has few values, which are found at the beginning and trained; which weight has which stays.

    Gradients are summed by cluster (Han et al. 2016). Zeros stay zero.

    Attributes:
      k: values of each kernel.
      beginning: of k-means.
      iterations: of k-means.
      patterns: of the kernels, see `leaves.kernels`.
    """

    k: int = 16
    beginning: Beginning = Beginning.LINEAR
    iterations: int = 100
    patterns: tuple[str, ...] = ALL

    def init(self, params: Params, key: Array) -> tuple[Params, Books]:
        """See `Transform`."""
        books: Books = {}
        for number, (path, kernel) in enumerate(kernels(params, self.patterns).items()):
            its = jax.random.fold_in(key, number)
            books[path] = clustering.codebook(
                kernel, its, k=self.k, beginning=self.beginning, iterations=self.iterations
            )
        return _clustered(params, books), books

    def gradient(self, gradient: Params, state: Books) -> Params:
        """See `Transform`."""
        held = kernels(gradient, self.patterns)
        return replaced(gradient, {path: clustering.summed(held[path], book) for path, book in state.items()})

    def after(self, params: Params, state: Books, step: Array, hparams: HParams) -> Any:
        """See `Transform`."""
        books = self._followed(params, state)
        return _clustered(params, books), books

    def held(self, params: Params, state: Books) -> Params:
        """See `Transform`."""
        return _clustered(params, self._followed(params, state))

    def _followed(self, params: Params, state: Books) -> Books:
        held = kernels(params, self.patterns)
        return {path: clustering.followed(book, held[path]) for path, book in state.items()}


@dataclasses.dataclass(frozen=True)
class Compression:
    """Several transforms, one after another; without any, nothing happens.

    Attributes:
      transforms: in their order.
    """

    transforms: tuple[Transform, ...] = ()

    def init(self, params: Params, key: Array) -> tuple[Params, tuple[Any, ...]]:
        """See `Transform`."""
        states = []
        for number, transform in enumerate(self.transforms):
            params, state = transform.init(params, jax.random.fold_in(key, number))
            states.append(state)
        return params, tuple(states)

    def gradient(self, gradient: Params, states: tuple[Any, ...]) -> Params:
        """See `Transform`."""
        for transform, state in zip(self.transforms, states, strict=True):
            gradient = transform.gradient(gradient, state)
        return gradient

    def after(
        self, params: Params, states: tuple[Any, ...], step: Int[Array, ""], hparams: HParams
    ) -> tuple[Params, tuple[Any, ...]]:
        """See `Transform`."""
        after = []
        for transform, state in zip(self.transforms, states, strict=True):
            params, state = transform.after(params, state, step, hparams)
            after.append(state)
        return params, tuple(after)

    def held(self, params: Params, states: tuple[Any, ...]) -> Params:
        """See `Transform`."""
        for transform, state in zip(self.transforms, states, strict=True):
            params = transform.held(params, state)
        return params

    @property
    def settles(self) -> int:
        """See `Transform`."""
        return max((transform.settles for transform in self.transforms), default=0)


def _masked(params: Params, masks: Masks) -> Params:
    held = every(params)
    return replaced(params, {path: jnp.where(mask, held[path], 0.0) for path, mask in masks.items()})


def _clustered(params: Params, books: Books) -> Params:
    return replaced(params, {path: clustering.clustered(book) for path, book in books.items()})


NONE = Compression()
