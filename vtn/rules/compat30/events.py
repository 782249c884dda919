"""Events of 3.0.1: intervals always there, written out where 3.1 only implies them; report requests, targets typed.

A 3.0.1 client that reads an event, changes something else and writes it back must not turn an endless tariff into the
week of it that it was shown: timing that comes back as it was shown is kept as it is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from vtn.errors import Fault
from vtn.rules.compat30 import periods, targets
from vtn.rules.compat30.side import NOTHING, V301, Side, Types
from vtn.rules.compat30.unrolling import Unrolled, unrolled
from vtn.wire import document
from vtn.wire.interval import BEGINNING, parse_duration, parse_start

Json = dict[str, Any]
TIMING = ("duration", "intervalPeriod", "intervals")
UNSEEN = "reportIntervals"
DEFAULTS = {
    "aggregate": False,
    "startInterval": -1,
    "numIntervals": -1,
    "historical": True,
    "frequency": -1,
    "repeat": 1,
}


def read_event(content: Mapping[str, Any], types: dict[str, tuple[str, ...]], faults: list[Fault]) -> Json:
    """A 3.1 event made of a 3.0.1 one; `duration` means nothing on 3.0.1."""
    if content.get("intervals") is None:
        faults.append(Fault("$.intervals", "is required"))
    rest = {key: value for key, value in content.items() if key != "duration"}
    event = periods.open_ends(periods.read_periods(targets.with_flat(rest, "$", types, faults), ("intervals",), faults))
    requests = event.get("reportDescriptors")
    if isinstance(requests, list):
        event["reportDescriptors"] = [_request(one, at, types, faults) for at, one in enumerate(requests)]
    return event


def _request(request: Any, position: int, types: dict[str, tuple[str, ...]], faults: list[Fault]) -> Any:
    if not isinstance(request, dict):
        return request
    flat = targets.with_flat(request, f"$.reportDescriptors[{position}]", types, faults)
    return {key: value for key, value in flat.items() if key != UNSEEN}


def show_event(content: Mapping[str, Any], side: Side, now: datetime) -> Json:
    """A 3.0.1 event made of a 3.1 one, as of an instant; timing that 3.0.1 wrote comes back as it was written."""
    written = None if side.version == V301 else unrolled(content)
    intervals = content.get("intervals") or [] if written is None else written.shown(now)
    rest = {key: value for key, value in content.items() if key != "duration"}
    event = periods.show_periods({**rest, "intervals": intervals}, ("intervals",))
    if event.get("reportDescriptors"):
        event["reportDescriptors"] = [_shown_request(one, side.types) for one in event["reportDescriptors"]]
    return targets.with_typed(event, side.types)


def _shown_request(request: Mapping[str, Any], types: Types) -> Json:
    typed = targets.with_typed(request, types)
    return {key: value for key, value in typed.items() if key != UNSEEN}


# --- writing back what was read ------------------------------------------------------------------------------------


def keeping_unseen(content: Mapping[str, Any], held: Mapping[str, Any], side: Side = NOTHING) -> Json:
    """An event that a 3.0.1 client replaces, with what it could not see of the held one. Both are 3.1 events.

    `side` is that of the held one: of timing that 3.0.1 wrote there was nothing that it could not see.
    """
    fresh = dict(content)
    if side.version != V301 and _as_shown(content, held):
        fresh = {key: value for key, value in content.items() if key not in TIMING}
        fresh |= {key: held[key] for key in TIMING if key in held}
    if content.get("reportDescriptors") and held.get("reportDescriptors"):
        fresh["reportDescriptors"] = list(_requests(content["reportDescriptors"], held["reportDescriptors"]))
    return fresh


def _requests(given: Iterable[Json], held: Iterable[Json]) -> Iterable[Json]:
    """Report requests, with the reportIntervals of held ones that are otherwise the same."""
    unclaimed: dict[bytes, list[Json]] = {}
    for one in held:
        unclaimed.setdefault(_asked(one), []).append(one)
    for request in given:
        same = unclaimed.get(_asked(request))
        found = same.pop(0) if same else {}
        yield {**request, UNSEEN: found[UNSEEN]} if UNSEEN in found else request


def _asked(request: Mapping[str, Any]) -> bytes:
    """What a 3.0.1 client sees of a report request, whether or not it writes out the schema's defaults."""
    seen = {key: value for key, value in request.items() if key != UNSEEN and value not in (None, DEFAULTS.get(key))}
    return document.render(dict(sorted(seen.items())))


def _as_shown(content: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Whether the timing of an event is what some reading of the held one showed."""
    around = held.get("intervalPeriod")
    if _period(content.get("intervalPeriod")) != _period(around and periods.shown_period(around, None)):
        return False
    given, written = content["intervals"], unrolled(held)
    shown: Sequence[Json | None]
    if written is None:
        plain = {**held, "intervals": held.get("intervals") or []}
        shown = periods.show_periods(plain, ("intervals",))["intervals"]
    else:
        shown = written.shown(BEGINNING) if written.whole else _same_numbers(given, written)
    return list(map(_meaning, given)) == list(map(_meaning, shown))


def _same_numbers(given: Sequence[Json], written: Unrolled) -> Sequence[Json | None]:
    """What a moving window shows for these ids, if they are a lap at least and without a gap; else nothing."""
    numbers = [one["id"] for one in given]
    first = numbers[0] if numbers else -1
    if first < 0 or numbers != list(range(first, first + len(numbers))) or not written.fills_a_window(len(numbers)):
        return (None,)
    return [written.interval(number) for number in numbers]


def _meaning(interval: Json | None) -> Any:
    """What an interval says, private extensions included; numbers by their value, because clients respell them."""
    if interval is None:
        return None
    payloads = [_said(payload) for payload in interval["payloads"]]
    rest = _said({**interval, "intervalPeriod": None, "payloads": None})
    return rest, _period(interval.get("intervalPeriod")), payloads


def _said(part: Json) -> Json:
    """A part without its nulls, which say nothing."""
    return {key: value for key, value in part.items() if value is not None}


def _period(period: Mapping[str, Any] | None) -> Any:
    """What a period says: no length and no end are one thing on 3.0.1."""
    if period is None:
        return None
    length = parse_duration(period.get("duration") or periods.OPEN_END)
    chance = parse_duration(period.get("randomizeStart") or periods.OPEN_END)
    start = period.get("start")
    rest = _said({**period, **dict.fromkeys(("start", "duration", "randomizeStart"))})
    return start and parse_start(start), None if length.infinite or not length else length, chance, rest
