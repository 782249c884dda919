"""What the HTTP interfaces of public vendors share: tokens, whose car it is, what befalls a call, who called.

A vendor brings its paths and its words (`VendorProtocol`); a fault that befalls a call is told in those words. Which
faults a vendor's interface cannot have at all stands in `simulator.faults.absent_faults`.
"""

import asyncio
import collections
import contextlib
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import orjson
from aiohttp import web

from ven_adapters.contract import Snapshot
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.faults.call_faults import GONE, CallAnswer, Visit
from ven_adapters.simulator.public.commands import Commands
from ven_adapters.simulator.public.grants import Grants
from ven_adapters.simulator.public.hooks import Hooks
from vtn.clock import Clock, sleep_until

MAX_BODY_BYTES = 64 * 1024
REMEMBERED_CALLS = 200_000
TOKEN_PATH = "/token"  # noqa: S105 - a path
HOME = (37.774931, -122.419416)
AWAY_DEGREES = 1.0


class Deal(enum.StrEnum):
    """What a call is for."""

    READ = "READ"
    COMMAND = "COMMAND"
    WAKE = "WAKE"
    GRANT = "GRANT"


class VendorRefusalCause(enum.StrEnum):
    """Why a vendor refuses before it asks the car, beside the faults of calls by their own names."""

    NO_TOKEN = "no_token"  # noqa: S105 - a reason
    NO_CAR = "no_car"
    LOST = "lost_answer"


@dataclasses.dataclass(frozen=True, slots=True)
class VendorReply:
    """An answer in JSON; no body at all where it is None."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def response(self) -> web.Response:
        """The same for HTTP."""
        body = None if self.body is None else orjson.dumps(self.body)
        return web.Response(status=self.status, body=body, headers=self.headers, content_type="application/json")


@dataclasses.dataclass(slots=True)
class Seen:
    """One call: `status` is 0 until it was answered, and where the line was cut."""

    at: datetime
    deal: Deal
    ref: str | None
    status: int = 0
    at_once: int = 1


Handler = Callable[[web.Request, int], Awaitable[VendorReply | web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One path of a vendor; `{native}` in it is a car, whose column the handler gets (0 where there is none)."""

    method: str
    path: str
    deal: Deal
    handler: Handler


class VendorProtocol(Protocol):
    """One vendor's paths and words."""

    def routes(self) -> Sequence[Route]:
        """Every path."""
        ...

    def refusal(self, why: str, retry_after_s: float | None) -> VendorReply:
        """A reason of `VendorRefusalCause`, or a fault of calls by name, as this vendor tells it."""
        ...

    def pushes(self, snapshots: Sequence[Snapshot], now: datetime) -> Sequence[Any]:
        """What its webhook is told of cars that changed, one JSON body each."""
        ...


class VendorCloud:
    """One vendor's cloud as its callers meet it. `natives` are its own names of the cars, in the fleet's order."""

    def __init__(self, cloud: Commands, clock: Clock, natives: Sequence[str], grants: Grants) -> None:
        self.cloud, self.clock, self.natives, self.grants = cloud, clock, tuple(natives), grants
        self.views = Views(cloud)
        self.hooks = Hooks(self.views.forget)
        self.calls: collections.deque[Seen] = collections.deque(maxlen=REMEMBERED_CALLS)
        self.answering = 0
        self._number = {native: car for car, native in enumerate(natives)}

    def now(self) -> datetime:
        """The present, with every car brought to it."""
        now = self.clock.now()
        self.cloud.advance(now)
        return now

    def snapshot(self, car: int, *, older_than_s: float = -1.0) -> Snapshot:
        """What the car tells, taken anew when the last reading is older; a call that reaches the car counts."""
        now = self.now()
        fresh = self.views.age_s(car, now) > older_than_s
        if fresh:
            self.cloud.read(car, now)
        return self.views.snapshot(car, fresh=fresh)

    def away(self, car: int) -> bool:
        """Whether the car cannot be called now."""
        return bool(self.cloud.asleep[car]) or self.cloud.fault_state.out_of_reach(car)

    async def wait_until(self, at_s: float) -> None:
        """Keep a caller waiting until the cars' time has come so far."""
        self.answering -= 1
        try:
            await sleep_until(self.clock, self.cloud.world.instant(at_s))
        finally:
            self.answering += 1

    def tick(self, protocol: VendorProtocol) -> None:
        """Bring the cars to the present, and push what changed."""
        now = self.now()
        snapshots = self.views.changed()
        self.cloud.outbox.clear()
        for body in protocol.pushes(snapshots, now):
            self.hooks.offer(body)

    def application(self, protocol: VendorProtocol) -> web.Application:
        """The whole vendor_cloud as an aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for route in protocol.routes():
            app.router.add_route(route.method, route.path, self._answering(route, protocol))
        app.router.add_post(TOKEN_PATH, self._tokens(protocol))
        return app

    def _answering(
        self, route: Route, protocol: VendorProtocol
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            car = self._number.get(request.match_info.get("native", ""))
            seen = self._arrived(route.deal, None if car is None else self.cloud.fleet.refs[car])
            try:
                reply = await self._admitted(route, protocol, request, car)
                response = reply.response() if isinstance(reply, VendorReply) else reply
                cut = request.transport is None or request.transport.is_closing()
                seen.status = 0 if cut else response.status
                return response
            finally:
                self.answering -= 1

        return answer

    def _arrived(self, deal: Deal, ref: str | None) -> Seen:
        self.answering += 1
        self.calls.append(Seen(self.clock.now(), deal, ref, 0, self.answering))
        return self.calls[-1]

    async def _admitted(
        self, route: Route, protocol: VendorProtocol, request: web.Request, car: int | None
    ) -> VendorReply | web.StreamResponse:
        bearer = request.headers.get("Authorization", "")
        if not self.grants.knows(bearer):
            return protocol.refusal(VendorRefusalCause.NO_TOKEN, None)
        if "{native}" not in route.path:
            return await route.handler(request, 0)
        if car is None or self.grants.owner(bearer) not in {None, self.owner(car)}:
            return protocol.refusal(VendorRefusalCause.NO_CAR, None)
        now = self.now()
        method = "GET" if route.deal is Deal.READ else "PUT"
        met = self.cloud.fault_state.meets(
            car, Visit(method, self.cloud.fleet.refs[car], self.cloud.world.seconds(now))
        )
        if met is None:
            return await route.handler(request, car)
        return await self._met(*met, protocol, lambda: route.handler(request, car), request)

    async def _met(
        self,
        name: str,
        answer: CallAnswer,
        protocol: VendorProtocol,
        handle: Callable[[], Awaitable[VendorReply | web.StreamResponse]],
        request: web.Request,
    ) -> VendorReply | web.StreamResponse:
        if name == "path_gone":
            return web.Response(status=answer.status, body=GONE, content_type=answer.content_type)
        if answer.executes:
            with contextlib.suppress(orjson.JSONDecodeError):
                await handle()
        if answer.cut and request.transport is not None:
            request.transport.close()
        return protocol.refusal(name, answer.retry_after_s)

    def owner(self, car: int) -> str:
        """The owner of a car."""
        return f"owner-{car + 1}"

    def _tokens(self, protocol: VendorProtocol) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            seen = self._arrived(Deal.GRANT, None)
            try:
                form = {key: str(value) for key, value in (await request.post()).items()}
                given = None if self._revoked(self.grants.owner_of(form)) else self.grants.given(form)
                reply = protocol.refusal("invalid_grant", None) if given is None else VendorReply(200, given)
                seen.status = reply.status
                return reply.response()
            finally:
                self.answering -= 1

        return answer

    def _revoked(self, owner: str | None) -> bool:
        """Whether the owner took his grant back."""
        if owner is None:
            return False
        car = int(owner.rpartition("-")[2]) - 1
        ref, at_s = self.cloud.fleet.refs[car], self.cloud.world.seconds(self.now())
        met = self.cloud.fault_state.meets(car, Visit("GET", ref, at_s))
        return met is not None and met[0] == "token_revoked"


async def body_of(request: web.Request) -> dict[str, Any]:
    """A request's JSON object; an empty one where there is none."""
    text = await request.read()
    raw = orjson.loads(text) if text else {}
    return raw if isinstance(raw, dict) else {}


def stamp(at: datetime) -> str:
    """An instant as vendors write it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def ticking(vendor_cloud: VendorCloud, protocol: VendorProtocol, tick_s: float) -> None:
    """Tick until cancelled."""
    while True:
        await asyncio.sleep(tick_s)
        vendor_cloud.tick(protocol)
