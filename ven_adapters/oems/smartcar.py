"""The makes behind Smartcar, version 3 of its interface (version 2 ends on 2026-12-01).

One grant of our own serves every car; the driver's consent shows in the header `sc-user-id`. What the file knows:

- start, stop and a charge limit of 50 to 100 %; no current, no power, no discharge. A cap is a pause;
- a slow command is answered 202 at once and told later, in the body of the same answer: only the body counts, it may
  contradict the status, and half a body tells nothing;
- `data[].meta.oemUpdatedAt` is the car's own instant. Without it a signal says nothing, for signals come from a store
  that may be a day old unless the car is subscribed to a webhook;
- a car asleep answers 409 ASLEEP and cannot be woken from here;
- levels are percent; version 2's were fractions.
"""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import orjson
import pydantic

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    ErrorCode,
    Reachability,
    Rung,
    Setting,
    Snapshot,
    SnapshotsSeen,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.oems.smartcar_shapes import (
    ASLEEP_AGAIN_S,
    Signals,
    achieve,
    capability_of,
    judge,
    linked,
    outcome,
    signals_in,
    signals_of,
    snapshot_of_signals,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.consent import ConsentConversation, HostedConsent
from ven_adapters.transport.grants.grants import AppTokens
from ven_adapters.transport.grants.oauth import consent_url
from ven_adapters.transport.http.codec import dumps, loads
from ven_adapters.transport.http.session import Call, SessionLimits
from ven_adapters.transport.http.settings import WebhookTable
from ven_adapters.transport.http.signatures import ChallengeAnswers
from ven_adapters.transport.http.webhooks import WebhookBody, WebhookReceiver, digest_in, keyed_digest
from ven_adapters.transport.readings.vendor_readings import age_s, fresher, pick
from ven_adapters.transport.settings import AnswerSeconds, HttpAddress, read_table
from ven_adapters.transport.vendor_session import Dialect, VendorSession
from ven_adapters.transport.vendor_settings import ConsentSettings, VendorSettings
from ven_adapters.transport.windows.window_backend import KeptBackend
from vtn.tasks import cancel_tasks

PAGE = 100
SUBSCRIBE_EVERY_S = 900.0
_log = logging.getLogger(__name__)


class SmartcarConsent(ConsentSettings):
    """Where an owner connects his car."""

    authorize_url: HttpAddress = pydantic.Field(
        "https://connect.smartcar.com/oauth/authorize", description="the page where an owner agrees"
    )
    scope: str = "read_vehicle_info read_battery read_charge read_location required:control_charge"
    mode: str = pydantic.Field("live", description="or simulated")


def _instant(given: Any) -> Any:
    """TOML's own instants as they are, and the same in a text; a number is none."""
    try:
        return datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise ValueError("must be an RFC 3339 date-time with an offset") from None


class SmartcarSettings(WebhookTable, VendorSettings):
    """Smartcar's table `[backend]`; `webhook_secret` is the Application Management Token."""

    vendor: ClassVar[str] = "smartcar"
    # Half of what Smartcar allows one car at once: the driver's own app, and a restart of ours, need the rest.
    session_limits: ClassVar[SessionLimits] = SessionLimits(vehicle_burst=60, vehicle_per_hour=120.0)
    answer_s: AnswerSeconds = pydantic.Field(310.0, description="real seconds that an answer may take")
    consent: SmartcarConsent = SmartcarConsent()
    webhook_id: str | None = pydantic.Field(None, description="of the webhook that every linked car is subscribed to")
    webhook_verify_until: Annotated[pydantic.AwareDatetime, pydantic.BeforeValidator(_instant)] | None = pydantic.Field(
        None, description="while the webhook is made: VERIFY, which is not signed, is answered until then"
    )
    management_url: HttpAddress = pydantic.Field(
        "https://management.api.smartcar.com/v3", description="where cars are subscribed"
    )


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Smartcar's backend."""
    read = read_table(SmartcarSettings, settings)
    return KeptBackend(Smartcars(read), read.clock, read.journal(), read.pace, read.leases())


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner connects his car to our application; Smartcar keeps his grant, and `name` is his name there."""
    read = read_table(SmartcarSettings, settings)
    asked = read.consent
    cars, known = Smartcars(read), set[str]()

    async def page(state: str) -> str:
        known.update([car.ref async for car in cars.refs()])
        client = dataclasses.replace(read.client, authorize_url=asked.authorize_url, redirect_uri=asked.redirect_uri)
        return consent_url(client, scope=asked.scope, state=state, more={"mode": asked.mode, "user": name})

    async def came() -> list[str]:
        return [car.ref async for car in cars.refs() if car.ref not in known]

    return HostedConsent(asked, page, came, cars.close, lambda: cars.forget(name))


class Smartcars:
    """Every car that is connected to our application."""

    def __init__(self, settings: SmartcarSettings) -> None:
        self._settings, self._names = settings, settings.names
        self._session = VendorSession(settings, settings.url, AppTokens(settings.client), Dialect(judge))
        self._management = VendorSession(settings, settings.management_url, AppTokens(settings.client), Dialect(judge))
        self._users: dict[str, str] = {}
        self._last: dict[str, Snapshot] = {}
        secret, until = settings.webhook_secret or "", settings.webhook_verify_until
        self._answers = ChallengeAnswers(
            lambda challenge: keyed_digest(secret, challenge.encode(), "sha256"), settings.clock, until
        )

    async def refs(self) -> AsyncIterator[VehicleRef]:
        """Every car, page by page until a page is not full."""
        page, full = 1, True
        while full:
            query = {"page[number]": str(page), "page[size]": str(PAGE)}
            found = pick(await self._session.json(Call("GET", "/connections", query=query)), "data")
            for connection in found:
                car, user = (linked(connection, what) for what in ("vehicle", "user"))
                ref = self._names.ref(car)
                self._users[ref] = user
                yield VehicleRef(ref)
            page, full = page + 1, len(found) == PAGE

    async def forget(self, user: str) -> None:
        """End every connection of an owner."""
        await self._session.call(Call("DELETE", f"/users/{quote(user, safe='')}", writes=True))

    async def capability(self, ref: str) -> Capability:
        """What the car's signals tell of it."""
        return capability_of(signals_of(await self._of(ref, "GET", "/signals")))

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The last reading while it is young enough, else Smartcar's; ASLEEP when that is old and it sleeps."""
        last, longest_s = self._last.get(ref), float("inf") if max_age_s is None else max_age_s
        if last is not None and age_s(last, self._now()) <= longest_s:
            return last
        found = self._keep(ref, signals_of(await self._of(ref, "GET", "/signals")))
        reach = found.reachability
        sleeps = reach is not None and reach.value is Reachability.ASLEEP
        if sleeps and max_age_s is not None and age_s(found, self._now()) > longest_s:
            raise BackendError(ErrorCode.ASLEEP, "the car sleeps", retry_after_s=ASLEEP_AGAIN_S)
        return found

    def achieve(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
        """Start, else stop."""
        return achieve(directive, capability, snapshot)

    async def tell(self, ref: str, setting: Setting) -> str | None:
        """One command; its outcome is in the body, whatever the status was."""
        if setting.rung is Rung.TARGET_LEVEL:
            body = dumps({"data": {"attributes": {"percent": fallback_ladder.whole_pct(setting)}}})
            raw = await self._of(ref, "POST", "/commands/charge/set-limit", body=body, writes=True)
        else:
            verb = "stop" if setting.rung is Rung.PAUSE else "start"
            raw = await self._of(ref, "POST", f"/commands/charge/{verb}", writes=True)
        return outcome(raw)

    def overridden(self, ref: str) -> bool:
        """Smartcar does not tell."""
        del ref
        return False

    async def pushes(self) -> AsyncIterator[BackendEvent]:
        """Signals as they change, when a webhook is set."""
        if self._settings.webhook is None:
            return
        listener = WebhookReceiver(
            self._settings.webhook,
            digest_in("SC-Signature", self._settings.webhook.secret, "sha256"),
            lambda body: self._meaning(orjson.loads(body)),
            challenged=self._challenged,
        )
        subscribing = asyncio.create_task(self._keep_subscribed(self._settings.webhook_id))
        try:
            async for event in listener.events():
                yield event
        finally:
            await cancel_tasks([subscribing])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()
        await self._management.close()

    async def _keep_subscribed(self, webhook_id: str | None) -> None:
        """See to it, for as long as we listen, that every linked car is subscribed to the webhook."""
        while webhook_id is not None:
            try:
                await self._subscribe(webhook_id)
            except BackendError as error:
                _log.warning("cars could not be subscribed to the webhook: %s", error.code)
            await self._settings.wait(SUBSCRIBE_EVERY_S)

    async def _subscribe(self, webhook_id: str) -> None:
        """Subscribe the cars that are linked and not subscribed; one that is refused is tried again the next time."""
        refs = [car.ref async for car in self.refs()]
        known = {linked(one, "vehicle") async for one in self._subscriptions(webhook_id)}
        for ref in (ref for ref in refs if self._names.native(ref) not in known):
            car = {"webhookId": webhook_id, "userId": self._users[ref], "vehicleId": self._names.native(ref)}
            body = dumps({"data": {"attributes": car}})
            try:
                await self._management.call(Call("POST", "/subscriptions", body=body))
            except BackendError as error:
                _log.warning("a car could not be subscribed to the webhook: %s", error.code)

    async def _subscriptions(self, webhook_id: str) -> AsyncIterator[Any]:
        """The subscriptions of a webhook, page by page until a page is not full."""
        page, full = 1, True
        while full:
            query = {"filter[webhookId]": webhook_id, "page[number]": str(page), "page[size]": str(PAGE)}
            found = pick(await self._management.json(Call("GET", "/subscriptions", query=query)), "data")
            for one in found:
                yield one
            page, full = page + 1, len(found) == PAGE

    def _now(self) -> datetime:
        return self._settings.clock.now()

    async def _of(self, ref: str, method: str, path: str, **more: Any) -> Any:
        await self._names.learn(ref, self.refs)
        car, headers = self._names.native(ref), {"sc-user-id": self._users[ref]}
        return await self._session.json(Call(method, f"/vehicles/{car}{path}", headers=headers, vehicle=ref, **more))

    def _keep(self, ref: str, signals: Signals) -> Snapshot:
        self._last[ref] = fresher(self._last.get(ref), snapshot_of_signals(ref, signals, self._now()))
        return self._last[ref]

    def _meaning(self, raw: Any) -> WebhookBody:
        """A signed webhook body; try-outs from the dashboard are passed over."""
        ours = raw["eventType"] == "VEHICLE_STATE" and raw["meta"].get("mode") != "TEST"
        if not ours:
            return WebhookBody()
        ref, signals = self._names.ref(raw["data"]["vehicle"]["id"]), signals_in(raw["data"]["signals"])
        self._keep(ref, signals)
        return WebhookBody((SnapshotsSeen((snapshot_of_signals(ref, signals, self._now()),)),), once=raw["eventId"])

    def _challenged(self, body: bytes) -> WebhookBody | None:
        """The answer to a VERIFY event, which comes unsigned, while it may be given."""
        raw = loads(body)
        if not isinstance(raw, dict) or raw.get("eventType") != "VERIFY":
            return None
        answer = self._answers.answer(pick(raw, "data", "challenge"))
        return None if answer is None else WebhookBody(answer={"challenge": answer})
