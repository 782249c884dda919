"""Deliver a vendor's webhooks: one address, signed bodies in order, each tried a few times and then dropped.

A vendor does not know whether anybody listens. Where nobody does, bodies are dropped at once; the first that arrives
after that has every car told anew.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson

ATTEMPTS = 4
WAIT_S = 0.1
ANSWER_S = 5.0
MOST_WAITING = 10_000
MAX_ANSWER_BYTES = 4_096
GOOD = range(200, 300)

_log = logging.getLogger(__name__)

Sign = Callable[[bytes], Mapping[str, str]]


class Hooks:
    """The one webhook of an application; nothing is delivered before `open`."""

    def __init__(self, resync: Callable[[], None]) -> None:
        self._resync = resync
        self._url = ""
        self._sign: Sign = _unsigned
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._last: bytes | None = None
        self._missed = False

    def open(self, url: str, sign: Sign) -> None:
        """Deliver to an address from now on."""
        self._url, self._sign = url, sign
        self._task = asyncio.create_task(self._run())

    def offer(self, body: Any) -> None:
        """Have a body delivered."""
        if self._task is None:
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(orjson.dumps(body))

    async def repeat(self) -> bool:
        """Deliver the last body that arrived once more, byte for byte."""
        if self._last is None:
            return False
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
            return await self._post(http, self._last) in GOOD

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
            while True:
                await self._deliver(http, await self._waiting.get())

    async def _deliver(self, http: aiohttp.ClientSession, body: bytes) -> None:
        for attempt in range(ATTEMPTS):
            status = await self._post(http, body)
            if status in GOOD:
                self._last = body
                if self._missed:
                    self._missed = False
                    self._resync()
                return
            if status == 0:  # nobody listens
                break
            await asyncio.sleep(WAIT_S * 2**attempt)
        self._missed = True

    async def _post(self, http: aiohttp.ClientSession, body: bytes) -> int:
        headers = {"Content-Type": "application/json", **self._sign(body)}
        try:
            async with http.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                await response.content.read(MAX_ANSWER_BYTES)
                return response.status
        except (TimeoutError, aiohttp.ClientError, OSError):
            return 0


def _unsigned(_: bytes) -> Mapping[str, str]:
    return {}
