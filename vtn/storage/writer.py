"""Group commit: commands that arrive while a commit is in flight are committed together in the next transaction.

There is no timed window, so a lone command waits for nobody. This module knows queues and outcomes, no SQL.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from vtn.errors import OverQuota, Unavailable
from vtn.storage import transaction
from vtn.storage.dialects.database import REFUSED, Database
from vtn.storage.ports import Change, Command, Create
from vtn.storage.records import row_of
from vtn.storage.statements.usage import FullAccounts, Limits
from vtn.storage.transaction import Job, Outcome

LARGEST_BATCH = 200

logger = logging.getLogger(__name__)

Waiting = tuple[Job, "asyncio.Future[tuple[Change, ...]]"]


class Writer:
    """The one way to change objects. `committed` is told of every change in log order, before its caller is.

    `full` remembers who was refused more; whoever sees changes from elsewhere tells it.
    """

    def __init__(self, database: Database, committed: Callable[[Sequence[Change]], None], limits: Limits) -> None:
        self._database = database
        self._committed = committed
        self._limits = limits
        self.full = FullAccounts()
        self._queue: deque[Waiting] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, command: Command, at: str, actor: str) -> tuple[Change, ...]:
        """Do a command durably; see `ports.Store.write`."""
        if self._closed:
            raise Unavailable("the store is closed")
        if isinstance(command, Create) and (error := self.full.refusal(command.record)):
            raise error
        row = row_of(command.record) if isinstance(command, Create) else ()
        future: asyncio.Future[tuple[Change, ...]] = asyncio.get_running_loop().create_future()
        self._queue.append((Job(command, at, actor, self._limits, row), future))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), context=contextvars.Context())
        return await future

    async def close(self) -> None:
        """Finish what is queued and take no more."""
        self._closed = True
        if self._draining is not None:
            await self._draining

    async def _drain(self) -> None:
        try:
            await asyncio.sleep(0)  # whoever asks in this turn of the loop is still on board
            while batch := self._next_batch():
                self._tell(batch, await self._outcomes([job for job, _ in batch]))
        finally:
            self._draining = None

    async def _outcomes(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        try:
            return await self._commit(jobs)
        except Exception as error:  # noqa: BLE001 - every caller must hear of it
            return [error] * len(jobs)

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        while self._queue and len(batch) < LARGEST_BATCH:
            job, future = self._queue.popleft()
            if not future.cancelled():
                batch.append((job, future))
        return batch

    async def _commit(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        kinds = {transaction.created_kind(job) for job in jobs}
        try:
            if len(kinds) == 1 and (kind := kinds.pop()) is not None:
                rows, counted = transaction.rows(jobs), transaction.counted(jobs)
                return transaction.numbered(jobs, await self._database.create(kind, rows, counted))
            return await self._database.commit(partial(transaction.apply, jobs=jobs, careful=False))
        except REFUSED:
            return await self._database.commit(partial(transaction.apply, jobs=jobs, careful=True))

    def _tell(self, batch: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        for (job, _), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, OverQuota) and isinstance(job.command, Create):
                self.full.note(job.command.record, outcome)
        changes = [change for outcome in outcomes if isinstance(outcome, tuple) for change in outcome]
        if changes:
            self.full.see(changes)
            try:
                self._committed(changes)
            except Exception:
                logger.exception("a listener failed on changes that are committed")
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, tuple):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
