"""Which requirements the checks cite, and why the others have none."""

from collections.abc import Iterable, Mapping

from vtn.conformance.check import Check
from vtn.conformance.requirements import every

UNCHECKED: Mapping[str, str] = {}


def covered(checks: Iterable[Check]) -> frozenset[str]:
    """Requirements cited by at least one of these checks."""
    return frozenset(name for check in checks for name in check.requirements)


def uncovered(checks: Iterable[Check]) -> dict[str, str]:
    """Requirements that no check cites, each with its reason."""
    cited = covered(checks)
    return {name: UNCHECKED.get(name, "nobody has written one yet") for name in every() if name not in cited}
