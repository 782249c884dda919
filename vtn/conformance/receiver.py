"""A webhook receiver of the kit's own: it answers echo challenges, takes notifications, and misbehaves when asked."""

import asyncio
import contextlib
import dataclasses
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from vtn.bounds import ConnectionBounds
from vtn.conformance.check import Failed, expect
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress
from vtn.tls import ServerTls

Json = dict[str, Any]
LONGEST_LINE = 16_384
ARRIVES_WITHIN_S = 10.0
SILENCE_S = 0.5
FAR_AWAY = ("198.51.100.1", 9)


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """One notification as it came."""

    headers: Mapping[str, str]
    body: Json
    path: str
    method: str = "POST"

    @property
    def said(self) -> tuple[Any, Any, Any]:
        """The operation, the kind of object, and its id."""
        return self.body.get("operation"), self.body.get("objectType"), (self.body.get("object") or {}).get("id")


@dataclasses.dataclass(slots=True)
class Hook:
    """One callback URL. `echo` makes the answer to a challenge (status, text); `status` answers notifications.

    Nothing is answered while `open` is not set. `log` holds all that ever arrived.
    """

    url: str
    echo: Callable[[str], tuple[int, str]] = lambda value: (200, value)
    status: int = 200
    location: str | None = None
    challenges: list[Mapping[str, str]] = dataclasses.field(default_factory=list)
    challenge_headers: list[Mapping[str, str]] = dataclasses.field(default_factory=list)
    arrivals: "asyncio.Queue[Arrival]" = dataclasses.field(default_factory=asyncio.Queue)
    log: list[Arrival] = dataclasses.field(default_factory=list)
    attempts: int = 0
    open: asyncio.Event = dataclasses.field(default_factory=lambda: _set(asyncio.Event()))
    called: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def wish(self, kinds: str, operations: str = "CREATE UPDATE DELETE", **extra: Any) -> Json:
        """An entry of objectOperations that has these kinds and operations (words) sent here."""
        return {"objects": kinds.split(), "operations": operations.split(), "callbackUrl": self.url, **extra}

    async def hears(self, operation: str, thing: Json) -> Json:
        """The next notification, which must be of this operation on this object."""
        arrival = await self.next()
        wanted = (operation, thing["objectType"], thing["id"])
        expect(arrival.said == wanted, f"the notification should be {wanted}, but is {arrival.said}")
        return arrival.body

    async def until(self, operation: str, thing: Json) -> Json:
        """The notification of this operation on this object, whatever else comes before it."""
        return (await self.hears_all((operation, thing)))[0]

    async def hears_all(self, *wanted: tuple[str, Json]) -> list[Json]:
        """The notifications of these operations on these objects, which may come in any order and among others."""
        missing = {(operation, thing["objectType"], thing["id"]) for operation, thing in wanted}
        found: list[Json] = []
        while missing:
            try:
                arrival = await self.next()
            except Failed:
                raise Failed(f"no notification of {missing} came within {ARRIVES_WITHIN_S:g} s") from None
            if arrival.said in missing:
                missing.remove(arrival.said)
                found.append(arrival.body)
        return found

    async def never(self, *things: Json) -> None:
        """Failed when anything about these objects has come or comes now; called after what must come has come."""
        await asyncio.sleep(SILENCE_S)  # nothing says that a notification will not come
        ids = {thing["id"] for thing in things}
        for arrival in self.log:
            expect(arrival.said[2] not in ids, f"what should not be told was told: {arrival.said}")

    async def next(self, within_s: float = ARRIVES_WITHIN_S) -> Arrival:
        """The next notification; Failed when none comes."""
        try:
            async with asyncio.timeout(within_s):
                return await self.arrivals.get()
        except TimeoutError:
            raise Failed(f"no notification came within {within_s:g} s") from None

    async def none(self, within_s: float = SILENCE_S) -> None:
        """Failed when a notification comes; called after one that must come has come, so that the wait can be short."""
        try:
            async with asyncio.timeout(within_s):
                arrival = await self.arrivals.get()
        except TimeoutError:
            return
        operation, kind = arrival.body.get("operation"), arrival.body.get("objectType")
        raise Failed(f"a notification came that should not have come: {operation} {kind}")


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


class Receiver:
    """All hooks of one run, on one listening port. `url` is how the VTN reaches it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._hooks: dict[str, Hook] = {}
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def hook(self) -> Iterator[Hook]:
        """A callback URL; after the block it goes on answering, and behaves."""
        path = f"/hook/{next(self._numbers)}"
        hook = self._hooks[path] = Hook(self.url + path)
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
            return web.Response(status=status, text=text, headers=headers)
        hook.attempts += 1
        hook.called.set()
        await hook.open.wait()
        if hook.status < 300:  # noqa: PLR2004 - what is refused did not arrive
            body = await request.json()
            hook.log.append(Arrival(dict(request.headers), body, request.path_qs, request.method))
            hook.arrivals.put_nowait(hook.log[-1])
        return web.Response(status=hook.status, headers=headers)


def own_address() -> str:
    """The IPv4 address by which this machine is seen by others; its loopback address when it is alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(FAR_AWAY)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@contextlib.asynccontextmanager
async def receiving(url: str, listen: str | None, tls: ServerTls | None) -> AsyncIterator[Receiver]:
    """A receiver reached at `url`, listening at `listen` (HOST:PORT, else the URL's own); port 0 takes a free one."""
    parts = urlsplit(url)
    host, _, port = (listen or f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}").rpartition(
        ":"
    )
    if listen is None and parts.port == 0:
        port = "0"
    app = web.Application(client_max_size=16 * 1_048_576)
    receiver = Receiver(url)
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    options = HttpOptions(ConnectionBounds(head_line_bytes=LONGEST_LINE), tls)
    where = ListenAddress(host.strip("[]"), int(port), "--receiver")
    async with listening(app, where, options) as found:
        if int(port) == 0:
            receiver.url = f"{parts.scheme}://{parts.hostname}:{found}{parts.path.rstrip('/')}"
        yield receiver
