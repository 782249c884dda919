"""What was agreed on a car and what it can do, as records and as column values: what is missing is never a permission.

Knows nothing of rows, of files or of stores.
"""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ven_adapters.contract import Capability
from ven_adapters.ven.fleet.columns import ALWAYS_S, LEVELS, NEVER_S, Control

Rhythm = tuple[str, tuple[time | None, ...]]
"""A time zone and the weekly departures in it: many cars share one."""


def next_departure(timezone: str, ready_by: Sequence[time | None], now: datetime) -> datetime | None:
    """The first departure after `now` (UTC), or None when the week has none.

    Local wall time: a time that a clock change skips is read with the offset before the change, one that comes twice is
    the first of the two, because too early is the safe side.
    """
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    for days in range(-1, 9):
        day = today + timedelta(days=days)
        ready = ready_by[day.weekday()]
        if ready is not None:
            departure = datetime.combine(day, ready, zone).astimezone(UTC)
            if departure > now:
                return departure
    return None


def departure_s(rhythm: Rhythm, now: datetime) -> float:
    """The next departure of a rhythm, epoch seconds; ALWAYS_S when there is none."""
    departure = next_departure(rhythm[0], rhythm[1], now)
    return ALWAYS_S if departure is None else departure.timestamp()


@dataclasses.dataclass(frozen=True, slots=True)
class Permission:
    """The agreement under which a home may feed the grid."""

    interconnection_id: str
    export_limit_w: int
    valid_until: datetime
    inverter_listing: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DischargeBudget:
    """How much a battery may give, per event and per year, AC side, and in how many full equivalent cycles a year."""

    max_event_wh: int
    max_year_wh: int
    max_year_cycles: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class EventCaps:
    """How often events may ask a car, at most; None where nobody said."""

    events_per_day: int | None = None
    hours_per_week: float | None = None
    hours_per_season: float | None = None
    consecutive_days: int | None = None

    def over(self, usual: "EventCaps") -> "EventCaps":
        """These caps, and the usual ones where these say nothing."""
        return EventCaps(*(given if given is not None else other for given, other in self._beside(usual)))

    def within(self, other: "EventCaps") -> "EventCaps":
        """The tighter of two, cap by cap."""
        pairs = ([cap for cap in pair if cap is not None] for pair in self._beside(other))
        return EventCaps(*(min(given, default=None) for given in pairs))

    def _beside(self, other: "EventCaps") -> list[tuple[Any, Any]]:
        return list(zip(self.each, other.each, strict=True))

    @property
    def each(self) -> tuple[int | None, float | None, float | None, int | None]:
        """The caps in their order."""
        return self.events_per_day, self.hours_per_week, self.hours_per_season, self.consecutive_days


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolment:
    """What a driver agreed to. `ready_by` has one local time per weekday, Monday first; None means no departure.

    `consented_s` and `discharge_consented_s` are when the driver agreed (Unix time), so that a withdrawal ends what was
    agreed before it and nothing that is agreed after it. `programs` names the programmes that the car is in; none where
    nobody named any. `patience`: the caps that its driver agreed to, where they are not the programme's.
    `grid_node`: the node of the grid file that the home hangs from. `site_import_limit_w`, `site_export_limit_w`: what
    all cars of the home may draw and feed together; None where nobody said.
    """

    vehicle_ref: str
    zone: str
    site_id: str
    timezone: str
    ready_by: tuple[time | None, ...]
    target_soc_pct: float
    reserve_soc_pct: float
    charging_consent: bool = False
    discharge_consent: bool = False
    permission: Permission | None = None
    discharge_budget: DischargeBudget | None = None
    opted_out: bool = False
    consented_s: float = NEVER_S
    discharge_consented_s: float = NEVER_S
    programs: tuple[str, ...] = ()
    patience: EventCaps | None = None
    grid_node: str | None = None
    site_import_limit_w: int | None = None
    site_export_limit_w: int | None = None


def enrolment_columns(enrolment: Enrolment) -> dict[str, Any]:
    """What an enrolment says, as column values; what is missing is a refusal, never a default permission."""
    permission, budget = enrolment.permission, enrolment.discharge_budget
    return {
        "enrolled": True,
        "opted_out": enrolment.opted_out,
        "charging_consent": enrolment.charging_consent,
        "discharge_consent": enrolment.discharge_consent,
        "interconnected": permission is not None and bool(permission.interconnection_id),
        "inverter_listed": permission is not None and bool(permission.inverter_listing),
        "permission_until_s": permission.valid_until.timestamp() if permission else NEVER_S,
        "export_limit_kw": permission.export_limit_w / 1000 if permission else 0.0,
        "event_budget_kwh": budget.max_event_wh / 1000 if budget else 0.0,
        "year_budget_kwh": budget.max_year_wh / 1000 if budget else 0.0,
        "cycle_budget": (budget.max_year_cycles or 0.0) if budget else 0.0,
        "target_pct": enrolment.target_soc_pct,
        "reserve_pct": enrolment.reserve_soc_pct,
    }


def capability_columns(capability: Capability) -> dict[str, Any]:
    """What a car can do, as column values."""
    discharge, limit = capability.discharge, capability.limit_soc
    by_target = limit is not None and not capability.can_stop
    return {
        "usable_kwh": capability.usable_wh / 1000,
        "max_charge_kw": capability.max_charge_w / 1000,
        "max_discharge_kw": discharge.max_discharge_w / 1000 if discharge else 0.0,
        "min_discharge_kw": discharge.min_discharge_w / 1000 if discharge else 0.0,
        "level_floor_pct": max(limit.min_pct, limit.applies_from_pct) if limit else 0.0,
        "can_start": capability.can_start or limit is not None,
        "can_stop": capability.can_stop or by_target,
        "can_resume": capability.can_resume_after_stop or by_target,
        **_control_columns(capability, by_target=by_target),
    }


def _control_columns(capability: Capability, *, by_target: bool) -> dict[str, Any]:
    kw_per_a = capability.voltage_v * capability.phases / 1000
    current = capability.current
    levels_kw = np.full(LEVELS, np.nan)
    listed = () if current is None else current.choices_a
    choices_a = sorted({amps for amps in listed if current is not None and 0 < amps <= current.max_a})
    control, floor_kw, step_kw = Control.TARGET_LEVEL if by_target else Control.ON_OFF, 0.0, 0.0
    if choices_a:
        control = Control.LEVELS
        levels_kw = np.full(max(LEVELS, len(choices_a)), np.nan)
        levels_kw[: len(choices_a)] = [amps * kw_per_a for amps in choices_a]
        floor_kw = choices_a[0] * kw_per_a
    elif current is not None and not listed:
        control, floor_kw, step_kw = Control.STEPS, current.min_a * kw_per_a, current.step_a * kw_per_a
    elif capability.can_set_power:
        control, step_kw = Control.STEPS, 0.001
    return {"control": control, "floor_kw": floor_kw, "step_kw": step_kw, "levels_kw": levels_kw}
