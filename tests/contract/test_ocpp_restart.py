"""A central system in a new life: what it had sent is read from the station, once, and ends as it should."""

import contextlib

import pytest
from ocpp_rig import CAR, central, station

from ven_adapters.contract import BackendError, Certainty, DirectiveKind, DirectiveState, Known

S = DirectiveState
LONG_S = 36_000  # longer than a restart takes on the hurried clock


@contextlib.asynccontextmanager
async def lives(tmp_path, port, **more):
    """A function that begins another life of the same central system, beside a station that never ends."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(contextlib.AsyncExitStack())
        rig = await first.enter_async_context(central(state=str(tmp_path), port=port, **more))
        rig.peer = await stack.enter_async_context(station(rig.url, rig.clock))
        await rig.peer.heard("online")
        await rig.measures(lambda power_w: power_w > 0)

        async def again():
            await first.aclose()
            newer = await stack.enter_async_context(central(rig.clock, state=str(tmp_path), port=port, **more))
            newer.peer = rig.peer
            return newer

        yield rig, again


async def test_a_directive_in_force_is_in_force_in_the_next_life_and_was_sent_once(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port, offline_limit_s=LONG_S) as (rig, again):
        directive = rig.discharge(minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        newer = await again()
        await newer.peer.heard("online")
        status = await newer.reaches(directive, S.IN_FORCE)
        assert status.certainty is Certainty.METERED
        assert (await newer.submit(directive)).state is S.IN_FORCE
        assert len((await newer.peer.state())["sets"]) == 1


async def test_a_directive_can_be_cancelled_in_the_next_life(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port, offline_limit_s=LONG_S) as (rig, again):
        directive = rig.directive(power_w=2_000, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        newer = await again()
        await newer.peer.heard("online")
        assert (await newer.backend.cancel(CAR, directive.directive_id)).state is S.CANCELLED
        assert (await newer.peer.state())["profiles"] == []


async def test_what_the_station_let_go_of_meanwhile_has_failed(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port) as (rig, again):
        directive = rig.directive(DirectiveKind.CURTAIL, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.peer.do("cut")
        await rig.peer.heard("offline")
        await rig.peer.heard("power_w")  # the dead-man has given the car back
        newer = await again()
        await newer.peer.do("mend")
        assert (await newer.reaches(directive, S.FAILED)).error is not None


async def test_a_directive_that_was_over_stays_over(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port) as (rig, again):
        directive = rig.directive(power_w=2_000, minutes=120)
        await rig.submit(directive)
        await rig.backend.cancel(CAR, directive.directive_id)
        newer = await again()
        assert (await newer.backend.status(CAR, directive.directive_id)).state is S.CANCELLED


async def test_an_alarm_that_stands_forbids_a_discharge_in_the_next_life_too(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port, offline_limit_s=LONG_S) as (rig, again):
        directive = rig.discharge(minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.peer.do("alarm")
        await rig.reaches(directive, S.FAILED)
        newer = await again()
        await newer.peer.heard("online")
        assert (await newer.backend.snapshot(CAR)).der_alarm.value is Known.YES
        with pytest.raises(BackendError, match="der_alarm"):
            await newer.submit(rig.discharge())


async def test_without_a_folder_nothing_is_remembered(unused_tcp_port):
    async with central(port=unused_tcp_port) as rig:
        with pytest.raises(BackendError):
            await rig.backend.status(CAR, "d-1")
