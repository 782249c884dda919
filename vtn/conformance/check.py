"""What a check is, and the one list of all checks. A check states a claim, cites requirements, and asks a live VTN.

A check is an asynchronous function of a `Kit` with a docstring that states the claim in one sentence. It raises
`Failed` (by `expect`) when the claim does not hold, `Skipped` when it cannot be tried here; returning means it holds.
A failure whose reason is not the claim itself names its `Cause`, so that one cause is accused once (`verdicts`).
"""

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from vtn.conformance.requirements import Level, every

if TYPE_CHECKING:
    from vtn.conformance.kit import Kit

    Run = Callable[[Kit], Awaitable[None]]

F = TypeVar("F", bound="Run")
STRENGTH = (Level.SHALL, Level.SHOULD, Level.READING)


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
    """The VTN does not do what the check claims; the text says what was expected and what came."""

    def __init__(self, words: str, cause: Cause | None = None) -> None:
        super().__init__(words)
        self.cause = cause


class Skipped(Exception):
    """The check cannot be tried here; the text says why and what would make it possible."""


class Need(enum.StrEnum):
    """What a check needs beyond credentials."""

    RECEIVER = "a webhook receiver that the VTN can reach (--receiver)"
    MQTT = "MQTT, which this VTN does not offer"
    TLS = "an https URL"
    OWN_TOKENS = "a token endpoint of this VTN itself"


@dataclasses.dataclass(frozen=True, slots=True)
class ConformanceCheck:
    """One claim. `name` is unique; the first requirement is the one it is named after in reports."""

    name: str
    claim: str
    requirements: tuple[str, ...]
    level: Level
    needs: tuple[Need, ...]
    run: "Run"

    def matches(self, only: Iterable[str]) -> bool:
        """Whether any of these beginnings of requirement ids, or names, choose this check; none chooses all."""
        chosen = tuple(only)
        return not chosen or self.name in chosen or any(r.startswith(chosen) for r in self.requirements)


CHECKS: dict[str, ConformanceCheck] = {}


def register(check: ConformanceCheck) -> ConformanceCheck:
    """Add a check to the list; ValueError for an unknown requirement or a name that is taken."""
    unknown = [name for name in check.requirements if name not in every()]
    if unknown or not check.requirements:
        raise ValueError(f"{check.name} cites no known requirement: {unknown}")
    if check.name in CHECKS:
        raise ValueError(f"there are two checks named {check.name}")
    CHECKS[check.name] = check
    return check


def check(*requirements: str, level: Level | None = None, needs: tuple[Need, ...] = ()) -> Callable[[F], F]:
    """Register a function as a check. Without `level` the strongest of the cited requirements decides."""

    def add(run: F) -> F:
        claim = " ".join((run.__doc__ or "").split())
        strongest = level or min((every()[name].level for name in requirements), key=STRENGTH.index)
        register(ConformanceCheck(run.__name__, claim, requirements, strongest, needs, run))
        return run

    return add


def expect(condition: object, words: str, cause: Cause | None = None) -> None:
    """Fail the check with these words unless the condition holds."""
    if not condition:
        raise Failed(words, cause)
