"""Tesla, over its Fleet API.

Each owner consents and has a grant of his own in `state`/grants; cars newer than 2021 take signed commands only, so
`url` then names Tesla's signing proxy, which speaks the same HTTP. What the file knows of Teslas:

- currents are whole amperes per phase, 5 A the least, forgotten when the cable is pulled; 5 A is sent twice, for once
  is known not to take;
- `charger_power` is whole kilowatts, so the power is volts x amperes x phases; `battery_range` is miles and not read;
- `{"result": false, "reason": "is_charging"}` is a success by another name;
- a sleeping car answers 408; waking it costs twenty times a command, so a car is woken once in half an hour at most,
  and never by whoever reads it by schedule;
- 421 says that the owner's account lives in another region;
- a charge schedule that is used once starts a car that we have stopped, at a minute of its home's local time, also
  when we are no more; it needs the home's place and time zone (`homes`, `time_zones`);
- no discharge: Powershare is reported, never commanded.
"""

import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pydantic

from ven_adapters.contract import (
    WAKES_UP_TO_S,
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    ErrorCode,
    Reachability,
    Reading,
    Rung,
    Setting,
    Snapshot,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.oems.tesla_shapes import (
    ASLEEP_AGAIN_S,
    DATA_PRICE,
    REASONS,
    SCHEDULE_ID,
    TWICE_UP_TO_A,
    WrongRegion,
    achieve,
    capability_of,
    command,
    judge,
    price,
    snapshot_of_vehicle_data,
    start_once,
)
from ven_adapters.transport.call_costs import MILLION
from ven_adapters.transport.consent import CodeConsent, ConsentConversation, account
from ven_adapters.transport.grants.grants import OwnerTokens
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.vendor_readings import age_s, pick
from ven_adapters.transport.settings import HttpAddress, read_table
from ven_adapters.transport.vendor_session import Dialect, VendorSession
from ven_adapters.transport.vendor_settings import CodeConsentSettings, OwnersSettings
from ven_adapters.transport.windows.window_backend import KeptBackend

WAKE_EVERY = timedelta(minutes=30)
USD_PER_READING = DATA_PRICE / MILLION
WAKE_LOOKS, WAKE_LOOK_S = 6, 10.0
# A schedule names a minute of the day: what is due before it reaches the car, or a day ahead, would mean tomorrow.
SOON, LONGEST_SCHEDULE = timedelta(minutes=5), timedelta(hours=23)
_log = logging.getLogger(__name__)


class TeslaConsent(CodeConsentSettings):
    """Where an owner lets us into his Teslas."""

    authorize_url: HttpAddress = "https://auth.tesla.com/oauth2/v3/authorize"
    scope: str = "openid offline_access vehicle_device_data vehicle_location vehicle_cmds vehicle_charging_cmds"
    audience: str = pydantic.Field("", description="the region, when it is not `url`")


class TeslaSettings(OwnersSettings):
    """Tesla's table `[backend]`."""

    vendor: ClassVar[str] = "tesla"
    consent: TeslaConsent = TeslaConsent()
    time_zones: dict[str, ZoneInfo] = pydantic.Field(
        default_factory=dict, description="of cars by our name: their homes', such as America/Los_Angeles"
    )


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Tesla's backend."""
    read = read_table(TeslaSettings, settings)
    return KeptBackend(Teslas(read), read.clock, read.journal(), read.pace, read.leases())


PAIR = "the owner adds our key at https://tesla.com/_ak/YOUR-DOMAIN: without it cars newer than 2021 take no command"


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner lets us into his Teslas."""
    read = read_table(TeslaSettings, settings)
    asked, teslas = read.consent, Teslas(read)
    audience = asked.audience or read.url
    made = CodeConsent(account(read, name), asked, lambda: teslas.refs_of(name), teslas.close, audience=audience)
    made.afterwards = PAIR
    return made


class Teslas:
    """Every car of every owner who consented."""

    def __init__(self, settings: TeslaSettings) -> None:
        self._settings, self._grants, self._names = settings, settings.grants, settings.names
        self._accounts: dict[str, VendorSession] = {}
        self._account_of: dict[str, VendorSession] = {}
        self._last: dict[str, Snapshot] = {}
        self._woken: dict[str, datetime] = {}
        self._taken_over: set[str] = set()
        self._unlisted: BackendError | None = None

    async def refs(self) -> AsyncIterator[VehicleRef]:
        """Every car; an owner whose grant fails hides his own cars only."""
        self._unlisted = None
        for name in self._grants.names():
            try:
                for ref in await self.refs_of(name):
                    yield VehicleRef(ref)
            except BackendError as error:
                self._unlisted = error
                _log.warning("an owner's cars could not be listed: %s", error.code)

    async def refs_of(self, name: str) -> list[str]:
        """One owner's cars."""
        session = self._account(name)
        refs = [self._names.ref(vin) for vin in await self._vins(session)]
        self._account_of |= dict.fromkeys(refs, session)
        return refs

    async def capability(self, ref: str) -> Capability:
        """What the car says of itself; a car asleep since the start is woken for it, once."""
        return capability_of(await self._vehicle_data(ref, wake=True))

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The last reading while it is young enough, else a new one."""
        last = self._last.get(ref)
        if last is not None and age_s(last, self._now()) <= (float("inf") if max_age_s is None else max_age_s):
            return last
        try:
            raw = await self._vehicle_data(ref, wake=max_age_s is not None and max_age_s <= WAKES_UP_TO_S)
        except BackendError as error:
            if error.code is not ErrorCode.ASLEEP:
                raise
            now = self._now()
            asleep = Reading(Reachability.ASLEEP, now, now, "tesla")
            if last is not None:
                self._last[ref] = dataclasses.replace(last, reachability=asleep)
            if max_age_s is not None:
                raise
            return Snapshot(ref, reachability=asleep)
        return self._keep(ref, raw)

    def achieve(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
        """Whole amperes from 5 A, else a pause."""
        return achieve(directive, capability, snapshot)

    async def tell(self, ref: str, setting: Setting) -> None:
        """One command; a low current is sent twice."""
        name, body = command(setting)
        await self._command(ref, name, body)
        if setting.rung is Rung.CURRENT and (setting.current_a or 0) <= TWICE_UP_TO_A:
            try:
                await self._command(ref, name, body)
            except BackendError as error:  # the first one was taken, so nothing was refused
                _log.info("a low current could not be told twice: %s", error.code)

    async def end_at(self, ref: str, setting: Setting, at: datetime) -> bool:
        """A schedule that starts the stopped car once at `at`; none for a current, nor where the home is not known."""
        place, zone = self._settings.homes.get(ref), self._settings.time_zones.get(ref)
        left = at - self._now()
        if setting.rung is not Rung.PAUSE or place is None or zone is None or not SOON < left < LONGEST_SCHEDULE:
            return False
        await self._command(ref, "add_charge_schedule", start_once(at.astimezone(zone), place))
        return True

    async def forget_end(self, ref: str) -> None:
        """Remove that schedule."""
        await self._command(ref, "remove_charge_schedule", dumps({"id": SCHEDULE_ID}))

    def overridden(self, ref: str) -> bool:
        """True when the car says that its driver cancelled managed charging."""
        return ref in self._taken_over

    async def pushes(self) -> AsyncIterator[BackendEvent]:
        """None: Tesla pushes from the car, over a line of its own that is not listened to here."""
        nothing: tuple[BackendEvent, ...] = ()
        for event in nothing:
            yield event

    async def close(self) -> None:
        """Let go of every owner's connections."""
        for session in self._accounts.values():
            await session.close()

    def _now(self) -> datetime:
        return self._settings.clock.now()

    def _account(self, name: str) -> VendorSession:
        if name not in self._accounts:
            tokens = OwnerTokens(self._settings.client, self._grants.file(name))
            self._accounts[name] = VendorSession(self._settings, self._settings.url, tokens, Dialect(judge, price))
        return self._accounts[name]

    async def _vins(self, session: VendorSession) -> list[str]:
        vins: list[str] = []
        page: int | None = 1
        while page is not None:
            raw = await self._json(session, Call("GET", "/api/1/vehicles", query={"page": str(page)}))
            vins += [str(pick(car, "vin")) for car in pick(raw, "response")]
            page = (raw.get("pagination") or {}).get("next")
        return vins

    async def _json(self, session: VendorSession, call: Call) -> Any:
        """The answer, from the region where the account turns out to live."""
        try:
            return await session.json(call)
        except WrongRegion:
            raw = await session.json(Call("GET", "/api/1/users/region"))
            session.move(str(pick(raw, "response", "fleet_api_base_url")))
            return await session.json(call)

    async def _of(self, ref: str, method: str, path: str, **more: Any) -> Any:
        await self._names.learn(ref, self.refs)
        if not self._names.knows(ref) and self._unlisted is not None:
            raise self._unlisted  # it may be one of the cars that could not be listed
        vin = self._names.native(ref)
        call = Call(method, f"/api/1/vehicles/{vin}{path}", vehicle=ref, **more)
        return await self._json(self._account_of[ref], call)

    async def _vehicle_data(self, ref: str, *, wake: bool) -> Mapping[str, Any]:
        query = {"endpoints": "charge_state;location_data;vehicle_config"}
        try:
            raw = await self._of(ref, "GET", "/vehicle_data", query=query)
        except BackendError as error:
            if error.code is not ErrorCode.ASLEEP or not wake:
                raise
            await self._wake(ref)
            raw = await self._of(ref, "GET", "/vehicle_data", query=query)
        pick(raw, "response", "charge_state")
        return dict(raw["response"])

    async def _wake(self, ref: str) -> None:
        """Wake the car and wait a minute for it; ASLEEP when it was woken lately or does not come."""
        now, asleep = self._now(), BackendError(ErrorCode.ASLEEP, "the car sleeps", retry_after_s=ASLEEP_AGAIN_S)
        if now - self._woken.get(ref, now - WAKE_EVERY) < WAKE_EVERY:
            raise asleep
        self._woken[ref] = now
        raw = await self._of(ref, "POST", "/wake_up")
        for _ in range(WAKE_LOOKS):
            if pick(raw, "response", "state") == "online":
                return
            await self._settings.wait(WAKE_LOOK_S)
            raw = await self._of(ref, "GET", "")
        raise asleep

    async def _command(self, ref: str, name: str, body: bytes | None) -> None:
        raw = await self._of(ref, "POST", f"/command/{name}", body=body, writes=True)
        if pick(raw, "response", "result", code=ErrorCode.OUTCOME_UNKNOWN) is not True:
            reason = str(raw["response"].get("reason") or "")
            raise BackendError(REASONS.get(reason, ErrorCode.REJECTED_BY_VEHICLE), f"{name}: {reason}")

    def _keep(self, ref: str, raw: Mapping[str, Any]) -> Snapshot:
        took_over = raw["charge_state"].get("managed_charging_user_canceled") is True
        (self._taken_over.add if took_over else self._taken_over.discard)(ref)
        self._last[ref] = snapshot_of_vehicle_data(ref, raw, self._settings.homes.get(ref), self._now())
        return self._last[ref]
