"""One zone, one cycle: from the fleet's columns and what is asked of the zone to one desire per car.

Pure NumPy, deterministic, indifferent to the order of rows. Knows nothing of OpenADR objects or automakers.
"""

import dataclasses

from ven_adapters.ven.asks import Ask, ZoneAsks
from ven_adapters.ven.columns import Bools, FleetView, Floats, Ints


@dataclasses.dataclass(frozen=True, slots=True)
class ZonePlan:
    """One desire per car of the view, row for row, and what they add up to.

    `row`: the car's row in the fleet. `kind`, `reason`: codes of `guardrails.Kind` and `guardrails.Reason`. `power_w`:
    signed watts for CAP and SETPOINT, 0 otherwise. `expected_kw`: what the car will really draw (+) or give (-).
    `start_s`, `end_s`: the window (epoch seconds). `origin`: index into `origins`, -1 when no event decided.
    `refusal`: `guardrails.Refusal`, why the car may not discharge.
    Sums are kW of the whole zone, uncontrolled cars included; `shortfall_kw` = planned - asked beyond one car's step,
    0 when nothing was asked.
    """

    row: Ints
    kind: Ints
    power_w: Ints
    expected_kw: Floats
    start_s: Floats
    end_s: Floats
    origin: Ints
    reason: Ints
    refusal: Ints
    origins: tuple[Ask, ...]
    unrestricted_kw: float
    uncontrolled_kw: float
    feasible_min_kw: float
    feasible_max_kw: float
    planned_kw: float
    asked_kw: float | None
    shortfall_kw: float


@dataclasses.dataclass(frozen=True, slots=True)
class PlanSettings:
    """What a programme and an adapter fix for planning."""


def plan(view: FleetView, asks: ZoneAsks, now_s: float, settings: PlanSettings = PlanSettings()) -> ZonePlan:
    """What every car of the zone should do from `now_s` on."""


def changed(previous: ZonePlan | None, new: ZonePlan, now_s: float, settings: PlanSettings = PlanSettings()) -> Bools:
    """Per row of `new`: True when the car must be told, False when the desire that it holds still serves."""
