"""An adapter is killed while it holds cars whose vendor knows no end of a pause: the guard gives every car back."""

import asyncio
import os
import random
import signal
from datetime import timedelta

import pytest
from guard_rig import CARS, PATIENCE_S, SLICE_S, guard_rig

from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.transport.windows.hold_leases import LeaseState, guard_is_alive

VENDORS = ("enode", "smartcar", "tesla")
MINUTE_S = 60.0
# How many random moments of each vendor are tried; `make guard` tries more.
KILLS = int(os.environ.get("GUARD_KILLS", "1"))
# What a busy machine may keep a process from its processor, in real seconds.
AWAY_S = 10.0


@pytest.mark.parametrize("seed", range(1, KILLS + 1))
@pytest.mark.parametrize("vendor", VENDORS)
async def test_cars_of_an_adapter_that_is_killed_at_any_moment_charge_again_and_leave_in_time(vendor, seed, tmp_path):
    async with guard_rig(vendor, tmp_path, seed=seed) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends, ready=False)
        await rig.until(rig.commands)
        await asyncio.sleep(random.Random(f"{vendor}/{seed}").uniform(0.0, 3.0))
        adapter.kill()
        await rig.guard_there()
        since = rig.clock.now()
        await rig.until(lambda: rig.all_returned() and not rig.stopped(ends))
        within_s = SLICE_S + MINUTE_S + AWAY_S * rig.clock.speed
        assert rig.clock.now() - since < timedelta(seconds=within_s)
        truth = rig.morning()
        assert (truth["late_though_feasible"], truth["departures"]) == (0, len(rig.cloud.fleet.refs))


async def test_without_a_guard_the_same_cars_are_late(tmp_path):
    async with guard_rig("enode", tmp_path, guard="off", seed=1) as rig:
        adapter = await rig.adapter()
        adapter.kill()
        assert rig.morning()["late_though_feasible"] > 0


@pytest.mark.parametrize("vendor", VENDORS)
async def test_beside_a_living_adapter_the_guard_gives_nothing_back(vendor, tmp_path):
    async with guard_rig(vendor, tmp_path) as rig:
        await rig.adapter()
        await rig.guard_there()
        await asyncio.sleep(2.5 * SLICE_S / rig.clock.speed)
        assert {state for _, state in rig.leases()} == {LeaseState.HELD}
        assert "given back" not in rig.said()


async def test_a_guard_that_is_killed_is_started_again(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        adapter = await rig.adapter()
        await rig.guard_there()
        first = rig.guard_pids()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        await rig.until(lambda: set(rig.guard_pids()) - set(first))
        await rig.guard_there()
        assert len(rig.guard_pids()) == 1
        adapter.kill()
        await rig.until(rig.all_returned)


async def test_cars_are_given_back_once_a_vendor_that_was_away_is_there_again(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends)
        await rig.guard_there()
        rig.refusing = True
        adapter.kill()
        await rig.until(lambda: "tried again" in rig.said())
        await asyncio.sleep(2.0)
        assert len(rig.stopped(ends)) == rig.held
        rig.refusing = False
        await rig.until(lambda: not rig.stopped(ends))


async def test_an_adapter_that_comes_back_in_time_keeps_its_cars_and_needs_no_second_guard(tmp_path):
    async with guard_rig("enode", tmp_path, speed=120.0) as rig:
        long_s = 6 * SLICE_S
        ends = {ref: end for ref, end in rig.ends().items() if rig.seconds_until(end) > long_s}
        adapter = await rig.adapter(ends)
        await rig.guard_there()
        guards = rig.guard_pids()
        adapter.kill()
        await adapter.wait()
        await rig.adapter({})
        await asyncio.sleep(1.5 * SLICE_S / rig.clock.speed)
        assert {state for _, state in rig.leases()} == {LeaseState.HELD}
        assert "given back" not in rig.said()
        assert sorted(rig.stopped(ends)) == sorted(ends) != []
        assert rig.guard_pids() == guards


async def test_an_adapter_that_comes_back_late_learns_that_its_cars_were_given_back(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends)
        await rig.guard_there()
        adapter.kill()
        await rig.until(rig.all_returned)
        told = len(rig.commands())
        await rig.adapter({})
        await rig.until(lambda: rig.leases() == [])
        await asyncio.sleep(2.0)
        assert len(rig.commands()) == told
        assert rig.stopped(ends) == []


async def test_a_guard_ends_when_nothing_is_held_and_nobody_is_alive(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        adapter = await rig.adapter({})
        await rig.guard_there()
        adapter.kill()
        await rig.until(lambda: not rig.guard_pids())
        assert "the guard ends" in rig.said()


async def test_a_car_with_a_schedule_of_its_own_ends_its_pause_without_anybody(tmp_path):
    zones = {f"tesla-{number:04d}": "America/Los_Angeles" for number in range(1, CARS + 1)}
    async with guard_rig("tesla", tmp_path, guard="off", **{"backend.time_zones": zones}) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends)
        adapter.kill()
        await rig.until(lambda: len(rig.stopped(ends)) >= 3)
        truth = rig.morning()
        assert truth["late_though_feasible"] == 0


async def test_the_adapter_itself_starts_the_guard(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        write_enrolment(rig.cloud.fleet, tmp_path / "cars.jsonl")
        await rig.process("-m", "ven_adapters", "run", "enode", "--config", str(rig.config))
        await rig.guard_there()
        words = " ".join(rig.guard_words())
        assert "a-secret" not in words


async def test_one_guard_works_whoever_started_it_and_another_ends_with_nothing_to_say_against_it(tmp_path):
    async with guard_rig("enode", tmp_path, guard="service") as rig:
        executor = tmp_path / "executor.toml"
        backend = rig.config.read_text().partition("[backend]")[2]
        executor.write_text(f'oem = "enode"\n\n[queue]\nurl = "nats://127.0.0.1:4222"\n\n[backend]{backend}')
        guard = ("-m", "ven_adapters", "guard", "enode", "--config")
        first = await rig.process(*guard, str(executor), "--executor")
        await rig.until(lambda: guard_is_alive(rig.state))
        rig.config.write_text(rig.config.read_text().replace('mode = "service"', 'mode = "child"'))
        second = await rig.process(*guard, str(rig.config))
        async with asyncio.timeout(PATIENCE_S):
            assert await second.wait() == 0
        first.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await first.wait() == 0
        assert "another guard is at work" in (tmp_path / "adapter.log").read_text()


async def test_a_guard_for_another_automaker_than_the_files_does_not_start(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        wrong = await rig.process("-m", "ven_adapters", "guard", "tesla", "--config", str(rig.config))
        async with asyncio.timeout(PATIENCE_S):
            assert await wrong.wait() == 2
        assert "oem" in (tmp_path / "adapter.log").read_text()
