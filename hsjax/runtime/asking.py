"""What another process is asked to do with files of unknown origin, and in words whatever goes wrong there."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from hsjax.runtime import isolated
from hsjax.types import UserError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SECONDS = 600.0
"""That one thing may take, unless the user allows more: a graph with an endless loop never answers."""

MAX_SECONDS = 1e6
"""More is not waited for."""

_LONGEST_REASON = 300  # characters


class Unforeseen(UserError):  # noqa: N818, what happened, not what to do
    """An error there that no code has a sentence for: a fault of hsjax or of a library."""


def ask(
    apart: isolated.Isolated,
    doing: str,
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """The result of a function that is called in another process.

    Args:
      apart: the process.
      doing: what it is to do, and with which files: `ran model.onnx on sound.wav`.
      function: as for `Isolated.call`.
      *args: of the function.
      **kwargs: of the function.

    Raises:
      UserError: as the function; or the process died or was silent for too long.
      Unforeseen: the function raises anything else.
    """
    try:
        return apart.call(function, *args, **kwargs)
    except isolated.Late as late:
        raise UserError(
            f"the process that {doing} {late.how}: allow more with --timeout, or export a model that ends"
        ) from late
    except isolated.Died as died:
        raise UserError(
            f"the process that {doing} {died.how}: a file of these is damaged, made to do harm or too large for the "
            "memory; a model that others fail with too is to be exported again"
        ) from died
    except UserError:
        raise
    except Exception as error:  # whatever it is, what else has been asked for is to be done
        reason = str(error).partition("\n")[0][:_LONGEST_REASON]
        raise Unforeseen(
            f"the process that {doing} met with {type(error).__name__} ({reason}), which hsjax has no word for: "
            "leave this file out, and report it"
        ) from error
