"""The door of the central system: a listening websocket, who may come in, and how many.

Security profiles of OCPP: 1 is basic authentication in the clear, here on loopback only; 2 is basic authentication
inside TLS; 3 is TLS with the station's own certificate, whose common name is the station's identity. An unknown station
and a wrong password get the same answer in the same time, and who guesses too often is not heard. Knows no frames.
"""

import asyncio
import dataclasses
import hashlib
import hmac
import http
import ipaddress
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHeader
from websockets.headers import parse_authorization_basic
from websockets.http11 import Request, Response

from ven_adapters.transport.ocpp21.frames import SUBPROTOCOL
from ven_adapters.transport.ocpp21.guesses import Guesses

HANDSHAKE_S = 10.0
QUEUED_FRAMES = 16
BASIC_IN_CLEAR, BASIC_IN_TLS, CLIENT_CERTIFICATE = 1, 2, 3

_log = logging.getLogger(__name__)
_wire = logging.getLogger(f"{__name__}.wire")  # handshakes with their headers: never to be printed
_wire.setLevel(logging.CRITICAL)


@dataclasses.dataclass(frozen=True, slots=True)
class DoorSettings:
    """Where to listen and whom to let in: passwords by station identity (None where a certificate is asked for)."""

    host: str
    port: int
    profile: int
    passwords: Mapping[str, str | None] = dataclasses.field(repr=False)
    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None
    connections: int = 1000
    frame_bytes: int = 65_536
    ping_s: float = 20.0


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_of(door: DoorSettings) -> ssl.SSLContext | None:
    """The TLS of a security profile, 1.2 at least; None for profile 1. OSError (ssl.SSLError) when a file is bad."""
    if door.profile == BASIC_IN_CLEAR or door.certificate is None:
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(door.certificate, door.private_key)
    if door.profile == CLIENT_CERTIFICATE:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(door.client_ca)
    return tls


def station_of(path: str) -> str:
    """The identity that a station puts last in the path of its address."""
    return unquote(path.split("?", 1)[0].rsplit("/", 1)[-1])


def password_fits(passwords: Mapping[str, str | None], station: str, authorization: str | None) -> bool:
    """Whether basic credentials name this station and carry its password; the time taken tells nothing."""
    try:
        user, given = parse_authorization_basic(authorization or "")
    except (InvalidHeader, ValueError):
        user, given = "", ""
    kept = passwords.get(station)
    same = hmac.compare_digest(_digest(given), _digest(kept or ""))
    return bool(same and kept and hmac.compare_digest(_digest(user), _digest(station)))


def certificate_fits(station: str, certificate: Mapping[str, Any] | None) -> bool:
    """Whether a verified certificate was made out to this station."""
    names = [value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return names == [station]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Door:
    """Listens. `welcome` gets every admitted station's identity and socket, and owns the socket until it returns."""

    def __init__(self, settings: DoorSettings, welcome: Callable[[str, ServerConnection], Awaitable[None]]) -> None:
        self._settings = settings
        self._welcome = welcome
        self._guesses = Guesses()
        self._server: Server | None = None

    async def open(self) -> int:
        """Listen; the port that was given, or the free one that port 0 found."""
        settings, limit = self._settings, self._settings.connections

        class Counted(ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                if len(self.server.handlers) > limit:
                    self.transport.abort()

        tls = tls_of(settings)
        self._server = await serve(
            self._enter,
            settings.host,
            settings.port,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            process_request=self._admit,
            create_connection=Counted,
            compression=None,
            server_header=None,
            open_timeout=HANDSHAKE_S,
            ping_interval=settings.ping_s,
            ping_timeout=settings.ping_s,
            close_timeout=min(HANDSHAKE_S, settings.ping_s),
            max_size=settings.frame_bytes,
            max_queue=QUEUED_FRAMES,
            logger=_wire,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_S if tls else None,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

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
        if settings.profile == CLIENT_CERTIFICATE:
            certificate = connection.transport.get_extra_info("peercert")
            return station in settings.passwords and certificate_fits(station, certificate)
        given = request.headers.get_all("Authorization")
        return password_fits(settings.passwords, station, given[0] if len(given) == 1 else None)

    async def _enter(self, connection: ServerConnection) -> None:
        try:
            await self._welcome(str(connection.username), connection)
        except ConnectionClosed:
            return
        except Exception:
            _log.exception("a station's line failed")
            raise
