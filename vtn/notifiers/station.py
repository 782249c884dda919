"""Everything that tells the world, put together: the broker, the relay's outlets, webhooks and their timers.

The rest of the top node sees three things of it: `wake` after a commit, `challenge` for a callback URL, and the broker
URLs to tell clients. A failure in here is logged and retried; it never stops the API.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from vtn.auth.clients import Registry
from vtn.auth.sealing import Seal
from vtn.auth.tokens import TokenDesk
from vtn.config import Settings
from vtn.notifiers.audience import Audience
from vtn.notifiers.callbacks import Callbacks
from vtn.notifiers.relay import Relay, Wake, while_leading
from vtn.notifiers.webhook import Webhooker, WebhookOutlet
from vtn.scheduling import Timers
from vtn.storage.ports import Store
from vtn.storage.readmodel import ReadModel
from vtn.wire.interval import print_date_time

log = logging.getLogger("vtn.notifiers")
PRUNE_EVERY = timedelta(days=1)
RESTART_S = 1.0


class Station:
    """The notifiers of one process."""

    def __init__(self, callbacks: Callbacks, wake: Wake, uris: tuple[str, ...]) -> None:
        self.challenge = callbacks.challenge
        self.wake = wake.set
        self.uris = uris

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: Settings, store: Store, model: ReadModel, registry: Registry, desk: TokenDesk, seal: Seal
    ) -> AsyncIterator[Self]:
        """Start everything; CannotStart when the broker is not to be had."""
        async with contextlib.AsyncExitStack() as stack:
            timers = await stack.enter_async_context(Timers())
            callbacks = await stack.enter_async_context(
                Callbacks(settings.webhooks.timeout_s, allow_loopback=settings.webhooks.allow_loopback)
            )
            wake = Wake()
            audience = Audience(store, model, registry, settings.protocol.match_targets)
            chance = random.Random(time.time_ns())  # noqa: S311 - jitter, not secrets
            webhooker = Webhooker(
                store,
                audience,
                callbacks,
                settings.webhooks,
                timers=timers,
                unseal=seal.open,
                now_s=time.time,
                chance=chance,
            )
            loops = [webhooker.run, Relay(store, WebhookOutlet(audience, webhooker.feed), wake).run]
            _prune_daily(timers, store, settings.storage.log_days)
            task = asyncio.create_task(while_leading(store, lambda: _together(loops)))
            stack.push_async_callback(_stopped, task)
            yield cls(callbacks, wake, ())


def _prune_daily(timers: Timers, store: Store, days: int) -> None:
    async def prune() -> None:
        gone = await store.prune(print_date_time(datetime.now(UTC) - timedelta(days=days)))
        log.info("pruned %d rows of the change log", gone)

    timers.every(PRUNE_EVERY, prune, first=datetime.now(UTC) + timedelta(minutes=5))


async def _together(loops: list[Callable[[], Awaitable[None]]]) -> None:
    """Run loops side by side; when one fails all start again, because they share what is owed."""
    while True:
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(_as_coroutine(loop))
        except* Exception as failures:
            log.exception("a notifier failed; all start again", exc_info=failures)
            await asyncio.sleep(RESTART_S)


async def _as_coroutine(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
