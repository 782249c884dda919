"""Owed webhook deliveries, brought out: in order to each receiver of a subscription, side by side otherwise.

Each line has one task that works it off. A delivery is tried until its receiver takes it, or is given up `give_up_s`
after it became owed; a host that is away is tried by one call at a time, while everything else that goes there waits
untried. What is owed is in the database, so a restart goes on where the last run stopped, and another process may have
dead deliveries tried again. What is owed to a broken callback is dead at once. What is owed no more is counted by why.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from vtn.bounds import DeliveryBounds
from vtn.config import Webhooks
from vtn.errors import Unavailable
from vtn.notifiers.audience import Audience, Callback, ChangeGone, Withdrawn
from vtn.notifiers.relay import Taken
from vtn.notifiers.webhooks.breaker import BROKEN, Breaker
from vtn.notifiers.webhooks.callbacks import Unreached
from vtn.notifiers.webhooks.delivery_queue import OwedLine, OwedLines
from vtn.notifiers.webhooks.hosts import Hosts
from vtn.notifiers.webhooks.sender import CallbackSender, NotCalled
from vtn.rules.entries import host_of
from vtn.scheduling import left_s, retry_delay_s
from vtn.storage.ports import Change, Delivery, DeliveryState, Store

ALL = 1_000_000
DATABASE_PAUSE_S = 1.0
REPLAY_POLL_S = 1.0
SHORTEST_PATIENCE_S = 1.0
OVERDUE_SLACK_S = 60.0
OWED_AT_ONCE = 5_000
"""Deliveries that one transaction writes: half a second, where the database gives it ten."""
OVERFLOW = "given up for newer ones: more is owed to this subscription than bounds.delivery.owed_per_subscription"

_log = logging.getLogger(__name__)


class WebhookOutlet:
    """The relay's outlet that turns changes into owed deliveries, and hands them on once they are stored."""

    name = "webhooks"

    def __init__(
        self, audience: Audience, feed: Callable[[Sequence[Delivery]], None], now_s: Callable[[], float]
    ) -> None:
        self._audience = audience
        self._feed = feed
        self._now_s = now_s

    async def take(self, changes: Sequence[Change]) -> AsyncIterator[Taken]:
        """What every subscription is owed for these changes; not more at once than a transaction can well store."""
        await self._audience.current()
        owed: list[Delivery] = []
        for change in changes:
            since_s = self._now_s()
            owed += [dataclasses.replace(one, since_s=since_s) for one in await self._audience.owed(change)]
            while len(owed) > OWED_AT_ONCE:
                yield change.seq - 1, owed[:OWED_AT_ONCE]
                del owed[:OWED_AT_ONCE]
            await asyncio.sleep(0)  # judging thousands of subscriptions must not hold up the API
        yield changes[-1].seq, owed

    def stored(self, owed: Sequence[Delivery]) -> None:
        """Start bringing out what is stored now."""
        self._feed(owed)

    def quiet_until(self, after: int) -> int:
        """Past the reports that came while nobody subscribes to anything."""
        return self._audience.unheard_until(after)


@dataclasses.dataclass(frozen=True, slots=True)
class TryOutcome:
    """What a try came to: a call that was taken (no failure) or not, or none, because nothing is owed or it moved."""

    callback: Callback | None = None
    failure: str | None = None
    withdrawn: str | None = None
    final: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the host answered; None when it was not asked."""
        if self.callback is None or isinstance(self.failure, NotCalled):
            return None
        return not isinstance(self.failure, Unreached)


class Webhooker:
    """Works off owed deliveries. `now_s` is real Unix time, for what is written down; `monotonic_s` is waited by."""

    def __init__(  # noqa: PLR0913 - each of these is a part of its own
        self,
        store: Store,
        audience: Audience,
        sender: CallbackSender,
        breaker: Breaker,
        hosts: Hosts,
        *,
        settings: Webhooks,
        bounds: DeliveryBounds,
        chance: random.Random,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._audience = audience
        self._sender = sender
        self._breaker = breaker
        self._hosts = hosts
        self._settings = settings
        self._bounds = bounds
        self._now_s = sender.now_s
        self._monotonic_s = monotonic_s
        self._chance = chance
        self._lines = OwedLines(bounds.owed_per_subscription)
        self._taken: list[Delivery] = []
        self._some_taken = asyncio.Event()
        self._some_excess = asyncio.Event()
        self._early: list[Delivery] = []
        self._group: asyncio.TaskGroup | None = None
        self._ends: Counter[str] = Counter()

    async def run(self) -> None:
        """Take up what is owed from earlier runs, then whatever is fed, until cancelled."""
        self._lines, self._early, self._taken = OwedLines(self._bounds.owed_per_subscription), [], []
        try:
            async with asyncio.TaskGroup() as group:
                await self._breaker.resume()
                owed = await self._store.deliveries(limit=ALL)
                self._group = group
                self.feed([*owed, *self._early])
                group.create_task(self._take_up_replays())
                group.create_task(self._bury_excess())
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
        now_s, monotonic_s, give_up_s = self._now_s(), self._monotonic_s(), self._settings.give_up_s
        for delivery in owed:
            if self._lines.holds(delivery):
                continue
            known = delivery if delivery.since_s else dataclasses.replace(delivery, since_s=now_s)
            deadline_s = monotonic_s + left_s(known.since_s + give_up_s, now_s, give_up_s)
            due_s = monotonic_s + left_s(known.next_at_s, now_s, self._settings.longest_retry_s)
            line = self._lines.add(known, deadline_s, due_s, monotonic_s)
            if line is not None:
                self._group.create_task(self._work_off(line))
        if self._lines.excess:
            self._some_excess.set()

    def figures(self) -> Mapping[str, int]:
        """How it stands: lines that nobody has looked at for too long, hosts that are away, and ends by their kind."""
        return {"overdue": self._overdue(), "hosts_away": self._hosts.away, **self._ends}

    def _overdue(self) -> int:
        longest_s = self._settings.longest_retry_s + self._settings.timeout_s + OVERDUE_SLACK_S
        late_s = self._monotonic_s() - longest_s
        return sum(
            max(line.looked_s, self._hosts.of(self._host(line.queue[0])).moved_s) < late_s
            for line in self._lines
            if line.queue
        )

    # --- one line --------------------------------------------------------------------------------------------------

    async def _work_off(self, line: OwedLine) -> None:
        while line.queue:
            try:
                await self._work_on(line)
            except Unavailable as error:
                await self._wait_for_database(error)
        self._lines.close(line)

    async def _work_on(self, line: OwedLine) -> None:
        """Bring the first delivery of a line one try further."""
        delivery = line.queue[0]
        line.looked_s = self._monotonic_s()
        await asyncio.sleep(max(0.0, line.due_s - line.looked_s))
        line.looked_s = self._monotonic_s()
        if await self._is_broken(delivery):
            await self._give_up(line, delivery.entry, BROKEN)
            return
        if not self._store.may_relay():
            raise Unavailable("whether this process still leads must be known first")
        host, left = self._host(delivery), self._lines.deadline_s(delivery) - line.looked_s
        client_id = self._audience.owner(delivery.subscription_id)
        if await self._hosts.enter(host, max(left, SHORTEST_PATIENCE_S), client_id):
            await self._take_turn(line, delivery, host, client_id)
        elif (away := self._hosts.of(host).to(client_id)).failures:
            outcome = await self._try(delivery, None)
            if outcome.withdrawn is not None:
                self._withdraw(line, delivery, outcome.withdrawn)
                return
            await self._time_is_over(
                line, delivery, f"{outcome.failure}: {away.reason}", outcome.callback, away.failures
            )

    async def _take_turn(self, line: OwedLine, delivery: Delivery, host: str, client_id: str) -> None:
        outcome = TryOutcome()
        try:
            outcome = await self._sender.in_place(self._try(delivery, host))
        finally:
            self._hosts.leave(host, client_id, reached=outcome.reached, reason=outcome.failure or "")
        if outcome.withdrawn is not None:
            self._withdraw(line, delivery, outcome.withdrawn)
        elif outcome.failure is not None:
            await self._failed(line, delivery, outcome)
        elif outcome.callback is not None:
            self._breaker.taken(outcome.callback)
            self._settle(line)

    def _host(self, delivery: Delivery) -> str:
        """Where a delivery goes today; where it was to go when its subscription is no more."""
        url = self._audience.callback_url(delivery.subscription_id, delivery.entry)
        return delivery.host if url is None else host_of(url)

    async def _try(self, delivery: Delivery, host: str | None) -> TryOutcome:
        """Judge a delivery anew and call its host; one that cannot even be made must not stop all others."""
        try:
            callback = await self._audience.callback(delivery)
            if isinstance(callback, Withdrawn):
                return TryOutcome(withdrawn=callback.reason)
            if host is None:
                return TryOutcome(callback, NotCalled("its host is away"))
            if self._host(delivery) != host:  # its owner has moved it while it waited for its turn
                return TryOutcome()
            return TryOutcome(callback, await self._sender.send(callback))
        except Unavailable:
            raise
        except ChangeGone as error:
            return TryOutcome(failure=str(error), final=True)
        except Exception as error:  # noqa: BLE001 - logged whole; no failure may stop the others
            _log.exception("subscription %s: change %d cannot be told", delivery.subscription_id, delivery.seq)
            return TryOutcome(failure=NotCalled(f"the VTN failed ({type(error).__name__})"))

    async def _failed(self, line: OwedLine, delivery: Delivery, outcome: TryOutcome) -> None:
        """Write down a failed try: the delivery waits for the next one, or is dead after the last."""
        failure, most = outcome.failure or "", self._settings.attempts
        if outcome.callback is not None and outcome.reached is not None:
            self._breaker.failed(outcome.callback, delivery.attempts)
        tried = dataclasses.replace(delivery, attempts=delivery.attempts + 1, last_error=failure)
        line.queue[0] = tried
        left = self._lines.deadline_s(delivery) - self._monotonic_s()
        if outcome.final or left <= 0 or 0 < most <= tried.attempts:
            await self._time_is_over(line, tried, failure, outcome.callback)
            return
        wait_s = 0.0  # its host says when
        if outcome.reached is not False:
            longest_s, first_s = self._settings.longest_retry_s, self._settings.first_retry_s
            wait_s = min(left, retry_delay_s(tried.attempts, first_s, longest_s, self._chance))
        line.due_s = self._monotonic_s() + wait_s
        await self._store.put_deliveries([dataclasses.replace(tried, next_at_s=self._now_s() + wait_s)])

    # --- how deliveries end ----------------------------------------------------------------------------------------

    def _settle(self, line: OwedLine) -> None:
        """The first of a line is owed no more; it is forgotten with the next commit."""
        line.due_s = 0.0
        self._taken.append(line.queue.popleft())
        self._some_taken.set()

    def _withdraw(self, line: OwedLine, delivery: Delivery, reason: str) -> None:
        self._ends[f"withdrawn_{reason}"] += 1
        level = logging.DEBUG if reason == "sight" else logging.INFO
        _log.log(
            level, "subscription %s: change %d is owed no more: %s", delivery.subscription_id, delivery.seq, reason
        )
        self._settle(line)

    async def _time_is_over(
        self, line: OwedLine, delivery: Delivery, failure: str, callback: Callback | None, tries: int = 0
    ) -> None:
        """Give up the first delivery of a line, and its callback when that or its host has done nothing but fail."""
        broken = callback is not None and await self._breaker.given_up(callback, failure, tries)
        await self._bury([dataclasses.replace(delivery, last_error=f"{BROKEN}: {failure}" if broken else failure)])
        line.due_s = 0.0
        line.queue.popleft()
        _log.warning(
            "subscription %s: gave up change %d after %d attempts: %s",
            *(delivery.subscription_id, delivery.seq, delivery.attempts, failure),
        )

    async def _is_broken(self, delivery: Delivery) -> bool:
        place = delivery.subscription_id, delivery.entry
        if not self._breaker.suspects(place):
            return False
        await self._audience.current()
        url = self._audience.callback_url(*place)
        return url is not None and await self._breaker.holds(place, url)

    async def _give_up(self, line: OwedLine, entry: int, why: str) -> None:
        """Give up everything that is owed to a broken callback, at once."""
        owed = [delivery for delivery in line.queue if delivery.entry == entry]
        await self._bury([dataclasses.replace(one, last_error=why) for one in owed])
        self._lines.cut(line, owed)
        line.due_s = 0.0

    async def _bury(self, given_up: Sequence[Delivery]) -> None:
        """Make dead letters; the oldest of those make room when there are too many."""
        dead = [dataclasses.replace(delivery, state=DeliveryState.DEAD) for delivery in given_up]
        forgotten = await self._store.bury(dead, self._bounds.dead_letters_per_subscription)
        self._lines.forget(given_up)
        self._ends["given_up"] += len(dead)
        if forgotten:
            self._ends["dead_letters_forgotten"] += forgotten
            _log.warning("%d dead letters are forgotten: their subscriptions have too many", forgotten)

    async def _bury_excess(self) -> None:
        """Tell what is beyond the bound of a subscription as dead letters."""
        while True:
            await self._some_excess.wait()
            self._some_excess.clear()
            while excess := self._lines.excess[:OWED_AT_ONCE]:
                try:
                    await self._bury([dataclasses.replace(one, last_error=OVERFLOW) for one in excess])
                except Unavailable as error:
                    await self._wait_for_database(error)
                    continue
                del self._lines.excess[: len(excess)]
                self._ends["overflowed"] += len(excess)
                names = ", ".join(sorted({one.subscription_id for one in excess}))
                _log.warning("gave up %d deliveries, because too much is owed to %s", len(excess), names)

    # --- the database ----------------------------------------------------------------------------------------------

    async def _take_up_replays(self) -> None:
        """Look, now and then, for dead deliveries that an operator wants tried again."""
        while True:
            with contextlib.suppress(Unavailable):
                again = await self._store.deliveries(DeliveryState.REPLAYED)
                free = [delivery for delivery in again if not self._lines.holds(delivery)]
                pending, now_s = DeliveryState.PENDING, self._now_s()
                waiting = [dataclasses.replace(delivery, state=pending, since_s=now_s) for delivery in free]
                if waiting:
                    await self._store.put_deliveries(waiting)
                    self.feed(waiting)
            await asyncio.sleep(REPLAY_POLL_S)

    async def _wait_for_database(self, error: Unavailable) -> None:
        _log.warning("webhooks wait for the database: %s", error)
        await asyncio.sleep(DATABASE_PAUSE_S)

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
        while batch := self._taken[:OWED_AT_ONCE]:
            await self._store.settle(batch)
            del self._taken[: len(batch)]
            self._lines.forget(batch)
