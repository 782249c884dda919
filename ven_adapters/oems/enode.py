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
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import orjson
import pydantic

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Reachability,
    ReadingPrice,
    Rung,
    Setting,
    Snapshot,
    SnapshotsSeen,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.oems.enode_shapes import achieve, action, capability_of, judge, snapshot_of_vehicle
from ven_adapters.transport.consent import ConsentConversation, HostedConsent
from ven_adapters.transport.grants.grants import AppTokens
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.http.settings import WebhookTable
from ven_adapters.transport.http.webhooks import WebhookBody, WebhookReceiver, digest_in
from ven_adapters.transport.readings.vendor_readings import age_s, fresher, instant, pick
from ven_adapters.transport.settings import read_table
from ven_adapters.transport.vendor_session import Dialect, VendorSession, parsed
from ven_adapters.transport.vendor_settings import ConsentSettings, VendorSettings
from ven_adapters.transport.windows.window_backend import KeptBackend
from vtn.tasks import cancel_tasks

LOOKS, LOOK_S = 3, 10.0
# A car that answers at the first look: what is known, a hint, and what it then tells.
READING_PRICE = ReadingPrice(calls=3)
# Enode gives a webhook up after 26 hours of failures, so that it is looked at well before and after.
ARM_EVERY_S = 3_600.0
EVENTS = ("user:vehicle:updated", "user:vehicle:discovered", "user:vehicle:deleted", "user:credentials:invalidated")
AWAY_AGAIN_S = 300.0
_log = logging.getLogger(__name__)


class EnodeConsent(ConsentSettings):
    """What an owner who links his car is asked for."""

    scope: str = "vehicle:read:data vehicle:read:location vehicle:control:charging"
    language: str = pydantic.Field("en-US", description="of Enode's page")
    vendor: str = pydantic.Field("", description="the one make that is offered there; all without it")


class EnodeSettings(WebhookTable, VendorSettings):
    """Enode's table `[backend]`; with `webhook_url` the webhook is made with `webhook_secret`, else by hand."""

    vendor: ClassVar[str] = "enode"
    consent: EnodeConsent = EnodeConsent()
    webhook_url: str | None = pydantic.Field(
        None, description="where Enode reaches us: its webhook is then made and kept active by us"
    )


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Enode's backend."""
    read = read_table(EnodeSettings, settings)
    return KeptBackend(Enodes(read), read.clock, read.journal(), read.pace, read.leases())


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner links his car to our client by Enode's page, which keeps his grant; `name` is his user id at Enode."""
    read = read_table(EnodeSettings, settings)
    owner = _Owner(read, name)
    return HostedConsent(read.consent, owner.page, owner.cars, owner.close, owner.forget)


class Enodes:
    """Every car that is linked to our client."""

    def __init__(self, settings: EnodeSettings) -> None:
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
        if self._settings.webhook is None:
            return
        with contextlib.suppress(
            BackendError
        ):  # whose cars end when a consent does; what is not known yet is asked again
            async for _ in self.refs():
                await asyncio.sleep(0)
        listener = WebhookReceiver(
            self._settings.webhook,
            digest_in("x-enode-signature", self._settings.webhook.secret, "sha1", "sha1="),
            lambda body: self._meaning(orjson.loads(body)),
        )
        await listener.start()
        arming = asyncio.create_task(self._keep_armed(self._settings.webhook.secret, self._settings.webhook_url))
        try:
            while True:
                for event in await listener.batch():
                    yield event
        finally:
            await cancel_tasks([arming])
            await listener.stop()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def _keep_armed(self, secret: str, url: str | None) -> None:
        """See to it, for as long as we listen, that Enode has a webhook for us that it delivers to."""
        while url is not None:
            try:
                await self._arm(secret, url)
            except BackendError as error:
                _log.warning("Enode's webhook could not be seen to: %s", error.code)
            await self._settings.wait(ARM_EVERY_S)

    async def _arm(self, secret: str, url: str) -> None:
        """One active webhook at our address: one that Enode gave up is replaced, and a new one is tried."""
        raw = await self._session.json(Call("GET", "/webhooks"))
        ours = [hook for hook in (pick(raw, "data") if isinstance(raw, dict) else raw) if pick(hook, "url") == url]
        if any(hook.get("isActive") is not False for hook in ours):
            return
        for hook in ours:
            await self._session.call(Call("DELETE", f"/webhooks/{quote(str(pick(hook, 'id')), safe='')}"))
        wanted = {"url": url, "secret": secret, "events": EVENTS}
        made = await self._session.json(Call("POST", "/webhooks", body=dumps(wanted)))
        await self._session.call(Call("POST", f"/webhooks/{quote(str(pick(made, 'id')), safe='')}/test"))
        _log.info("a webhook was %s at Enode", "made anew" if ours else "made")

    def _now(self) -> datetime:
        return self._settings.clock.now()

    def _known(self, car: Any) -> str:
        ref = self._names.ref(str(pick(car, "id")))
        self._users[ref] = str(pick(car, "userId"))
        return ref

    async def _of(self, ref: str, method: str, path: str = "", **more: Any) -> Any:
        await self._names.learn(ref, self.refs)
        car = self._names.native(ref)
        body = await self._session.call(Call(method, f"/vehicles/{car}{path}", vehicle=ref, **more))
        return parsed(body, writes=bool(more.get("writes"))) if body else {}

    def _keep(self, car: Any) -> Snapshot:
        ref = self._known(car)
        found = snapshot_of_vehicle(ref, car, self._settings.homes.get(ref), self._now())
        self._last[ref] = fresher(self._last.get(ref), found)
        return found

    def _meaning(self, raw: Any) -> WebhookBody:
        """A signed webhook body is a list of events."""
        events: list[BackendEvent] = []
        for one in raw:
            if one["event"] in {"user:vehicle:updated", "user:vehicle:discovered"}:
                events.append(SnapshotsSeen((self._keep(one["vehicle"]),)))
            if one["event"] == "user:vehicle:deleted":
                ref, now = self._names.ref(str(pick(one, "vehicle", "id"))), self._now()
                at = min(instant(one.get("createdAt")) or now, now)
                events.append(DriverChose(ref, DriverChoice.CONSENT_WITHDRAWN, at))
            if one["event"] == "user:credentials:invalidated":
                user, now = str(one["user"]["id"]), self._now()
                at = min(instant(one.get("createdAt")) or now, now)  # told again later, it ends no newer consent
                cars = sorted(ref for ref, owner in self._users.items() if owner == user)
                if not cars and not self._listed:
                    raise BackendError(ErrorCode.BACKEND_TRANSIENT, "user: the cars of this user are not known yet")
                events += [DriverChose(ref, DriverChoice.CONSENT_WITHDRAWN, at) for ref in cars]
        return WebhookBody(tuple(events))


class _Owner:
    """Calls about one user of ours."""

    def __init__(self, settings: EnodeSettings, name: str) -> None:
        self._session = VendorSession(settings, settings.url, AppTokens(settings.client), Dialect(judge))
        self._names, self._asked = settings.names, settings.consent
        self._path = f"/users/{quote(name, safe='')}"

    async def page(self, state: str) -> str:
        """The page where the owner links his car; he comes back with our state."""
        asked = self._asked
        wanted = {"vendor": asked.vendor} if asked.vendor else {}
        back = f"{asked.redirect_uri}?{urlencode({'state': state})}"
        link = {"vendorType": "vehicle", "scopes": asked.scope.split(), "language": asked.language, "redirectUri": back}
        call = Call("POST", f"{self._path}/link", body=dumps(wanted | link), writes=True)
        return str(pick(await self._session.json(call), "linkUrl"))

    async def cars(self) -> list[str]:
        """The owner's cars, by our refs."""
        raw = await self._session.json(Call("GET", f"{self._path}/vehicles"))
        return [self._names.ref(str(pick(car, "id"))) for car in pick(raw, "data")]

    async def forget(self) -> None:
        """End what the owner granted us at Enode."""
        await self._session.call(Call("DELETE", f"{self._path}/authorization", writes=True))

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()
