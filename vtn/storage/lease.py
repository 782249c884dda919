"""Which process leads: a lease in the database, beside a lock that goes when its holder dies.

The lock tells of a death at once. A process that is stopped, or cut off from its disk, dies not and keeps the lock:
then the lease tells. The leader raises its `beat`; whoever sees a beat stand still for the time of a lease by its own
monotonic clock takes the next term, so no two clocks are compared. The old leader reckons from before its last beat and
trusts its lease for less than all of that time, so it stops first; and what it writes bears its term, which the
database refuses by then.
"""

import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, insert, select, update

from vtn.errors import Unavailable
from vtn.storage.dialects.database import REFUSED, Database, Work
from vtn.storage.ports import Leader
from vtn.storage.tables import LEASE
from vtn.wire.interval import print_date_time

T = TypeVar("T")
THE_ROW = 1
RENEWED_AFTER, LATE_AFTER, TRUSTED_FOR = 0.25, 0.6, 0.75  # parts of the time of a lease
NOBODY = ""


class StoredLease(NamedTuple):
    """The lease as it is stored."""

    term: int
    beat: int
    holder: str
    since: str
    locked: bool


def this_process() -> str:
    """How this process is known to operators."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def read(connection: Connection) -> StoredLease | None:
    """The lease; None when nobody has ever led."""
    row = connection.execute(
        select(*(LEASE.c[name] for name in StoredLease._fields)).where(LEASE.c.id == THE_ROW)
    ).first()
    return StoredLease(*row) if row else None


def take(connection: Connection, known: StoredLease | None, mine: StoredLease) -> bool:
    """Take the lease, if it still is as it was known."""
    values = mine._asdict()
    if known is None:
        connection.execute(insert(LEASE).values(id=THE_ROW, **values))
        return True
    same = (LEASE.c.id == THE_ROW, LEASE.c.term == known.term, LEASE.c.beat == known.beat)
    return connection.execute(update(LEASE).where(*same).values(values)).rowcount == 1


def renew(connection: Connection, term: int, *, locked: bool) -> bool:
    """Give a sign of life in a term; False when the term is over."""
    mine = (LEASE.c.id == THE_ROW, LEASE.c.term == term, LEASE.c.holder != NOBODY)
    return connection.execute(update(LEASE).where(*mine).values(beat=LEASE.c.beat + 1, locked=locked)).rowcount == 1


def leave(connection: Connection, term: int) -> None:
    """End a term before its time."""
    mine = (LEASE.c.id == THE_ROW, LEASE.c.term == term)
    connection.execute(update(LEASE).where(*mine).values(holder=NOBODY, beat=LEASE.c.beat + 1))


class LeaderLease:
    """Leadership as one process sees it. `lease_s` bounds how long a leader that gives no sign stands in the way."""

    def __init__(self, database: Database, lease_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._lease_s = lease_s
        self._now_s = now_s
        self._term: int | None = None
        self._last_term: int | None = None
        self._renewed_s = 0.0
        self._locked = False
        self._seen: tuple[int, int] | None = None
        self._seen_s = now_s()

    async def lead(self) -> bool:
        """Become, or stay, the leader; False while another process is, or may be."""
        locked = await self._database.hold_lock()
        if self._term is not None:
            return await self._stay(locked=locked)
        known = await self._database.read(read)
        if self._free(known, locked=locked) and await self._take(known, locked=locked):
            return True
        if locked:  # it is for the one that leads
            await self._database.release_lock()
        return False

    def _free(self, known: StoredLease | None, *, locked: bool) -> bool:
        """Whether the last leader left or died, as its free lock tells, or has given no sign for the time of a lease.

        A free lock tells nothing of a leader that has not got it yet. One that is held before anybody led is that of a
        process which is about to lead, or of an older version at work.
        """
        nobody = known is None or known.holder == NOBODY or known.locked
        return (locked and nobody) or self._quiet_s(known) > self._lease_s

    def _quiet_s(self, known: StoredLease | None) -> float:
        """For how long this process has seen the lease stand as it is."""
        seen = (known.term, known.beat) if known else (0, 0)
        if self._seen != seen:
            self._seen, self._seen_s = seen, self._now_s()
        return self._now_s() - self._seen_s

    async def _take(self, known: StoredLease | None, *, locked: bool) -> bool:
        began_s = self._now_s()
        term = known.term + 1 if known else 1
        mine = StoredLease(term, 0, this_process(), print_date_time(datetime.now(UTC)), locked)
        try:
            if not await self._database.write(lambda connection: take(connection, known, mine)):
                return False
        except REFUSED:  # another process was the first ever
            return False
        self._term = self._last_term = term
        self._renewed_s, self._locked = began_s, locked
        return True

    async def _stay(self, *, locked: bool) -> bool:
        began_s, term = self._now_s(), self._term or 0
        if locked is self._locked and began_s - self._renewed_s < RENEWED_AFTER * self._lease_s:
            return True
        if await self._database.write(lambda connection: renew(connection, term, locked=locked)):
            self._renewed_s, self._locked = began_s, locked
            return True
        self._term = None
        await self._database.release_lock()
        return False

    def sure(self) -> bool:
        """Whether this process surely leads, or never did."""
        if self._last_term is None:
            return True
        return self._term is not None and self._now_s() - self._renewed_s < TRUSTED_FOR * self._lease_s

    def fenced(self, work: Work[T]) -> Work[T]:
        """Work that is refused once another process leads; work of a process that never led is as it was."""
        term = self._last_term
        if term is None:
            return work

        def guarded(connection: Connection) -> T:
            query = select(LEASE.c.term).where(LEASE.c.id == THE_ROW).with_for_update(read=True)
            if connection.execute(query).scalar() != term:
                raise Unavailable("another process leads by now")
            return work(connection)

        return guarded

    async def leader(self) -> Leader | None:
        """Who leads, from the database."""
        known = await self._database.read(read)
        if known is None or known.holder == NOBODY:
            return None
        quiet_s = self._quiet_s(known)
        return Leader(known.holder, known.since, known.term, quiet_s, late=quiet_s > LATE_AFTER * self._lease_s)

    async def leave(self) -> None:
        """Lead no more, and say so."""
        term, self._term = self._term, None
        if term is not None:
            await self._database.write(lambda connection: leave(connection, term))
