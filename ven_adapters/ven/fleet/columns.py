"""The fleet as columns: one NumPy array per fact, one row per car, and no object per car.

Powers are kW at the charging point (+ import, - export), energies kWh, levels percent of usable capacity, instants
seconds since 1970 UTC. NaN means "never told". Knows nothing of OpenADR, of automakers or of plans.
"""

import dataclasses
import enum
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEVER_S = -np.inf
ALWAYS_S = np.inf
LEVEL_EDGES = (0.0, 50.0, 60.0, 70.0, 80.0, 85.0, 90.0, 95.0, 100.0)
"""Bins of charge, percent, for what a car takes at each."""

DISCHARGE_EFFICIENCY = 0.92  # of a battery's energy, what arrives at the charging point
MOST_DOUBT_PCT = 0.2  # how far below the level that it tells a battery that gives may be taken to be
LEVELS = 8  # the currents of a car for which there is room at first; `widened` makes more


class Control(enum.IntEnum):
    """How finely a car's charging can be set."""

    ON_OFF = 0
    STEPS = 1
    LEVELS = 2
    TARGET_LEVEL = 3


class Tri(enum.IntEnum):
    """A yes or no that a car may not have told us."""

    UNKNOWN = -1
    NO = 0
    YES = 1


class Charge(enum.IntEnum):
    """`contract.ChargeState` as a number."""

    UNKNOWN = 0
    CHARGING = 1
    PAUSED_BY_DIRECTIVE = 2
    WAITING_SCHEDULE = 3
    STOPPED = 4
    COMPLETE = 5
    NO_POWER = 6
    FAULT = 7
    DISCHARGING = 8
    UNPLUGGED = 9


@dataclasses.dataclass(frozen=True, slots=True)
class FleetView:
    """Some rows of the fleet, copied: what planning and guardrails read. Every array has one entry per car.

    `row` is the car's place in the fleet's columns (`fleet.FleetColumns`); `u` is a number in [0, 1) fixed by the car's
    name, by which ties are broken, so that the order of rows never matters. `node`: what it hangs from, a number of the
    `GridTree`, -1 for nothing that is limited. `burden_kwh`: what events withheld from the
    car and took out of it this season, by which loads are shared fairly. `asks_left_s`: for how long the event that is
    planned for may still ask the car, 0 where its driver's patience is at an end. `exported_at_s`: up to when it is
    counted what the battery gave. `cycle_budget`: full equivalent cycles per year. `doubt_pct`: how far the level is
    taken to be below `soc_pct`, where that comes in whole percent. `der_alarm`: whether one of the inverter stands.
    `slow_pct_per_h`, `usual_kw`: per bin of `LEVEL_EDGES`, the pace that a car keeps nine times in ten, and the power
    that it usually takes; NaN: as its data sheet says. `usual_pct_per_kwh`; `unsure_pct`: how far below the level that
    it tells a car may be, because it tells levels in steps. `unseen`: it never charged freely.
    """

    row: Ints
    u: Floats
    zone: Ints
    node: Ints

    enrolled: Bools
    opted_out: Bools
    opted_out_until_s: Floats
    boost_until_s: Floats
    charging_consent: Bools
    discharge_consent: Bools
    interconnected: Bools
    inverter_listed: Bools
    permission_until_s: Floats
    export_limit_kw: Floats
    event_budget_kwh: Floats
    year_budget_kwh: Floats
    event_exported_kwh: Floats
    year_exported_kwh: Floats
    exported_at_s: Floats
    cycle_budget: Floats
    burden_kwh: Floats
    asks_left_s: Floats
    target_pct: Floats
    reserve_pct: Floats
    departure_s: Floats

    usable_kwh: Floats
    max_charge_kw: Floats
    max_discharge_kw: Floats
    min_discharge_kw: Floats
    control: Ints
    floor_kw: Floats
    step_kw: Floats
    levels_kw: Floats
    level_floor_pct: Floats
    can_start: Bools
    can_stop: Bools
    can_resume: Bools

    slow_pct_per_h: Floats
    usual_kw: Floats
    usual_pct_per_kwh: Floats
    unsure_pct: Floats
    unseen: Bools

    soc_pct: Floats
    soc_at_s: Floats
    doubt_pct: Floats
    plugged: Ints
    plugged_at_s: Floats
    plugged_since_s: Floats
    at_home: Ints
    at_home_at_s: Floats
    power_kw: Floats
    power_at_s: Floats
    charge_state: Ints
    charge_state_at_s: Floats
    der_alarm: Ints
    der_alarm_at_s: Floats
    last_toggle_s: Floats
    told_on: Bools

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: Ints | Bools) -> "FleetView":
        """The chosen rows, by position or by mask."""
        return FleetView(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})


def blank(count: int) -> dict[str, npt.NDArray[Any]]:
    """Every column of `FleetView`, `count` rows that say nothing was told yet."""
    return {
        field.name: _blank_column(field.name, _DTYPES[field.type], count) for field in dataclasses.fields(FleetView)
    }


def grown(column: npt.NDArray[Any], count: int, *, fill: Any) -> npt.NDArray[Any]:
    """A column with room for `count` rows, the new ones holding `fill`; itself when it has the room.

    Room is made for a quarter more than is asked, so that a fleet that grows car by car is copied seldom.
    """
    if count <= len(column):
        return column
    wider = np.full((max(count, len(column) * 5 // 4 + 16), *column.shape[1:]), fill, dtype=column.dtype)
    wider[: len(column)] = column
    return wider


def widened(column: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """A column of lists with room for `width` values in each, the new ones NaN; itself when it has the room."""
    missing = width - column.shape[1]
    return column if missing <= 0 else np.pad(column, ((0, 0), (0, missing)), constant_values=np.nan)


def _blank_column(name: str, dtype: Any, count: int) -> npt.NDArray[Any]:
    shape = (count, *_WIDTHS[name]) if name in _WIDTHS else (count,)
    return np.full(shape, _DEFAULTS.get(name, 0), dtype=dtype)


_WIDTHS = {name: (len(LEVEL_EDGES) - 1,) for name in ("slow_pct_per_h", "usual_kw")} | {"levels_kw": (LEVELS,)}
_DTYPES: dict[Any, Any] = {Floats: np.float64, Ints: np.int64, Bools: np.bool_}
_DEFAULTS = {
    "row": -1,
    "zone": -1,
    "node": -1,
    "opted_out_until_s": NEVER_S,
    "boost_until_s": NEVER_S,
    "permission_until_s": NEVER_S,
    "soc_at_s": NEVER_S,
    "plugged_at_s": NEVER_S,
    "plugged_since_s": NEVER_S,
    "at_home_at_s": NEVER_S,
    "power_at_s": NEVER_S,
    "charge_state_at_s": NEVER_S,
    "exported_at_s": NEVER_S,
    "der_alarm": Tri.UNKNOWN,
    "der_alarm_at_s": NEVER_S,
    "last_toggle_s": NEVER_S,
    "target_pct": np.nan,
    "reserve_pct": np.nan,
    "usable_kwh": np.nan,
    "levels_kw": np.nan,
    "soc_pct": np.nan,
    "slow_pct_per_h": np.nan,
    "usual_kw": np.nan,
    "usual_pct_per_kwh": np.nan,
    "departure_s": ALWAYS_S,
    "asks_left_s": ALWAYS_S,
    "plugged": Tri.UNKNOWN,
    "at_home": Tri.UNKNOWN,
}


def doubt_of(told_pct: Floats, before_pct: Floats, spent_pct: Floats) -> Floats:
    """How far below a level told in whole percent a battery that gives is taken to be: 0 to MOST_DOUBT_PCT.

    A step of a whole percent is kilowatt-hours: who plans by it gives too much before the step and too little after it.
    So between steps the energy given is counted down from `before_pct`; what is told is never exceeded, and a
    fall that is deeper than this is left to the next step.
    """
    whole = told_pct == np.floor(told_pct)
    return np.where(whole, np.clip(np.nan_to_num(told_pct - before_pct + spent_pct), 0.0, MOST_DOUBT_PCT), 0.0)
