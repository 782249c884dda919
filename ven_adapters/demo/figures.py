"""The figures of a night, from the simulators' ground truth: each over the whole window in which it could be bad. Pure.

A zone is judged by itself, and the sum of all zones besides: what one zone does too much never makes up for what
another does too little. Loads are kW in bins of five minutes. The evening begins with the simulation, the event ends
with its last set-point; a zone whose event was cancelled ends earlier than others, and is judged from then on.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ven_adapters.demo.results import BIN, BIN_H, EveningTruth, setpoint_kw
from ven_adapters.demo.scenario import PACIFIC
from ven_adapters.demo.utility import AskedSetPoint

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NOON_HOUR = 12
PEAK_CARS, INTERVAL_CARS = 100, 250  # the fewest cars of a zone whose peak or interval is judged
QUARTER_BINS = 3
LEAST_ASKED_KW = 1.0  # a deviation where less was asked is a share of this, so that none is passed over
LEAST_KW = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneNight:
    """One zone's night: kW per bin, the set-point and the cap where they held a whole bin (NaN elsewhere).

    `after` marks the bins from the end of the zone's event to noon, `asked_step` those in which the load may change
    because the utility asked for it at that moment.
    """

    oem: str
    zone: str
    cars: int
    at: tuple[datetime, ...]
    kw: Floats
    unmanaged_kw: Floats
    setpoint_kw: Floats
    cap_kw: Floats
    after: Flags
    asked_step: Flags

    @property
    def name(self) -> str:
        """Automaker and zone."""
        return f"{self.oem}-{self.zone}"


@dataclasses.dataclass(frozen=True, slots=True)
class NightEvents:
    """What the utility asked: set-points and caps by resource, and from when to when an emergency stopped all."""

    asks: Sequence[AskedSetPoint]
    caps: Sequence[AskedSetPoint] = ()
    alerts: Sequence[tuple[datetime, datetime]] = ()

    @property
    def end(self) -> datetime:
        """When the last set-point ended."""
        return max(ask.end for ask in self.asks)


@dataclasses.dataclass(frozen=True, slots=True)
class PeakRatios:
    """A managed peak after the event over an unmanaged one: of the whole night, and of the same hours."""

    peak_kw: float
    unmanaged_peak_kw: float
    night: float
    after_event: float


@dataclasses.dataclass(frozen=True, slots=True)
class Ramps:
    """The greatest change in five minutes, in percent of the unmanaged peak: unasked, and in steps that were asked."""

    unasked_pct: float
    asked_pct: float


def zone_nights(truths: Sequence[EveningTruth], events: NightEvents) -> list[ZoneNight]:
    """Every zone of every automaker."""
    return [_zone_night(truth, column, events) for truth in truths for column in range(len(truth.zones))]


def _zone_night(truth: EveningTruth, column: int, events: NightEvents) -> ZoneNight:
    points, caps = (setpoint_kw(truth, asks)[:, column] for asks in (events.asks, events.caps))
    mine = [ask.end for ask in events.asks if ask.target == f"{truth.oem}-{truth.zones[column]}"]
    kw = truth.kw[:, column]
    return ZoneNight(
        truth.oem,
        truth.zones[column],
        int(truth.counts["zones"][truth.zones[column]]["cars"]),
        truth.at,
        kw,
        truth.unmanaged_kw[:, column],
        points,
        caps,
        _until_noon(truth.at, max(mine, default=events.end)),
        _asked_steps(points, caps) | _falls_in(events.alerts, truth.at, kw),
    )


def _until_noon(at: Sequence[datetime], end: datetime) -> Flags:
    """The bins from `end` to the noon after it, or to the end of the night, if that is earlier."""
    end = end.astimezone(PACIFIC)
    noon = end.replace(hour=NOON_HOUR, minute=0, second=0, microsecond=0)
    noon += timedelta(days=1) if noon <= end else timedelta()
    return np.array([end <= one < noon for one in at], bool)


def _asked_steps(points: Floats, caps: Floats) -> Flags:
    """The first bin of each set-point and cap that differs from what held before; the end of an event is none."""
    steps = np.zeros(points.size, bool)
    for series in (points, caps):
        before = np.concatenate([[np.nan], series[:-1]])
        steps |= ~np.isnan(series) & (series != before)
    return steps


def _falls_in(alerts: Iterable[tuple[datetime, datetime]], at: Sequence[datetime], kw: Floats) -> Flags:
    """Bins of an emergency in which the load falls: it asks for that from the moment on in which it is read."""
    within = np.zeros(len(at), bool)
    for start, end in alerts:
        within |= np.array([start < one + BIN and one < end for one in at], bool)
    return within & (np.diff(kw, prepend=kw[:1]) < 0.0)


def zone_peaks(zone: ZoneNight) -> PeakRatios:
    """The peak ratios of one zone; see `rebound_peaks`."""
    return _peak_ratios(zone.kw, zone.unmanaged_kw, zone.after)


def rebound_peaks(zones: Sequence[ZoneNight], events: NightEvents) -> PeakRatios:
    """The peak ratios of the sum of all zones.

    Over: the managed peak from the end of the evening event (its last set-point) to noon, or to the end of the night.
    `night`: under it the unmanaged peak of the whole night, from the start of the evening on. `after_event`: under it
    the unmanaged peak of the same hours as the managed one. Both are asked about, and the second is never the smaller.
    """
    kw, unmanaged_kw = total_kw(zones)
    return _peak_ratios(kw, unmanaged_kw, _until_noon(zones[0].at, events.end))


def total_kw(zones: Sequence[ZoneNight]) -> tuple[Floats, Floats]:
    """The load of all zones, managed and unmanaged."""
    return np.sum([zone.kw for zone in zones], axis=0), np.sum([zone.unmanaged_kw for zone in zones], axis=0)


def _peak_ratios(kw: Floats, unmanaged_kw: Floats, after: Flags) -> PeakRatios:
    peak_kw = float(kw[after].max(initial=0.0))
    whole_kw, same_kw = float(unmanaged_kw.max(initial=0.0)), float(unmanaged_kw[after].max(initial=0.0))
    return PeakRatios(peak_kw, whole_kw, peak_kw / max(whole_kw, LEAST_KW), peak_kw / max(same_kw, LEAST_KW))


def zone_ramps(zone: ZoneNight) -> Ramps:
    """The greatest changes of one zone over the whole night, ends of events included; see `Ramps`."""
    return total_ramps([zone])


def total_ramps(zones: Sequence[ZoneNight]) -> Ramps:
    """The greatest changes of the sum. In each bin the changes of zones that were asked for one are summed apart."""
    changes = np.array([np.diff(zone.kw) for zone in zones])
    asked = np.array([zone.asked_step[1:] for zone in zones])
    peak_kw = max(float(total_kw(zones)[1].max(initial=0.0)), LEAST_KW)
    unasked_pct, asked_pct = (
        100.0 * float(np.abs(np.where(which, changes, 0.0).sum(axis=0)).max(initial=0.0)) / peak_kw
        for which in (~asked, asked)
    )
    return Ramps(unasked_pct, asked_pct)


def event_energy_error_pct(zones: Sequence[ZoneNight]) -> float | None:
    """How far the energy delivered in each zone's event was from what was asked, of all that was asked.

    Asked is unmanaged minus set-point, delivered unmanaged minus measured, both over all bins of the event. Absolute by
    zone before they are summed. None when nothing was asked.
    """
    asked_kwh = delivered_apart_kwh = 0.0
    for zone in zones:
        held = ~np.isnan(zone.setpoint_kw)
        asked_kwh += abs(float((zone.unmanaged_kw - zone.setpoint_kw)[held].sum())) * BIN_H
        delivered_apart_kwh += abs(float((zone.setpoint_kw - zone.kw)[held].sum())) * BIN_H
    return 100.0 * delivered_apart_kwh / asked_kwh if asked_kwh > 0.0 else None


def interval_error_p95_pct(zones: Sequence[ZoneNight]) -> float | None:
    """The 95th percentile over quarters of an hour of |delivered - asked| / asked of all zones together.

    A zone counts in the quarters that its set-points held from beginning to end. None when there is no such quarter.
    """
    held, asked_kw, apart_kw = (np.array(part) for part in zip(*map(_quarters, zones), strict=True))
    some = held.any(axis=0)
    asked = np.where(held, asked_kw, 0.0).sum(axis=0)[some]
    return _p95_pct(np.where(held, apart_kw, 0.0).sum(axis=0)[some], asked)


def zone_interval_p95_pct(zone: ZoneNight) -> float | None:
    """The same for one zone by itself."""
    held, asked_kw, apart_kw = _quarters(zone)
    return _p95_pct(apart_kw[held], asked_kw[held])


def _quarters(zone: ZoneNight) -> tuple[Flags, Floats, Floats]:
    """By quarter of an hour: did a set-point hold throughout, kW asked, kW measured above the set-point."""
    bins = zone.kw.size // QUARTER_BINS * QUARTER_BINS
    kw, unmanaged_kw, points = (
        series[:bins].reshape(-1, QUARTER_BINS) for series in (zone.kw, zone.unmanaged_kw, zone.setpoint_kw)
    )
    held = np.asarray(~np.isnan(points).any(axis=1))
    return held, (unmanaged_kw - points).mean(axis=1), (kw - points).mean(axis=1)


def _p95_pct(apart_kw: Floats, asked_kw: Floats) -> float | None:
    if not asked_kw.size:
        return None
    errors = np.abs(apart_kw) / np.maximum(np.abs(asked_kw), LEAST_ASKED_KW)
    return 100.0 * float(np.percentile(errors, 95, method="inverted_cdf"))


def cap_breach_kwh(zones: Sequence[ZoneNight]) -> float | None:
    """The energy above caps, summed over zones and bins; None when no cap held."""
    if all(np.isnan(zone.cap_kw).all() for zone in zones):
        return None
    return sum(float(np.nansum(np.maximum(zone.kw - zone.cap_kw, 0.0))) for zone in zones) * BIN_H


def worst_of(
    zones: Sequence[ZoneNight], least_cars: int, figure: Callable[[ZoneNight], float | None]
) -> tuple[float, str] | None:
    """The greatest figure of the zones with so many cars, and whose it is; None when there is none."""
    found = [(value, zone.name) for zone in zones if zone.cars >= least_cars and (value := figure(zone)) is not None]
    return max(found, default=None)
