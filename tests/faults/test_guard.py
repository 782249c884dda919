"""An adapter is killed while it holds cars whose vendor knows no end of a pause: the guard gives every car back."""

import asyncio
import os
import random
import signal
from datetime import timedelta

import pytest
from guard_rig import SLICE_S, guard_rig

from ven_adapters.transport.windows.hold_leases import LeaseState

VENDORS = ("enode", "smartcar", "tesla")
MINUTE_S = 60.0
# What a busy machine may keep a process from its processor, in real seconds.
AWAY_S = 5.0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_cars_of_a_killed_adapter_charge_again_and_leave_in_time(vendor, seed, tmp_path):
    async with guard_rig(vendor, tmp_path, seed=seed) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends)
        assert rig.held >= 5
        await rig.guard_there()
        await asyncio.sleep(random.Random(seed).uniform(0.0, 3.0))
        told, killed_at = len(rig.commands()), rig.clock.now()
        adapter.kill()
        await rig.until(lambda: not rig.stopped(ends))
        within_s = SLICE_S + MINUTE_S + AWAY_S * rig.clock.speed
        assert rig.clock.now() - killed_at < timedelta(seconds=within_s)
        await rig.until(lambda: {state for _, state in rig.leases()} == {LeaseState.RETURNED})
        assert len(rig.commands()) - told >= rig.held
        truth = rig.morning()
        assert (truth["late_though_feasible"], truth["departures"]) == (0, len(rig.cloud.fleet.refs))


async def test_without_a_guard_the_same_cars_are_late(tmp_path):
    async with guard_rig("enode", tmp_path, guard="off", seed=1) as rig:
        adapter = await rig.adapter()
        adapter.kill()
        assert rig.morning()["late_though_feasible"] > 0


@pytest.mark.parametrize("vendor", VENDORS)
async def test_beside_a_living_adapter_the_guard_sends_nothing(vendor, tmp_path):
    async with guard_rig(vendor, tmp_path, speed=120.0) as rig:
        await rig.adapter()
        await rig.guard_there()
        told = len(rig.commands())
        await asyncio.sleep(2.5 * SLICE_S / rig.clock.speed)
        assert len(rig.commands()) == told
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
        await rig.until(lambda: {state for _, state in rig.leases()} == {LeaseState.RETURNED})


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
        adapter = await rig.adapter()
        await rig.guard_there()
        guards, held = rig.guard_pids(), rig.held
        adapter.kill()
        await adapter.wait()
        await rig.adapter({})
        told = len(rig.commands())
        await asyncio.sleep(1.5 * SLICE_S / rig.clock.speed)
        assert len(rig.commands()) == told
        assert len(rig.leases()) == held
        assert rig.guard_pids() == guards


async def test_an_adapter_that_comes_back_late_learns_that_its_cars_were_given_back(tmp_path):
    async with guard_rig("enode", tmp_path) as rig:
        ends = rig.ends()
        adapter = await rig.adapter(ends)
        await rig.guard_there()
        adapter.kill()
        await rig.until(lambda: {state for _, state in rig.leases()} == {LeaseState.RETURNED})
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
