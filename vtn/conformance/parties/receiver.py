"""A webhook receiver of the kit's own: it answers echo challenges, takes notifications, and misbehaves when asked."""

import asyncio
import contextlib
import dataclasses
import ipaddress
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from vtn.bounds import ConnectionBounds
from vtn.conformance.bodies.members import read_json
from vtn.conformance.parties.channel import Inbox, NotificationChannel, Said, said_by
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress
from vtn.tls import ServerTls

Json = dict[str, Any]
Note = Callable[[str, str, str, bytes, int], None]
LONGEST_LINE = 16_384
FAR_AWAY = ("198.51.100.1", 9)


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """One notification as it came."""

    headers: Mapping[str, str]
    body: Json
    path: str
    method: str = "POST"

    @property
    def said(self) -> Said:
        """The operation, the kind of object, and its id."""
        return said_by(self.body)


@dataclasses.dataclass(kw_only=True)
class Hook(Inbox[Arrival]):
    """One callback URL. `echo` makes the answer to a challenge (status, text); `status` answers notifications.

    Nothing is answered while `open` is not set.
    """

    url: str
    echo: Callable[[str], tuple[int, str]] = lambda value: (200, value)
    status: int = 200
    location: str | None = None
    challenges: list[Mapping[str, str]] = dataclasses.field(default_factory=list)
    challenge_headers: list[Mapping[str, str]] = dataclasses.field(default_factory=list)
    attempts: int = 0
    open: asyncio.Event = dataclasses.field(default_factory=lambda: _set(asyncio.Event()))
    called: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def wish(self, kinds: str, operations: str = "CREATE UPDATE DELETE", **extra: Any) -> Json:
        """An entry of objectOperations that has these kinds and operations (words) sent here."""
        return {"objects": kinds.split(), "operations": operations.split(), "callbackUrl": self.url, **extra}

    async def hears(self, operation: str, thing: Json) -> Json:
        """The body of the notification of this operation on this object; others may come before it."""
        return (await self.until(operation, thing)).body

    async def is_called(self, within_s: float) -> bool:
        """Whether the callback URL is called, answered or not, since `called` was last cleared."""
        self.channel.must_live()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self.called.wait()
        return False


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


class HookReceiver:
    """All hooks of one run, on one listening port. `url` is how the VTN reaches it."""

    def __init__(self, url: str, note: Note = lambda *_: None) -> None:
        self.url = url.rstrip("/")
        self.channel = NotificationChannel("webhook", ("NOTIF-05", "HOOK-01"))
        self._note = note
        self._hooks: dict[str, Hook] = {}
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def hook(self) -> Iterator[Hook]:
        """A callback URL; after the block it goes on answering, and behaves."""
        path = f"/hook/{next(self._numbers)}"
        hook = self._hooks[path] = Hook(url=self.url + path, channel=self.channel)
        try:
            yield hook
        finally:
            hook.status = 200
            hook.open.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a challenge, or take a notification."""
        hook = self._hooks.get(request.path)
        if hook is None:
            return web.Response(status=404)
        headers = {"Location": hook.location} if hook.location else {}
        if request.method == "GET":
            hook.challenges.append(dict(request.query))
            hook.challenge_headers.append(dict(request.headers))
            hook.called.set()
            await hook.open.wait()
            status, text = hook.echo(request.query.get("echo", ""))
            self._note("the VTN to the kit", "GET", request.path_qs, b"", status)
            return web.Response(status=status, text=text, headers=headers)
        hook.attempts += 1
        hook.called.set()
        self.channel.arrived()
        content = await request.read()
        await hook.open.wait()
        self._note("the VTN to the kit", request.method, request.path_qs, content, hook.status)
        if hook.status < 300:  # noqa: PLR2004 - what is refused did not arrive
            hook.take(Arrival(dict(request.headers), read_notification(content), request.path_qs, request.method))
        return web.Response(status=hook.status, headers=headers)


def read_notification(content: bytes) -> Json:
    """A notification as it came; an empty one when it is no JSON object, so that whoever waits finds it wrong."""
    try:
        found = read_json(content, "NOTIFICATION")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_public(host: str) -> bool:
    """Whether a host is an address that anybody may call, or a name other than this machine's own."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host != "localhost"


def own_address() -> str:
    """The IPv4 address by which this machine is seen by others; its loopback address when it is alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(FAR_AWAY)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@contextlib.asynccontextmanager
async def receiving(
    url: str, listen: str | None, tls: ServerTls | None, note: Note = lambda *_: None
) -> AsyncIterator[HookReceiver]:
    """A receiver reached at `url`, listening at `listen` (HOST:PORT, else the URL's own); port 0 takes a free one."""
    parts = urlsplit(url)
    host, _, port = (listen or f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}").rpartition(
        ":"
    )
    if listen is None and parts.port == 0:
        port = "0"
    app = web.Application(client_max_size=16 * 1_048_576)
    receiver = HookReceiver(url, note)
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    options = HttpOptions(ConnectionBounds(head_line_bytes=LONGEST_LINE), tls)
    where = ListenAddress(host.strip("[]"), int(port), "--receiver")
    async with listening(app, where, options) as found:
        if int(port) == 0:
            receiver.url = f"{parts.scheme}://{parts.hostname}:{found}{parts.path.rstrip('/')}"
        yield receiver
