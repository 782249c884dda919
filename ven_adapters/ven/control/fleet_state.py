"""The cars of one adapter and all that is known of them: agreements, abilities, readings, choices, directives, energy.

Facts come in, columns and figures go out. No I/O: what must be stored is handed over as rows, what must be called is
decided elsewhere.
"""

import collections
import itertools
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import numpy as np

from ven_adapters.contract import (
    BackendEvent,
    Capability,
    DirectivesChanged,
    DirectiveState,
    DriverChoice,
    DriverChose,
    Reachability,
    Snapshot,
    SnapshotsSeen,
)
from ven_adapters.ven.control.driver_choices import DriverChoices, Effect
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.explain.decision_log import DecisionLog
from ven_adapters.ven.fleet.car_faults import CarFaults
from ven_adapters.ven.fleet.columns import Charge, FleetView, Floats, Ints, Tri
from ven_adapters.ven.fleet.departure_habits import DepartureHabits
from ven_adapters.ven.fleet.discharge_energy import DischargedEnergy
from ven_adapters.ven.fleet.enrolment_rows import enrolment_values
from ven_adapters.ven.fleet.event_burden import EventBurdens
from ven_adapters.ven.fleet.event_patience import EventPatience, PatienceTerms
from ven_adapters.ven.fleet.fleet import Enrolment, FleetColumns
from ven_adapters.ven.fleet.metering import Meter, Sample
from ven_adapters.ven.fleet.pace import Pace
from ven_adapters.ven.fleet.read_schedule import ReadSchedule
from ven_adapters.ven.fleet.telemetry import TelemetryBatch, TelemetryColumns, batches
from ven_adapters.ven.fleet.zones import Capacity, ZonePart, merge_zones
from ven_adapters.ven.openadr.programs import ProgramNames
from ven_adapters.ven.openadr.understood_limits import UnderstoodLimits
from ven_adapters.ven.store.database import (
    AdapterRow,
    EnergyRow,
    EnrolmentRow,
    RowValues,
    StoredState,
    document,
)

T = TypeVar("T")


ENROLMENTS_AT_ONCE = 2_000
STEPS_AT_ONCE = 500
PACES_AT_ONCE = 500
# The instants of the readings by which a car is known to be heard of.
HEARD_BY = ("power_at_s", "charge_state_at_s", "plugged_at_s", "soc_at_s")
OLD_AFTER_S = 1200.0

_log = logging.getLogger(__name__)


NO_NAMES = ProgramNames()


class FleetState:
    """One automaker's cars. They are reported and registered by group of zones, and planned by part of a group."""

    def __init__(
        self,
        first_s: float,
        parents: Mapping[str, str | None],
        smallest_group: int,
        names: ProgramNames = NO_NAMES,
        *,
        old_after_s: float = OLD_AFTER_S,
        patience: PatienceTerms | None = None,
    ) -> None:
        self.fleet = FleetColumns()
        self.faults = CarFaults()
        self.registry = DirectiveRegistry(self.fleet, self.faults)
        self.told = self.registry.columns
        self.meter = Meter(first_s)
        self.capabilities: dict[str, Capability] = {}
        self.snapshots = TelemetryColumns(self.fleet.find, self.fleet.ref)
        self.exports = DischargedEnergy(self.fleet)
        self.decisions = DecisionLog(self.fleet)
        self.burdens = EventBurdens(self.fleet)
        self.patience = EventPatience(self.fleet, patience)
        self.pace = Pace(self.fleet)
        self.habits = DepartureHabits(self.fleet)
        self.reads = ReadSchedule()
        self.limits = UnderstoodLimits()
        self.groups: dict[str, str] = {}
        self.parts: dict[str, ZonePart] = {}
        self._parts_of: dict[str, list[str]] = {}
        self._names = names
        self._parents = parents
        self._smallest_group = smallest_group
        self.old_after_s = old_after_s
        self._alike: dict[Capability, Capability] = {}
        self.choices = DriverChoices(self.fleet, self.faults)
        self._unstored: dict[str, datetime] = {}

    # --- who the cars are -----------------------------------------------------------------------------------------

    def enrol(self, enrolments: Iterable[Enrolment], now: datetime) -> tuple[str, ...]:
        """Take up agreements, small zones joined to larger groups; the cars to give back.

        They are no longer ours, or were opted out by what is read now and was not by what was read before.
        """
        mine = {enrolment.vehicle_ref: enrolment for enrolment in enrolments}
        cars: dict[str, int] = {}
        for enrolment in mine.values():
            cars[enrolment.zone] = cars.get(enrolment.zone, 0) + 1
        self.groups = merge_zones(cars, self._parents, self._smallest_group)
        placed = [self.choices.binding(one, self._part_of(one), now) for one in mine.values()]
        left = tuple(ref for ref in self.fleet.enrolments if ref not in mine)
        out = self._opted_out_since(mine)
        moved = self._placed(placed, left)
        rows = np.array([self.fleet.row(one.vehicle_ref) for one in placed], dtype=np.int64)
        self.meter.enrol(rows, [one.zone for one in placed])
        self._fold_emptied(moved)
        self._unstored |= dict.fromkeys(mine, now)
        self.choices.apply(self.fleet.enrolments, now)
        for ref in out:
            self.choices.take(DriverChose(ref, DriverChoice.OPT_OUT, now), now)
        return (*left, *out)

    def _opted_out_since(self, mine: Mapping[str, Enrolment]) -> tuple[str, ...]:
        """Cars that their new enrolment opts out, and the one before did not: that is a driver's last word."""
        before = self.fleet.enrolments
        return tuple(ref for ref, one in mine.items() if one.opted_out and ref in before and not before[ref].opted_out)

    def amend(self, changed: Iterable[Enrolment], gone: Iterable[str], now: datetime) -> tuple[str, ...]:
        """Take up a few agreements among many; the cars that are no longer ours.

        Groups stay as they are until all agreements are read again: a zone that shrinks, or is new, is too small to be
        spoken of until then.
        """
        placed = [self.choices.binding(one, self._part_of(one), now) for one in changed]
        left = tuple(ref for ref in gone if self.fleet.enrolled(ref) is not None)
        moved = self._placed(placed, left)
        rows = np.array([self.fleet.row(one.vehicle_ref) for one in placed], dtype=np.int64)
        self.meter.amend(rows, [one.zone for one in placed], np.array(list(map(self.fleet.row, left)), dtype=np.int64))
        self._fold_emptied(moved)
        self._unstored |= dict.fromkeys([one.vehicle_ref for one in placed], now)
        self.choices.apply([one.vehicle_ref for one in placed], now)
        return left

    def _placed(self, placed: Sequence[Enrolment], left: Collection[str]) -> collections.Counter[tuple[str, str]]:
        """Take up who is ours and who is not; how many cars moved from one part to another."""
        before = [(self.fleet.enrolled(one.vehicle_ref), one) for one in placed]
        moved = collections.Counter((was.zone, one.zone) for was, one in before if was and was.zone != one.zone)
        fresh = [one for one in placed if one.vehicle_ref not in self.fleet]
        self.fleet.enrol(placed)
        self.fleet.retire(left)
        self.choices.begin(fresh)
        told, counted = (self.told, self.snapshots, self.decisions), (self.exports, self.burdens)
        for columns in (*told, *counted, self.patience, self.pace, self.habits, self.reads):
            columns.grow(len(self.fleet))
        self.patience.agree(placed)
        return moved

    def _fold_emptied(self, moved: Mapping[tuple[str, str], int]) -> None:
        """What a part has metered stays in its group's sums when its last cars move to another part of the group."""
        for was, to in sorted(moved, key=lambda pair: moved[pair]):
            if self.group_of(was) == self.group_of(to) and not len(self.fleet.zone_rows(was)):
                self.meter.fold(was, to)

    def _part_of(self, enrolment: Enrolment) -> str:
        """The part of its group that a car is planned in."""
        group = self.groups.get(enrolment.zone, enrolment.zone)
        part = ZonePart(group, self._names.of_car(enrolment.zone, enrolment.programs))
        named = part.named(self._names.of_zone(group))
        if named not in self.parts:
            self.parts[named] = part
            self._parts_of.setdefault(group, []).append(named)
        return named

    def leave_out(self, ref: str, event_id: str, until: datetime, now: datetime) -> Effect:
        """A driver takes no part in one event; of a car that is not ours yet it is kept for the day that it is."""
        ours = ref in self.fleet
        if not ours and not self.choices.keeps_early(ref):
            return Effect()
        held = self.registry.leave_out(ref, event_id, until, now)
        if ours:
            self.patience.refuse(self.fleet.row(ref), event_id)
        return Effect(plan=ours, release=(ref,) if held else ())

    def enrolled(self) -> list[str]:
        """The cars that are ours."""
        return [ref for zone in self.fleet.zones for ref in map(self.fleet.ref, self.fleet.zone_rows(zone).tolist())]

    @property
    def restless(self) -> bool:
        """Whether any car holds a directive that was not taken yet, or that it does not follow."""
        return bool(self.told.restless(np.arange(len(self.fleet))).any())

    def knows(self, ref: str) -> bool:
        """Whether a car has been met since we started; until then what it holds is left as it is."""
        return ref in self.capabilities and ref in self.snapshots

    def learn(self, capabilities: Mapping[str, Capability]) -> None:
        """What cars can do; cars that can do the same share one object."""
        shared: dict[str, Capability] = {}
        for ref, one in capabilities.items():
            with self.faults.only(ref):
                shared[ref] = self._alike.setdefault(one, one)
        self._all_or_each(shared.items(), self._learn)

    def _learn(self, shared: Sequence[tuple[str, Capability]]) -> None:
        self.fleet.learn(dict(shared))
        self.capabilities.update(shared)
        self.pace.tell(np.array([self.fleet.row(ref) for ref, _ in shared], dtype=np.int64))

    def _all_or_each(self, items: Iterable[tuple[str, T]], take: Callable[[Sequence[tuple[str, T]]], object]) -> None:
        """Take many cars' facts at once; when that fails, each by itself, so that only the car at fault goes without.

        Facts that were taken before the failure are taken again, which changes nothing: they are no newer.
        """
        every = list(items)
        try:
            take(every)
        except Exception:  # noqa: BLE001 - told car by car
            for ref, fact in every:
                with self.faults.only(ref):
                    take([(ref, fact)])

    @property
    def zones(self) -> list[str]:
        """The parts of groups that are planned, those with cars."""
        return [zone for zone in self.fleet.zones if len(self.fleet.zone_rows(zone))]

    def group_of(self, part: str) -> str:
        """The group that a part belongs to."""
        return self.parts[part].zone if part in self.parts else part

    def parts_of(self, group: str) -> list[str]:
        """The parts of a group that have cars."""
        return [part for part in self._parts_of.get(group, ()) if len(self.fleet.zone_rows(part))]

    def counted_in(self, group: str, joined: Collection[str]) -> list[str]:
        """Of the parts that joined a program those that reports may count.

        Parts that are too small are counted only together with others, in whatever report, so that no two reports
        differ by fewer cars than the smallest group.
        """
        cars = {part: len(self.fleet.zone_rows(part)) for part in self.parts_of(group)}
        nearest = {one: max((n for n in cars if n != one), key=self._alike_to(one), default=None) for one in cars}
        together = merge_zones(cars, nearest, self._smallest_group)
        parted = {together.get(one, one) for one in cars if one not in joined}
        return [one for one in cars if one in joined and together.get(one, one) not in parted]

    def _alike_to(self, part: str) -> Callable[[str], tuple[int, int, str]]:
        """How near other parts are: by the programs in common, then by their cars."""
        mine = self.parts[part].programs
        return lambda one: (len(self.parts[one].programs & mine), len(self.fleet.zone_rows(one)), one)

    @property
    def reported(self) -> list[str]:
        """The groups that are large enough to be spoken of, and registered."""
        cars = collections.Counter[str]()
        for zone in self.zones:
            cars[self.parts[zone].zone] += len(self.fleet.zone_rows(zone))
        return [group for group, count in cars.items() if count >= self._smallest_group]

    def capacity(self, group: str, parts: Sequence[str] | None = None) -> Capacity:
        """What a group, or some parts of it, can do; export only as far as agreements and permissions reach."""
        rows = [self.fleet.zone_rows(zone) for zone in (self.parts_of(group) if parts is None else parts)]
        view = self.fleet.view(np.concatenate([*rows, np.zeros(0, dtype=np.int64)]))
        papers = view.discharge_consent & view.interconnected & view.inverter_listed & (view.cycle_budget > 0)
        papers &= (view.event_budget_kwh > 0) & (view.year_budget_kwh > 0)
        export_kw = np.where(papers, np.minimum(view.max_discharge_kw, view.export_limit_kw), 0.0)
        return Capacity(float(np.nansum(view.max_charge_kw)), float(export_kw.sum()))

    # --- what happens to them ---------------------------------------------------------------------------------------

    def restore(self, remembered: StoredState, now: datetime) -> None:
        """Take up where an earlier run stopped; call after `enrol`."""
        self.choices.restore(remembered.choices, now)
        for row in remembered.energy:
            told = json.loads(row.document)
            self.meter.restore(row.zone, row.bucket, told["imported_wh"], told["exported_wh"])
        self.exports.restore(remembered.exports, now)
        self.burdens.restore(remembered.burdens, now)
        self.patience.restore(remembered.patience)
        self.pace.restore(remembered.paces)
        self.habits.restore(remembered.departures)
        self.limits.restore(remembered.limits)
        self.registry.restore(remembered.directives, remembered.wear, now)
        self.registry.leave_alone(remembered.overridden, now)

    def take(self, event: BackendEvent, now: datetime) -> Effect:
        """A fact that the backend pushed."""
        if isinstance(event, SnapshotsSeen):
            told = {row: one for one in event.snapshots if (row := self.fleet.find(one.vehicle_ref)) is not None}
            asleep = np.array([_asleep(one) for one in told.values()], dtype=np.bool_)
            self.reads.note_pushed(np.array(list(told), dtype=np.int64), now.timestamp(), asleep)
            return Effect(plan=self.observe(event.snapshots, now))
        if isinstance(event, DirectivesChanged):
            states = []
            for status in event.statuses:
                with self.faults.only(status.vehicle_ref):
                    states.append(self.registry.told(status, now))
            return Effect(plan=any(state in (DirectiveState.OVERRIDDEN, DirectiveState.FAILED) for state in states))
        return self._choose(event, now) if isinstance(event, DriverChose) else Effect()

    def _choose(self, event: DriverChose, now: datetime) -> Effect:
        """A driver's choice; one by which a car leaves while an event asks it counts as that event's."""
        effect = self.choices.take(event, now)
        for ref in effect.release:
            if (row := self.fleet.find(ref)) is not None:
                self.patience.refuse(row)
        return effect

    def observe(self, snapshots: Iterable[Snapshot], now: datetime) -> bool:
        """Take readings; whether one of them should change the plan: a cable that went in, an alarm of an inverter."""
        matters: list[bool] = []

        def take(named: Sequence[tuple[str, Snapshot]]) -> None:
            seen = (snapshot for _, snapshot in named)
            matters.extend(self._observe(batch, now) for batch in batches(seen, self.fleet.find))

        self._all_or_each(((one.vehicle_ref, one) for one in snapshots), take)
        return any(matters)

    def _observe(self, batch: TelemetryBatch, now: datetime) -> bool:
        rows = batch.rows
        was_in, stood = (self.fleet.read(name, rows) == Tri.YES for name in ("plugged", "der_alarm"))
        for columns in (self.fleet, self.meter, self.snapshots):
            self._take_each(columns.take, batch)
        self._take_each(lambda one: self.exports.take(one, now), batch)
        self._take_each(lambda one: self.pace.take(one, self.told.capped(one.rows, now.timestamp())), batch)
        plugged = self.fleet.read("plugged", rows)
        plugged_in, left = (plugged == Tri.YES) & ~was_in, (plugged == Tri.NO) & was_in
        self.habits.take(rows[left], self.fleet.read("plugged_at_s", rows[left]))
        self.habits.home.arrived(rows[plugged_in], self.fleet.read("soc_pct", rows[plugged_in]))
        alarmed = (self.fleet.read("der_alarm", rows) == Tri.YES) & ~stood
        if alarmed.any():
            _log.warning("an alarm of the inverter stands at %d more cars: they discharge no more", alarmed.sum())
        matters = bool((plugged_in | alarmed).any())
        for place in np.flatnonzero(plugged_in).tolist():
            with self.faults.only(batch.snapshots[place].vehicle_ref):
                self.registry.replugged(batch.snapshots[place].vehicle_ref, now)
        if self.registry.given_back:
            for snapshot in batch.snapshots:
                with self.faults.only(snapshot.vehicle_ref):
                    self.registry.seen_after(snapshot, now)
        for place in np.flatnonzero(self.told.holding(rows)).tolist():
            with self.faults.only(batch.snapshots[place].vehicle_ref):
                matters |= self.registry.observe(batch.snapshots[place], now) is DirectiveState.INTERRUPTED
        return matters

    def _take_each(self, take: Callable[[TelemetryBatch], None], batch: TelemetryBatch) -> None:
        """Have a batch taken; when that fails, car by car, so that what the others' readings change is still seen."""
        try:
            take(batch)
        except Exception:  # noqa: BLE001 - told car by car
            for snapshot in batch.snapshots:
                with self.faults.only(snapshot.vehicle_ref):
                    for one in batches([snapshot], self.fleet.find):
                        take(one)

    # --- what batteries gave ------------------------------------------------------------------------------------------

    def next_event(self, zone: str, event_id: str, now: datetime) -> None:
        """Before a set-point is planned: what batteries gave for another event does not count against this one."""
        self.exports.begin(self.fleet.zone_rows(zone), event_id, now)

    def next_price(self, zone: str, event_id: str, now: datetime) -> None:
        """Before giving for a price is planned: the same, of a day of that price."""
        self.exports.begin_day(self.fleet.zone_rows(zone), event_id, now)

    # --- figures ------------------------------------------------------------------------------------------------------

    def met_rows(self) -> Ints:
        """The rows of the cars that are ours and of which it is known what they can do."""
        rows = np.arange(len(self.fleet))
        return np.asarray(rows[self.fleet.read("enrolled", rows) & ~np.isnan(self.fleet.read("usable_kwh", rows))])

    def newest_s(self, rows: Ints) -> Floats:
        """When the newest reading of each car was seen; NEVER_S without any."""
        return np.asarray(np.maximum.reduce([self.fleet.read(name, rows) for name in HEARD_BY]))

    def sample(self, view: FleetView, now_s: float) -> Sample:
        """A group as it stands; what was read too long ago to be true now is no measurement."""
        known = ~np.isnan(view.soc_pct) & ~np.isnan(view.usable_kwh)
        at_plug = (view.plugged == Tri.YES) & (view.at_home != Tri.NO)
        out = view.opted_out | (view.opted_out_until_s > now_s) | (view.boost_until_s > now_s)
        measured = at_plug & (now_s - view.power_at_s <= self.old_after_s)
        usable_kwh = view.usable_kwh[known]
        return Sample(
            at_s=now_s,
            members=len(view),
            cars=int(known.sum()),
            plugged=int(at_plug.sum()),
            measured=int(measured.sum()),
            charging=int((view.charge_state == Charge.CHARGING).sum()),
            discharging=int((view.charge_state == Charge.DISCHARGING).sum()),
            held_back=self.told.held_back(view.row, now_s),
            opted_out=int(out.sum()),
            alarmed=int((view.der_alarm == Tri.YES).sum()),
            power_kw=_total(view.power_kw[measured]),
            stored_kwh=_total(view.soc_pct[known] / 100 * usable_kwh),
            usable_kwh=_total(usable_kwh),
            max_charge_kw=_total(view.max_charge_kw[at_plug]),
            max_discharge_kw=_total(view.max_discharge_kw[at_plug]),
        )

    def pressing(self) -> list[AdapterRow | RowValues]:
        """Rows for the store that somebody waits for: what drivers chose, and directives."""
        return [*self.choices.drain(), *self.registry.drain(most=0)]

    def drain(self) -> list[AdapterRow | RowValues]:
        """Rows for the store: everything that changed since the last drain; of what is much, a part."""
        rows = [*self.pressing(), *self.registry.drain(STEPS_AT_ONCE)]
        rows += self._enrolment_rows()
        rows += [*self.decisions.drain(), *self.limits.drain()]
        energy = [
            EnergyRow(zone=zone, bucket=hour, document=document({"imported_wh": drawn, "exported_wh": fed}))
            for zone, hour, drawn, fed in self.meter.drain()
        ]
        paces = self.pace.drain(PACES_AT_ONCE)
        habits = self.habits.drain(PACES_AT_ONCE)
        counted = [*self.exports.drain(), *self.burdens.drain(), *self.patience.drain()]
        return [*rows, *energy, *counted, *paces, *habits]

    def _enrolment_rows(self) -> Iterator[RowValues]:
        """A part of what is to be stored of enrolments: rows are large, and a fleet of them at once is larger."""
        for ref in tuple(itertools.islice(self._unstored, ENROLMENTS_AT_ONCE)):
            at = self._unstored.pop(ref)
            if (enrolment := self.fleet.enrolled(ref)) is not None:
                yield RowValues(EnrolmentRow, enrolment_values(enrolment, at))


def _asleep(snapshot: Snapshot) -> bool:
    return snapshot.reachability is not None and snapshot.reachability.value is Reachability.ASLEEP


def _total(values: Floats) -> float:
    return float(np.nansum(values))
