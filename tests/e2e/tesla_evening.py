"""An evening of Teslas that come home one after the other, and what is true of every car beside what is known of it."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import numpy as np
from agent_rig import Rig
from pacing import standing_time

from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.public.serve import Neighbour, introduce
from ven_adapters.simulator.public.serve import made as simulated
from ven_adapters.simulator.serve import ticking
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.ven.fleet.columns import Tri
from vtn.clock import print_clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress
from vtn.tasks import cancel_tasks

HOSTNAME = "telemetry.example.org"
LOGIN = {"user": "adapter", "password": "adapter-password"}
SERVER = {"username": "server", "password": "server-password"}
AFTERNOON = datetime(2026, 7, 2, 0, 0, tzinfo=UTC)  # 17:00 on a Wednesday in California
EVENT, EVENT_ENDS = AFTERNOON + timedelta(hours=1), AFTERNOON + timedelta(hours=4)  # 18:00 to 21:00
KNOWN_WITHIN_S = 15 * 60.0


@contextlib.asynccontextmanager
async def tesla_evening(launch, folder, speed, cars, broker=None):
    """A VTN and Tesla's cloud with its cars, on one clock that starts at five; with a broker the cars stream."""
    async with contextlib.AsyncExitStack() as stack:
        clock = (await stack.enter_async_context(standing_time())).clock(AFTERNOON, speed)
        yield await stack.enter_async_context(_teslas(launch, folder, clock, cars, broker))


@contextlib.asynccontextmanager
async def _teslas(launch, folder, clock, cars, broker):
    settings = SimulatorSettings(
        "tesla",
        cars,
        7,
        AFTERNOON,
        "a-secret-of-16-or-more",
        nights=1,
        faults={},
        opted_out_probability=0.0,
        truth="as_told",  # a cloud that is minutes late by itself says nothing of how often it was asked
    )
    write_enrolment(plan_fleet(settings), folder / "cars.jsonl")
    public = simulated(settings, clock)
    with launch({"server.clock": print_clock(clock)}) as vtn:
        async with listening(public.application(), ListenAddress("127.0.0.1", 0, "--port")) as port:
            url = f"http://127.0.0.1:{port}"
            introduce(public, url, Neighbour(folder / "state"))
            rig = Rig(vtn, clock, folder, public.vendor_cloud.cloud, port)
            table = public.settings(url) | {"state": str(folder / "state"), "clock": print_clock(clock)}
            table |= {} if broker is None else {"telemetry": {"stream": broker.url, "hostname": HOSTNAME} | LOGIN}
            rig.change(backend=table, cycle_s=300)
            tasks = [asyncio.create_task(ticking(clock, public.tick))]
            if broker is not None:
                published = public.protocol.telemetry.run("127.0.0.1", broker.port, **SERVER)  # type: ignore[attr-defined]
                tasks.append(asyncio.create_task(published))
            try:
                yield rig, public
            finally:
                await rig.close()
                await cancel_tasks(tasks)
                await public.vendor_cloud.hooks.close()


class Evening:
    """What is true of every car beside what the adapter knows, look by look."""

    def __init__(self, rig, agent, cars, known_within_s=KNOWN_WITHIN_S) -> None:
        self.rig, self.agent, self.known_within_s = rig, agent, known_within_s
        self.stood_s, self.plugged = np.zeros(cars), None
        self.known_late, self.arrived, self.looks = set(), set(), 0
        self.below_reserve_kw = self.not_known_kw = 0.0

    async def watch(self, until):
        """Note cars that were plugged in so long ago and are not known to be; what must be charged."""
        world, fleet = self.rig.cloud.world, self.agent.fleet_state.fleet
        rows = np.array([fleet.row(ref) for ref in self.rig.cloud.fleet.refs])
        while (now := self.rig.clock.now()) < until:
            plugged = world.plugged.copy()
            if self.plugged is None:  # who was at home before anybody looked is to be known from the first look on
                self.stood_s[:] = now.timestamp()
            else:
                self.stood_s[plugged != self.plugged] = now.timestamp()
                self.arrived |= set(np.flatnonzero(plugged & ~self.plugged).tolist())
            self.plugged = plugged
            unknown = plugged & (fleet.read("plugged", rows) != Tri.YES)
            overdue = unknown & (now.timestamp() - self.stood_s > self.known_within_s)
            self.known_late |= set(np.flatnonzero(overdue).tolist())
            below = world.soc_wh < world.reserve_wh
            self.below_reserve_kw += float(world.power_w[below].sum()) / 1000.0
            self.not_known_kw += float(world.power_w[unknown & ~below].sum()) / 1000.0
            self.looks += 1
            await asyncio.sleep(0.05)
