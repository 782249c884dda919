"""Batches that came by webhook, in order and each once, between the listener and the one who takes them in.

What a car shows can be asked again, so such a batch is answered as soon as it is in line. What a driver decided comes
once: a batch with a choice is answered when its taker asks for what follows, or refused so that it comes again. A full
line refuses, too: under pressure nothing is lost and nothing grows. Knows no HTTP and no signatures.
"""

import asyncio
import collections
import hashlib
from collections.abc import Sequence

from ven_adapters.contract import BackendEvent, DriverChose, WriteDown

REMEMBERED = 10_000
LONGEST_NAME = 128
IN_LINE = 1_000
PATIENCE_S = 8.0  # less than the ten seconds that a sender of webhooks waits


class Intake:
    """The line; it has one taker. `patience_s`: how long the sender of a driver's choice waits, real seconds."""

    def __init__(self, in_line: int = IN_LINE, patience_s: float = PATIENCE_S) -> None:
        self._line: asyncio.Queue[tuple[str, Sequence[BackendEvent]]] = asyncio.Queue(in_line)
        self._patience_s = patience_s
        self._seen: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._unsafe: dict[str, asyncio.Event] = {}
        self._taken: str | None = None

    async def offer(self, name: str, events: Sequence[BackendEvent]) -> bool:
        """Whether a batch may be answered for; False when its sender must send it again."""
        name = _short(name)
        if name in self._seen:
            return True
        if name not in self._unsafe and not self._enter(name, events):
            return False
        if (safe := self._unsafe.get(name)) is None:
            return True
        try:
            async with asyncio.timeout(self._patience_s):
                await safe.wait()
        except TimeoutError:
            return False
        return True

    def _enter(self, name: str, events: Sequence[BackendEvent]) -> bool:
        chosen = any(isinstance(event, DriverChose) for event in events)
        try:
            self._line.put_nowait((name, (*events, WriteDown()) if chosen else events))
        except asyncio.QueueFull:
            return False
        if chosen:
            self._unsafe[name] = asyncio.Event()
        else:
            self._remember(name)
        return True

    async def batch(self) -> Sequence[BackendEvent]:
        """The next batch. Whoever asks has written down the choices of the one before."""
        if self._taken is not None:
            name, self._taken = self._taken, None
            self._remember(name)
            self._unsafe.pop(name).set()
        name, events = await self._line.get()
        self._taken = name if name in self._unsafe else None
        return events

    def _remember(self, name: str) -> None:
        self._seen[name] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _short(name: str) -> str:
    """A name that takes little room to remember, for the sender chooses how long its own is."""
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()
