"""Report bodies of what zones can do: feasible bands, nominations and shortfalls, in payload types of our own. Pure.

No figure about fewer cars than the smallest group leaves here: causes of fewer cars are told together, or by their
names alone.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.planning.flexibility.feasible_band import HeldBand
from ven_adapters.ven.planning.flexibility.nomination import ZoneNomination
from ven_adapters.ven.planning.flexibility.shortfall import Binding, Flexibility, Obstacle
from ven_adapters.ven.reporting.reports import period
from vtn.clock import HOUR_S
from vtn.rules.timeline import Window
from vtn.wire.enumerations import ReportPayload

Json = dict[str, Any]

BAND = "x-EVTN-BAND"
"""[least kW, most kW] that the zone can hold from the event's beginning until the end of the interval."""
NOMINATION = "x-EVTN-NOMINATION"
"""[kW less than unmanaged, kW fed] that the zone can hold in the interval nine times in ten."""
SHORTFALL = "x-EVTN-SHORTFALL"
"""[kW]: above 0 so much more is drawn than asked, at the least; below 0 so much less, at the most; 0: it is over."""
BINDS = "x-EVTN-BINDS"
"""[cause, cars, kW] that keeps cars from following; [cause] alone where it keeps fewer cars than may be spoken of."""

BASELINE = ReportPayload.BASELINE.value
"""[kWh] that the zone is expected to draw in the interval if every car charges as soon as it comes."""

_READING_TYPES: Mapping[str, str | None] = {
    BAND: "FORECAST",
    NOMINATION: "FORECAST",
    BASELINE: "FORECAST",
    SHORTFALL: "ESTIMATED",
    BINDS: None,
}
_UNITS: Mapping[str, str] = {BAND: "KW", NOMINATION: "KW", SHORTFALL: "KW", BASELINE: "KWH"}


def band_body(
    event_id: str, client_name: str, windows: Sequence[Window], bands: Mapping[str, Sequence[HeldBand | None]]
) -> Json:
    """Per zone the band of each of an event's intervals; beyond a day, and where too few cars are meant, MISSING."""
    zones = {
        zone: [_interval(window, BAND, None if one is None else [one.least_kw, one.most_kw]) for window, one in pairs]
        for zone, pairs in ((zone, zip(windows, found, strict=True)) for zone, found in bands.items())
    }
    return _body(event_id, client_name, "band", (BAND,), zones)


def nomination_body(
    event_id: str,
    client_name: str,
    label: str,
    windows: Sequence[Window],
    nominations: Mapping[str, Sequence[ZoneNomination]],
) -> Json:
    """Per zone and interval: kW that can be kept away and fed, and kWh that would be drawn if nobody asked."""
    zones = {
        zone: [_nominated(window, one) for window, one in zip(windows, mine, strict=True)]
        for zone, mine in nominations.items()
    }
    return _body(event_id, client_name, f"nomination {label}", (NOMINATION, BASELINE), zones)


def _nominated(window: Window, one: ZoneNomination) -> Json:
    kwh = one.unmanaged_kw * (window.end - window.start).total_seconds() / HOUR_S
    interval = _interval(window, NOMINATION, [one.shed_kw, one.feed_kw])
    return {**interval, "payloads": [*interval["payloads"], {"type": BASELINE, "values": [_rounded(kwh)]}]}


def shortfall_body(
    event_id: str, client_name: str, found: Mapping[str, Flexibility], at: datetime, smallest_group: int
) -> Json:
    """Per zone what is short, what the zone can do now, and what binds; a zone without a shortfall says 0."""
    zones = {zone: [_shortfall(one, at, smallest_group)] for zone, one in found.items()}
    name = "shortfall" if any(one.is_short for one in found.values()) else "shortfall over"
    return _body(event_id, client_name, name, (SHORTFALL, BAND, BINDS), zones)


def _shortfall(one: Flexibility, at: datetime, smallest_group: int) -> Json:
    payloads: list[Json] = [{"type": SHORTFALL, "values": [_rounded(one.shortfall_kw)]}]
    payloads.append({"type": BAND, "values": [_rounded(one.least_kw), _rounded(one.most_kw)]})
    payloads += [{"type": BINDS, "values": told} for told in causes_told(one.bindings, smallest_group)]
    lasts_s = max(0.0, one.until_s - at.timestamp()) if one.is_short else 0.0
    told_s = min(lasts_s, _LONGEST_S)
    window = Window(at, instant(at.timestamp() + told_s), one.interval_id, 0, (), "", "", None)
    return {"id": one.interval_id, "intervalPeriod": period(window), "payloads": payloads}


_LONGEST_S = 86_400.0


def causes_told(bindings: Sequence[Binding], smallest_group: int) -> list[list[str | int | float]]:
    """What binds, for the VTN: cause, cars, kW. Limits are no cars, and are always told whole.

    Causes of fewer cars than the smallest group are summed up as OTHER, with the next larger ones where they are too
    few together; what is still about too few cars is told by its name alone.
    """
    limits = [one for one in bindings if one.obstacle is Obstacle.LIMIT]
    ranked = sorted((one for one in bindings if one.obstacle is not Obstacle.LIMIT), key=lambda one: -one.cars)
    large = [one for one in ranked if one.cars >= smallest_group]
    small = [one for one in ranked if one.cars < smallest_group]
    while small and large and sum(one.cars for one in small) < smallest_group:
        small.append(large.pop())
    cars, kw = sum(one.cars for one in small), sum(one.kw for one in small)
    told = sorted([*large, *limits], key=lambda one: -one.kw)
    found: list[list[str | int | float]] = [[one.obstacle.value, one.cars, _rounded(one.kw)] for one in told]
    if cars >= smallest_group:
        found.append([Obstacle.OTHER.value, cars, _rounded(kw)])
    return found + [[one.obstacle.value] for one in small if one.obstacle is not Obstacle.OTHER]


def _interval(window: Window, payload_type: str, values: Iterable[float] | None) -> Json:
    payloads: list[Json] = [{"type": payload_type, "values": [_rounded(one) for one in values or ()]}]
    if values is None:
        payloads.append({"type": ReportPayload.DATA_QUALITY.value, "values": ["MISSING"]})
    return {"id": window.interval_id, "intervalPeriod": period(window), "payloads": payloads}


def _body(event_id: str, client_name: str, name: str, types: Sequence[str], zones: Mapping[str, list[Json]]) -> Json:
    return {
        "eventID": event_id,
        "clientName": client_name,
        "reportName": name,
        "payloadDescriptors": [_descriptor(one) for one in types],
        "resources": [{"resourceName": zone, "intervals": intervals} for zone, intervals in zones.items()],
    }


def _descriptor(payload_type: str) -> Json:
    told = {
        "objectType": "REPORT_PAYLOAD_DESCRIPTOR",
        "payloadType": payload_type,
        "readingType": _READING_TYPES[payload_type],
        "units": _UNITS.get(payload_type),
    }
    return {key: value for key, value in told.items() if value is not None}


def _rounded(kw: float) -> float:
    return round(kw, 2) + 0.0


def added(parts: Sequence[Sequence[HeldBand | None]]) -> list[HeldBand | None]:
    """The bands of a zone's parts as one; what any of them does not know, the whole does not know."""
    return [_sum_of(ones) for ones in zip(*parts, strict=True)]


def _sum_of(ones: Sequence[HeldBand | None]) -> HeldBand | None:
    known = [one for one in ones if one is not None]
    if not known or len(known) < len(ones):
        return None
    least_kw, most_kw = sum(one.least_kw for one in known), sum(one.most_kw for one in known)
    return dataclasses.replace(known[0], least_kw=least_kw, most_kw=most_kw)
