"""Receive webhooks: any signature, any body; what is genuine goes into one bounded line, each batch once.

A body that is not genuine is answered 401 before it is read. What the line (`webhook_queue`) does not answer for is
answered 503, so the sender keeps the batch and delivers it again.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from ven_adapters.contract import BackendError, BackendEvent, ErrorCode
from ven_adapters.transport.http import signatures
from ven_adapters.transport.http.codec import load_delivery
from ven_adapters.transport.http.webhook_queue import Intake
from ven_adapters.transport.settings import LOOPBACK_HOST
from vtn.bounds import ConnectionBounds
from vtn.clock import Clock
from vtn.listening.http import HttpOptions, listening, proven, same_secret
from vtn.listening.sockets import CannotListen, ListenAddress

REFUSALS = {ErrorCode.RATE_LIMITED: 429, ErrorCode.BACKEND_TRANSIENT: 503}
MAX_BODY_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookAddress:
    """Where to listen, and the secret that signs."""

    secret: str = dataclasses.field(repr=False)
    host: str = LOOPBACK_HOST
    port: int = 0
    bounds: ConnectionBounds = dataclasses.field(default_factory=ConnectionBounds)


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookBody:
    """What a body means: events for the backend, or an answer to a challenge; `once` (else its bytes) tells repeats."""

    events: Sequence[BackendEvent] = ()
    answer: Mapping[str, Any] | None = None
    once: str | None = None


Verify = Callable[[Mapping[str, str], bytes], str | None]
"""By headers and raw body: None when it is genuine, else what is wrong with it."""
Read = Callable[[bytes], WebhookBody]
Challenged = Callable[[bytes], WebhookBody | None]
"""The answer to an unsigned body, if it is a challenge: that proves us to the sender, and the sender not to us."""


class WebhookReceiver:
    """An HTTP listener for one sender, who is known by `verify` and understood by `read`."""

    def __init__(
        self,
        address: WebhookAddress,
        verify: Verify,
        read: Read,
        *,
        challenged: Challenged | None = None,
        intake: Intake | None = None,
    ) -> None:
        self._address, self._verify, self._read, self._challenged = address, verify, read, challenged
        self._intake = intake or Intake()
        self._open = contextlib.AsyncExitStack()
        self.port = address.port

    async def start(self) -> int:
        """Listen; the port that was given, or the free one that port 0 found.

        BACKEND_TRANSIENT while somebody else has it: it may be ours again.
        """
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/", self._post)
        where = ListenAddress(self._address.host, self._address.port, "webhook_port")
        try:
            self.port = await self._open.enter_async_context(listening(app, where, HttpOptions(self._address.bounds)))
        except CannotListen as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, str(error)) from None
        return self.port

    async def stop(self) -> None:
        """Stop listening; stopping twice is harmless."""
        await self._open.aclose()

    async def batch(self, quiet_s: float | None = None) -> Sequence[BackendEvent]:
        """The next batch; empty when nothing came for `quiet_s` real seconds."""
        try:
            async with asyncio.timeout(quiet_s):
                return await self._intake.batch()
        except TimeoutError:
            return ()

    async def events(self) -> AsyncIterator[BackendEvent]:
        """Listen until closed; what comes, in order."""
        await self.start()
        try:
            while True:
                for event in await self.batch():
                    yield event
        finally:
            await self.stop()

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            wrong = self._verify(request.headers, body)
            if wrong is None:
                proven(request)
                meaning: WebhookBody | None = self._read(body)
            else:
                meaning = None if self._challenged is None else self._challenged(body)
        except BackendError as error:
            _log.warning("a webhook body was refused: %s", error.detail)
            return web.Response(status=REFUSALS.get(error.code, 400), text=error.detail)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            _log.warning("a webhook body was refused: it is not of the documented shape")
            return web.Response(status=400, text="body: is not of the documented shape")
        if meaning is None:
            return web.Response(status=401, text=wrong)
        if meaning.answer is not None:
            return web.Response(body=orjson.dumps(meaning.answer), content_type="application/json")
        if await self._intake.offer(meaning.once or hashlib.sha256(body).hexdigest(), meaning.events):
            return web.Response(status=200)
        return web.Response(status=503, headers={"Retry-After": "1"})


def keyed_digest(secret: str, body: bytes, hash_name: str) -> str:
    """The hex HMAC of a raw body, as vendors sign."""
    return hmac.new(secret.encode(), body, getattr(hashlib, hash_name)).hexdigest()


def digest_in(header: str, secret: str, hash_name: str, prefix: str = "") -> Verify:
    """Verifies a vendor's signature: the keyed digest of the body in a header, after a prefix; in constant time."""

    def verify(headers: Mapping[str, str], body: bytes) -> str | None:
        genuine = same_secret(headers.get(header), prefix + keyed_digest(secret, body, hash_name))
        return None if genuine else "signature does not match"

    return verify


def backend_webhooks(
    address: WebhookAddress, clock: Clock, *, intake: Intake | None = None, unix_s: Callable[[], float] = time.time
) -> WebhookReceiver:
    """The receiver for an automaker's own backend: signed and stamped by `signatures`, in the words of `codec`."""

    def verify(headers: Mapping[str, str], body: bytes) -> str | None:
        stamp, signature = headers.get(signatures.TIMESTAMP_HEADER), headers.get(signatures.SIGNATURE_HEADER)
        return signatures.verify(address.secret, stamp, signature, body, now_s=unix_s())

    def read(body: bytes) -> WebhookBody:
        delivery = load_delivery(body, received_at=clock.now())
        if delivery.challenge is None:
            return WebhookBody(delivery.events, once=delivery.event_id)
        return WebhookBody(answer={"answer": signatures.answer(address.secret, delivery.challenge)})

    return WebhookReceiver(address, verify, read, intake=intake)
