"""Tesla's Fleet API over simulated cars: data in one document, commands answered by result and reason, 408 asleep.

Shapes are those of the public documentation and of this project's recordings. The car obeys a little later
than the answer says; whether it did is told by its next data only.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from ven_adapters.contract import ChargeState, Known, Snapshot
from ven_adapters.simulator.backend.cloud import BEGIN_RANK
from ven_adapters.simulator.public.commands import IDLE_W, CommandedState
from ven_adapters.simulator.public.tesla_telemetry import CarSetupState, TelemetryServer
from ven_adapters.simulator.public.vendor_cloud import (
    AWAY_DEGREES,
    HOME,
    Deal,
    Route,
    VendorCloud,
    VendorRefusalCause,
    VendorReply,
    body_of,
)

LEAST_A = 5
LEAST_PCT, MOST_PCT = 50, 100
NO_VOLTS = 2
KM_PER_MILE = 1.609
RANGE_KM_PER_KWH = 6.0
ZONE = ZoneInfo("America/Los_Angeles")  # of all homes

STATES: Mapping[ChargeState, str] = {
    ChargeState.CHARGING: "Charging",
    ChargeState.COMPLETE: "Complete",
    ChargeState.NO_POWER: "NoPower",
    ChargeState.UNPLUGGED: "Disconnected",
}
REFUSALS: Mapping[str, tuple[int, str]] = {
    VendorRefusalCause.NO_TOKEN: (401, "token expired (401)"),
    VendorRefusalCause.NO_CAR: (404, "not_found"),
    VendorRefusalCause.LOST: (500, "internal server error"),
    "token_revoked": (401, "invalid bearer token: the owner revoked the grant"),
    "rate_limited": (429, "Too many requests"),
    "asleep": (408, "vehicle unavailable: vehicle is offline or asleep"),
}


class FleetApi:
    """The protocol of Tesla's cloud."""

    def __init__(self, vendor_cloud: VendorCloud) -> None:
        self._vendor_cloud, self._cloud = vendor_cloud, vendor_cloud.cloud
        self._commands: Mapping[str, Callable[[int, Mapping[str, Any]], CommandedState | str | None]] = {
            "charge_start": self._start,
            "charge_stop": self._stop,
            "set_charging_amps": self._amps,
            "set_charge_limit": self._limit,
            "add_charge_schedule": self._add_schedule,
            "remove_charge_schedule": self._remove_schedule,
        }
        self._starts: dict[int, tuple[Any, float]] = {}
        self.telemetry = TelemetryServer(vendor_cloud)
        self.public_key: str | None = "04" + 64 * "ab"

    def routes(self) -> Sequence[Route]:
        """The documented paths that an energy programme needs."""
        car = "/api/1/vehicles/{native}"
        return (
            Route("GET", "/api/1/vehicles", Deal.READ, self._vehicles),
            Route("GET", "/api/1/users/region", Deal.READ, self._region),
            Route("GET", "/api/1/partner_accounts/public_key", Deal.READ, self._public_key),
            Route("POST", "/api/1/vehicles/fleet_status", Deal.READ, self._fleet_status),
            Route("POST", "/api/1/vehicles/fleet_telemetry_config", Deal.READ, self._configure),
            Route("GET", f"{car}/fleet_telemetry_config", Deal.READ, self._config),
            Route("DELETE", f"{car}/fleet_telemetry_config", Deal.READ, self._forget_config),
            Route("GET", f"{car}/fleet_telemetry_errors", Deal.READ, self._telemetry_errors),
            Route("GET", f"{car}/vehicle_data", Deal.READ, self._data),
            Route("POST", f"{car}/wake_up", Deal.WAKE, self._wake),
            Route("POST", f"{car}/command/{{name}}", Deal.COMMAND, self._command),
            Route("GET", car, Deal.READ, self._vehicle),
        )

    def refusal(self, why: str, retry_after_s: float | None) -> VendorReply:
        """A refusal as the Fleet API tells it; the token end point's own is an OAuth error."""
        if why == "invalid_grant":
            told = {"error": why, "error_description": "the refresh token is invalid or was used"}
            return VendorReply(401, told)
        status, error = REFUSALS[why]
        headers = {} if retry_after_s is None else _rates(round(retry_after_s))
        return VendorReply(status, {"response": None, "error": error, "error_description": ""}, headers)

    def pushes(self, snapshots: Sequence[Snapshot], now: datetime) -> Sequence[Any]:
        """Nothing by webhook: Tesla's cars stream over a line of their own."""
        del snapshots
        awake = (car for car in range(len(self._vendor_cloud.natives)) if not self._vendor_cloud.away(car))
        configured = (car for car in awake if self.telemetry.cars[car].config is not None)
        self.telemetry.look(now, {car: self._fields(car) for car in configured})
        return ()

    async def _vehicles(self, request: web.Request, _: int) -> VendorReply:
        mine = self._mine(request)
        cars = [self._summary(car) for car in mine]
        pages = {"previous": None, "next": None, "current": 1, "per_page": 100, "count": len(cars), "pages": 1}
        return VendorReply(200, {"response": cars, "pagination": pages, "count": len(cars)})

    def _mine(self, request: web.Request) -> list[int]:
        owner = self._vendor_cloud.grants.owner(request.headers.get("Authorization", ""))
        return [car for car in range(len(self._vendor_cloud.natives)) if self._vendor_cloud.owner(car) == owner]

    async def _region(self, request: web.Request, _: int) -> VendorReply:
        base = f"{request.scheme}://{request.host}"
        return VendorReply(200, {"response": {"region": "na", "fleet_api_base_url": base}})

    async def _public_key(self, _: web.Request, __: int) -> VendorReply:
        if self.public_key is None:
            return VendorReply(404, {"response": None, "error": "not_found", "error_description": ""})
        return VendorReply(200, {"response": {"public_key": self.public_key}})

    async def _fleet_status(self, request: web.Request, _: int) -> VendorReply:
        asked, mine = await _vins_of(request), await self._asked_of(request)
        paired = [vin for vin, state in mine.items() if state.paired]
        unpaired = [vin for vin in asked if vin not in paired]
        told = {vin: state.status() for vin, state in mine.items()}
        return VendorReply(
            200, {"response": {"key_paired_vins": paired, "unpaired_vins": unpaired, "vehicle_info": told}}
        )

    async def _asked_of(self, request: web.Request) -> dict[str, CarSetupState]:
        """The owner's cars among those that a body names."""
        asked = await _vins_of(request)
        cars = {self._vendor_cloud.natives[car]: car for car in self._mine(request)}
        return {vin: self.telemetry.cars[cars[vin]] for vin in asked if vin in cars}

    async def _configure(self, request: web.Request, _: int) -> VendorReply:
        config, skipped = (await body_of(request)).get("config"), dict[str, list[str]]()
        mine = await self._asked_of(request)
        for vin, state in mine.items():
            if (why := state.refusal()) is not None:
                skipped.setdefault(why, []).append(vin)
            else:
                self.telemetry.configure(self._vendor_cloud.natives.index(vin), config)
        updated = len(mine) - sum(map(len, skipped.values()))
        return VendorReply(200, {"response": {"updated_vehicles": updated, "skipped_vehicles": skipped}})

    async def _config(self, _: web.Request, car: int) -> VendorReply:
        state = self.telemetry.cars[car]
        told = {"synced": state.synced, "config": state.config, "key_paired": state.paired}
        return VendorReply(200, {"response": {**told, "limit_reached": state.limit_reached}})

    async def _forget_config(self, _: web.Request, car: int) -> VendorReply:
        self.telemetry.configure(car, None)
        return VendorReply(200, {"response": {"updated_vehicles": 1}})

    async def _telemetry_errors(self, _: web.Request, __: int) -> VendorReply:
        return VendorReply(200, {"response": {"fleet_telemetry_errors": []}})

    def _fields(self, car: int) -> dict[str, Any]:
        """What the car's own streaming client would tell now."""
        told = self._vendor_cloud.views.snapshot(car, fresh=True)
        charge, place = self._charge(car, told), _place(told, 0)
        power_kw = 0.0 if told.power_w is None else told.power_w.value / 1000.0
        located = place["latitude"] is not None
        return {
            "DetailedChargeState": f"DetailedChargeState{charge['charging_state']}",
            "ScheduledChargingPending": charge["scheduled_charging_pending"],
            "BatteryLevel": None if told.soc_pct is None else round(told.soc_pct.value, 2),
            "ACChargingPower": round(power_kw, 3),
            "DCChargingPower": 0.0,
            "ChargeAmps": charge["charger_actual_current"],
            "ChargerVoltage": charge["charger_voltage"],
            "ChargerPhases": charge["charger_phases"],
            "ChargeCurrentRequest": charge["charge_current_request"],
            "ChargeLimitSoc": charge["charge_limit_soc"],
            "ACChargingEnergyIn": charge["charge_energy_added"],
            "TimeToFullCharge": round(charge["minutes_to_full_charge"] / 60.0, 2),
            "FastChargerPresent": charge["fast_charger_present"],
            "Location": {"latitude": place["latitude"], "longitude": place["longitude"]} if located else None,
        }

    async def _vehicle(self, _: web.Request, car: int) -> VendorReply:
        self._vendor_cloud.now()
        return VendorReply(200, {"response": self._summary(car)})

    async def _wake(self, _: web.Request, car: int) -> VendorReply:
        now = self._vendor_cloud.now()
        if self._vendor_cloud.away(car):
            self._cloud.wake(car, now)
        return VendorReply(200, {"response": self._summary(car)})

    def _summary(self, car: int) -> dict[str, Any]:
        return {
            "id": car + 1,
            "vehicle_id": car + 1,
            "vin": self._vendor_cloud.natives[car],
            "display_name": f"car {car + 1}",
            "state": "asleep" if self._vendor_cloud.away(car) else "online",
            "in_service": False,
            "api_version": 70,
        }

    async def _data(self, _: web.Request, car: int) -> VendorReply:
        self._vendor_cloud.now()
        if self._vendor_cloud.away(car):
            return self.refusal("asleep", None)
        told = self._vendor_cloud.snapshot(car)
        if self._vendor_cloud.away(car):  # this very reading was one too many
            return self.refusal("asleep", None)
        charge = self._charge(car, told)
        config = {"car_type": self._cloud.capability(car).model, "eu_vehicle": False, "timestamp": charge["timestamp"]}
        body = {"charge_state": charge, "drive_state": _place(told, charge["timestamp"]), "vehicle_config": config}
        return VendorReply(200, {"response": {**self._summary(car), **body}})

    def _charge(self, car: int, told: Snapshot) -> dict[str, Any]:
        fleet, power_w = self._cloud.fleet, 0.0 if told.power_w is None else told.power_w.value
        flows = power_w > IDLE_W
        seen = told.soc_pct or told.charge_state
        level = None if told.soc_pct is None else round(told.soc_pct.value)
        kwh = (level or 0) / 100.0 * float(fleet.usable_wh[car]) / 1000.0
        current_a = None if told.current_a is None else round(told.current_a.value) if flows else 0
        asked_a = self._cloud.current_a(car)
        return {
            "battery_level": level,
            "usable_battery_level": level,
            "battery_range": round(kwh * RANGE_KM_PER_KWH / KM_PER_MILE, 1),
            "charge_limit_soc": round(told.limit_soc_pct.value) if told.limit_soc_pct else None,
            "charge_limit_soc_min": LEAST_PCT,
            "charge_limit_soc_max": MOST_PCT,
            "charging_state": _state(told),
            "charge_amps": asked_a,
            "charge_current_request": asked_a,
            "charge_current_request_max": int(fleet.max_a[car]),
            "charger_actual_current": current_a,
            "charger_pilot_current": int(fleet.max_a[car]),
            "charger_voltage": int(fleet.voltage_v[car]) if flows else NO_VOLTS,
            "charger_phases": (told.phases.value if told.phases else 1) if flows else None,
            "charger_power": None if told.power_w is None else round(power_w / 1000.0),
            "charge_energy_added": round(told.energy_added_wh.value / 1000.0, 2) if told.energy_added_wh else None,
            "minutes_to_full_charge": self._minutes_left(car, power_w),
            "fast_charger_present": False,
            "scheduled_charging_pending": False,
            "managed_charging_active": False,
            "managed_charging_user_canceled": self._cloud.drivers.busy(car, self._cloud.world.now_s),
            "charge_limit_reason": "ChargeLimitReasonNone",
            "timestamp": 0 if seen is None else round(seen.observed_at.timestamp() * 1000),
        }

    def _minutes_left(self, car: int, power_w: float) -> int:
        world = self._cloud.world
        short_wh = max(0.0, float(world.ceiling_wh[car] - world.soc_wh[car]))
        return round(60.0 * short_wh / power_w) if power_w > IDLE_W else 0

    async def _command(self, request: web.Request, car: int) -> VendorReply:
        now = self._vendor_cloud.now()
        if self._vendor_cloud.away(car):
            return self.refusal("asleep", None)
        name, body = request.match_info["name"], await body_of(request)
        if name not in self._commands:
            return VendorReply(404, {"response": None, "error": "not_found", "error_description": ""})
        found = self._commands[name](car, body)
        if isinstance(found, CommandedState):
            self._cloud.tell(car, found, now)
        reason = found if isinstance(found, str) else ""
        return VendorReply(200, {"response": {"result": not reason, "reason": reason}})

    def _start(self, car: int, _: Mapping[str, Any]) -> CommandedState | str:
        if not self._cloud.world.plugged[car]:
            return "disconnected"
        if self._cloud.drawing(car):
            return "is_charging"
        return "complete" if self._cloud.full(car) else dataclasses.replace(self._cloud.wish(car), stopped=False)

    def _stop(self, car: int, _: Mapping[str, Any]) -> CommandedState | str:
        if not self._cloud.drawing(car):
            return "not_charging"
        return dataclasses.replace(self._cloud.wish(car), stopped=True)

    def _amps(self, car: int, body: Mapping[str, Any]) -> CommandedState | str:
        most_a = int(self._cloud.fleet.max_a[car])
        asked_a = body.get("charging_amps")
        if not isinstance(asked_a, int):
            return "invalid_command"
        return dataclasses.replace(self._cloud.wish(car), current_a=max(LEAST_A, min(asked_a, most_a)))

    def _limit(self, car: int, body: Mapping[str, Any]) -> CommandedState | str:
        percent = body.get("percent")
        if not isinstance(percent, int) or not LEAST_PCT <= percent <= MOST_PCT:
            return "invalid_command"
        if percent == self._cloud.wish(car).limit_pct:
            return "already_set"
        return dataclasses.replace(self._cloud.wish(car), limit_pct=float(percent))

    def _add_schedule(self, car: int, body: Mapping[str, Any]) -> str | None:
        """One start at a minute of the day, once; schedules that repeat, or stop the car, are not played."""
        minute = body.get("start_time")
        playable = body.get("one_time") is True and body.get("start_enabled") is True and not body.get("end_enabled")
        if not playable or not isinstance(minute, int) or not {"days_of_week", "lat", "lon"} <= body.keys():
            return "invalid_command"
        local = self._vendor_cloud.now().astimezone(ZONE)
        at = local.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
        at = at if at > local else at + timedelta(days=1)
        if at.strftime("%A") != body["days_of_week"]:
            return "invalid_command"
        due = body.get("id"), self._cloud.world.seconds(at)
        self._starts[car] = due
        self._cloud.world.at(due[1], car, lambda: self._start_by_schedule(car, due), rank=BEGIN_RANK)
        return None

    def _remove_schedule(self, car: int, body: Mapping[str, Any]) -> str | None:
        if car not in self._starts or self._starts[car][0] != body.get("id"):
            return "not_found"
        del self._starts[car]
        return None

    def _start_by_schedule(self, car: int, due: tuple[Any, float]) -> None:
        if self._starts.get(car) == due:
            del self._starts[car]
            if isinstance(wish := self._start(car, {}), CommandedState):
                self._cloud.tell(car, wish, self._cloud.world.instant(due[1]))


async def _vins_of(request: web.Request) -> list[str]:
    """The cars that a body names."""
    return list((await body_of(request)).get("vins", []))


def _rates(wait_s: int) -> dict[str, str]:
    wait = str(wait_s)
    return {"Retry-After": wait, "RateLimit-Limit": "60", "RateLimit-Remaining": "0", "RateLimit-Reset": wait}


def _state(told: Snapshot) -> str:
    out = told.plugged is not None and told.plugged.value is Known.NO
    if out or told.charge_state is None:
        return STATES[ChargeState.UNPLUGGED]
    return STATES.get(told.charge_state.value, "Stopped")


def _place(told: Snapshot, timestamp: int) -> dict[str, Any]:
    at_site = Known.UNKNOWN if told.at_site is None else told.at_site.value
    latitude, longitude = HOME if at_site is Known.YES else (HOME[0] + AWAY_DEGREES, HOME[1])
    known = at_site is not Known.UNKNOWN
    return {
        "latitude": latitude if known else None,
        "longitude": longitude if known else None,
        "gps_as_of": timestamp // 1000,
        "timestamp": timestamp,
    }
