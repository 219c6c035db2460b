"""What a training begins with: weights from a file or from an earlier stage, and ranges of what they compute."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from hsjax import models
from hsjax.models import quantised
from hsjax.models.pretrained import load as load_pretrained
from hsjax.types import UserError

Begin = Callable[[models.Variables], models.Variables]
"""Random variables to those that training begins with."""


def unchanged(variables: models.Variables) -> models.Variables:
    """The random ones."""
    return variables


def of_earlier(earlier: models.Variables, name: str, variables: models.Variables) -> models.Variables:
    """The variables with all those of an earlier stage that have the same place and shape.

    Raises:
      UserError: there is none.
    """
    ours, theirs = (jax.tree_util.tree_flatten_with_path(tree) for tree in (variables, earlier))
    found = dict(theirs[0])
    fits = [path in found and found[path].shape == leaf.shape for path, leaf in ours[0]]
    if not any(fits):
        raise UserError(f"nothing of stage {name!r} fits this network; begin with a stage of the same model")
    leaves = [found[path] if fit else leaf for fit, (path, leaf) in zip(fits, ours[0], strict=True)]
    return jax.tree.unflatten(ours[1], jax.tree.map(jnp.array, leaves))


@dataclasses.dataclass
class Pretrained:
    """Weights from a file as a place to start from; `sha256` is that of the file's origin once they are loaded."""

    model: str
    network: models.Network
    path: pathlib.Path
    sha256: str = ""

    def begin(self, variables: models.Variables) -> models.Variables:
        """All weights but the head's from the file."""
        loaded = load_pretrained(self.model, self.network, variables, self.path, allow_unregistered=True)
        self.sha256 = loaded.origin.sha256
        return loaded.variables


def with_ranges(
    network: models.Network, begin: Begin, inputs: Sequence[Array], variables: models.Variables
) -> models.Variables:
    """The variables of a quantised network with ranges of what it computes before it is trained.

    Args:
      network: its quantiser has ranges.
      begin: to the weights that these are ranges of.
      inputs: batches of features.
      variables: random.
    """
    return quantised.begin(network, begin(variables), inputs)


def batches(index: Int[np.ndarray, " n"], size: int, count: int, seed: int) -> Sequence[Int[np.ndarray, " size"]]:
    """Examples drawn at random in batches of one size, at most `count`; of fewer than `size` examples, one with all.

    Args:
      index: of the examples to draw from.
      size: of a batch.
      count: of batches.
      seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(index)
    count = min(count, len(drawn) // size)
    return np.split(drawn[: count * size], count) if count else [drawn]
