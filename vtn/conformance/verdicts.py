"""How one cause that many checks met is accused once: the others are blocked by it."""

from collections.abc import Iterable, Sequence

from vtn.checking.verdict import Cause, CheckResult, Outcome
from vtn.conformance.check import STRENGTH, ConformanceCheck
from vtn.conformance.parties.exchange import Exchange

NOT_READABLE = "an answer that the check cannot read"
Result = CheckResult[ConformanceCheck, Exchange]


def accused_once(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results with one accusation a cause: of the failures that share a cause one stays, the others are blocked.

    A result is only ever blocked by one that has failed, so that whatever is blocked leads to an accusation.
    """
    found = list(results)
    for place, result in enumerate(found):
        if result.outcome is not Outcome.FAILED or result.cause is None:
            continue
        accuser = _accuser(result, result.cause, found)
        if accuser is not result:
            found[place] = result.blocked(f"{accuser.check.requirements[0]} ({accuser.check.name})")
    return tuple(found)


def _accuser(result: Result, cause: Cause, results: Iterable[Result]) -> Result:
    """The failed result that accuses a cause: a check of an owner, the strongest and closest one, else the first."""
    failed = [one for one in results if one.outcome is Outcome.FAILED]
    owning = [one for one in failed if _nearness(one.check, cause) is not None and _about(one, cause)]
    if owning:
        best = min(owning, key=lambda one: (STRENGTH.index(one.check.level), _nearness(one.check, cause)))
        if cause.general or _nearness(result.check, cause) is None:
            return best
        return result
    if not cause.general:
        return result
    sharing = [one for one in failed if one.cause is not None and one.cause.key == cause.key]
    return min(sharing, key=lambda one: STRENGTH.index(one.check.level))


def _nearness(check: ConformanceCheck, cause: Cause) -> int | None:
    """How close a check is to a cause, by the first of its owners that the check cites; None when it cites none."""
    places = [place for place, owner in enumerate(cause.owners) if owner in check.requirements]
    return min(places) if places else None


def _about(result: Result, cause: Cause) -> bool:
    """Whether a failure may speak for a cause: it has the same one, or none but its own claim."""
    return result.cause is None or result.cause.key == cause.key
