"""What a cycle decided for one zone, and which of it a car must be told that it does not already hold.

Desired state, not commands: an unchanged desire is recognised, and a window is extended when it is about to run out
instead of being sent again each cycle. Knows nothing of how a plan is made.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.openadr.zone_requests import GridRequest
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.limits.report import LimitsReport
from ven_adapters.ven.planning.night.planned_start import Night

POWER_SHARE = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class ZonePlan:
    """One desire per car of the view, row for row, and what they add up to.

    `row`: the car's row in the fleet. `kind`: a code of `enforcement.DesireKind`; NONE means no desire, so what is held
    for the car is given back. `reason`: a code of `guardrails.Reason`. `power_w`: signed W of CAP and SETPOINT, or 0.
    `expected_kw`: what the car will really draw (+) or give (-). `start_s`, `end_s`: the window (epoch seconds).
    `latest_s`: when no pause may go on.
    `target_pct`: the level to charge to, never below the driver's. `energy_wh`: most to give in a SETPOINT below zero.
    `origin`: index into `origins`, -1 when no event decided. `refusal`: why no discharge, a code of
    `discharge_permits.MissingPermit`. `burden_kw`: what an event keeps the car from drawing, and what it makes it give.
    `limited_by`: the number in the grid's tree of the node whose limit holds the car, -1 where none does.

    Sums are kW of the whole zone, cars that nobody controls included. `unrestricted_kw`: what it would draw unasked.
    `asked_kw`: the set-point or the ceiling in force, None without. `shortfall_kw`: planned less asked, for a ceiling
    only when positive; one car's step is part of it.
    """

    row: Ints
    kind: Ints
    power_w: Ints
    expected_kw: Floats
    start_s: Floats
    end_s: Floats
    latest_s: Floats
    target_pct: Floats
    energy_wh: Ints
    origin: Ints
    reason: Ints
    refusal: Ints
    burden_kw: Floats
    origins: tuple[GridRequest, ...]
    unrestricted_kw: float
    uncontrolled_kw: float
    feasible_min_kw: float
    feasible_max_kw: float
    planned_kw: float
    asked_kw: float | None
    shortfall_kw: float
    night: Night | None = None
    limited_by: Ints = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    limits: LimitsReport | None = None

    def __len__(self) -> int:
        return len(self.row)


PER_CAR = tuple(field.name for field in dataclasses.fields(ZonePlan) if field.type in (Ints, Floats))
HELD = ("kind", "power_w", "start_s", "end_s", "target_pct", "energy_wh")


def with_rows_of(plan: ZonePlan, other: ZonePlan, chosen: Bools) -> ZonePlan:
    """A plan with the chosen rows of another plan of the same cars; sums are those of the first."""
    columns = {name: np.where(chosen, getattr(other, name), getattr(plan, name)) for name in PER_CAR}
    moved = np.where(other.origin >= 0, other.origin + len(plan.origins), len(plan.origins) if other.origins else -1)
    columns["origin"] = np.where(chosen, moved, plan.origin)
    return dataclasses.replace(plan, **columns, origins=(*plan.origins, *other.origins))


def changed(previous: ZonePlan | None, new: ZonePlan, now_s: float, settings: PlanSettings) -> Bools:
    """Per row of `new`: True when the car must be told, False when the desire that it holds still serves.

    `previous` is what cars hold; None when they hold nothing.
    """
    if previous is None or not len(previous):
        return np.asarray(new.kind != DesireKind.NONE)
    held, place = _match(previous, new)
    kind = np.where(held & (previous.end_s[place] > now_s), previous.kind[place], int(DesireKind.NONE))
    tolerance_w = np.maximum(settings.power_tolerance_w, POWER_SHARE * np.abs(new.power_w))
    other_power = np.abs(previous.power_w[place] - new.power_w) > tolerance_w
    later_s = new.end_s - previous.end_s[place]
    runs_out = (later_s > settings.end_tolerance_s) & (previous.end_s[place] - now_s < settings.renew_s)
    # A pause ends by a new desire; it need not be cut because the night lets the car begin a little earlier.
    over_s = np.where(new.kind == DesireKind.CURTAIL, previous.end_s[place] - new.latest_s, -later_s)
    too_long = (over_s > settings.end_tolerance_s) & (new.kind != DesireKind.CHARGE)
    other_target = (np.abs(previous.target_pct[place] - new.target_pct) >= 1) & (new.kind == DesireKind.CHARGE)
    same_kind = other_power | runs_out | too_long | other_target
    return np.asarray((kind != new.kind) | ((new.kind != DesireKind.NONE) & same_kind))


def _match(previous: ZonePlan, new: ZonePlan) -> tuple[Bools, Ints]:
    """For each row of `new` whether `previous` has it, and where; `previous` is not empty."""
    if previous.row is new.row:
        return np.ones(len(new), dtype=np.bool_), np.arange(len(new))
    order = np.argsort(previous.row, kind="stable")
    place = order[np.clip(np.searchsorted(previous.row[order], new.row), 0, len(order) - 1)]
    return previous.row[place] == new.row, place
