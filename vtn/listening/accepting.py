"""Take connections from bound sockets: through the gate first, then through TLS, then to a protocol.

The event loop's own servers count nobody before a handshake is over, so that hundreds of clients which never begin one
keep everybody out. Here a connection has its place from the moment it is accepted. When the process has no files left,
unproven connections are closed for new ones.
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from vtn.listening.gate import ConnectionGate, ConnectionSlot
from vtn.listening.sockets import CannotListen, ListenAddress

BACKLOG = 1024
AT_ONCE = 64  # accepted in a row, before the loop does something else
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
FILES_WAIT_S = 0.02
ROOM_AT_ONCE = 16
TELL_EVERY_S = 60.0

log = logging.getLogger("vtn.listening")


class GuardedProtocol(Protocol):
    """What serves one connection; it says when its `slot` is proven, and that it has left."""

    slot: ConnectionSlot | None


class Acceptor:
    """Has what an `asyncio.Server` has, where HTTP and WebSocket libraries look for it."""

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        sockets: Sequence[socket.socket],
        gate: ConnectionGate,
        *,
        tls: ssl.SSLContext | None,
        patience_s: float,
    ) -> None:
        self._factory = factory
        self.sockets = tuple(sockets)
        self._gate = gate
        self._tls = tls
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._serving = False
        self._told_at_s = float("-inf")
        self._told = 0

    def start(self) -> None:
        """Listen; CannotListen when another process was quicker."""
        raise_files_limit()
        for sock in self.sockets:
            try:
                sock.listen(BACKLOG)
            except OSError as error:
                host, port = sock.getsockname()[:2]
                self.close()
                raise CannotListen(ListenAddress(host, port), error) from None
            self._loop.add_reader(sock, self._accept, sock)
        self._serving = True

    def is_serving(self) -> bool:
        """Whether new connections are taken."""
        return self._serving

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs on."""
        return self._loop

    def close(self) -> None:
        """Take no more connections, and drop those whose handshake is not over; those that stand go on."""
        self._serving = False
        for sock in self.sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock)
                sock.close()
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once every handshake has ended."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in OUT_OF_FILES:
                    self._wait_for_files(sock)
                    return
                continue  # a client that left before it was accepted
            connection.settimeout(0.0)
            self._admit(connection, str(address[0]))

    def _wait_for_files(self, sock: socket.socket) -> None:
        for _ in range(ROOM_AT_ONCE):
            self._gate.make_room()
        self._loop.remove_reader(sock)
        self._loop.call_later(FILES_WAIT_S, self._accept_again, sock)
        self._tell("no files are left for new connections")

    def _accept_again(self, sock: socket.socket) -> None:
        if self._serving and sock.fileno() >= 0:
            self._loop.add_reader(sock, self._accept, sock)

    def _admit(self, connection: socket.socket, address: str) -> None:
        entry = _AcceptedConnection()
        slot = self._gate.admit(address, entry.cut)
        if self._gate.displaced + self._gate.refused > self._told:
            self._tell("too many connections")
        if slot is None:
            connection.close()
            return
        entry.task = self._loop.create_task(self._welcome(connection, slot, entry))
        self._handshakes.add(entry.task)
        entry.task.add_done_callback(self._handshakes.discard)
        entry.task.add_done_callback(lambda _: entry.settle(connection, slot))

    async def _welcome(self, connection: socket.socket, slot: ConnectionSlot, entry: "_AcceptedConnection") -> None:
        """Hand a connection over to a protocol of its own, after TLS where there is TLS."""
        protocol = self._factory()
        cast("GuardedProtocol", protocol).slot = slot
        entry.begun = True
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._patience_s if self._tls else None,
            )
        except (OSError, TimeoutError):  # no TLS, none in time, or gone; ssl.SSLError is an OSError
            return
        if slot.left:
            transport.abort()
            return
        slot.cut = transport.abort
        entry.handed_over = True

    def _tell(self, what: str) -> None:
        now_s = self._loop.time()
        if now_s - self._told_at_s < TELL_EVERY_S:
            return
        gate, self._told_at_s = self._gate, now_s
        self._told = gate.displaced + gate.refused
        log.warning(
            "%s at port %d: %d proven and %d unproven ones stand; %d unproven ones were closed for newer ones, %d were "
            "refused since the start",
            *(what, self.sockets[0].getsockname()[1], gate.proven, gate.unproven, gate.displaced, gate.refused),
        )


class _AcceptedConnection:
    """A connection on its way from the socket to its protocol."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.handed_over = False

    def cut(self) -> None:
        """Give the connection up before it is handed over."""
        if self.task is not None:
            self.task.cancel()

    def settle(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        """Leave nothing behind: neither the socket of a task that never began, nor the place of one that failed."""
        if not self.begun:
            connection.close()
        if not self.handed_over:
            slot.leave()


def raise_files_limit() -> int:
    """Have this process open as many files as the system lets it; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1_048_576
