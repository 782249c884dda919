"""One zone, one cycle: read the asks, plan, and name the cars that need a step. Decides, calls nobody.

A change that is known beforehand is planned `lead_s` before it is due and sent with its own start, so that a fleet
moves when the event says and not when the last of a thousand calls has come through.
"""

import dataclasses
import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ven_adapters.ven.control.car_steps import Decision, Hand, Orders
from ven_adapters.ven.control.fleet_state import Garage
from ven_adapters.ven.fleet.battery import HOUR_S
from ven_adapters.ven.fleet.columns import FleetView
from ven_adapters.ven.fleet.metering import Sample
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.openadr.zone_requests import Ask, Heard, Ruling, ZoneAsks, read_asks
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.forecast import Outlook, outlook
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.zone_plan import ZonePlan

LONGEST_BORNE_S = 3600.0
FRESH_FOR_S = 60.0


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
        self._bearing: dict[str, tuple[ZonePlan, float]] = {}
        self._planned: dict[str, tuple[object, ...]] = {}
        self._fresh_since_s: dict[str, float] = {}

    def steer(self, zone: str, heard: Sequence[Heard], now: datetime) -> Orders:
        """One cycle of a zone."""
        garage, now_s = self._garage, now.timestamp()
        garage.fleet.refresh(now)
        self._book_burden(zone, now)
        asks = self._asks(zone, heard, now)
        garage.limits.take(garage.group_of(zone), asks.limits, now)
        nears = now_s < asks.next_change_s <= now_s + self._course.lead_s
        fresh_until_s = self._fresh_until_s(zone, asks, now_s)
        leads = nears and now_s >= fresh_until_s
        at = instant(asks.next_change_s) if leads else now
        ahead = self._read(zone, heard, at) if leads else asks
        self._planned[zone] = (_in_force(asks), _in_force(ahead))
        self._begin_exports(zone, asks, ahead, now)
        view, edition = garage.fleet.zone(zone), garage.fleet.edition
        planned = _as_chosen_now(view, now_s, at.timestamp()) if leads else view
        decided = plan(planned, ahead, at.timestamp(), self._course.settings)
        if not leads:
            self._bearing[zone] = (decided, now_s)
        gives_on = _dispatched(asks) is not None
        decision = Decision(zone, decided, now, at, edition, gives_on=gives_on, interrupts=nears and not leads)
        hand = Hand(garage, decision, view, self._course.settings)
        again_s = fresh_until_s if decision.interrupts else self._next_s(asks, now_s)
        return Orders(zone, asks, decided, self._sample(view, asks, decided, now_s), again_s, hand)

    def _fresh_until_s(self, zone: str, asks: ZoneAsks, now_s: float) -> float:
        """Until when what governs is news, that cars are told before they are told what comes next."""
        governs = _in_force(asks)
        if governs not in self._planned.get(zone, (governs,)):
            self._fresh_since_s[zone] = now_s
        return self._fresh_since_s.get(zone, -math.inf) + FRESH_FOR_S

    def outlook(self, zone: str, heard: Sequence[Heard], now: datetime) -> Outlook:
        """The zone's coming day, as things stand."""
        self._garage.fleet.refresh(now)
        asks = self._read(zone, heard, now)
        return outlook(self._garage.fleet.zone(zone), asks, now.timestamp(), self._course.settings)

    def _book_burden(self, zone: str, now: datetime) -> None:
        """What the plan in force has withheld from cars, or taken out of them, since it was last booked."""
        now_s = now.timestamp()
        self._garage.burdens.begin(now)
        borne, since_s = self._bearing.get(zone, (None, now_s))
        hours = max(0.0, min(now_s - since_s, LONGEST_BORNE_S)) / HOUR_S
        if borne is not None and borne.burden_kw.any():
            self._garage.fleet.note_burden(borne.row, borne.burden_kw * hours)
            self._bearing[zone] = (borne, now_s)

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
        kept = self._garage.limits.kept(self._garage.group_of(zone))
        return read_asks(zone, heard, now=at, seed=self._course.seed, released_at=self._released.get(zone), kept=kept)

    def _next_s(self, asks: ZoneAsks, now_s: float) -> float:
        """When to look again: at the next change, and before it in time to send what it needs."""
        ahead_s = asks.next_change_s - self._course.lead_s
        return ahead_s if ahead_s > now_s else asks.next_change_s

    def _sample(self, view: FleetView, asks: ZoneAsks, decided: ZonePlan, now_s: float) -> Sample:
        asked = asks.dispatch_kw or asks.import_cap_kw
        return dataclasses.replace(
            self._garage.sample(view, now_s),
            asked_kw=asked.value if asked is not None else None,
            planned_kw=decided.planned_kw,
            simple_level=int(asks.simple.value) if asks.simple is not None else None,
        )


def _in_force(asks: ZoneAsks) -> tuple[object, ...]:
    """What governs now: when something else does than was planned for, that does not wait for the next change."""
    money = (None if steps is None else steps.at(asks.now_s) for steps in (asks.price, asks.ghg))
    loads = (asks.dispatch_kw, asks.relative_kw, asks.relative_share, asks.simple, asks.alert, asks.pre_charge)
    levels = (*asks.charge_states, *asks.charge_energy_kwh)
    return asks.ruling, *loads, asks.import_cap_kw, asks.export_cap_kw, levels, *money


def _dispatched(asks: ZoneAsks) -> Ask | None:
    """The set-point in force, without which no battery gives."""
    return asks.dispatch_kw or asks.relative_kw or asks.relative_share


def _as_chosen_now(view: FleetView, now_s: float, at_s: float) -> FleetView:
    """The view with drivers' choices of this moment still in force at `at_s`: until one ends, nothing is sent."""
    out_s, boost_s = view.opted_out_until_s, view.boost_until_s
    return dataclasses.replace(
        view,
        opted_out_until_s=np.where(out_s > now_s, np.maximum(out_s, at_s + 1.0), out_s),
        boost_until_s=np.where(boost_s > now_s, np.maximum(boost_s, at_s + 1.0), boost_s),
    )
