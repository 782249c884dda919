"""The client of the reference HTTP contract: a `VehicleBackend` over an automaker's own backend.

A brand adds one pure function, `achieve`, which picks the rung of the fallback ladder; everything else that a call
needs stands here. The chosen setting travels beside the directive and comes back in the Ack, so a 3.5 kW request that
became a pause is visible to whoever asked.
"""

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from urllib.parse import quote

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Certainty,
    Directive,
    DirectivesChanged,
    DirectiveStatus,
    ErrorCode,
    Setting,
    Snapshot,
    VehicleRef,
)
from ven_adapters.transport.http.codec import Order, Page, Subscriber, dumps, load, loads
from ven_adapters.transport.http.session import BackendSession, Call
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.http.webhooks import WebhookReceiver, backend_webhooks

T = TypeVar("T")
Achieve = Callable[[Directive, Capability, Snapshot], Setting | BackendError]

_log = logging.getLogger(__name__)


class HttpVehicleBackend:
    """The port over HTTP. `events` has one consumer; the other calls may run side by side."""

    def __init__(self, settings: BackendSettings, achieve: Achieve) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._achieve = achieve
        self._session = BackendSession(
            settings.url,
            settings.credentials,
            settings.clock,
            seed=settings.seed,
            limits=settings.limits,
        )
        self._receiver: WebhookReceiver | None = None

    async def vehicles(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car, page by page."""
        token: str | None = None
        while True:
            page = await self._read(Page, "/v1/vehicles", page_token=token)
            for vehicle in page.vehicles:
                yield vehicle
            token = page.next_page_token
            if token is None:
                return

    async def capabilities(self, ref: str) -> Capability:
        """What the car can do, as its backend says."""
        return await self._read(Capability, f"{_vehicle(ref)}/capabilities")

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """The newest reading; ASLEEP when it is older than `max_age_s` and the car cannot be asked."""
        return await self._read(
            Snapshot, f"{_vehicle(ref)}/snapshot", max_age_s=None if max_age_s is None else str(max_age_s)
        )

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """Choose the rung, send directive and setting; idempotent on `directive.key`."""
        if self._clock.now() > directive.not_after:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")
        setting = self._achieve(directive, capability, snapshot)
        if isinstance(setting, BackendError):
            raise setting
        body = await self._session.call(
            Call(
                "PUT",
                _directive(directive.vehicle_ref, directive.directive_id),
                body=dumps(Order(directive, setting)),
                headers={"Idempotency-Key": directive.key},
                writes=True,
                vehicle=directive.vehicle_ref,
            )
        )
        ack = self._load(Ack, body)
        return ack if ack.setting is not None else dataclasses.replace(ack, setting=setting)

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """End a directive now; no budget stands in the way of giving a car back."""
        path = _directive(vehicle_ref, directive_id)
        return self._load(Ack, await self._session.call(Call("DELETE", path, writes=True)))

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """The backend's own view of a directive, for no more than an automaker's word is worth."""
        return _by_report(await self._read(DirectiveStatus, _directive(vehicle_ref, directive_id)))

    async def events(self) -> AsyncIterator[BackendEvent]:
        """What the backend pushes. Subscribes first, and again whenever the line has been quiet for long."""
        webhook = self._settings.webhook
        if webhook is None:
            raise BackendError(ErrorCode.INVALID_REQUEST, "webhook_secret: is required to receive events")
        receiver = self._receiver = backend_webhooks(webhook, self._clock)
        port = await receiver.start()
        address = self._settings.webhook_url or f"http://{webhook.host}:{port}/"
        try:
            await self._subscribe(address, webhook.secret)
            while True:
                batch = await receiver.batch(self._settings.webhook_quiet_s)
                if not batch:
                    await self._renew(address, webhook.secret)
                for event in batch:
                    yield _by_reports(event)
        finally:
            await receiver.stop()

    async def close(self) -> None:
        """Stop listening and let go of the connections."""
        if self._receiver is not None:
            await self._receiver.stop()
        await self._session.close()

    async def _subscribe(self, address: str, secret: str) -> None:
        await self._session.call(Call("POST", "/v1/subscribers", body=dumps(Subscriber(address, secret))))

    async def _renew(self, address: str, secret: str) -> None:
        try:
            await self._subscribe(address, secret)
        except BackendError as error:
            _log.warning("the subscription could not be renewed: %s", error)

    async def _read(self, of: type[T], path: str, **query: str | None) -> T:
        given = {name: value for name, value in query.items() if value is not None}
        return self._load(of, await self._session.call(Call("GET", path, query=given)))

    def _load(self, of: type[T], body: bytes) -> T:
        """A backend that answers nonsense is a backend in trouble; its answer is not our caller's fault."""
        try:
            return load(of, loads(body), received_at=self._clock.now())
        except BackendError as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"the backend's answer: {error.detail}") from None


def _by_report(status: DirectiveStatus) -> DirectiveStatus:
    """A cloud reads no meter at the charging point: whatever it claims of a directive is its report."""
    if status.certainty <= Certainty.BACKEND_REPORTED:
        return status
    return dataclasses.replace(status, certainty=Certainty.BACKEND_REPORTED)


def _by_reports(event: BackendEvent) -> BackendEvent:
    if not isinstance(event, DirectivesChanged):
        return event
    return dataclasses.replace(event, statuses=tuple(map(_by_report, event.statuses)))


def _vehicle(ref: str) -> str:
    return f"/v1/vehicles/{quote(ref, safe='')}"


def _directive(ref: str, directive_id: str) -> str:
    return f"{_vehicle(ref)}/directives/{quote(directive_id, safe='')}"
