"""What a 95 % interval over few groups is worth: how often it holds the truth, by simulation, as a sentence."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, Shaped

from hsjax.evaluate.bootstrap import MIN_GROUPS

# Scenario `subject`, both prevalences, of `python tests/benchmarks/coverage.py --groups 12 20 32 40 60 80`; Monte-Carlo
# error 2 points or less.
ENOUGH_GROUPS = 30
"""With so many groups in each class, bootstrap intervals of all figures held the truth in 92 % of samples or more."""

# By number of groups that hold a class: part of the bootstrap intervals of its recall, of MAcc or of AUROC, whichever
# is lowest, that held the truth. Below the first they are not worth printing.
_HELD = {3: 0.71, 5: 0.79, 8: 0.83, 10: 0.88, 15: 0.90, 20: 0.91}


def groups_by_class(
    label: Int[np.ndarray, " n"], group: Shaped[np.ndarray, " n"], classes: Sequence[str]
) -> dict[str, int]:
    """How many groups hold units of each class.

    Args:
      label: of each unit, index into `classes`.
      group: of each unit.
      classes: names.
    """
    return {name: len(np.unique(group[label == index])) for index, name in enumerate(classes)}


def warning(n_groups: int, groups_of: Mapping[str, int]) -> str | None:
    """One sentence where groups are too few for intervals that mean what they say; None where they suffice.

    The shares in it are of one simulated population and only say of what order the shortfall is.

    Args:
      n_groups: all that were tested.
      groups_of: by class, how many of them hold units of it, see `groups_by_class`.

    Raises:
      ValueError: there is no class, or one has more groups than there are.
    """
    if not groups_of or max(groups_of.values()) > n_groups:
        raise ValueError(f"{n_groups} groups cannot hold classes in {dict(groups_of)}")
    rarest = min(groups_of, key=lambda name: groups_of[name])
    n = groups_of[rarest]
    if n == 0:
        return f"No group holds class {rarest}: its recall, and every mean over classes, is undefined."
    if n_groups < MIN_GROUPS:
        return (
            f"Only {n_groups} independent groups: no intervals are given, and the figures tell of these groups alone."
        )
    if n >= ENOUGH_GROUPS:
        return None
    which = f"Only {n} of {n_groups} independent groups hold class {rarest}"
    held = [part for groups, part in _HELD.items() if groups <= n]
    if not held:
        return f"{which}: the intervals of its recall, of MAcc and of AUROC are worthless."
    return (
        f"{which}: 95 % intervals of its recall, of MAcc and of AUROC are too narrow, in a simulation with as few they "
        f"held the truth in {held[-1] * 100:.0f} % of samples."
    )
