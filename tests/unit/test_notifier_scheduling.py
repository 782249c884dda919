"""Timers: call me at T, call me every so often."""

import asyncio
from datetime import UTC, datetime, timedelta

from vtn.scheduling import Timers


async def test_a_call_comes_at_its_time_and_at_once_when_that_has_passed():
    came = []
    async with Timers() as timers, asyncio.timeout(5):
        both = asyncio.Event()

        def note(name):
            came.append(name)
            if len(came) == 2:
                both.set()

        timers.at(datetime.now(UTC) + timedelta(seconds=0.1), lambda: note("soon"))
        timers.at(datetime.now(UTC) - timedelta(hours=1), lambda: note("past"))
        await both.wait()
    assert came == ["past", "soon"]


async def test_a_call_taken_back_does_not_come():
    came = []
    async with Timers() as timers, asyncio.timeout(5):
        take_back = timers.at(datetime.now(UTC) + timedelta(seconds=0.05), lambda: came.append("no"))
        take_back()
        take_back()
        await timers.wait_until(datetime.now(UTC) + timedelta(seconds=0.15))
    assert came == []


async def test_a_repeated_call_comes_again_and_again():
    async with Timers() as timers, asyncio.timeout(5):
        third = asyncio.Event()
        calls = []

        async def call():
            calls.append(1)
            if len(calls) == 3:
                third.set()

        timers.every(timedelta(seconds=0.05), call, first=datetime.now(UTC))
        await third.wait()


async def test_waiting_can_be_cancelled():
    async with Timers() as timers:
        waiting = asyncio.ensure_future(timers.wait_until(datetime.now(UTC) + timedelta(hours=1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert timers._scheduler.get_jobs() == []
