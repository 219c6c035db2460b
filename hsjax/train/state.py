"""What a train step reads and writes."""

from typing import Any, NamedTuple

from hsjax.models import Variables


class TrainState(NamedTuple):
    """A pytree.

    Attributes:
      step: optimiser steps taken, int32 scalar. With the run's key it determines all randomness: no key is stored.
      variables: of the network; `params`, and `batch_stats` where there is batch norm.
      opt_state: of the optimiser.
    """

    step: Any
    variables: Variables
    opt_state: Any
