"""Push a backend's events to its subscribers: signed batches, tried again until answered, each subscriber by itself.

A subscriber proves itself by answering a challenge. One that cannot keep up loses batches rather than our memory, and
is then sent every car anew, so its picture becomes whole again.
"""

import asyncio
import contextlib
import logging
import secrets
import time
import uuid
from collections.abc import Callable, Sequence

import aiohttp
import orjson

from ven_adapters.contract import BackendError, BackendEvent, ErrorCode, SnapshotsSeen
from ven_adapters.transport.http import signatures
from ven_adapters.transport.http.codec import EventDelivery, Subscriber, dump_delivery
from vtn.listening.http import same_secret

ANSWER_S = 10.0
ATTEMPTS = 5
FIRST_WAIT_S = 0.2
MOST_PENDING = 20_000
MOST_SUBSCRIBERS = 8
MAX_ANSWER_BYTES = 4_096
GOOD = range(200, 300)

_log = logging.getLogger(__name__)


class Pusher:
    """The subscribers of one backend; `resync` is called when one of them must be told everything again."""

    def __init__(self, resync: Callable[[], None]) -> None:
        self._resync = resync
        self._lines: dict[str, _SubscriberQueue] = {}
        self._http: aiohttp.ClientSession | None = None

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Challenge and add a subscriber; the same address again replaces its secret. NOT_PERMITTED when it fails."""
        if subscriber.url not in self._lines and len(self._lines) >= MOST_SUBSCRIBERS:
            raise BackendError(ErrorCode.QUOTA_EXHAUSTED, f"subscribers: {MOST_SUBSCRIBERS} are the most")
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))
        await _challenge(self._http, subscriber)
        old = self._lines.get(subscriber.url)
        if old is not None and old.subscriber == subscriber:
            return
        if old is not None:
            await old.close()
        self._lines[subscriber.url] = _SubscriberQueue(self._http, subscriber, self._resync)
        self._resync()

    def offer(self, events: Sequence[BackendEvent]) -> None:
        """Hand events to every subscriber."""
        for line in self._lines.values():
            line.offer(events)

    async def forget(self) -> None:
        """Lose every subscriber, as a restart would."""
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            await line.close()

    async def repeat(self) -> bool:
        """Deliver each subscriber's last batch once more, byte for byte; False when nobody was sent one."""
        return any([await line.repeat() for line in self._lines.values()])

    async def close(self) -> None:
        """Stop pushing."""
        await self.forget()
        if self._http is not None:
            await self._http.close()


class _SubscriberQueue:
    """One subscriber, what it has not yet been told, and the task that tells it."""

    def __init__(self, http: aiohttp.ClientSession, subscriber: Subscriber, resync: Callable[[], None]) -> None:
        self.subscriber = subscriber
        self._http = http
        self._resync = resync
        self._pending: list[BackendEvent] = []
        self._weight = 0
        self._wake = asyncio.Event()
        self._last: bytes | None = None
        self._task = asyncio.create_task(self._run())

    def offer(self, events: Sequence[BackendEvent]) -> None:
        self._weight += sum(_weight(event) for event in events)
        if self._weight > MOST_PENDING:
            self._lose()
            return
        self._pending.extend(events)
        self._wake.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            events, self._pending, self._weight = tuple(self._pending), [], 0
            if events and not await self._deliver(dump_delivery(EventDelivery(str(uuid.uuid4()), events))):
                self._lose()

    async def repeat(self) -> bool:
        if self._last is None:
            return False
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            await _post(self._http, self.subscriber, self._last)
        return True

    async def _deliver(self, body: bytes) -> bool:
        self._last = body
        for attempt in range(ATTEMPTS):
            try:
                status, _ = await _post(self._http, self.subscriber, body)
            except (TimeoutError, aiohttp.ClientError, OSError):
                status = 0
            if status in GOOD:
                return True
            await asyncio.sleep(FIRST_WAIT_S * 2**attempt)
        return False

    def _lose(self) -> None:
        _log.warning("a subscriber missed a batch; it will be told every car anew")
        self._pending, self._weight = [], 0
        self._resync()


def _weight(event: BackendEvent) -> int:
    return len(event.snapshots) if isinstance(event, SnapshotsSeen) else 1


async def _challenge(http: aiohttp.ClientSession, subscriber: Subscriber) -> None:
    challenge = secrets.token_hex(16)
    try:
        status, body = await _post(
            http, subscriber, dump_delivery(EventDelivery(str(uuid.uuid4()), challenge=challenge))
        )
        answer = str(orjson.loads(body)["answer"]) if status in GOOD else ""
    except (TimeoutError, aiohttp.ClientError, OSError, orjson.JSONDecodeError, KeyError, TypeError):
        answer = ""
    if not same_secret(answer, signatures.answer(subscriber.secret, challenge)):
        raise BackendError(ErrorCode.NOT_PERMITTED, "url: did not answer the challenge with the secret")


async def _post(http: aiohttp.ClientSession, subscriber: Subscriber, body: bytes) -> tuple[int, bytes]:
    now_s = int(time.time())
    headers = {
        "Content-Type": "application/json",
        signatures.TIMESTAMP_HEADER: str(now_s),
        signatures.SIGNATURE_HEADER: signatures.sign(subscriber.secret, now_s, body),
    }
    async with http.post(subscriber.url, data=body, headers=headers, allow_redirects=False) as response:
        return response.status, await response.content.read(MAX_ANSWER_BYTES)
