"""What a car can be told at its charging point, and whether it may feed the grid: refused closed, naming what lacks.

Wanted: a station that follows set-points, a car that said in this very session what it lets out and that leaves the
schedule to us, a charge level newer than a quarter of an hour above the driver's reserve, and no alarm. Pure.
"""

import math
from datetime import datetime, timedelta

from ven_adapters.contract import (
    BackendError,
    Capability,
    CurrentControl,
    Directive,
    DischargeControl,
    ErrorCode,
    Validity,
)
from ven_adapters.transport.ocpp21.stations.charging_points import CarNeeds, ChargingPoint, RegisteredPoint, Station

FRESH = timedelta(minutes=15)
MODE = "CentralSetpoint"
FULL_PCT = 100.0
EFFICIENCY = 0.92  # of a discharge: what the meter counts of what the battery loses; as the planning has it
UNITS = ("W", "A")
LEAST_A = 6  # IEC 61851: no charging point offers a car less and lets it charge


def rate_unit(station: Station) -> str | None:
    """The unit of schedules for a station: watts where it takes them, else amperes; None when it has refused both.

    What it said is tried first, and the other where it then refuses what it said.
    """
    wanted = sorted(UNITS, key=lambda unit: bool(station.rate_units) and unit not in station.rate_units)
    return next((unit for unit in wanted if unit not in station.refused_units), None)


def wiring(point: ChargingPoint) -> tuple[int | None, int]:
    """Phases and voltage by which watts become amperes, so that no more watts flow than were meant.

    The most phases that the owner, the station or its meter ever spoke of, and the higher of the nominal and the
    measured voltage. Direct current has no phases (None).
    """
    lines = {phase for _, phase, _ in point.meter.known if phase in ("L1", "L2", "L3")}
    measured = point.snapshot.voltage_v
    told_v = math.ceil(measured.value) if measured is not None and measured.validity is Validity.OK else 0
    direct = point.needs is not None and point.needs.direct_current
    phases = None if direct else max(point.place.phases, point.phases_used or 1, len(lines))
    return phases, max(point.place.voltage_v, told_v)


def capability(point: ChargingPoint, station: Station) -> Capability:
    """What a car can do at its charging point: any power in watts, or a whole current, and discharge where it may be.

    A set-point in amperes is read as that of one phase by some stations and as that of all by others: one phase only.
    """
    place, unit = point.place, rate_unit(station)
    phases, voltage_v = wiring(point) if unit == "A" else (place.phases, place.voltage_v)
    most_a = place.max_charge_w // (voltage_v * (phases or 1))
    able = unit == "W" or (unit == "A" and phases in (None, 1))
    gives = able and place.max_discharge_w > 0 and bool(station.v2x) and MODE in station.modes
    return Capability(
        model=place.model,
        usable_wh=place.usable_wh,
        max_charge_w=place.max_charge_w,
        phases=phases or 1,
        voltage_v=voltage_v,
        can_set_power=unit == "W",
        can_stop=unit is not None,
        current=CurrentControl(LEAST_A, most_a) if unit == "A" and most_a >= LEAST_A else None,
        discharge=discharge_control(place, point) if gives else None,
        wake_supported=False,
        latency_typical_s=1.0,
        latency_p99_s=20.0,
    )


def discharge_control(place: RegisteredPoint, point: ChargingPoint) -> DischargeControl:
    """The owner's limits, narrowed by the car's where it has told them."""
    needs = point.needs
    most_w, least_w = place.max_discharge_w, place.min_discharge_w
    if needs is not None and needs.max_discharge_w is not None:
        most_w = min(most_w, int(needs.max_discharge_w))
    if needs is not None and needs.min_discharge_w is not None:
        least_w = max(least_w, int(needs.min_discharge_w))
    return DischargeControl("EVSE", most_w, least_w)


def refusal(directive: Directive, point: ChargingPoint, station: Station, now: datetime) -> BackendError | None:
    """Why this car may not begin to discharge, or None."""
    if (error := stop(directive, point, station)) is not None:
        return error
    if directive.reserve_soc_pct is None:
        return _no("reserve_soc_pct: is required for a discharge")
    soc = point.snapshot.soc_pct
    if soc is None or soc.validity is not Validity.OK or now - soc.observed_at > FRESH:
        return _no("soc_pct: is unknown or older than 15 minutes")
    if spare_wh(directive, point) <= 0:
        return _no("spare_wh: nothing is left above the reserve, the budget and the car's own bound")
    return None


def stop(directive: Directive, point: ChargingPoint, station: Station) -> BackendError | None:
    """Why a discharge must not go on, or None; for one that did not begin, why it must not begin."""
    if station.alarms:
        return _no(f"der_alarm: {min(station.alarms)} stands")
    if station.clock_offset_s:
        return _no(f"clock: the station's is {station.clock_offset_s:.0f} s from ours, and the window would end by it")
    if (why := _unwilling(directive, point.needs)) is not None:
        return _no(why)
    if below_reserve(directive, point):
        return BackendError(ErrorCode.LIMIT_REACHED, "reserve_soc_pct: is reached")
    return None


def _unwilling(directive: Directive, needs: CarNeeds | None) -> str | None:
    """Why what the car said of itself forbids it."""
    if needs is None or not needs.bidirectional:
        return "v2xChargingParameters: the car has not said in this session that it lets energy out"
    if needs.own_schedule:
        return "controlMode: the car owns its schedule"
    if needs.departure is not None and directive.end > needs.departure:
        return "departureTime: the car leaves before the window ends"
    return None


def spare_wh(directive: Directive, point: ChargingPoint) -> float:
    """What a discharge may deliver: the least of the directive's budget, the charge above the reserve, the car's bound.

    The budget is counted by the meter; charge and bound are the battery's, which loses more than the meter counts.
    """
    soc, reserve_pct = point.snapshot.soc_pct, directive.reserve_soc_pct
    if soc is None or reserve_pct is None:
        return 0.0
    bounds = [(soc.value - reserve_pct) / FULL_PCT * point.place.usable_wh * EFFICIENCY]
    if directive.max_energy_wh is not None:
        bounds.append(float(directive.max_energy_wh))
    if (left_wh := _let_out_wh(point)) is not None:
        bounds.append(left_wh)
    return max(0.0, min(bounds))


def below_reserve(directive: Directive, point: ChargingPoint) -> bool:
    """Whether a reading says that the driver's reserve is reached; one that proves nothing is enough to stop."""
    soc, reserve_pct = point.snapshot.soc_pct, directive.reserve_soc_pct
    known = soc is not None and soc.validity is not Validity.SENTINEL
    return known and reserve_pct is not None and soc is not None and soc.value <= reserve_pct


def _let_out_wh(point: ChargingPoint) -> float | None:
    """What the car still lets out, by the meter, less what it has given since; nothing where no register tells that."""
    needs, counter = point.needs, point.snapshot.energy_exported_wh
    if needs is None or needs.spare_wh is None:
        return None
    if counter is None or needs.exported_wh is None:
        return 0.0
    return max(0.0, needs.spare_wh * EFFICIENCY - max(0.0, counter.value - needs.exported_wh))


def _no(detail: str) -> BackendError:
    return BackendError(ErrorCode.NOT_PERMITTED, detail)
