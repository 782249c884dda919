"""What 3.0.1 cannot say, written out: loops of `event.duration`, several values in one interval, chained lengths.

Every interval then carries its own start and length. Its id is its position through all laps and parts, so it stays
the same at every reading. A loop that never ends, or is very long, is shown as a window that moves with `now`, and what
would become very much is not cut: one event must not fill the memory of who shows it.
"Now" as a start counts from the last modification, because a moving start could not be written out.
"""

import dataclasses
import itertools
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from vtn.rules.compat30.periods import OPEN_END, chained, print_duration
from vtn.rules.layout import Layout, lay_out
from vtn.rules.timeline import PACKED
from vtn.wire.event import read_event
from vtn.wire.interval import END_OF_TIME, parse_date_time, print_date_time

Json = dict[str, Any]

MOST_INTERVALS = 1000
MOST_VALUES = 20_000
MOST_LOOKS = 20_000  # a start that lies ages before the first one is looked for in as many laps
WINDOW = timedelta(days=7)
MICROSECOND = timedelta(microseconds=1)
WHOLE = (Fraction(0),)
IDS = 2**31


@dataclasses.dataclass(frozen=True, slots=True)
class Unrolled:
    """An event's intervals, written out on demand. `parts` are the places where each interval of a lap is cut.

    A loop of more than `most` intervals is shown in part. Nothing is shown from `limit` on.
    """

    layout: Layout
    intervals: Sequence[Json]
    parts: tuple[tuple[Fraction, ...], ...]
    offsets: tuple[int, ...]
    per_lap: int
    most: int
    limit: datetime

    @property
    def total(self) -> int:
        """How many intervals there are in all laps."""
        return self.layout.laps * self.per_lap

    @property
    def whole(self) -> bool:
        """Whether all of them are shown at every reading."""
        return self.layout.laps == 1 or self.total <= self.most

    def fills_a_window(self, count: int) -> bool:
        """Whether a window may show so few intervals: a lap of them, unless laps are very long."""
        return count >= min(self.per_lap, self.most)

    def shown(self, now: datetime) -> list[Json]:
        """The intervals to show at an instant."""
        numbers: Iterator[int] = iter(range(self.total)) if self.whole else self._window(now)
        found = (self.interval(number) for number in numbers)
        return [one for one in found if one is not None]

    def _window(self, now: datetime) -> Iterator[int]:
        """The numbers from `now` on, a week or one lap of them; before the event its first ones, after it its last."""
        anchor, lap = self.layout.anchor, self.layout.lap
        end = self.layout.end
        last = end - min(WINDOW, end - anchor) if end < END_OF_TIME else END_OF_TIME
        since = max(anchor, min(now, last))
        week = since + WINDOW if since < END_OF_TIME - WINDOW else END_OF_TIME
        until = max(week, lap.after(since)) if lap is not None else week
        near = itertools.islice(self.layout.positions(since, until), MOST_LOOKS + 2 * len(self.intervals))
        found = (position for position in near if self._touches(position, since, until))
        numbers = (number for position in found for number in self._numbers(position))
        return itertools.islice(numbers, self.most)

    def _touches(self, position: int, since: datetime, until: datetime) -> bool:
        start, end, _ = self.layout.extent(position)
        return start < until and (end > since or start == end == since)

    def _numbers(self, position: int) -> range:
        lap, index = divmod(position, len(self.intervals))
        first = lap * self.per_lap + self.offsets[index]
        return range(first, first + len(self.parts[index]))

    def interval(self, number: int) -> Json | None:
        """One interval by its number; None when the event ends before it or never gets there."""
        lap, rest = divmod(number, self.per_lap)
        index = bisect_right(self.offsets, rest) - 1
        start, end, _ = self.layout.extent(lap * len(self.intervals) + index)
        cuts, part = self.parts[index], rest - self.offsets[index]
        begin = start + _share(end - start, cuts[part])
        finish = end if part + 1 == len(cuts) else start + _share(end - start, cuts[part + 1])
        if begin >= self.limit or begin == END_OF_TIME or number >= self.total:
            return None
        shown = self.intervals[index]
        if cuts != WHOLE:
            shown = {**shown, "payloads": [_at(payload, cuts[part]) for payload in shown["payloads"]]}
        return _written(shown, number, begin, min(finish, self.limit))


def unrolled(content: Mapping[str, Any]) -> Unrolled | None:
    """What an event looks like written out; None when 3.0.1 can say it as it stands. `content` is a valid 3.1 event."""
    intervals = content.get("intervals") or ()
    several = 0 < sum(map(_pieces, intervals)) <= MOST_VALUES
    if not (several or content.get("duration") is not None or any(chained(intervals))):
        return None
    event = read_event(content)
    layout = lay_out(event, read_at=parse_date_time(event.modification_date_time), seed=None)
    if layout is None:
        return None
    parts = tuple(_parts(one) if several and _divisible(layout, at) else WHOLE for at, one in enumerate(intervals))
    lengths = [len(cuts) for cuts in parts]
    limit = layout.end if event.duration is not None else END_OF_TIME
    plain = all(cuts == WHOLE for cuts in parts) and layout.laps == 1 and not any(chained(intervals))
    if plain and limit >= max(one.finish.after(one.base) for one in layout.placed):
        return None
    offsets, per_lap = tuple(itertools.accumulate(lengths[:-1], initial=0)), sum(lengths)
    return Unrolled(layout, intervals, parts, offsets, per_lap, _most(intervals, lengths), limit)


def _most(intervals: Sequence[Json], lengths: Sequence[int]) -> int:
    """How many intervals of a loop are shown at most: fewer when each says much, but a lap if there is room for one."""
    said = sum(len(one["payloads"]) * count for one, count in zip(intervals, lengths, strict=True))
    return min(MOST_INTERVALS, max(sum(lengths), MOST_VALUES * sum(lengths) // max(1, said)))


def _divisible(layout: Layout, index: int) -> bool:
    """Whether an interval has a length that can be cut."""
    start, end, _ = layout.extent(index)
    return start < end < END_OF_TIME


def _counts(interval: Mapping[str, Any]) -> set[int]:
    """The numbers of values that packed payloads of an interval have."""
    return {len(payload["values"]) for payload in interval["payloads"] if _is_packed(payload)}


def _pieces(interval: Mapping[str, Any]) -> int:
    """How many payloads an interval may become when it is cut; 0 when it needs no cut."""
    return sum(_counts(interval)) * len(interval["payloads"])


def _parts(interval: Mapping[str, Any]) -> tuple[Fraction, ...]:
    """Where an interval is cut so that every packed payload has one value in each part (TR-76, TR-96)."""
    cuts = {Fraction(part, count) for count in _counts(interval) for part in range(count)}
    return tuple(sorted(cuts)) or WHOLE


def _is_packed(payload: Mapping[str, Any]) -> bool:
    return payload["type"] in PACKED and len(payload["values"]) > 1


def _share(length: timedelta, part: Fraction) -> timedelta:
    """A part of a length, by whole microseconds: a multiple of a long one may be more than a timedelta holds."""
    return MICROSECOND * (length // MICROSECOND * part.numerator // part.denominator)


def _written(interval: Mapping[str, Any], number: int, begin: datetime, finish: datetime) -> Json:
    length = OPEN_END if finish == END_OF_TIME else print_duration(finish - begin)
    own = interval.get("intervalPeriod") or {}
    period = {**own, "start": print_date_time(begin), "duration": length}
    return {**interval, "id": number % IDS, "intervalPeriod": period}


def _at(payload: Mapping[str, Any], part: Fraction) -> Json:
    """A payload with the one value that holds in a part of its interval."""
    if not _is_packed(payload):
        return dict(payload)
    values = payload["values"]
    return {**payload, "values": [values[int(part * len(values))]]}
