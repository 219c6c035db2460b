"""Random splits, as most papers have them. What is alike ends up on both sides: the figures flatter."""

import enum

import ml_collections
import numpy as np

from hsjax.config import choice
from hsjax.data.protocols import division, fractions
from hsjax.types import Dataset, Examples, Split


class Unit(enum.StrEnum):
    """What is drawn: single examples, or recordings with all of theirs."""

    EXAMPLE = "example"
    RECORDING = "recording"


def splits(
    examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[Split, ...]:
    """One random split.

    Args:
      examples: of `dataset`.
      dataset: not looked at.
      settings: `test`, a fraction of all; `validation`, of what is not test; `unit`; `stratified`, by class.
      rng: of the permutation.

    Raises:
      UserError: a fraction is out of range, or the unit is unknown.
    """
    shares = fractions.shares(settings.validation, settings.test)
    unit = choice(Unit, settings.unit, "split.paper.unit")
    first, inverse = np.arange(len(examples.label)), np.arange(len(examples.label))
    if unit is Unit.RECORDING:
        _, first, inverse = np.unique(examples.recording, return_index=True, return_inverse=True)
    label = examples.label[first]
    if settings.stratified:
        part = division.stratified(label, shares, rng)
    else:
        part = division.at_random(len(label), shares, rng)
    return (fractions.split(np.arange(len(examples.label)), part[inverse]),)
