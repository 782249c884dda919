"""Listen for a vendor's webhooks: any signature, any body; what is genuine goes to one bounded queue, each once.

The automaker's file says whether a body is genuine and what it means. A body that is not genuine is answered 401 before
it is read. What the line (`intake`) does not answer for is answered 503, so the vendor delivers it again.
"""

import dataclasses
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from ven_adapters.contract import BackendError, BackendEvent, ErrorCode
from ven_adapters.transport.http.listener import receiving
from ven_adapters.transport.http.webhook_queue import Intake
from vtn.bounds import ConnectionBounds
from vtn.listening.http import proven, same_secret
from vtn.listening.sockets import ListenAddress

REFUSALS = {ErrorCode.RATE_LIMITED: 429, ErrorCode.BACKEND_TRANSIENT: 503}
MAX_BODY_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookAddress:
    """Where to listen, and the secret that signs."""

    secret: str = dataclasses.field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    bounds: ConnectionBounds = dataclasses.field(default_factory=ConnectionBounds)


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookBody:
    """What a body means: events for the backend, or an answer to a challenge; `once` (else its bytes) tells repeats."""

    events: tuple[BackendEvent, ...] = ()
    answer: Mapping[str, Any] | None = None
    once: str | None = None


Genuine = Callable[[Mapping[str, str], bytes], bool]
Read = Callable[[Any], WebhookBody]
Challenged = Callable[[bytes], WebhookBody | None]


def keyed_digest(secret: str, body: bytes, hash_name: str) -> str:
    """The hex HMAC of a raw body, as vendors sign."""
    return hmac.new(secret.encode(), body, getattr(hashlib, hash_name)).hexdigest()


def same(given: str | None, expected: str) -> bool:
    """Compare signatures in constant time."""
    return same_secret(given, expected)


class Pushes:
    """An HTTP listener for one vendor."""

    def __init__(
        self, door: WebhookAddress, genuine: Genuine, read: Read, challenged: Challenged | None = None
    ) -> None:
        self._door, self._genuine, self._read, self._challenged = door, genuine, read, challenged
        self._intake = Intake()
        self.port = door.port

    async def events(self) -> AsyncIterator[BackendEvent]:
        """Listen until closed; what comes, in order."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/", self._post)
        where = ListenAddress(self._door.host, self._door.port, "webhook_port")
        async with receiving(app, where, self._door.bounds) as self.port:
            while True:
                for event in await self._intake.batch():
                    yield event

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            meaning = self._meaning(request.headers, body)
        except BackendError as error:
            return web.Response(status=REFUSALS.get(error.code, 400), text=error.detail)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            _log.warning("a webhook body was refused: it is not of the documented shape")
            return web.Response(status=400, text="body: is not of the documented shape")
        if meaning is None:
            return web.Response(status=401, text="signature does not match")
        if meaning.answer is None:
            proven(request)
        return await self._take(meaning, body)

    def _meaning(self, headers: Mapping[str, str], body: bytes) -> WebhookBody | None:
        """None for a body that is not genuine. A vendor's challenge comes unsigned: its answer proves us, not them."""
        if self._genuine(headers, body):
            return self._read(orjson.loads(body))
        return None if self._challenged is None else self._challenged(body)

    async def _take(self, meaning: WebhookBody, body: bytes) -> web.Response:
        if meaning.answer is not None:
            return web.Response(body=orjson.dumps(meaning.answer), content_type="application/json")
        if await self._intake.offer(meaning.once or hashlib.sha256(body).hexdigest(), meaning.events):
            return web.Response(status=200)
        return web.Response(status=503, headers={"Retry-After": "1"})
