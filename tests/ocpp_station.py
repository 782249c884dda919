"""A charging station of its own: on the `ocpp` library, with a real websocket, a battery, V2X and a dead-man.

It speaks OCPP 2.1, 2.0.1 or 1.6J (`version`); see `ocpp_station16` for what 1.6J says differently.

`run` takes commands from a queue and tells a listener what happened, each a JSON object. It obeys charging profiles as
OCPP 2.1 says: the highest stack level that is valid now, nothing after `validTo`, nothing after `maxOfflineDuration`
without a link. What it does not share with the central system is code.
"""

# mypy: disable-error-code="attr-defined, call-arg"
# classes of one line are mixed with those of one version of the library
import asyncio
import base64
import collections
import contextlib
import contextvars
import json
import ssl
import typing
import uuid
from datetime import datetime, timedelta

import websockets
from ocpp import v21, v201
from ocpp.routing import after, on
from ocpp.v21.enums import Action

from vtn.tasks import cancel_tasks

LISTENER: contextvars.ContextVar[typing.Callable[[str], None]] = contextvars.ContextVar("listener")
TICK_S = 0.01
RETRY_S = 0.1
USUAL = {
    "soc_pct": 60.0,
    "usable_wh": 60_000.0,
    "target_pct": 90.0,
    "max_w": 11_000.0,
    "v2x": True,
    "meter_s": 60.0,
    "plugged": True,
    "highest_level": "9",
    "rate_unit": "A,W",
    "taken_units": ["A", "W"],
    "phases": 3,
    "voltage_v": 230,
    "clock_ahead_s": 0,
    "v2x_by_evse": False,
    "evse": 1,
    "version": "2.1",
    "composes": True,
    "sampled": "Energy.Active.Import.Register",
}
TRANSFERS = ["AC_BPT", "AC_three_phase"]


def stamp(at):
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(**facts):
    LISTENER.get()(json.dumps(facts))


class Car:
    """Battery, meter and the profiles that bind them."""

    def __init__(self, given, clock) -> None:
        self.given, self.clock = given, clock
        self.wh = given["soc_pct"] / 100 * given["usable_wh"]
        self.power_w = self.imported_wh = self.exported_wh = 0.0
        self.at = clock.now()
        self.transaction = None
        self.profiles = {}
        self.offline_since = self.most_discharge_w = None
        self.truth = [(stamp(self.at), 0.0)]

    @property
    def soc_pct(self):
        return 100 * self.wh / self.given["usable_wh"]

    def tick(self):
        """Let the time since the last tick pass; True when the power is another now."""
        now = self.clock.now()
        wh = self.power_w * (now - self.at).total_seconds() / 3600
        self.wh = min(self.given["usable_wh"], max(0.0, self.wh + wh))
        self.imported_wh += max(0.0, wh)
        self.exported_wh += max(0.0, -wh)
        self.at = now
        self.forget()
        power_w = self.wanted_w()
        changed = abs(power_w - self.power_w) > 1
        if changed:
            self.power_w = power_w
            self.truth.append((stamp(now), power_w))
            say(power_w=power_w, at=stamp(now), soc_pct=self.soc_pct)
        return changed

    def forget(self):
        """Profiles that have ended, or that have been without a link for too long."""
        away_s = (self.at - self.offline_since).total_seconds() if self.offline_since else 0
        for number, profile in tuple(self.profiles.items()):
            lost = profile.get("invalid_after_offline_duration") and away_s > profile["max_offline_duration"]
            if lost or self.at >= datetime.fromisoformat(profile["valid_to"]):
                del self.profiles[number]

    def wanted_w(self):
        if self.transaction is None:
            return 0.0
        period = self.period()
        full = self.soc_pct >= self.given["target_pct"]
        mode = period.get("operation_mode", "ChargingOnly")
        if mode == "Idle":
            return 0.0
        if mode == "CentralSetpoint" and period["setpoint"] < 0:
            most_w = self.given["max_w"] if self.most_discharge_w is None else self.most_discharge_w
            return max(period["setpoint"], period.get("discharge_limit", 0.0), -most_w) if self.wh > 0 else 0.0
        return 0.0 if full else min(self.given["max_w"], period.get("limit_w", self.given["max_w"]))

    def period(self):
        """The period of the highest profile that is valid now, or of none."""
        valid = [one for one in self.profiles.values() if datetime.fromisoformat(one["valid_from"]) <= self.at]
        for profile in sorted(valid, key=lambda one: -one["stack_level"]):
            schedule = profile["charging_schedule"][0]
            into_s = (self.at - datetime.fromisoformat(schedule["start_schedule"])).total_seconds()
            if 0 <= into_s < schedule["duration"]:
                found = [one for one in schedule["charging_schedule_period"] if one["start_period"] <= into_s][-1]
                return found | self.watts(schedule["charging_rate_unit"], found)
        return {}

    def wrong_clock(self, at):
        """An instant as this station writes it: without an offset once its clock is not that of UTC."""
        ahead_s = self.given["clock_ahead_s"]
        return stamp(at) if not ahead_s else stamp(at + timedelta(seconds=ahead_s)).removesuffix("Z")

    def watts(self, unit, period):
        """A period's limit in watts of all phases; amperes are those of one, and there are three if none are named."""
        per_unit = 1 if unit == "W" else self.given["voltage_v"] * period.get("number_phases", 3)
        return {"limit_w": period["limit"] * per_unit} if "limit" in period else {}

    def meter(self):
        watts = {"unit_of_measure": {"unit": "W"}}
        return {
            "timestamp": self.wrong_clock(self.at),
            "sampled_value": [
                {"measurand": "Power.Active.Import", "value": max(0.0, self.power_w), **watts},
                {"measurand": "Power.Active.Export", "value": max(0.0, -self.power_w), **watts},
                {"measurand": "Energy.Active.Import.Register", "value": self.imported_wh},
                {
                    "measurand": "Energy.Active.Export.Register",
                    "value": self.exported_wh / 1000,
                    "unit_of_measure": {"unit": "kWh"},
                },
                {"measurand": "SoC", "value": self.soc_pct, "location": "EV"},
            ],
        }


class LossyLine:
    """One connection to the central system, which may lose a message or an answer when it is told to."""

    def __init__(self, station, socket) -> None:
        super().__init__(station.given["id"], socket, response_timeout=10)
        self.station = station

    async def _send(self, message):
        kind, unique_id, *_ = json.loads(message)
        if kind == 3 and unique_id == self.station.muted:
            self.station.muted = None
            self.station.unsaid.append(message)
            return
        await super()._send(message)

    async def route_message(self, raw_msg):
        """Once, a call of a named action may go unheard, or be obeyed without an answer."""
        kind, unique_id, *rest = json.loads(raw_msg)
        if kind == 2 and rest[0] == self.station.deaf:
            self.station.deaf = None
            return
        if kind == 2 and rest[0] == self.station.mute:
            self.station.mute, self.station.muted = None, unique_id
        await super().route_message(raw_msg)


class Line2(LossyLine):
    """OCPP 2.1 and 2.0.1, whose messages have the same names; `words` is the library's module of the version."""

    @property
    def booted(self):
        return self.words.call.BootNotification({"model": "Test", "vendor_name": "Test"}, "PowerUp")

    @on(Action.get_variables)
    def variables(self, get_variable_data):
        given = self.station.given
        known = {
            "Enabled": str(given["v2x"]).lower(),
            "SupportedOperationModes": "ChargingOnly,CentralSetpoint,Idle",
            "SupportedEnergyTransferModes": ",".join(TRANSFERS),
            "ProfileStackLevel": given["highest_level"],
            "RateUnit": given["rate_unit"],
        }
        rows = []
        for one in get_variable_data:
            whole = not (given["v2x_by_evse"] and one["component"]["name"] == "V2XChargingCtrlr")
            if whole or one["component"].get("evse", {}).get("id") == given["evse"]:
                told = {"attribute_status": "Accepted", "attribute_value": known[one["variable"]["name"]]}
            else:
                told = {"attribute_status": "UnknownComponent"}
            rows.append({**one, **told})
        return self.words.call_result.GetVariables(rows)

    @on(Action.set_charging_profile)
    def set_profile(self, evse_id, charging_profile):
        station, answer = self.station, self.words.call_result.SetChargingProfile
        if station.refusals:
            return answer("Rejected", status_info={"reason_code": station.refusals.popleft()})
        if charging_profile["transaction_id"] != station.car.transaction or evse_id != station.given["evse"]:
            return answer("Rejected", status_info={"reason_code": "TxNotFound"})
        if charging_profile["charging_schedule"][0]["charging_rate_unit"] not in station.given["taken_units"]:
            return answer("Rejected", status_info={"reason_code": "UnsupportedRateUnit"})
        station.car.profiles[charging_profile["id"]] = charging_profile
        station.sets.append(charging_profile)
        return answer("Accepted")

    @on(Action.clear_charging_profile)
    def clear_profile(self, charging_profile_id=None, charging_profile_criteria=None):
        profiles = self.station.car.profiles
        gone = set(profiles) if charging_profile_criteria else set(profiles) & {charging_profile_id}
        for number in gone:
            del profiles[number]
        return self.words.call_result.ClearChargingProfile("Accepted" if gone else "Unknown")

    @on(Action.get_charging_profiles)
    def get_profiles(self, **_):
        return self.words.call_result.GetChargingProfiles("Accepted" if self.station.car.profiles else "NoProfiles")

    @after(Action.get_charging_profiles)
    async def report_profiles(self, request_id, **_):
        if self.station.car.profiles:
            held = list(self.station.car.profiles.values())
            evse = self.station.given["evse"]
            report = self.words.call.ReportChargingProfiles
            await self.call(
                report(charging_limit_source="CSO", charging_profile=held, evse_id=evse, request_id=request_id)
            )

    @on(Action.trigger_message)
    def trigger(self, **_):
        return self.words.call_result.TriggerMessage("Accepted" if self.station.car.transaction else "Rejected")

    @after(Action.trigger_message)
    async def triggered(self, **_):
        if self.station.car.transaction:
            self.station.transaction("Updated", "Trigger")


class Line201(Line2, v201.ChargePoint):
    words = v201


class Line21(Line2, v21.ChargePoint):
    words = v21

    @on(Action.notify_allowed_energy_transfer)
    def allowed(self, allowed_energy_transfer, **_):
        self.station.allowed = allowed_energy_transfer
        return self.words.call_result.NotifyAllowedEnergyTransfer("Accepted")


class Station:
    """The station: its car, its link, and whoever gives it orders."""

    def __init__(self, given) -> None:
        self.given = USUAL | given
        self.clock = given["clock"]
        self.car = Car(self.given, self.clock)
        self.line: typing.Any = None
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.booted = False
        self.mute = self.muted = self.deaf = None
        self.unsaid, self.sets, self.refusals = [], [], collections.deque()
        self.queued = collections.deque(maxlen=100)
        self.filled = asyncio.Event()
        self.allowed = None
        self.extra = {}
        self.number = 0
        self.metered_at = self.clock.now()

    async def run(self, orders, listener):
        """Until cancelled; `orders` is a queue, and `listener` is called with what it says."""
        LISTENER.set(listener)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.stay_connected())
            group.create_task(self.live())
            group.create_task(self.obey(orders))

    async def stay_connected(self):
        while True:
            await self.wanted.wait()
            with contextlib.suppress(OSError, websockets.WebSocketException):
                await self.connection()
            if self.line is not None:
                say(offline=True, at=stamp(self.clock.now()))
            self.line = None
            self.car.offline_since = self.car.offline_since or self.clock.now()
            await asyncio.sleep(RETRY_S)

    async def connection(self):
        given, headers, tls = self.given, {}, None
        if "password" in given:
            pair = f"{given.get('user', given['id'])}:{given['password']}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        if given["url"].startswith("wss:"):
            tls = ssl.create_default_context(cafile=given["ca"])
            if "certificate" in given:
                tls.load_cert_chain(given["certificate"], given["key"])
        try:
            socket = await websockets.connect(
                f"{given['url']}/{given['id']}",
                subprotocols=[f"ocpp{given['version']}"],
                additional_headers=headers,
                ssl=tls,
            )
        except websockets.InvalidStatus as error:
            say(refused=error.response.status_code)
            raise
        except (OSError, websockets.WebSocketException) as error:
            say(failed=type(error).__name__)
            raise
        async with socket:
            self.line = LINES[given["version"]](self, socket)
            both = [asyncio.ensure_future(self.line.start()), asyncio.ensure_future(self.talk())]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel_tasks(both)

    async def talk(self):
        """Say what there is to say, oldest first; what was not answered is said again on the next line."""
        if not self.booted:
            answer = await self.line.call(self.line.booted)
            self.booted = answer.status == "Accepted"
            if self.given["plugged"]:
                await self.do_plug()
        self.car.offline_since = None
        say(online=True)
        while True:
            while self.queued:
                await self.talk_to(self.queued[0])
                self.queued.popleft()
            self.filled.clear()
            await self.filled.wait()

    async def talk_to(self, message):
        await self.line.call(message)

    def tell(self, message):
        self.queued.append(message)
        self.filled.set()

    async def live(self):
        while True:
            if (self.car.tick() or self.due()) and self.car.transaction and self.number:
                self.metered_at = self.clock.now()
                self.transaction("Updated", "MeterValuePeriodic")
            await asyncio.sleep(TICK_S)

    def due(self):
        return self.clock.now() - self.metered_at >= timedelta(seconds=self.given["meter_s"])

    @property
    def words(self):
        return v201 if self.given["version"] == "2.0.1" else v21

    def transaction(self, kind, reason, **more):
        idle = self.car.power_w == 0
        info = {"transaction_id": self.car.transaction, "charging_state": "SuspendedEVSE" if idle else "Charging"}
        event = self.words.call.TransactionEvent(
            event_type=kind,
            seq_no=self.number,
            timestamp=self.car.wrong_clock(self.clock.now()),
            transaction_info=info | more,
            trigger_reason=reason,
            evse={"id": self.given["evse"]} if kind == "Started" else None,  # E01.FR.16: once is enough
            meter_value=[self.car.meter()],
            offline=self.line is None,
        )
        self.number += 1
        self.tell(event)

    def needs(self):
        if not self.given["v2x"] or self.given["version"] != "2.1":
            return
        v2x = {"maxChargePower": 11_000.0, "maxDischargePower": 9_600.0, "minDischargePower": 500.0, "targetSoC": 80}
        needs = {
            "requested_energy_transfer": "AC_BPT",
            "available_energy_transfer": TRANSFERS,
            "control_mode": "DynamicControl",
            "v2x_charging_parameters": v2x,
        }
        needs |= self.given.get("needs", {})
        self.tell(v21.call.NotifyEVChargingNeeds(needs, self.given["evse"], timestamp=stamp(self.clock.now())))

    async def obey(self, orders):
        while True:
            order = json.loads(await orders.get())
            await getattr(self, f"do_{order.pop('do')}")(**order)

    async def do_cut(self):
        self.wanted.clear()
        self.vanish()

    def vanish(self):
        """The line ends without a word."""
        if self.line is not None:
            self.line._connection.transport.abort()

    async def do_mend(self):
        self.wanted.set()

    async def do_mute(self, action):
        self.mute = action

    async def do_deaf(self, action):
        self.deaf = action

    async def do_unmute(self):
        for message in self.unsaid:
            await self.line._connection.send(message)
        self.unsaid.clear()

    async def do_lose(self):
        """Forget all profiles, as after a reboot."""
        self.car.profiles.clear()

    async def do_refuse(self, reason):
        self.refusals.append(reason)

    async def do_unplug(self):
        self.transaction("Ended", "EVDeparted", stopped_reason="EVDisconnected")
        self.car.transaction = None
        self.car.profiles.clear()

    async def do_plug(self):
        self.car.transaction, self.number = str(uuid.uuid4()), 0
        self.transaction("Started", "CablePluggedIn")
        self.needs()

    async def do_needs(self, **needs):
        self.given["needs"] = needs
        self.needs()

    async def do_prior(self, *, activated):
        self.tell(v21.call.NotifyPriorityCharging(activated, self.car.transaction))

    async def do_alarm(self, *, ended=False):
        at = stamp(self.clock.now())
        self.tell(v21.call.NotifyDERAlarm("LVMustTrip", at, ended, grid_event_fault="UnderVoltage"))

    async def do_control(self, *, started, control="c-1", most_w=None):
        """A DER control of somebody else's, which may hold a discharge back."""
        self.car.most_discharge_w = most_w if started else None
        self.tell(v21.call.NotifyDERStartStop(control, started, stamp(self.clock.now())))

    async def do_clock(self, *, ahead_s):
        self.given["clock_ahead_s"] = ahead_s

    async def do_raw(self, text):
        await self.line._connection.send(text)

    async def do_tell(self):
        say(
            state={
                "profiles": list(self.car.profiles.values()),
                "sets": self.sets,
                "truth": self.car.truth,
                "power_w": self.car.power_w,
                "soc_pct": self.car.soc_pct,
                "allowed": self.allowed,
                "exported_wh": self.car.exported_wh,
            }
            | self.extra
        )


LINES = {"2.1": Line21, "2.0.1": Line201}
