"""An event of 3.1 as eiEvents for one VEN of 2.0b.

2.0b wants intervals that follow each other without gaps, and has no word for loops, packed values, "now" or "without
end" but `PT0S`. So the event is laid on the calendar by `rules.timeline`; loops are written out for a week ahead,
anew each day; gaps are filled with what asks for nothing, and where a signal has no such value the event is cut in
several. Load events get a SIMPLE signal beside theirs, so that VENs which know nothing else act; prices alone do not,
for they would shed all day. Everything is a function of its arguments: the same event at the same time gives the same
eiEvent.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from vtn.oadr20b.codec.elements import duration as parse_length
from vtn.oadr20b.codec.messages import ZERO, EiEvent, EiSignal, EiTarget, ItemBase, SignalInterval
from vtn.oadr20b.mapping.signals import (
    ALERT_LEVELS,
    ALERTS,
    CAPACITY,
    DOWN,
    KEEPS_LAST,
    KILO_UNITS,
    LEVELS,
    NEUTRAL,
    PERCENT,
    SETPOINT,
    UP,
    SignalRule,
    SignalUnit,
    item_of,
)
from vtn.rules.layout import lay_out
from vtn.rules.timeline import Window, windows
from vtn.wire.event import Event
from vtn.wire.interval import BEGINNING, END_OF_TIME
from vtn.wire.values import ValuesMap

HORIZON = timedelta(days=7)
MOST_INTERVALS = 1_000
SIMPLE = UP["SIMPLE", "level"]
LEVEL = 1
NO_ATTRIBUTES: Mapping[str, Any] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramFacts:
    """What of a program concerns its events: `attributes` by type, the first value of each."""

    program_id: str
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    targets: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Mapping[str, Any]) -> "ProgramFacts":
        """Of a program as the VTN returns it; attributes that are not as they must be are left out."""
        attributes = {
            one["type"]: one["values"][0]
            for one in program.get("attributes") or ()
            if isinstance(one, dict) and isinstance(one.get("type"), str) and one.get("values")
        }
        named = tuple(one for one in program.get("targets") or () if isinstance(one, str))
        return cls(str(program["id"]), attributes, named)

    @property
    def market_context(self) -> str:
        """The URI of the program in 2.0b."""
        told = self.attributes.get("X_20B_MARKET_CONTEXT")
        return told if isinstance(told, str) and told else f"urn:openadr3:program:{self.program_id}"

    @property
    def response_required(self) -> str:
        """Whether VENs are to answer; `always` unless the program says `never`."""
        return "never" if self.attributes.get("X_20B_RESPONSE_REQUIRED") == "never" else "always"

    @property
    def level(self) -> int | None:
        """The SIMPLE level that stands for the program's load events and alerts; None when it says none."""
        told = self.attributes.get("X_20B_SIMPLE_LEVEL")
        return told if isinstance(told, int) and told in LEVELS else None

    def length(self, name: str) -> timedelta:
        """A duration among the attributes; none when there is none that can be read."""
        told = self.attributes.get(name)
        try:
            return max(ZERO, parse_length(told)) if isinstance(told, str) else ZERO
        except ValueError:
            return ZERO


@dataclasses.dataclass(frozen=True, slots=True)
class EventsDown:
    """What a VEN is told of an event: the eiEvents, and the payload types that 2.0b has no word for."""

    events: tuple[EiEvent, ...]
    untold: frozenset[str] = frozenset()


def events_down(
    event: Event,
    program: ProgramFacts,
    targets: tuple[EiTarget, ...],
    *,
    first_seen: datetime,
    now: datetime,
    nameplate_kw: float | None = None,
) -> EventsDown:
    """The eiEvents for a VEN, in order of time; none when nothing of the event can be told or it has no length.

    `first_seen` is when the event was read first: what begins "now" begins then. Status, modification number and
    current value are left to `present`.
    """
    steps = _steps(event, first_seen, now)
    if not steps:
        return EventsDown(())
    described = {one.payload_type: one for one in event.payload_descriptors or ()}
    columns, untold, comment = [], set(), ""
    for name in dict.fromkeys(payload.type for step in steps for payload in step.payloads):
        if name.startswith("X_20B_") and name not in DOWN:
            continue
        if name.startswith(ALERTS):
            level = program.level if program.level is not None else ALERT_LEVELS.get(name, LEVEL)
            columns.append(_Column((name,), SIMPLE, None, lambda _, level=level: float(level)))
            comment = comment or _text_of(steps, name)
            continue
        said = described.get(name)
        column = _column(name, said.units if said else None, said.currency if said else None, nameplate_kw)
        if column is None:
            untold.add(name)
        else:
            columns.append(column)
    if not columns:
        return EventsDown((), frozenset(untold))
    columns = _with_simple(columns, program)
    shift = _random_start(event, steps)
    runs = _runs(steps, columns)
    made = []
    for number, run in enumerate(runs, start=1):
        suffix = f"-{number}" if len(runs) > 1 else ""
        made.append(_ei_event(event, program, targets, columns, run, (f"{event.id}{suffix}", shift, comment)))
    return EventsDown(tuple(made), frozenset(untold))


def body_hash(event: EiEvent) -> str:
    """What of an event makes a new modification number when it changes."""
    plain = dataclasses.replace(event, modification=0, status="", created=BEGINNING)
    return hashlib.sha256(repr(plain).encode()).hexdigest()


def present(event: EiEvent, modification: int, now: datetime, *, cancelled: bool = False) -> EiEvent:
    """An event as it is told now: its modification number, status and current values."""
    status = "cancelled" if cancelled else status_at(event, now)
    signals = tuple(dataclasses.replace(one, current_value=_current(one, status, now)) for one in event.signals)
    return dataclasses.replace(event, modification=modification, status=status, signals=signals)


def status_at(event: EiEvent, now: datetime) -> str:
    """`far`, `near` while it ramps up, `active`, or `completed`."""
    if now >= ends_at(event):
        return "completed"
    if now >= event.start:
        return "active"
    return "near" if event.ramp_up and now >= event.start - event.ramp_up else "far"


def ends_at(event: EiEvent) -> datetime:
    """When the last VEN is through with it; never, for an event without an end."""
    if event.duration == ZERO:
        return END_OF_TIME
    try:
        return event.start + event.duration + event.start_after
    except OverflowError:
        return END_OF_TIME


def _current(signal: EiSignal, status: str, now: datetime) -> float:
    if status != "active":
        return 0.0
    for one in signal.intervals:
        if one.start <= now and (one.duration == ZERO or now < one.start + one.duration):
            return one.value
    return 0.0


# --- laying out -------------------------------------------------------------------------------------------------------


def _steps(event: Event, first_seen: datetime, now: datetime) -> list[Window]:
    """The event's windows in order; loops a week ahead from the beginning of today."""
    layout = lay_out(event, read_at=first_seen, seed=None)
    if layout is None:
        return []
    since, until = BEGINNING, END_OF_TIME
    if layout.laps > 1:
        since = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        until = since + HORIZON
    found = windows(event, read_at=first_seen, since=since, until=until, seed=None)
    steps = [one for one in itertools.islice(found, MOST_INTERVALS) if one.start < one.end]
    return sorted(steps, key=lambda one: (one.start, one.end))


def _random_start(event: Event, steps: Sequence[Window]) -> timedelta:
    """The event's randomizeStart, on its period or on its first interval."""
    periods = [event.interval_period, *(one.interval_period for one in (event.intervals or ())[:1])]
    texts = [one.randomize_start for one in periods if one is not None and one.randomize_start]
    if not texts or not steps:
        return ZERO
    try:
        return abs(parse_length(texts[-1]))
    except ValueError:
        return ZERO


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    """One signal to be: the payload types that fill it, and how their numbers are written."""

    reads: tuple[str, ...]
    rule: SignalRule
    item: ItemBase | None
    convert: Any

    @property
    def neutral(self) -> float | None:
        """What asks for nothing; None where nothing does."""
        return NEUTRAL.get(self.rule.kind)

    @property
    def always(self) -> bool:
        """Whether it has a value where the event says nothing."""
        return self.neutral is not None or self.rule.kind in KEEPS_LAST


def _column(name: str, units: str | None, currency: str | None, nameplate_kw: float | None) -> _Column | None:
    """How a payload type is told; None when 2.0b has no word for it, or none for its units."""
    if name == "OLS" or (name == "DISPATCH_SETPOINT" and units == PERCENT):
        return _Column((name,), CAPACITY, None, float)
    factor = KILO_UNITS.get((units or "KW").upper())
    if name == "IMPORT_CAPACITY_LIMIT" and factor is not None:
        if nameplate_kw:
            return _Column((name,), CAPACITY, None, lambda kw: min(1.0, round(kw * factor / nameplate_kw, 4)))
        return _Column((name,), SETPOINT, item_of(SETPOINT, "KW", ""), lambda kw: round(kw * factor, 9))
    rule = DOWN.get(name)
    in_kilo = rule is not None and rule.unit in {SignalUnit.POWER, SignalUnit.ENERGY}
    if rule is None or (in_kilo and factor is None):
        return None
    if in_kilo:
        return _Column((name,), rule, item_of(rule, units or "", ""), lambda value: round(value * factor, 9))
    return _Column((name,), rule, item_of(rule, units or "", currency or ""), float)


def _with_simple(columns: list[_Column], program: ProgramFacts) -> list[_Column]:
    """A SIMPLE signal first, where the event asks for load and has none."""
    load = tuple(name for one in columns if one.rule.load for name in one.reads)
    if not load or any(one.rule is SIMPLE for one in columns):
        return columns
    level = float(program.level if program.level is not None else LEVEL)
    return [_Column(load, SIMPLE, None, lambda _: level), *columns]


def _value(column: _Column, payloads: Mapping[str, ValuesMap]) -> float | None:
    """What a window says for a column; None when it says nothing, or no number."""
    for name in column.reads:
        values = payloads[name].values if name in payloads else ()
        if name.startswith(ALERTS) and name in payloads:
            return float(column.convert(None))
        for value in values[:1]:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(column.convert(float(value)))
    return None


_Step = tuple[datetime, datetime, Mapping[int, float]]
"""Start, end, and the value of each column that has one, by its place."""


def _runs(steps: Iterable[Window], columns: Sequence[_Column]) -> list[list[_Step]]:
    """The windows as runs without gap or overlap, in each of which the same columns have values or need none."""
    lanes: list[list[_Step]] = []
    needed = frozenset(place for place, one in enumerate(columns) if not one.always)
    for step in steps:
        payloads = {one.type: one for one in step.payloads}
        told = {place: value for place, one in enumerate(columns) if (value := _value(one, payloads)) is not None}
        for lane in lanes:
            _, end, before = lane[-1]
            same = needed & told.keys() == needed & before.keys()
            gap_is_nothing = not needed & before.keys()
            if end <= step.start and same and (end == step.start or gap_is_nothing):
                if end < step.start:
                    lane.append((end, step.start, {}))
                lane.append((step.start, step.end, told))
                break
        else:
            lanes.append([(step.start, step.end, told)])
    return [lane for lane in lanes if any(told for _, _, told in lane)]


def _ei_event(
    event: Event,
    program: ProgramFacts,
    targets: tuple[EiTarget, ...],
    columns: Sequence[_Column],
    run: Sequence[_Step],
    named: tuple[str, timedelta, str],
) -> EiEvent:
    event_id, shift, comment = named
    signals: list[EiSignal] = []
    for place, column in enumerate(columns):
        values = _filled(column, [told.get(place) for _, _, told in run])
        if values is None:
            continue
        intervals = tuple(
            SignalInterval(_earlier(start, shift), ZERO if end >= END_OF_TIME else end - start, value)
            for (start, end, _), value in zip(run, values, strict=True)
        )
        signals.append(EiSignal(column.rule.name, column.rule.kind, str(len(signals)), intervals, column.item))
    start, end = run[0][0], run[-1][1]
    return EiEvent(
        event_id,
        0,
        program.market_context,
        "far",
        datetime.fromisoformat(event.created_date_time).astimezone(UTC),
        _earlier(start, shift),
        ZERO if end >= END_OF_TIME else end - start,
        tuple(signals),
        targets,
        0 if event.priority is None else event.priority + 1,
        test=bool(program.attributes.get("X_20B_TEST_EVENT", False)),
        comment=comment or _comment(event),
        start_after=shift * 2,
        notification=_said(event, "X_20B_NOTIFICATION") or program.length("X_20B_NOTIFICATION"),
        ramp_up=_said(event, "X_20B_RAMP_UP") or program.length("X_20B_RAMP_UP"),
        recovery=_said(event, "X_20B_RECOVERY") or program.length("X_20B_RECOVERY"),
        response_required=program.response_required,
    )


def _earlier(start: datetime, shift: timedelta) -> datetime:
    return start - shift if start > BEGINNING + shift else start


def _filled(column: _Column, values: Sequence[float | None]) -> list[float] | None:
    """A value for every interval; None when the column says nothing in this run."""
    said = [one for one in values if one is not None]
    if not said:
        return None
    last, filled = said[0], []
    for one in values:
        if one is not None:
            last = one
        elif column.neutral is not None:
            last = column.neutral
        filled.append(last)
    return filled


def _first_payloads(event: Event) -> Mapping[str, ValuesMap]:
    return {one.type: one for interval in (event.intervals or ())[:1] for one in interval.payloads}


def _said(event: Event, name: str) -> timedelta:
    """A duration that the first interval carries under a private name."""
    found = _first_payloads(event).get(name)
    try:
        return max(ZERO, parse_length(found.values[0])) if found and isinstance(found.values[0], str) else ZERO
    except (ValueError, IndexError):
        return ZERO


def _comment(event: Event) -> str:
    found = _first_payloads(event).get("X_20B_COMMENT")
    return found.values[0] if found and found.values and isinstance(found.values[0], str) else ""


def _text_of(steps: Iterable[Window], name: str) -> str:
    """The words of an alert."""
    for step in steps:
        for payload in step.payloads:
            if payload.type == name:
                return next((one for one in payload.values if isinstance(one, str)), "")
    return ""
