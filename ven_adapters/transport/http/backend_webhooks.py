"""Receive a backend's pushes: signed bodies over HTTP into one bounded line (`intake`), each batch once.

A body that is not genuine is refused before it is read. What the line does not answer for is answered 503, so the
backend keeps the batch and delivers it again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

import orjson
from aiohttp import web

from ven_adapters.contract import BackendError, BackendEvent
from ven_adapters.transport.http import signatures
from ven_adapters.transport.http.codec import load_delivery
from ven_adapters.transport.http.listener import receiving
from ven_adapters.transport.http.webhook_queue import IN_LINE, PATIENCE_S, Intake
from vtn.bounds import ConnectionBounds
from vtn.clock import Clock
from vtn.listening.http import proven
from vtn.listening.sockets import ListenAddress

MAX_BODY_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


class WebhookReceiver:
    """An HTTP listener for one backend's webhooks."""

    def __init__(
        self,
        secret: str,
        clock: Clock,
        *,
        queued: int = IN_LINE,
        patience_s: float = PATIENCE_S,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._unix_s = unix_s
        self._intake = Intake(queued, patience_s)
        self._open = contextlib.AsyncExitStack()

    async def start(self, host: str, port: int, bounds: ConnectionBounds | None = None) -> int:
        """Listen; the port that was given, or the free one that port 0 found."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/", self._post)
        where = ListenAddress(host, port, "webhook_port")
        return await self._open.enter_async_context(receiving(app, where, bounds or ConnectionBounds()))

    async def stop(self) -> None:
        """Stop listening; stopping twice is harmless."""
        await self._open.aclose()

    async def batch(self, quiet_s: float) -> Sequence[BackendEvent]:
        """The next batch; empty when nothing came for `quiet_s` real seconds."""
        try:
            async with asyncio.timeout(quiet_s):
                return await self._intake.batch()
        except TimeoutError:
            return ()

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = request.headers
        wrong = signatures.verify(
            self._secret,
            headers.get(signatures.TIMESTAMP_HEADER),
            headers.get(signatures.SIGNATURE_HEADER),
            body,
            now_s=self._unix_s(),
        )
        if wrong is not None:
            return web.Response(status=401, text=wrong)
        proven(request)
        return await self._take(body)

    async def _take(self, body: bytes) -> web.Response:
        try:
            delivery = load_delivery(body, received_at=self._clock.now())
        except BackendError as error:
            _log.warning("a webhook body was refused: %s", error.detail)
            return web.Response(status=400, text=error.detail)
        if delivery.challenge is not None:
            answer = {"answer": signatures.answer(self._secret, delivery.challenge)}
            return web.Response(body=orjson.dumps(answer), content_type="application/json")
        if await self._intake.offer(delivery.event_id, delivery.events):
            return web.Response(status=200)
        return web.Response(status=503, headers={"Retry-After": "1"})
