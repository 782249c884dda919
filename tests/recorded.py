"""Vendors' clouds that play recorded shapes over real HTTP: what a public API answers, and how it fails.

A recording is `{"status", "headers", "body"}`; the cloud fills in the present instant and the state of its few cars.
`fail` queues another recording for the next call that matches. All values are invented.
"""

import asyncio
import contextlib
import copy
import dataclasses
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from pacing import paced

from vtn.clock import SimulatedClock

FOLDER = Path(__file__).with_name("recordings")
EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)


def recording(vendor, name):
    return json.loads((FOLDER / vendor / f"{name}.json").read_text())


def hurried(speed=900.0):
    return SimulatedClock(EVENING, time.time(), paced(speed))


@dataclasses.dataclass
class Car:
    """A car behind a cloud: whether it draws follows from what it was told."""

    native: str
    charging: bool = True
    plugged: bool = True
    asleep: bool = False
    amps: int = 32
    limit_pct: int = 80
    obeys: bool = True
    home: bool = True


class Cloud:
    """What every vendor's cloud has: tokens, a log of requests, queued failures."""

    vendor = ""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.cars = {}
        self.requests = []
        self.bodies = []
        self.failures = []
        self.refreshes = []
        self.tokens = itertools.count(1)
        self.good = set()
        self.url = ""

    def fail(self, suffix, name, *, times=1, acts=False):
        """The next calls whose path ends so get this recording; with `acts` the car obeys all the same."""
        self.failures += [(suffix, name, acts)] * times

    def sent(self, suffix):
        return [body for (method, path), body in zip(self.requests, self.bodies, strict=True) if path.endswith(suffix)]

    def now(self):
        return self.clock.now()

    def stamp(self):
        return self.now().isoformat().replace("+00:00", "Z")

    def play(self, name):
        found = recording(self.vendor, name)
        return found["status"], found["headers"], copy.deepcopy(found["body"])

    async def handle(self, request):
        text = await request.text()
        if request.path.endswith("/token"):
            return self._answer(*self.token(dict(await request.post())))
        self.requests.append((request.method, request.path))
        self.bodies.append(json.loads(text) if text else None)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.good:
            return self._answer(*self.play("revoked_401"))
        for place, (suffix, name, acts) in enumerate(self.failures):
            if request.path.endswith(suffix):
                del self.failures[place]
                if acts:
                    self.answer(request, self.bodies[-1])  # type: ignore[attr-defined]
                return await self.failed(request, name)
        made = self.answer(request, self.bodies[-1])  # type: ignore[attr-defined]
        return made if isinstance(made, web.StreamResponse) else self._answer(*made)

    async def failed(self, request, name):
        if name == "silence":
            request.transport.close()
            await asyncio.sleep(0)
            raise ConnectionResetError
        if name == "hang":
            await asyncio.Event().wait()
        return self._answer(*self.play(name))

    def token(self, form):
        self.refreshes.append(form.get("refresh_token"))
        if self.failures and self.failures[0][0] == "/token":
            return self.play(self.failures.pop(0)[1])
        status, headers, body = self.play("token")
        number = next(self.tokens)
        body |= {name: f"{name}-{number}" for name in ("access_token", "refresh_token", "id_token") if name in body}
        self.good.add(body["access_token"])
        return status, headers, body

    @staticmethod
    def _answer(status, headers, body) -> web.Response:
        text = None if body is None else json.dumps(body)
        return web.Response(status=status, headers=headers, body=text, content_type="application/json")

    @contextlib.asynccontextmanager
    async def open(self):
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


@dataclasses.dataclass
class TeslaSetupState:
    """What Tesla tells of a car's set-up, and the telemetry configuration that it was given."""

    paired: bool = True
    told: dict = dataclasses.field(default_factory=dict)
    config: dict | None = None
    synced: bool = True
    more: dict = dataclasses.field(default_factory=dict)
    skipped: str = ""
    errors: bool = False


class TeslaCloud(Cloud):
    vendor = "tesla"
    stop = "/command/charge_stop"

    def commands(self):
        return [path for _, path in self.requests if "/command/" in path]

    def __init__(self, clock) -> None:
        super().__init__(clock)
        self.cars = {vin: Car(vin) for vin in ("SYNTHETICVIN00001", "SYNTHETICVIN00002")}
        self.cars["SYNTHETICVIN00002"].plugged = self.cars["SYNTHETICVIN00002"].charging = False
        self.setups = {vin: TeslaSetupState() for vin in self.cars}
        self.observed = None
        self.override = False

    def answer(self, request, body):
        path = request.path
        if path.endswith("/vehicles"):
            return self.listed()
        if "/fleet_" in path or path.endswith(("/public_key", "/users/region")):
            return self.set_up(request.method, path.split("/"), body)
        car = self.cars[path.split("/")[4]]
        if path.endswith("/wake_up"):
            car.asleep = False
            return self.play("wake_up")
        if path.endswith(car.native):
            return self.play("vehicle")
        if car.asleep:
            return self.play("asleep_408")
        return self.data(car) if path.endswith("/vehicle_data") else self.command(car, path.split("/")[-1], body)

    def listed(self):
        status, headers, body = self.play("vehicles")
        body["response"] = [body["response"][0] | {"vin": vin} for vin in self.cars]
        return status, headers, body

    def set_up(self, method, parts, body):
        if parts[-1] in {"public_key", "region"}:
            status, headers, told = self.play(parts[-1])
            told["response"] |= {"fleet_api_base_url": self.url} if parts[-1] == "region" else {}
            return status, headers, told
        return (
            self.status_of(body["vins"])
            if parts[-1] == "fleet_status"
            else self.telemetry(method, parts[4], parts[-1], body)
        )

    def status_of(self, vins):
        status, headers, body = self.play("fleet_status")
        found = body["response"]
        (usual,) = found["vehicle_info"].values()
        for name, paired in (("key_paired_vins", True), ("unpaired_vins", False)):
            found[name] = [vin for vin in vins if self.setups[vin].paired is paired]
        found["vehicle_info"] = {vin: usual | self.setups[vin].told for vin in vins}
        return status, headers, body

    def telemetry(self, method, vin, name, body):
        """A car's configuration made or asked for, or what it reported."""
        if vin == "fleet_telemetry_config":
            status, headers, made = self.play("fleet_telemetry_config_made")
            for one in body["vins"]:
                if why := self.setups[one].skipped:
                    made["response"]["skipped_vehicles"].setdefault(why, []).append(one)
                else:
                    self.setups[one].config = body["config"]
            return status, headers, made
        status, headers, told = self.play(name)
        setup = self.setups[vin]
        if method == "DELETE":
            setup.config = None
            return 200, {}, {"response": {"updated_vehicles": 1}}
        if name == "fleet_telemetry_errors":
            told["response"][name] = told["response"][name] if setup.errors else []
        else:
            told["response"] |= {"config": setup.config, "synced": setup.synced, **setup.more}
        return status, headers, told

    def data(self, car):
        status, headers, body = self.play("vehicle_data")
        charge, place = body["response"]["charge_state"], body["response"]["drive_state"]
        charge["timestamp"] = place["timestamp"] = int((self.observed or self.now()).timestamp() * 1000)
        named = "Charging" if car.charging else "Stopped" if car.plugged else "Disconnected"
        drawn = car.amps if car.charging else 0
        charge |= {"charging_state": named, "charge_current_request": car.amps, "charge_limit_soc": car.limit_pct}
        charge |= {"charger_actual_current": drawn, "managed_charging_user_canceled": self.override}
        charge |= {} if car.charging else {"charger_power": 0, "charger_voltage": 2, "charger_phases": None}
        place |= {} if car.home else {"latitude": 1.0}
        return status, headers, body

    def command(self, car, name, body):
        if name in ("charge_start", "charge_stop"):
            start = name == "charge_start"
            if start and not car.plugged:
                return self.play("command_disconnected")
            if car.charging == start:
                return self.play("command_is_charging" if start else "command_not_charging")
            car.charging = start if car.obeys else car.charging
        elif car.obeys and name == "set_charging_amps":
            car.amps = body["charging_amps"]
        elif car.obeys and name == "set_charge_limit":
            car.limit_pct = body["percent"]
        return self.play("command_ok")


class SmartcarCloud(Cloud):
    vendor = "smartcar"
    stop = "/commands/charge/stop"

    def __init__(self, clock) -> None:
        super().__init__(clock)
        self.cars = {name: Car(name) for name in ("veh-synthetic-1", "veh-synthetic-2")}
        self.cars["veh-synthetic-2"].plugged = self.cars["veh-synthetic-2"].charging = False
        self.observed = None
        self.late_s = None
        self.users = []
        self.subscribed = []

    def commands(self):
        return [path for _, path in self.requests if "/commands/" in path]

    def answer(self, request, body):
        path = request.path
        if path.endswith("/connections"):
            return self.listed()
        if path.endswith("/subscriptions"):
            self.subscribed += [] if request.method == "GET" else [body["data"]]
            return 202, {}, {"data": self.subscribed}
        self.users.append(request.headers.get("sc-user-id"))
        car = self.cars[path.split("/")[2]]
        return self.signals(car) if path.endswith("/signals") else self.command(car, path.split("/")[-1], body)

    def listed(self):
        status, headers, body = self.play("connections")
        first = body["data"][0]
        body["data"] = [
            first | {"attributes": first["attributes"] | {"vehicleId": name, "userId": f"user-of-{name}"}}
            for name in self.cars
        ]
        return status, headers, body

    def signals(self, car):
        status, headers, body = self.play("signals")
        now, seen = self.stamp(), (self.observed or self.now()).isoformat()
        values = {"charge-ischarging": car.charging, "charge-ischargingcableconnected": car.plugged}
        values |= {"location-isathome": car.home, "connectivitystatus-isasleep": car.asleep}
        values |= {"charge-wattage": 7_100 if car.charging else 0}
        values |= {"charge-detailedchargingstatus": "CHARGING" if car.charging else "NOT_CHARGING"}
        for one in body["data"]:
            code = one["attributes"]["code"]
            if code in values:
                one["attributes"]["body"]["value"] = values[code]
            one["meta"] = {"retrievedAt": now, "oemUpdatedAt": seen, "ingestedAt": now}
        return status, headers, body

    def command(self, car, verb, body):
        if car.asleep:
            return self.play("asleep_409")
        if verb in ("start", "stop"):
            if car.charging == (verb == "start"):
                return self.play("charging_in_progress_409" if car.charging else "not_charging_409")
            car.charging = (verb == "start") if car.obeys else car.charging
        elif verb == "set-limit" and car.obeys:
            car.limit_pct = body["data"]["attributes"]["percent"]
        return self.play("command_success")

    async def failed(self, request, name):
        """`late:NAME` answers 202 at once and the recording's body later; `cut:NAME` breaks off inside it."""
        how, _, late = name.partition(":")
        if how not in ("late", "cut"):
            return await super().failed(request, name)
        response = web.StreamResponse(status=202, headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        body = json.dumps(self.play(late)[2]).encode()
        await response.write(body[: len(body) // 2])
        if how == "cut":
            request.transport.close()
            return response
        await response.write(body[len(body) // 2 :])
        await response.write_eof()
        return response


class EnodeCloud(Cloud):
    vendor = "enode"
    stop = "/charging"

    def __init__(self, clock) -> None:
        super().__init__(clock)
        self.cars = {name: Car(name) for name in ("car-synthetic-1", "car-synthetic-2")}
        self.cars["car-synthetic-2"].plugged = self.cars["car-synthetic-2"].charging = False
        self.observed = None
        self.frozen = {}
        self.hooks = []

    def commands(self):
        return [
            path for method, path in self.requests if method == "POST" and path.endswith(("/charging", "/max-current"))
        ]

    def answer(self, request, body):
        path = request.path
        if path == "/vehicles":
            return self.page(request.query.get("after"))
        if path.startswith("/webhooks"):
            return self.hooked(request, body)
        car = self.cars[path.split("/")[2]]
        if path.endswith("/charging"):
            start = body["action"] == "START"
            if car.charging == start:
                return self.play("action_failed_unnecessary")
            car.charging = start if car.obeys else car.charging
            return self.play("action_pending")
        if path.endswith("/max-current"):
            car.amps = body["maxCurrent"] if car.obeys else car.amps
            return self.play("action_pending")
        return (204, {}, None) if path.endswith("/refresh-hint") else (200, {}, self.vehicle(car))

    def hooked(self, request, body):
        if request.method == "GET":
            return 200, {}, {"data": self.hooks}
        if request.method == "DELETE":
            self.hooks = [hook for hook in self.hooks if not request.path.endswith(hook["id"])]
            return 204, {}, None
        if request.path.endswith("/test"):
            return 204, {}, None
        self.hooks.append({**body, "id": f"hook-{len(self.requests)}", "isActive": True})
        return 201, {}, self.hooks[-1]

    def page(self, after):
        """One car on each page, so that the cursor is followed."""
        names = list(self.cars)
        place = 0 if after is None else names.index(after)
        more = names[place + 1] if place + 1 < len(names) else None
        return 200, {}, {"data": [self.vehicle(self.cars[names[place]])], "pagination": {"before": None, "after": more}}

    def vehicle(self, car):
        body = self.play("vehicle")[2]
        seen = (self.observed or self.now()).isoformat()
        state = "PLUGGED_IN:CHARGING" if car.charging else "PLUGGED_IN:STOPPED" if car.plugged else "UNPLUGGED"
        body |= {"id": car.native, "lastSeen": seen, "isReachable": not car.asleep}
        body["chargeState"] |= {"isPluggedIn": car.plugged, "isCharging": car.charging, "powerDeliveryState": state}
        body["chargeState"] |= {"lastUpdated": seen, "maxCurrent": car.amps, "chargeRate": 7.4 if car.charging else 0}
        body["location"] |= {"lastUpdated": seen} | ({} if car.home else {"latitude": 1.0})
        return body


class ReadOnlyCloud(Cloud):
    """BMW CarData and FordConnect Query: a few paths, each with its recording."""

    def __init__(self, vendor, clock) -> None:
        super().__init__(clock)
        self.vendor = vendor

    def answer(self, request, _body):
        names = {
            "mappings": "mappings",
            "telematicData": "telematic_data",
            "garage": "garage",
            "telemetry": "telemetry",
        }
        return self.play(names[request.path.rsplit("/", 1)[1]])
