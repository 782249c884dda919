"""The cars of one adapter and all that is known of them: agreements, abilities, readings, choices, directives, energy.

Facts come in, columns and figures go out. No I/O: what must be stored is handed over as rows, what must be called is
decided elsewhere.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np

from ven_adapters.contract import (
    BackendEvent,
    Capability,
    DirectivesChanged,
    DirectiveState,
    DriverChoice,
    DriverChose,
    Known,
    Reading,
    Snapshot,
    SnapshotsSeen,
    Validity,
)
from ven_adapters.ven.car import Car
from ven_adapters.ven.columns import Charge, FleetView, Floats, Tri
from ven_adapters.ven.effects import usable
from ven_adapters.ven.fleet import Enrolment, Fleet
from ven_adapters.ven.meter import Meter, Sample
from ven_adapters.ven.registration import Capacity, merge_zones
from ven_adapters.ven.roster import Roster
from ven_adapters.ven.store import (
    ChoiceRow,
    EnergyRow,
    EnrolmentRow,
    ExportRow,
    Remembered,
    Row,
    document,
    parse_at,
    print_at,
)
from ven_adapters.ven.told import Told


@dataclasses.dataclass(frozen=True, slots=True)
class Stir:
    """What a fact changes: `plan` asks for a new plan soon, `release` names cars to be given back at once."""

    plan: bool = False
    release: tuple[str, ...] = ()


_OUT_OR_IN = (DriverChoice.OPT_OUT, DriverChoice.OPT_IN)
_LEAVES = frozenset({DriverChoice.OPT_OUT, DriverChoice.BOOST, DriverChoice.CONSENT_WITHDRAWN})


class Garage:
    """One automaker's cars."""

    def __init__(self, first_s: float, parents: Mapping[str, str | None], smallest_group: int) -> None:
        self.fleet = Fleet()
        self.told = Told()
        self.roster = Roster(self._mirror)
        self.meter = Meter(first_s)
        self.capabilities: dict[str, Capability] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.exports: dict[str, ExportRow] = {}
        self.groups: dict[str, str] = {}
        self._parents = parents
        self._smallest_group = smallest_group
        self._choices: dict[tuple[str, str], ChoiceRow] = {}
        self._rows: list[Row] = []

    def _mirror(self, ref: str, car: Car) -> None:
        if ref in self.fleet:
            self.told.put(self.fleet.row(ref), car.held)

    # --- who the cars are -----------------------------------------------------------------------------------------

    def enrol(self, enrolments: Iterable[Enrolment], now: datetime) -> tuple[str, ...]:
        """Take up agreements, small zones joined to larger groups; the cars that are no longer ours."""
        mine = {enrolment.vehicle_ref: enrolment for enrolment in enrolments}
        cars: dict[str, int] = {}
        for enrolment in mine.values():
            cars[enrolment.zone] = cars.get(enrolment.zone, 0) + 1
        self.groups = merge_zones(cars, self._parents, self._smallest_group)
        placed = [dataclasses.replace(one, zone=self.groups.get(one.zone, one.zone)) for one in mine.values()]
        left = tuple(ref for ref in self.capabilities if ref not in mine)
        self.fleet.enrol(placed)
        self.fleet.retire(left)
        self.told.grow(len(self.fleet))
        self.meter.enrol({one.vehicle_ref: one.zone for one in placed})
        self._rows += [_enrolment_row(one, now) for one in placed]
        for choice in self._choices.values():
            self._apply(choice)
        return left

    def enrolled(self) -> list[str]:
        """The cars that are ours."""
        return [ref for zone in self.fleet.zones for ref in map(self.fleet.ref, self.fleet.zone_rows(zone).tolist())]

    def knows(self, ref: str) -> bool:
        """Whether a car has been met since we started; until then what it holds is left as it is."""
        return ref in self.capabilities and ref in self.snapshots

    def learn(self, capabilities: Mapping[str, Capability]) -> None:
        """What cars can do."""
        self.capabilities.update(capabilities)
        self.fleet.learn(capabilities)

    @property
    def zones(self) -> list[str]:
        """The groups that can be planned, reported and registered, those with cars."""
        return [zone for zone in self.fleet.zones if len(self.fleet.zone_rows(zone))]

    @property
    def reported(self) -> list[str]:
        """The groups that are large enough to be spoken of."""
        return [zone for zone in self.zones if len(self.fleet.zone_rows(zone)) >= self._smallest_group]

    def capacity(self, zone: str) -> Capacity:
        """What a group can do together; export only as far as agreements and permissions reach."""
        view = self.fleet.zone(zone)
        papers = view.discharge_consent & view.interconnected & (view.event_budget_kwh > 0)
        export_kw = np.where(papers, np.minimum(view.max_discharge_kw, view.export_limit_kw), 0.0)
        return Capacity(float(np.nansum(view.max_charge_kw)), float(export_kw.sum()))

    # --- what happens to them ---------------------------------------------------------------------------------------

    def restore(self, remembered: Remembered, now: datetime) -> None:
        """Take up where an earlier run stopped; call after `enrol`."""
        for choice in sorted(remembered.choices, key=lambda row: row.at):
            if choice.until is None or parse_at(choice.until) > now:
                self._choices[(choice.vehicle_ref, choice.choice)] = choice
                self._apply(choice)
        for row in remembered.energy:
            told = json.loads(row.document)
            self.meter.restore(row.zone, row.bucket, told["imported_wh"], told["exported_wh"])
        for export in remembered.exports:
            self.exports[export.vehicle_ref] = export
            self._note_export(export, now)
        self.roster.restore(remembered.directives)
        self.roster.leave_alone(remembered.overridden, now)

    def take(self, event: BackendEvent, now: datetime) -> Stir:
        """A fact that the backend pushed."""
        if isinstance(event, SnapshotsSeen):
            return Stir(plan=self.observe(event.snapshots, now))
        if isinstance(event, DirectivesChanged):
            states = [self.roster.told(status, now) for status in event.statuses]
            return Stir(plan=any(state in (DirectiveState.OVERRIDDEN, DirectiveState.FAILED) for state in states))
        return self._chose(event)

    def observe(self, snapshots: Iterable[Snapshot], now: datetime) -> bool:
        """Take readings; whether one of them should change the plan: a cable that went in."""
        known = [snapshot for snapshot in snapshots if snapshot.vehicle_ref in self.fleet]
        self.fleet.observe(known)
        self.meter.observe(known)
        matters = False
        for snapshot in known:
            ref = snapshot.vehicle_ref
            before = self.snapshots.get(ref)
            self.snapshots[ref] = snapshot
            plugged_in = usable(snapshot.plugged) is Known.YES and (
                before is None or usable(before.plugged) is not Known.YES
            )
            if plugged_in:
                self.roster.replugged(ref, now)
            matters |= plugged_in
            matters |= self.roster.observe(snapshot, now) is DirectiveState.INTERRUPTED
            if snapshot.energy_exported_wh is not None:
                self._count_export(ref, snapshot.energy_exported_wh, now)
        return matters

    def _chose(self, event: DriverChose) -> Stir:
        ref = event.vehicle_ref
        if ref not in self.fleet or self._overtaken(event):
            return Stir()
        until = None if event.until is None else print_at(event.until)
        row = ChoiceRow(vehicle_ref=ref, choice=event.choice.value, at=print_at(event.at), until=until)
        self._rows.append(row)
        if event.choice is DriverChoice.OPT_IN:
            self._rows += [self._over(ref, DriverChoice.OPT_OUT, event.at)]
        self._choices[(ref, row.choice)] = row
        self._apply(row)
        return Stir(plan=True, release=(ref,) if event.choice in _LEAVES else ())

    def _overtaken(self, event: DriverChose) -> bool:
        """Whether a newer opt-out or opt-in is known: pushes may come late and out of order."""
        if event.choice not in _OUT_OR_IN:
            return False
        known = (self._choices.get((event.vehicle_ref, choice.value)) for choice in _OUT_OR_IN)
        return any(row is not None and parse_at(row.at) > event.at for row in known)

    def _over(self, ref: str, choice: DriverChoice, at: datetime) -> ChoiceRow:
        """An earlier choice that another one ended."""
        self._choices.pop((ref, choice.value), None)
        return ChoiceRow(vehicle_ref=ref, choice=choice.value, at=print_at(at), until=print_at(at))

    def _apply(self, row: ChoiceRow) -> None:
        if row.vehicle_ref in self.fleet:
            until = None if row.until is None else parse_at(row.until)
            self.fleet.choose(row.vehicle_ref, DriverChoice(row.choice), until=until)

    # --- what batteries gave ------------------------------------------------------------------------------------------

    def _count_export(self, ref: str, reading: Reading[float], now: datetime) -> None:
        if reading.validity is not Validity.OK:
            return
        known = self.exports.get(ref)
        if known is None:
            first = ExportRow(
                vehicle_ref=ref, year=now.year, year_wh=0.0, event_id="", event_wh=0.0, counter_wh=reading.value
            )
            self._keep_export(first, now)
        elif reading.value != known.counter_wh:
            given_wh = max(0.0, reading.value - known.counter_wh)
            same_year = known.year == now.year
            self._keep_export(
                ExportRow(
                    vehicle_ref=ref,
                    year=now.year,
                    year_wh=(known.year_wh if same_year else 0.0) + given_wh,
                    event_id=known.event_id,
                    event_wh=known.event_wh + given_wh,
                    counter_wh=reading.value,
                ),
                now,
            )

    def begin_export(self, ref: str, event_id: str, now: datetime) -> None:
        """A battery is asked to give for an event: for another one than before, its event budget is whole again."""
        known = self.exports.get(ref)
        if known is not None and known.event_id != event_id:
            fresh = ExportRow(**known.model_dump() | {"event_id": event_id, "event_wh": 0.0})
            self._keep_export(fresh, now)

    def next_event(self, zone: str, event_id: str, now: datetime) -> None:
        """Before a set-point is planned: what batteries gave for another event does not count against this one."""
        for ref in map(self.fleet.ref, self.fleet.zone_rows(zone).tolist()):
            self.begin_export(ref, event_id, now)

    def _keep_export(self, row: ExportRow, now: datetime) -> None:
        self.exports[row.vehicle_ref] = row
        self._rows.append(row)
        self._note_export(row, now)

    def _note_export(self, row: ExportRow, now: datetime) -> None:
        if row.vehicle_ref in self.fleet:
            year_wh = row.year_wh if row.year == now.year else 0.0
            self.fleet.note_export(row.vehicle_ref, event_kwh=row.event_wh / 1000, year_kwh=year_wh / 1000)

    # --- figures ------------------------------------------------------------------------------------------------------

    def sample(self, view: FleetView, now_s: float) -> Sample:
        """A group as it stands."""
        known = ~np.isnan(view.soc_pct) & ~np.isnan(view.usable_kwh)
        at_plug = (view.plugged == Tri.YES) & (view.at_home != Tri.NO)
        out = view.opted_out | (view.opted_out_until_s > now_s) | (view.boost_until_s > now_s)
        usable_kwh = view.usable_kwh[known]
        return Sample(
            at_s=now_s,
            members=len(view),
            cars=int(known.sum()),
            plugged=int(at_plug.sum()),
            charging=int((view.charge_state == Charge.CHARGING).sum()),
            discharging=int((view.charge_state == Charge.DISCHARGING).sum()),
            held_back=self.told.held_back(view.row, now_s),
            opted_out=int(out.sum()),
            power_kw=_total(view.power_kw[at_plug]),
            stored_kwh=_total(view.soc_pct[known] / 100 * usable_kwh),
            usable_kwh=_total(usable_kwh),
            max_charge_kw=_total(view.max_charge_kw[at_plug]),
            max_discharge_kw=_total(view.max_discharge_kw[at_plug]),
        )

    def drain(self) -> list[Row]:
        """Rows for the store: everything that changed since the last drain."""
        rows, self._rows = self._rows, []
        energy = [
            EnergyRow(zone=zone, bucket=hour, document=document({"imported_wh": drawn, "exported_wh": fed}))
            for zone, hour, drawn, fed in self.meter.drain()
        ]
        return [*rows, *energy, *self.roster.drain()]


def _total(values: Floats) -> float:
    return float(np.nansum(values))


def _enrolment_row(enrolment: Enrolment, now: datetime) -> EnrolmentRow:
    consent = {"charging": enrolment.charging_consent, "discharge": enrolment.discharge_consent}
    return EnrolmentRow(
        vehicle_ref=enrolment.vehicle_ref, zone=enrolment.zone, document=document(consent), at=print_at(now)
    )
