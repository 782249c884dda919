"""A line that dies without a word: the sockets stay open and carry nothing. Both sides notice, each in its own time."""

import asyncio
import contextlib
import time

import pytest
from ocpp_rig import CAR, EVENING, OFFLINE_LIMIT_S, PASSWORD, PATIENCE_S, central, place

from ven_adapters.contract import DirectiveState, ErrorCode
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.staged import still_fleet
from ven_adapters.simulator.station.points import ChargingPoints
from ven_adapters.simulator.station.station import Access, SimulatedStation

SPEED = 120.0
PING_S = 0.25
NOTICED_S = 4 * PING_S + 1.0  # real seconds: a ping, its answer that does not come, and a machine that is busy
TICK_S = 0.02
TOLERANCE_S = SPEED * 0.5

S = DirectiveState


class Wire:
    """A TCP relay whose lines can go silent: open on both sides, and nothing passes."""

    def __init__(self, port) -> None:
        self.port, self.target = 0, port
        self.silent = False
        self.tasks = set()

    async def relay(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        born_silent = self.silent

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    if not (self.silent or born_silent):
                        sink.write(data)
                        await sink.drain()
                sink.close()

        work = [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))]
        self.tasks.update(work)
        await asyncio.gather(*work, return_exceptions=True)
        for sink in (back, writer):
            sink.close()

    @contextlib.asynccontextmanager
    async def open(self):
        server = await asyncio.start_server(self.relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)


class Plug:
    """A station of the simulator with one car, on a wire."""

    def __init__(self, wire, clock) -> None:
        fleet = still_fleet(SimulatorSettings("ford", 0, 7, EVENING, ""), ("bidirectional",))
        self.clock = clock
        self.points = ChargingPoints(fleet, 7, GroundTruth(fleet, (EVENING - fleet.midnight).total_seconds(), 72.0))
        self.points.advance(clock.now())
        access = Access(f"ws://127.0.0.1:{wire.port}", PASSWORD, ping_s=PING_S, handshake_s=2 * PING_S)
        self.station = SimulatedStation("CP-1", self.points, 0, clock, access)
        self.points.plug_moved = lambda _: self.station.plugged()

    @property
    def power_w(self):
        return float(self.points.world.power_w[0])

    async def live(self):
        while True:
            now = self.clock.now()
            self.points.live(now)
            self.station.tick(now)
            await asyncio.sleep(TICK_S)


@contextlib.asynccontextmanager
async def on_wire(rig):
    """A station that reaches the central system over a wire."""
    async with Wire(await rig.backend.port()).open() as wire:
        plug = Plug(wire, rig.clock)
        tasks = [asyncio.ensure_future(plug.station.run()), asyncio.ensure_future(plug.live())]
        try:
            yield wire, plug
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def discharging():
    """A wire on which a car discharges for two hours."""
    car = place(max_charge_w=7_680, max_discharge_w=7_000, phases=1, voltage_v=240)
    async with central(speed=SPEED, ping_s=PING_S, vehicles={CAR: car}) as rig, on_wire(rig) as (wire, plug):
        await rig.measures(lambda power_w: power_w > 0)
        directive = rig.discharge(-5_000, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        yield rig, wire, plug, directive


async def test_a_station_on_a_silent_line_stops_discharging_within_its_offline_limit(discharging):
    _, wire, plug, _ = discharging
    assert plug.power_w == -5_000
    wire.silent, silent_at = True, plug.clock.now()
    async with asyncio.timeout(PATIENCE_S):
        while plug.power_w < 0:  # noqa: ASYNC110 - power rings no bell
            await asyncio.sleep(TICK_S)
    stopped_s = (plug.clock.now() - silent_at).total_seconds()
    assert stopped_s <= OFFLINE_LIMIT_S + TOLERANCE_S
    assert stopped_s >= OFFLINE_LIMIT_S - 2 * PING_S * SPEED - TOLERANCE_S


async def test_the_central_system_notices_a_silent_line_and_claims_nothing_of_it(discharging):
    rig, wire, _, directive = discharging
    wire.silent, began_s = True, time.monotonic()
    status = await rig.reaches(directive, S.INTERRUPTED)
    assert time.monotonic() - began_s <= NOTICED_S
    assert status.error is ErrorCode.UNREACHABLE
    assert (await rig.backend.status(CAR, directive.directive_id)).state is S.INTERRUPTED


async def test_nothing_is_in_force_again_when_the_line_is_back_too_late(discharging):
    rig, wire, plug, directive = discharging
    wire.silent = True
    await rig.reaches(directive, S.INTERRUPTED)
    async with asyncio.timeout(PATIENCE_S):
        while plug.power_w < 0:  # noqa: ASYNC110 - power rings no bell
            await asyncio.sleep(TICK_S)
    wire.silent = False
    failed = await rig.reaches(directive, S.FAILED)
    assert failed.error is ErrorCode.UNREACHABLE
    told = [one.state for one in rig.pushed if getattr(one, "directive_id", None) == directive.directive_id]
    assert S.IN_FORCE not in told[told.index(S.INTERRUPTED) :]
    assert plug.power_w >= 0
