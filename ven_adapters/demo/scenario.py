"""What the utility does that evening, as data: tariff, prices, the evening program, a change, a cancellation, an alert.

Sources: the periods of PG&E's EV2-A tariff (peak 16 to 21 h, partial peak 15 to 16 and 21 to 24 h, off-peak else) and
the hours of California's evening programs (curtail 16 to 21 h, export 18 to 20 h). Rates and the day-ahead shape are
rounded figures of a summer weekday. The load forecast is a utility's own: drawn from the published statistics of home
charging (arrival, energy, power), never from the cars that are simulated.
"""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ven_adapters.simulator.cars.car_models import CONTROL_NAMES
from ven_adapters.simulator.cars.fleets import COMPLETE, Flags, SimulatedFleet

PACIFIC = ZoneInfo("America/Los_Angeles")
STARTS = datetime(2026, 7, 15, 15, tzinfo=PACIFIC)
HOURS = 21  # until noon, when every car has left: the last drivers go at 09:40
EVENING_HOUR, EVENING_HOURS = 16, 5
EXPORT_HOURS = (18, 19)
CAPPED_HOURS = (8, 15)  # hours of the evening between which one zone has a capacity limit
CAPPED_ZONE = 2  # which nomination, counted from 0
CAPPED_SHARE = 0.75
ASKED_AT = STARTS + timedelta(minutes=30)
MODIFIED_AT = STARTS + timedelta(hours=2, minutes=40)
CANCELLED_AT = STARTS + timedelta(hours=5, minutes=15)
ALERT_AT = STARTS + timedelta(hours=9, minutes=45)
ALERT_MINUTES = 45

OFF_PEAK, PARTIAL, PEAK = 0.31, 0.51, 0.62
EV2A_USD_PER_KWH = (OFF_PEAK,) * 15 + (PARTIAL,) + (PEAK,) * 5 + (PARTIAL,) * 3
DAY_AHEAD_USD_PER_KWH = (
    0.042, 0.039, 0.037, 0.036, 0.037, 0.041, 0.046, 0.040, 0.030, 0.024, 0.022, 0.023,
    0.026, 0.031, 0.038, 0.048, 0.062, 0.084, 0.118, 0.135, 0.112, 0.078, 0.060, 0.050,
)  # fmt: skip

CURTAILED_SHARE = 0.8
EXPORTED_SHARE = 0.55
FORECAST_CARS = 20_000
PLUGGED_SHARE = 0.81
CHARGING_EFFICIENCY = 0.9
POINT_KW, POINT_SHARES = (1.4, 3.6, 7.2, 7.7, 9.6, 11.5), (0.10, 0.05, 0.20, 0.25, 0.20, 0.20)

NOMINATION, BASELINE = "x-EVTN-NOMINATION", "BASELINE"
TARIFF_PROGRAM = "CA-EV2A"
MARKET_PROGRAM = "CA-DAY-AHEAD"
EVENING_PROGRAM = "CA-EVENING-2026"
EVENING_TARGET = "ca-evening"
HOLDABLE = ("amp_list", "amp_range", "charger", "bidirectional", "target_only")
LEVEL_FLOOR_PCT = 50.0


@dataclasses.dataclass(frozen=True, slots=True)
class Nomination:
    """What an automaker has nominated for one zone: cars, the share of their load it can move, and kW it can export."""

    oem: str
    zone: str
    cars: int
    flexible_share: float
    export_kw: float

    @property
    def target(self) -> str:
        """The OpenADR target granted to this resource and to no other."""
        return f"{self.oem}-{self.zone}"


def load_forecast_kw(seed: int) -> tuple[float, ...]:
    """Expected unmanaged kW per enrolled car in each hour of the evening, from published statistics."""
    dice = np.random.default_rng(seed)
    arrives_h = dice.normal(18.25, 1.9, FORECAST_CARS)
    power_kw = dice.choice(POINT_KW, FORECAST_CARS, p=POINT_SHARES)
    lasts_h = dice.gamma(1.7, 9.25, FORECAST_CARS) / CHARGING_EFFICIENCY / power_kw
    loads = []
    for hour in range(EVENING_HOUR, EVENING_HOUR + EVENING_HOURS):
        overlap_h = np.clip(np.minimum(arrives_h + lasts_h, hour + 1) - np.maximum(arrives_h, hour), 0.0, 1.0)
        loads.append(float((overlap_h * power_kw).mean()) * PLUGGED_SHARE)
    return tuple(loads)


def setpoints_kw(nomination: Nomination, forecast_kw: tuple[float, ...]) -> tuple[float, ...]:
    """The evening's dispatch set-points of one resource, hour by hour; below zero means export."""
    points = []
    for position, per_car_kw in enumerate(forecast_kw):
        held_kw = nomination.cars * per_car_kw * (1.0 - CURTAILED_SHARE * nomination.flexible_share)
        exported_kw = EXPORTED_SHARE * nomination.export_kw if EVENING_HOUR + position in EXPORT_HOURS else 0.0
        points.append(round(held_kw - exported_kw, 1))
    return tuple(points)


def tariff_event(program_id: str, hours: int = HOURS) -> dict[str, Any]:
    """The tariff of so many hours."""
    return _hourly(program_id, "EV2-A", "PRICE", EV2A_USD_PER_KWH, hours)


def market_event(program_id: str, hours: int = HOURS) -> dict[str, Any]:
    """What exported energy is worth in so many hours."""
    return _hourly(program_id, "Day-ahead", "EXPORT_PRICE", DAY_AHEAD_USD_PER_KWH, hours)


def _hourly(program_id: str, name: str, payload: str, by_hour: tuple[float, ...], count: int) -> dict[str, Any]:
    hours = [(STARTS + timedelta(hours=hour)).hour for hour in range(count)]
    return {
        "programID": program_id,
        "eventName": name,
        "priority": 9,
        "payloadDescriptors": [_descriptor(payload, units="KWH", currency="USD")],
        "intervalPeriod": {"start": STARTS.isoformat(), "duration": "PT1H"},
        "intervals": [_interval(number, payload, by_hour[hour]) for number, hour in enumerate(hours)],
    }


def evening_event(program_id: str, nomination: Nomination, setpoints: tuple[float, ...]) -> dict[str, Any]:
    """The dispatch of one resource from 16 to 21 h, with the reports that it asks for hour by hour."""
    start = STARTS.replace(hour=EVENING_HOUR)
    return {
        "programID": program_id,
        "eventName": f"Evening {nomination.target}",
        "priority": 1,
        "targets": [nomination.target],
        "payloadDescriptors": [_descriptor("DISPATCH_SETPOINT", units="KW")],
        "reportDescriptors": [
            _wanted("USAGE", "KWH"),
            _wanted("DEMAND", "KW"),
            {"payloadType": "OPERATING_STATE"},
            {"payloadType": "STORAGE_CHARGE_LEVEL", "units": "PERCENT"},
        ],
        "intervalPeriod": {"start": start.isoformat(), "duration": "PT1H"},
        "intervals": [_interval(number, "DISPATCH_SETPOINT", kw) for number, kw in enumerate(setpoints)],
    }


def cap_kw(nomination: Nomination, forecast_kw: tuple[float, ...]) -> float:
    """The capacity limit of the capped zone: a share of the greatest load that the utility expects unmanaged."""
    return round(CAPPED_SHARE * max(forecast_kw) * nomination.cars, 1)


def cap_event(program_id: str, nomination: Nomination, kw: float) -> dict[str, Any]:
    """A transformer that is short of capacity in the night: what one resource may draw, from 23 to 06 h."""
    first, last = CAPPED_HOURS
    return {
        "programID": program_id,
        "eventName": f"Capacity {nomination.target}",
        "priority": 2,
        "targets": [nomination.target],
        "payloadDescriptors": [_descriptor("IMPORT_CAPACITY_LIMIT", units="KW")],
        "intervalPeriod": {"start": (STARTS + timedelta(hours=first)).isoformat(), "duration": f"PT{last - first}H"},
        "intervals": [_interval(0, "IMPORT_CAPACITY_LIMIT", kw)],
    }


def alert_event(program_id: str) -> dict[str, Any]:
    """A grid emergency that starts the moment it is read."""
    return {
        "programID": program_id,
        "eventName": "Line lost",
        "priority": 0,
        "intervalPeriod": {"start": "0001-01-01T00:00:00Z", "duration": f"PT{ALERT_MINUTES}M"},
        "intervals": [_interval(0, "ALERT_GRID_EMERGENCY", "A transmission line was lost: stop what can wait.")],
    }


def _wanted(payload: str, units: str) -> Mapping[str, Any]:
    return {
        "payloadType": payload,
        "units": units,
        "startInterval": 0,
        "numIntervals": 1,
        "frequency": 1,
        "repeat": EVENING_HOURS,
    }


def _descriptor(payload: str, **context: str) -> dict[str, Any]:
    return {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": payload, **context}


def _interval(number: int, payload: str, value: float | str) -> dict[str, Any]:
    return {"id": number, "payloads": [{"type": payload, "values": [value]}]}


def nominations(fleet: SimulatedFleet) -> list[Nomination]:
    """One nomination per zone of a fleet."""
    return [_nominate(fleet, number) for number in range(len(fleet.zones))]


def _nominate(fleet: SimulatedFleet, number: int) -> Nomination:
    """The share of the zone's energy need that belongs to cars that can be held back, and the export on file."""
    here = fleet.zone == number
    willing = here & _can_be_held(fleet) & ~fleet.opted_out
    exports = here & (fleet.papers == COMPLETE) & (fleet.max_discharge_w > 0) & ~fleet.opted_out
    share = float(fleet.need_wh[0][willing].sum() / fleet.need_wh[0][here].sum())
    limit_w = np.minimum(fleet.max_discharge_w, fleet.export_limit_w)
    exported_kw = float(limit_w[exports].sum()) / 1_000.0 * PLUGGED_SHARE
    return Nomination(fleet.brand, fleet.zones[number], int(here.sum()), share, exported_kw)


def _can_be_held(fleet: SimulatedFleet) -> Flags:
    """Cars that can pause and resume; one that only takes a target level pauses from 50 % on."""
    holdable = np.isin(fleet.control, [CONTROL_NAMES.index(name) for name in HOLDABLE])
    by_level = fleet.control == CONTROL_NAMES.index("target_only")
    answer: Flags = holdable & (~by_level | (fleet.soc_pct >= LEVEL_FLOOR_PCT))
    return answer
