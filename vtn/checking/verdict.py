"""What became of a check, and how the check itself says so.

A check is an asynchronous function. It raises `Failed` (by `expect`) when its claim does not hold, `Skipped` when it
cannot be tried here; returning means that the claim holds. A failure whose reason is not the claim itself names its
`Cause`, or is `Blocked`.
"""

import dataclasses
import enum
from typing import Generic, TypeVar

from vtn.checking.registry import C


class Outcome(enum.StrEnum):
    """What became of a check. BLOCKED: something else than its claim stood in the way, and is named."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """What lies behind a failure, beside the claim of the check that met it.

    `key` is the same for every check that meets it, `owners` are the requirements that are about it, the closest one
    first. Where it is `general` only one check accuses it, whoever meets it; otherwise the check that met it is blocked
    when a check of one of the owners failed, and stands by its own claim when that one holds.
    """

    key: str
    owners: tuple[str, ...]
    general: bool = False


class Failed(Exception):
    """What is judged does not do what the check claims; the text says what was expected and what came."""

    def __init__(self, words: str, cause: Cause | None = None) -> None:
        super().__init__(words)
        self.cause = cause


class Blocked(Exception):
    """The check met something that kept it from being tried and that accuses nobody; `by` names it."""

    def __init__(self, words: str, by: str) -> None:
        super().__init__(words)
        self.by = by


class Skipped(Exception):
    """The check cannot be tried here; the text says why and what would make it possible."""


def expect(condition: object, words: str, cause: Cause | None = None) -> None:
    """Fail the check with these words unless the condition holds."""
    if not condition:
        raise Failed(words, cause)


E = TypeVar("E")


@dataclasses.dataclass(frozen=True)  # no slots: made by a kit's alias, such a class raises TypeError (CPython 3.11)
class CheckResult(Generic[C, E]):
    """One check's outcome; `reason` and `exchanges` say why it failed, `reason` why it was skipped or blocked.

    `blocked_by` names what stood in the way: a requirement and the check that accuses it, or what the kit ran into.
    """

    check: C
    outcome: Outcome
    reason: str = ""
    exchanges: tuple[E, ...] = ()
    seconds: float = 0.0
    cause: Cause | None = None
    blocked_by: str = ""

    def blocked(self, by: str) -> "CheckResult[C, E]":
        """The same result, blocked by something; its reason says so and what was met."""
        reason = f"could not be tried, blocked by {by}: {self.reason}"
        return dataclasses.replace(self, outcome=Outcome.BLOCKED, reason=reason, exchanges=(), blocked_by=by)


@dataclasses.dataclass(frozen=True, slots=True)
class CheckRun(Generic[C, E]):
    """A finished run: what was judged (a URL, an adapter's name), and the results in the order of the checks."""

    subject: str
    results: tuple[CheckResult[C, E], ...]

    def having(self, outcome: Outcome) -> list[CheckResult[C, E]]:
        """The results of one outcome."""
        return [result for result in self.results if result.outcome is outcome]
