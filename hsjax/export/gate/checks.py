"""What a check says, and what follows from all of them."""

import dataclasses
from collections.abc import Iterable

from hsjax.types import UserError


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing a file was tested for.

    Attributes:
      model: name of the file.
      check: what was tested.
      value: what was measured.
      limit: what it is measured against.
      passed: whether it is within.
      detail: for people.
    """

    model: str
    check: str
    value: float
    limit: float
    passed: bool
    detail: str = ""


class GateFailed(UserError):  # noqa: N818, the gate's failing is the outcome, not an accident
    """An exported file is not what was trained.

    Attributes:
      checks: the ones that failed.
    """

    def __init__(self, checks: tuple[Check, ...]):
        super().__init__(checks)
        self.checks = checks

    def __str__(self) -> str:
        failures = [f"{c.model}: {c.check} is {c.value:.3g}, limit {c.limit:g} ({c.detail})" for c in self.checks]
        return f"the export gate failed, do not use these files: {'; '.join(failures)}"


def enforce(checks: Iterable[Check]) -> None:
    """Raises GateFailed if any check failed. To be called when all checks of all files are recorded."""
    failed = tuple(check for check in checks if not check.passed)
    if failed:
        raise GateFailed(failed)


def none_of(model: str, check: str, found: Iterable[str], otherwise: str) -> Check:
    """A check that nothing of a kind was found.

    Args:
      model: name of the file.
      check: of what there should be none.
      found: what there is, in words.
      otherwise: detail if there is none.
    """
    offenders = tuple(found)
    return Check(model, check, float(len(offenders)), 0.0, not offenders, ", ".join(offenders) or otherwise)


def broken(model: str, check: str, error: Exception | str) -> Check:
    """A check that could not even be made."""
    return Check(model, check, 0.0, 1.0, False, str(error))
