"""The store over SQLAlchemy: what `ports.Store` promises, put together from the parts that keep it."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from vtn.bounds import ClientQuotas
from vtn.errors import CannotStart, Unavailable
from vtn.storage.dialects.database import Database
from vtn.storage.dialects.opening import open_database
from vtn.storage.lease import LeaderLease
from vtn.storage.ports import (
    Archived,
    BrokenCallback,
    Change,
    ClientRecord,
    Command,
    Delivery,
    DeliveryBacklog,
    DeliveryState,
    IdentifierClaim,
    IdentifierOwner,
    Leader,
    Record,
    ReportQuery,
    Touch,
)
from vtn.storage.statements import archive, clients, queries, relay_state, usage
from vtn.storage.statements.head import CLIENTS, SEQ, SharedHead
from vtn.storage.statements.usage import Limits
from vtn.storage.writer import Writer

TIMEOUT_S, LEASE_S = 10.0, 10.0
DEFAULT_QUOTAS = ClientQuotas()

Listener = Callable[[Sequence[Change]], None]


async def open_store(
    url: str,
    *,
    shared_dir: Path,
    on_commit: Listener | None = None,
    timeout_s: float = TIMEOUT_S,
    quotas: ClientQuotas = DEFAULT_QUOTAS,
    lease_s: float = LEASE_S,
) -> "SqlStore":
    """Open the database at `url` (`sqlite:///...` or `postgresql://...`) and bring its schema up to date.

    `shared_dir` is where processes on this host share counters; `on_commit` is told of this process's changes in log
    order, after each commit and before its callers are answered. A leader that gives no sign of life for `lease_s` is
    followed by another process. CannotStart says what the operator must mend.
    """
    database, identity = await open_database(url, timeout_s)
    try:
        shared = SharedHead(shared_dir, identity)
        store = SqlStore(database, shared, usage.limits(quotas), LeaderLease(database, lease_s), on_commit)
        await store.head()
        await store.clients()
    except OSError as error:
        await database.close()
        raise CannotStart(f"{shared_dir} cannot hold shared counters: {error.strerror}") from None
    except Unavailable as error:
        await store.close()
        raise CannotStart(str(error)) from None
    return store


class SqlStore:
    """`ports.Store` over one database, for one event loop."""

    def __init__(
        self,
        database: Database,
        shared: SharedHead,
        limits: Limits,
        lease: LeaderLease,
        on_commit: Listener | None = None,
    ) -> None:
        self._database = database
        self._shared = shared
        self._limits = limits
        self._lease = lease
        self._writer = Writer(database, self._committed, limits)
        self.on_commit = on_commit
        self._closed = False

    def _committed(self, changes: Sequence[Change]) -> None:
        self._shared.rise(SEQ, changes[-1].seq)
        if self.on_commit is not None:
            self.on_commit(changes)

    # --- objects ---------------------------------------------------------------------------------------------------

    async def write(self, command: Command, *, at: str, actor: str) -> tuple[Change, ...]:
        """See `Store`."""
        return await self._writer.write(command, at, actor)

    async def objects(self) -> tuple[int, Sequence[Record]]:
        """See `Store`."""
        found = await self._database.read(queries.objects)
        self._writer.full.forget()
        return found

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """See `Store`."""
        found = await self._database.read(partial(queries.changes, after=after, limit=limit))
        self._writer.full.see(found)
        return found

    async def head(self) -> int:
        """See `Store`; mends the shared number when a crash left it behind."""
        seen = self._shared.read(SEQ)
        stored = await self._database.read(queries.head)
        self._shared.agree(SEQ, seen, stored)
        return stored

    def shared_head(self) -> int:
        """See `Store`."""
        return self._shared.read(SEQ)

    async def reports(self, query: ReportQuery) -> Sequence[Record]:
        """See `Store`."""
        return await self._database.read(partial(queries.reports, query=query))

    async def report(self, report_id: str) -> Record | None:
        """See `Store`."""
        return await self._database.read(partial(queries.report, report_id=report_id))

    # --- clients ---------------------------------------------------------------------------------------------------

    async def clients(self) -> tuple[int, Sequence[ClientRecord]]:
        """See `Store`; mends the shared generation when a crash left it behind."""
        seen = self._shared.read(CLIENTS)
        generation, found = await self._database.read(clients.every)
        self._shared.agree(CLIENTS, seen, generation)
        return generation, found

    async def put_client(self, client: ClientRecord) -> None:
        """See `Store`."""
        await self.revise_client(client.client_id, lambda _held: client)

    async def revise_client(self, client_id: str, revise: Callable[[ClientRecord | None], ClientRecord]) -> None:
        """See `Store`."""
        work = partial(clients.revise, client_id=client_id, change=revise)
        self._shared.rise(CLIENTS, await self._database.write(work))

    def client_generation(self) -> int:
        """See `Store`."""
        return self._shared.read(CLIENTS)

    # --- the relay -------------------------------------------------------------------------------------------------

    async def cursor(self, outlet: str) -> int:
        """See `Store`; a new outlet is written down at once, so that nothing it has not read is pruned."""
        seq = await self._database.read(partial(relay_state.cursor, outlet=outlet))
        if seq is None:
            await self.advance(outlet, 0)
        return seq or 0

    async def advance(self, outlet: str, seq: int, owed: Sequence[Delivery] = ()) -> None:
        """See `Store`."""
        await self._database.write(self._lease.fenced(partial(relay_state.move, outlet=outlet, seq=seq, owed=owed)))

    async def deliveries(self, state: DeliveryState = DeliveryState.PENDING, limit: int = 10_000) -> Sequence[Delivery]:
        """See `Store`."""
        return await self._database.read(partial(relay_state.deliveries, state=state, limit=limit))

    async def backlog(self) -> DeliveryBacklog:
        """See `Store`."""
        return await self._database.read(relay_state.backlog)

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """See `Store`."""
        await self._database.write(self._lease.fenced(partial(relay_state.put, deliveries=deliveries)))

    async def bury(self, dead: Sequence[Delivery], most: int) -> int:
        """See `Store`."""
        return await self._database.write(self._lease.fenced(partial(relay_state.bury, dead=dead, most=most)))

    async def settle(self, done: Sequence[Delivery]) -> None:
        """See `Store`."""
        await self._database.write(self._lease.fenced(partial(relay_state.settle, done=done)))

    async def replay(self, subscription_id: str | None = None) -> int:
        """See `Store`."""
        return await self._database.write(partial(relay_state.replay, subscription_id=subscription_id))

    async def broken_callbacks(self, subscription_id: str | None = None) -> Sequence[BrokenCallback]:
        """See `Store`."""
        return await self._database.read(partial(relay_state.broken, subscription_id=subscription_id))

    async def put_broken(self, callback: BrokenCallback) -> None:
        """See `Store`."""
        await self._database.write(partial(relay_state.put_broken, callback=callback))

    async def mend(self, subscription_id: str) -> None:
        """See `Store`."""
        await self._database.write(partial(relay_state.mend, subscription_id=subscription_id))

    async def claim_identifier(self, claim: IdentifierClaim) -> IdentifierOwner:
        """See `Store`."""
        return await self._database.write(partial(clients.claim, asked=claim))

    async def prune(self, before: str) -> int:
        """See `Store`; in parts, so that writers need not wait for all of it."""
        gone = 0
        while part := await self._database.write(partial(relay_state.prune, before=before)):
            gone += part
        return gone

    async def prune_archive(self, before: str) -> int:
        """See `Store`; in parts, as `prune`."""
        gone = 0
        while part := await self._database.write(partial(archive.prune, before=before, bounds=self._limits)):
            gone += part
        return gone

    async def archived(self, after: tuple[str, str] = ("", ""), client_id: str | None = None) -> Sequence[Archived]:
        """See `Store`."""
        return await self._database.read(partial(archive.page, after=after, client_id=client_id))

    # --- who leads -------------------------------------------------------------------------------------------------

    async def lead(self) -> bool:
        """See `Store`."""
        return await self._lease.lead()

    def may_relay(self) -> bool:
        """See `Store`."""
        return self._lease.sure()

    async def leader(self) -> Leader | None:
        """See `Store`."""
        return await self._lease.leader()

    # --- life ------------------------------------------------------------------------------------------------------

    async def probe(self) -> None:
        """See `Store`."""
        await self.write(Touch(), at="", actor="")

    async def close(self) -> None:
        """See `Store`; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            await self._writer.close()
            with contextlib.suppress(Unavailable):
                await self._lease.leave()
            await self._database.close()
            self._shared.close()
