"""The makes behind Enode.

One grant of our own serves every car. What the file knows:

- start and stop are actions that Enode keeps trying until the car's telemetry agrees; the same one asked twice is one
  action, and the opposite one cancels the older;
- 422 means that a schedule or Enode's own smart charging governs the car;
- a charging current only where the car's capabilities say so (Teslas), whole amperes, 5 A the least. The number of
  phases is not told: it is taken to be three, which errs towards less power;
- `isReachable` false is a car asleep or out of coverage; a hint may refresh it;
- no discharge: it is reported, never commanded.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    ChargeState,
    CurrentControl,
    Directive,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    Reachability,
    Rung,
    Setting,
    Snapshot,
    SnapshotsSeen,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.consent import ConsentConversation
from ven_adapters.transport.grants.grants import AppTokens
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.http.webhooks import WebhookBody, WebhookReceiver, digest_in
from ven_adapters.transport.readings.vendor_readings import age_s, fresher, instant, near, number, pick, snapshot_of
from ven_adapters.transport.readings.vocabulary import word
from ven_adapters.transport.vendor_session import (
    Dialect,
    VendorRefusal,
    VendorSession,
    VendorSettings,
    by_status,
    parsed,
    vendor_settings,
)
from ven_adapters.transport.windows.window_backend import KeptBackend

LEAST_A, MOST_A = 5, 48
PHASES, VOLTS = 3, 230
USUAL_W, USUAL_WH = 11_040, 75_000
LOOKS, LOOK_S = 3, 10.0
AWAY_AGAIN_S = 300.0

STATES = {
    "UNPLUGGED": ChargeState.UNPLUGGED,
    "PLUGGED_IN:INITIALIZING": ChargeState.CHARGING,
    "PLUGGED_IN:CHARGING": ChargeState.CHARGING,
    "PLUGGED_IN:STOPPED": ChargeState.STOPPED,
    "PLUGGED_IN:COMPLETE": ChargeState.COMPLETE,
    "PLUGGED_IN:NO_POWER": ChargeState.NO_POWER,
    "PLUGGED_IN:FAULT": ChargeState.FAULT,
    "PLUGGED_IN:DISCHARGING": ChargeState.DISCHARGING,
    "UNKNOWN": ChargeState.UNKNOWN,
}
TRUTHS = {True: Known.YES, False: Known.NO}
REACHES = {True: Reachability.ONLINE, False: Reachability.ASLEEP}
SOURCE = "enode"
FAILURES = {
    "NO_RESPONSE": ErrorCode.UNREACHABLE,
    "FAILED_PRECONDITION": ErrorCode.REJECTED_BY_VEHICLE,
    "CONFLICT": ErrorCode.SCHEDULE_CONFLICT,
    "NOT_FOUND": ErrorCode.INVALID_REQUEST,
    "UNNECESSARY": ErrorCode.ALREADY_IN_STATE,
    "REQUESTED_CANCELLATION": ErrorCode.THIRD_PARTY_INTERFERENCE,
}
STATUSES = {
    401: ErrorCode.REAUTH_REQUIRED,
    403: ErrorCode.NOT_PERMITTED,
    422: ErrorCode.SCHEDULE_CONFLICT,
    429: ErrorCode.RATE_LIMITED,
}


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Enode's backend; `webhook_secret` is the one that the webhook was made with."""
    read = vendor_settings("enode", settings)
    return KeptBackend(Enodes(read), read.clock, read.journal(), read.pace)


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """A current where the car takes one, else a pause."""
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability) if capability.can_start else _unable("startCharging")
    if asked_w < 0:
        return fallback_ladder.no_discharge()
    if (setting := fallback_ladder.current(asked_w, capability, snapshot)) is not None:
        return setting
    return fallback_ladder.pause() if capability.can_stop else _unable("stopCharging")


def _unable(what: str) -> BackendError:
    return BackendError(ErrorCode.NOT_SUPPORTED, f"{what}: this car is not capable")


def judge(refusal: VendorRefusal) -> BackendError:
    """What a refusal means; Enode's are told by their status."""
    return by_status(refusal, STATUSES, f"Enode answered {refusal.status}")


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner links his car to our client by Enode's page; see `oems.enode_link`."""
    from ven_adapters.oems.enode_link import consent as made

    return made(settings, name)


class Enodes:
    """Every car that is linked to our client."""

    def __init__(self, settings: VendorSettings) -> None:
        self._settings, self._names = settings, settings.names
        self._session = VendorSession(settings, settings.url, AppTokens(settings.client), Dialect(judge))
        self._users: dict[str, str] = {}
        self._last: dict[str, Snapshot] = {}
        self._listed = False

    async def refs(self) -> AsyncIterator[VehicleRef]:
        """Every car, page by page."""
        self._listed, query = False, dict[str, str]()
        while True:
            raw = await self._session.json(Call("GET", "/vehicles", query=query))
            for car in pick(raw, "data"):
                yield VehicleRef(self._known(car))
            after = (raw.get("pagination") or {}).get("after")
            if after is None:
                self._listed = True
                return
            query = {"after": str(after)}

    async def capability(self, ref: str) -> Capability:
        """What Enode says that the car is capable of."""
        return capability_of(await self._of(ref, "GET"))

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The last reading while it is young enough, else Enode's newest; a hint asks for a younger one."""
        last, longest_s = self._last.get(ref), float("inf") if max_age_s is None else max_age_s
        if last is not None and age_s(last, self._now()) <= longest_s:
            return last
        found = self._keep(await self._of(ref, "GET"))
        if max_age_s is None or age_s(found, self._now()) <= longest_s:
            return found
        before = found.charge_state
        await self._of(ref, "POST", "/refresh-hint")
        for _ in range(LOOKS):
            await self._settings.wait(LOOK_S)
            found = self._keep(await self._of(ref, "GET"))
            if found.charge_state is not None and (before is None or found.charge_state.seen_at > before.seen_at):
                return found
        if found.reachability is not None and found.reachability.value is Reachability.ASLEEP:
            raise BackendError(ErrorCode.ASLEEP, "isReachable: is false", retry_after_s=AWAY_AGAIN_S)
        return found

    def achieve(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
        """A current where the car takes one, else a pause."""
        return achieve(directive, capability, snapshot)

    async def tell(self, ref: str, setting: Setting) -> str | None:
        """Ask for one action; the answer names it, and says little of the car."""
        if setting.rung is Rung.CURRENT:
            path, body = "/max-current", dumps({"maxCurrent": setting.current_a})
        else:
            path, body = "/charging", dumps({"action": "STOP" if setting.rung is Rung.PAUSE else "START"})
        return action(await self._of(ref, "POST", path, body=body, writes=True))

    def overridden(self, ref: str) -> bool:
        """Enode tells only of overrides of its own plans, which we make none of."""
        del ref
        return False

    async def pushes(self) -> AsyncIterator[BackendEvent]:
        """Cars as they change and consents as they end, when a webhook is set."""
        if self._settings.door is None:
            return
        with contextlib.suppress(
            BackendError
        ):  # whose cars end when a consent does; what is not known yet is asked again
            async for _ in self.refs():
                await asyncio.sleep(0)
        listener = WebhookReceiver(
            self._settings.door,
            digest_in("x-enode-signature", self._settings.door.secret, "sha1", "sha1="),
            lambda body: self._meaning(orjson.loads(body)),
        )
        async for event in listener.events():
            yield event

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    def _now(self) -> datetime:
        return self._settings.clock.now()

    def _known(self, car: Any) -> str:
        ref = self._names.ref(str(pick(car, "id")))
        self._users[ref] = str(pick(car, "userId"))
        return ref

    async def _of(self, ref: str, method: str, path: str = "", **more: Any) -> Any:
        if not self._names.knows(ref):
            async for _ in self.refs():
                await asyncio.sleep(0)
        car = self._names.native(ref)
        body = await self._session.call(Call(method, f"/vehicles/{car}{path}", vehicle=ref, **more))
        return parsed(body, writes=bool(more.get("writes"))) if body else {}

    def _keep(self, car: Any) -> Snapshot:
        ref = self._known(car)
        found = sighted(ref, car, self._settings.homes.get(ref), self._now())
        self._last[ref] = fresher(self._last.get(ref), found)
        return found

    def _meaning(self, raw: Any) -> WebhookBody:
        """A signed webhook body is a list of events."""
        events: list[BackendEvent] = []
        for one in raw:
            if one["event"] == "user:vehicle:updated":
                events.append(SnapshotsSeen((self._keep(one["vehicle"]),)))
            if one["event"] == "user:credentials:invalidated":
                user, now = str(one["user"]["id"]), self._now()
                at = min(instant(one.get("createdAt")) or now, now)  # told again later, it ends no newer consent
                cars = sorted(ref for ref, owner in self._users.items() if owner == user)
                if not cars and not self._listed:
                    raise BackendError(ErrorCode.BACKEND_TRANSIENT, "user: the cars of this user are not known yet")
                events += [DriverChose(ref, DriverChoice.CONSENT_WITHDRAWN, at) for ref in cars]
        return WebhookBody(tuple(events))


def action(raw: Any) -> str:
    """The action's own name; what it has already failed of is raised."""
    state = pick(raw, "state", code=ErrorCode.OUTCOME_UNKNOWN)
    if state in ("FAILED", "CANCELLED"):
        kind = str((raw.get("failureReason") or {}).get("type"))
        raise BackendError(FAILURES.get(kind, ErrorCode.REJECTED_BY_VEHICLE), f"the action is {state}: {kind}")
    return str(raw.get("id"))


def capability_of(car: Any) -> Capability:
    """What a car can do."""
    charge, able = pick(car, "chargeState"), car.get("capabilities") or {}
    kwh = number(charge.get("batteryCapacity"))
    capable = {name: isinstance(one, dict) and one.get("isCapable") is True for name, one in able.items()}
    takes_current = capable.get("setMaxCurrent", False)
    return Capability(
        model=str((car.get("information") or {}).get("model") or "unknown"),
        usable_wh=USUAL_WH if not kwh else round(1000.0 * kwh),
        max_charge_w=USUAL_W,
        phases=PHASES if takes_current else 1,
        voltage_v=VOLTS,
        can_start=capable.get("startCharging", False),
        can_stop=capable.get("stopCharging", False),
        can_resume_after_stop=capable.get("startCharging", False),
        current=CurrentControl(LEAST_A, MOST_A) if takes_current else None,
        wake_supported=False,
        latency_typical_s=30.0,
        latency_p99_s=300.0,
    )


def sighted(ref: str, car: Any, home: tuple[float, float] | None, now: datetime) -> Snapshot:
    """The car's state as a snapshot; every charging value is as old as `chargeState.lastUpdated`."""
    charge, place = pick(car, "chargeState"), car.get("location") or {}
    at = instant(charge.get("lastUpdated"))
    state = word(SOURCE, "powerDeliveryState", STATES, charge.get("powerDeliveryState"))
    left_min = number(charge.get("chargeTimeRemaining"))
    plugged = word(SOURCE, "isPluggedIn", TRUTHS, charge.get("isPluggedIn"))
    values = {
        "soc_pct": charge.get("batteryLevel"),
        "plugged": plugged or Known.UNKNOWN,
        "charge_state": state or ChargeState.UNKNOWN,
        "power_w": _power_w(charge, state),
        "limit_soc_pct": charge.get("chargeLimit"),
        "limit_current_a": charge.get("maxCurrent"),
        "time_to_complete_s": None if left_min is None else 60.0 * left_min,
    }
    seen: dict[str, tuple[Any, datetime | None]] = {name: (value, at) for name, value in values.items()}
    seen["at_site"] = (near((place.get("latitude"), place.get("longitude")), home), instant(place.get("lastUpdated")))
    reach = word(SOURCE, "isReachable", REACHES, car.get("isReachable"))
    seen["reachability"] = (reach, instant(car.get("lastSeen")) or at)
    return snapshot_of(ref, seen, SOURCE, now)


def _power_w(charge: Mapping[str, Any], state: ChargeState | None) -> float | None:
    """`chargeRate` is a magnitude: which way it flows is told by the state, and not known without one."""
    rate_kw = number(charge.get("chargeRate"))
    way = -1.0 if state is ChargeState.DISCHARGING else 1.0
    if rate_kw is None or (state in (None, ChargeState.UNKNOWN) and charge.get("isCharging") is not True):
        return None
    return way * 1000.0 * abs(rate_kw)
