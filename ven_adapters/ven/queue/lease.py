"""A right that one executor has at a time: to a car, to listen to the backend, to work alone.

It is a record, won by compare-and-set and kept by renewing it in time. What is leased is left alone until the lease is
over by the server's clock; whoever holds it stops before that by its own, also when the line to the server is down.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from nats.errors import Error as NatsError

from ven_adapters.ven.queue.connection import Away, Overtaken, QueueConnection
from ven_adapters.ven.queue.messages import CommandRecord, Next, next_for
from vtn.tasks import cancel_tasks

LEASE_SHARE = 0.9
OWN_SHARE = 0.8
RENEWALS = 3
AGAIN_S = 1.0


async def _no_more() -> None:
    """What else there is to do when a right was renewed: nothing."""


class Lease:
    """One right. `place` is where its record is kept; `renewed` is called after each renewal."""

    def __init__(
        self,
        link: QueueConnection,
        place: str,
        record: CommandRecord,
        renewed: Callable[[], Awaitable[None]] = _no_more,
    ) -> None:
        self._link = link
        self._place = place
        self._renewed = renewed
        self._every_s = record.lease_s / RENEWALS
        self._until_s = -math.inf
        self.record = record
        self.mark = 0

    @property
    def ours(self) -> bool:
        """Whether it surely is, now."""
        return time.monotonic() < self._until_s

    async def take(self, after: int) -> None:
        """Write the record as the successor of the one that was read; raises Overtaken or Away."""
        began_s = time.monotonic()
        self.mark = await self._link.record(self._place, self.record, after=after)
        self._until_s = began_s + OWN_SHARE * self.record.lease_s

    async def won(self) -> None:
        """Return once it is ours."""
        while True:
            try:
                await self._link.ready()
                kept = await self._link.last(self._place)
                if kept is None or next_for(0, kept, await self._link.server_time()) is not Next.WAIT:
                    await self.take(kept.mark if kept is not None else 0)
                    return
            except (Away, Overtaken, NatsError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
            else:
                await asyncio.sleep(self._every_s)

    async def lost(self) -> None:
        """Keep it; return when it is lost, or may be."""
        with contextlib.suppress(TimeoutError):
            async with self.kept():
                await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def kept(self, longest_s: float = math.inf) -> AsyncIterator[None]:
        """Renew it while the block runs. TimeoutError ends the block when it is lost, or after so many seconds."""
        loop, keeping = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        last_s = time.monotonic() + longest_s
        async with asyncio.timeout(min(last_s, self._until_s) - time.monotonic()) as bound:
            begin = loop.call_later(self._every_s, lambda: keeping.append(loop.create_task(self._keep(bound, last_s))))
            try:
                yield
            finally:
                begin.cancel()
                await cancel_tasks(keeping)
                await asyncio.gather(*keeping, return_exceptions=True)

    async def _keep(self, bound: asyncio.Timeout, last_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._renew()
            except Overtaken:
                self._until_s = -math.inf
            if bound.expired():
                return
            bound.reschedule(loop.time() + min(last_s, self._until_s) - time.monotonic())
            await asyncio.sleep(self._every_s)

    async def _renew(self) -> None:
        """Renew, waiting out a line that is down; a renewal whose receipt was lost is found on record."""
        while True:
            try:
                await self.take(self.mark)
            except Away:
                await asyncio.sleep(self._every_s / RENEWALS)
                await self.catch_up()
            else:
                await self._renewed()
                return

    async def catch_up(self) -> bool:
        """Whether the record is still ours; then its mark is the one on the server."""
        try:
            kept = await self._link.last(self._place)
        except Away:
            return True
        if kept is None or kept.record != self.record:
            return False
        self.mark = kept.mark
        return True


def right(link: QueueConnection, name: str, executor: str) -> Lease:
    """A right that is no car's."""
    return Lease(link, name, CommandRecord(name, 0, executor, LEASE_SHARE * link.settings.ack_wait_s))
