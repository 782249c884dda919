"""Have what changed written down before anything acts on it: one transaction for all who wait, never one each.

While a commit is under way, whoever comes waits for the next; a pause between two lets many join, because a commit
costs the same for one row as for hundreds. When the store takes nothing, nobody who waits may act. Knows no cars.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable

from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.ven.store.database import AdapterRow, AdapterStore, RowValues

GATHER_S = 0.04
FLUSH_EVERY_S = 1.0
COMMIT_WITHIN_S = 30.0

_log = logging.getLogger(__name__)


class NotWritten(Exception):
    """The store took nothing, so nothing may be sent that rests on it."""


@dataclasses.dataclass(slots=True)
class _Round:
    """Those who wait for one commit, and how it went."""

    done: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    awaited: bool = False
    written: bool = False


class GroupCommit:
    """`drain` hands over what changed; `recovered` is called when the store takes rows again."""

    def __init__(
        self, store: AdapterStore, drain: Callable[[], Iterable[AdapterRow | RowValues]], recovered: Callable[[], None]
    ) -> None:
        self._store = store
        self._drain = drain
        self._recovered = recovered
        self._round = _Round()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self.failing = False

    async def written(self) -> None:
        """Return once everything that changed until now is committed; NotWritten when the store did not take it."""
        if self._closed:
            raise NotWritten
        mine = self._round
        mine.awaited = True
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await mine.done.wait()
        if not mine.written:
            raise NotWritten

    async def flush(self) -> None:
        """Commit what changed, whether anybody waits or not."""
        if self._writer is None or self._writer.done():
            await self._commit()

    async def run(self, drain: Callable[[], Iterable[AdapterRow | RowValues]]) -> None:
        """Store what changed, whether anybody waits or not; a store that is away is tried again, nothing is lost."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._store.note(drain())
            await self.flush()

    async def close(self) -> None:
        """Let nobody wait any longer: what is not committed by now is not sent."""
        self._closed = True
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        self._round.done.set()

    async def _write(self) -> None:
        while self._round.awaited:
            await self._commit()
            await asyncio.sleep(GATHER_S)

    async def _commit(self) -> None:
        this, self._round = self._round, _Round()
        try:
            self._store.note(self._drain())
            async with asyncio.timeout(COMMIT_WITHIN_S):
                await self._store.flush()
            this.written = True
            self._is_well()
        except (SQLAlchemyError, OSError) as error:
            self.failing = True
            _log.error("the store takes nothing, so nothing is sent until it does: %s", _first_words(error))
        finally:
            this.done.set()

    def _is_well(self) -> None:
        if self.failing:
            self.failing = False
            _log.warning("the store takes what changed again")
            self._recovered()


def _first_words(error: Exception) -> str:
    """What went wrong, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0][:200]}"
