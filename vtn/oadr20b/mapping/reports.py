"""Reports: data points of a 2.0b VEN as bodies of 3.1 reports, and figures of 3.1 reports as data points of ours.

A report of 3.1 names an event, and telemetry of 2.0b knows none: each program has a standing event that asks for
reports and for nothing else. Towards utilities a figure is the sum over all that was reported for an interval.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from vtn.oadr20b.codec.encode import print_instant, print_span
from vtn.oadr20b.codec.messages import ZERO, OadrReport, ReportDescription, ReportPoint, ResourceStatus
from vtn.oadr20b.mapping.report_types import (
    QUALITY_BACK,
    payload_up,
    quality_up,
    reading_up,
    units_up,
)
from vtn.wire.enumerations import OperatingState
from vtn.wire.interval import BEGINNING, Interval, IntervalPeriod, parse_date_time, parse_duration, parse_start
from vtn.wire.report import ReportRequest

Json = dict[str, Any]
OPTED_OUT = frozenset({OperatingState.IDLE_OPTED_OUT, OperatingState.RUNNING_OPTED_OUT})
FAILED = frozenset({OperatingState.ERROR, OperatingState.SGD_ERROR_CONDITION})
USABLE = frozenset({"OK", "ESTIMATED"})
STANDING = "20b reports"
"""How the standing event of a program is called, and what a bridge that was killed finds it by."""


# --- up: what a 2.0b VEN reported, as reports of 3.1 ------------------------------------------------------------------


def report_up(
    report: OadrReport, points: Mapping[str, ReportDescription], event_id: str, client_name: str, report_name: str
) -> Json:
    """A 3.1 report on the standing event. A point that was never described is of its rID's name and unit-less."""
    resources: dict[str, dict[tuple[datetime, timedelta | None], list[Json]]] = defaultdict(dict)
    described: dict[str, Json] = {}
    for point in report.points:
        known = points.get(point.r_id)
        report_type = known.report_type if known is not None else "x-resourceStatus"
        if known is None and not isinstance(point.value, ResourceStatus):
            report_type = f"x-{point.r_id}"
        payload = payload_up(report_type)
        units, factor = units_up(report_type, known.item if known is not None else None)
        said: Json = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": payload}
        reading = reading_up(report_type, known.reading_type if known is not None else "x-notApplicable")
        said |= {"readingType": reading} if reading else {}
        said |= {"units": units} if units else {}
        if point.confidence is not None:
            said["confidence"] = min(point.confidence, 100)
        if point.accuracy is not None:
            said["accuracy"] = point.accuracy
        described[payload] = said
        slot = resources[_resource_of(known, point)].setdefault((point.start, point.duration), [])
        slot += _payloads(payload, point, factor)
    return {
        "eventID": event_id,
        "clientName": client_name,
        "reportName": report_name,
        "payloadDescriptors": list(described.values()),
        "resources": [
            {
                "resourceName": name,
                "intervals": [
                    {"id": number, "intervalPeriod": _period(start, length), "payloads": payloads}
                    for number, ((start, length), payloads) in enumerate(
                        sorted(slots.items(), key=lambda one: one[0][0])
                    )
                ],
            }
            for name, slots in resources.items()
        ],
    }


def _resource_of(known: ReportDescription | None, point: ReportPoint) -> str:
    """The resource that a data point is about; the point itself where it names none."""
    for target in known.sources if known is not None else ():
        if target.kind == "resourceID" and target.value:
            return target.value[:128]
    return (point.r_id or "point")[:128]


def _period(start: datetime, length: timedelta | None) -> Json:
    return {"start": print_instant(start), "duration": print_span(length or ZERO)}


def _payloads(payload: str, point: ReportPoint, factor: float) -> list[Json]:
    if isinstance(point.value, ResourceStatus):
        made: list[Json] = [{"type": payload, "values": [operating_state(point.value).value]}]
        levels = dict(point.value.levels)
        if "oadrSetPoint" in levels:
            made.append({"type": "SETPOINT", "values": [levels["oadrSetPoint"]]})
        made += [
            {"type": f"X_20B_{name.removeprefix('oadr').upper()}", "values": [value]}
            for name, value in point.value.levels
            if name != "oadrSetPoint"
        ]
    else:
        made = [{"type": payload, "values": [round(point.value * factor, 9)]}]
    if point.quality is not None:
        made.append({"type": "DATA_QUALITY", "values": [quality_up(point.quality)]})
        made.append({"type": "X_20B_QUALITY", "values": [point.quality[:128]]})
    return made


def operating_state(status: ResourceStatus) -> OperatingState:
    """What a resource status says in 3.1: off line is an error, an override opts out, a level is curtailed."""
    if not status.online:
        return OperatingState.ERROR
    if status.override:
        return OperatingState.RUNNING_OPTED_OUT
    return OperatingState.RUNNING_CURTAILED if status.levels else OperatingState.NORMAL


# --- down: figures of 3.1 reports as data points ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A value that a report of 3.1 holds: of one resource, over one interval."""

    resource: str
    payload: str
    start: datetime
    end: datetime
    values: tuple[Any, ...]
    quality: str = "OK"


def figures(report: ReportRequest) -> Iterable[Figure]:
    """Every value of a report; an interval without a start anywhere is left out."""
    for resource in report.resources:
        at: datetime | None = None
        for interval in resource.intervals:
            start, end = _extent(resource.interval_period, interval, at)
            if start is None or end is None:
                continue
            at = end
            quality = next(
                (str(one.values[0]) for one in interval.payloads if one.type == "DATA_QUALITY" and one.values), "OK"
            )
            for payload in interval.payloads:
                if payload.type not in {"DATA_QUALITY", "X_20B_QUALITY"} and payload.values:
                    yield Figure(resource.resource_name, payload.type, start, end, payload.values, quality)


def _extent(
    default: IntervalPeriod | None, interval: Interval, at: datetime | None
) -> tuple[datetime | None, datetime | None]:
    own = interval.interval_period
    start = at
    if own is not None and own.start is not None:
        start = parse_start(own.start)
    elif at is None and default is not None and default.start is not None:
        start = parse_start(default.start)
    text = next((one.duration for one in (own, default) if one is not None and one.duration is not None), None)
    if start is None or start <= BEGINNING:
        return None, None
    return start, parse_duration(text).after(start) if text is not None else start


def summed(found: Iterable[Figure], payload: str, resource: str | None = None) -> list[Figure]:
    """The sum over resources for every interval that was reported, in order of time; of one resource when named.

    Energy that was fed back is reported on a resource of its own, `<resource>-export`, and counts against the sum.
    """
    totals: dict[tuple[datetime, datetime], float] = defaultdict(float)
    worst: dict[tuple[datetime, datetime], str] = {}
    for one in found:
        if one.payload != payload or one.quality not in USABLE or not isinstance(one.values[0], (int, float)):
            continue
        name, export = one.resource.removesuffix("-export"), one.resource.endswith("-export")
        if resource is not None and resource not in {name, one.resource}:
            continue
        span = (one.start, one.end)
        totals[span] += -float(one.values[0]) if export else float(one.values[0])
        worst[span] = "ESTIMATED" if "ESTIMATED" in {worst.get(span), one.quality} else "OK"
    return [
        Figure(resource or "", payload, start, end, (round(totals[start, end], 6),), worst[start, end])
        for start, end in sorted(totals)
    ]


def opted_out(found: Iterable[Figure]) -> frozenset[str]:
    """The resources whose newest operating state says that they opted out, or whose newest X_20B_OPT does."""
    newest: dict[str, Figure] = {}
    for one in found:
        if one.payload in {"OPERATING_STATE", "X_20B_OPT"}:
            known = newest.get(one.resource)
            if known is None or one.start >= known.start:
                newest[one.resource] = one
    return frozenset(name for name, one in newest.items() if OPTED_OUT & set(one.values) or "optOut" in one.values)


def status_of(found: Sequence[Figure], resource: str | None = None) -> tuple[datetime, ResourceStatus] | None:
    """The newest status that operating states give: on line unless all failed, overridden when all opted out."""
    newest: dict[str, Figure] = {}
    for one in found:
        if one.payload == "OPERATING_STATE" and resource in {None, one.resource}:
            known = newest.get(one.resource)
            if known is None or one.start >= known.start:
                newest[one.resource] = one
    if not newest:
        return None
    states = [set(one.values) for one in newest.values()]
    online = not all(one & FAILED for one in states)
    override = all(one & OPTED_OUT for one in states)
    return max(one.end for one in newest.values()), ResourceStatus(online, override)


def points_of(found: Iterable[Figure], r_id: str, since: datetime | None, until: datetime) -> list[ReportPoint]:
    """Summed figures as data points: those whose interval ended after `since` and not after `until`."""
    return [
        ReportPoint(
            r_id,
            one.start,
            float(one.values[0]),
            one.end - one.start,
            QUALITY_BACK.get(one.quality, QUALITY_BACK["ESTIMATED"]),
        )
        for one in found
        if one.end <= until and (since is None or one.end > since)
    ]


def unavailable(found: Iterable[Figure], now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    """The times to come at which a resource says that nothing can be shed: LOAD_SHED_DELTA_AVAILABLE of 0."""
    spans: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for one in sorted(found, key=lambda figure: figure.start):
        if one.payload != "LOAD_SHED_DELTA_AVAILABLE" or one.values[0] != 0 or one.end <= now:
            continue
        own = spans[one.resource]
        if own and own[-1][1] >= one.start:
            own[-1] = own[-1][0], max(own[-1][1], one.end)
        else:
            own.append((one.start, one.end))
    return dict(spans)


def standing_event(
    program_id: str, start: datetime, types: Sequence[tuple[str, str | None]], granularity: timedelta, every: timedelta
) -> Json:
    """The event of a program that asks for reports and for nothing else: intervals of `granularity`, sent `every`."""
    frequency = max(1, round(every / granularity)) if granularity else 1
    descriptors = [
        {
            "payloadType": payload,
            "historical": True,
            "frequency": frequency,
            "numIntervals": frequency,
            "startInterval": frequency - 1,
            "repeat": -1,
        }
        | ({"readingType": reading} if reading else {})
        for payload, reading in types
    ]
    return {
        "programID": program_id,
        "eventName": STANDING,
        "reportDescriptors": descriptors,
        "intervalPeriod": {"start": print_instant(start), "duration": print_span(granularity)},
    }


def newest_of(reports: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Reports in the order in which they were last written."""
    return sorted(reports, key=lambda one: parse_date_time(one["modificationDateTime"]))
