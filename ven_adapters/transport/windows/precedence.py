"""Which of a driver's decisions is in force: the one that was made last. Pure.

A decision has two instants: when its sender says that it was made (or signed), and when we heard of it. The sender's
instant orders decisions, so that one delivered late does not undo a newer one. It is never taken to lie beyond our own
clock at receipt, so that a clock that runs ahead, or a lie, keeps out nothing that the driver decides later. At equal
instants the one heard last counts. A decision that is overtaken is recorded and does not act.

When our own clock was set back, it tells nothing of the order of what we heard before and of what we hear now. Then
whoever leaves has left.

Both senders of decisions go by this rule: the enrolment API with its signed webhooks, and what backends push.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from ven_adapters.contract import DriverChoice
from ven_adapters.lifecycle.evidence import OLDEST_BELIEVABLE_YEAR

_OUT_OR_IN = (DriverChoice.OPT_OUT, DriverChoice.OPT_IN)
_OVERTAKERS: Mapping[DriverChoice, tuple[DriverChoice, ...]] = {
    DriverChoice.OPT_OUT: _OUT_OR_IN,
    DriverChoice.OPT_IN: _OUT_OR_IN,
    DriverChoice.BOOST: (DriverChoice.BOOST,),
    DriverChoice.CONSENT_WITHDRAWN: (DriverChoice.CONSENT_WITHDRAWN,),
}


def overtakers(choice: DriverChoice, *, ends: bool) -> tuple[DriverChoice, ...]:
    """The choices of which a newer one is a newer word on the same matter; `ends`: the choice has an end of its own."""
    also = () if ends or choice is not DriverChoice.BOOST else (DriverChoice.OPT_IN,)
    return (*_OVERTAKERS[choice], *also)


def ended_by_opt_in(choice: DriverChoice, *, ends: bool) -> bool:
    """Whether an opt-in made later ends a choice: an opt-out, and a boost until further notice, for that is notice."""
    return choice is DriverChoice.OPT_OUT or (choice is DriverChoice.BOOST and not ends)


# By these a driver takes the car to himself.
LEAVES = frozenset({DriverChoice.OPT_OUT, DriverChoice.BOOST, DriverChoice.CONSENT_WITHDRAWN})

# A signature's timestamp counts whole seconds: what was signed within one may have been decided at its end.
SIGNED_WITHIN = timedelta(seconds=1)


def decided_at(told_at: datetime, heard_at: datetime) -> datetime:
    """The instant by which a decision is ordered. A date in 1970 is what a sender without a clock says: it is none."""
    return heard_at if told_at.year < OLDEST_BELIEVABLE_YEAR else min(told_at, heard_at)


def signed_at(timestamp_s: int, real_now_s: float, heard_at: datetime) -> datetime:
    """When a signed decision was made at the latest: our clock, less the time for which the signature was under way.

    `timestamp_s` is the signature's Unix time and `real_now_s` real time; our own clock may be a hurried one.
    """
    late_s = real_now_s - (timestamp_s + SIGNED_WITHIN.total_seconds())
    return heard_at - timedelta(seconds=max(0.0, late_s))


def is_overtaken(decided: datetime, known: Iterable[datetime | None], now: datetime, *, leaves: bool = False) -> bool:
    """Whether one of the decisions known on the same matter is newer.

    `known` holds the instants by which they are ordered. One ahead of our clock, which was set back meanwhile, counts
    as of now; beside it no order is known, and a decision by which a driver `leaves` is not overtaken.
    """
    instants = [at for at in known if at is not None]
    if leaves and any(at > now for at in instants):
        return False
    return any(min(at, now) > decided for at in instants)
