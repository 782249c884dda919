"""Smartcar's version 3 over simulated cars: signals from a store, commands that answer when the car has answered.

A command that takes longer than three minutes is answered 202 at once, and its outcome follows in the body of the same
answer. A car's store is fresh to the minute while its webhook is set, as here it is. Shapes are those of the public
documentation and of this project's recordings.
"""

import dataclasses
import hashlib
import hmac
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from ven_adapters.contract import ChargeState, Known, Reachability, Reading, Snapshot
from ven_adapters.simulator.backend.directive_records import SimulatedDirective
from ven_adapters.simulator.public.commands import IDLE_W, CommandedState
from ven_adapters.simulator.public.vendor_cloud import (
    Deal,
    Route,
    VendorCloud,
    VendorRefusalCause,
    VendorReply,
    body_of,
    stamp,
)
from vtn.limits import Limit

STORE_S = 60.0
PATIENCE_S = 175.0
BURST, PER_S = 120.0, 2.0 / 60.0
PAGE = 10
LEAST_PCT, MOST_PCT = 50, 100
MINUTE_S = 60.0

# (type, code, status, what the caller is to do)
REFUSALS: Mapping[str, tuple[str, str, int, str | None]] = {
    VendorRefusalCause.NO_TOKEN: ("AUTHENTICATION", "INVALID_TOKEN", 401, None),
    VendorRefusalCause.NO_CAR: ("CONNECTED_SERVICES_ACCOUNT", "VEHICLE_MISSING", 400, "REAUTHENTICATE"),
    VendorRefusalCause.LOST: ("SERVER", "INTERNAL", 500, "RETRY_LATER"),
    "token_revoked": ("CONNECTED_SERVICES_ACCOUNT", "PERMISSION", 400, "REAUTHENTICATE"),
    "rate_limited": ("RATE_LIMIT", "VEHICLE", 429, "RETRY_LATER"),
    "quota": ("BILLING", "VEHICLE_REQUEST_LIMIT", 430, "CONTACT_SUPPORT"),
    "schedule_clobbered": ("VEHICLE_STATE", "CHARGE_FAULT", 409, "RETRY_LATER"),
    "asleep": ("VEHICLE_STATE", "ASLEEP", 409, "RETRY_LATER"),
    "unreachable": ("VEHICLE_STATE", "UNREACHABLE", 409, "RETRY_LATER"),
    "unplugged": ("VEHICLE_STATE", "CHARGING_PLUG_NOT_CONNECTED", 409, None),
    "charging": ("VEHICLE_STATE", "CHARGING_IN_PROGRESS", 409, None),
    "not_charging": ("VEHICLE_STATE", "NOT_CHARGING", 409, None),
    "full": ("VEHICLE_STATE", "FULLY_CHARGED", 409, None),
    "invalid": ("VALIDATION", "PARAMETER", 400, None),
}


class Signals:
    """The protocol of Smartcar's cloud; `monthly` calls per car and no more, where that is given."""

    def __init__(self, vendor_cloud: VendorCloud, *, monthly: int | None = None) -> None:
        self._vendor_cloud, self._cloud, self._monthly = vendor_cloud, vendor_cloud.cloud, monthly
        self._numbers = itertools.count(1)
        self._buckets = Limit(BURST, PER_S, len(vendor_cloud.natives))
        self._calls: dict[tuple[int, str], int] = {}

    def routes(self) -> Sequence[Route]:
        """The documented paths that an energy programme needs."""
        car = "/vehicles/{native}"
        return (
            Route("GET", "/connections", Deal.READ, self._connections),
            Route("GET", f"{car}/signals", Deal.READ, self._signals),
            Route("POST", f"{car}/commands/charge/{{verb}}", Deal.COMMAND, self._command),
        )

    def refusal(self, why: str, retry_after_s: float | None) -> VendorReply:
        """A refusal as Smartcar tells it; the token end point's own is an OAuth error."""
        if why == "invalid_grant":
            return VendorReply(400, {"error": why, "error_description": "the grant is no longer valid"})
        kind, code, status, resolution = REFUSALS[why]
        told = {"type": kind, "code": code, "statusCode": status, "description": f"{kind}: {code}"}
        headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:.0f}"}
        return VendorReply(status, {"errors": [{**told, "resolution": {"type": resolution}}]}, headers)

    def pushes(self, snapshots: Sequence[Snapshot], now: datetime) -> Sequence[Any]:
        """One VEHICLE_STATE event for each car that changed."""
        return [self._event(snapshot, now) for snapshot in snapshots]

    def _event(self, told: Snapshot, now: datetime) -> dict[str, Any]:
        car, number = self._cloud.car(told.vehicle_ref), next(self._numbers)
        signals = [{**one["attributes"], "meta": one["meta"]} for one in self._of(car, told, now)]
        return {
            "eventId": f"event-{number}",
            "eventType": "VEHICLE_STATE",
            "data": {
                "user": {"id": _user(self._vendor_cloud.natives[car])},
                "vehicle": {"id": self._vendor_cloud.natives[car]},
                "signals": signals,
            },
            "triggers": [{"type": "SIGNAL_UPDATED", "signal": {"code": "charge-ischarging"}}],
            "meta": {"version": "4.0", "mode": "LIVE", "deliveryId": f"delivery-{number}"},
        }

    async def _connections(self, request: web.Request, _: int) -> VendorReply:
        page, size = (int(request.query.get(f"page[{name}]", usual)) for name, usual in (("number", 1), ("size", PAGE)))
        first = (page - 1) * size
        told = [
            {
                "id": f"connection-{car + 1}",
                "type": "connection",
                "attributes": {"vehicleId": native, "userId": _user(native), "mode": "simulated"},
            }
            for car, native in enumerate(self._vendor_cloud.natives)
        ]
        return VendorReply(200, {"data": told[first : first + size], "meta": {"page": {"number": page, "size": size}}})

    async def _signals(self, request: web.Request, car: int) -> VendorReply:
        refused = self._refused(request, car)
        if refused is not None:
            return refused
        told = self._vendor_cloud.snapshot(car, older_than_s=STORE_S)
        rows = self._of(car, told, self._vendor_cloud.clock.now())
        return VendorReply(200, {"data": rows, "meta": {"totalCount": len(rows)}})

    def _refused(self, request: web.Request, car: int) -> VendorReply | None:
        """The user's header, the month's quota and the bucket of the car."""
        now = self._vendor_cloud.now()
        if request.headers.get("sc-user-id") != _user(self._vendor_cloud.natives[car]):
            return self.refusal("invalid", None)
        month = car, f"{now:%Y-%m}"
        self._calls[month] = self._calls.get(month, 0) + 1
        if self._monthly is not None and self._calls[month] > self._monthly:
            return self.refusal("quota", None)
        wait_s = self._buckets.wait_s(car, now.timestamp())
        return self.refusal("rate_limited", wait_s) if wait_s else None

    async def _command(self, request: web.Request, car: int) -> VendorReply | web.StreamResponse:
        refused = self._refused(request, car)
        if refused is not None:
            return refused
        found = self._wished(request.match_info["verb"], car, await body_of(request))
        if isinstance(found, str):
            return self.refusal(found, None)
        record = self._cloud.tell(car, found, self._vendor_cloud.clock.now())
        now_s = self._cloud.world.now_s
        if record.begins_s - now_s > PATIENCE_S:
            return await self._late(request, record)
        await self._vendor_cloud.wait_until(record.begins_s)
        return VendorReply(200, self._done(request, record, now_s))

    def _wished(self, verb: str, car: int, body: Mapping[str, Any]) -> CommandedState | str:
        cloud, wish = self._cloud, self._cloud.wish(car)
        if cloud.fault_state.out_of_reach(car):
            return "unreachable"
        if cloud.asleep[car]:
            return "asleep"
        if verb == "set-limit":
            percent = body.get("data", {}).get("attributes", {}).get("percent")
            fits = isinstance(percent, int) and LEAST_PCT <= percent <= MOST_PCT
            return dataclasses.replace(wish, limit_pct=float(percent)) if fits else "invalid"
        if verb == "stop":
            return dataclasses.replace(wish, stopped=True) if cloud.drawing(car) else "not_charging"
        if verb != "start":
            return "invalid"
        return self._started(car)

    def _started(self, car: int) -> CommandedState | str:
        cloud = self._cloud
        if not cloud.world.plugged[car]:
            return "unplugged"
        if cloud.drawing(car):
            return "charging"
        return "full" if cloud.full(car) else dataclasses.replace(cloud.wish(car), stopped=False)

    async def _late(self, request: web.Request, record: SimulatedDirective) -> web.StreamResponse:
        """202 at once; the outcome when the car has answered."""
        began_s = self._cloud.world.now_s
        response = web.StreamResponse(status=202, headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await self._vendor_cloud.wait_until(record.begins_s)
        await response.write(orjson.dumps(self._done(request, record, began_s)))
        await response.write_eof()
        return response

    def _done(self, request: web.Request, record: SimulatedDirective, began_s: float) -> dict[str, Any]:
        now, world = self._vendor_cloud.now(), self._cloud.world
        attributes = {
            "commandType": f"charge-{request.match_info['verb']}",
            "status": {"value": "SUCCESS"},
            "executionMode": "sync",
            "parameters": {},
        }
        meta = {
            "executedAt": stamp(world.instant(began_s)),
            "completedAt": stamp(now),
            "durationInSeconds": round(record.begins_s - began_s),
        }
        number = f"exec_{next(self._numbers)}"
        return {"data": {"id": number, "type": "command-execution", "attributes": attributes, "meta": meta}}

    def _of(self, car: int, told: Snapshot, now: datetime) -> list[dict[str, Any]]:
        rows = []
        for code, (body, seen) in self._values(car, told).items():
            at = None if seen is None else stamp(seen.observed_at)
            meta = {"retrievedAt": stamp(now), "oemUpdatedAt": at, "ingestedAt": stamp(now)}
            named = {"code": code, "name": code, "group": code.split("-")[0]}
            attributes = {**named, "status": {"value": "SUCCESS"}, "body": body}
            rows.append({"id": code, "type": "signal", "attributes": attributes, "meta": meta})
        return rows

    def _values(self, car: int, told: Snapshot) -> dict[str, tuple[dict[str, Any], Reading[Any] | None]]:
        fleet, state, power = self._cloud.fleet, told.charge_state, told.power_w
        power_w = 0.0 if power is None else power.value
        charging = state is not None and state.value is ChargeState.CHARGING
        status = "FULLY_CHARGED" if state is not None and state.value is ChargeState.COMPLETE else "NOT_CHARGING"
        limit_pct = told.limit_soc_pct.value if told.limit_soc_pct else None
        left_wh = max(0.0, float(self._cloud.world.ceiling_wh[car] - self._cloud.world.soc_wh[car]))
        left_min = round(60.0 * left_wh / power_w) if power_w > IDLE_W else 0
        asleep = told.reachability is not None and told.reachability.value is Reachability.ASLEEP
        online = not self._cloud.fault_state.unheard[car]
        return {
            "tractionbattery-stateofcharge": _measured("percent", told.soc_pct),
            "tractionbattery-nominalcapacity": ({"capacity": round(float(fleet.usable_wh[car]) / 1000.0)}, state),
            "charge-ischarging": ({"value": charging}, state),
            "charge-ischargingcableconnected": ({"value": _yes(told.plugged)}, told.plugged),
            "charge-detailedchargingstatus": ({"value": "CHARGING" if charging else status}, state),
            "charge-wattage": _measured("watts", power),
            "charge-voltage": ({"unit": "volts", "value": int(fleet.voltage_v[car])}, state),
            "charge-amperage": _measured("amperes", told.current_a),
            "charge-amperagemax": ({"unit": "amperes", "value": int(fleet.max_a[car])}, state),
            "charge-chargerphases": ({"value": told.phases.value if told.phases else 1}, state),
            "charge-energyadded": (_kwh(told.energy_added_wh), told.energy_added_wh),
            "charge-timetocomplete": ({"unit": "minutes", "value": left_min}, state),
            "charge-chargelimits": (_limits(None if limit_pct is None else round(limit_pct)), told.limit_soc_pct),
            "location-isathome": ({"value": _yes(told.at_site)}, told.at_site),
            "connectivitystatus-isonline": ({"value": online and not asleep}, told.reachability),
            "connectivitystatus-isasleep": ({"value": asleep or not online}, told.reachability),
        }


def _measured(unit: str, seen: Reading[float] | None) -> tuple[dict[str, Any], Reading[float] | None]:
    return {"unit": unit, "value": None if seen is None else seen.value}, seen


def _kwh(seen: Reading[float] | None) -> dict[str, Any]:
    return {"unit": "kilowatt_hours", "value": None if seen is None else round(seen.value / 1000.0, 3)}


def _limits(percent: int | None) -> dict[str, Any]:
    values = [{"type": "global", "limit": percent, "condition": None}]
    return {"unit": "percent", "activeLimit": percent, "values": values}


def _yes(seen: Reading[Known] | None) -> bool | None:
    value = Known.UNKNOWN if seen is None else seen.value
    return {Known.YES: True, Known.NO: False}.get(value)


def _user(native: str) -> str:
    return f"user-of-{native}"


def signed(secret: str, body: bytes) -> Mapping[str, str]:
    """The header that proves a webhook body."""
    return {"SC-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
