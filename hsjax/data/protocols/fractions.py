"""Fractions of a config to shares of the three parts, and parts to a split."""

import numpy as np
from jaxtyping import Float, Int

from hsjax.types import Split, UserError


def shares(validation: float, test: float) -> Float[np.ndarray, "3"]:
    """Shares of training, validation and test.

    Args:
      validation: share of what is not test, 0 to 1, exclusive.
      test: share of all, 0 to 1, exclusive.

    Raises:
      UserError: a fraction is out of range.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0 < fraction < 1:
            raise UserError(f"the {name} fraction is {fraction}: choose a number between 0 and 1")
    return np.array([(1 - test) * (1 - validation), (1 - test) * validation, test])


def split(
    chosen: Int[np.ndarray, " chosen"], part: Int[np.ndarray, " chosen"], name: int | str = 0, note: str = ""
) -> Split:
    """The split of examples: each belongs to part 0 (training), 1 (validation), 2 (test) or 3 (pre-training)."""
    train, validation, test, pretrain = (np.sort(chosen[part == index]) for index in range(4))
    return Split(train, validation, test, name, note, pretrain)
