"""What adapters told the utility, against what happened: bands, shortfalls and nominations of their reports. Pure.

Reports are judged as the utility reads them: each version by the VTN's `modificationDateTime`, each value by the
interval that it is about. A resource is a zone, a client an automaker. Payload types: `x-EVTN-BAND` (the least and the
most kW to expect, in any order, with what is likely between them), `x-EVTN-SHORTFALL` (kW that a set-point will be
missed by, above zero when there is one), `x-EVTN-NOMINATION` (kW below the unmanaged load that can be relied upon, kept
away and fed).
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from ven_adapters.demo.figures import LEAST_ASKED_KW, QUARTER_BINS, Flags, ZoneNight
from ven_adapters.demo.results import BIN, BIN_H
from ven_adapters.demo.scenario import NOMINATION
from vtn.wire.interval import parse_date_time, parse_duration

BAND, SHORTFALL = "x-EVTN-BAND", "x-EVTN-SHORTFALL"
LEAST_DELIVERED_SHARE = 0.001
SHORT_SHARE = 0.1  # a quarter of an hour is short when more than this share of what was asked is missing

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ReportedValue:
    """What one automaker told of one zone's interval: told when (UTC), from when to when it holds, the values."""

    oem: str
    zone: str
    told_at: datetime
    start: datetime
    end: datetime
    values: tuple[float, ...]


def reported(reports: Iterable[Json], payload_type: str) -> list[ReportedValue]:
    """The values of a type in these versions of reports, in the order in which they were told.

    An interval without a period of its own has the resource's; one that has none at all is about nothing and left out.
    """
    return sorted(_values(reports, payload_type), key=lambda value: value.told_at)


def _values(reports: Iterable[Json], payload_type: str) -> Iterator[ReportedValue]:
    for report in reports:
        told_at = parse_date_time(report["modificationDateTime"])
        for resource in report.get("resources") or ():
            for interval in resource["intervals"]:
                period = interval.get("intervalPeriod") or resource.get("intervalPeriod") or {}
                values = [p["values"] for p in interval["payloads"] if p["type"] == payload_type and p["values"]]
                if values and "start" in period and "duration" in period:
                    start = parse_date_time(period["start"])
                    end = parse_duration(period["duration"]).after(start)
                    numbers = tuple(map(float, values[0]))
                    yield ReportedValue(report["clientName"], resource["resourceName"], told_at, start, end, numbers)


def shortfall_reported_within_cycles(
    zones: Sequence[ZoneNight], reports: Iterable[Json], cycle_s: float
) -> dict[str, int] | None:
    """By automaker: how many planning cycles after its beginning the latest-told shortfall was told, 0 if before.

    A shortfall is a run of quarters of an hour in which a zone drew above its set-point more than a tenth of what was
    asked. One that nobody told counts from its beginning to the end of the night. None when no report carries the type:
    then nobody claims to tell. An automaker without a shortfall has 0.
    """
    told = reported(reports, SHORTFALL)
    if not told:
        return None
    worst = dict.fromkeys((zone.oem for zone in zones), 0)
    for zone in zones:
        mine = [value for value in told if (value.oem, value.zone) == (zone.oem, zone.zone) and value.values[0] > 0.0]
        night_end = zone.at[-1] + BIN
        for start, end in shortfalls(zone):
            first = min((v.told_at for v in mine if v.start < end and start < v.end), default=night_end)
            cycles = math.ceil(max(0.0, (first - start).total_seconds()) / cycle_s)
            worst[zone.oem] = max(worst[zone.oem], cycles)
    return worst


def shortfalls(zone: ZoneNight) -> list[tuple[datetime, datetime]]:
    """From when to when the zone drew too much while a set-point held, in whole quarters of an hour."""
    bins = zone.kw.size // QUARTER_BINS * QUARTER_BINS
    kw, unmanaged_kw, points = (
        series[:bins].reshape(-1, QUARTER_BINS).mean(axis=1)
        for series in (zone.kw, zone.unmanaged_kw, zone.setpoint_kw)
    )
    asked_kw = np.maximum(np.abs(unmanaged_kw - points), LEAST_ASKED_KW)
    short = np.nan_to_num(kw - points, nan=-np.inf) > SHORT_SHARE * np.nan_to_num(asked_kw)
    turns = np.flatnonzero(np.diff(np.concatenate([[0], short.astype(int), [0]])))
    quarter = QUARTER_BINS * BIN
    return [(zone.at[0] + int(a) * quarter, zone.at[0] + int(b) * quarter) for a, b in turns.reshape(-1, 2)]


def nomination_over_delivery(zones: Sequence[ZoneNight], reports: Iterable[Json]) -> dict[str, float] | None:
    """By zone's name: kWh nominated for its event over kWh delivered in it; None when no report carries the type.

    Delivered is unmanaged minus measured load, over the bins in which a set-point and a nomination held. Of several
    nominations for a bin the last that was told before the bin counts. A zone that gave less than a thousandth of its
    nomination counts as having given that; one that never nominated anything is left out.
    """
    told = [dataclasses.replace(one, values=(sum(one.values),)) for one in reported(reports, NOMINATION)]
    if not told:
        return None
    ratios = {}
    for zone in zones:
        nominated_kw = _last_told_kw(zone, [v for v in told if (v.oem, v.zone) == (zone.oem, zone.zone)])
        held = ~np.isnan(nominated_kw) & ~np.isnan(zone.setpoint_kw)
        delivered_kwh = float((zone.unmanaged_kw - zone.kw)[held].sum()) * BIN_H
        nominated_kwh = float(nominated_kw[held].sum()) * BIN_H
        if nominated_kwh > 0.0:
            ratios[zone.name] = nominated_kwh / max(delivered_kwh, LEAST_DELIVERED_SHARE * nominated_kwh)
    return ratios


def farthest_from_one(ratios: Iterable[float]) -> float | None:
    """The ratio that is farthest from 1 in either direction, 0.5 being as far as 2; None of none."""
    return max(ratios, key=lambda ratio: abs(math.log(ratio)), default=None)


def band_kw(zones: Sequence[ZoneNight], reports: Iterable[Json]) -> tuple[np.ndarray, np.ndarray] | None:
    """The least and the most kW (bins) that zones told to expect, summed; NaN where one told none; None of none."""
    told = reported(reports, BAND)
    if not told:
        return None
    sides = []
    for side in (min, max):
        told_side = [dataclasses.replace(value, values=(side(value.values),)) for value in told]
        by_zone = [_last_told_kw(z, [v for v in told_side if (v.oem, v.zone) == (z.oem, z.zone)]) for z in zones]
        sides.append(np.sum(by_zone, axis=0))
    return sides[0], sides[1]


def _last_told_kw(zone: ZoneNight, told: Sequence[ReportedValue]) -> np.ndarray:
    """By bin, the first number of the last value about it that was told before it began; NaN where there is none."""
    kw = np.full(zone.kw.size, np.nan)
    at = np.array([one.timestamp() for one in zone.at])
    for value in told:
        about: Flags = (at >= max(value.start, value.told_at).timestamp()) & (at < value.end.timestamp())
        kw[about] = value.values[0]
    return kw
