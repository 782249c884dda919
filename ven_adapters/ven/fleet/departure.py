"""When a car leaves next: a week of local times as instants, clock changes included. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ven_adapters.ven.fleet.columns import ALWAYS_S

Rhythm = tuple[str, tuple[time | None, ...]]
"""A time zone and the weekly departures in it: many cars share one."""


def next_departure(timezone: str, ready_by: Sequence[time | None], now: datetime) -> datetime | None:
    """The first departure after `now` (UTC), or None when the week has none.

    Local wall time: a time that a clock change skips is read with the offset before the change, one that comes twice is
    the first of the two, because too early is the safe side.
    """
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    for days in range(-1, 9):
        day = today + timedelta(days=days)
        ready = ready_by[day.weekday()]
        if ready is not None:
            departure = datetime.combine(day, ready, zone).astimezone(UTC)
            if departure > now:
                return departure
    return None


def departure_s(rhythm: Rhythm, now: datetime) -> float:
    """The next departure of a rhythm, epoch seconds; ALWAYS_S when there is none."""
    departure = next_departure(rhythm[0], rhythm[1], now)
    return ALWAYS_S if departure is None else departure.timestamp()
