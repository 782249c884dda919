"""What a check of an adapter is, and the one list of all of them. A check states a claim, cites its source, and tries.

It is an asynchronous function of a `Bench` whose docstring states the claim in one sentence; how it ends is told by
`vtn.checking.verdict`. `cites` names what it proves: a name of `ven_adapters.contract` ("Directive.key"), or a field
fault ("field fault 6").
"""

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from vtn.checking.registry import CheckRegistry, claim_of

if TYPE_CHECKING:
    from ven_adapters.adapter_checks.bench import Bench

    Run = Callable[[Bench], Awaitable[None]]

F = TypeVar("F", bound="Run")


class Group(enum.StrEnum):
    """The sections of the scorecard, in its order."""

    READS = "reads"
    V1G = "V1G"
    V2G = "V2G"
    FAULTS = "faults"
    BUDGETS = "budgets"
    LEAKS = "leaks"
    WHOLE = "whole"


@dataclasses.dataclass(frozen=True, slots=True)
class AdapterCheck:
    """One claim. `fault` is the field fault that it plays, if any; `staged` checks need ground truth."""

    name: str
    claim: str
    group: Group
    cites: str
    staged: bool
    fault: str | None
    run: "Run"

    def matches(self, only: tuple[str, ...]) -> bool:
        """Whether a group, a fault, or the beginning of a name chooses this check."""
        mine = {self.group.value.lower(), self.fault}
        return any(word.lower() in mine or self.name.startswith(word) for word in only)


CHECKS: CheckRegistry[AdapterCheck] = CheckRegistry("ven_adapters.adapter_checks.checks")


def check(group: Group, cites: str, *, staged: bool = True, fault: str | None = None) -> Callable[[F], F]:
    """Register a function as a check; ValueError for a name that is taken."""

    def add(run: F) -> F:
        CHECKS.register(AdapterCheck(run.__name__, claim_of(run), group, cites, staged, fault, run))
        return run

    return add


def every(only: Iterable[str] = ()) -> list[AdapterCheck]:
    """The chosen checks in the order of the scorecard."""
    return sorted(CHECKS.chosen(only), key=lambda one: tuple(Group).index(one.group))
