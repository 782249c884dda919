"""One executor at a time: a lease on a named place, won by compare-and-set and kept by renewing it in time.

The same record and the same rules as for a car: what is leased is left alone until the lease is over by the server's
clock, and whoever holds it gives up before that, by its own.
"""

import asyncio
import time

from nats.errors import Error as NatsError

from ven_adapters.ven.queue.link import Away, Link, Overtaken
from ven_adapters.ven.queue.messages import Next, Record, next_for

RENEWALS = 3
AGAIN_S = 1.0


class Lease:
    """A right that one executor has; `place` names it and is no car's."""

    def __init__(self, link: Link, place: str, executor: str) -> None:
        self._link = link
        self._place = place
        self._record = Record(place, 0, executor, link.settings.ack_wait_s)
        self._every_s = self._record.lease_s / RENEWALS
        self._mark = 0
        self._until_s = 0.0

    async def won(self) -> None:
        """Return once it is ours."""
        while True:
            try:
                await self._link.ready()
                if await self._free():
                    await self._write()
                    return
            except (Away, Overtaken, NatsError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
            else:
                await asyncio.sleep(self._every_s)

    async def lost(self) -> None:
        """Keep it; return when it is lost, or may be."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(self._until_s - time.monotonic()):
                    await self._renew()
            except (Overtaken, TimeoutError):
                return

    async def _free(self) -> bool:
        kept = await self._link.last(self._place)
        self._mark = 0 if kept is None else kept.mark
        return kept is None or next_for(0, kept, await self._link.server_time()) is not Next.WAIT

    async def _write(self) -> None:
        began_s = time.monotonic()
        self._mark = await self._link.record(self._place, self._record, after=self._mark)
        self._until_s = began_s + self._record.lease_s

    async def _renew(self) -> None:
        """Renew, waiting out a line that is down; a renewal whose receipt was lost is found on record."""
        while True:
            try:
                await self._write()
            except Away:
                await asyncio.sleep(self._every_s / RENEWALS)
                kept = await self._kept()
                if kept is not None:
                    self._mark = kept
            else:
                return

    async def _kept(self) -> int | None:
        try:
            kept = await self._link.last(self._place)
        except Away:
            return None
        return kept.mark if kept is not None and kept.record == self._record else None
