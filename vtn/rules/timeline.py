"""When an event's intervals happen, whether it is over, and which reports it wants when.

Both sides use it: the VTN to answer `GET /events?active=true`, a VEN to act and to report. Windows are half open, in
UTC. Every function is pure: "now" is an argument, and so is the seed of randomizeStart.
Clauses: User Guide 7.3-7.5, 7.9, 8.6-8.8; INT-01..13, EVT-12..17, EVT-25, RDS-03..11; readings TR-54..55, 76, 91..98.
"""

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from vtn.rules.layout import Layout, first_start, lay_out, span
from vtn.wire.event import Event
from vtn.wire.interval import END_OF_TIME, FOREVER, parse_date_time
from vtn.wire.values import ReportDescriptor, ValuesMap

MOST_COVERED = 4096
MOST_DUE = 1024

_CAPACITIES = (
    "SUBSCRIPTION",
    "RESERVATION",
    "RESERVATION_FEE",
    "AVAILABLE",
    "AVAILABLE_PRICE",
    "AVAILABLE_FEE",
    "LIMIT",
)
PACKED = frozenset(
    {
        "SIMPLE",
        "PRICE",
        "PRICE_ALTERNATE",
        "EXPORT_PRICE",
        "GHG",
        "CHARGE_STATE_SETPOINT",
        "DISPATCH_SETPOINT",
        "DISPATCH_SETPOINT_RELATIVE",
        "CONTROL_LEVEL_OFFSET",
        "CONTROL_LEVEL_OFFSET_PERCENT",
    }
    | {f"{side}CAPACITY_{what}" for side in ("IMPORT_", "EXPORT_", "") for what in _CAPACITIES}
)
"""Types that say one thing per interval: n values of them split it into n equal parts (TR-76, TR-96)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """An interval in absolute time: [start, end), UTC. `position` counts intervals from 0 through all loops."""

    start: datetime
    end: datetime
    interval_id: int
    position: int
    payloads: tuple[ValuesMap, ...]
    event_id: str
    program_id: str
    priority: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class DueReport:
    """A report to send at `at`, covering these (whole) intervals; `number` counts the descriptor's reports from 0.

    The intervals are worked out anew each time that they are asked for: of many reports most wait for hours.
    """

    at: datetime
    number: int
    windows: Iterable[Window]


def windows(event: Event, *, read_at: datetime, since: datetime, until: datetime, seed: str | None) -> Iterator[Window]:
    """Every window that overlaps [since, until), in interval order, packed values split into parts.

    `read_at` is the instant that a start of 0001-01-01, or none, stands for. `seed` None leaves randomizeStart aside.
    Windows are whole, not cut at `since` or `until`. An endless set yields an endless iterator only if `until` is.
    """
    layout = lay_out(event, read_at=read_at, seed=seed)
    if layout is None:
        return
    for position in layout.positions(since, until):
        yield from (part for part in _parts(event, layout, position) if part.end > since and part.start < until)


def transpired(event: Event, now: datetime) -> bool:
    """Whether `GET /events?active=true` leaves the event out: its life span is over (EVT-12, EVT-15)."""
    return lifespan_end(event) <= now


def lifespan_end(event: Event) -> datetime:
    """When the event is over for everyone; END_OF_TIME when never.

    A start of "now" counts from the last modification, which is when clients read it. randomizeStart moves clients'
    own clocks only. A request for reports without intervals lives until it is deleted or its own duration runs out
    (TR-55); what has no timing at all never ends (EVT-17).
    """
    written_at = parse_date_time(event.modification_date_time)
    layout = lay_out(event, read_at=written_at, seed=None)
    if layout is not None:
        return layout.end
    period, start = event.interval_period, first_start(event, written_at)
    if event.report_descriptors:
        fixed = start != written_at and event.duration is not None
        return span(event.duration).after(start) if fixed and event.duration is not None else END_OF_TIME
    length = event.duration if event.duration is not None else period.duration if period is not None else None
    return (span(length) if length is not None else FOREVER).after(start)


def is_ad_hoc(event: Event, descriptor: ReportDescriptor) -> bool:
    """True when the VEN reports whenever it likes: frequency 0, or no interval, real or implied, to report on."""
    return descriptor.frequency == 0 or lay_out(event, read_at=END_OF_TIME, seed=None, implied=True) is None


def due_reports(
    event: Event,
    descriptor: ReportDescriptor,
    *,
    read_at: datetime,
    since: datetime,
    until: datetime,
    seed: str | None,
) -> list[DueReport]:
    """The reports due in [since, until), ascending; of those due before `read_at` only the last, due at `read_at`.

    Historical: due at the end of interval s, covering s-n+1..s. Forecast: due at the start of s, covering s..s+n-1
    (TR-91). A looping set asks for the same reports in every lap. Intervals are taken to be in ascending order.
    """
    layout = lay_out(event, read_at=read_at, seed=seed, implied=True)
    if layout is None or descriptor.frequency == 0:
        return []
    schedule = _Schedule.of(event, layout, descriptor)
    missed = [row[i - 1] for row in schedule.rows if (i := bisect_right(row, read_at, key=schedule.at)) > 0]
    due = [schedule.due(max(missed), read_at)] if missed and since <= read_at < until else []
    for row in schedule.rows:
        first = max(bisect_right(row, read_at, key=schedule.at), bisect_left(row, since, key=schedule.at))
        last = min(bisect_left(row, until, key=schedule.at), first + MOST_DUE)
        due += [schedule.due(position, schedule.at(position)) for position in row[first:last]]
    return sorted(due, key=lambda report: (report.at, report.number))


@dataclasses.dataclass(frozen=True, slots=True)
class _Schedule:
    """The positions on which a descriptor wants reports: arithmetic rows, because a row may be endless."""

    event: Event
    layout: Layout
    rows: Sequence[range]
    last: int
    covered: int
    historical: bool

    @classmethod
    def of(cls, event: Event, layout: Layout, descriptor: ReportDescriptor) -> "_Schedule":
        last, in_set = layout.last_position(), len(layout.placed)
        whole = min(in_set, last + 1)
        historical = descriptor.historical is not False
        covered = max(1, _or_default(descriptor.num_intervals, whole))
        first = _or_default(descriptor.start_interval, whole - 1 if historical else 0)
        step = max(1, _or_default(descriptor.frequency, covered))
        repeat = 1 if descriptor.repeat is None else descriptor.repeat
        most = None if repeat < 0 else repeat
        rows = [range(first, last + 1, step)[:most]]
        if event.intervals and layout.laps > 1 and most is not None:
            rows = [range(offset, last + 1, in_set) for offset in range(first, in_set, step)[:most]]
        return cls(event, layout, rows, last, min(covered, MOST_COVERED), historical)

    def at(self, position: int) -> datetime:
        start, end, _ = self.layout.extent(position)
        return min(end, self.layout.end) if self.historical else start

    def due(self, position: int, at: datetime) -> DueReport:
        first = max(0, position - self.covered + 1) if self.historical else position
        final = position if self.historical else min(self.last, position + self.covered - 1)
        number = sum(bisect_left(row, position) for row in self.rows)
        return DueReport(at, number, _Covered(self.event, self.layout, range(first, final + 1)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Covered:
    """Intervals by their positions; those without length are left out."""

    event: Event
    layout: Layout
    positions: range

    def __iter__(self) -> Iterator[Window]:
        whole = (_whole(self.event, self.layout, one) for one in self.positions)
        return (window for window in whole if window.start < window.end)


def _or_default(value: int | None, default: int) -> int:
    return default if value is None or value < 0 else value


def _whole(event: Event, layout: Layout, position: int) -> Window:
    start, end, interval = layout.extent(position)
    label, payloads = (interval.id, interval.payloads) if interval is not None else (position, ())
    end = min(end, layout.end)
    return Window(start, end, label, position, payloads, event.id, event.program_id, event.priority)


def _parts(event: Event, layout: Layout, position: int) -> Iterator[Window]:
    """The interval cut wherever one of its packed payloads changes value, and at the event's end."""
    whole = _whole(event, layout, position)
    if not any(_is_packed(payload) for payload in whole.payloads):
        if whole.start < whole.end:
            yield whole
        return
    start, end, _ = layout.extent(position)
    changes = [_changes(start, end, len(payload.values) if _is_packed(payload) else 1) for payload in whole.payloads]
    edges = sorted({start, end}.union(*changes))
    for begin, finish in pairwise(edges):
        payloads = tuple(_at(payload, begin, own) for payload, own in zip(whole.payloads, changes, strict=True))
        if begin < (finish := min(finish, whole.end)):
            yield dataclasses.replace(whole, start=begin, end=finish, payloads=payloads)


def _is_packed(payload: ValuesMap) -> bool:
    return len(payload.values) > 1 and payload.type in PACKED


def _changes(start: datetime, end: datetime, count: int) -> list[datetime]:
    return [start + (end - start) * part / count for part in range(count)]


def _at(payload: ValuesMap, at: datetime, changes: Sequence[datetime]) -> ValuesMap:
    if len(changes) == 1:
        return payload
    return payload.model_copy(update={"values": (payload.values[bisect_right(changes, at) - 1],)})
