"""A running vehicle backend as a stage: every adapter that speaks the reference HTTP contract is judged on it.

The backend tells more than it must, as real ones do: a vehicle identification number and a place stand in its answers
and in the texts of its refusals. They are the words that an adapter may never repeat.
"""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from ven_adapters.adapter_checks.stage import LOST_ANSWERS, CarTruth, CommandEffect, Contact, ContactKind, StageFactory
from ven_adapters.simulator.backend.endpoints import Backend, application
from ven_adapters.simulator.backend.push import Pusher
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.table import BY_NAME
from ven_adapters.simulator.serve import tick
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.staged import StagedCloud, still_fleet
from ven_adapters.simulator.stepped_clock import STEP_S, SteppedClock
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress

EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
TOKEN, SECRET = "stage-bearer-token", "stage-webhook-secret"
VIN, LATITUDE, LONGITUDE = "1ZZZZ9ZZ9Z1000042", "37.774931", "-122.419416"
TOLD = f"vehicle {VIN} at {LATITUDE},{LONGITUDE}"
SETTLE_S = 2.0
TICK_S = 0.05
THINKING_S, IN_COMPANY_S = 0.001, 0.02
HOURS = 72.0  # that a stage may last
CLOSING_S = 0.5

# The cars of each brand; whoever is not named has cars of the usual kinds.
CARS: Mapping[str, tuple[str, ...]] = {
    "bmw": ("amp_list", "amp_list"),
    "ford": ("amp_range", "amp_range", "schedule_only"),
    "honda": ("target_only", "target_only"),
    "nissan": ("charger", "bidirectional", "charger", "stop_once", "start_only"),
}
USUAL = ("amp_range", "bidirectional", "amp_range")
MODELS_OF_OTHERS = "ford"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def stage_for(name: str) -> StageFactory:
    """The stage of an adapter that speaks the vehicle-backend contract."""

    def make(seed: int) -> contextlib.AbstractAsyncContextManager[BackendStage]:
        return opened(name, seed)

    return make


@contextlib.asynccontextmanager
async def opened(name: str, seed: int) -> "AsyncIterator[BackendStage]":
    """A backend that listens on loopback, and the stage that stands on it."""
    brand = name if name in CARS else MODELS_OF_OTHERS
    settings = SimulatorSettings(brand, 0, seed, EVENING, TOKEN)
    stage = BackendStage(settings, CARS.get(name, USUAL))
    app = application(stage.backend)
    app.middlewares.insert(0, stage.witness)
    async with listening(app, ListenAddress(settings.host, 0), HttpOptions(shutdown_s=CLOSING_S)) as port:
        stage.url = f"http://{settings.host}:{port}"
        living = asyncio.create_task(stage.live())
        try:
            yield stage
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await stage.backend.pusher.close()


class BackendStage:
    """A `CloudStage` over one simulated vehicle backend."""

    def __init__(self, settings: SimulatorSettings, controls: Sequence[str]) -> None:
        fleet = still_fleet(settings, controls)
        self.clock = SteppedClock(EVENING)
        self.url = ""
        self._contacts: list[Contact] = []
        self._open = 0
        ledger = GroundTruth(fleet, (EVENING - fleet.midnight).total_seconds(), HOURS)
        self._cloud = StagedCloud(fleet, settings.seed, ledger, self._woke)
        self._cloud.advance(self.clock.now())
        views = Views(self._cloud)
        self.backend = Backend(settings, self.clock, self._cloud, views, Pusher(views.forget))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What our HTTP client needs; time-outs are short because the backend is next door."""
        return {
            "url": self.url,
            "token": TOKEN,
            "webhook_secret": SECRET,
            "webhook_quiet_s": 0.3,
            "answer_s": 5.0,
            "seed": 1,
            "clock": self.clock,
        }

    @property
    def refs(self) -> tuple[str, ...]:
        """The cars."""
        return self._cloud.fleet.refs

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may never be told."""
        return TOKEN, SECRET, VIN, LATITUDE, LONGITUDE

    @property
    def cannot_play(self) -> Mapping[str, str]:
        """Nothing: the contract's faults are the table's."""
        return {}

    def truth(self, ref: str) -> CarTruth:
        """What the physics says of a car now."""
        return truth_of(self._cloud, ref, self.clock.now())

    def ledger(self, ref: str) -> Sequence[CommandEffect]:
        """Every directive that was taken for a car."""
        car = self._cloud.car(ref)
        return tuple(CommandEffect(at, kind.value, key) for one, at, kind, key in self._cloud.effects if one == car)

    def contacts(self) -> Sequence[Contact]:
        """Every call that came, and every wake."""
        return tuple(self._contacts)

    def arm(self, fault: str, ref: str | None = None) -> None:
        """Play a fault from now on."""
        name, _, form = fault.partition("/")
        BY_NAME[name]
        self._cloud.advance(self.clock.now())
        number = LOST_ANSWERS.index(fault) if form else None
        self._cloud.arm(name, self.refs if ref is None else (ref,), number)

    def disarm(self) -> None:
        """Play no fault any more."""
        self._cloud.disarm()

    async def restore(self, ref: str) -> None:
        """Put a car right, and let everybody see it."""
        self._cloud.advance(self.clock.now())
        self._cloud.restore(ref)
        await self._tick(STEP_S)

    async def advance(self, seconds: float) -> None:
        """Let time go by, minute by minute; each minute ends when nobody is being answered any more."""
        left_s = seconds
        while left_s > 0.0:
            await self._tick(min(STEP_S, left_s))
            left_s -= STEP_S

    async def cut(self) -> bool:
        """Lose every subscriber."""
        await self.backend.pusher.forget()
        return True

    async def repeat(self) -> bool:
        """Deliver the last batch again."""
        return await self.backend.pusher.repeat()

    async def live(self) -> None:
        """The cars' own tick between jumps."""
        while True:
            await asyncio.sleep(TICK_S)
            tick(self.backend)

    async def _tick(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        tick(self.backend)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while self._open:  # noqa: ASYNC110 - a counter rings no bell
                    await asyncio.sleep(0.001)

    def _woke(self, car: int) -> None:
        self._contacts.append(Contact(self.clock.now(), ContactKind.WAKE, self.refs[car], 0))

    @property
    def witness(self) -> Any:
        """The middleware that counts every call, and tells more than it must."""

        @web.middleware
        async def seen(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._open += 1
            number, at_once = len(self._contacts), self._open
            kind, ref = _kind(request), request.match_info.get("ref")
            self._contacts.append(Contact(self.clock.now(), kind, ref, 0, at_once))
            try:
                # Longer in company, so that calls made side by side are seen side by side.
                await asyncio.sleep(THINKING_S if at_once == 1 else IN_COMPANY_S)
                answer = await handler(request)
                gone = request.transport is None or request.transport.is_closing()
                status = 0 if gone else answer.status
                self._contacts[number] = dataclasses.replace(self._contacts[number], status=status)
                return _indiscreet(answer)
            finally:
                self._open -= 1

        return seen


def _kind(request: web.Request) -> ContactKind:
    if request.method in {"PUT", "DELETE"}:
        return ContactKind.COMMAND
    return ContactKind.SUBSCRIBE if request.method == "POST" else ContactKind.READ


def _indiscreet(answer: web.StreamResponse) -> web.StreamResponse:
    """The same answer with what nobody asked for."""
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes) or "json" not in answer.content_type:
        return answer
    raw = orjson.loads(answer.body)
    if isinstance(raw, dict):
        raw |= {"vin": VIN, "location": {"latitude": float(LATITUDE), "longitude": float(LONGITUDE)}}
        if "detail" in raw:
            raw["detail"] = f"{raw['detail']} ({TOLD})"
        answer.body = orjson.dumps(raw)
    return answer


def truth_of(cloud: StagedCloud, ref: str, now: datetime) -> CarTruth:
    """What the physics says of a simulated car now."""
    cloud.advance(now)
    car, world = cloud.car(ref), cloud.world
    usable_wh = float(world.packs.usable_wh[car])
    return CarTruth(
        power_w=float(world.power_w[car]),
        soc_pct=100.0 * float(world.soc_wh[car]) / usable_wh,
        plugged=bool(world.plugged[car]),
        at_home=bool(world.home[car]),
        asleep=bool(cloud.asleep[car] or cloud.fault_state.unheard[car]),
        as_driver_set=cloud.as_driver_set(car),
        target_soc_pct=100.0 * float(world.target_wh[car]) / usable_wh,
        reserve_soc_pct=100.0 * float(world.reserve_wh[car]) / usable_wh,
        charged_wh=float(world.added_wh[car]),
        discharged_wh=float(world.exported_wh[car]),
    )


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
