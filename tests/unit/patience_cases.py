"""Cars with caps on what events may ask of them, steered cycle by cycle."""

import dataclasses
from datetime import timedelta

import numpy as np
from agent_cases import COURSE, enrolment, event, snapshot
from directive_cases import T0

from ven_adapters.contract import Capability
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.fleet.event_patience import PatienceTerms
from ven_adapters.ven.fleet.fleet import EventCaps
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.store.database import PatienceRow, StoredState

MIDNIGHT = T0.replace(hour=0, minute=0, second=0, microsecond=0)
"""A Wednesday, at midnight in UTC."""


def later(**after):
    return MIDNIGHT + timedelta(**after)


def pause(key, start, hours, level=3, kind="SIMPLE"):
    return event(kind, [level], start=start.isoformat(), duration=f"PT{round(hours * 60)}M", key=key)


class Steered:
    """One zone of cars that always wish to charge, and the events that ask it."""

    def __init__(self, *refs, terms=None, **more) -> None:
        self.refs, self.more, self.terms = refs or ("car",), more, terms
        self.events = []
        self.begin(MIDNIGHT)

    def begin(self, now, stored=()) -> None:
        """An adapter that has just been started, with what an earlier one stored."""
        self.cars = FleetState(MIDNIGHT.timestamp(), {}, 1, patience=self.terms)
        self.cars.enrol([enrolment(ref, **self.more) for ref in self.refs], MIDNIGHT)
        self.cars.learn({ref: Capability("m", 60_000, 7_000) for ref in self.refs})
        self.cars.restore(StoredState(patience=tuple(stored)), now)
        self.controller = ZoneController(self.cars, COURSE)

    def stored(self):
        """What the store has of patience by now."""
        rows = [one for one in self.cars.drain() if getattr(one, "model", None) is PatienceRow]
        return [PatienceRow(**one.values) for one in rows]

    def at(self, now):
        """One cycle: the result."""
        seen = [dataclasses.replace(snapshot(now), vehicle_ref=ref) for ref in self.refs]
        self.cars.observe(seen, now)
        return self.controller.steer("bay", self.events, now)

    def held(self, now):
        """One cycle: which cars an event holds."""
        result = self.at(now)
        rows = result.plan.row[(result.plan.kind == DesireKind.CURTAIL) & (result.plan.burden_kw > 0)]
        return [self.cars.fleet.ref(row) for row in np.sort(rows)]


def capped(**caps):
    return PatienceTerms(EventCaps(**caps))
