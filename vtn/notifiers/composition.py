"""Everything that tells the world, put together: the broker, the relay's outlets, webhooks and their timers.

The rest of the top node sees three things of it: `wake` after a commit, `challenge` for a callback URL, and the broker
URLs to tell clients. A failure in here is logged and retried; it never stops the API.
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from vtn.auth.clients import Registry
from vtn.auth.installation_keys import Seal, WebhookKeys
from vtn.auth.pki import ClientAuthority, trust_anchor
from vtn.auth.tokens import TokenService
from vtn.clock import Clock, RealClock
from vtn.config import Mqtt, Settings
from vtn.notifiers.audience import Audience
from vtn.notifiers.broker import identity
from vtn.notifiers.broker.authorisation import Authorisation
from vtn.notifiers.broker.identity import Certificates
from vtn.notifiers.broker.process import BundledBroker
from vtn.notifiers.broker.publisher import MqttOutlet, external_address, forget_session
from vtn.notifiers.counters import CountedCallbacks, CountedPublisher, NotifierCounters, NotifierFigures
from vtn.notifiers.local_discovery import records
from vtn.notifiers.reads import Reads
from vtn.notifiers.relay import Outlet, Relay, Wake, while_leading
from vtn.notifiers.webhooks.addresses import refusal
from vtn.notifiers.webhooks.breaker import Breaker
from vtn.notifiers.webhooks.callbacks import Callbacks
from vtn.notifiers.webhooks.delivery import Webhooker, WebhookOutlet
from vtn.notifiers.webhooks.hosts import Hosts
from vtn.notifiers.webhooks.sender import CallbackSender
from vtn.scheduling import Timers
from vtn.service.bodies import Bodies
from vtn.service.identifiers import Identifiers
from vtn.storage.ports import Store
from vtn.storage.read_model import ReadModel
from vtn.tasks import cancel_tasks
from vtn.wire.enumerations import ObjectType
from vtn.wire.interval import print_date_time

log = logging.getLogger("vtn.notifiers")
FIRST_PRUNE = timedelta(minutes=5)
RESTART_S = 1.0
AUTHORISATION_S = 15.0

Loop = Callable[[], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the notifiers need of the rest of the top node. A VTN that announces itself has a `place`."""

    settings: Settings
    store: Store
    model: ReadModel
    registry: Registry
    tokens: TokenService
    seal: Seal
    webhook_keys: WebhookKeys
    clock: Clock
    chance: random.Random
    place: records.ServicePlace | None = None
    bodies: Bodies = dataclasses.field(default_factory=Bodies)


@dataclasses.dataclass(frozen=True, slots=True)
class Notifiers:
    """What the rest of the top node sees of its notifiers. `certificate` is what the broker's client is handed.

    `note_read` takes what a client was just shown: the kind, the clientID and the objects' bytes.
    """

    wake: Callable[[], None]
    note_read: Callable[[ObjectType, str, Sequence[bytes]], None]
    challenge: Callable[[str, str | None], Awaitable[str | None]]
    uris: tuple[str, ...]
    certificate: Callable[[str], Mapping[str, str] | None]
    figures: Callable[[], NotifierFigures]


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """The broker that clients are told of, and what publishes on it."""

    uris: tuple[str, ...]
    outlet: Outlet
    publisher: CountedPublisher
    certificate: Callable[[str], Mapping[str, str] | None] = lambda _client_id: None
    sessions: Callable[[], int | None] = lambda: None


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Notifiers]:
    """Start everything, for the length of a block; CannotStart when the broker is not to be had."""
    settings, wake = parts.settings, Wake()
    match = settings.protocol.match_targets
    audience = Audience(
        parts.store,
        parts.model,
        parts.registry,
        match,
        now=parts.clock.now,
        bodies=parts.bodies,
    )
    async with contextlib.AsyncExitStack() as stack:
        timers = await stack.enter_async_context(Timers())
        callbacks = await stack.enter_async_context(
            CountedCallbacks(settings.webhooks.timeout_s, guard=_guard(settings))
        )
        outlets: list[Outlet] = []
        loops: list[Loop] = []
        offer = await _mqtt(stack, parts, audience)
        if offer:
            outlets.append(offer.outlet)
            loops.append(offer.publisher.run)
        webhooker, reads = _webhooks(parts, audience, callbacks)
        outlets.append(WebhookOutlet(audience, webhooker.feed, time.time))
        relays = {outlet.name: Relay(parts.store, outlet, wake) for outlet in outlets}
        loops += [webhooker.run, reads.run, *(relay.run for relay in relays.values())]
        if parts.place:
            from vtn.notifiers.local_discovery.announcer import Announcer, interface_addresses

            addresses = partial(records.local_addresses, settings, interface_addresses)
            loops.append(Announcer(parts.place, addresses, parts.model).run)
        _prune_daily(timers, parts)
        ledger = NotifierCounters(callbacks, offer, relays, webhooker.figures)
        _in_background(stack, while_leading(parts.store, lambda: ledger.while_leading(_together(loops))))
        yield Notifiers(
            wake.set,
            reads.note,
            callbacks.challenge,
            offer.uris if offer else (),
            offer.certificate if offer else lambda _client_id: None,
            ledger.figures,
        )


async def _mqtt(stack: contextlib.AsyncExitStack, parts: Parts, audience: Audience) -> Offer | None:
    """The broker, bundled or external, and what publishes on it."""
    settings = parts.settings.mqtt
    if settings.mode == "off":
        return None
    if settings.mode == "bundled":
        return await _bundled(stack, parts, audience)
    address = external_address(settings.url or "", settings.username, settings.password, settings.ca)
    publisher = CountedPublisher(address, parts.chance)
    await publisher.probe(asks_us=settings.hook_password is not None)
    return Offer(settings.advertise or (settings.url or "",), MqttOutlet(audience, publisher), publisher)


async def _bundled(stack: contextlib.AsyncExitStack, parts: Parts, audience: Audience) -> Offer:
    settings, server, bounds = parts.settings.mqtt, parts.settings.server, parts.settings.bounds.delivery
    certificates = _certificates(settings, server.var / "broker" / "clients")
    broker = BundledBroker(
        settings,
        server.var / "broker",
        parts.chance,
        largest_body_bytes=server.max_body_bytes,
        certificates=certificates,
        reload_s=server.reload_s,
        session_kept_s=bounds.mqtt_session_kept_s,
    )
    await broker.start()
    stack.push_async_callback(broker.stop)
    _in_background(stack, broker.run())
    identify = identity.by_method(settings.authentication, audience, parts.tokens.admit)
    authorisation = Authorisation(
        broker.keys,
        broker.nats_url,
        audience,
        identify=identify,
        identifiers=Identifiers(parts.store, bounds, audience.standing, time.time),
        most_sessions=bounds.sessions_per_client,
        forget=lambda identifier: forget_session(broker.address, identifier),
        now_s=time.time,
    )
    _in_background(stack, _together([authorisation.run]))
    async with asyncio.timeout(AUTHORISATION_S):
        await authorisation.ready.wait()
    publisher = CountedPublisher(broker.address, parts.chance)
    broker.on_return = publisher.retry_now

    def certificate(client_id: str) -> Mapping[str, str] | None:
        standing = audience.standing(client_id)
        return certificates.binding(client_id, standing.since_s) if certificates and standing else None

    uris = settings.advertise or (broker_url(settings, broker.port),)
    outlet = MqttOutlet(audience, publisher, authorisation.review)
    return Offer(uris, outlet, publisher, certificate, authorisation.sessions)


def _certificates(settings: Mqtt, folder: Path) -> Certificates | None:
    """The makers of client certificates, when the broker asks for them. Their times are real, like those of tokens."""
    if settings.authentication != "CERTIFICATE" or settings.certificate is None:
        return None
    now = RealClock().now
    lifetime = timedelta(seconds=settings.client_certificate_s)
    return Certificates(
        ClientAuthority(folder, now()), trust_anchor(settings.ca or settings.certificate), lifetime, now
    )


def broker_url(settings: Mqtt, port: int) -> str:
    """How clients reach the bundled broker."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'mqtts' if settings.certificate else 'mqtt'}://{host}:{port}"


def _guard(settings: Settings) -> Callable[[str], str | None]:
    """Which addresses callbacks may be made to, as this site has set it."""
    webhooks = settings.webhooks
    return functools.partial(
        refusal, allow_loopback=webhooks.allow_loopback, local_networks=tuple(webhooks.local_networks)
    )


def _webhooks(parts: Parts, audience: Audience, callbacks: Callbacks) -> tuple[Webhooker, Reads]:
    settings, bounds, now_s = parts.settings.webhooks, parts.settings.bounds.delivery, time.monotonic
    sender = CallbackSender(callbacks, parts.seal.open, parts.webhook_keys.of, time.time)
    breaker = Breaker(parts.store, settings.broken_after, lambda: print_date_time(parts.clock.now()))
    first_s, longest_s = settings.first_retry_s, settings.longest_retry_s
    hosts = Hosts(bounds, first_s=first_s, longest_s=longest_s, chance=parts.chance, now_s=now_s)
    webhooker = Webhooker(
        *(parts.store, audience, sender, breaker, hosts),
        settings=settings,
        bounds=bounds,
        chance=parts.chance,
        monotonic_s=now_s,
    )
    return webhooker, Reads(audience, sender, breaker, hosts, notice_s=settings.read_notice_s, now_s=now_s)


def _prune_daily(timers: Timers, parts: Parts) -> None:
    storage = parts.settings.storage

    def days_ago(days: int) -> str:
        return print_date_time(parts.clock.now() - timedelta(days=days))

    async def prune() -> None:
        gone = await parts.store.prune(days_ago(storage.log_days))
        archived = await parts.store.prune_archive(days_ago(storage.archive_days))
        log.info("pruned %d rows of the change log and %d archived reports", gone, archived)

    timers.after(FIRST_PRUNE, prune)
    timers.daily(storage.prune_at, prune)


async def _together(loops: Sequence[Loop]) -> None:
    """Run loops side by side; when one fails all start again, because they share what is owed."""
    while True:
        tasks = [asyncio.create_task(_coroutine(loop)) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await cancel_tasks(tasks)
        failures = [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
        for failure in failures:
            log.error("a notifier failed; it starts again", exc_info=failure)
        await asyncio.sleep(RESTART_S)


async def _coroutine(loop: Loop) -> None:
    await loop()


def _in_background(stack: contextlib.AsyncExitStack, work: Awaitable[None]) -> None:
    """Run work until the stack unwinds."""

    async def go() -> None:
        await work

    task = asyncio.create_task(go())

    async def stop() -> None:
        await cancel_tasks([task])
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
