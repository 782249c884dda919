"""One simulated automaker's backend that plays faults, over real HTTP, and the engine's own core on the other side."""

import asyncio
import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

import aiohttp
import orjson
from pacing import standing_time

from ven_adapters import registry
from ven_adapters.contract import Directive, DirectiveKind, Origin, Rung, Setting
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.transport.http.codec import Order, dumps
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.directives.dispatcher import CallContext, Dispatcher
from ven_adapters.ven.directives.reconcile import Desire, Do, reconcile
from ven_adapters.ven.fleet.fleet import Enrolment

EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)  # 21:00 on a Wednesday in California
TOKEN, SECRET = "a-token", "hush"
CARS = 120
PAUSE = Setting(Rung.PAUSE, 0)


class Cloud:
    """A running simulator: raw calls to it, and its cars' truth."""

    def __init__(self, live, clock, http) -> None:
        self.live, self.clock, self.http = live, clock, http
        self.cloud = live.backend.cloud
        self.url = f"http://127.0.0.1:{live.port}"
        self.number = 0

    @property
    def truth(self):
        return self.cloud.ledger.summary()

    def cars(self, *, charging=True, home=True, pausable=False):
        """Cars that are plugged in at home, charge, and have hours to spare; if asked, those that can be paused."""
        world = self.cloud.world
        return [
            car
            for car in range(len(self.cloud.fleet.refs))
            if (not home or (world.plugged[car] and world.home[car]))
            and (not pausable or self.cloud.capability(car).can_stop)
            and (not charging or (world.power_w[car] > 3_000 and world.soc_wh[car] < world.target_wh[car] - 9_000))
        ]

    def ref(self, car):
        return self.cloud.fleet.refs[car]

    def power_w(self, car):
        self.cloud.advance(self.clock.now())
        return float(self.cloud.world.power_w[car])

    async def get(self, car, what, **query):
        async with self.http.get(f"{self.url}/v1/vehicles/{self.ref(car)}/{what}", params=query) as answer:
            return answer.status, await answer.read(), answer.headers

    async def snapshot(self, car, **query):
        _, body, _ = await self.get(car, "snapshot", **query)
        return orjson.loads(body)

    async def put(self, car, setting=PAUSE, kind=DirectiveKind.CURTAIL, *, minutes=60, **more):
        """A directive sent as its bytes; the directive, and the status and body of the answer."""
        self.number += 1
        now = self.clock.now()
        end = now + timedelta(minutes=minutes)
        given = {"not_after": end} | more
        directive = Directive(f"d-{self.number}", f"k-{self.number}", self.ref(car), kind, now, end, **given)
        path = f"{self.url}/v1/vehicles/{self.ref(car)}/directives/{directive.directive_id}"
        headers = {"Idempotency-Key": directive.key}
        async with self.http.put(path, data=dumps(Order(directive, setting)), headers=headers) as answer:
            return directive, answer.status, await answer.read()

    async def state(self, car, directive):
        _, body, _ = await self.get(car, f"directives/{directive.directive_id}")
        return orjson.loads(body)["state"]

    async def passes(self, minutes):
        """So much simulated time goes by."""
        until = self.clock.now() + timedelta(minutes=minutes)
        while self.clock.now() < until:  # noqa: ASYNC110 - simulated time has no wake signal
            await asyncio.sleep(0.01)
        self.cloud.advance(self.clock.now())


@contextlib.asynccontextmanager
async def playing(brand, rates, *, speed=1_800.0, cars=CARS, seed=7):
    settings = SimulatorSettings(
        *(brand, cars, seed, EVENING, TOKEN),
        nights=1,
        faults=rates,
        truth="as_told",
        opted_out_probability=0.0,
        away_probability=0.0,
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with standing_time() as standing, aiohttp.ClientSession(headers=headers) as http:
        clock = standing.clock(EVENING, speed)
        async with running(settings, clock) as live:
            yield Cloud(live, clock, http)


@dataclasses.dataclass
class Life:
    """How one directive after another went for one car: every state in order, and the claims that the truth denies."""

    states: list
    errors: list
    lies: int


class Engine:
    """The engine's core for a few cars: registry, dispatcher and reconciler, asked for the same thing all along."""

    def __init__(self, cloud: Cloud, cars: list[int]) -> None:
        self.cloud, self.clock = cloud, cloud.clock
        self.refs = [cloud.ref(car) for car in cars]
        self.cars = dict(zip(self.refs, cars, strict=True))
        self.lives = {ref: Life([], [], 0) for ref in self.refs}
        self.fleet_state = FleetState(self.clock.now().timestamp(), {}, 1)
        self.fleet_state.enrol([_enrolment(ref) for ref in self.refs], self.clock.now())
        settings = {"url": cloud.url, "token": TOKEN, "webhook_secret": SECRET, "clock": self.clock, "seed": 1}
        self.backend = registry.factory(cloud.cloud.fleet.brand)(settings)
        self._note, self.fleet_state.registry._note = self.fleet_state.registry._note, self.noted
        self.dispatcher = Dispatcher(
            CallContext(
                backend=self.backend,
                clock=self.clock,
                registry=self.fleet_state.registry,
                capabilities=self.fleet_state.capabilities,
                snapshots=self.fleet_state.snapshots,
                at_once=16,
                seed=1,
            )
        )

    def noted(self, held):
        self._note(held)
        life = self.lives[held.ref]
        if not life.states or life.states[-1] is not held.state:
            life.states.append(held.state)
        if held.error is not None:
            life.errors.append(held.error)

    async def hold(self, desire_of, minutes):
        """Want the same of every car for so long, then nothing; until every directive is over."""
        await self._learn()
        listening = asyncio.create_task(self._listen())
        end = self.clock.now() + timedelta(minutes=minutes)
        try:
            while self.clock.now() < end or any(car.held for _, car in self.fleet_state.registry):
                self._cycle(desire_of, end)
                await asyncio.sleep(0.03)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self.dispatcher.settle(2.0)
            await self.backend.close()
        return self.lives

    def _cycle(self, desire_of, end):
        now, registry = self.clock.now(), self.fleet_state.registry
        registry.age(now)
        for ref in self.refs:
            desire = desire_of(ref, now, end) if now < end else None
            step = reconcile(desire, registry.present(ref, now), self.fleet_state.snapshots.get(ref), now)
            if step.do is not Do.NOTHING or step.car is not registry.car(ref):
                self.dispatcher.start(ref, step)

    async def _learn(self):
        for ref in self.refs:
            for _ in range(20):
                with contextlib.suppress(Exception):
                    self.fleet_state.learn({ref: await self.backend.capabilities(ref)})
                    break

    async def _listen(self):
        async for event in self.backend.events():
            self.fleet_state.take(event, self.clock.now())


def curtail(ref, now, end):
    """Pause until the end."""
    return Desire(ref, "bay", DirectiveKind.CURTAIL, None, now, end, origin=Origin("p", "e", 0))


def give(ref, now, end):
    """Feed the grid with two kilowatts until the end, down to a quarter of the battery."""
    return dataclasses.replace(
        curtail(ref, now, end), kind=DirectiveKind.SETPOINT, power_w=-2_000, reserve_soc_pct=25.0, max_energy_wh=4_000
    )


def _enrolment(ref):
    week = (time_of_day(8),) * 7
    return Enrolment(ref, "bay", ref, "America/Los_Angeles", week, 80.0, 20.0, charging_consent=True)
