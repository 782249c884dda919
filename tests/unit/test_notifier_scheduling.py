"""Waiting: by durations, which no step of the clock on the wall makes longer."""

import asyncio
from datetime import timedelta

import pytest

from vtn.scheduling import Timers, left_s

SHORT, HOUR_S = timedelta(seconds=0.01), 3600.0


async def test_a_repeated_call_comes_again_and_again_although_one_failed():
    async with Timers() as timers, asyncio.timeout(5):
        third = asyncio.Event()
        calls = []

        async def call():
            calls.append(1)
            if len(calls) == 1:
                raise ZeroDivisionError
            if len(calls) == 3:
                third.set()

        timers.every(SHORT, call, first=timedelta())
        await third.wait()


async def test_what_is_repeated_ends_with_its_timers():
    begun = asyncio.Event()

    async def call():
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        async with Timers() as timers:
            timers.every(SHORT, call, first=timedelta())
            await begun.wait()
    assert [task.done() for task in timers._tasks] == [True]


@pytest.mark.parametrize(
    ("until_s", "now_s", "left"),
    [(100.0, 40.0, 60.0), (100.0, 100.0, 0.0), (100.0, 4e9, 0.0), (100.0, 100.0 - HOUR_S, 60.0), (100.0, -1e9, 60.0)],
)
def test_a_wait_that_was_written_down_never_grows_when_the_clock_is_set_back(until_s, now_s, left):
    assert left_s(until_s, now_s, 60.0) == left
