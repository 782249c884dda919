"""The listener of the central system: a listening websocket, who may come in, and which version of OCPP is spoken.

Security profiles of OCPP: 1 is basic authentication in the clear, here on loopback only; 2 is basic authentication
inside TLS; 3 is TLS with the station's own certificate, whose common name is the station's identity. An unknown station
and a wrong password get the same answer in the same time, and who guesses too often is not heard. A station that offers
no version that we speak is told so in a sentence, and named in the log once. A connection whose handshake is not done
never takes the place of a station's. Knows no frames.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ven_adapters.transport.ocpp21.frames import SUBPROTOCOLS
from ven_adapters.transport.ocpp21.settings import CLIENT_CERTIFICATE, CentralSettings
from vtn.limits import Limit
from vtn.listening.accepting import Acceptor, raise_files_limit
from vtn.listening.gate import ConnectionGate, ConnectionSlot
from vtn.listening.sockets import ListenAddress, bound, port_of

CLOSING_S = 10.0
QUEUED_FRAMES = 16
SPOKEN = ", ".join(SUBPROTOCOLS)
LONGEST_OFFER, LONGEST_REASON = 60, 123  # characters of what a station offers; bytes of a closing frame's reason

_log = logging.getLogger(__name__)
_wire = logging.getLogger(f"{__name__}.wire")  # handshakes with their headers: never to be printed
_wire.setLevel(logging.CRITICAL)
AT_ONCE, EVERY_S = 10.0, 30.0
REMEMBERED = 10_000

_AUTHORIZATION_KEY = re.compile(r"[0-9a-fA-F]{40}")

Who = tuple[str, str]


def station_of(path: str) -> str:
    """The identity that a station puts last in the path of its address."""
    return unquote(path.split("?", 1)[0].rsplit("/", 1)[-1])


def password_fits(passwords: Mapping[str, str | None], station: str, authorization: str | None) -> bool:
    """Whether basic credentials name this station and carry its password; the time taken tells nothing.

    A password of 40 hexadecimal digits may also come as the 20 bytes that they stand for (OCPP 1.6J, 6.2: the
    AuthorizationKey is set in hexadecimal and sent as it is).
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    try:
        user, _, given = base64.b64decode(encoded.strip() if scheme.lower() == "basic" else "").partition(b":")
    except ValueError:
        user, given = b"", b""
    kept = passwords.get(station) or ""
    raw = bytes.fromhex(kept) if _AUTHORIZATION_KEY.fullmatch(kept) else kept.encode()
    fits = [hmac.compare_digest(_digest(given), _digest(one)) for one in (kept.encode(), raw)]
    return bool(any(fits) and kept and hmac.compare_digest(_digest(user), _digest(station.encode())))


def certificate_fits(station: str, certificate: Mapping[str, Any] | None) -> bool:
    """Whether a verified certificate was made out to this station."""
    names = [value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return names == [station]


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


class OcppHandshake(ServerProtocol):
    """An opening handshake, which remembers which versions a station offers.

    When it offers none that we speak, the handshake is completed without one and the connection closed at once, as
    OCPP-J has it (part 4, the section on the connection's URL and subprotocol); RFC 6455, 4.2.2, leaves the choice.
    """

    offered: tuple[str, ...] = ()

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """The best of ours that is offered."""
        self.offered = tuple(subprotocols)
        best = next((name for name in SUBPROTOCOLS if name in subprotocols), None)
        return None if best is None else cast("Subprotocol", best)


class AdmittedSocket(ServerConnection):
    """One station's connection, with its place at the port."""

    slot: ConnectionSlot | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self.slot is not None:
            self.slot.leave()
        super().connection_lost(exc)


class StationListener:
    """Listens. `welcome` gets every admitted station's identity and socket, and owns the socket until it returns.

    `unsupported` tells what known stations offer that speak no version of ours; it holds one entry a station.
    """

    def __init__(self, settings: CentralSettings, welcome: Callable[[str, ServerConnection], Awaitable[None]]) -> None:
        self._settings = settings
        self._welcome = welcome
        self._guesses = Guesses()
        self._server: Server | None = None
        self._open = contextlib.AsyncExitStack()
        self.unsupported: dict[str, str] = {}

    async def open(self) -> int:
        """Listen; the port that was given, or the free one that port 0 found. CannotListen, an OSError, otherwise."""
        settings, bounds = self._settings, self._settings.listening
        tls = settings.tls()
        sockets = bound(ListenAddress(settings.host, settings.port, "backend.port"), bounds.patience_s)
        server = Server(
            self._enter,
            process_request=self._admit,
            server_header=None,
            open_timeout=bounds.patience_s,
            logger=_wire,
        )
        acceptor = Acceptor(
            lambda: self._connection(server),
            sockets,
            ConnectionGate(bounds, files=raise_files_limit()),
            tls=tls.context if tls else None,
            patience_s=bounds.patience_s,
        )
        acceptor.start()
        server.wrap(cast("asyncio.Server", acceptor))
        self._server = server
        if tls is not None:
            await self._open.enter_async_context(tls.watched())
        return port_of(sockets)

    def _connection(self, server: Server) -> AdmittedSocket:
        settings = self._settings
        spoken = [cast("Subprotocol", name) for name in SUBPROTOCOLS]
        handshake = OcppHandshake(subprotocols=spoken, max_size=settings.frame_bytes, logger=_wire)
        return AdmittedSocket(
            handshake,
            server,
            ping_interval=settings.ping_s,
            ping_timeout=settings.ping_s,
            close_timeout=min(CLOSING_S, settings.ping_s),
            max_queue=QUEUED_FRAMES,
        )

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        await self._open.aclose()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        station = station_of(request.path)
        who = str(connection.remote_address[0]), station if station in self._settings.passwords else ""
        now = datetime.now(UTC)
        wait_s = self._guesses.wait_s(who, now)
        if wait_s:
            again = Headers({"Retry-After": str(math.ceil(wait_s)), "Content-Length": "0", "Connection": "close"})
            return Response(http.HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests", again)
        if self._fits(connection, station, request):
            connection.username = station
            return None
        self._guesses.wrong(who, now)
        headers = Headers({"WWW-Authenticate": 'Basic realm="ocpp"', "Content-Length": "0", "Connection": "close"})
        return Response(http.HTTPStatus.UNAUTHORIZED, "Unauthorized", headers)

    def _fits(self, connection: ServerConnection, station: str, request: Request) -> bool:
        settings = self._settings
        if settings.security_profile == CLIENT_CERTIFICATE:
            certificate = connection.transport.get_extra_info("peercert")
            return station in settings.passwords and certificate_fits(station, certificate)
        given = request.headers.get_all("Authorization")
        return password_fits(settings.passwords, station, given[0] if len(given) == 1 else None)

    async def _enter(self, connection: ServerConnection) -> None:
        station = str(connection.username)
        if connection.subprotocol is None:
            await self._turn_away(station, connection)
            return
        self.unsupported.pop(station, None)
        if isinstance(connection, AdmittedSocket) and connection.slot is not None:
            connection.slot.prove()
        try:
            await self._welcome(station, connection)
        except ConnectionClosed:
            return
        except Exception:
            _log.exception("a station's line failed")
            raise

    async def _turn_away(self, station: str, connection: ServerConnection) -> None:
        """Tell a station, and once the log, that it speaks no version of ours."""
        protocol = connection.protocol
        names = protocol.offered if isinstance(protocol, OcppHandshake) else ()
        offered = ", ".join(names)[:LONGEST_OFFER] or "none"
        if self.unsupported.get(station) != offered:
            self.unsupported[station] = offered
            _log.warning("station %s is refused: it offers %s, and we speak %s", station, offered, SPOKEN)
        reason = f"refused: we speak {SPOKEN}; you offer {offered}"
        await connection.close(CloseCode.PROTOCOL_ERROR, reason[:LONGEST_REASON])


class Guesses:
    """Wrong passwords, ten at once for one station from one address and then one each half minute, in bounded memory.

    Who has spent them is refused without being heard, with the right password too, until some time has passed. Instants
    are real time.
    """

    def __init__(self) -> None:
        self._limit = Limit(AT_ONCE, 1.0 / EVERY_S, REMEMBERED)

    def __len__(self) -> int:
        return len(self._limit)

    def wait_s(self, who: Who, now: datetime) -> float:
        """How long this one has to wait before he is heard again; 0.0 for most."""
        return max(0.0, self._limit.early_s(who, now.timestamp()))

    def wrong(self, who: Who, now: datetime) -> None:
        """A guess was wrong; when none was left, nothing is booked."""
        self._limit.wait_s(who, now.timestamp())
