"""A charging station that loses its central system: a discharge ends by itself within the offline limit."""

import asyncio
import itertools
import time
from datetime import datetime, timedelta
from pathlib import Path

import fork_server
import pytest
from ocpp_rig import CAR, EVENING, OFFLINE_LIMIT_S, PATIENCE_S, plugged_in, station
from pacing import paced

from ven_adapters.contract import DirectiveKind, DirectiveState, ErrorCode
from vtn.clock import SimulatedClock, print_clock

CHILD = Path(__file__).with_name("ocpp_central.py")
SPEED = 120.0
SLOW = {"speed": SPEED}
TOLERANCE_S = SPEED * 0.5  # half a real second for a station that is not scheduled at once

S = DirectiveState


@pytest.fixture
async def discharging():
    """A rig whose car discharges for two hours."""
    async with plugged_in(SLOW) as rig:
        directive = rig.discharge(minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        yield rig, directive


def instant(text):
    return datetime.fromisoformat(text)


async def gave_until(peer, cut_at):
    """When the last discharge ended, by the station's own truth; it must have gone on at the cut."""
    truth = [(instant(at), power_w) for at, power_w in (await peer.state())["truth"]]
    ends = [at for (_, before), (at, power_w) in itertools.pairwise(truth) if before < 0 <= power_w]
    assert ends, truth
    assert ends[-1] > cut_at
    assert truth[-1][1] >= 0
    return ends[-1]


async def test_a_station_whose_link_is_cut_stops_discharging_within_its_offline_limit(discharging):
    rig, directive = discharging
    await rig.peer.do("cut")
    await rig.peer.heard("offline")
    cut_at = instant(rig.peer.said[-1]["at"])
    assert await rig.peer.heard("power_w") == 11_000
    stopped_s = (await gave_until(rig.peer, cut_at) - cut_at).total_seconds()
    assert OFFLINE_LIMIT_S - 5 <= stopped_s <= OFFLINE_LIMIT_S + TOLERANCE_S
    status = await rig.backend.status(CAR, directive.directive_id)
    assert (status.state, status.error) == (S.INTERRUPTED, ErrorCode.UNREACHABLE)


async def test_a_discharge_that_ended_during_an_absence_is_not_taken_up_again(discharging):
    rig, directive = discharging
    await rig.peer.do("cut")
    await rig.peer.heard("offline")
    await rig.peer.heard("power_w")
    await rig.peer.do("mend")
    status = await rig.reaches(directive, S.FAILED)
    assert status.error is ErrorCode.UNREACHABLE
    state = await rig.peer.state()
    assert (state["profiles"], len(state["sets"])) == ([], 1)
    assert state["power_w"] >= 0


async def test_a_link_that_is_back_within_the_limit_changes_nothing():
    async with plugged_in(SLOW | {"offline_limit_s": 36_000}) as rig:
        directive = rig.discharge(minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.peer.do("cut")
        await rig.reaches(directive, S.INTERRUPTED)
        await rig.peer.do("mend")
        await rig.peer.heard("online")
        await rig.measures(lambda power_w: power_w == -7_000, since=rig.clock.now())
        assert (await rig.backend.status(CAR, directive.directive_id)).state is S.IN_FORCE


async def test_a_pause_ends_as_well_and_the_driver_has_the_car_back():
    async with plugged_in(SLOW) as rig:
        directive = rig.directive(DirectiveKind.CURTAIL, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.peer.do("cut")
        await rig.peer.heard("offline")
        assert await rig.peer.heard("power_w") == 11_000
        assert (await rig.peer.state())["profiles"] == []


async def test_what_ended_during_an_absence_is_taken_away_when_the_station_is_back():
    async with plugged_in(SLOW | {"offline_limit_s": 36_000}) as rig:
        older, newer = rig.directive(power_w=2_000), rig.directive(power_w=5_000, starts_in_s=240)
        await rig.submit(older)
        await rig.submit(newer)
        await rig.peer.do("cut")
        await rig.reaches(older, S.INTERRUPTED)
        await rig.reaches(older, S.SUPERSEDED)
        await rig.peer.do("mend")
        await rig.reaches(newer, S.IN_FORCE)
        async with asyncio.timeout(PATIENCE_S):
            while len(held := (await rig.peer.state())["profiles"]) > 1:
                continue
        assert [one["stack_level"] for one in held] == [2]


async def test_a_central_system_that_is_killed_leaves_no_discharge_behind():
    clock = SimulatedClock(EVENING, time.time(), paced(SPEED))
    child = await fork_server.converse(str(CHILD), print_clock(clock))
    try:
        async with asyncio.timeout(PATIENCE_S):
            url = (await child.stdout.readline()).decode().strip()
        async with station(url, clock, standing=False) as peer:
            async with asyncio.timeout(PATIENCE_S):
                assert await child.stdout.readline() == b"in force\n"
            killed_at = clock.now()
            child.kill()
            await peer.heard("offline")
            await peer.heard("power_w")
            stopped = await gave_until(peer, killed_at - timedelta(seconds=TOLERANCE_S))
            assert (stopped - killed_at).total_seconds() <= OFFLINE_LIMIT_S + 2 * TOLERANCE_S
    finally:
        await child.close()
