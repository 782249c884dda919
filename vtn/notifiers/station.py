"""Everything that tells the world, put together: the broker, the relay's outlets, webhooks and their timers.

The rest of the top node sees three things of it: `wake` after a commit, `challenge` for a callback URL, and the broker
URLs to tell clients. A failure in here is logged and retried; it never stops the API.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from vtn.auth.clients import Registry
from vtn.auth.sealing import Seal
from vtn.auth.tokens import TokenDesk
from vtn.clock import Clock
from vtn.config import Mqtt, Settings
from vtn.notifiers.audience import Audience
from vtn.notifiers.authorisation import Authorisation
from vtn.notifiers.broker import Broker
from vtn.notifiers.callbacks import Callbacks
from vtn.notifiers.mqtt import MqttOutlet, Publisher, external_address
from vtn.notifiers.relay import Outlet, Relay, Wake, while_leading
from vtn.notifiers.webhook import Webhooker, WebhookOutlet
from vtn.scheduling import Timers
from vtn.storage.ports import Store
from vtn.storage.readmodel import ReadModel
from vtn.wire.interval import print_date_time

log = logging.getLogger("vtn.notifiers")
PRUNE_EVERY = timedelta(days=1)
FIRST_PRUNE = timedelta(minutes=5)
RESTART_S = 1.0
AUTHORISATION_S = 15.0

Loop = Callable[[], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the notifiers need of the rest of the top node."""

    settings: Settings
    store: Store
    model: ReadModel
    registry: Registry
    desk: TokenDesk
    seal: Seal
    clock: Clock
    chance: random.Random


@dataclasses.dataclass(frozen=True, slots=True)
class Station:
    """What the rest of the top node sees of its notifiers."""

    wake: Callable[[], None]
    challenge: Callable[[str, str | None], Awaitable[str | None]]
    uris: tuple[str, ...]


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Station]:
    """Start everything, for the length of a block; CannotStart when the broker is not to be had."""
    settings, wake = parts.settings, Wake()
    audience = Audience(parts.store, parts.model, parts.registry, settings.protocol.match_targets)
    async with contextlib.AsyncExitStack() as stack:
        timers = await stack.enter_async_context(Timers())
        callbacks = await stack.enter_async_context(
            Callbacks(settings.webhooks.timeout_s, allow_loopback=settings.webhooks.allow_loopback)
        )
        outlets: list[Outlet] = []
        loops: list[Loop] = []
        uris: tuple[str, ...] = ()
        if settings.mqtt.mode != "off":
            uris, outlet, publisher = await _mqtt(stack, parts, audience)
            outlets.append(outlet)
            loops.append(publisher.run)
        webhooker = _webhooker(parts, audience, callbacks, timers)
        outlets.append(WebhookOutlet(audience, webhooker.feed))
        loops += [webhooker.run, *(Relay(parts.store, outlet, wake).run for outlet in outlets)]
        _prune_daily(timers, parts)
        _in_background(stack, while_leading(parts.store, lambda: _together(loops)))
        yield Station(wake.set, callbacks.challenge, uris)


async def _mqtt(
    stack: contextlib.AsyncExitStack, parts: Parts, audience: Audience
) -> tuple[tuple[str, ...], Outlet, Publisher]:
    """The broker, bundled or external, and what publishes on it."""
    settings = parts.settings.mqtt
    if settings.mode == "external":
        publisher = Publisher(external_address(settings.url or "", settings.username, settings.password), parts.chance)
        await publisher.probe()
        return settings.advertise or (settings.url or "",), MqttOutlet(audience, publisher), publisher
    broker = Broker(settings, parts.settings.server.var / "broker", parts.chance)
    await broker.start()
    stack.push_async_callback(broker.stop)
    _in_background(stack, broker.run())
    authorisation = Authorisation(
        broker.keys, broker.nats_url, audience, authenticate=parts.desk.check, now_s=time.time
    )
    _in_background(stack, _together([authorisation.run]))
    async with asyncio.timeout(AUTHORISATION_S):
        await authorisation.ready.wait()
    publisher = Publisher(broker.address, parts.chance)
    return (
        settings.advertise or (broker_url(settings, broker.port),),
        MqttOutlet(audience, publisher, authorisation.review),
        publisher,
    )


def broker_url(settings: Mqtt, port: int) -> str:
    """How clients reach the bundled broker."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'mqtts' if settings.certificate else 'mqtt'}://{host}:{port}"


def _webhooker(parts: Parts, audience: Audience, callbacks: Callbacks, timers: Timers) -> Webhooker:
    return Webhooker(
        parts.store,
        audience,
        callbacks,
        parts.settings.webhooks,
        timers=timers,
        unseal=parts.seal.open,
        now_s=time.time,
        chance=parts.chance,
    )


def _prune_daily(timers: Timers, parts: Parts) -> None:
    kept = timedelta(days=parts.settings.storage.log_days)

    async def prune() -> None:
        gone = await parts.store.prune(print_date_time(parts.clock.now() - kept))
        log.info("pruned %d rows of the change log", gone)

    timers.every(PRUNE_EVERY, prune, first=datetime.now(UTC) + FIRST_PRUNE)


async def _together(loops: Sequence[Loop]) -> None:
    """Run loops side by side; when one fails all start again, because they share what is owed."""
    while True:
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(_coroutine(loop))
        except* Exception as failures:
            log.exception("a notifier failed; it starts again", exc_info=failures)
            await asyncio.sleep(RESTART_S)


async def _coroutine(loop: Loop) -> None:
    await loop()


def _in_background(stack: contextlib.AsyncExitStack, work: Awaitable[None]) -> None:
    """Run work until the stack unwinds."""

    async def go() -> None:
        await work

    task = asyncio.create_task(go())

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
