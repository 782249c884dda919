"""Cars whose backend pushes nothing are known, held and paid for; lost pushes are healed by readings."""

import collections
from datetime import timedelta

from agent_rig import CARS, eventually, rigged
from tesla_evening import EVENT, EVENT_ENDS, Evening, tesla_evening

from ven_adapters.simulator.backend.push import Pusher
from ven_adapters.simulator.public.vendor_cloud import Deal

TESLAS = 40


async def test_teslas_that_come_home_all_evening_are_known_and_held(launch, tmp_path):
    async with tesla_evening(launch, tmp_path, 500.0, TESLAS) as (rig, public):
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
        assert max(reads.values()) <= agent.reading.figures()["readings_per_car_and_day"]


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
