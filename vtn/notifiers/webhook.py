"""Owed webhook deliveries, brought out: in order per subscription, side by side between subscriptions.

Each subscription with something owed has one task that works off its queue. What is owed is in the database, so a
restart goes on where the last run stopped, and another process may have dead deliveries tried again. What is owed to a
broken callback is dead at once.
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
from vtn.errors import Unavailable
from vtn.notifiers.audience import Audience
from vtn.notifiers.breaker import BROKEN, Breaker
from vtn.notifiers.sending import Sender
from vtn.scheduling import Timers
from vtn.storage.ports import Change, Delivery, DeliveryState, Store

ALL = 1_000_000
DATABASE_PAUSE_S = 1.0
REPLAY_POLL_S = 1.0

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
    """Works off owed deliveries; times are the sender's."""

    def __init__(  # noqa: PLR0913 - each of these is a part of its own
        self,
        store: Store,
        audience: Audience,
        sender: Sender,
        breaker: Breaker,
        settings: Webhooks,
        *,
        timers: Timers,
        chance: random.Random,
    ) -> None:
        self._store = store
        self._audience = audience
        self._sender = sender
        self._breaker = breaker
        self._settings = settings
        self._timers = timers
        self._now_s = sender.now_s
        self._chance = chance
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
                await self._breaker.resume()
                owed = await self._store.deliveries(limit=ALL)
                self._group = group
                self.feed([*owed, *self._early])
                group.create_task(self._take_up_replays())
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
                await self._work_on(queue)
            except Unavailable as error:
                await self._wait_for_database(error)
        del self._queues[subscription_id]

    async def _work_on(self, queue: deque[Delivery]) -> None:
        """Bring the first delivery one try further: it is taken, needless, put off or given up."""
        delivery = queue[0]
        if delivery.next_at_s > self._now_s():
            await self._timers.wait_until(datetime.fromtimestamp(delivery.next_at_s, UTC))
        if await self._is_broken(delivery):
            await self._bury(queue, delivery.entry)
            return
        if not self._store.may_relay():
            raise Unavailable("whether this process still leads must be known first")
        failure = await self._sender.in_place(self._call(delivery))
        if failure is None:
            self._taken.append(queue.popleft())
            self._some_taken.set()
            return
        queue[0] = delivery = await self._put_off(delivery, failure)
        if delivery.state is DeliveryState.DEAD:
            self._held.discard(_key(queue.popleft()))

    async def _is_broken(self, delivery: Delivery) -> bool:
        place = delivery.subscription_id, delivery.entry
        if not self._breaker.suspects(place):
            return False
        await self._audience.current()
        url = self._audience.callback_url(*place)
        return url is not None and await self._breaker.holds(place, url)

    async def _bury(self, queue: deque[Delivery], entry: int) -> None:
        """Give up everything that is owed to a broken callback, at once."""
        given_up = [delivery for delivery in queue if delivery.entry == entry]
        dead = [dataclasses.replace(one, state=DeliveryState.DEAD, last_error=BROKEN) for one in given_up]
        await self._store.put_deliveries(dead)
        gone = set(map(_key, given_up))
        self._held -= gone
        rest = [delivery for delivery in queue if _key(delivery) not in gone]
        queue.clear()
        queue.extend(rest)

    async def _take_up_replays(self) -> None:
        """Look, now and then, for dead deliveries that an operator wants tried again."""
        while True:
            with contextlib.suppress(Unavailable):
                again = await self._store.deliveries(DeliveryState.REPLAYED)
                free = [delivery for delivery in again if _key(delivery) not in self._held]
                waiting = [dataclasses.replace(delivery, state=DeliveryState.PENDING) for delivery in free]
                if waiting:
                    await self._store.put_deliveries(waiting)
                    self.feed(waiting)
            await asyncio.sleep(REPLAY_POLL_S)

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

    async def _call(self, delivery: Delivery) -> str | None:
        """Why a delivery failed this time, or None; one that cannot even be made must not stop all others."""
        try:
            callback = await self._audience.callback(delivery)
            if callback is None:
                return None
            failure = await self._sender.send(callback)
            await self._breaker.note(callback, failure, delivery.attempts)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - logged whole; no failure may stop the others
            _log.exception("subscription %s: change %d cannot be told", delivery.subscription_id, delivery.seq)
            return f"the VTN failed ({type(error).__name__})"
        return failure

    async def _put_off(self, delivery: Delivery, failure: str) -> Delivery:
        """Write down a failed try: the delivery waits for the next one, or is dead after the last."""
        attempts = delivery.attempts + 1
        broken = await self._is_broken(delivery)
        dead = broken or attempts >= self._settings.attempts
        if dead:
            _log.warning(
                "subscription %s: gave up change %d after %d attempts: %s",
                *(delivery.subscription_id, delivery.seq, attempts, failure),
            )
        delay_s = retry_delay_s(attempts, self._settings.first_retry_s, self._settings.longest_retry_s, self._chance)
        put_off = dataclasses.replace(
            delivery,
            state=DeliveryState.DEAD if dead else DeliveryState.PENDING,
            attempts=attempts,
            next_at_s=self._now_s() + delay_s,
            last_error=f"{BROKEN}: {failure}" if broken else failure,
        )
        await self._store.put_deliveries([put_off])
        return put_off
