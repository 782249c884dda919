"""From the change log to an outlet, in order and at least once. What an outlet does with changes is not known here.

An outlet's cursor moves only after the outlet took the changes, so a crash repeats a batch and never skips one. Rows
that an outlet knows to concern nobody are not read, and their passing is written down now and then. One process of an
installation relays: the leader.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from vtn.errors import Unavailable
from vtn.storage.ports import Change, Delivery, Store
from vtn.tasks import cancel_tasks

BATCH = 200
SKIPPED_AT_MOST = 10_000
POLL_S = 1.0

_log = logging.getLogger(__name__)


Taken = tuple[int, Sequence[Delivery]]
"""The number up to which changes were taken, and what remains owed."""


class Wake:
    """Tells every waiting loop that the log has grown. A call between taking a ticket and waiting is not lost."""

    def __init__(self) -> None:
        self._ticket = asyncio.Event()

    def set(self) -> None:
        """Wake everyone who holds a ticket."""
        self._ticket.set()
        self._ticket = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """An event that the next `set` sets; take it before looking at the log."""
        return self._ticket


class Outlet(Protocol):
    """Where changes go: MQTT, or the table of owed webhook deliveries."""

    @property
    def name(self) -> str:
        """The name of the cursor."""
        ...

    def take(self, changes: Sequence[Change]) -> AsyncIterator[Taken]:
        """Bring the changes out, in order: once or in parts, how far it came and what remains owed.

        Each part is stored, with the cursor, before the next is asked for.
        """
        ...

    def stored(self, owed: Sequence[Delivery]) -> None:
        """What was owed is stored now."""
        ...

    def quiet_until(self, after: int) -> int:
        """The number up to which the log is known to hold nothing for this outlet; `after` when that is not known."""
        ...


class Relay:
    """One outlet's loop."""

    def __init__(self, store: Store, outlet: Outlet, wake: Wake, poll_s: float = POLL_S) -> None:
        self._store = store
        self._outlet = outlet
        self._wake = wake
        self._poll_s = poll_s
        self._cursor: int | None = None
        self._written = 0

    @property
    def position(self) -> int | None:
        """How far the log has been read; None before the first look."""
        return self._cursor

    async def run(self) -> None:
        """Relay until cancelled; a database out of reach is waited for."""
        self._cursor = None
        while True:
            ticket = self._wake.ticket()
            try:
                await self._catch_up()
            except Unavailable as error:
                _log.warning("the %s relay waits: %s", self._outlet.name, error)
            await doze(ticket, self._poll_s)

    async def _catch_up(self) -> None:
        if self._cursor is None:
            self._cursor = self._written = await self._store.cursor(self._outlet.name)
        self._cursor = self._outlet.quiet_until(self._cursor)
        while self._cursor < self._store.shared_head():
            changes = await self._store.changes(self._cursor, BATCH)
            if not changes:
                return
            if not self._store.may_relay():
                raise Unavailable("whether this process still leads must be known first")
            async for seq, owed in self._outlet.take(changes):
                await self._move(seq, owed)
                self._outlet.stored(owed)
        if self._cursor - self._written >= SKIPPED_AT_MOST:
            await self._move(self._cursor, ())

    async def _move(self, cursor: int, owed: Sequence[Delivery]) -> None:
        await self._store.advance(self._outlet.name, cursor, owed)
        self._cursor = self._written = cursor


async def doze(ticket: asyncio.Event, longest_s: float) -> None:
    """Wait for the event, but not longer than this."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await ticket.wait()


async def while_leading(store: Store, work: Callable[[], Awaitable[None]], poll_s: float = POLL_S) -> None:
    """Run `work` whenever this process is the leader; cancel it when leadership is lost or cannot be confirmed.

    A process that was stopped for long ends its work first and asks the database afterwards.
    """
    while True:
        if await _leads(store):
            await _work_as_leader(store, work, poll_s)
        await asyncio.sleep(poll_s)


async def _work_as_leader(store: Store, work: Callable[[], Awaitable[None]], poll_s: float) -> None:
    async def call() -> None:
        await work()

    task = asyncio.create_task(call())
    try:
        while not task.done() and store.may_relay() and await _leads(store):
            await asyncio.wait({task}, timeout=poll_s)
    finally:
        await cancel_tasks([task])
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _leads(store: Store) -> bool:
    try:
        return await store.lead()
    except Unavailable:
        return False
