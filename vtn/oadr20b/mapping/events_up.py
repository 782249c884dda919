"""An eiEvent of a utility as a program and an event of 3.1.

One 2.0b event is one event of 3.1: its signals' intervals are cut at all of their boundaries, and each piece bears
the payloads of all signals that are in force in it, with its own start and duration. A tolerance of T (begin anywhere
within T after the start) is a start T/2 later with a randomizeStart of T/2: exactly the same instants.
"""

import hashlib
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from vtn.oadr20b.codec.encode import print_instant, print_span
from vtn.oadr20b.codec.messages import ZERO, Code, EiEvent, EiSignal
from vtn.oadr20b.mapping import targets
from vtn.oadr20b.mapping.signals import UP, SignalRule, descriptor, value_up

Json = dict[str, Any]
FOREVER = "P9999Y"
LONGEST_NAME = 128
KEPT = 95
MOST_INTERVALS = 1_000
TEST = ":TEST"
NOBODY = "20b:test-events"
"""The target of programs of test events: no VEN is granted it."""


class Unmapped(Exception):
    """An event that has no meaning here; `code` is what the utility is answered, beside optOut."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def program_name(connection: str, market_context: str, *, test: bool = False) -> str:
    """The program of a market context: one name per utility and context, at most 128 characters."""
    tail = TEST if test else ""
    name = f"20b:{connection}:{market_context}{tail}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: KEPT - len(tail)]}:{hashlib.sha256(market_context.encode()).hexdigest()[:31]}{tail}"[:LONGEST_NAME]


def program_up(connection: str, market_context: str, vtn_id: str, *, test: bool = False) -> Json:
    """The program in which a market context's events stand: for those whom the target of this utility is granted."""
    attributes: list[Json] = [
        {"type": "X_20B_MARKET_CONTEXT", "values": [market_context]},
        {"type": "X_20B_VTN_ID", "values": [vtn_id]},
        {"type": "X_20B_CONNECTION", "values": [connection]},
    ]
    made: Json = {
        "programName": program_name(connection, market_context, test=test),
        "attributes": attributes,
        "targets": [NOBODY if test else targets.whole(connection)],
    }
    if market_context.startswith(("http://", "https://")) and market_context.isascii() and " " not in market_context:
        made["programDescriptions"] = [{"URL": market_context}]
    if test:
        attributes.append({"type": "X_20B_TEST_EVENT", "values": [True]})
    return made


def reports_program(connection: str) -> Json:
    """The program of a utility's standing request for reports."""
    made = program_up(connection, "reports", connection)
    return {**made, "attributes": [one for one in made["attributes"] if one["type"] == "X_20B_CONNECTION"]}


def priority_up(priority: int) -> int | None:
    """Priority 0 is none and 1 the highest; in 3.1 none is null and 0 the highest."""
    return priority - 1 if priority else None


def event_up(connection: str, event: EiEvent, program_id: str, own_ven: str | None) -> Json:
    """The event of 3.1 for one of 2.0b. Unmapped says what has no meaning, and what to answer."""
    try:
        aimed = targets.up(connection, event.targets, own_ven)
    except targets.TargetMismatch as wrong:
        raise Unmapped(Code.TARGET_MISMATCH, str(wrong)) from None
    signals = [(_rule(signal), signal) for signal in event.signals]
    described: dict[str, dict[str, str]] = {}
    named: list[tuple[str, SignalRule, EiSignal]] = []
    for rule, signal in signals:
        said = descriptor(rule, signal.item)
        payload = rule.payload
        if payload in described and described[payload] != said:
            payload = f"X_20B_{rule.name}_{rule.kind}".upper().replace("-", "_")[:LONGEST_NAME]
            said = {**said, "payloadType": payload}
        described[payload] = said
        named.append((payload, rule, signal))
    if all(signal.device_classes for signal in event.signals):
        aimed = _for_devices(aimed, connection, event)
    shift = event.start_after / 2
    intervals = _intervals(event, named, shift)
    intervals[0]["payloads"] += _carried(event)
    open_ended = event.duration == ZERO
    first, last = event.start, max(one.start + one.duration for _, signal in signals for one in signal.intervals)
    period: Json = {"start": print_instant(first + shift)}
    period["duration"] = FOREVER if open_ended else print_span(max(last - first, event.duration))
    if shift:
        period["randomizeStart"] = print_span(shift)
    return {
        "programID": program_id,
        "eventName": event_name(connection, event.event_id),
        "priority": priority_up(event.priority),
        "targets": aimed,
        "payloadDescriptors": list(described.values()),
        "intervalPeriod": period,
        "intervals": intervals,
    }


def event_name(connection: str, event_id: str) -> str:
    """What people read, and what a bridge that was killed finds its own event by."""
    return f"20b {connection} {event_id}"


def _rule(signal: EiSignal) -> SignalRule:
    name = "SIMPLE" if signal.name == "simple" else signal.name
    rule = UP.get((name, signal.kind))
    if rule is None:
        raise Unmapped(
            Code.SIGNAL_NOT_SUPPORTED, f"the signal {signal.name} of the type {signal.kind} is not supported"
        )
    return rule


def _for_devices(aimed: list[str] | None, connection: str, event: EiEvent) -> list[str]:
    """Device classes that every signal names are finer targets; what is for the whole enrolment is for these alone."""
    classes = (targets.named(connection, "dev", one) for signal in event.signals for one in signal.device_classes)
    finer = [one for one in aimed or () if one != targets.whole(connection)]
    return list(dict.fromkeys([*finer, *classes]))


def _intervals(event: EiEvent, named: list[tuple[str, SignalRule, EiSignal]], shift: timedelta) -> list[Json]:
    edges: set[datetime] = set()
    for _, _, signal in named:
        for one in signal.intervals:
            edges |= {one.start, one.start + one.duration}
    cuts = sorted(edges)
    spans = list(itertools.pairwise(cuts)) or [(cuts[0], cuts[0])]
    endless = any(one.duration == ZERO for _, _, signal in named for one in signal.intervals)
    if endless and spans[-1][0] != spans[-1][1]:
        spans.append((cuts[-1], cuts[-1]))
    if len(spans) > MOST_INTERVALS:
        raise Unmapped(Code.INVALID_DATA, f"the event has more than {MOST_INTERVALS} intervals")
    made: list[Json] = []
    for number, (start, end) in enumerate(spans):
        payloads = [
            {"type": payload, "values": [value]}
            for payload, rule, signal in named
            if (value := _in_force(rule, signal, start)) is not None
        ]
        if not payloads:
            continue
        lasts = FOREVER if start == end and event.duration == ZERO else print_span(_length(event, start, end))
        period = {"start": print_instant(start + shift), "duration": lasts}
        made.append({"id": number, "intervalPeriod": period, "payloads": payloads})
    if shift:
        made[0]["intervalPeriod"]["randomizeStart"] = print_span(shift)
    return made


def _length(event: EiEvent, start: datetime, end: datetime) -> timedelta:
    """How long a piece lasts; one without a length of its own ends with the event."""
    return end - start if end > start else max(event.start + event.duration - start, ZERO)


def _in_force(rule: SignalRule, signal: EiSignal, at: datetime) -> float | int | None:
    for one in signal.intervals:
        if one.start <= at and (at < one.start + one.duration or one.duration == ZERO):
            return value_up(rule, one.value, signal.item)
    return None


def _carried(event: EiEvent) -> list[Json]:
    """What 3.1 has no word for, as payloads of the first interval."""
    words: Mapping[str, str | bool | None] = {
        "X_20B_NOTIFICATION": print_span(event.notification) if event.notification else None,
        "X_20B_RAMP_UP": print_span(event.ramp_up) if event.ramp_up else None,
        "X_20B_RECOVERY": print_span(event.recovery) if event.recovery else None,
        "X_20B_TEST_EVENT": True if event.test else None,
        "X_20B_COMMENT": event.comment or None,
    }
    return [{"type": name, "values": [value]} for name, value in words.items() if value is not None]
