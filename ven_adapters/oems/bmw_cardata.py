"""BMW CarData, which only reads: a second source of readings for BMW's backend.

Its quota is fifty calls in any 24 hours for each account, shared with the owner's own portal, and is told as 403 with
the code CU-429. Half of it is our burst and half our daily refill, so no 24 hours see more than fifty; a reading is
kept for an hour. The grant comes from the device flow and has no secret.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ven_adapters.contract import BackendError, ChargeState, ErrorCode, Known, Snapshot
from ven_adapters.transport.session import Call, Limits
from ven_adapters.transport.sightings import instant, pick, snapshot_of
from ven_adapters.transport.sources import Owners
from ven_adapters.transport.vendor import Dialect, Refusal, VendorSession, by_status, vendor_settings

LIMITS = Limits(app_burst=25, app_per_hour=25 / 24)
KEEP_S = 3_600.0
HEADERS = {"x-version": "v1"}
STATUSES = {401: ErrorCode.REAUTH_REQUIRED, 403: ErrorCode.NOT_PERMITTED, 429: ErrorCode.QUOTA_EXHAUSTED}
CHARGING = {
    "NOCHARGING": ChargeState.STOPPED,
    "INITIALIZATION": ChargeState.CHARGING,
    "CHARGINGACTIVE": ChargeState.CHARGING,
    "CHARGINGPAUSED": ChargeState.STOPPED,
    "CHARGINGENDED": ChargeState.COMPLETE,
}
PLUGS = {"CONNECTED": Known.YES, "DISCONNECTED": Known.NO}
# What is read: the descriptor and what its numbers are multiplied by; values come as text.
NUMBERS = {
    "soc_pct": ("vehicle.drivetrain.batteryManagement.header", 1.0),
    "limit_soc_pct": ("vehicle.powertrain.electric.battery.stateOfCharge.target", 1.0),
    "power_w": ("vehicle.powertrain.electric.battery.charging.power", 1.0),
    "time_to_complete_s": ("vehicle.drivetrain.electricEngine.charging.timeRemaining", 60.0),
}
STATUS, PLUG = "vehicle.drivetrain.electricEngine.charging.status", "vehicle.body.chargingPort.status"


def judge(refusal: Refusal) -> BackendError:
    """What a refusal means; CU-429 is the quota and no loss of consent."""
    if "CU-429" in str(refusal.document.get("exveErrorId")):
        return BackendError(ErrorCode.QUOTA_EXHAUSTED, "CU-429: the account's fifty calls of 24 hours are spent")
    return by_status(refusal, STATUSES, f"CarData answered {refusal.status}")


class CarData:
    """Every BMW whose owner let us read it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = vendor_settings("bmw", settings, LIMITS)
        self._owners = Owners(self._settings, Dialect(judge), _vins)
        self._last: dict[str, Snapshot] = {}
        self._asked: dict[str, datetime] = {}

    async def read(self, ref: str) -> Snapshot:
        """The last reading for an hour, then a new one while the quota lasts."""
        now = self._settings.clock.now()
        last, asked = self._last.get(ref), self._asked.get(ref)
        if last is not None and asked is not None and (now - asked).total_seconds() < KEEP_S:
            return last
        session = await self._owners.session(ref)
        path = f"/customers/vehicles/{self._settings.names.native(ref)}/telematicData"
        call = Call("GET", path, headers=HEADERS, query={"containerId": self._settings.container}, vehicle=ref)
        found = sighted(ref, pick(await session.json(call), "telematicData"), now)
        self._last[ref], self._asked[ref] = found, now
        return found

    async def close(self) -> None:
        """Let go of connections."""
        await self._owners.close()


async def _vins(session: VendorSession) -> list[str]:
    """The cars of one account that it is the main user of."""
    raw = await session.json(Call("GET", "/customers/vehicles/mappings", headers=HEADERS))
    return [str(pick(car, "vin")) for car in raw if pick(car, "mappingType") == "PRIMARY"]


def sighted(ref: str, told: Mapping[str, Any], now: datetime) -> Snapshot:
    """CarData's descriptors as a snapshot, each with its own instant; what is no number is left out."""
    seen: dict[str, tuple[Any, datetime | None]] = {}
    for name, (descriptor, scale) in NUMBERS.items():
        value, at = _told(told, descriptor)
        seen[name] = (_number(value, scale), at)
    status, at = _told(told, STATUS)
    seen["charge_state"] = (CHARGING.get(str(status), ChargeState.UNKNOWN), at)
    plug, at = _told(told, PLUG)
    seen["plugged"] = (PLUGS.get(str(plug), Known.UNKNOWN), at)
    return snapshot_of(ref, seen, "cardata", now)


def _told(told: Mapping[str, Any], descriptor: str) -> tuple[Any, datetime | None]:
    one = told.get(descriptor) or {}
    return one.get("value"), instant(one.get("timestamp"))


def _number(raw: Any, scale: float) -> float | None:
    try:
        return float(raw) * scale
    except (TypeError, ValueError):
        return None
