"""Answers what one connected station calls: each message is folded into the register. Sends nothing itself."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any

from ven_adapters.transport.ocpp21.frames import Payload
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import ChargingPoint
from ven_adapters.transport.ocpp21.stations.meter_values import instant, stamp
from ven_adapters.transport.ocpp21.stations.station_registry import Register
from ven_adapters.transport.ocpp21.stations.transactions import made_now
from ven_adapters.transport.ocpp21.versions.v21 import OCPP_21, Handlers, OcppVersion

MOST_PROFILES = 100
MOST_CONTROLS = 24


@dataclasses.dataclass(slots=True)
class Listing:
    """The transaction profiles that a station lists in answer to one request: levels by number."""

    levels: dict[int, int]
    done: asyncio.Future[None]


Listings = MutableMapping[tuple[str, int], Listing]


_PASSED_OVER: Mapping[str, Payload] = {
    "NotifyEVChargingSchedule": {"status": "Accepted"},
    "SecurityEventNotification": {},
    "NotifyEvent": {},
    "NotifyChargingLimit": {},
    "ClearedChargingLimit": {},
    "FirmwareStatusNotification": {},
    "LogStatusNotification": {},
    "DataTransfer": {"status": "UnknownVendorId"},
}


@dataclasses.dataclass(slots=True)
class MessageHandlers:
    """One connection of one station. `first` is called after its first message, `begun` at each new transaction."""

    name: str
    register: Register
    listings: Listings
    heartbeat_s: int
    first: Callable[[], None]
    begun: Callable[[str], None]
    version: OcppVersion = OCPP_21
    greeted: bool = False

    def handlers(self) -> Handlers:
        """What a station may call, by action, in the words of its version."""
        table: Handlers = {
            "BootNotification": self._boot,
            "Heartbeat": lambda _: {"currentTime": stamp(self.register.clock.now())},
            "StatusNotification": self._connector,
            "TransactionEvent": self._transaction,
            "MeterValues": self._meter_values,
            "NotifyEVChargingNeeds": self._needs,
            "NotifyPriorityCharging": self._priority,
            "NotifyDERAlarm": self._alarm,
            "NotifyDERStartStop": self._control,
            "NotifyReport": self._report,
            "ReportChargingProfiles": self._profiles,
            "Authorize": self._authorise,
            **{action: self._passed_over(action) for action in _PASSED_OVER},
        }
        spoken = self.version.handlers(table, self.name, self.register)
        return {action: self._then_greet(handler) for action, handler in spoken.items()}

    def _passed_over(self, action: str) -> Callable[[Payload], Payload]:
        """A message that is taken and not used."""

        def handle(_: Payload) -> Payload:
            self.register.notices.count(self.name, f"{action} is taken and not used")
            return dict(_PASSED_OVER[action])

        return handle

    def _then_greet(self, handler: Callable[[Payload], Payload]) -> Callable[[Payload], Payload]:
        """A station that has not rebooted sends no boot notification, so any first message will do."""

        def handle(payload: Payload) -> Payload:
            answer = handler(payload)
            if not self.greeted:
                self.greeted = True
                self.first()
            return answer

        return handle

    def _boot(self, _: Payload) -> Payload:
        now = stamp(self.register.clock.now())
        return {"currentTime": now, "interval": self.heartbeat_s, "status": "Accepted"}

    def _authorise(self, message: Payload) -> Payload:
        welcome = self.register.welcomes(self.name, message["idToken"]["idToken"])
        return {"idTokenInfo": {"status": "Accepted" if welcome else "Unknown"}}

    def _connector(self, message: Payload) -> Payload:
        self.register.saw_evse(self.name, message["evseId"])
        out = self._clock_is_out([message["timestamp"]])
        if (point := self.register.at(self.name, message["evseId"])) is not None:
            now = self.register.clock.now()
            self._put(charging_points.connector(point, message, now), now, out=out)
        return {}

    def _transaction(self, event: Payload) -> Payload:
        """The place is on disk before the answer; the transaction that ran there before is over when one begins."""
        now = self.register.clock.now()
        out = self._clock_is_out(_stamps(event), live=made_now(event), queued=event.get("offline", False))
        placed = self.register.place_event(self.name, event)
        point = None if placed is None else self.register.at(self.name, placed[0])
        if placed is not None and point is not None:
            after = charging_points.transaction(point, event, now, placed[1])
            begun = after.transaction not in (None, point.transaction)
            if begun and point.transaction is not None and event["eventType"] == "Started":
                self.register.end_transaction(self.name, point.transaction)
            self._put(after, now, out=out)
            if begun:
                self.begun(after.place.ref)
        return self._authorise(event) if "idToken" in event else {}

    def _clock_is_out(self, stamps: list[str], *, live: bool = False, queued: bool = False) -> bool:
        """Whether the station's clock is out, by the newest of a message's instants."""
        newest = max(stamps, key=instant)
        offset = datetime.fromisoformat(newest).tzinfo is not None
        return self.register.saw_time(self.name, instant(newest), live=live, queued=queued, has_offset=offset)

    def _put(self, point: ChargingPoint, heard: datetime, *, out: bool) -> None:
        self.register.put(charging_points.distrusted(point, heard) if out else point)

    def _meter_values(self, message: Payload) -> Payload:
        self.register.saw_evse(self.name, message["evseId"])
        now = self.register.clock.now()
        out = self._clock_is_out([one["timestamp"] for one in message["meterValue"]], queued=True)
        if (point := self.register.at(self.name, message["evseId"])) is not None:
            self._put(charging_points.metered(point, message["meterValue"], now), now, out=out)
        return {}

    def _needs(self, message: Payload) -> Payload:
        point = self.register.at(self.name, message["evseId"])
        if point is None:
            return {"status": "Rejected"}
        self.register.put(charging_points.needs(point, message, self.register.clock.now()))
        return {"status": "Processing"}

    def _priority(self, message: Payload) -> Payload:
        point, on = self.register.with_transaction(self.name, message["transactionId"]), message["activated"]
        if point is not None and point.prior is not on:
            self.register.put(dataclasses.replace(point, prior=on))
            self.register.owner.prior(point.place.ref, on=on)
        return {}

    def _alarm(self, message: Payload) -> Payload:
        station = self.register.station(self.name)
        kind, fault = str(message["controlType"]), message.get("gridEventFault")
        name = kind if fault is None else f"{kind}: {fault}"
        over = frozenset(one for one in station.alarms if one in (kind, name, fault) or _is_of(one, kind, fault))
        alarms = station.alarms - over if message.get("alarmEnded") else station.alarms | {name}
        now = self.register.clock.now()
        self.register.put_station(self.name, dataclasses.replace(station, alarms=alarms, alarmed_at=now))
        return {}

    def _control(self, message: Payload) -> Payload:
        """NotifyDERStartStop: a control of somebody else's began or ended; what it superseded has ended."""
        station, own = self.register.station(self.name), message["controlId"]
        standing = station.controls - {own, *message.get("supersededIds", ())}
        if message["started"] and len(standing) < MOST_CONTROLS:
            standing |= {own}
        self.register.put_station(self.name, dataclasses.replace(station, controls=standing))
        return {}

    def _report(self, message: Payload) -> Payload:
        rows = [
            {"component": one["component"], "variable": one["variable"], "attributeValue": attribute["value"]}
            for one in message.get("reportData", ())
            for attribute in one["variableAttribute"]
            if "value" in attribute and attribute.get("type", "Actual") == "Actual"
        ]
        self.register.put_station(self.name, charging_points.variables(self.register.station(self.name), rows))
        return {}

    def _profiles(self, message: Payload) -> Payload:
        listing = self.listings.get((self.name, message["requestId"]))
        if listing is not None:
            room = max(0, MOST_PROFILES - len(listing.levels))
            listing.levels |= {one["id"]: one["stackLevel"] for one in message["chargingProfile"][:room]}
            if not message.get("tbc") and not listing.done.done():
                listing.done.set_result(None)
        return {}


def _is_of(alarm: str, kind: str, fault: str | None) -> bool:
    """Whether an end that names no fault is that of an alarm which did."""
    return fault is None and alarm.startswith(f"{kind}: ")


def _stamps(event: Mapping[str, Any]) -> list[str]:
    """Every instant that a TransactionEvent names."""
    return [event["timestamp"], *(one["timestamp"] for one in event.get("meterValue", ()))]
