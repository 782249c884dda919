"""What the backend pushes, on its way from one executor to every planner, heard at least once.

An hour of it is kept, at most 256 MB, for a planner that is away; what is lost beyond that, a planner asks for.

One executor at a time listens to the backend, so that planners do not hear everything as often as there are executors:
it holds a lease and renews it.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import AsyncIterator, Iterator

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    DirectivesChanged,
    SnapshotsSeen,
    VehicleBackend,
    WriteDown,
)
from ven_adapters.transport.http.codec import EventDelivery, dump_delivery, load_delivery
from ven_adapters.ven.queue.connection import LARGEST_FACT_BYTES, Away, QueueConnection
from ven_adapters.ven.queue.lease import right
from ven_adapters.ven.queue.messages import token
from vtn.clock import Clock
from vtn.limits import doubled_s
from vtn.tasks import cancel_tasks

AT_ONCE = 200
FETCHED = 50
FETCH_S = 5.0
FORGOTTEN_AFTER_S = 7 * 86_400.0
AGAIN_S = 1.0
LONGEST_S = 60.0

_log = logging.getLogger(__name__)


async def heard(link: QueueConnection, planner: str, clock: Clock) -> AsyncIterator[BackendEvent]:
    """Every fact since this planner last heard one; a fact counts as heard when the next is asked for."""
    await link.ready()
    facts = await _facts_of(link, planner)
    while True:
        try:
            messages = await facts.fetch(FETCHED, timeout=FETCH_S)
        except TimeoutError:
            continue
        for message in messages:
            try:
                delivery = load_delivery(message.data, received_at=clock.now())
            except BackendError as error:
                _log.warning("a fact cannot be read: %s", error.detail)
                await message.term()
                continue
            for event in delivery.events:
                yield event
            await message.ack()


async def _facts_of(link: QueueConnection, planner: str) -> JetStreamContext.PullSubscription:
    name = f"planner-{token(planner)}"
    config = ConsumerConfig(
        durable_name=name,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=60.0,
        inactive_threshold=FORGOTTEN_AFTER_S,
    )
    await link.streams.add_consumer(link.names.facts_stream, config)
    return await link.streams.pull_subscribe_bind(durable=name, stream=link.names.facts_stream)


class BackendListener:
    """One executor's part in it: `run` listens to the backend whenever it is this executor's turn."""

    def __init__(self, backend: VehicleBackend, link: QueueConnection, executor: str) -> None:
        self._backend = backend
        self._link = link
        self._executor = executor
        self._lease = right(link, "listener", executor)
        self._numbers = itertools.count(1)
        self.listening = False
        self.passed_on = 0

    async def run(self) -> None:
        """Listen, or wait for the turn, until cancelled."""
        while True:
            await self._lease.won()
            self.listening = True
            passing = asyncio.create_task(self._pass_on())
            try:
                await self._lease.lost()
            finally:
                self.listening = False
                await cancel_tasks([passing])
                await asyncio.gather(passing, return_exceptions=True)

    async def _pass_on(self) -> None:
        """Pass on what comes, and listen again when it ends: soon, then ever later."""
        for failures in itertools.count(1):
            passed_on = self.passed_on
            try:
                async with contextlib.aclosing(self._backend.events()) as events:  # type: ignore[type-var]
                    async for event in events:
                        await self._publish(event)
            except BackendError as error:
                _log.warning("the backend's facts are interrupted: %s", error.code)
            except Exception:  # noqa: BLE001 - logged whole; a backend's defect must not stop the calls to cars
                _log.exception("the backend's facts failed in a way that no backend may fail")
            await asyncio.sleep(AGAIN_S if self.passed_on > passed_on else doubled_s(failures, AGAIN_S, LONGEST_S))

    async def _publish(self, event: BackendEvent) -> None:
        """Store a fact; while the queue is away the backend is left waiting, as its own buffer is the bounded one."""
        for part in parts(event):
            delivery = EventDelivery(f"{self._executor}-{next(self._numbers)}", (part,))
            body = dump_delivery(delivery)
            if len(body) > LARGEST_FACT_BYTES:
                _log.warning("a fact of %d bytes is not passed on", len(body))
                continue
            while True:
                try:
                    await self._link.publish(self._link.names.facts, body)
                except Away:
                    await asyncio.sleep(AGAIN_S)
                else:
                    self.passed_on += 1
                    break


def parts(event: BackendEvent) -> Iterator[BackendEvent]:
    """A fact in pieces that fit a message: a few hundred cars each."""
    if isinstance(event, SnapshotsSeen):
        for first in range(0, len(event.snapshots), AT_ONCE):
            yield dataclasses.replace(event, snapshots=event.snapshots[first : first + AT_ONCE])
    elif isinstance(event, DirectivesChanged):
        for first in range(0, len(event.statuses), AT_ONCE):
            yield dataclasses.replace(event, statuses=event.statuses[first : first + AT_ONCE])
    elif not isinstance(event, WriteDown):  # each is stored before the next is asked for
        yield event
