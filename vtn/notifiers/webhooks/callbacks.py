"""The HTTP client for callback URLs: one POST, or the echo challenge before a subscription is stored.

It follows no redirect, keeps no cookie, reads no answer longer than it needs, and connects to no address that its
guard refuses: the check sits where the socket is made, so a name cannot point elsewhere between check and use. What is
owed to whom, and how a call is signed, is not known here.
"""

import ipaddress
import os
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from vtn.notifiers.webhooks.addresses import refusal

CHALLENGE_BYTES = 32
LONGEST_ECHO_BYTES = 65_536
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
NO_HEADERS: Mapping[str, str] = {}

AWAY = frozenset({502, 503, 504})  # said by what stands before a receiver that is not there

Guard = Callable[[str], str | None]


class Unreached(str):
    """Why a call did not reach its receiver. Any other reason for a failure is what a receiver answered."""

    __slots__ = ()


class AddressRefused(OSError):
    """The callback points where no callback may go."""


class Callbacks:
    """An asynchronous context manager around one connection pool.

    `guard` says of an IP address why it may not be called, or None; `resolver` finds the addresses of names.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        guard: Guard = refusal,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._guard = guard
        self._resolver = resolver
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._tls or True, resolver=self._resolver, socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={"User-Agent": "evtn"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, location = address
        reason = self._guard(str(location[0]))
        if reason is not None:
            raise AddressRefused(reason)
        return socket.socket(family=family, type=kind, proto=protocol)

    async def post(
        self, url: str, body: bytes, token: str | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> str | None:
        """Deliver a notification; None when the receiver took it (any 2xx, TR-72), else the reason it failed."""
        headers = {"Content-Type": "application/json", **_bearer(token), **headers}
        try:
            async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.ok and answer.status < 300:  # noqa: PLR2004 - 2xx
                    return None
                return Unreached(_status(answer.status)) if answer.status in AWAY else _status(answer.status)
        except FAILURES as error:
            return Unreached(self._reason(error))

    async def challenge(self, url: str, token: str | None) -> str | None:
        """Ask the receiver to echo a random value (SUB-17..21); None when it did, else the reason it did not."""
        value = secrets.token_urlsafe(CHALLENGE_BYTES)
        try:
            asked = _with_echo(url, value)
            async with self._open().get(asked, headers=_bearer(token), allow_redirects=False) as answer:
                if answer.status != 200:  # noqa: PLR2004 - the standard wants 200 here and nothing else
                    return _status(answer.status)
                return None if value.encode() in await _beginning(answer) else "did not echo the value it was sent"
        except FAILURES as error:
            return self._reason(error)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("callbacks are made inside `async with`")
        return self._session

    def _reason(self, error: BaseException) -> str:
        """Why a call failed, in words that hold neither the URL's query nor the token."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"cannot connect: {_cause(error) or _refused(error)}"
        if isinstance(error, aiohttp.InvalidURL):
            return "the URL cannot be used"
        return f"the connection failed ({type(error).__name__})"


def _cause(error: aiohttp.ClientConnectorError) -> str | None:
    """What the system says of a failed connection; its own words for most of it would hold the address."""
    cause = error.os_error
    if isinstance(cause, (socket.gaierror, ssl.SSLError)):
        return cause.strerror
    return os.strerror(cause.errno) if cause.errno else None


def _refused(error: aiohttp.ClientConnectorError) -> str:
    """Why no address would do. A client learns nothing of what names inside the VTN's network stand for."""
    try:
        ipaddress.ip_address(error.host)
    except ValueError:
        return "its name leads to no address that may be called"
    return str(error.os_error)


def _with_echo(url: str, value: str) -> str:
    parts = urlsplit(url)
    query = f"{parts.query}&echo={value}" if parts.query else f"echo={value}"
    return parts._replace(query=query, fragment="").geturl()


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ECHO_BYTES:
            break
    return bytes(body)


def _bearer(token: str | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _status(status: int) -> str:
    note = "; redirects are not followed" if 300 <= status < 400 else ""  # noqa: PLR2004 - 3xx
    return f"answered {status}{note}"
