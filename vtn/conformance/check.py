"""What a check of a VTN is, and the one list of all of them. A check states a claim, cites requirements, and tries.

It is an asynchronous function of a `Kit` whose docstring states the claim in one sentence; how it ends is told by
`vtn.checking.verdict`.
"""

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from vtn.checking.registry import CheckRegistry, claim_of
from vtn.conformance.requirements import UNCHECKED, Level, every

if TYPE_CHECKING:
    from vtn.conformance.kit import Kit

    Run = Callable[[Kit], Awaitable[None]]

F = TypeVar("F", bound="Run")
STRENGTH = (Level.SHALL, Level.SHOULD, Level.READING)


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

    @property
    def section(self) -> str:
        """The section of the requirements that the check stands in, such as `EVT`."""
        return self.requirements[0].partition("-")[0]

    def matches(self, only: tuple[str, ...]) -> bool:
        """Whether one of these beginnings of requirement ids, or names, chooses this check."""
        return self.name in only or any(r.startswith(only) for r in self.requirements)


CHECKS: CheckRegistry[ConformanceCheck] = CheckRegistry("vtn.conformance.checks")


def register(check: ConformanceCheck) -> ConformanceCheck:
    """Add a check to the list; ValueError for an unknown requirement or a name that is taken."""
    unknown = [name for name in check.requirements if name not in every()]
    if unknown or not check.requirements:
        raise ValueError(f"{check.name} cites no known requirement: {unknown}")
    return CHECKS.register(check)


def check(*requirements: str, level: Level | None = None, needs: tuple[Need, ...] = ()) -> Callable[[F], F]:
    """Register a function as a check. Without `level` the strongest of the cited requirements decides."""

    def add(run: F) -> F:
        strongest = level or min((every()[name].level for name in requirements), key=STRENGTH.index)
        register(ConformanceCheck(run.__name__, claim_of(run), requirements, strongest, needs, run))
        return run

    return add


def covered(checks: Iterable[ConformanceCheck]) -> frozenset[str]:
    """Requirements cited by at least one of these checks."""
    return frozenset(name for check in checks for name in check.requirements)


def uncovered(checks: Iterable[ConformanceCheck]) -> dict[str, str]:
    """Requirements that no check cites, each with its reason."""
    cited = covered(checks)
    return {name: UNCHECKED.get(name, "nobody has written one yet") for name in every() if name not in cited}
