"""Intervals, and the arithmetic of their times: `now`, infinity and calendar durations without overflow.

`0001-01-01` in three spellings means now (TR-27); `P9999Y` means without end (TR-97). Sums that leave the calendar stop
at its edges instead of failing, because a VTN stores what clients write and must be able to compare it.
"""

import calendar
import dataclasses
from datetime import UTC, datetime, timedelta

import pydantic

from vtn.wire.model import DURATION, NOW_LITERALS, Duration, Int32, Many, Omittable, Start, WireModel
from vtn.wire.values import ValuesMap

INFINITE_YEARS = 9999
MOST_DIGITS = 18
BEGINNING = datetime.min.replace(tzinfo=UTC)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class IntervalPeriod(WireModel):
    """When an interval starts and how long it lasts; every part may be left to a default elsewhere."""

    start: Omittable[Start] = None
    duration: Omittable[Duration] = None
    randomize_start: Omittable[Duration] = pydantic.Field(None, alias="randomizeStart")


class Interval(WireModel):
    """A window and its payloads; `id` is the client's label, not a sequence number (INT-01)."""

    id: Int32
    interval_period: Omittable[IntervalPeriod] = pydantic.Field(None, alias="intervalPeriod")
    payloads: Many[ValuesMap]


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A duration, split into calendar months and exact time; `infinite` outranks both."""

    months: int = 0
    exact: timedelta = timedelta(0)
    infinite: bool = False

    def __bool__(self) -> bool:
        return self.infinite or self.months != 0 or bool(self.exact)

    def after(self, start: datetime) -> datetime:
        """The instant this long after `start` (UTC), held inside the calendar."""
        if self.infinite:
            return END_OF_TIME
        try:
            return _add_months(start, self.months) + self.exact
        except (OverflowError, ValueError):
            return END_OF_TIME if self.months > 0 or self.exact > timedelta(0) else BEGINNING


FOREVER = Span(infinite=True)


def _add_months(start: datetime, months: int) -> datetime:
    if not months:
        return start
    years, month0 = divmod(start.month - 1 + months, 12)
    year = start.year + years
    last_day = calendar.monthrange(year, month0 + 1)[1]
    return start.replace(year=year, month=month0 + 1, day=min(start.day, last_day))


def parse_duration(text: str) -> Span:
    """Read a duration that matches the schema's pattern; ValueError otherwise."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 duration: {text!r}")
    sign = -1 if match[1] else 1
    years, months, amount, hours, minutes = (_count(match[part]) for part in (2, 3, 4, 6, 7))
    if sign > 0 and years >= INFINITE_YEARS:
        return FOREVER
    days = amount * 7 if match[5] == "W" else amount
    try:
        exact = timedelta(days=days, hours=hours, minutes=minutes, seconds=float(match[8] or 0))
    except OverflowError:
        return FOREVER if sign > 0 else Span(exact=timedelta.min)
    return Span(sign * (12 * years + months), sign * exact)


def _count(digits: str | None) -> int:
    """A part of a duration; one with more digits than any calendar needs stays beyond it, and is not refused."""
    return int((digits or "").lstrip("0")[:MOST_DIGITS] or 0)


def parse_start(text: str) -> datetime | None:
    """Read the start of a period as UTC; None means now."""
    return None if text in NOW_LITERALS else parse_date_time(text)


def parse_date_time(text: str) -> datetime:
    """Read an RFC 3339 date-time as UTC, held inside the calendar; a leap second counts as the second before it."""
    try:
        return datetime.fromisoformat(text.upper().replace(":60", ":59")).astimezone(UTC)
    except OverflowError:
        return BEGINNING if text.startswith("0001") else END_OF_TIME


def print_date_time(at: datetime) -> str:
    """Write an instant as the VTN writes its own: RFC 3339, UTC, microseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
