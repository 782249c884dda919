"""BMW CarData, which only reads: a second source of readings for BMW's backend.

The car's own stream (MQTT, `stream` in the settings) is the first source: cars send when they please, so a reading may
be hours old. REST only fills the gaps, within a quota of fifty calls in any 24 hours for each account, shared with the
owner's own portal and told as 403 with the code CU-429: we take forty at most and remember them over restarts. The
grant comes from the device flow and has no secret. A reading older than a day is STALE: it says nothing of tonight.
"""

import dataclasses
import math
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import orjson
import pydantic

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    ChargeState,
    ErrorCode,
    Known,
    Reading,
    Snapshot,
    SnapshotsSeen,
)
from ven_adapters.lifecycle.evidence import CLOCK_ERROR
from ven_adapters.transport.consent import ConsentConversation, DeviceConsent, account
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call, SessionLimits
from ven_adapters.transport.readings import vocabulary
from ven_adapters.transport.readings.mqtt_readings import GrantAccounts, MqttBroker, Pauses, Stream, StreamMessage
from ven_adapters.transport.readings.phases import phases_shown
from ven_adapters.transport.readings.second_source import Owners, VendorReader, newest
from ven_adapters.transport.readings.vendor_readings import aged, instant, member, pick, snapshot_of
from ven_adapters.transport.readings.vocabulary import measured, note, word
from ven_adapters.transport.settings import Authorities, HttpAddress
from ven_adapters.transport.vendor_session import Dialect, VendorRefusal, VendorSession, by_status
from ven_adapters.transport.vendor_settings import DeviceConsentSettings, OwnersSettings

CALLS_OF_A_DAY = 40
KEEP_S = 3_600.0
GAP_S = 3 * 3_600.0
OLD = timedelta(days=1)
SOURCE = "cardata"
POWER_SLACK_W = 500.0
HEADERS = {"x-version": "v1"}
STATUSES = {401: ErrorCode.REAUTH_REQUIRED, 403: ErrorCode.NOT_PERMITTED, 429: ErrorCode.QUOTA_EXHAUSTED}
CHARGING = {
    "NOCHARGING": ChargeState.STOPPED,
    "INITIALIZATION": ChargeState.CHARGING,
    "CHARGINGACTIVE": ChargeState.CHARGING,
    "CHARGINGPAUSED": ChargeState.STOPPED,
    "CHARGINGENDED": ChargeState.COMPLETE,
}
# The battery's own word on the same, with the plug in; of both the one that the car saw last counts.
BATTERY_CHARGING = {
    "CHARGING": ChargeState.CHARGING,
    "WAITING_FOR_CHARGING": ChargeState.WAITING_SCHEDULE,
    "FINISHED_FULLY_CHARGED": ChargeState.COMPLETE,
    "FINISHED_NOT_FULL": ChargeState.STOPPED,
}
PLUGS = {"CONNECTED": Known.YES, "DISCONNECTED": Known.NO}
# What is read: the descriptors of which the newest counts, and the units of their numbers. Values come as text or as
# numbers; which of the two levels of charge moves while a car charges depends on the car.
NUMBERS: Mapping[str, tuple[tuple[str, ...], Mapping[str, float]]] = {
    "soc_pct": (
        ("vehicle.drivetrain.batteryManagement.header", "vehicle.powertrain.electric.battery.stateOfCharge.displayed"),
        vocabulary.PERCENT,
    ),
    "limit_soc_pct": (("vehicle.powertrain.electric.battery.stateOfCharge.target",), vocabulary.PERCENT),
    "power_w": (("vehicle.powertrain.electric.battery.charging.power",), vocabulary.WATTS),
    "current_a": (("vehicle.drivetrain.electricEngine.charging.acAmpere",), vocabulary.AMPERES),
    "voltage_v": (("vehicle.drivetrain.electricEngine.charging.acVoltage",), vocabulary.VOLTS),
    "limit_current_a": (("vehicle.powertrain.electric.battery.charging.acLimit.selected",), vocabulary.AMPERES),
    "time_to_complete_s": (("vehicle.drivetrain.electricEngine.charging.timeRemaining",), vocabulary.SECONDS),
}
PHASES = "vehicle.drivetrain.electricEngine.charging.phaseNumber"
STATUS, PLUG = "vehicle.drivetrain.electricEngine.charging.status", "vehicle.body.chargingPort.status"
BATTERY_STATUS = "vehicle.drivetrain.electricEngine.charging.hvStatus"


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal means; CU-429 is the quota and no loss of consent."""
    if "CU-429" in str(refusal.document.get("exveErrorId")):
        return BackendError(ErrorCode.QUOTA_EXHAUSTED, "CU-429: the account's fifty calls of 24 hours are spent")
    return by_status(refusal, STATUSES, f"CarData answered {refusal.status}")


class CarDataConsent(DeviceConsentSettings):
    """Where an owner confirms a code."""

    device_url: HttpAddress = "https://customer.bmwgroup.com/gcdm/oauth/device/code"
    scope: str = "authenticate_user openid cardata:api:read cardata:streaming:read"


class CarDataSettings(OwnersSettings):
    """The table `cardata` of BMW's."""

    vendor: ClassVar[str] = "bmw"
    session_limits: ClassVar[SessionLimits] = SessionLimits(vehicle_burst=CALLS_OF_A_DAY)
    consent: CarDataConsent = CarDataConsent()
    container: str = pydantic.Field("", description="the choice of readings, for those by REST; `link` makes one")
    stream: MqttBroker | None = pydantic.Field(None, description="the broker of cars' own readings, mqtts://HOST:PORT")
    stream_ca: Authorities | None = pydantic.Field(None, repr=False, description="certificates to trust there")


class CarData:
    """Every BMW whose owner let us read it."""

    def __init__(self, settings: CarDataSettings, pauses: Pauses | None = None) -> None:
        self._settings, self._owners = settings, Owners(settings, READER)
        self._last: dict[str, Snapshot] = {}
        self._heard: dict[str, datetime] = {}
        self._asked: dict[str, datetime] = {}
        self.stream = None
        if settings.stream is not None:
            broker = settings.stream.trusted_by(settings.stream_ca)
            accounts = GrantAccounts(settings.client, self._owners.folder)
            self.stream = Stream(broker, accounts, self._sent, pauses=pauses, seed=settings.seed)

    async def read(self, ref: str) -> Snapshot:
        """What the stream told lately; else the last reading for an hour, then a new one while the quota lasts."""
        now = self._settings.clock.now()
        if _within(self._heard.get(ref), now, GAP_S) or _within(self._asked.get(ref), now, KEEP_S):
            return self._last[ref]
        if not self._settings.container:
            detail = "settings.container: is required for readings by REST; `ven-adapters link` makes one"
            raise BackendError(ErrorCode.INVALID_REQUEST, detail)
        session = await self._owners.session(ref)
        path = f"/customers/vehicles/{self._settings.names.native(ref)}/telematicData"
        call = Call("GET", path, headers=HEADERS, query={"containerId": self._settings.container}, vehicle=ref)
        told = pick(await session.json(call), "telematicData")
        self._asked[ref] = now
        return self._keep(snapshot_of_telematic_data(ref, told, now))

    async def pushes(self) -> AsyncIterator[BackendEvent]:
        """What cars send; nothing without a stream."""
        if self.stream is not None:
            async for snapshot in self.stream.snapshots():
                yield SnapshotsSeen((snapshot,))

    async def close(self) -> None:
        """Let go of connections."""
        await self._owners.close()

    def _sent(self, message: StreamMessage) -> Snapshot | None:
        """What a message of the stream says; None for one that is not of the documented shape."""
        now = self._settings.clock.now()
        try:
            raw = orjson.loads(message.body)
            ref = self._settings.names.ref(str(pick(raw, "vin")))
            found = snapshot_of_telematic_data(ref, pick(raw, "data"), now)
        except (orjson.JSONDecodeError, BackendError):
            note(SOURCE, "a message of the stream is not of the documented shape")
            return None
        self._keep(found)
        if any(isinstance(getattr(found, field.name), Reading) for field in dataclasses.fields(found)):
            self._heard[ref] = now  # what says nothing of charging does not stand in for a reading
        return found

    def _keep(self, found: Snapshot) -> Snapshot:
        """Value by value the newest: a message tells some values only, and may come late."""
        last = self._last.get(found.vehicle_ref)
        self._last[found.vehicle_ref] = found if last is None else newest(last, found)
        return self._last[found.vehicle_ref]


def _within(at: datetime | None, now: datetime, seconds: float) -> bool:
    return at is not None and (now - at).total_seconds() < seconds


async def _vins(session: VendorSession) -> list[str]:
    """The cars of one account that it is the main user of."""
    raw = await session.json(Call("GET", "/customers/vehicles/mappings", headers=HEADERS))
    return [str(pick(car, "vin")) for car in raw if pick(car, "mappingType") == "PRIMARY"]


READER = VendorReader(Dialect(judge), _vins, CALLS_OF_A_DAY)


def consent(settings: CarDataSettings, name: str) -> ConsentConversation:
    """An owner lets us read his BMW; a container of readings is made for whoever has none."""
    owners = Owners(settings, READER)

    async def cars() -> list[str]:
        refs = await owners.cars(name)
        if refs and not settings.container:
            made.afterwards = (
                f'put this into the settings: container = "{await _container(await owners.session(refs[0]))}"'
            )
        return refs

    made = DeviceConsent(account(settings, name), settings.consent, cars, owners.close)
    return made


async def _container(session: VendorSession) -> str:
    """Choose the readings that we use, once for each account."""
    wanted = sorted(
        {*(one for descriptors, _ in NUMBERS.values() for one in descriptors), PHASES, STATUS, BATTERY_STATUS, PLUG}
    )
    body = dumps({"name": "evtn", "purpose": "managed charging", "technicalDescriptors": wanted})
    call = Call("POST", "/customers/containers", body=body, headers=HEADERS, writes=True)
    return str(pick(await session.json(call), "containerId"))


def snapshot_of_telematic_data(ref: str, told: Mapping[str, Any], now: datetime) -> Snapshot:
    """CarData's descriptors as a snapshot, each with its own instant; what is no number is left out."""
    seen: dict[str, tuple[Any, datetime | None]] = {
        name: _newest(told, name, descriptors, units, now) for name, (descriptors, units) in NUMBERS.items()
    }
    phases, at = _told(told, PHASES)
    (amps, amps_at), (volts, volts_at), (power_w, power_at) = (
        seen[one] for one in ("current_a", "voltage_v", "power_w")
    )
    together = at == amps_at == volts_at == power_at
    shown = phases_shown(_phases(phases), amps, volts, power_w, POWER_SLACK_W) if together else _phases(phases)
    seen["phases"] = (shown, at)
    seen["charge_state"] = _charge_state(told)
    plug, at = _told(told, PLUG)
    seen["plugged"] = (word(SOURCE, PLUG, PLUGS, plug) or Known.UNKNOWN, at)
    return aged(snapshot_of(ref, seen, SOURCE, now), now - OLD)


def _charge_state(told: Mapping[str, Any]) -> tuple[ChargeState, datetime | None]:
    """Of the two descriptors that tell it the newer word that is understood; told together, "charging.status"."""
    dated: list[tuple[datetime, ChargeState]] = []
    for descriptor, words in ((STATUS, CHARGING), (BATTERY_STATUS, BATTERY_CHARGING)):
        raw, at = _told(told, descriptor)
        named = word(SOURCE, descriptor, words, raw)
        if named is not None and at is not None:
            dated.append((at, named))
    if not dated:
        return ChargeState.UNKNOWN, _told(told, STATUS)[1]
    at, named = max(dated, key=lambda pair: pair[0])
    return named, at


def _told(told: Mapping[str, Any], descriptor: str) -> tuple[Any, datetime | None]:
    one = member(told, descriptor)
    return one.get("value"), instant(one.get("timestamp"))


def _newest(
    told: Mapping[str, Any], name: str, descriptors: tuple[str, ...], units: Mapping[str, float], now: datetime
) -> tuple[float | None, datetime | None]:
    """Of several descriptors of one thing, the number that the car saw last; one from the future is as new as now."""
    dated: list[tuple[datetime, float, datetime]] = []
    for descriptor in descriptors:
        raw, at = _told(told, descriptor)
        value = measured(SOURCE, name, _number(raw), member(told, descriptor).get("unit"), units)
        if value is not None and at is not None and at <= now + CLOCK_ERROR:
            dated.append((min(at, now), value, at))
    newest_at = max((seen_at for seen_at, _, _ in dated), default=None)
    return next(((value, at) for seen_at, value, at in dated if seen_at == newest_at), (None, None))


def _number(raw: Any) -> float | None:
    try:
        value = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _phases(raw: Any) -> int | None:
    """BMW writes 3, "3" or "3-PHASES"."""
    first = str(raw)[:1]
    return int(first) if first in {"1", "2", "3"} else None
