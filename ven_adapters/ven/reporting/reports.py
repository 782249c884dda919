"""Report bodies from figures, as an event's report descriptors ask. Pure.

Every requested type is answered: with figures, or with DATA_QUALITY MISSING beside the type, never with silence. What
is still to come is forecast (`historical` false) as far as a day ahead, and beyond that it is missing. No figure about
fewer cars than the smallest group leaves here. Energy that was fed back is never a negative USAGE: it
stands under the resource `<zone>-export` (reading TR-81). Shares are fractions (TR-78).

What was measured says so: DATA_QUALITY is OK, or ESTIMATED where some cars were not read and are taken to do as their
measured peers. The standard has no words for more, so a payload of our own says how much was estimated, and whether a
report is late or corrects an earlier one.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ven_adapters.ven.fleet.metering import Energy, Sample
from ven_adapters.ven.planning.flexibility.forecast import Ahead
from vtn.rules.timeline import DueReport, Window
from vtn.wire.enumerations import AGGREGATED_REPORT, OperatingState, ReportPayload
from vtn.wire.interval import END_OF_TIME
from vtn.wire.values import ReportDescriptor

Json = dict[str, Any]
EXPORT_SUFFIX = "-export"
ENERGY_ACCURACY = 0.05
IDLE_KW = 0.05
QUALITY = "x-EVTN-QUALITY"
"""["ESTIMATED", share of car-hours], ["LATE"] or ["CORRECTED"]: what DATA_QUALITY has no word for."""
LEAST_ESTIMATED = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneFigures:
    """One zone over one window: `energy` of the window, `sample` at its end, what is `ahead`; None where not known.

    `estimated`: the share of the energy that rests on no reading, 0 to 1; None where nobody says.
    """

    cars: int
    energy: Energy | None
    sample: Sample | None
    hours: float
    ahead: Ahead | None = None
    estimated: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One descriptor's report that is due, about these zones."""

    descriptor: ReportDescriptor
    due: DueReport
    zones: Sequence[str] = ()


FiguresOf = Callable[[str, Window], ZoneFigures]
Values = list[Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class PayloadKind:
    """How one payload type is filled: from the zone's figures, and, where energy may flow back, for its export.

    `estimated`: how much of a figure rests on no reading; None where that is no question.
    """

    values: Callable[[ZoneFigures], Values]
    reading_type: str
    units: str | None = None
    accuracy: float | None = None
    export: Callable[[ZoneFigures], Values] | None = None
    estimated: Callable[[ZoneFigures], float | None] = lambda _: None


def _usage(figures: ZoneFigures) -> Values:
    return None if figures.energy is None else [round(figures.energy.imported_kwh, 3)]


def _export(figures: ZoneFigures) -> Values:
    return None if figures.energy is None else [round(figures.energy.exported_kwh, 3)]


def _demand(figures: ZoneFigures) -> Values:
    return _mean_kw(figures, figures.energy.imported_kwh) if figures.energy is not None else None


def _export_demand(figures: ZoneFigures) -> Values:
    return _mean_kw(figures, figures.energy.exported_kwh) if figures.energy is not None else None


def _mean_kw(figures: ZoneFigures, kwh: float) -> Values:
    return [round(kwh / figures.hours, 3)] if figures.hours > 0 else None


def _of_sample(pick: Callable[[Sample], Values]) -> Callable[[ZoneFigures], Values]:
    return lambda figures: None if figures.sample is None or not figures.sample.cars else pick(figures.sample)


def _of_ahead(pick: Callable[[Ahead], float]) -> Callable[[ZoneFigures], Values]:
    return lambda figures: None if figures.ahead is None else [round(float(pick(figures.ahead)), 3)]


def _energy_estimated(figures: ZoneFigures) -> float | None:
    return figures.estimated


def _power(sample: Sample) -> Values:
    """The power of all cars at their plugs: those that were not read lately do as those that were."""
    scale = sample.plugged / sample.measured if 0 < sample.measured < sample.plugged else 1.0
    return [round(sample.power_kw * scale, 3)]


def _power_estimated(figures: ZoneFigures) -> float | None:
    sample = figures.sample
    if sample is None or not sample.measured or not sample.plugged:
        return None
    return max(0.0, 1.0 - sample.measured / sample.plugged)


def _charge_level(sample: Sample) -> Values:
    return [round(sample.stored_kwh / sample.usable_kwh, 4)] if sample.usable_kwh > 0 else None


def operating_states(sample: Sample) -> Values:
    """The state of a zone, and beside it that members opted out or that an inverter alarm stands.

    A list, because a zone is many cars (TR-84).
    """
    running = abs(sample.power_kw) > IDLE_KW
    states = _RUNNING if running else _IDLE
    told = [states["curtailed" if sample.held_back else "normal"]]
    told += [states["opted out"]] if sample.opted_out else []
    told += [OperatingState.SGD_ERROR_CONDITION] if sample.alarmed else []
    return [state.value for state in told]


_RUNNING: Mapping[str, OperatingState] = {
    "curtailed": OperatingState.RUNNING_CURTAILED,
    "normal": OperatingState.RUNNING_NORMAL,
    "opted out": OperatingState.RUNNING_OPTED_OUT,
}
_IDLE: Mapping[str, OperatingState] = {
    "curtailed": OperatingState.IDLE_CURTAILED,
    "normal": OperatingState.IDLE_NORMAL,
    "opted out": OperatingState.IDLE_OPTED_OUT,
}

P = ReportPayload
KINDS: Mapping[str, PayloadKind] = {
    P.USAGE: PayloadKind(_usage, "ESTIMATED", "KWH", ENERGY_ACCURACY, _export, _energy_estimated),
    P.DEMAND: PayloadKind(_demand, "MEAN", "KW", ENERGY_ACCURACY, _export_demand, _energy_estimated),
    P.READING: PayloadKind(_of_sample(_power), "SUMMED", "KW", estimated=_power_estimated),
    P.OPERATING_STATE: PayloadKind(_of_sample(operating_states), "DIRECT_READ"),
    P.STORAGE_CHARGE_LEVEL: PayloadKind(_of_sample(_charge_level), "MEAN", "PERCENT"),
    P.STORAGE_USABLE_CAPACITY: PayloadKind(_of_sample(lambda sample: [round(sample.usable_kwh, 1)]), "SUMMED", "KWH"),
    P.STORAGE_MAX_CHARGE_POWER: PayloadKind(
        _of_sample(lambda sample: [round(sample.max_charge_kw, 1)]), "SUMMED", "KW"
    ),
    P.STORAGE_MAX_DISCHARGE_POWER: PayloadKind(
        _of_sample(lambda sample: [round(sample.max_discharge_kw, 1)]), "SUMMED", "KW"
    ),
    P.SETPOINT: PayloadKind(
        _of_sample(lambda sample: None if sample.asked_kw is None else [round(sample.asked_kw, 3)]), "DIRECT_READ", "KW"
    ),
    P.SIMPLE_LEVEL: PayloadKind(
        _of_sample(lambda sample: None if sample.simple_level is None else [sample.simple_level]), "DIRECT_READ"
    ),
}


FORECASTS: Mapping[str, PayloadKind] = {
    P.USAGE: PayloadKind(_of_ahead(lambda ahead: ahead.usage_kwh), "FORECAST", "KWH"),
    P.DEMAND: PayloadKind(_of_ahead(lambda ahead: ahead.mean_kw), "FORECAST", "KW"),
    P.USAGE_FORECAST: PayloadKind(_of_ahead(lambda ahead: ahead.usage_kwh), "FORECAST", "KWH"),
    P.STORAGE_DISPATCH_FORECAST: PayloadKind(_of_ahead(lambda ahead: ahead.stored_kwh), "FORECAST", "KWH"),
    P.LOAD_SHED_DELTA_AVAILABLE: PayloadKind(_of_ahead(lambda ahead: ahead.shed_kw), "FORECAST", "KW"),
    P.GENERATION_DELTA_AVAILABLE: PayloadKind(_of_ahead(lambda ahead: ahead.generation_kw), "FORECAST", "KW"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a body is made for: the event, our name, the zones that can export, what is due.

    `remarks`: what is to be said of all of it, LATE or CORRECTED; `name`: the report's name.
    """

    event_id: str
    client_name: str
    exporting: frozenset[str]
    wanted: Sequence[Wanted]
    smallest_group: int
    remarks: tuple[str, ...] = ()
    name: str | None = None


def body(request: Request, figures_of: FiguresOf) -> Json:
    """One report over everything in `request`, a ReportRequest as JSON values."""
    entries: dict[str, list[Json]] = {}
    for wanted in request.wanted:
        for window in wanted.due.windows:
            for resource, interval in _intervals(request, wanted, window, figures_of):
                _add(entries.setdefault(resource, []), interval)
    for interval in (one for found in entries.values() for one in found):
        interval["payloads"] += [{"type": QUALITY, "values": [remark]} for remark in request.remarks]
    return {
        "eventID": request.event_id,
        "clientName": request.client_name,
        **({} if request.name is None else {"reportName": request.name}),
        "payloadDescriptors": _descriptors(request.wanted),
        "resources": [{"resourceName": name, "intervals": found} for name, found in entries.items()],
    }


def _intervals(request: Request, wanted: Wanted, window: Window, figures_of: FiguresOf) -> list[tuple[str, Json]]:
    descriptor = wanted.descriptor
    kind = _kind(descriptor)
    figures = {zone: figures_of(zone, window) for zone in wanted.zones}
    exporting = request.exporting
    if descriptor.aggregate:
        exporting = frozenset({AGGREGATED_REPORT}) if exporting & set(wanted.zones) else frozenset()
        figures = {AGGREGATED_REPORT: together(list(figures.values()))}
    found = []
    for name, found_out in figures.items():
        known = _large_enough(found_out, request.smallest_group)
        enough = kind is not None and known.cars >= request.smallest_group
        values = kind.values(known) if enough and kind else None
        estimated = kind.estimated(known) if kind else None
        found.append((name, _interval(window, descriptor, values, estimated)))
        if enough and kind and kind.export is not None and name in exporting:
            found.append((f"{name}{EXPORT_SUFFIX}", _interval(window, descriptor, kind.export(known), estimated)))
    return found


def _kind(descriptor: ReportDescriptor) -> PayloadKind | None:
    """How a type is filled. What can only be forecast is, also where nobody said that it is not history."""
    first, second = (FORECASTS, {}) if descriptor.historical is False else (KINDS, FORECASTS)
    return first.get(descriptor.payload_type) or second.get(descriptor.payload_type)


def _large_enough(known: ZoneFigures, smallest: int) -> ZoneFigures:
    """Without a sample that rests on too few cars: a mean over one known battery is that battery."""
    few = known.sample is not None and known.sample.cars < smallest
    return dataclasses.replace(known, sample=None) if few else known


def _interval(window: Window, descriptor: ReportDescriptor, values: Values, estimated: float | None) -> Json:
    payloads: list[Json] = [{"type": descriptor.payload_type, "values": values or []}]
    payloads += _quality_of(values, estimated)
    return {"id": window.interval_id, "intervalPeriod": period(window), "payloads": payloads}


def _quality_of(values: Values, estimated: float | None) -> list[Json]:
    """What is said of a figure: that it is missing, measured, or how much of it is estimated; nothing where unknown."""
    if values is None:
        return [{"type": P.DATA_QUALITY.value, "values": ["MISSING"]}]
    if estimated is None:
        return []
    if estimated < LEAST_ESTIMATED:
        return [{"type": P.DATA_QUALITY.value, "values": ["OK"]}]
    told = {"type": QUALITY, "values": ["ESTIMATED", round(estimated, 3)]}
    return [{"type": P.DATA_QUALITY.value, "values": ["ESTIMATED"]}, told]


def _add(intervals: list[Json], fresh: Json) -> None:
    """Payloads of one window and quality share an interval, the quality last; a missing one stands apart."""
    quality = _said_of(fresh)
    if ["MISSING"] not in [one["values"] for one in quality]:
        for interval in intervals:
            same = interval["id"] == fresh["id"] and interval["intervalPeriod"] == fresh["intervalPeriod"]
            if same and _said_of(interval) == quality:
                figures = [one for one in interval["payloads"] if one not in quality]
                interval["payloads"] = [*figures, *(one for one in fresh["payloads"] if one not in quality), *quality]
                return
    intervals.append(fresh)


def _said_of(interval: Json) -> list[Json]:
    return [payload for payload in interval["payloads"] if payload["type"] in (P.DATA_QUALITY, QUALITY)]


def period(window: Window) -> Json:
    """A window as an intervalPeriod."""
    end = "P9999Y" if window.end == END_OF_TIME else _duration(window.end - window.start)
    return {"start": _print(window.start), "duration": end}


def _duration(length: Any) -> str:
    seconds = length.total_seconds()
    return f"PT{int(seconds)}S" if seconds == int(seconds) else f"PT{seconds:.3f}S"


def _print(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _descriptors(wanted: Sequence[Wanted]) -> list[Json]:
    found: dict[str, Json] = {}
    for one in wanted:
        name = one.descriptor.payload_type
        kind = _kind(one.descriptor)
        told: Json = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": name}
        if kind is not None:
            told |= {"readingType": kind.reading_type, "units": kind.units, "accuracy": kind.accuracy}
        found[name] = {key: value for key, value in told.items() if value is not None}
    return list(found.values())


def together(parts: Sequence[ZoneFigures]) -> ZoneFigures:
    """Several zones as one; what any of them does not know, the whole does not know."""
    energies = [part.energy for part in parts if part.energy is not None]
    samples = [part.sample for part in parts if part.sample is not None]
    whole = len(energies) == len(parts) and bool(parts)
    energy = Energy(sum(e.imported_kwh for e in energies), sum(e.exported_kwh for e in energies)) if whole else None
    sample = _summed(samples) if len(samples) == len(parts) and parts else None
    aheads = [part.ahead for part in parts if part.ahead is not None]
    ahead = Ahead(*np.sum([dataclasses.astuple(one) for one in aheads], axis=0)) if len(aheads) == len(parts) else None
    hours = max((part.hours for part in parts), default=0.0)
    told = [part.estimated for part in parts if part.estimated is not None]
    cars = sum(part.cars for part in parts)
    weighed = sum(part.cars * (part.estimated or 0.0) for part in parts)
    estimated = weighed / cars if told and len(told) == len(parts) and cars else None
    return ZoneFigures(cars, energy, sample, hours, ahead if parts else None, estimated)


def _summed(samples: Sequence[Sample]) -> Sample:
    totals: Json = {}
    for field in dataclasses.fields(Sample):
        known = [getattr(sample, field.name) for sample in samples if getattr(sample, field.name) is not None]
        if field.name in ("at_s", "simple_level"):
            totals[field.name] = max(known, default=None)
        else:
            totals[field.name] = sum(known) if known else None
    return Sample(**totals)
