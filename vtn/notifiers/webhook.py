"""Owed webhook deliveries, brought out: in order per subscription, side by side between subscriptions.

Each subscription with something owed has one task that works off its queue. At most 64 calls are made at once; a call
that is not answered promptly gives its place to another and waits on outside, so receivers that hang delay nobody but
themselves. What is owed is in the database, so a restart goes on where the last run stopped.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from vtn.config import Webhooks
from vtn.errors import Unavailable, VtnError
from vtn.notifiers.audience import Audience
from vtn.notifiers.callbacks import Callbacks
from vtn.scheduling import Timers
from vtn.storage.ports import Change, Delivery, DeliveryState, Store

AT_ONCE = 64
PROMPT_S = 0.5
ALL = 1_000_000
DATABASE_PAUSE_S = 1.0

Key = tuple[str, int, int]

_log = logging.getLogger(__name__)


def retry_delay_s(attempt: int, first_s: float, longest_s: float, chance: random.Random) -> float:
    """How long to wait after the attempt-th failure (from 1): exponential back-off with full jitter."""
    return chance.uniform(0.0, min(longest_s, first_s * 2.0 ** min(attempt - 1, 60)))


def _key(delivery: Delivery) -> Key:
    return delivery.subscription_id, delivery.seq, delivery.entry


class WebhookOutlet:
    """The relay's outlet that turns changes into owed deliveries, and hands them on once they are stored."""

    name = "webhooks"

    def __init__(self, audience: Audience, feed: Callable[[Sequence[Delivery]], None]) -> None:
        self._audience = audience
        self._feed = feed

    async def take(self, changes: Sequence[Change]) -> Sequence[Delivery]:
        """What every subscription is owed for these changes."""
        await self._audience.current()
        owed: list[Delivery] = []
        for change in changes:
            owed += await self._audience.owed(change)
            await asyncio.sleep(0)  # judging thousands of subscriptions must not hold up the API
        return owed

    def stored(self, owed: Sequence[Delivery]) -> None:
        """Start bringing out what is stored now."""
        self._feed(owed)

    def quiet_until(self, after: int) -> int:
        """Past the reports that came while nobody subscribes to anything."""
        return self._audience.unheard_until(after)


class Webhooker:
    """Works off owed deliveries. `unseal` opens a stored token; `now_s` is real Unix time."""

    def __init__(  # noqa: PLR0913 - each of these is a part of its own
        self,
        store: Store,
        audience: Audience,
        callbacks: Callbacks,
        settings: Webhooks,
        *,
        timers: Timers,
        unseal: Callable[[str], str],
        now_s: Callable[[], float],
        chance: random.Random,
    ) -> None:
        self._store = store
        self._audience = audience
        self._callbacks = callbacks
        self._settings = settings
        self._timers = timers
        self._unseal = unseal
        self._now_s = now_s
        self._chance = chance
        self._places = asyncio.Semaphore(AT_ONCE)
        self._queues: dict[str, deque[Delivery]] = {}
        self._held: set[Key] = set()
        self._taken: list[Delivery] = []
        self._some_taken = asyncio.Event()
        self._early: list[Delivery] = []
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take up what is owed from earlier runs, then whatever is fed, until cancelled."""
        self._queues, self._held, self._early, self._taken = {}, set(), [], []
        try:
            async with asyncio.TaskGroup() as group:
                owed = await self._store.deliveries(limit=ALL)
                self._group = group
                self.feed([*owed, *self._early])
                await self._settle_taken()
        finally:
            self._group = None
            with contextlib.suppress(Unavailable):
                await self._settle_now()

    def feed(self, owed: Sequence[Delivery]) -> None:
        """Add stored deliveries; those that come before the table has been read wait for it, and none counts twice."""
        if self._group is None:
            self._early += owed
            return
        for delivery in owed:
            if _key(delivery) in self._held:
                continue
            self._held.add(_key(delivery))
            queue = self._queues.get(delivery.subscription_id)
            if queue is None:
                queue = self._queues[delivery.subscription_id] = deque()
                self._group.create_task(self._work_off(delivery.subscription_id, queue))
            queue.append(delivery)

    async def _work_off(self, subscription_id: str, queue: deque[Delivery]) -> None:
        while queue:
            try:
                await self._see_through(queue[0])
            except Unavailable as error:
                await self._wait_for_database(error)
            else:
                queue.popleft()
        del self._queues[subscription_id]

    async def _wait_for_database(self, error: Unavailable) -> None:
        _log.warning("webhooks wait for the database: %s", error)
        await self._timers.wait_until(datetime.fromtimestamp(self._now_s() + DATABASE_PAUSE_S, UTC))

    async def _settle_taken(self) -> None:
        """Forget what receivers took; all that was taken during one commit goes into the next."""
        while True:
            await self._some_taken.wait()
            self._some_taken.clear()
            try:
                await self._settle_now()
            except Unavailable as error:
                self._some_taken.set()
                await self._wait_for_database(error)

    async def _settle_now(self) -> None:
        batch = list(self._taken)
        if batch:
            await self._store.settle(batch)
            del self._taken[: len(batch)]
            self._held.difference_update(map(_key, batch))

    async def _see_through(self, delivery: Delivery) -> None:
        """Try until it is taken, needless, or given up."""
        while delivery.state is DeliveryState.PENDING:
            if delivery.next_at_s > self._now_s():
                await self._timers.wait_until(datetime.fromtimestamp(delivery.next_at_s, UTC))
            failure = await self._try(delivery)
            if failure is None:
                self._taken.append(delivery)
                self._some_taken.set()
                return
            delivery = self._after_failure(delivery, failure)
            await self._store.put_delivery(delivery)
        self._held.discard(_key(delivery))

    async def _try(self, delivery: Delivery) -> str | None:
        """One attempt; None when nothing remains to be done."""
        async with self._places:
            call = asyncio.ensure_future(self._call(delivery))
            try:
                await asyncio.wait({call}, timeout=PROMPT_S)
            except asyncio.CancelledError:
                call.cancel()
                raise
        return await call

    async def _call(self, delivery: Delivery) -> str | None:
        callback = await self._audience.callback(delivery)
        if callback is None:
            return None
        try:
            token = self._unseal(callback.sealed_token) if callback.sealed_token else None
        except VtnError as error:
            return str(error)
        return await self._callbacks.post(callback.url, callback.body, token)

    def _after_failure(self, delivery: Delivery, failure: str) -> Delivery:
        attempts = delivery.attempts + 1
        dead = attempts >= self._settings.attempts
        if dead:
            _log.warning(
                "subscription %s: gave up change %d after %d attempts: %s",
                *(delivery.subscription_id, delivery.seq, attempts, failure),
            )
        delay_s = retry_delay_s(attempts, self._settings.first_retry_s, self._settings.longest_retry_s, self._chance)
        return dataclasses.replace(
            delivery,
            state=DeliveryState.DEAD if dead else DeliveryState.PENDING,
            attempts=attempts,
            next_at_s=self._now_s() + delay_s,
            last_error=failure,
        )
