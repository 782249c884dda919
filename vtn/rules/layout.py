"""An event's interval set laid on the calendar: where every interval of every loop starts and ends, by arithmetic.

Nothing is generated ahead: interval `position` (counted from 0 through all loops) is computed when asked for, so a
tariff that loops for ever costs no more than one day. Knows nothing of payloads; `timeline` reads those.
Clauses: User Guide 7.3 and 7.4; INT-03..INT-12, TR-95, TR-97, TR-98.
"""

import dataclasses
import functools
import hashlib
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from vtn.wire.event import Event
from vtn.wire.interval import (
    BEGINNING,
    END_OF_TIME,
    FOREVER,
    Interval,
    IntervalPeriod,
    Span,
    parse_duration,
    parse_start,
)

MOST_LAPS = 2**52
MOST_POSITIONS = 2**60
FEW_LAPS = 1_000
NO_TIME = Span()

LONGEST_REMEMBERED = 64
_remembered = functools.lru_cache(maxsize=4096)(parse_duration)


def span(text: str) -> Span:
    """Read a duration. One that is longer than anybody needs is not remembered: clients choose their length."""
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else parse_duration(text)


def plus(first: Span, second: Span) -> Span:
    """Two durations, one after the other."""
    if first.infinite or second.infinite:
        return FOREVER
    try:
        return Span(first.months + second.months, first.exact + second.exact)
    except OverflowError:
        return FOREVER


def times(length: Span, count: int) -> Span:
    """A duration `count` times over."""
    try:
        return Span(length.months * count, length.exact * count, length.infinite)
    except OverflowError:
        return FOREVER


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """One interval of the first lap: it runs from `base` + `begin` to `base` + `finish`."""

    base: datetime
    begin: Span
    finish: Span
    interval: Interval | None


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The set of intervals, the duration of one lap (None: it does not loop) and where the event ends."""

    placed: tuple[Placed, ...]
    lap: Span | None
    end: datetime
    laps: int
    lead: timedelta

    @property
    def anchor(self) -> datetime:
        """The start of the first interval."""
        return self.placed[0].begin.after(self.placed[0].base)

    def extent(self, position: int) -> tuple[datetime, datetime, Interval | None]:
        """Start and end of an interval, not yet cut at the event's end."""
        lap, index = divmod(position, len(self.placed))
        one = self.placed[index]
        ahead = times(self.lap, lap) if self.lap is not None else NO_TIME
        return plus(ahead, one.begin).after(one.base), plus(ahead, one.finish).after(one.base), one.interval

    def lap_start(self, lap: int) -> datetime:
        """When a lap starts."""
        return self.anchor if self.lap is None else times(self.lap, lap).after(self.anchor)

    def positions(self, since: datetime, until: datetime) -> Iterator[int]:
        """Every position whose interval may touch [since, until), ascending."""
        count, laps = len(self.placed), range(self.laps)
        first = bisect_right(laps, since, key=lambda lap: self.lap_start(lap + 1)) if self.laps > 1 else 0
        horizon = Span(exact=self.lead).after(until)
        last = bisect_left(laps, horizon, lo=max(first, 1), key=self.lap_start) if self.laps > 1 else 1
        if last - first <= FEW_LAPS:
            return iter(range(first * count, last * count))
        # An interval that lies centuries beside the others touches in other laps than they.
        return heapq.merge(*(self._touching(index, since, until) for index in range(count)))

    def _touching(self, index: int, since: datetime, until: datetime) -> range:
        """The positions of one interval of the set, lap by lap, that touch [since, until); none without length."""
        one = self.placed[index]
        if one.begin == one.finish:
            return range(0)
        row = range(index, self.laps * len(self.placed), len(self.placed))
        first = bisect_right(row, since, key=lambda position: self.extent(position)[1])
        last = bisect_left(row, until, key=lambda position: self.extent(position)[0])
        return row[first:last]

    def last_position(self) -> int:
        """The last position that starts before the event ends; -1 when none does."""
        count = len(self.placed)
        for position in range(self.laps * count - 1, (self.laps - 1) * count - 1, -1):
            start, end, _ = self.extent(position)
            if start < self.end and start < end:
                return min(position, MOST_POSITIONS)
        return min((self.laps - 1) * count - 1, MOST_POSITIONS)


def lay_out(event: Event, *, read_at: datetime, seed: str | None, implied: bool = False) -> Layout | None:
    """Place the event's intervals; None when it has none.

    `implied`: an event without intervals stands for an endless row of its own intervalPeriod (User Guide 7.5).
    """
    intervals: Sequence[Interval | None] = event.intervals or ((None,) if implied and _has_length(event) else ())
    if not intervals:
        return None
    placed = _place(event, intervals, read_at, seed)
    anchor = placed[0].begin.after(placed[0].base)
    set_end = max(one.finish.after(one.base) for one in placed)
    lap = _lap(placed, anchor, set_end)
    end = span(event.duration).after(anchor) if event.duration is not None else set_end
    if implied and not event.intervals and event.duration is None:
        end = END_OF_TIME
    lead = anchor - min(one.begin.after(one.base) for one in placed)
    if lap is None or end <= set_end:
        return Layout(placed, None, end, 1, lead)
    laps = bisect_left(range(MOST_LAPS), end, key=lambda count: times(lap, count).after(anchor))
    return Layout(placed, lap, end, laps, lead)


def first_start(event: Event, read_at: datetime) -> datetime:
    """The event's own start; 0001-01-01 and nothing at all mean the instant at which it was read."""
    return _own_start(event.interval_period) or read_at


def unit_hash(text: str) -> float:
    """A number in [0, 1) fixed by a text, uniform over texts."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def _has_length(event: Event) -> bool:
    length = _length(event.interval_period, None)
    return not length.infinite and length.after(BEGINNING) > BEGINNING


def _own_start(period: IntervalPeriod | None) -> datetime | None:
    return parse_start(period.start) if period is not None and period.start is not None else None


def _length(period: IntervalPeriod | None, default: IntervalPeriod | None) -> Span:
    """An interval without a duration anywhere is open-ended (TR-98)."""
    for part in (period, default):
        if part is not None and part.duration is not None:
            return span(part.duration)
    return FOREVER


def _place(
    event: Event, intervals: Sequence[Interval | None], read_at: datetime, seed: str | None
) -> tuple[Placed, ...]:
    """Walk the set: an own start moves the base, everything else follows the interval before it."""
    default = event.interval_period
    base, offset, shift = first_start(event, read_at), NO_TIME, timedelta(0)
    placed = []
    for index, interval in enumerate(intervals):
        period = interval.interval_period if interval is not None else None
        start = _own_start(period)
        if index == 0 or start is not None:
            shift = _shift(event, period, index, base if start is None else start, seed, shift)
            base, offset = Span(exact=shift).after(base if start is None else start), NO_TIME
        finish = plus(offset, _length(period, default))
        placed.append(Placed(base, offset, finish, interval))
        offset = finish
    return tuple(placed)


def _shift(
    event: Event, period: IntervalPeriod | None, index: int, start: datetime, seed: str | None, previous: timedelta
) -> timedelta:
    """How far randomizeStart moves this start: uniform in +/- its duration, the same at every reading (INT-08)."""
    text = period.randomize_start if period is not None else None
    if text is None and index == 0 and event.interval_period is not None:
        text = event.interval_period.randomize_start
    if text is None or seed is None:
        return previous
    most = abs(span(text).after(start) - start)
    return (2 * unit_hash(f"{seed}\n{event.id}\n{index}") - 1) * most


def _lap(placed: Sequence[Placed], anchor: datetime, set_end: datetime) -> Span | None:
    """The length of one lap, None when the set cannot loop: it never ends, or it takes no time."""
    last = placed[-1]
    chained = all(one.base == placed[0].base for one in placed)
    lap = last.finish if chained else Span(exact=set_end - anchor)
    forward = lap.months >= 0 and lap.exact >= timedelta(0) and (lap.months > 0 or lap.exact > timedelta(0))
    return lap if forward and not lap.infinite and set_end < END_OF_TIME else None
