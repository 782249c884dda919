"""Which profiles a station must hold by the limits that it says are in force: OCPP 1.6J cannot list profiles.

Each profile is judged at an instant at which it should be the highest, a second after it begins or now. The limit that
is told then is the profile's own when it is held; a limit above it says that it is not; one below it, that something
stricter is in force, which says nothing unless it is just what a lower profile of ours has. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.transport.ocpp21.profiles.charging_profiles import ProfileWindow, limit_of, profile_id
from ven_adapters.transport.ocpp21.stations.meter_values import instant

SOON = timedelta(seconds=1)
LEAST_S, MOST_S = 60, 86_400
SHARE = 0.02
STEPS: Mapping[str, float] = {"W": 60.0, "A": 0.3}  # what stations round a limit to


def duration_s(windows: Sequence[ProfileWindow], now: datetime) -> int:
    """For how long to ask, so that the beginning of every window is in it; a day at most."""
    last = max(_judged_at(one, now) for one in windows)
    return min(MOST_S, max(LEAST_S, math.ceil((last - now).total_seconds()) + LEAST_S))


def held(windows: Sequence[ProfileWindow], schedule: Mapping[str, Any], now: datetime) -> dict[int, int]:
    """The levels, by their numbers, of the profiles that may be held; `schedule` is a CompositeSchedule.

    One that another covers, or that begins later than the schedule reaches, is taken to be held.
    """
    start = schedule.get("scheduleStart")
    told = _Told(now if start is None else instant(start), schedule)
    found = {}
    for one in windows:
        at = _judged_at(one, now)
        standing = [other for other in windows if other.directive.start <= at < other.directive.end]
        covered = any(other.level > one.level for other in standing)
        lower = [limit_of(other) for other in standing if other.level < one.level]
        if covered or told.ends_before(at) or _shows(told.limit(at), limit_of(one), lower, one.unit):
            found[profile_id(one.directive.directive_id)] = one.level
    return found


def _judged_at(window: ProfileWindow, now: datetime) -> datetime:
    return max(now, window.directive.start) + SOON


def _shows(told: float | None, own: float, lower: Sequence[float], unit: str) -> bool:
    """Whether a limit that was told fits to a profile's own being in force; None is no limit at all."""

    def is_same(limit: float) -> bool:
        return told is not None and abs(told - limit) <= max(STEPS[unit], SHARE * limit)

    if told is None or is_same(own):
        return told is not None
    return told < own and not any(is_same(limit) for limit in lower)


class _Told:
    """A composite schedule."""

    def __init__(self, start: datetime, schedule: Mapping[str, Any]) -> None:
        self._start, self._duration_s = start, schedule.get("duration")
        self._periods = sorted(schedule["chargingSchedulePeriod"], key=lambda one: int(one["startPeriod"]))

    def ends_before(self, at: datetime) -> bool:
        """Whether an instant lies beyond the schedule's duration."""
        return self._duration_s is not None and (at - self._start).total_seconds() >= self._duration_s

    def limit(self, at: datetime) -> float | None:
        """The limit at an instant, the first one for one before the start; None where there is none."""
        into_s = max(0.0, (at - self._start).total_seconds())
        return next((float(one["limit"]) for one in reversed(self._periods) if one["startPeriod"] <= into_s), None)
