"""One zone, one cycle: read the asks, plan, and name the next step of every car that needs one. Decides, calls nobody.

A change that is known beforehand is planned `lead_s` before it is due and sent with its own start, so that a fleet
moves when the event says and not when the last of a thousand calls has come through.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from ven_adapters.contract import Capability, DirectiveKind, Origin
from ven_adapters.ven.asks import Ask, Heard, Ruling, ZoneAsks, read_asks
from ven_adapters.ven.car import Car, direction
from ven_adapters.ven.columns import Charge, FleetView
from ven_adapters.ven.enforcement import Kind
from ven_adapters.ven.garage import Garage
from ven_adapters.ven.guardrails import Reason
from ven_adapters.ven.meter import Sample
from ven_adapters.ven.mobility import PlanSettings
from ven_adapters.ven.planning import plan
from ven_adapters.ven.reconcile import Desire, Do, Step, reconcile
from ven_adapters.ven.zoneplan import ZonePlan, changed

_URGENT = frozenset({Reason.BELOW_RESERVE, Reason.READY_BY})
_UNWILLING = frozenset({Reason.NO_CONSENT, Reason.OPTED_OUT, Reason.BOOST})
_KINDS = {
    Kind.CURTAIL: DirectiveKind.CURTAIL,
    Kind.CAP: DirectiveKind.CAP,
    Kind.CHARGE: DirectiveKind.CHARGE,
    Kind.SETPOINT: DirectiveKind.SETPOINT,
}
_POWERED = frozenset({Kind.CAP, Kind.SETPOINT})
_OUT_OF_REACH = frozenset({Reason.AWAY, Reason.LEVEL_UNKNOWN, Reason.CANNOT_CHARGE})


@dataclasses.dataclass(frozen=True, slots=True)
class Orders:
    """What one zone's cycle decided: steps by car, the zone's sample, and when to look again (epoch seconds)."""

    zone: str
    asks: ZoneAsks
    plan: ZonePlan
    steps: tuple[tuple[str, Step], ...]
    sample: Sample
    look_again_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """What steers all zones alike."""

    settings: PlanSettings
    seed: str
    lead_s: float


class Steering:
    """Remembers of each zone what it was asked last, so that a cancelled event is followed by a soft restart."""

    def __init__(self, garage: Garage, course: Course) -> None:
        self._garage = garage
        self._course = course
        self._before: dict[str, ZoneAsks] = {}
        self._released: dict[str, datetime] = {}
        self._exports_for: dict[str, str] = {}

    def steer(self, zone: str, heard: Sequence[Heard], now: datetime) -> Orders:
        """One cycle of a zone."""
        garage, now_s = self._garage, now.timestamp()
        garage.fleet.refresh_departures(now)
        asks = self._asks(zone, heard, now)
        leads = now_s < asks.next_change_s <= now_s + self._course.lead_s
        at = datetime.fromtimestamp(asks.next_change_s, UTC) if leads else now
        ahead = self._read(zone, heard, at) if leads else asks
        self._begin_exports(zone, asks, ahead, now)
        view = garage.fleet.zone(zone)
        planned = _as_chosen_now(view, now_s, at.timestamp()) if leads else view
        decided = plan(planned, ahead, at.timestamp(), self._course.settings)
        steps = tuple(self._steps(zone, view, decided, at.timestamp(), now, asks))
        return Orders(zone, asks, decided, steps, self._sample(view, asks, decided, now_s), self._next_s(asks, now_s))

    def _asks(self, zone: str, heard: Sequence[Heard], now: datetime) -> ZoneAsks:
        """What is asked now; an event that restricted load and is gone before its end is noted as a release."""
        asks, before = self._read(zone, heard, now), self._before.get(zone)
        if before is not None and before.ruling is not Ruling.NOTHING and asks.ruling is Ruling.NOTHING:
            ruled = (before.alert, before.dispatch_kw, before.relative_kw, before.relative_share, before.simple)
            if any(ask is not None and ask.end_s > now.timestamp() for ask in ruled):
                self._released[zone] = now
                asks = self._read(zone, heard, now)
        self._before[zone] = asks
        return asks

    def _begin_exports(self, zone: str, asks: ZoneAsks, ahead: ZoneAsks, now: datetime) -> None:
        """A new event's budget is whole once nothing of an earlier one is in force."""
        dispatch = _dispatched(asks) or _dispatched(ahead)
        if dispatch is not None and dispatch.value < 0 and self._exports_for.get(zone) != dispatch.event_id:
            self._exports_for[zone] = dispatch.event_id
            self._garage.next_event(zone, dispatch.event_id, now)

    def _read(self, zone: str, heard: Sequence[Heard], at: datetime) -> ZoneAsks:
        return read_asks(zone, heard, now=at, seed=self._course.seed, released_at=self._released.get(zone))

    def _next_s(self, asks: ZoneAsks, now_s: float) -> float:
        """When to look again: at the next change, and before it in time to send what it needs."""
        ahead_s = asks.next_change_s - self._course.lead_s
        return ahead_s if ahead_s > now_s else asks.next_change_s

    def _steps(
        self,
        zone: str,
        view: FleetView,
        decided: ZonePlan,
        at_s: float,
        now: datetime,
        asks: ZoneAsks,
    ) -> Iterator[tuple[str, Step]]:
        garage = self._garage
        leads = at_s > now.timestamp()
        gives_on = _dispatched(asks) is not None
        told = changed(garage.told.as_plan(decided), decided, at_s, self._course.settings)
        restless = {garage.fleet.row(ref) for ref in garage.roster.restless if ref in garage.fleet}
        look = told | np.isin(decided.row, list(restless)) if restless else told
        for place in np.flatnonzero(look).tolist():
            ref = garage.fleet.ref(int(decided.row[place]))
            car = garage.roster.car(ref)
            desire = self._desire(zone, ref, view, decided, place)
            reason = decided.reason[place]
            willing = reason not in _UNWILLING
            if leads and not gives_on and _gives(car, now):
                desire, willing = None, False
            early = leads and reason not in _OUT_OF_REACH
            if desire is None and willing and (early or not garage.knows(ref)):
                continue
            step = reconcile(desire, car, garage.snapshots.get(ref), now, willing=willing)
            if step.do is not Do.NOTHING or step.car is not car:
                yield ref, step

    def _desire(self, zone: str, ref: str, view: FleetView, decided: ZonePlan, place: int) -> Desire | None:
        kind = Kind(int(decided.kind[place]))
        capability = self._garage.capabilities.get(ref)
        if kind is Kind.NONE or capability is None or self._already(kind, ref, view, decided, place):
            return None
        enrolment = self._garage.fleet.enrolment(ref)
        departure_s = float(view.departure_s[place])
        reserve_pct = max(enrolment.reserve_soc_pct, self._course.settings.programme_floor_pct)
        exports = kind is Kind.SETPOINT and decided.power_w[place] < 0
        return Desire(
            vehicle_ref=ref,
            zone=zone,
            kind=_KINDS[kind],
            power_w=int(decided.power_w[place]) if kind in _POWERED else None,
            start=_instant(float(decided.start_s[place])),
            end=_instant(float(decided.end_s[place])),
            origin=_origin(decided, place),
            urgent=decided.reason[place] in _URGENT,
            site_id=enrolment.site_id,
            reserve_soc_pct=reserve_pct if exports else enrolment.reserve_soc_pct,
            target_soc_pct=_target_pct(float(decided.target_pct[place]), capability),
            ready_by=_instant(departure_s) if math.isfinite(departure_s) else None,
            max_energy_wh=int(decided.energy_wh[place]) if exports else None,
        )

    def _already(self, kind: Kind, ref: str, view: FleetView, decided: ZonePlan, place: int) -> bool:
        """A car that charges to its driver's own target, and that we hold in no way, needs no command to charge."""
        free = kind is Kind.CHARGE and self._garage.roster.car(ref).held is None
        own_target = bool(decided.target_pct[place] <= view.target_pct[place])
        return free and own_target and bool(view.charge_state[place] == Charge.CHARGING)

    def _sample(self, view: FleetView, asks: ZoneAsks, decided: ZonePlan, now_s: float) -> Sample:
        asked = asks.dispatch_kw or asks.import_cap_kw
        return dataclasses.replace(
            self._garage.sample(view, now_s),
            asked_kw=asked.value if asked is not None else None,
            planned_kw=decided.planned_kw,
            simple_level=int(asks.simple.value) if asks.simple is not None else None,
        )


def _dispatched(asks: ZoneAsks) -> Ask | None:
    """The set-point in force, without which no battery gives."""
    return asks.dispatch_kw or asks.relative_kw or asks.relative_share


def _gives(car: Car, now: datetime) -> bool:
    """Whether a directive that has started makes the car discharge; it does not wait for what is planned ahead."""
    known = (one.directive for one in (*car.older, car.held) if one is not None)
    return any(direction(one.kind, one.power_w) < 0 and one.start <= now for one in known)


def _as_chosen_now(view: FleetView, now_s: float, at_s: float) -> FleetView:
    """The view with drivers' choices of this moment still in force at `at_s`: until one ends, nothing is sent."""
    out_s, boost_s = view.opted_out_until_s, view.boost_until_s
    return dataclasses.replace(
        view,
        opted_out_until_s=np.where(out_s > now_s, np.maximum(out_s, at_s + 1.0), out_s),
        boost_until_s=np.where(boost_s > now_s, np.maximum(boost_s, at_s + 1.0), boost_s),
    )


def _instant(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _target_pct(target_pct: float, capability: Capability) -> float | None:
    """The level to charge to, inside what the car takes."""
    if math.isnan(target_pct):
        return None
    limit = capability.limit_soc
    return min(100.0, target_pct) if limit is None else min(max(target_pct, limit.min_pct), limit.max_pct)


def _origin(decided: ZonePlan, place: int) -> Origin | None:
    """The event that decided; what a guard decided while an event ruled is booked on that event."""
    index = int(decided.origin[place])
    ask: Ask | None = decided.origins[index] if index >= 0 else next(iter(decided.origins), None)
    return Origin(ask.program_id, ask.event_id, ask.interval_id, ask.priority) if ask is not None else None
