"""Who is told that somebody has read: webhooks for the operation READ, beside the change log (NOTIF-13, NOTIF-14).

A read changes nothing, so it is in no log and is told at most once: it is noted in memory on the request path, and
told from here, outside of it. What comes faster than it can be told is dropped, and so is what goes to a host that is
away and what is noted while this process does not lead. One notice goes to a subscription for each object and reader in
`notice_s`.
"""

import asyncio
import dataclasses
import logging
import re
from collections import deque
from collections.abc import Callable, Sequence

from vtn.errors import Unavailable
from vtn.limits import Recent
from vtn.notifiers.audience import Audience, Callback
from vtn.notifiers.webhooks.breaker import Breaker
from vtn.notifiers.webhooks.callbacks import Unreached
from vtn.notifiers.webhooks.hosts import Hosts
from vtn.notifiers.webhooks.sender import CallbackSender, NotCalled
from vtn.rules.entries import host_of
from vtn.wire.enumerations import ObjectType

MOST_NOTED = 1_000
MOST_WAITING = 1_000
MOST_TOLD = 50_000
PATIENCE_S = 10.0
ID = re.compile(rb'"id":"([^"]+)"')

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ReadObject:
    """One object that a client has read."""

    kind: ObjectType
    object_id: str
    reader: str


class Reads:
    """Tells of reads; `note` is called for every answer to a GET of a kind that somebody listens to.

    `now_s` is monotonic.
    """

    def __init__(
        self,
        audience: Audience,
        sender: CallbackSender,
        breaker: Breaker,
        hosts: Hosts,
        *,
        notice_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._audience = audience
        self._sender = sender
        self._breaker = breaker
        self._hosts = hosts
        self._notice_s = notice_s
        self._now_s = now_s
        self._noted: deque[list[ReadObject]] = deque(maxlen=MOST_NOTED)
        self._some = asyncio.Event()
        self._queues: dict[str, deque[ReadObject]] = {}
        self._told: Recent[tuple[str, ReadObject], float] = Recent(MOST_TOLD, MOST_TOLD)
        self._leads = False

    def note(self, kind: ObjectType, reader: str, bodies: Sequence[bytes]) -> None:
        """Remember that a client was shown these objects, for as long as it takes to tell of it."""
        if self._leads and bodies:
            found = map(ID.search, bodies)  # every stored object begins with its metadata, and those with the id
            self._noted.append([ReadObject(kind, match[1].decode(), reader) for match in found if match])
            self._some.set()

    async def run(self) -> None:
        """Tell of what is noted, until cancelled."""
        self._noted.clear()
        self._queues.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._leads = True
                while True:
                    await self._some.wait()
                    self._some.clear()
                    await self._spread(group)
        finally:
            self._leads = False

    async def _spread(self, group: asyncio.TaskGroup) -> None:
        while self._noted:
            readings = self._noted.popleft()
            for subscription_id in self._audience.listeners(readings[0].kind, readings[0].reader):
                queue = self._queues.get(subscription_id)
                if queue is None:
                    queue = self._queues[subscription_id] = deque(maxlen=MOST_WAITING)
                    group.create_task(self._work_off(subscription_id, queue))
                queue.extend(readings)
                await asyncio.sleep(0)  # a long list and many listeners must not hold up the API

    async def _work_off(self, subscription_id: str, queue: deque[ReadObject]) -> None:
        while queue:
            reading = queue.popleft()
            if self._is_due(subscription_id, reading):
                try:
                    await self._tell(subscription_id, reading)
                except Unavailable as error:
                    _log.warning("a read is not told of: %s", error)
                except Exception:  # noqa: BLE001 - logged whole; no failure may keep others from being told
                    _log.exception("subscription %s: a read cannot be told", subscription_id)
        del self._queues[subscription_id]

    def _is_due(self, subscription_id: str, reading: ReadObject) -> bool:
        told_s = self._told.get((subscription_id, reading))
        return told_s is None or self._now_s() - told_s >= self._notice_s

    async def _tell(self, subscription_id: str, reading: ReadObject) -> None:
        calls = await self._audience.read_calls(subscription_id, reading.kind, reading.object_id, reading.reader)
        if calls:
            self._told.keep((subscription_id, reading), self._now_s(), 1)
        for call in calls:
            if not await self._breaker.holds((call.subscription_id, call.entry), call.url):
                await self._call(call)

    async def _call(self, call: Callback) -> None:
        """Call once, when it is this call's turn at its host in time; what fails is given up."""
        host, failure = host_of(call.url), None
        if not await self._hosts.enter(host, PATIENCE_S, call.client_id):
            return
        reached: bool | None = None
        try:
            failure = await self._sender.in_place(self._sender.send(call))
            reached = None if isinstance(failure, NotCalled) else not isinstance(failure, Unreached)
        finally:
            self._hosts.leave(host, call.client_id, reached=reached, reason=failure or "")
        if failure is None:
            self._breaker.taken(call)
        else:
            self._breaker.failed(call)
            await self._breaker.given_up(call, failure)
