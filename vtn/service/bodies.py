"""Request bodies from bytes to what may be stored, and stored objects from bytes to bytes, in bounded time and memory.

What is small is done in place. What is large is done in a thread, so that the event loop serves others meanwhile: one
body at a time, because a parsed body takes thirty times the memory of its text, and one a client, so that a client
with many of them keeps nobody from a turn.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from vtn.bounds import BodyBounds, CacheBounds
from vtn.errors import Fault, Rejected
from vtn.offloop import OffLoop
from vtn.rules import measures
from vtn.wire import document

T = TypeVar("T")


class Turns:
    """One turn at a time for each client, and one of all clients' turns at a time; in the order of asking."""

    def __init__(self) -> None:
        self._all = asyncio.Lock()
        self._own: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, client_id: str) -> AsyncIterator[None]:
        """A turn of this client, for the length of a block."""
        lock, waiting = self._own.get(client_id, (asyncio.Lock(), 0))
        self._own[client_id] = (lock, waiting + 1)
        try:
            async with lock, self._all:
                yield
        finally:
            lock, waiting = self._own[client_id]
            self._own[client_id] = (lock, waiting - 1)
            if waiting == 1:
                del self._own[client_id]


@dataclasses.dataclass(frozen=True, slots=True)
class Bodies:
    """The desk at which bodies are read. `caches` bounds what others remember of them; `off` is the thread."""

    bounds: BodyBounds = dataclasses.field(default_factory=BodyBounds)
    caches: CacheBounds = dataclasses.field(default_factory=CacheBounds)
    off: OffLoop = dataclasses.field(default_factory=OffLoop)
    turns: Turns = dataclasses.field(default_factory=Turns)

    async def judged(self, client_id: str, body: bytes, judge: Callable[[Any], T]) -> T:
        """What `judge` makes of a JSON text from outside, once it is within its bounds; Rejected or TooLarge if not."""
        if len(body) < self.bounds.heavy_bytes:
            return judge(self._read(body))
        async with self.turns.of(client_id):
            return await self.off.do(lambda: judge(self._read(body)))

    def _read(self, body: bytes) -> Any:
        """The parsed text; one that holds too much is refused before it is parsed, or else before it is validated."""
        values = measures.refuse_too_many_values(body, self.bounds)
        try:
            content = document.parse(body)
        except ValueError as error:
            raise Rejected([Fault("$", f"is not JSON: {error}")]) from None
        measures.refuse_overlong(content, len(body), values, self.bounds)
        return content

    async def made(self, size_bytes: int, make: Callable[[], T]) -> T:
        """What `make` makes of so many bytes of ours. It must be pure, because it may run beside the event loop."""
        return make() if size_bytes < self.bounds.heavy_bytes else await self.off.do(make)

    async def all_made(self, makers: Iterable[tuple[int, Callable[[], T]]]) -> list[T]:
        """The same for many, with the bytes of each: what is small together is done in place."""
        listed = list(makers)
        if sum(size for size, _ in listed) < self.bounds.heavy_bytes:
            return [make() for _, make in listed]
        return [made for run in _runs(listed, self.bounds.heavy_bytes) for made in await self.off.do(run)]


def _runs(listed: list[tuple[int, Callable[[], T]]], size_bytes: int) -> Iterable[Callable[[], list[T]]]:
    """Work in runs of about so many bytes, for one way to the thread and back each."""
    run: list[Callable[[], T]] = []
    weight = 0
    for size, make in listed:
        run.append(make)
        weight += size
        if weight >= size_bytes:
            yield _one_after_the_other(run)
            run, weight = [], 0
    if run:
        yield _one_after_the_other(run)


def _one_after_the_other(run: list[Callable[[], T]]) -> Callable[[], list[T]]:
    return lambda: [make() for make in run]
