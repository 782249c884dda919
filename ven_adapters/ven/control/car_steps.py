"""From one zone's plan to the next step of single cars: which cars need a look, in which order, and what each is told.

A plan is made for a whole zone at once; a car becomes an object only here, when it is its turn, so that what it is told
rests on what is known of it at that moment and a newer plan costs nothing for cars whose turn had not come. Decides,
calls nobody.
"""

import collections
import dataclasses
import math
from collections.abc import Iterator
from datetime import datetime

import numpy as np

from ven_adapters.contract import Capability, DirectiveKind, Origin
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.directives.car_directives import CarDirectives, direction
from ven_adapters.ven.directives.reconcile import Desire, Do, Step, reconcile, serves
from ven_adapters.ven.fleet.columns import Bools, Charge, FleetView, Ints, Tri
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.fleet.metering import Sample
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.openadr.zone_requests import GridRequest, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.enforcement import DesireKind, crawling
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.zone_plan import ZonePlan, changed

UNPROVEN_S = 1800.0
_URGENT = frozenset({Reason.BELOW_RESERVE, Reason.READY_BY})
_UNWILLING = frozenset({Reason.NO_CONSENT, Reason.OPTED_OUT, Reason.BOOST})
_WAITS = frozenset({Reason.PRICE, Reason.RECOVERY, Reason.GRID_LIMIT})
WAITS_ON_S = 2700.0
_OUT_OF_REACH = frozenset({Reason.AWAY, Reason.LEVEL_UNKNOWN, Reason.CANNOT_CHARGE})
_POWERED = frozenset({int(DesireKind.CAP), int(DesireKind.SETPOINT)})
_KINDS = {
    int(DesireKind.CURTAIL): DirectiveKind.CURTAIL,
    int(DesireKind.CAP): DirectiveKind.CAP,
    int(DesireKind.CHARGE): DirectiveKind.CHARGE,
    int(DesireKind.SETPOINT): DirectiveKind.SETPOINT,
}
_LAST = 3
_REASONS = tuple(reason.name for reason in Reason)
# What the driver had set: all that a step needs of a reading.
DRIVERS_OWN = ("limit_soc_pct", "limit_current_a", "charge_state")


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneDecision:
    """A plan of a zone, made at `now` for `at`; `gives_on` while a set-point is in force now.

    `edition` is the fleet's when the cars were looked at. `interrupts`: something new counts at once although cars may
    have been told already what comes next.
    """

    zone: str
    plan: ZonePlan
    now: datetime
    at: datetime
    edition: int
    gives_on: bool
    interrupts: bool = False

    @property
    def leads(self) -> bool:
        """Whether it is planned ahead for an instant still to come."""
        return self.at > self.now


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneResult:
    """What one zone's cycle decided: the cars to look at, the zone's sample, when to look again (epoch seconds)."""

    zone: str
    requests: ZoneRequests
    plan: ZonePlan
    sample: Sample
    look_again_s: float
    step_source: "StepSource"

    @property
    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every car's step as it follows from the moment of planning."""
        for place in self.step_source.places.tolist():
            step = self.step_source.step(place, self.step_source.decision.now)
            if step is not None:
                yield step


class StepSource:
    """The cars of one decision that need a look, the most pressing first, and the step of each. Keeps no view."""

    def __init__(
        self, fleet_state: FleetState, decision: ZoneDecision, view: FleetView, settings: PlanSettings
    ) -> None:
        self._fleet_state = fleet_state
        self._floor_pct = settings.programme_floor_pct
        self._departure_s, self._reserve_pct, self._soc_pct = view.departure_s, view.reserve_pct, view.soc_pct
        self._alarm = view.der_alarm == Tri.YES
        self._crawls = crawling(view, decision.now.timestamp()) | _unproven(fleet_state, decision)
        self.decision = decision
        self.places = _places(fleet_state, decision, view, settings, self._crawls)
        self._origins = tuple(map(_origin, decision.plan.origins))

    def ref(self, place: int) -> str:
        """The car at a place of the plan."""
        return self._fleet_state.fleet.ref(int(self.decision.plan.row[place]))

    def step(self, place: int, now: datetime) -> tuple[str, Step] | None:
        """The next step of the car at a place of the plan; None when there is nothing to do, or it is no longer asked.

        A driver who decided something after the cars were looked at is no longer the plan's affair.
        """
        fleet_state, decision = self._fleet_state, self.decision
        row = int(decision.plan.row[place])
        if fleet_state.fleet.changed_since(row, decision.edition):
            return None
        ref = fleet_state.fleet.ref(row)
        car = fleet_state.registry.present(ref, now)
        reason = decision.plan.reason[place]
        desire, willing = self._desire(ref, place), reason not in _UNWILLING
        stays_on = decision.gives_on and not self._alarm[place]
        if decision.leads and not stays_on and _gives(car, now):
            desire, willing = None, False
        early = decision.leads and reason not in _OUT_OF_REACH
        if desire is None and willing and (early or not fleet_state.knows(ref)):
            return None
        if decision.interrupts and willing and _already(desire, car, now):
            return None
        snapshot = None if _remembered(car) else fleet_state.snapshots.some(ref, DRIVERS_OWN)
        step = reconcile(desire, car, snapshot, now, willing=willing)
        return (ref, step) if step.do is not Do.NOTHING or step.car is not car else None

    def _desire(self, ref: str, place: int) -> Desire | None:
        plan = self.decision.plan
        kind, capability = int(plan.kind[place]), self._fleet_state.capabilities.get(ref)
        if kind == DesireKind.NONE or capability is None:
            return None
        departure_s, reserve_pct = float(self._departure_s[place]), float(self._reserve_pct[place])
        exports = kind == DesireKind.SETPOINT and plan.power_w[place] < 0
        return Desire(
            vehicle_ref=ref,
            zone=self.decision.zone,
            kind=_KINDS[kind],
            power_w=int(plan.power_w[place]) if kind in _POWERED else None,
            start=instant(float(plan.start_s[place])),
            end=instant(self._end_s(place)),
            origin=self._origin_of(place),
            urgent=plan.reason[place] in _URGENT,
            site_id=self._fleet_state.fleet.enrolment(ref).site_id,
            reserve_soc_pct=max(reserve_pct, self._floor_pct) if exports else reserve_pct,
            target_soc_pct=_target_pct(float(plan.target_pct[place]), capability),
            ready_by=instant(departure_s) if math.isfinite(departure_s) else None,
            max_energy_wh=int(plan.energy_wh[place]) if exports else None,
            why=_REASONS[plan.reason[place]],
            limited_by=self._limited_by(place),
            level_pct=_known(float(self._soc_pct[place])),
            crawls=bool(self._crawls[place]),
        )

    def _limited_by(self, place: int) -> str:
        """The node whose limit decided; empty where another reason did."""
        plan = self.decision.plan
        if plan.reason[place] != Reason.GRID_LIMIT or plan.limited_by[place] == NO_NODE:
            return ""
        tree = self._fleet_state.fleet.places.tree
        number = int(plan.limited_by[place])
        return f"{tree.kinds[number].value} {tree.names[number]}" if number < len(tree) else ""

    def _end_s(self, place: int) -> float:
        """The end of a car's window.

        A wait for the night's load is told longer than it is planned, so that a plan that moves needs no command: the
        car is let in by a command of its own, and waits no longer than it may in any case.
        """
        plan, end_s = self.decision.plan, float(self.decision.plan.end_s[place])
        if plan.kind[place] == DesireKind.CURTAIL and plan.reason[place] in _WAITS:
            return max(end_s, min(end_s + WAITS_ON_S, float(plan.latest_s[place])))
        return end_s

    def _origin_of(self, place: int) -> Origin | None:
        """The event that decided; what a guard decided while an event ruled is booked on that event."""
        index = int(self.decision.plan.origin[place])
        return self._origins[max(index, 0)] if self._origins else None


def _places(
    fleet_state: FleetState, decision: ZoneDecision, view: FleetView, settings: PlanSettings, crawls: Bools
) -> Ints:
    """The places of the plan that need a look: who must charge or stop giving first, then everybody in turn.

    A car that charges to its driver's own target, and that we hold in no way, needs no command to charge.
    """
    plan = decision.plan
    held = fleet_state.told.as_plan(plan)
    told = changed(held, plan, decision.at.timestamp(), settings)
    free = (
        (plan.kind == DesireKind.CHARGE) & ~fleet_state.told.holding(plan.row) & (view.charge_state == Charge.CHARGING)
    )
    told &= ~(free & (plan.target_pct <= view.target_pct))
    told |= crawls & (plan.kind == DesireKind.CHARGE)
    places = np.flatnonzero(told | fleet_state.told.restless(plan.row))
    pressing = np.isin(plan.reason[places], [int(reason) for reason in _URGENT])
    stops_giving = (held.power_w[places] < 0) & (plan.power_w[places] >= 0)
    return places[np.argsort(np.select([pressing, stops_giving], [1, 2], _LAST), kind="stable")]


def _unproven(fleet_state: FleetState, decision: ZoneDecision) -> Bools:
    """Cars that must charge now and were told to half an hour ago or longer, which nothing that was read bears out.

    A start that had no effect (field fault 2) looks like that where a car's clock is wrong.
    """
    plan = decision.plan
    pressing = np.isin(plan.reason, [int(reason) for reason in _URGENT]) & (plan.kind == DesireKind.CHARGE)
    since_s = fleet_state.told.unconfirmed_s(plan.row)
    return np.asarray(pressing & (since_s <= decision.now.timestamp() - UNPROVEN_S))


def _gives(car: CarDirectives, now: datetime) -> bool:
    """Whether a directive that has started makes the car discharge; it does not wait for what is planned ahead."""
    known = (one.directive for one in (*car.older, car.held) if one is not None)
    return any(direction(one.kind, one.power_w) < 0 and one.start <= now for one in known)


def _already(desire: Desire | None, car: CarDirectives, now: datetime) -> bool:
    """Whether a car that was told what comes next does until then what is wanted now, or wants no hurry."""
    if car.held is None or car.held.directive.start <= now:
        return False
    if desire is None or not car.older:
        return not car.older and (desire is None or (desire.kind is DirectiveKind.CHARGE and not desire.urgent))
    return serves(car.older[-1], desire, now)


def _remembered(car: CarDirectives) -> bool:
    """Whether the driver's own settings are known from before we first touched the car."""
    return any(one is not None and one.before is not None for one in (*car.older, car.held))


def _known(level_pct: float) -> float | None:
    return None if math.isnan(level_pct) else round(level_pct, 1)


def _target_pct(target_pct: float, capability: Capability) -> float | None:
    """The level to charge to, inside what the car takes."""
    if math.isnan(target_pct):
        return None
    limit = capability.limit_soc
    return min(100.0, target_pct) if limit is None else min(max(target_pct, limit.min_pct), limit.max_pct)


def _origin(ask: GridRequest) -> Origin:
    return Origin(ask.program_id, ask.event_id, ask.interval_id, ask.priority)


class StepQueue:
    """Cars whose turn has not come yet: one zone after the other, the most pressing car of each first.

    A zone's newer decision replaces what is left of its older one, so that nothing outdated is sent.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[StepSource, collections.deque[int]]] = {}
        self._turns: collections.deque[str] = collections.deque()

    def put(self, step_source: StepSource) -> None:
        """Take up a zone's newest decision."""
        zone = step_source.decision.zone
        if zone not in self._left:
            self._turns.append(zone)
        self._left[zone] = step_source, collections.deque(step_source.places.tolist())

    def take(self) -> tuple[StepSource, int] | None:
        """The next car as its decision and its place there; None when all is done."""
        while self._turns:
            zone = self._turns.popleft()
            step_source, places = self._left[zone]
            if places:
                self._turns.append(zone)
                return step_source, places.popleft()
            del self._left[zone]
        return None

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._left.values())
