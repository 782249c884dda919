"""Request bodies from bytes to what may be stored, and stored objects from bytes to bytes, in bounded time and memory.

What is small is done in place. What is large is done in a thread, so that the event loop serves others meanwhile: one
body at a time, because a parsed body takes thirty times the memory of its text, and one a client, so that a client
with many of them keeps nobody from a turn. A thread shares the interpreter with the loop: pure Python gives way after
`SWITCH_S`, a call into a library when it returns, so large work is cut into pieces of which none takes long.
"""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from vtn.bounds import BodyBounds, CacheBounds
from vtn.errors import Fault, Rejected, TooOften
from vtn.rules.measures import Measures
from vtn.wire import document

T = TypeVar("T")

WAIT_S = 1.0
SWITCH_S = 0.001


class OffLoop:
    """One thread, made when it is first needed; what is asked for waits its turn."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offloop")

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` comes to; it touches nothing that the loop may change meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take no more work and forget what waits; what has begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def give_way() -> None:
    """Have threads of this process give way to its event loop soon."""
    sys.setswitchinterval(SWITCH_S)


@dataclasses.dataclass(slots=True)
class Queue:
    """One client's bodies that wait: how many and how many bytes, and the lock that they pass one by one."""

    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    waiting: int = 0
    waiting_bytes: int = 0


class FairTurns:
    """One turn at a time for each client, and one of all clients' turns at a time; in the order of asking.

    A client may have `most_bytes` waiting, or one body that is larger; TooOften says that there are more.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._all = asyncio.Lock()
        self._queues: dict[str, Queue] = {}

    @contextlib.asynccontextmanager
    async def of(self, client_id: str, size_bytes: int) -> AsyncIterator[None]:
        """A turn of this client for a body of so many bytes, for the length of a block."""
        queue = self._queues.setdefault(client_id, Queue())
        if queue.waiting and queue.waiting_bytes + size_bytes > self._most_bytes:
            raise TooOften("too many of your large bodies wait to be judged; send fewer at a time", WAIT_S)
        queue.waiting += 1
        queue.waiting_bytes += size_bytes
        try:
            async with queue.lock, self._all:
                yield
        finally:
            queue.waiting -= 1
            queue.waiting_bytes -= size_bytes
            if not queue.waiting:
                del self._queues[client_id]


Judge = Callable[[Any, int], T]
"""What is made of content that holds no more than so many JSON values."""


class Bodies:
    """Judges request bodies within their bounds. `caches` bounds what others remember of them; `off` is the thread."""

    def __init__(self, bounds: BodyBounds | None = None, caches: CacheBounds | None = None) -> None:
        self.caches = caches or CacheBounds()
        self.off = OffLoop()
        bounds = bounds or BodyBounds()
        self._measures = Measures(bounds)
        self._heavy_bytes = self._measures.heavy_bytes
        self._turns = FairTurns(bounds.waiting_bytes)

    def is_heavy(self, size_bytes: int) -> bool:
        """Whether work on so many bytes is done beside the event loop."""
        return size_bytes >= self._heavy_bytes

    async def judged(self, client_id: str, body: bytes, judge: Judge[T]) -> T:
        """What `judge` makes of a JSON text from outside, once it is within its bounds; Rejected or TooLarge if not."""
        if len(body) < self._heavy_bytes:
            return self._judged(body, judge)
        async with self._turns.of(client_id, len(body)):
            return await self.off.do(lambda: self._judged(body, judge))

    def _judged(self, body: bytes, judge: Judge[T]) -> T:
        """A text that holds too much is refused before it is parsed, or else before it is validated."""
        values = self._measures.values_of(body)
        try:
            content = document.parse(body)
        except ValueError as error:
            raise Rejected([Fault("$", f"is not JSON: {error}")]) from None
        self._measures.judge(content, len(body), values)
        return judge(content, values)

    async def made(self, size_bytes: int, make: Callable[[], T]) -> T:
        """What `make` makes of so many bytes of ours. It must be pure, because it may run beside the event loop."""
        return make() if size_bytes < self._heavy_bytes else await self.off.do(make)

    async def all_made(self, makers: Iterable[tuple[int, Callable[[], T]]]) -> list[T]:
        """The same for many, with the bytes of each: what is small together is done in place."""
        listed = list(makers)
        if sum(size for size, _ in listed) < self._heavy_bytes:
            return [make() for _, make in listed]
        return [made for run in _runs(listed, self._heavy_bytes) for made in await self.off.do(run)]


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
