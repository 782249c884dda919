"""aiohttp applications behind the gate: connections that wait for nobody for ever, and keep what keep-alive promises.

aiohttp bounds the size of a head and leaves its time to a proxy; a server of ours may stand without one. The head of
each request must be complete within `patience_s`, and so must its body; a client that stops taking its answer has the
same time, which the operating system watches (`TCP_USER_TIMEOUT`, Linux). What is no HTTP is answered like any other
refusal, and leaves none of its bytes in a log.
"""

import asyncio
import contextlib
import dataclasses
import hmac
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, StreamReader, web

from vtn.bounds import ConnectionBounds
from vtn.listening.accepting import Acceptor, raise_files_limit
from vtn.listening.gate import ConnectionGate, ConnectionSlot
from vtn.listening.sockets import ListenAddress, bound, port_of
from vtn.tls import ServerTls

LINGER_S = 10.0  # for what is left of a body that was refused, so that its sender hears why
SHUTDOWN_S = 60.0  # for answers that are under way when the server stops
LONGEST_DETAIL = 200
TOO_SLOW = "the body did not arrive in time"

log = logging.getLogger("vtn.http")
Refusal = Callable[[HTTPStatus, str], web.Response]


def plain_refusal(status: HTTPStatus, detail: str) -> web.Response:
    """A refusal in plain text."""
    return web.Response(status=status, text=detail)


@dataclasses.dataclass(frozen=True, slots=True)
class HttpOptions:
    """How a port is served. `refusal` makes the answer to what is no HTTP and to what failed outside of a handler."""

    bounds: ConnectionBounds = dataclasses.field(default_factory=ConnectionBounds)
    tls: ServerTls | None = None
    refusal: Refusal = plain_refusal
    auto_decompress: bool = True
    shutdown_s: float = SHUTDOWN_S


class HttpConnection(web.RequestHandler):
    """One client's connection.

    Two clocks never run at once: one for a head that has begun (or, at first, that has not), one for a body that is
    not whole. Between requests neither runs; then the connection is kept for `idle_s`.
    """

    __slots__ = ("_body", "_late", "_patience_s", "_refusal", "_seen", "slot")

    def __init__(self, server: web.Server, *, patience_s: float, refusal: Refusal, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._patience_s = patience_s
        self._refusal = refusal
        self._late: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        self._seen = 0
        self.slot: ConnectionSlot | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await the first head."""
        super().connection_made(transport)
        self._await(self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Await nothing more."""
        self._stop_waiting()
        self._body = None
        if self.slot is not None:
            self.slot.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; aiohttp calls this without any to have it go on with what it had put aside."""
        between_requests = self._body is None or self._body.is_eof()
        super().data_received(data)
        if self._request_count != self._seen:
            self._seen = self._request_count
            self._body = self._messages[-1][1] if self._messages else None
            self._stop_waiting()
            if self._body is not None and not self._body.is_eof():
                self._await(self._body_is_late)
        elif not between_requests:
            if self._body is not None and self._body.is_eof():
                self._stop_waiting()
        elif data and self._late is None:
            self._await(self._head_is_late)

    def _await(self, late: Callable[[], None]) -> None:
        self._late = self._loop.call_later(self._patience_s, late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        """Hang up; a request before it is answered first."""
        self._late = None
        if self._waiter is None or self._waiter.done():
            self._await(self._head_is_late)
        else:
            self.force_close()

    def _body_is_late(self) -> None:
        """Whoever reads the body is told, as of a request that is to be answered 408; nobody waits for the rest."""
        self._late = None
        if self._reading_paused or self._buffer_paused:  # it is our own side that is late
            self._await(self._body_is_late)
        elif self._messages or self._current_request is not None:
            self._lingering_time = 0.0
            if self._body is not None:
                self._body.set_exception(web.HTTPRequestTimeout(text=TOO_SLOW))
        else:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or failed outside of every handler: a refusal, and the end of the connection."""
        known = HTTPStatus(status)
        if known >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("failed outside of any operation", exc_info=exc)
            detail = "the server failed"
        else:
            log.info("what came was no HTTP and was refused: %s", type(exc).__name__)
            detail = f"this is no HTTP request: {_first_line(message)}"
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        answer = self._refusal(known, detail)
        answer.force_close()
        return answer


def _first_line(message: str | None) -> str:
    return (message or "it cannot be read").strip().split("\n")[0].rstrip(":")[:LONGEST_DETAIL]


class HttpServer(web.Server):
    """Makes an `HttpConnection` for each client."""

    def __init__(self, inner: web.Server, **settings: Any) -> None:
        super().__init__(inner.request_handler, request_factory=inner.request_factory)
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return HttpConnection(self, loop=self._loop, **self._settings)


class HttpRunner(web.AppRunner):
    """Runs an application whose clients have `HttpConnection`s; it logs no access and handles no signals."""

    def __init__(self, app: web.Application, options: HttpOptions) -> None:
        super().__init__(app, access_log=None, handle_signals=False, shutdown_timeout=options.shutdown_s)
        self._options = options

    async def _make_server(self) -> web.Server:
        options, bounds = self._options, self._options.bounds
        return HttpServer(
            await super()._make_server(),
            patience_s=bounds.patience_s,
            refusal=options.refusal,
            access_log=None,
            logger=log,
            auto_decompress=options.auto_decompress,
            keepalive_timeout=bounds.idle_s,
            lingering_time=min(LINGER_S, bounds.patience_s),
            max_line_size=bounds.head_line_bytes,
            max_field_size=bounds.head_line_bytes,
            max_headers=bounds.head_fields,
            tcp_keepalive=True,
        )


class HttpSite(web.BaseSite):
    """Bound sockets at which a runner answers; its connections pass the gate."""

    __slots__ = ("_bounds", "_sockets")

    def __init__(self, runner: HttpRunner, sockets: Sequence[socket.socket], options: HttpOptions) -> None:
        super().__init__(runner, ssl_context=options.tls.context if options.tls else None)
        self._sockets = sockets
        self._bounds = options.bounds

    @property
    def name(self) -> str:
        """The first address, as a URL without a path."""
        host, port = self._sockets[0].getsockname()[:2]
        return f"{'https' if self._ssl_context else 'http'}://{host}:{port}"

    async def start(self) -> None:
        """Listen."""
        await super().start()
        gate = ConnectionGate(self._bounds, files=raise_files_limit())
        tls, patience_s = self._ssl_context, self._bounds.patience_s
        acceptor = Acceptor(self._runner.server, self._sockets, gate, tls=tls, patience_s=patience_s)  # type: ignore[arg-type]
        acceptor.start()
        self._server = acceptor  # type: ignore[assignment] # aiohttp asks it for its sockets and closes it


@contextlib.asynccontextmanager
async def served(app: web.Application, sockets: Sequence[socket.socket], options: HttpOptions) -> AsyncIterator[None]:
    """Answer at bound sockets, which are closed at the end; certificates are renewed meanwhile."""
    runner = HttpRunner(app, options)
    async with contextlib.AsyncExitStack() as stack:
        for sock in sockets:
            stack.callback(sock.close)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await HttpSite(runner, sockets, options).start()
        if options.tls is not None:
            await stack.enter_async_context(options.tls.watched())
        yield


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, where: ListenAddress, options: HttpOptions | None = None
) -> AsyncIterator[int]:
    """An application that answers at an address, for the length of a block; its port. CannotListen when it cannot."""
    options = options or HttpOptions()
    sockets = bound(where, options.bounds.patience_s)
    port = port_of(sockets)
    async with served(app, sockets, options):
        yield port


def proven(request: web.BaseRequest) -> None:
    """Note that this request carried a valid credential: its connection is not closed for anybody else's."""
    connection = request.protocol
    if isinstance(connection, HttpConnection) and connection.slot is not None:
        connection.slot.prove()


def same_secret(given: str | None, held: str) -> bool:
    """Whether what came is the secret that is held, in constant time; nothing is the same as an empty one.

    Header fields may hold any bytes, which come as surrogates: they are compared as bytes and are never the same.
    """
    return bool(held) and hmac.compare_digest((given or "").encode("utf-8", "surrogatepass"), held.encode())


async def expected(request: web.Request) -> None:
    """Answer `Expect: 100-continue`; any other expectation is one that a server may pass over (RFC 9110, 10.1.1)."""
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
