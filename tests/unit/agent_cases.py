"""Cars, events and an agent without a VTN, for tests of what the adapter owes drivers."""

import json
import time as time_of
from datetime import timedelta

from directive_cases import T0

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import (
    Ack,
    BackendError,
    Capability,
    ChargeState,
    DirectiveState,
    DischargeControl,
    ErrorCode,
    Known,
    Reading,
    Snapshot,
)
from ven_adapters.ven.agent import Agent, AgentPorts
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ControlSettings
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, Permission
from ven_adapters.ven.openadr.zone_requests import HeldEvent
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.store.database import AdapterStore
from vtn.client import VtnUnreachable
from vtn.clock import SimulatedClock
from vtn.wire.event import Event

NO_DEPARTURE = (None,) * 7
COURSE = ControlSettings(PlanSettings(), "seed", 300.0)


def enrolment(ref="car", **more):
    given = {
        "zone": "bay",
        "site_id": "s",
        "timezone": "UTC",
        "ready_by": NO_DEPARTURE,
        "target_soc_pct": 80.0,
        "reserve_soc_pct": 30.0,
        "charging_consent": True,
        "discharge_consent": True,
        "permission": Permission("i", 7000, T0 + timedelta(days=30), "UL1741-SB"),
        "discharge_budget": DischargeBudget(10_000, 500_000, 50.0),
    }
    return Enrolment(ref, **given | more)


def snapshot(now, *, soc_pct=50.0, home=Known.YES, power_w=7000.0, state=ChargeState.CHARGING, **more):
    def of(value):
        return Reading(value, now, now)

    return Snapshot(
        "car",
        soc_pct=of(soc_pct),
        plugged=of(Known.YES),
        at_site=of(home),
        charge_state=of(state),
        power_w=of(power_w),
        **{name: of(value) for name, value in more.items()},
    )


def fleet_state(**more):
    cars_of = FleetState(T0.timestamp(), {}, 1)
    cars_of.enrol([enrolment(**more)], T0)
    control = DischargeControl("EVSE", 7000)
    cars_of.learn({"car": Capability("m", 60_000, 7_000, can_set_power=True, discharge=control)})
    return cars_of


def event(payload_type, values, *, start="2026-07-15T22:00:00Z", duration="PT1H", key="e1"):
    raw = {
        "id": key,
        "objectType": "EVENT",
        "createdDateTime": "2026-07-15T20:00:00Z",
        "modificationDateTime": "2026-07-15T20:00:00Z",
        "programID": "p1",
        "intervals": [
            {
                "id": number,
                "intervalPeriod": {"start": start, "duration": duration} if not number else None,
                "payloads": [{"type": payload_type, "values": [value]}],
            }
            for number, value in enumerate(values)
        ],
    }
    if len(values) > 1:
        raw["intervalPeriod"] = {"start": start, "duration": duration}
        for interval in raw["intervals"]:
            del interval["intervalPeriod"]
    return HeldEvent(Event.model_validate(raw), T0)


class Backend:
    """Cars of which one is never heard of."""

    def __init__(self) -> None:
        self.submitted = []
        self.cancelled = []

    async def capabilities(self, ref):
        if ref == "dead":
            raise BackendError(ErrorCode.UNREACHABLE, "deep sleep")
        return Capability("m", 60_000, 7_000)

    async def submit(self, directive, _capability, _snapshot):
        self.submitted.append(directive)
        return Ack(directive.directive_id, DirectiveState.ACCEPTED)

    async def cancel(self, _ref, directive_id):
        self.cancelled.append(directive_id)
        return Ack(directive_id, DirectiveState.CANCELLED)


def agent(folder):
    told = {
        "oem": "bmw",
        "client_name": "bmw",
        "vtn": {"url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s"},
        "backend": {},
        "enrolments": [str(folder / "none")],
        "wake": {"first_retry_s": 0.01, "longest_retry_s": 0.01},
        "smallest_group": 1,
        "var": str(folder),
    }
    settings = AdapterSettings.model_validate_json(json.dumps(told))
    store = AdapterStore(f"sqlite+aiosqlite:///{folder / 'x.sqlite'}")
    made = Agent(settings, SimulatedClock(T0, time_of.time(), 1.0), AgentPorts(NoVtn(), Backend(), store))
    made.fleet_state.enrol([enrolment()], T0)
    made.fleet_state.learn({"car": Capability("m", 60_000, 7_000)})
    return made


class NoVtn:
    """A VTN that takes one report and is gone."""

    client_id = "c"

    def __init__(self) -> None:
        self.taken = 0

    async def create(self, _kind, _body):
        self.taken += 1
        if self.taken == 2:
            raise VtnUnreachable("gone")
        return {"id": f"r{self.taken}"}
