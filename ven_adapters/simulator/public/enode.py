"""Enode over simulated cars: actions that are pending until the car's telemetry agrees, and webhooks in lists.

The same action asked twice is one action, and the opposite one cancels the older. A car that cannot be reached leaves
its action pending, until Enode gives it up as NO_RESPONSE. Every second car takes a charging current. Shapes are those
of the public documentation and of this project's recordings.
"""

import dataclasses
import hashlib
import hmac
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

from ven_adapters.contract import ChargeState, DirectiveState, Known, Reachability, Snapshot
from ven_adapters.simulator.backend.directive_records import SimulatedDirective
from ven_adapters.simulator.public.commands import IDLE_W, CommandedState
from ven_adapters.simulator.public.vendor_cloud import (
    AWAY_DEGREES,
    HOME,
    Deal,
    Route,
    VendorCloud,
    VendorRefusalCause,
    VendorReply,
    body_of,
    stamp,
)

GIVES_UP_S = 600.0
PAGE = 50
LEAST_A = 5
PHASES = 3
VERSION = "2024-10-01"
KM_PER_KWH = 6.0

REFUSALS: Mapping[str, tuple[int, str]] = {
    VendorRefusalCause.NO_TOKEN: (401, "Unauthorized"),
    VendorRefusalCause.NO_CAR: (404, "Not Found"),
    VendorRefusalCause.LOST: (500, "Internal Server Error"),
    "token_revoked": (401, "Unauthorized"),
    "rate_limited": (429, "Too many requests"),
    "schedule_clobbered": (422, "Vehicle is controlled by a schedule"),
    "invalid": (400, "Validation failed"),
}
TOLD = {Known.YES: True, Known.NO: False}
STATES: Mapping[ChargeState, str] = {
    ChargeState.UNPLUGGED: "UNPLUGGED",
    ChargeState.CHARGING: "PLUGGED_IN:CHARGING",
    ChargeState.COMPLETE: "PLUGGED_IN:COMPLETE",
    ChargeState.NO_POWER: "PLUGGED_IN:NO_POWER",
    ChargeState.FAULT: "PLUGGED_IN:FAULT",
    ChargeState.DISCHARGING: "PLUGGED_IN:DISCHARGING",
}


@dataclasses.dataclass(slots=True)
class Action:
    """One action; `record` is the command to the car, None when it could not be reached or needed nothing."""

    name: str
    car: int
    kind: str
    created_at: datetime
    record: SimulatedDirective | None
    state: str = "PENDING"
    failure: str | None = None
    updated_at: datetime | None = None


class Actions:
    """The protocol of Enode's cloud."""

    def __init__(self, vendor_cloud: VendorCloud) -> None:
        self._vendor_cloud, self._cloud = vendor_cloud, vendor_cloud.cloud
        self._numbers = itertools.count(1)
        self._actions: dict[str, Action] = {}
        self._newest: dict[int, Action] = {}
        self._invalid: set[int] = set()

    def routes(self) -> Sequence[Route]:
        """The documented paths that an energy programme needs."""
        car = "/vehicles/{native}"
        return (
            Route("GET", "/vehicles", Deal.READ, self._vehicles),
            Route("GET", "/vehicles/actions/{action}", Deal.READ, self._action),
            Route("POST", "/vehicles/actions/{action}/cancel", Deal.COMMAND, self._cancelled),
            Route("GET", car, Deal.READ, self._vehicle),
            Route("POST", f"{car}/refresh-hint", Deal.READ, self._hint),
            Route("POST", f"{car}/charging", Deal.COMMAND, self._charging),
            Route("POST", f"{car}/max-current", Deal.COMMAND, self._current),
        )

    def refusal(self, why: str, retry_after_s: float | None) -> VendorReply:
        """A refusal as Enode tells it; the token end point's own is an OAuth error."""
        if why == "invalid_grant":
            return VendorReply(400, {"error": why, "error_description": "the grant is no longer valid"})
        status, title = REFUSALS[why]
        headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:.0f}"}
        return VendorReply(status, {"type": "about:blank", "title": title, "detail": title, "issues": []}, headers)

    def pushes(self, snapshots: Sequence[Snapshot], now: datetime) -> Sequence[Any]:
        """One list of events: cars that changed, and owners whose consent ended."""
        events = [self._updated(snapshot, now) for snapshot in snapshots] + self._ended(now)
        return [events] if events else []

    def _updated(self, told: Snapshot, now: datetime) -> dict[str, Any]:
        car = self._cloud.car(told.vehicle_ref)
        return {
            "event": "user:vehicle:updated",
            "createdAt": stamp(now),
            "version": VERSION,
            "user": {"id": self._vendor_cloud.owner(car)},
            "vehicle": self._told(car, told),
            "updatedFields": ["chargeState.isCharging"],
        }

    def _ended(self, now: datetime) -> list[dict[str, Any]]:
        now_s = self._cloud.world.seconds(now)
        over = {car for car in range(len(self._vendor_cloud.natives)) if self._cloud.fault_state.silent(car, now_s)}
        fresh, self._invalid = over - self._invalid, over
        return [
            {
                "event": "user:credentials:invalidated",
                "createdAt": stamp(now),
                "version": VERSION,
                "user": {"id": self._vendor_cloud.owner(car)},
                "vendor": "SYNTHETIC",
            }
            for car in sorted(fresh)
        ]

    async def _vehicles(self, request: web.Request, _: int) -> VendorReply:
        natives, after = self._vendor_cloud.natives, request.query.get("after")
        first = natives.index(after) + 1 if after in natives else 0
        self._vendor_cloud.now()
        page = range(first, min(first + PAGE, len(natives)))
        more = natives[page[-1]] if page and page[-1] + 1 < len(natives) else None
        cars = [self._told(car, self._vendor_cloud.views.snapshot(car, fresh=False)) for car in page]
        return VendorReply(200, {"data": cars, "pagination": {"before": None, "after": more}})

    async def _vehicle(self, _: web.Request, car: int) -> VendorReply:
        self._vendor_cloud.now()
        return VendorReply(200, self._told(car, self._vendor_cloud.views.snapshot(car, fresh=False)))

    async def _hint(self, _: web.Request, car: int) -> VendorReply:
        if not self._away(car):
            self._vendor_cloud.snapshot(car)
        return VendorReply(204)

    def _away(self, car: int) -> bool:
        self._vendor_cloud.now()
        return self._vendor_cloud.away(car)

    async def _charging(self, request: web.Request, car: int) -> VendorReply:
        kind = str((await body_of(request)).get("action"))
        if kind not in {"START", "STOP"}:
            return self.refusal("invalid", None)
        wish = dataclasses.replace(self._cloud.wish(car), stopped=kind == "STOP")
        pending = self._pending(car, kind)
        if pending is not None:
            return self._answer(pending)
        needless = self._cloud.drawing(car) is (kind == "START") or (kind == "START" and self._cloud.full(car))
        failure = "UNNECESSARY" if needless else None
        if kind == "START" and not self._cloud.world.plugged[car]:
            failure = "FAILED_PRECONDITION"
        return self._answer(self._begun(car, kind, wish, failure))

    async def _current(self, request: web.Request, car: int) -> VendorReply:
        asked_a = (await body_of(request)).get("maxCurrent")
        if not isinstance(asked_a, int) or not self._takes_current(car):
            return self.refusal("invalid", None)
        wish = dataclasses.replace(self._cloud.wish(car), current_a=max(LEAST_A, asked_a))
        return self._answer(self._begun(car, f"MAX_CURRENT_{asked_a}", wish, None))

    def _pending(self, car: int, kind: str) -> Action | None:
        """The car's action that still runs, when it is the same; the opposite one is cancelled."""
        newest = self._newest.get(car)
        if newest is None or self._state(newest) != "PENDING":
            return None
        if newest.kind == kind:
            return newest
        if kind in {"START", "STOP"} and newest.kind in {"START", "STOP"}:
            self._drop(newest)
        return None

    def _begun(self, car: int, kind: str, wish: CommandedState, failure: str | None) -> Action:
        away, now = self._away(car), self._vendor_cloud.clock.now()
        record = None if away or failure else self._cloud.tell(car, wish, now)
        action = Action(f"action-{next(self._numbers)}", car, kind, now, record, failure=failure)
        action.state = "FAILED" if failure else "PENDING"
        self._actions[action.name] = self._newest[car] = action
        return action

    def _state(self, action: Action) -> str:
        """The action's state by now: what the car's telemetry agrees with is CONFIRMED."""
        if action.state != "PENDING":
            return action.state
        now = self._vendor_cloud.now()
        if action.record is not None and self._cloud.obeyed(action.record):
            action.state, action.updated_at = "CONFIRMED", now
        elif action.record is not None and action.record.final:
            action.state, action.updated_at = "CANCELLED", now
        elif (now - action.created_at).total_seconds() > GIVES_UP_S:
            action.state, action.failure, action.updated_at = "FAILED", "NO_RESPONSE", now
        return action.state

    def _drop(self, action: Action) -> None:
        action.state, action.updated_at = "CANCELLED", self._vendor_cloud.clock.now()
        record = action.record
        if record is not None and not record.began and not record.final:
            record.state = DirectiveState.CANCELLED

    async def _action(self, request: web.Request, _: int) -> VendorReply:
        action = self._actions.get(request.match_info["action"])
        return self.refusal(VendorRefusalCause.NO_CAR, None) if action is None else self._answer(action)

    async def _cancelled(self, request: web.Request, _: int) -> VendorReply:
        action = self._actions.get(request.match_info["action"])
        if action is None:
            return self.refusal(VendorRefusalCause.NO_CAR, None)
        if self._state(action) == "PENDING":
            self._drop(action)
        return self._answer(action)

    def _answer(self, action: Action) -> VendorReply:
        state = self._state(action)
        done = action.updated_at if state != "PENDING" else None
        failure = None if action.failure is None else {"type": action.failure, "detail": action.failure}
        return VendorReply(
            200,
            {
                "id": action.name,
                "userId": self._vendor_cloud.owner(action.car),
                "createdAt": stamp(action.created_at),
                "updatedAt": stamp(action.updated_at or action.created_at),
                "completedAt": None if done is None else stamp(done),
                "state": state,
                "targetId": self._vendor_cloud.natives[action.car],
                "targetType": "vehicle",
                "kind": action.kind,
                "failureReason": failure,
            },
        )

    def _takes_current(self, car: int) -> bool:
        return car % 2 == 0

    def _told(self, car: int, told: Snapshot) -> dict[str, Any]:
        seen = told.soc_pct or told.charge_state
        at = None if seen is None else stamp(seen.observed_at)
        reach = told.reachability
        asleep = reach is not None and reach.value is Reachability.ASLEEP
        return {
            "id": self._vendor_cloud.natives[car],
            "userId": self._vendor_cloud.owner(car),
            "vendor": "SYNTHETIC",
            "lastSeen": at,
            "isReachable": not asleep and not bool(self._cloud.fault_state.unheard[car]),
            "information": {
                "vin": f"7ZZZZ9ZZ9Z1{car + 1:06d}",
                "brand": "Synthetic",
                "model": self._cloud.capability(car).model,
                "year": 2025,
                "displayName": None,
            },
            "chargeState": self._charge(car, told, at),
            "location": _place(told),
            "capabilities": self._able(car),
        }

    def _charge(self, car: int, told: Snapshot, at: str | None) -> dict[str, Any]:
        state = ChargeState.UNKNOWN if told.charge_state is None else told.charge_state.value
        power_w = 0.0 if told.power_w is None else told.power_w.value
        level = None if told.soc_pct is None else told.soc_pct.value
        usable_wh, world = float(self._cloud.fleet.usable_wh[car]), self._cloud.world
        left_wh = max(0.0, float(world.ceiling_wh[car] - world.soc_wh[car]))
        return {
            "batteryLevel": level,
            "range": round((level or 0.0) / 100.0 * usable_wh / 1000.0 * KM_PER_KWH),
            "isPluggedIn": None if told.plugged is None else TOLD.get(told.plugged.value),
            "isCharging": state is ChargeState.CHARGING,
            "isFullyCharged": state is ChargeState.COMPLETE,
            "batteryCapacity": round(usable_wh / 1000.0),
            "chargeLimit": told.limit_soc_pct.value if told.limit_soc_pct else None,
            "chargeRate": None if told.power_w is None else round(power_w / 1000.0, 3),
            "chargeTimeRemaining": round(60.0 * left_wh / power_w) if power_w > IDLE_W else None,
            "maxCurrent": self._cloud.current_a(car) if self._takes_current(car) else None,
            "powerDeliveryState": STATES.get(state, "PLUGGED_IN:STOPPED"),
            "lastUpdated": at,
            "pluggedInChargerId": None,
        }

    def _able(self, car: int) -> dict[str, Any]:
        can = self._cloud.capability(car)
        able = {
            "startCharging": can.can_start and can.can_resume_after_stop,
            "stopCharging": can.can_stop,
            "smartCharging": True,
            "setMaxCurrent": self._takes_current(car),
            "chargeState": True,
            "location": True,
        }
        return {name: {"isCapable": capable, "interventionIds": []} for name, capable in able.items()}


def _place(told: Snapshot) -> dict[str, Any]:
    at_site = told.at_site
    known = at_site is not None and at_site.value is not Known.UNKNOWN
    away = 0.0 if at_site is not None and at_site.value is Known.YES else AWAY_DEGREES
    return {
        "latitude": HOME[0] + away if known else None,
        "longitude": HOME[1] if known else None,
        "lastUpdated": None if at_site is None else stamp(at_site.observed_at),
        "id": "home" if known and not away else None,
    }


def signed(secret: str, body: bytes) -> Mapping[str, str]:
    """The header that proves a webhook body."""
    return {"x-enode-signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}
