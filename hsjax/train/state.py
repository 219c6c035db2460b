"""What a train step reads and writes."""

from typing import Any, NamedTuple


class TrainState(NamedTuple):
    """A pytree.

    Attributes:
      step: optimiser steps taken, int32 scalar. With the run's key it determines all randomness: no key is stored.
      variables: of the network; `params`, and `batch_stats` where there is batch norm.
      opt_state: of the optimiser, for the network's trainable parameters and the heads.
      heads: parameters that the objective trains beside the network's (regressors, projections, a peer's).
      memory: what the objective remembers from step to step without a gradient (a queue, a momentum network).
      average: exponential moving average of `variables`; None where none is kept.
      fixed: what training reads and never changes (a teacher's variables, a fitted front end): by name, in no
        checkpoint, the same for all members of a sweep.
      compression: masks and codebooks that `compress.transforms` remember; nothing where there are none.
    """

    step: Any
    variables: Any
    opt_state: Any
    heads: Any = {}  # noqa: RUF012 - never changed in place
    memory: Any = {}  # noqa: RUF012
    average: Any = None
    fixed: Any = {}  # noqa: RUF012
    compression: Any = ()
