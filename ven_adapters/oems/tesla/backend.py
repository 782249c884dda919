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
- what cars stream (`telemetry`, see `oems.tesla.telemetry`) is the first source of readings: a car that streams is read
  by a call only for what it does not stream, or when somebody wants a reading made now;
- a car without our key takes no command, and says so before it is asked (`oems.tesla.setup`);
- no discharge: Powershare is reported, never commanded.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.contract import (
    WAKES_UP_TO_S,
    BackendError,
    BackendEvent,
    Capability,
    ChargeState,
    Directive,
    ErrorCode,
    Reachability,
    Reading,
    ReadingPrice,
    Rung,
    Setting,
    SetupFault,
    Snapshot,
    SnapshotsSeen,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.oems.tesla.accounts import TeslaAccounts
from ven_adapters.oems.tesla.arming import TelemetryArming
from ven_adapters.oems.tesla.settings import TelemetrySettings, TeslaSettings
from ven_adapters.oems.tesla.setup import TeslaSetup
from ven_adapters.oems.tesla.shapes import (
    ASLEEP_AGAIN_S,
    DATA_PRICE,
    REASONS,
    SCHEDULE_ID,
    TWICE_UP_TO_A,
    achieve,
    capability_of,
    command,
    snapshot_of_vehicle_data,
    start_once,
)
from ven_adapters.oems.tesla.status import wanted_config
from ven_adapters.oems.tesla.telemetry import FleetTelemetry
from ven_adapters.transport.call_costs import MILLION
from ven_adapters.transport.consent import CodeConsent, ConsentConversation, account
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.readings.second_source import newest
from ven_adapters.transport.readings.vendor_readings import age_s, pick
from ven_adapters.transport.settings import read_table
from ven_adapters.transport.windows.window_backend import KeptBackend
from vtn.tasks import cancel_tasks

WAKE_EVERY = timedelta(minutes=30)
READING_PRICE = ReadingPrice(usd=DATA_PRICE / MILLION)
WAKE_LOOKS, WAKE_LOOK_S = 6, 10.0
# A schedule names a minute of the day: what is due before it reaches the car, or a day ahead, would mean tomorrow.
SOON, LONGEST_SCHEDULE = timedelta(minutes=5), timedelta(hours=23)
# A car that was told to stop, and streams that it charges so much later, may have been taken over by its driver.
OBEYS_WITHIN = timedelta(minutes=2)
_log = logging.getLogger(__name__)


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Tesla's backend."""
    read = read_table(TeslaSettings, settings)
    return KeptBackend(Teslas(read), read.clock, read.journal(), read.pace, read.leases())


PAIR = "the owner adds our key at https://tesla.com/_ak/YOUR-DOMAIN: without it cars newer than 2021 take no command"


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner lets us into his Teslas; what his cars still need is said afterwards."""
    read = read_table(TeslaSettings, settings)
    asked, teslas = read.consent, Teslas(read)

    async def cars() -> list[str]:
        refs = await teslas.refs_of(name)
        made.afterwards = await teslas.needs(name) or made.afterwards
        return refs

    made = TeslaCodeConsent(account(read, name), asked, cars, teslas.close, audience=asked.audience or read.url)
    made.before_forgetting = lambda: teslas.stop_streams(name)
    made.afterwards = PAIR.replace("YOUR-DOMAIN", read.domain or "YOUR-DOMAIN")
    return made


class TeslaCodeConsent(CodeConsent):
    """Whose owner is forgotten has his cars told to stream no more, while we may still tell them."""

    before_forgetting: Callable[[], Awaitable[None]]

    async def forget(self) -> None:
        """End the cars' streams, then erase the grant."""
        if self.held():
            await self.before_forgetting()
        await super().forget()


class Teslas:
    """Every car of every owner who consented."""

    def __init__(self, settings: TeslaSettings) -> None:
        self._settings, self._accounts = settings, TeslaAccounts(settings)
        self._setup = TeslaSetup(self._accounts, settings)
        self._telemetry = None if settings.telemetry is None else FleetTelemetry(settings.telemetry, settings)
        self._arming = self._armed_by(settings.telemetry)
        self._last: dict[str, Snapshot] = {}
        self._woken: dict[str, datetime] = {}
        self._taken_over: set[str] = set()
        self._stopped: dict[str, datetime] = {}
        self._doubtful: set[str] = set()

    def _armed_by(self, telemetry: TelemetrySettings | None) -> TelemetryArming | None:
        """What gives cars their configurations; None where somebody else does."""
        if telemetry is None or telemetry.hostname is None or self._telemetry is None:
            return None
        wanted = wanted_config(telemetry.hostname, telemetry.port, telemetry.ca)
        return TelemetryArming(self._accounts, self._settings, self._telemetry, wanted)

    def refs(self) -> AsyncIterator[VehicleRef]:
        """Every car; an owner whose grant fails hides his own cars only."""
        return self._accounts.refs()

    async def refs_of(self, name: str) -> list[str]:
        """One owner's cars."""
        return await self._accounts.refs_of(name)

    async def capability(self, ref: str) -> Capability:
        """What the car says of itself; a car asleep since the start is woken for it, once.

        A car that takes no command of ours can be neither started nor stopped, until what is missing is there.
        """
        commanded = await self._setup.takes_commands(ref)
        found = capability_of(await self._vehicle_data(ref, wake=True))
        if commanded:
            return found
        return dataclasses.replace(found, can_start=False, can_stop=False, limit_soc=None, current=None)

    async def setup_faults(self) -> Sequence[SetupFault]:
        """What is missing before cars can be commanded, and before they stream: one sentence each."""
        found = await self._setup.faults()
        known = {fault.vehicle_ref for fault in found}
        streamless = () if self._arming is None else self._arming.faults()
        return (*found, *(fault for fault in streamless if fault.vehicle_ref not in known))

    async def needs(self, name: str) -> str:
        """What an owner's cars still need, for whoever enrols them; empty when that is nothing."""
        found = await self._setup.faults_of(name)
        return "; ".join(f"{fault.vehicle_ref} {fault.sentence}" for fault in found)

    async def stop_streams(self, name: str) -> None:
        """Take an owner's cars their telemetry configuration; what fails does not keep him from being forgotten."""
        if self._arming is None:
            return
        try:
            for ref in await self.refs_of(name):
                await self._accounts.of(ref, "DELETE", "/fleet_telemetry_config")
        except BackendError as error:
            _log.warning("an owner's cars could not be told to stream no more: %s", error.code)

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The last reading while it is young enough or still true, else a new one."""
        last = self._last.get(ref)
        if last is not None and self._holds(ref, last, max_age_s):
            return last
        try:
            raw = await self._asked(ref, max_age_s)
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

    def _holds(self, ref: str, last: Snapshot, max_age_s: int | None) -> bool:
        """Whether the last reading is young enough; or the car streams, and would have told what has changed."""
        if ref in self._doubtful:
            return False
        now = self._now()
        if age_s(last, now) <= (float("inf") if max_age_s is None else max_age_s):
            return True
        flows = self._telemetry is not None and self._telemetry.flows(ref, now)
        return flows and max_age_s != 0 and last.charge_state is not None

    async def _asked(self, ref: str, max_age_s: int | None) -> Mapping[str, Any]:
        """A call's answer; ASLEEP without one when the car was seen to fall asleep and nobody wants it woken."""
        wakes = max_age_s is not None and max_age_s <= WAKES_UP_TO_S
        if not wakes and self._telemetry is not None and self._telemetry.sleeps(ref, self._now()):
            raise BackendError(ErrorCode.ASLEEP, "the car sleeps", retry_after_s=ASLEEP_AGAIN_S)
        return await self._vehicle_data(ref, wake=wakes)

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
        self._stopped.pop(ref, None)
        if setting.rung is Rung.PAUSE:
            self._stopped[ref] = self._now()

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
        """What cars stream, where there is a table `telemetry`; nothing otherwise."""
        if self._telemetry is None:
            return
        with contextlib.suppress(BackendError):  # whose cars they are; what is not known yet is listed when it is asked
            async for _ in self.refs():
                await asyncio.sleep(0)
        keeping = [] if self._arming is None else [asyncio.create_task(self._arming.keep_armed())]
        try:
            async for batch in self._telemetry.batches():
                yield SnapshotsSeen(tuple(map(self._streamed, batch)))
        finally:
            await cancel_tasks(keeping)

    async def close(self) -> None:
        """Let go of every owner's connections."""
        await self._accounts.close()

    def _streamed(self, found: Snapshot) -> Snapshot:
        """Keep what a car streams. That its driver took over is not streamed: a call finds out where it may be so."""
        ref, state = found.vehicle_ref, found.charge_state
        last = self._last.get(ref)
        self._last[ref] = found if last is None else newest(last, found)
        obeys_by = self._stopped.get(ref, self._now()) + OBEYS_WITHIN
        if state is not None and state.value is ChargeState.CHARGING and self._now() > obeys_by:
            self._doubtful.add(ref)
        return found

    def _now(self) -> datetime:
        return self._settings.clock.now()

    async def _vehicle_data(self, ref: str, *, wake: bool) -> Mapping[str, Any]:
        query = {"endpoints": "charge_state;location_data;vehicle_config"}
        try:
            raw = await self._accounts.of(ref, "GET", "/vehicle_data", query=query)
        except BackendError as error:
            if error.code is not ErrorCode.ASLEEP or not wake:
                raise
            await self._wake(ref)
            raw = await self._accounts.of(ref, "GET", "/vehicle_data", query=query)
        pick(raw, "response", "charge_state")
        return dict(raw["response"])

    async def _wake(self, ref: str) -> None:
        """Wake the car and wait a minute for it; ASLEEP when it was woken lately or does not come."""
        now, asleep = self._now(), BackendError(ErrorCode.ASLEEP, "the car sleeps", retry_after_s=ASLEEP_AGAIN_S)
        if now - self._woken.get(ref, now - WAKE_EVERY) < WAKE_EVERY:
            raise asleep
        self._woken[ref] = now
        raw = await self._accounts.of(ref, "POST", "/wake_up")
        for _ in range(WAKE_LOOKS):
            if pick(raw, "response", "state") == "online":
                return
            await self._settings.wait(WAKE_LOOK_S)
            raw = await self._accounts.of(ref, "GET", "")
        raise asleep

    async def _command(self, ref: str, name: str, body: bytes | None) -> None:
        raw = await self._accounts.of(ref, "POST", f"/command/{name}", body=body, writes=True)
        if pick(raw, "response", "result", code=ErrorCode.OUTCOME_UNKNOWN) is not True:
            reason = str(raw["response"].get("reason") or "")
            raise BackendError(REASONS.get(reason, ErrorCode.REJECTED_BY_VEHICLE), f"{name}: {reason}")

    def _keep(self, ref: str, raw: Mapping[str, Any]) -> Snapshot:
        took_over = raw["charge_state"].get("managed_charging_user_canceled") is True
        (self._taken_over.add if took_over else self._taken_over.discard)(ref)
        if ref in self._doubtful:  # it is known now whether its driver took over
            self._doubtful.discard(ref)
            self._stopped.pop(ref, None)
        found, last = (
            snapshot_of_vehicle_data(ref, raw, self._settings.homes.get(ref), self._now()),
            self._last.get(ref),
        )
        streams = self._telemetry is not None and last is not None
        self._last[ref] = newest(last, found) if streams and last is not None else found
        return self._last[ref]
