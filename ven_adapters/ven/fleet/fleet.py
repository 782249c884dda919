"""The cars of one adapter: enrolments, capabilities and readings turned into columns with stable rows.

Used by one asyncio task at a time. A row never moves and is never reused, so a plan's rows stay good between cycles.
Readings older than the ones held, or not OK, change nothing. Knows nothing of OpenADR and does no I/O.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import Capability, ChargeState, DriverChoice, Known, Snapshot
from ven_adapters.lifecycle.evidence import UNPLUG_DEBOUNCE
from ven_adapters.ven.fleet.columns import (
    ALWAYS_S,
    DISCHARGE_EFFICIENCY,
    NEVER_S,
    Bools,
    Charge,
    FleetView,
    Floats,
    Ints,
    Tri,
    blank,
    doubt_of,
    grown,
    widened,
)
from ven_adapters.ven.fleet.enrolment_record import (
    DischargeBudget,
    Enrolment,
    EventCaps,
    Permission,
    Rhythm,
    capability_columns,
    departure_s,
    enrolment_columns,
    next_departure,
)
from ven_adapters.ven.fleet.grid.grid_tree import GridTree
from ven_adapters.ven.fleet.grid.site_places import SitePlaces
from ven_adapters.ven.fleet.telemetry import TelemetryBatch, batches
from vtn.clock import HOUR_S

__all__ = ["DischargeBudget", "Enrolment", "EventCaps", "FleetColumns", "Permission", "next_departure", "unit_hash"]

# A cable that was seen out once is out by the rule of `lifecycle.evidence`, or when nothing else was told for so long.
UNPLUG_DEBOUNCE_S = UNPLUG_DEBOUNCE.total_seconds()
UNPLUG_BELIEVED_S = 300.0
_NO_PAPERS = -1
_SATURDAY = 5


class FleetColumns:
    """Columns with one row per car; see `FleetView` for what they hold."""

    def __init__(self) -> None:
        self.places = SitePlaces()
        self._refs: list[str] = []
        self._rows: dict[str, int] = {}
        self._zones: list[str] = []
        self._zone_ids: dict[str, int] = {}
        self._zone_rows: dict[int, Ints] | None = None
        self._rhythms: list[Rhythm] = []
        self._rhythm_ids: dict[Rhythm, int] = {}
        self._rhythm: Ints = np.zeros(0, dtype=np.int64)
        self._edition_of: Ints = np.zeros(0, dtype=np.int64)
        self._due_s = NEVER_S
        self._paper_ids: dict[str, int] = {}
        self._papers: Ints = np.zeros(0, dtype=np.int64)
        self._own_export_kw: Floats = np.zeros(0)
        self._declared_s: Floats = np.zeros(0)
        self._weekend: Bools = np.zeros(0, dtype=np.bool_)
        self._past_declared_s: Floats = np.zeros(0)
        self._past_weekend: Bools = np.zeros(0, dtype=np.bool_)
        self._early_s: Floats = np.zeros((0, 2))
        self._out_since_s: Floats = np.zeros(0)
        self._doubted = False
        self._enrolments: dict[str, Enrolment] = {}
        self._columns: dict[str, npt.NDArray[Any]] = blank(0)
        self.edition = 0

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

    def find(self, ref: str) -> int | None:
        """The row of a car, or None."""
        return self._rows.get(ref)

    @property
    def enrolments(self) -> Mapping[str, Enrolment]:
        """Every present enrolment by its car."""
        return self._enrolments

    def enrolment(self, ref: str) -> Enrolment:
        """The car's present enrolment; KeyError when it has none."""
        return self._enrolments[ref]

    def enrolled(self, ref: str) -> Enrolment | None:
        """The car's present enrolment, or None."""
        return self._enrolments.get(ref)

    # --- who the cars are, and what they may ------------------------------------------------------------------------

    def hang_from(self, grid: GridTree) -> None:
        """The nodes of the grid file; before any car is enrolled."""
        self.places = SitePlaces(grid)

    def enrol(self, enrolments: Iterable[Enrolment]) -> None:
        """Add cars, or replace what drivers agreed to; readings and capabilities held are kept."""
        given = list(enrolments)
        rows = self._rows_for([enrolment.vehicle_ref for enrolment in given])
        for row, enrolment in zip(rows.tolist(), given, strict=True):
            self._rhythm[row] = self._intern_rhythm(enrolment)
            self._columns["zone"][row] = _intern(self._zones, self._zone_ids, enrolment.zone)
            self._papers[row] = self._intern_papers(enrolment.permission)
            self.places.put(row, enrolment)
        self._put(rows, [enrolment_columns(enrolment) for enrolment in given])
        self._own_export_kw[rows] = self._columns["export_limit_kw"][rows]
        self._columns["node"][: len(self)] = self.places.placed()[: len(self)]
        self._share_exports()
        self._changed(rows)
        self._zone_rows, self._due_s = None, NEVER_S

    def retire(self, refs: Iterable[str]) -> None:
        """End enrolments: the rows stay, and no plan touches them again."""
        rows = [self._rows[ref] for ref in refs]
        for row in rows:
            self._enrolments.pop(self._refs[row], None)
        self._columns["enrolled"][rows] = False
        self.places.retire(rows)
        self._columns["node"][: len(self)] = self.places.placed()[: len(self)]
        self._share_exports()
        self._changed(rows)
        self._zone_rows = None

    def _share_exports(self) -> None:
        """An agreement's export limit is that of the home: cars that share one share it, each with an equal part."""
        columns = self._columns
        shares = columns["enrolled"] & columns["discharge_consent"] & (self._papers != _NO_PAPERS)
        cars = np.bincount(self._papers[shares], minlength=len(self._paper_ids) + 1)
        columns["export_limit_kw"][:] = self._own_export_kw / np.maximum(1, cars[self._papers])

    def learn(self, capabilities: Mapping[str, Capability]) -> None:
        """Record what cars can do, as their backends said."""
        alike: dict[Capability, list[int]] = {}
        for ref, capability in capabilities.items():
            alike.setdefault(capability, []).append(self._rows[ref])
        for capability, rows in alike.items():
            values = capability_columns(capability)
            self._columns["levels_kw"] = widened(self._columns["levels_kw"], len(values["levels_kw"]))
            width = self._columns["levels_kw"].shape[1]
            values["levels_kw"] = widened(values["levels_kw"][None, :], width)[0]
            for name, value in values.items():
                self._columns[name][rows] = value

    def choose(self, ref: str, choice: DriverChoice, *, until: datetime | None) -> None:
        """Record an opt-out, opt-in or boost; `until` None means until further notice.

        A withdrawn consent is no choice that is recorded here: it changes what the car's enrolment says.
        """
        until_s = ALWAYS_S if until is None else until.timestamp()
        self._set(self._rows[ref], _CHOICES[choice](until_s))
        self._changed([self._rows[ref]])

    def changed_since(self, row: int, edition: int) -> bool:
        """Whether what the driver agreed to or chose changed after an `edition`: a plan made then is too old for it."""
        return bool(self._edition_of[row] > edition)

    # --- what happens to them -----------------------------------------------------------------------------------------

    def observe(self, snapshots: Iterable[Snapshot]) -> None:
        """Record readings; older ones, unusable ones and unknown cars change nothing."""
        for batch in batches(snapshots, self._rows.get):
            self.take(batch)

    def take(self, batch: TelemetryBatch) -> None:
        """Record the readings of a batch whose rows are ours."""
        rows, columns = batch.rows, self._columns
        was_plugged, out_s = columns["plugged"][rows], columns["plugged_at_s"][rows]
        before = {name: columns[name][rows] for name in ("soc_pct", "soc_at_s", "power_kw", "doubt_pct")}
        for field, column, at_column, convert in _READINGS:
            value, observed_s, valid = batch.told(field)
            newer = valid & (observed_s > columns[at_column][rows])
            columns[column][rows[newer]] = convert(value[newer])
            columns[at_column][rows[newer]] = observed_s[newer]
        self._doubt_levels(rows, before)
        news = columns["plugged_at_s"][rows] > out_s
        was_plugged = np.where(self._out_for_s(rows) >= UNPLUG_BELIEVED_S, int(Tri.NO), was_plugged)
        self._doubt_plugs(rows[news], was_plugged[news] == Tri.YES)
        arrived = (columns["plugged"][rows] == Tri.YES) & (was_plugged != Tri.YES)
        columns["plugged_since_s"][rows[arrived]] = columns["plugged_at_s"][rows[arrived]]
        # A level read before the drive says nothing of what is left.
        drove = arrived & (was_plugged == Tri.NO) & (columns["soc_at_s"][rows] < out_s)
        columns["soc_pct"][rows[drove]] = np.nan

    def _doubt_levels(self, rows: Ints, before: Mapping[str, Floats]) -> None:
        """While a battery gives, its level is followed between the whole percents that it tells."""
        columns = self._columns
        news = columns["soc_at_s"][rows] > before["soc_at_s"]
        columns["doubt_pct"][rows[news]] = 0.0
        gave = news & (before["power_kw"] < 0) & (before["soc_at_s"] > NEVER_S)
        rows = rows[gave]
        lasted_h = (columns["soc_at_s"][rows] - before["soc_at_s"][gave]) / HOUR_S
        spent_kwh = -before["power_kw"][gave] * lasted_h / DISCHARGE_EFFICIENCY
        sure_pct = before["soc_pct"][gave] - before["doubt_pct"][gave]
        spent_pct = spent_kwh / columns["usable_kwh"][rows] * 100
        columns["doubt_pct"][rows] = doubt_of(columns["soc_pct"][rows], sure_pct, spent_pct)

    def _doubt_plugs(self, rows: Ints, was_in: Bools) -> None:
        """Of cars with a new plug flag: one that falls once is a flicker (field fault 9).

        The cable is out when the car says so otherwise too, or when it is still out a minute later.
        """
        columns, since_s, at_s = self._columns, self._out_since_s, self._columns["plugged_at_s"][rows]
        out = columns["plugged"][rows] == Tri.NO
        since_s[rows] = np.where(out, np.where(since_s[rows] > NEVER_S, since_s[rows], at_s), NEVER_S)
        sure = (columns["charge_state"][rows] == Charge.UNPLUGGED) | (self._out_for_s(rows) >= UNPLUG_DEBOUNCE_S)
        doubted = rows[out & was_in & ~sure]
        columns["plugged"][doubted] = Tri.YES
        self._doubted |= bool(len(doubted))

    def _out_for_s(self, rows: Ints) -> Floats:
        """How long the newest plug flag came after the one that first said that the cable is out; 0 where none did."""
        since_s = self._out_since_s[rows]
        told = since_s > NEVER_S
        return np.where(told, self._columns["plugged_at_s"][rows] - np.where(told, since_s, 0.0), 0.0)

    def note_export(self, rows: Ints, event_kwh: Floats, year_kwh: Floats, until_s: Floats) -> None:
        """Record what batteries gave in the running event and in the running year (AC side, totals until `until_s`)."""
        self._columns["exported_at_s"][rows] = until_s
        self._columns["event_exported_kwh"][rows] = event_kwh
        self._columns["year_exported_kwh"][rows] = year_kwh

    def note_toggle(self, row: int, at: datetime, *, on: bool) -> None:
        """Record that a car was told to start (`on`) or to stop: what it does until the minimum dwell is over."""
        self._set(row, {"last_toggle_s": at.timestamp(), "told_on": on})

    def note_pace(self, rows: Ints, **columns: Floats | Bools) -> None:
        """Record what is known of how fast cars charge: columns of `FleetView` by name."""
        for name, values in columns.items():
            self._columns[name][rows] = values

    def note_burden(self, rows: Ints, kwh: Floats) -> None:
        """Add to what events have cost cars this season."""
        self._columns["burden_kwh"][rows] += kwh

    def new_season(self) -> None:
        """Every car starts the season with nothing borne."""
        self._columns["burden_kwh"][:] = 0.0

    def refresh(self, now: datetime) -> None:
        """Let time pass: cables seen out a while ago are out, departures move on; cheap when there is nothing."""
        if self._doubted:
            doubted = (self._columns["plugged"] == Tri.YES) & (self._out_since_s > NEVER_S)
            lasted = doubted & (now.timestamp() - self._out_since_s >= UNPLUG_BELIEVED_S)
            self._columns["plugged"][lasted] = Tri.NO
            self._doubted = bool((doubted & ~lasted).any())
        self._refresh_departures(now)

    def _refresh_departures(self, now: datetime) -> None:
        """Bring `departure_s` to the first departure after `now`."""
        if now.timestamp() < self._due_s or not self._refs:
            return
        departures_s = np.array([departure_s(rhythm, now) for rhythm in self._rhythms])
        weekend = np.array(
            [_is_weekend(rhythm, at_s) for rhythm, at_s in zip(self._rhythms, departures_s, strict=True)]
        )
        passed = np.flatnonzero(self._declared_s[: len(self)] <= now.timestamp())
        self._past_declared_s[passed], self._past_weekend[passed] = self._declared_s[passed], self._weekend[passed]
        self._declared_s[: len(self)] = departures_s[self._rhythm[: len(self)]]
        self._weekend[: len(self)] = weekend[self._rhythm[: len(self)]]
        self._plan_departures(np.arange(len(self)))
        self._due_s = float(departures_s.min())

    def _plan_departures(self, rows: Ints) -> None:
        """What is planned for: the declared time, or as much earlier as the driver usually leaves."""
        early_s = self._early_s[rows, self._weekend[rows].astype(np.int64)]
        self._columns["departure_s"][rows] = self._declared_s[rows] - early_s

    def declared(self, rows: Ints) -> tuple[Floats, Bools]:
        """The next declared departures, epoch seconds, and which of them fall on a weekend."""
        return self._declared_s[rows], self._weekend[rows]

    def declared_before(self, rows: Ints) -> tuple[Floats, Bools]:
        """The declared departures that passed last, NEVER_S where none did, and which of them fell on a weekend."""
        return self._past_declared_s[rows], self._past_weekend[rows]

    def offset_s(self, rows: Ints, now: datetime) -> float:
        """Local time less UTC where these cars live, seconds; of several time zones that of most cars; 0 of none."""
        if not len(rows):
            return 0.0
        rhythm = self._rhythms[int(np.bincount(self._rhythm[rows]).argmax())]
        offset = now.astimezone(ZoneInfo(rhythm[0])).utcoffset()
        return 0.0 if offset is None else offset.total_seconds()

    def note_early(self, rows: Ints, early_s: Floats) -> None:
        """Record how much earlier than declared cars usually leave: seconds, (cars, 2), working days and weekends."""
        self._early_s[rows] = early_s
        self._plan_departures(rows)

    # --- what plans read ----------------------------------------------------------------------------------------------

    def view(self, rows: Ints | Bools | None = None) -> FleetView:
        """The chosen rows, copied; every car when None. Call `refresh` first."""
        chosen = np.arange(len(self)) if rows is None else rows
        return FleetView(**{name: column[: len(self)][chosen] for name, column in self._columns.items()})

    def read(self, name: str, rows: Ints) -> npt.NDArray[Any]:
        """One column of `FleetView`, of some rows."""
        return self._columns[name][rows]

    def zone_rows(self, zone: str) -> Ints:
        """The rows of a zone's enrolled cars, in the order of their `u`; none when the zone is unknown."""
        if self._zone_rows is None:
            self._zone_rows = self._sort_zones()
        return self._zone_rows.get(self._zone_ids.get(zone, -1), np.zeros(0, dtype=np.int64))

    def zone(self, zone: str) -> FleetView:
        """The zone's enrolled cars."""
        return self.view(self.zone_rows(zone))

    # --- how columns are kept -----------------------------------------------------------------------------------------

    def _sort_zones(self) -> dict[int, Ints]:
        count = len(self)
        rows = np.flatnonzero(self._columns["enrolled"][:count])
        rows = rows[np.lexsort((self._columns["u"][rows], self._columns["zone"][rows]))]
        ids, first = np.unique(self._columns["zone"][rows], return_index=True)
        return dict(zip(ids.tolist(), np.split(rows, first[1:]), strict=True)) if len(rows) else {}

    def _changed(self, rows: Ints | list[int]) -> None:
        self.edition += 1
        self._edition_of[rows] = self.edition

    def _set(self, row: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._columns[name][row] = value

    def _put(self, rows: Ints, values: Sequence[Mapping[str, Any]]) -> None:
        for name in values[0] if values else ():
            self._columns[name][rows] = [given[name] for given in values]

    def _rows_for(self, refs: Sequence[str]) -> Ints:
        """The rows of cars, made for those that are new."""
        fresh = list(dict.fromkeys(ref for ref in refs if ref not in self._rows))
        first = len(self._refs)
        self._grow(first + len(fresh))
        self._rows |= {ref: first + number for number, ref in enumerate(fresh)}
        self._refs += fresh
        rows = np.arange(first, first + len(fresh))
        self._columns["row"][rows] = rows
        self._columns["u"][rows] = [unit_hash(ref) for ref in fresh]
        return np.array([self._rows[ref] for ref in refs], dtype=np.int64)

    def _grow(self, count: int) -> None:
        blanks = blank(1)
        self._columns = {
            name: grown(column, count, fill=blanks[name].flat[0]) for name, column in self._columns.items()
        }
        self._rhythm = grown(self._rhythm, count, fill=0)
        self.places.grow(len(self._columns["row"]))
        self._edition_of = grown(self._edition_of, count, fill=0)
        self._papers = grown(self._papers, count, fill=_NO_PAPERS)
        self._declared_s = grown(self._declared_s, count, fill=ALWAYS_S)
        self._weekend = grown(self._weekend, count, fill=False)
        self._past_declared_s = grown(self._past_declared_s, count, fill=NEVER_S)
        self._past_weekend = grown(self._past_weekend, count, fill=False)
        self._early_s = grown(self._early_s, count, fill=0.0)
        self._own_export_kw = grown(self._own_export_kw, count, fill=0.0)
        self._out_since_s = grown(self._out_since_s, count, fill=NEVER_S)

    def _intern_papers(self, permission: Permission | None) -> int:
        if permission is None:
            return _NO_PAPERS
        return self._paper_ids.setdefault(permission.interconnection_id, len(self._paper_ids))

    def _intern_rhythm(self, enrolment: Enrolment) -> int:
        """The number of a weekly rhythm; the enrolment that is kept shares the rhythm's own objects."""
        number = _intern(self._rhythms, self._rhythm_ids, (enrolment.timezone, enrolment.ready_by))
        timezone, ready_by = self._rhythms[number]
        kept = dataclasses.replace(enrolment, timezone=timezone, ready_by=ready_by)
        self._enrolments[enrolment.vehicle_ref] = kept
        return number


def _is_weekend(rhythm: Rhythm, at_s: float) -> bool:
    """Whether a departure falls on a Saturday or Sunday of its own time zone."""
    return at_s < ALWAYS_S and datetime.fromtimestamp(at_s, ZoneInfo(rhythm[0])).weekday() >= _SATURDAY


def unit_hash(text: str) -> float:
    """A number in [0, 1) fixed by a name, uniform over names."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def _intern(names: list[Any], ids: dict[Any, int], name: Any) -> int:
    if name not in ids:
        ids[name] = len(names)
        names.append(name)
    return ids[name]


# The planner's codes, in the order in which a batch numbers the contract's members.
_KNOWN = np.array([Tri[member.name] for member in Known])
_CHARGE = np.array([Charge[member.name] for member in ChargeState])
_READINGS: tuple[tuple[str, str, str, Callable[[Floats], Any]], ...] = (
    ("soc_pct", "soc_pct", "soc_at_s", lambda level: level),
    ("plugged", "plugged", "plugged_at_s", lambda codes: _KNOWN[codes.astype(np.int64)]),
    ("at_site", "at_home", "at_home_at_s", lambda codes: _KNOWN[codes.astype(np.int64)]),
    ("power_w", "power_kw", "power_at_s", lambda watts: watts / 1000),
    ("charge_state", "charge_state", "charge_state_at_s", lambda codes: _CHARGE[codes.astype(np.int64)]),
    ("der_alarm", "der_alarm", "der_alarm_at_s", lambda codes: _KNOWN[codes.astype(np.int64)]),
)
_CHOICES: Mapping[DriverChoice, Any] = {
    DriverChoice.OPT_OUT: lambda until_s: {"opted_out_until_s": until_s},
    DriverChoice.OPT_IN: lambda _: {"opted_out": False, "opted_out_until_s": NEVER_S},
    DriverChoice.BOOST: lambda until_s: {"boost_until_s": until_s},
}
