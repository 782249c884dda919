"""Waiting: by durations, which no step of the clock on the wall makes longer."""

import asyncio
from datetime import time, timedelta

import pytest
from frozen_wall import wall_at

from vtn.scheduling import Timers, left_s

SHORT, HOUR_S = timedelta(seconds=0.01), 3600.0


async def test_a_call_comes_after_its_while_and_one_that_fails_is_logged(caplog):
    async with Timers() as timers, asyncio.timeout(60):
        called = asyncio.Event()

        async def fails():
            called.set()
            raise ZeroDivisionError

        timers.after(SHORT, fails)
        await called.wait()
        await asyncio.sleep(0)
    assert "ZeroDivisionError" in caplog.text


async def test_a_daily_call_comes_at_its_hour_of_the_wall_also_when_the_wall_is_set():
    with wall_at("2026-07-15T02:59:59Z", real_asyncio=True) as wall:
        async with Timers(look_every_s=0.01) as timers, asyncio.timeout(60):
            called = asyncio.Queue()
            timers.daily(time(3, 0), lambda: called.put(1))
            wall.move_to("2026-07-15T01:30:00Z")
            wall.move_to("2026-07-15T03:00:01Z")
            await called.get()
            wall.move_to("2026-07-16T03:00:01Z")
            await called.get()


async def test_what_is_under_way_ends_with_its_timers():
    begun = asyncio.Event()

    async def call():
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        async with Timers() as timers:
            timers.after(SHORT, call)
            await begun.wait()
    assert all(task.done() for task in timers._tasks)


@pytest.mark.parametrize(
    ("until_s", "now_s", "left"),
    [(100.0, 40.0, 60.0), (100.0, 100.0, 0.0), (100.0, 4e9, 0.0), (100.0, 100.0 - HOUR_S, 60.0), (100.0, -1e9, 60.0)],
)
def test_a_wait_that_was_written_down_never_grows_when_the_clock_is_set_back(until_s, now_s, left):
    assert left_s(until_s, now_s, 60.0) == left
