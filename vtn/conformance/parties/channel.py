"""Whether notifications come at all: a way of notification that is dead is waited for a few times, and accused once.

Every wait that ends without a notification is told to the channel. After `MOST_MISSES` of them in a row the kit tries
the simplest notification there is; when that does not come either, the channel is dead, and nobody waits for it again.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from vtn.checking.verdict import Cause, Failed, expect

Said = tuple[Any, Any, Any]
MOST_MISSES = 3
NOTHING = "nothing comes by"
ARRIVES_WITHIN_S = 10.0
SILENCE_S = 0.5


@dataclasses.dataclass(slots=True)
class NotificationChannel:
    """One way of notification; `owners` are the requirements by which something should come on it."""

    name: str
    owners: tuple[str, ...]
    heard: int = 0
    missed: int = 0
    dead: bool = False

    def arrived(self) -> None:
        """Something came: the channel lives."""
        self.heard += 1
        self.missed = 0
        self.dead = False

    @property
    def cause(self) -> Cause:
        """The cause of all waits since the last arrival; it counts when the channel turns out to be dead."""
        return Cause(f"{NOTHING} {self.name} since notification {self.heard}", self.owners, general=True)

    def never_came(self, words: str) -> Failed:
        """The failure of a wait that ended without a notification."""
        self.missed += 1
        return Failed(words, self.cause)

    def must_live(self) -> None:
        """Failed at once, without waiting, on a channel that is known to be dead."""
        if self.dead:
            raise Failed(f"{self.name} is dead: {self.missed} notifications in a row never came", self.cause)

    async def judge(self, simplest: Callable[[], Awaitable[object]]) -> None:
        """After too many misses, see whether the simplest notification comes; the channel is dead when it does not."""
        if self.dead or self.missed < MOST_MISSES:
            return
        heard = self.heard
        if heard:
            with contextlib.suppress(Failed):
                await simplest()
        self.dead = self.heard == heard

    def killed(self, cause: Cause) -> bool:
        """Whether a cause is this channel's death; a check that waited in vain otherwise stands by its own claim."""
        return self.dead and cause == self.cause


def is_wait(cause: Cause | None) -> bool:
    """Whether a cause is a wait for a notification that never came, on whichever channel."""
    return cause is not None and cause.key.startswith(NOTHING)


class ReceivedMessage(Protocol):
    """One notification, however it came."""

    @property
    def said(self) -> Said:
        """The operation, the kind of object, and its id."""


M = TypeVar("M", bound=ReceivedMessage)


def said_by(body: Mapping[str, Any]) -> Said:
    """The operation, the kind of object and its id in a notification; None for what it does not say."""
    thing = body.get("object")
    return body.get("operation"), body.get("objectType"), thing.get("id") if isinstance(thing, dict) else None


def _named(operation: str, thing: Mapping[str, Any]) -> Said:
    return operation, thing["objectType"], thing["id"]


@dataclasses.dataclass(kw_only=True)
class Inbox(Generic[M]):
    """What came to one callback URL or MQTT session: `log` holds all of it, `pending` what nobody has waited for."""

    channel: NotificationChannel
    log: list[M] = dataclasses.field(default_factory=list)
    pending: list[M] = dataclasses.field(default_factory=list)
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def take(self, message: M) -> None:
        """Let whoever waits here have a notification."""
        self.log.append(message)
        self.pending.append(message)
        self.news.set()

    async def next(self) -> M:
        """The next notification; Failed when none comes."""
        return await self._first(lambda _message: True, "any object")

    async def until(self, operation: str, thing: Mapping[str, Any]) -> M:
        """The notification of this operation on this object; others may come before it, no order is asked for."""
        wanted = _named(operation, thing)
        return await self._first(lambda message: message.said == wanted, " ".join(map(str, wanted)))

    async def hears_all(self, *wanted: tuple[str, Mapping[str, Any]]) -> list[M]:
        """The notifications of these operations on these objects, which may come in any order and among others."""
        return [await self.until(operation, thing) for operation, thing in wanted]

    async def never(self, *things: Mapping[str, Any]) -> None:
        """Failed when anything about these objects has come or comes now; called after what must come has come."""
        await asyncio.sleep(SILENCE_S)  # nothing says that a notification will not come
        ids = {thing["id"] for thing in things}
        for message in self.log:
            expect(message.said[2] not in ids, f"what should not be told was told: {message.said}")

    async def none(self) -> None:
        """Failed when anything came, or comes now, that was not waited for; called after what must come has come."""
        await asyncio.sleep(SILENCE_S)  # the same
        for message in self.pending:
            raise Failed(f"a notification came that should not have come: {message.said}")

    async def never_of(self, operations: str) -> None:
        """Failed when a notification of one of these operations (words) has come or comes now."""
        await asyncio.sleep(SILENCE_S)  # the same
        for message in self.log:
            expect(message.said[0] not in operations.split(), f"what should not be told was told: {message.said}")

    async def _first(self, right: Callable[[M], bool], words: str) -> M:
        try:
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                while True:
                    self.news.clear()
                    for message in self.pending:
                        if right(message):
                            self.pending.remove(message)
                            return message
                    self.channel.must_live()
                    await self.news.wait()
        except TimeoutError:
            words = f"no notification by {self.channel.name} about {words} came within {ARRIVES_WITHIN_S:g} s"
            raise self.channel.never_came(words) from None
