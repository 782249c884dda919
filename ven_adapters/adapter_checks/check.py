"""What a check of an adapter is, and the one list of all checks. A check states a claim, cites its source, and tries.

A check is an asynchronous function of a `Bench` with a docstring that states the claim in one sentence. It raises
`Failed` (by `expect`) when the claim does not hold, `Skipped` when it cannot be tried here; returning means it holds.
`cites` names what it proves: a name of `ven_adapters.contract` ("Directive.key"), or a field fault ("field fault 6").
"""

import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ven_adapters.adapter_checks.bench import Bench

    Run = Callable[[Bench], Awaitable[None]]

F = TypeVar("F", bound="Run")


class Failed(Exception):
    """The adapter does not do what the check claims; the text says what was expected and what came."""


class Skipped(Exception):
    """The check cannot be tried here; the text says why."""


class Group(enum.StrEnum):
    """The sections of the scorecard, in its order."""

    READS = "reads"
    V1G = "V1G"
    V2G = "V2G"
    FAULTS = "faults"
    BUDGETS = "budgets"
    LEAKS = "leaks"


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

    def matches(self, only: Iterable[str]) -> bool:
        """Whether a group, a fault, or the beginning of a name chooses this check; nothing chooses all."""
        chosen = tuple(only)
        mine = {self.group.value.lower(), self.fault}
        return not chosen or any(word.lower() in mine or self.name.startswith(word) for word in chosen)


CHECKS: dict[str, AdapterCheck] = {}


def check(group: Group, cites: str, *, staged: bool = True, fault: str | None = None) -> Callable[[F], F]:
    """Register a function as a check; ValueError for a name that is taken."""

    def add(run: F) -> F:
        if run.__name__ in CHECKS:
            raise ValueError(f"there are two checks named {run.__name__}")
        claim = " ".join((run.__doc__ or "").split())
        CHECKS[run.__name__] = AdapterCheck(run.__name__, claim, group, cites, staged, fault, run)
        return run

    return add


def expect(condition: object, words: str) -> None:
    """Fail the check with these words unless the condition holds."""
    if not condition:
        raise Failed(words)


def every(only: Iterable[str] = ()) -> list[AdapterCheck]:
    """The chosen checks in the order of the scorecard."""
    import ven_adapters.adapter_checks.checks  # noqa: F401 - importing registers them

    order = tuple(Group)
    chosen = tuple(only)
    return sorted((one for one in CHECKS.values() if one.matches(chosen)), key=lambda one: order.index(one.group))
