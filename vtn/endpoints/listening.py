"""Connections that wait for nobody for ever, and that answer what is no HTTP like any other refusal.

aiohttp bounds the size of a head and leaves its time to a proxy; an OpenADR server may stand without one. The head of
each request must be complete within `patience_s`; its body has the same time (`door.read_body`), and so has a client
that stops taking its answer, which the operating system watches (`TCP_USER_TIMEOUT`, Linux).
"""

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web

from vtn.endpoints import requestid
from vtn.endpoints.problems import problem

LINGER_S = 10.0  # for what is left of a body that was refused, so that its sender hears why
IDLE_S = 620.0  # longer than load balancers keep a connection, so that they never send into one that closes

log = logging.getLogger("vtn.http")


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_late", "_patience_s")

    def __init__(self, server: web.Server, *, patience_s: float, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._patience_s = patience_s
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Await nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; when they begin a head and do not finish it, its time runs from the first of them."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_waiting()
        elif self._late is None and self._between_requests():
            self._await_head()

    def _between_requests(self) -> bool:
        """Whether bytes that come now are of no request that has begun."""
        if self._messages:
            return bool(self._messages[-1][1].is_eof())
        return self._current_request is None or self._current_request.content.is_eof()

    def _await_head(self) -> None:
        self._late = self._loop.call_later(self._patience_s, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _hang_up(self) -> None:
        """The head is late; a request before it is answered first."""
        self._late = None
        if self._waiter is None or self._waiter.done():
            self._await_head()
        else:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or failed outside of every handler: a problem document, and the end of the connection."""
        requestid.begin()
        known = HTTPStatus(status)
        if known is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("failed outside of any operation", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        detail = (
            "the server failed"
            if known >= HTTPStatus.INTERNAL_SERVER_ERROR
            else f"this is no HTTP request: {_first_line(message)}"
        )
        answer = problem(known, detail)
        answer.force_close()
        return answer


def _first_line(message: str | None) -> str:
    return (message or "it cannot be read").strip().split("\n")[0].rstrip(":")[:200]


class Listener(web.Server):
    """Makes a `Connection` for each client."""

    def __init__(self, inner: web.Server, patience_s: float, **settings: Any) -> None:
        super().__init__(inner.request_handler, request_factory=inner.request_factory)
        self._settings = {"patience_s": patience_s, **settings}

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return Connection(self, loop=self._loop, **self._settings)


class Runner(web.AppRunner):
    """Runs an application behind a `Listener`. Request bodies stay coded; `door.read_body` decodes them, bounded."""

    def __init__(self, app: web.Application, patience_s: float) -> None:
        super().__init__(app, access_log=None, handle_signals=False)
        self._patience_s = patience_s

    async def _make_server(self) -> web.Server:
        inner = await super()._make_server()
        return Listener(
            inner,
            self._patience_s,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_S,
            lingering_time=min(LINGER_S, self._patience_s),
            tcp_keepalive=True,
        )


async def expected(request: web.Request) -> None:
    """Answer `Expect: 100-continue`; any other expectation is one that a server may pass over (RFC 9110, 10.1.1)."""
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def impatient(sock: socket.socket, patience_s: float) -> None:
    """Have connections on this listening socket end when the other side stops taking what it asked for."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))
