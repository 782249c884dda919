"""Run one simulated backend: its cars in their loop, its HTTP interface, its pushes, until it is told to stop."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from ven_adapters.contract import SnapshotsSeen
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.backend.endpoints import Backend, application
from ven_adapters.simulator.backend.push import Pusher
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.cars.fleets import SimulatedFleet, plan_fleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.cars.world import STEP_S
from ven_adapters.simulator.settings import SimulatorSettings
from vtn.clock import Clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress
from vtn.tasks import run_until_signalled

SHORTEST_TICK_S = 0.05
SPARE_HOURS = 24.0


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """A running backend, the port on which it listens, and the task in which its cars live."""

    backend: Backend
    port: int
    cars: asyncio.Task[None]


async def serve(settings: SimulatorSettings, clock: Clock, *, say: Callable[[str], None] = print) -> None:
    """Serve until cancelled or told SIGTERM or SIGINT; one ready line to `say`; the ground truth at the end."""
    async with running(settings, clock) as live:
        say(f"ready brand={settings.brand} cars={settings.cars} url=http://{settings.host}:{live.port}")
        try:
            await run_until_signalled(live.cars)
        finally:
            _conclude(live.backend)
        if live.cars.done():
            live.cars.result()


@contextlib.asynccontextmanager
async def running(settings: SimulatorSettings, clock: Clock) -> AsyncIterator[Live]:
    """A backend that listens and whose cars live; it stops at the end of the block."""
    backend = build(settings, clock)
    async with listening(application(backend), ListenAddress(settings.host, settings.port, "--port")) as port:
        cars = asyncio.create_task(_live(backend))
        try:
            yield Live(backend, port, cars)
        finally:
            cars.cancel()
            await asyncio.gather(cars, return_exceptions=True)
            await backend.pusher.close()


def build(settings: SimulatorSettings, clock: Clock) -> Backend:
    """The parts of a backend, its cars brought to the present."""
    fleet = plan_fleet(settings)
    ledger = ledger_of(settings, fleet)
    cloud = Cloud(fleet, settings.seed, settings.faults, ledger)
    cloud.advance(clock.now())
    views = Views(cloud)
    return Backend(settings, clock, cloud, views, Pusher(views.forget))


def ledger_of(settings: SimulatorSettings, fleet: SimulatedFleet) -> GroundTruth:
    """The ground truth of a fleet for all its nights."""
    starts_s = (settings.starts_at - fleet.midnight).total_seconds()
    return GroundTruth(fleet, starts_s, 24.0 * settings.nights + SPARE_HOURS, keeps_power=settings.keeps_power)


def _conclude(backend: Backend) -> None:
    backend.cloud.advance(backend.clock.now())
    if backend.settings.truth_dir is not None:
        backend.cloud.ledger.write(backend.settings.truth_dir)


async def _live(backend: Backend) -> None:
    await ticking(backend.clock, lambda: tick(backend))


async def ticking(clock: Clock, act: Callable[[], None]) -> None:
    """A tick each simulated minute or 50 ms, whichever is longer; a late tick catches up in steps of its own."""
    while True:
        wait_s = clock.real_seconds_until(clock.now() + timedelta(seconds=STEP_S))
        await asyncio.sleep(max(SHORTEST_TICK_S, wait_s))
        act()


def tick(backend: Backend) -> None:
    """Bring the cars to the present and push what changed."""
    cloud = backend.cloud
    cloud.advance(backend.clock.now())
    snapshots = backend.views.changed()
    events = [*cloud.outbox, *([SnapshotsSeen(tuple(snapshots))] if snapshots else [])]
    cloud.outbox.clear()
    if events:
        backend.pusher.offer(events)
