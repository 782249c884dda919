"""The cars of one adapter: enrolments, capabilities and readings turned into columns with stable rows.

Used by one asyncio task at a time. A row never moves and is never reused, so a plan's rows stay good between cycles.
Readings older than the ones held, or not OK, change nothing. Knows nothing of OpenADR and does no I/O.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import Capability, ChargeState, DriverChoice, Known, Reading, Snapshot, Validity
from ven_adapters.ven.columns import ALWAYS_S, LEVELS, NEVER_S, Bools, Charge, Control, FleetView, Ints, Tri, blank


@dataclasses.dataclass(frozen=True, slots=True)
class Permission:
    """The agreement under which a home may feed the grid."""

    interconnection_id: str
    export_limit_w: int
    valid_until: datetime
    inverter_listing: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DischargeBudget:
    """How much a battery may give, per event and per year, AC side."""

    max_event_wh: int
    max_year_wh: int


@dataclasses.dataclass(frozen=True, slots=True)
class Enrolment:
    """What a driver agreed to. `ready_by` has one local time per weekday, Monday first; None means no departure."""

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


Rhythm = tuple[str, tuple[time | None, ...]]
"""A time zone and the weekly departures in it: many cars share one."""


class Fleet:
    """Columns with one row per car; see `FleetView` for what they hold."""

    def __init__(self) -> None:
        self._refs: list[str] = []
        self._rows: dict[str, int] = {}
        self._zones: list[str] = []
        self._zone_ids: dict[str, int] = {}
        self._rhythms: list[Rhythm] = []
        self._rhythm_ids: dict[Rhythm, int] = {}
        self._rhythm: Ints = np.zeros(0, dtype=np.int64)
        self._due_s = NEVER_S
        self._enrolments: dict[str, Enrolment] = {}
        self._columns: dict[str, npt.NDArray[Any]] = blank(0)

    def __len__(self) -> int:
        return len(self._refs)

    def __contains__(self, ref: str) -> bool:
        return ref in self._rows

    @property
    def zones(self) -> tuple[str, ...]:
        """Zone names in the order of their ids."""
        return tuple(self._zones)

    def ref(self, row: int) -> str:
        """The car at a row."""
        return self._refs[row]

    def row(self, ref: str) -> int:
        """The row of a car; KeyError when it was never enrolled."""
        return self._rows[ref]

    def enrolment(self, ref: str) -> Enrolment:
        """The car's present enrolment; KeyError when it has none."""
        return self._enrolments[ref]

    def enrol(self, enrolments: Iterable[Enrolment]) -> None:
        """Add cars, or replace what drivers agreed to; readings and capabilities held are kept."""
        for enrolment in enrolments:
            self._enrolments[enrolment.vehicle_ref] = enrolment
            self._apply_enrolment(self._row_for(enrolment.vehicle_ref), enrolment)
        self._due_s = NEVER_S

    def retire(self, refs: Iterable[str]) -> None:
        """End enrolments: the rows stay, and no plan touches them again."""
        for ref in refs:
            self._enrolments.pop(ref, None)
            self._columns["enrolled"][self._rows[ref]] = False

    def learn(self, capabilities: Mapping[str, Capability]) -> None:
        """Record what cars can do, as their backends said."""
        for ref, capability in capabilities.items():
            self._set(self._rows[ref], capability_columns(capability))

    def observe(self, snapshots: Sequence[Snapshot]) -> None:
        """Record readings; older ones, unusable ones and unknown cars change nothing."""
        for snapshot in snapshots:
            row = self._rows.get(snapshot.vehicle_ref)
            if row is not None:
                self._observe(row, snapshot)

    def choose(self, ref: str, choice: DriverChoice, *, until: datetime | None) -> None:
        """Record a driver's choice; `until` None means until further notice."""
        until_s = ALWAYS_S if until is None else until.timestamp()
        self._set(self._rows[ref], _CHOICES[choice](until_s))

    def note_export(self, ref: str, *, event_kwh: float, year_kwh: float) -> None:
        """Record what a battery gave in the running event and in the running year (AC side, absolute totals)."""
        self._set(self._rows[ref], {"event_exported_kwh": event_kwh, "year_exported_kwh": year_kwh})

    def note_toggle(self, refs: Iterable[str], at: datetime, *, on: bool) -> None:
        """Record that cars were told to start (`on`) or to stop: what they do until the minimum dwell is over."""
        for ref in refs:
            self._set(self._rows[ref], {"last_toggle_s": at.timestamp(), "told_on": on})

    def refresh_departures(self, now: datetime) -> None:
        """Bring `departure_s` to the first departure after `now`; cheap when none has passed."""
        if now.timestamp() < self._due_s or not self._refs:
            return
        departures_s = np.array([_departure_s(rhythm, now) for rhythm in self._rhythms])
        self._columns["departure_s"][: len(self)] = departures_s[self._rhythm[: len(self)]]
        self._due_s = float(departures_s.min())

    def view(self, rows: Ints | Bools | None = None) -> FleetView:
        """The chosen rows, copied; every car when None. Call `refresh_departures` first."""
        columns = {name: column[: len(self)] for name, column in self._columns.items()}
        chosen = slice(None) if rows is None else rows
        return FleetView(**{name: column[chosen].copy() for name, column in columns.items()})

    def zone_rows(self, zone: str) -> Ints:
        """The rows of a zone's enrolled cars, ascending; none when the zone is unknown."""
        count = len(self)
        in_zone = self._columns["zone"][:count] == self._zone_ids.get(zone, -1)
        return np.flatnonzero(in_zone & self._columns["enrolled"][:count])

    def zone(self, zone: str) -> FleetView:
        """The zone's enrolled cars."""
        return self.view(self.zone_rows(zone))

    def _set(self, row: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._columns[name][row] = value

    def _row_for(self, ref: str) -> int:
        row = self._rows.get(ref)
        if row is not None:
            return row
        row = len(self._refs)
        if row == len(self._rhythm):
            self._grow(max(64, 2 * row))
        self._refs.append(ref)
        self._rows[ref] = row
        self._set(row, {"row": row, "u": unit_hash(ref)})
        return row

    def _grow(self, count: int) -> None:
        wider, size = blank(count), len(self)
        for name, column in self._columns.items():
            wider[name][:size] = column[:size]
        self._columns = wider
        self._rhythm = np.concatenate([self._rhythm, np.zeros(count - len(self._rhythm), dtype=np.int64)])

    def _apply_enrolment(self, row: int, enrolment: Enrolment) -> None:
        rhythm = (enrolment.timezone, enrolment.ready_by)
        self._rhythm[row] = _intern(self._rhythms, self._rhythm_ids, rhythm)
        zone = _intern(self._zones, self._zone_ids, enrolment.zone)
        self._set(row, {"zone": zone, **enrolment_columns(enrolment)})

    def _observe(self, row: int, snapshot: Snapshot) -> None:
        was_plugged, out_s = self._columns["plugged"][row], self._columns["plugged_at_s"][row]
        for field, column, at_column, convert in _READINGS:
            reading: Reading[Any] | None = getattr(snapshot, field)
            if reading is None or reading.validity is not Validity.OK:
                continue
            observed_s = reading.observed_at.timestamp()
            if observed_s > self._columns[at_column][row]:
                self._set(row, {column: convert(reading.value), at_column: observed_s})
        if self._columns["plugged"][row] == Tri.YES != was_plugged:
            self._columns["plugged_since_s"][row] = self._columns["plugged_at_s"][row]
            if was_plugged == Tri.NO and self._columns["soc_at_s"][row] < out_s:
                self._columns["soc_pct"][row] = np.nan  # a level read before the drive says nothing of what is left


def unit_hash(text: str) -> float:
    """A number in [0, 1) fixed by a name, uniform over names."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def enrolment_columns(enrolment: Enrolment) -> dict[str, Any]:
    """What an enrolment says, as column values; what is missing is a refusal, never a default permission."""
    permission, budget = enrolment.permission, enrolment.discharge_budget
    return {
        "enrolled": True,
        "opted_out": enrolment.opted_out,
        "charging_consent": enrolment.charging_consent,
        "discharge_consent": enrolment.discharge_consent,
        "interconnected": permission is not None and bool(permission.interconnection_id),
        "permission_until_s": permission.valid_until.timestamp() if permission else NEVER_S,
        "export_limit_kw": permission.export_limit_w / 1000 if permission else 0.0,
        "event_budget_kwh": budget.max_event_wh / 1000 if budget else 0.0,
        "year_budget_kwh": budget.max_year_wh / 1000 if budget else 0.0,
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
        "wake": capability.wake_supported,
        **_control_columns(capability, by_target=by_target),
    }


def _control_columns(capability: Capability, *, by_target: bool) -> dict[str, Any]:
    kw_per_a = capability.voltage_v * capability.phases / 1000
    current = capability.current
    levels_kw = np.full(LEVELS, np.nan)
    control, floor_kw, step_kw = Control.TARGET_LEVEL if by_target else Control.ON_OFF, 0.0, 0.0
    if current is not None and current.choices_a:
        control = Control.LEVELS
        choices_kw = sorted(amps * kw_per_a for amps in current.choices_a)[-LEVELS:]
        levels_kw[: len(choices_kw)] = choices_kw
        floor_kw = choices_kw[0]
    elif current is not None:
        control, floor_kw, step_kw = Control.STEPS, current.min_a * kw_per_a, current.step_a * kw_per_a
    elif capability.can_set_power:
        control, step_kw = Control.STEPS, 0.001
    return {"control": control, "floor_kw": floor_kw, "step_kw": step_kw, "levels_kw": levels_kw}


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


def _departure_s(rhythm: Rhythm, now: datetime) -> float:
    departure = next_departure(rhythm[0], rhythm[1], now)
    return ALWAYS_S if departure is None else departure.timestamp()


def _intern(names: list[Any], ids: dict[Any, int], name: Any) -> int:
    if name not in ids:
        ids[name] = len(names)
        names.append(name)
    return ids[name]


_KNOWN = {Known.YES: Tri.YES, Known.NO: Tri.NO, Known.UNKNOWN: Tri.UNKNOWN}
_CHARGE = {state: Charge[state.name] for state in ChargeState}
_READINGS: tuple[tuple[str, str, str, Any], ...] = (
    ("soc_pct", "soc_pct", "soc_at_s", float),
    ("plugged", "plugged", "plugged_at_s", _KNOWN.__getitem__),
    ("at_site", "at_home", "at_home_at_s", _KNOWN.__getitem__),
    ("power_w", "power_kw", "power_at_s", lambda watts: watts / 1000),
    ("charge_state", "charge_state", "charge_state_at_s", _CHARGE.__getitem__),
    ("energy_added_wh", "session_kwh", "session_at_s", lambda energy: energy / 1000),
)
_CHOICES: Mapping[DriverChoice, Any] = {
    DriverChoice.OPT_OUT: lambda until_s: {"opted_out_until_s": until_s},
    DriverChoice.OPT_IN: lambda _: {"opted_out": False, "opted_out_until_s": NEVER_S},
    DriverChoice.BOOST: lambda until_s: {"boost_until_s": until_s},
    DriverChoice.CONSENT_WITHDRAWN: lambda _: {"charging_consent": False, "discharge_consent": False},
}
