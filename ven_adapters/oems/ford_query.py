"""FordConnect Query, which only reads: a second source of readings for Ford's backend.

One grant sees one car. There is no push and no published quota; a minute between two readings is the field's custom.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from ven_adapters.contract import BackendError, BackendEvent, ChargeState, ErrorCode, Known, Snapshot
from ven_adapters.transport.consent import CodeConsent, ConsentConversation, account
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.second_source import Owners, VendorReader
from ven_adapters.transport.readings.vendor_readings import instant, member, month_first, number, pick, snapshot_of
from ven_adapters.transport.readings.vocabulary import word
from ven_adapters.transport.settings import HttpAddress
from ven_adapters.transport.vendor_session import Dialect, VendorRefusal, VendorSession, by_status
from ven_adapters.transport.vendor_settings import CodeConsentSettings, OwnersSettings

KEEP_S = 60.0
SOURCE = "ford_query"
STATUSES = {401: ErrorCode.REAUTH_REQUIRED, 403: ErrorCode.NOT_PERMITTED, 429: ErrorCode.RATE_LIMITED}
PLUGS = {
    "CONNECTED": (Known.YES, ChargeState.STOPPED),
    "CHARGING": (Known.YES, ChargeState.CHARGING),
    "CHARGINGAC": (Known.YES, ChargeState.CHARGING),
    "COMPLETE": (Known.YES, ChargeState.COMPLETE),
    "DISCONNECTED": (Known.NO, ChargeState.UNPLUGGED),
}
# What the dashboard shows; NOT_READY is a car off its plug, or one that does not say why it waits.
SHOWN: Mapping[str, ChargeState | None] = {
    "IN_PROGRESS": ChargeState.CHARGING,
    "SCHEDULED": ChargeState.WAITING_SCHEDULE,
    "COMPLETE": ChargeState.COMPLETE,
    "COMPLETED": ChargeState.COMPLETE,
    "NOT_READY": None,
}


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal means; Ford's are told by their status."""
    return by_status(refusal, STATUSES, f"Ford answered {refusal.status}")


class FordQueryConsent(CodeConsentSettings):
    """Where an owner lets us read his Ford."""

    authorize_url: HttpAddress = "https://api.vehicle.ford.com/fcon-public/v1/auth/init"
    scope: str = "openid offline_access"


class FordQuerySettings(OwnersSettings):
    """The table `query` of Ford's."""

    vendor: ClassVar[str] = "ford"
    consent: FordQueryConsent = FordQueryConsent()


class FordQuery:
    """Every Ford whose owner let us read it."""

    def __init__(self, settings: FordQuerySettings) -> None:
        self._settings, self._owners = settings, Owners(settings, READER)
        self._last: dict[str, Snapshot] = {}
        self._asked: dict[str, datetime] = {}

    async def read(self, ref: str) -> Snapshot:
        """The last reading for a minute, then a new one."""
        now = self._settings.clock.now()
        asked = self._asked.get(ref)
        if asked is not None and (now - asked).total_seconds() < KEEP_S:
            return self._last[ref]
        session = await self._owners.session(ref)
        raw = await session.json(Call("GET", "/v1/telemetry", vehicle=ref))
        self._last[ref], self._asked[ref] = snapshot_of_metrics(ref, pick(raw, "metrics"), now), now
        return self._last[ref]

    async def pushes(self) -> AsyncIterator[BackendEvent]:
        """None: Ford's interface is only asked."""
        nothing: tuple[BackendEvent, ...] = ()
        for event in nothing:
            yield event

    async def close(self) -> None:
        """Let go of connections."""
        await self._owners.close()


async def _vins(session: VendorSession) -> list[str]:
    return [str(pick(await session.json(Call("GET", "/v1/garage")), "VIN"))]


READER = VendorReader(Dialect(judge), _vins)


def consent(settings: FordQuerySettings, name: str) -> ConsentConversation:
    """An owner lets us read his Ford."""
    owners = Owners(settings, READER)
    return CodeConsent(account(settings, name), settings.consent, lambda: owners.cars(name), owners.close)


def snapshot_of_metrics(ref: str, metrics: Mapping[str, Any], now: datetime) -> Snapshot:
    """Ford's metrics as a snapshot, each with its own instant."""
    soc, soc_at = _told(metrics, "xevBatteryStateOfCharge")
    left_min, left_at = _told(metrics, "xevBatteryTimeToFullCharge")
    status, at = _told(metrics, "xevPlugChargerStatus")
    plugged, state = word(SOURCE, "xevPlugChargerStatus", PLUGS, status) or (Known.UNKNOWN, ChargeState.UNKNOWN)
    shown, shown_at = _told(metrics, "xevBatteryChargeDisplayStatus")
    named = word(SOURCE, "xevBatteryChargeDisplayStatus", SHOWN, shown)
    # A plug tells that a car is connected, and not whether it waits, charges or is done.
    tells = plugged is Known.YES and named is not None and shown_at is not None and at is not None and shown_at >= at
    minutes = number(left_min)
    seen = {
        "soc_pct": (soc, soc_at),
        "time_to_complete_s": (None if minutes is None else 60.0 * minutes, left_at),
        "plugged": (plugged, at),
        "charge_state": (named, shown_at) if tells else (state, at),
    }
    return snapshot_of(ref, seen, SOURCE, now)


def _told(metrics: Mapping[str, Any], name: str) -> tuple[Any, datetime | None]:
    """A metric and its instant, in either of the two ways in which Ford has written instants."""
    one = member(metrics, name)
    at = one.get("updateTime")
    return one.get("value"), instant(at) or month_first(at)
