"""Cars whose backend pushes nothing are known, held and paid for; lost pushes are healed by readings."""

import asyncio
import collections
import contextlib
import time
from datetime import UTC, datetime, timedelta

import numpy as np
from agent_rig import CARS, Rig, eventually, rigged
from pacing import paced

from ven_adapters.simulator.backend.push import Pusher
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.public.serve import Neighbour, introduce, made
from ven_adapters.simulator.public.vendor_cloud import Deal
from ven_adapters.simulator.serve import ticking
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.ven.fleet.columns import Tri
from vtn.clock import SimulatedClock, print_clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress
from vtn.tasks import cancel_tasks

AFTERNOON = datetime(2026, 7, 2, 0, 0, tzinfo=UTC)  # 17:00 on a Wednesday in California
EVENT, EVENT_ENDS = AFTERNOON + timedelta(hours=1), AFTERNOON + timedelta(hours=4)  # 18:00 to 21:00
TESLAS = 40
KNOWN_WITHIN_S = 15 * 60.0


@contextlib.asynccontextmanager
async def tesla_evening(launch, folder, speed):
    """A VTN and Tesla's cloud with its cars, on one clock that starts at five."""
    clock = SimulatedClock(AFTERNOON, time.time(), speed)
    settings = SimulatorSettings(
        "tesla",
        TESLAS,
        7,
        AFTERNOON,
        "a-secret-of-16-or-more",
        nights=1,
        faults={},
        opted_out_probability=0.0,
        truth="as_told",  # a cloud that is minutes late by itself says nothing of how often it was asked
    )
    write_enrolment(plan_fleet(settings), folder / "cars.jsonl")
    public = made(settings, clock)
    with launch({"server.clock": print_clock(clock)}) as vtn:
        async with listening(public.application(), ListenAddress("127.0.0.1", 0, "--port")) as port:
            url = f"http://127.0.0.1:{port}"
            introduce(public, url, Neighbour(folder / "state"))
            rig = Rig(vtn, clock, folder, public.vendor_cloud.cloud, port)
            table = public.settings(url) | {"state": str(folder / "state"), "clock": print_clock(clock)}
            rig.change(backend=table, cycle_s=300)
            cars = asyncio.create_task(ticking(clock, public.tick))
            try:
                yield rig, public
            finally:
                await rig.close()
                await cancel_tasks([cars])
                await public.vendor_cloud.hooks.close()


class Evening:
    """What is true of every car beside what the adapter knows, look by look."""

    def __init__(self, rig, agent, cars) -> None:
        self.rig, self.agent = rig, agent
        self.stood_s, self.plugged = np.zeros(cars), None
        self.known_late, self.arrived, self.looks = set(), set(), 0
        self.below_reserve_kw = self.not_known_kw = 0.0

    async def watch(self, until):
        """Note cars that were plugged in a quarter of an hour ago and are not known to be; what must be charged."""
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
            overdue = unknown & (now.timestamp() - self.stood_s > KNOWN_WITHIN_S)
            self.known_late |= set(np.flatnonzero(overdue).tolist())
            below = world.soc_wh < world.reserve_wh
            self.below_reserve_kw += float(world.power_w[below].sum()) / 1000.0
            self.not_known_kw += float(world.power_w[unknown & ~below].sum()) / 1000.0
            self.looks += 1
            await asyncio.sleep(0.05)


async def test_teslas_that_come_home_all_evening_are_known_and_held(launch, tmp_path):
    async with tesla_evening(launch, tmp_path, paced(180.0)) as (rig, public):
        await rig.event("SIMPLE", 3, minutes=180, starts_in_s=(EVENT - rig.clock.now()).total_seconds())
        agent = await rig.start()
        await eventually(lambda: len(agent.fleet_state.capabilities) == TESLAS)
        before, during = Evening(rig, agent, TESLAS), Evening(rig, agent, TESLAS)
        await before.watch(EVENT)
        during.stood_s, during.plugged = before.stood_s, before.plugged
        await during.watch(EVENT_ENDS)
        assert len(before.arrived | during.arrived) >= 15
        assert (before.known_late | during.known_late) == set()

        series = rig.cloud.ledger.arrays()
        first, last = (rig.cloud.world.seconds(at) for at in (EVENT, EVENT_ENDS))
        inside = (series["bin_start_s"] >= first) & (series["bin_start_s"] < last)
        drawn_kw, unmanaged_kw = (series[name][inside].sum(axis=1).mean() for name in ("kw", "asked_kw"))
        # Cars below their reserve are charged whatever is asked; who has just come home is not known for some minutes.
        due_kw, not_known_kw = (kw / during.looks for kw in (during.below_reserve_kw, during.not_known_kw))
        found = f"{unmanaged_kw=} {drawn_kw=} {due_kw=} {not_known_kw=}"
        assert unmanaged_kw > 50.0
        assert (unmanaged_kw - drawn_kw) / (unmanaged_kw - due_kw - not_known_kw) >= 0.9, found
        assert (unmanaged_kw - drawn_kw) / unmanaged_kw >= 0.8, found

        reads = collections.Counter(
            call.ref for call in public.vendor_cloud.calls if call.deal is Deal.READ and call.ref
        )
        assert max(reads.values()) <= agent.reading.figures()["calls_per_car_and_day"]


async def test_an_hour_of_lost_pushes_is_healed_by_readings(launch, tmp_path, monkeypatch):
    async with rigged(launch, tmp_path) as rig:
        await rig.event("SIMPLE", 3)
        agent = await rig.start()
        await eventually(lambda: len(agent.fleet_state.snapshots) == CARS)
        asked = agent.fleet_state.reads.asked_in_all
        monkeypatch.setattr(Pusher, "offer", lambda *_: None)
        evening = Evening(rig, agent, CARS)
        await evening.watch(rig.clock.now() + timedelta(hours=1.5))
        assert evening.arrived
        assert evening.known_late == set()
        assert agent.reading.figures()["asked"] > asked
