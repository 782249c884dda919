"""Bind a port, or say in one sentence why it is not to be had."""

import dataclasses
import errno
import os
import socket
from collections.abc import Sequence

from vtn.errors import CannotStart

MISSING_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
TRIES_FOR_A_FREE_PORT = 16


@dataclasses.dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: a host name or address, and a port; port 0 takes a free one. `setting` is named in refusals."""

    host: str
    port: int
    setting: str = ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CannotListen(CannotStart, OSError):
    """An address that cannot be listened at; `errno` says why, where the system said it."""

    def __init__(self, where: ListenAddress, error: OSError | str) -> None:
        super().__init__()
        self.where = where
        self.errno = None if isinstance(error, (str, socket.gaierror)) else error.errno
        self.strerror = os.strerror(self.errno) if self.errno else getattr(error, "strerror", None) or str(error)

    def __str__(self) -> str:
        named = f"{self.where.setting}: " if self.where.setting else ""
        return f"{named}cannot listen on {self.where}: {self.strerror}"


def bound(where: ListenAddress, patience_s: float) -> list[socket.socket]:
    """Sockets bound at every address that the host has, all at one port; CannotListen otherwise.

    Connections accepted there end when the other side does not take what it asked for within `patience_s` (Linux).
    A family of addresses that the machine lacks is passed over as long as another is left.
    """
    for _ in range(TRIES_FOR_A_FREE_PORT):
        try:
            return _bound_once(where, _addresses(where), patience_s)
        except _PortTakenElsewhere:
            continue
    raise CannotListen(where, "no port is free at all of its addresses")


def port_of(sockets: Sequence[socket.socket]) -> int:
    """The port that bound sockets share."""
    return int(sockets[0].getsockname()[1])


def require_free(where: ListenAddress) -> None:
    """CannotListen when nobody could listen there now; nothing is left open."""
    for sock in bound(where, patience_s=1.0):
        sock.close()


class _PortTakenElsewhere(Exception):
    """Port 0 found a free port at the first address that is taken at another."""


def _addresses(where: ListenAddress) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(
            where.host or None, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError) as error:
        raise CannotListen(where, error if isinstance(error, OSError) else "is no host name") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bound_once(
    where: ListenAddress, addresses: Sequence[tuple[socket.AddressFamily, tuple[object, ...]]], patience_s: float
) -> list[socket.socket]:
    made: list[socket.socket] = []
    lacking: OSError | None = None
    for family, address in addresses:
        port = where.port or (port_of(made) if made else 0)
        try:
            made.append(_one(family, (address[0], port, *address[2:]), patience_s))
        except OSError as error:
            if error.errno in MISSING_FAMILY and len(addresses) > 1:
                lacking = error
                continue
            for sock in made:
                sock.close()
            if where.port == 0 and made and error.errno == errno.EADDRINUSE:
                raise _PortTakenElsewhere from None
            raise CannotListen(where, error) from None
    if not made:
        raise CannotListen(where, lacking or "the host has no address")
    return made


def _one(family: socket.AddressFamily, address: tuple[object, ...], patience_s: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0.0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience_s * 1000))
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
