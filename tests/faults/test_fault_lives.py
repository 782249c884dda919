"""Under every fault a directive's life ends in a true final state, and IN_FORCE is said only of cars that obey.

All faults are played at once in this process, each by a simulator of its own over real HTTP, because a life takes time.
"""

import asyncio

import pytest
from fault_rig import Engine, curtail, give, playing

from ven_adapters.contract import FINAL_STATES, DirectiveState, ErrorCode
from ven_adapters.simulator.faults.table import BY_NAME, Of

SPEED = 600.0
CARS = 100
CARS_EACH = 4
MINUTES = 100
BOUND_S = 300.0
# A rate of one would leave nothing to retry with.
OFTEN = {Of.CARS: 1.0, Of.COMMANDS: 0.5, Of.READINGS: 0.3}
BRANDS = {"unguarded_discharge": "nissan"}
S = DirectiveState

# What may be the last word about a car of this kind; a command that nobody could confirm before its end has expired.
USUAL = {S.RELEASED, S.SUPERSEDED, S.CANCELLED, S.EXPIRED}
ENDS = {
    "silent_start": USUAL,
    "deep_sleep": USUAL | {S.FAILED},
    "no_effect": USUAL | {S.FAILED},
    "unplugged": USUAL | {S.FAILED, S.REJECTED},
    "override": {S.OVERRIDDEN},
    "opt_out": {S.OVERRIDDEN},
    "restarts_itself": USUAL | {S.OVERRIDDEN, S.FAILED},
    "wrong_location": {S.REJECTED},
    "token_revoked": USUAL | {S.REJECTED, S.FAILED},
    "path_gone": USUAL | {S.REJECTED, S.FAILED},
    "schedule_clobbered": USUAL | {S.REJECTED},
    "meter_disagrees": USUAL | {S.FAILED},
    "clock_skew": USUAL,
    "stale_telemetry": USUAL,
    "cannot_resume": USUAL | {S.REJECTED},
    "delayed": USUAL,
}
OTHERS = USUAL | {S.FAILED}
CODES = {
    "wrong_location": ErrorCode.NOT_AT_SITE,
    "override": ErrorCode.USER_OVERRIDE,
    "opt_out": ErrorCode.USER_OVERRIDE,
}


def givers(cloud):
    """Cars that can feed the grid and are well above their reserve, papers or not."""
    fleet, world = cloud.cloud.fleet, cloud.cloud.world
    able = (fleet.max_discharge_w > 0) & world.plugged & (world.soc_wh > world.reserve_wh + 5_000)
    return able.nonzero()[0].tolist()


async def live_through(name):
    fault = BY_NAME[name]
    async with playing(BRANDS.get(name, "ford"), {name: OFTEN[fault.of]}, speed=SPEED, cars=CARS) as cloud:
        gives = name == "unguarded_discharge"
        cars = givers(cloud) if gives else cloud.cars()
        return await Engine(cloud, cars[:CARS_EACH]).hold(give if gives else curtail, MINUTES)


@pytest.fixture(scope="module")
def lives():
    async def all_at_once():
        async with asyncio.timeout(BOUND_S):
            found = await asyncio.gather(*(live_through(name) for name in BY_NAME))
        return dict(zip(BY_NAME, found, strict=True))

    return asyncio.run(all_at_once())


@pytest.mark.parametrize("name", BY_NAME)
def test_every_directive_ends_in_a_true_final_state(lives, name):
    assert lives[name]
    for life in lives[name].values():
        assert life.states
        assert life.states[-1] in FINAL_STATES
        assert life.states[-1] in ENDS.get(name, OTHERS), life


def test_a_car_that_goes_back_is_told_again(lives):
    assert any(life.states.count(S.REQUESTED) > 1 for life in lives["restarts_itself"].values())


@pytest.mark.parametrize("name", CODES)
def test_the_reason_is_kept(lives, name):
    assert all(CODES[name] in life.errors for life in lives[name].values())


@pytest.mark.parametrize("name", ["meter_disagrees", "wrong_location", "clock_skew"])
def test_nothing_is_in_force_without_proof(lives, name):
    proven = [S.IN_FORCE in life.states for life in lives[name].values()]
    assert not all(proven)
