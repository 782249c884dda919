"""The evening's clock nearly stands while a program is at work, and hurries again when nobody is."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from ven_adapters.demo.pacing import WORKING_PACE, EveningPace
from vtn.clock import ClockPace, GatedClock, note_work, open_gate, work_folder

START = datetime(2026, 7, 15, 22, tzinfo=UTC)
SPEED = 500.0


async def seen(clock, pace):
    """Wait until the clock goes at this pace; its file says so."""
    async with asyncio.timeout(60):
        while ClockPace.parse(clock.gate.read_text(), SPEED).pace != pace:  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.005)


async def test_time_slows_down_while_any_process_is_at_work(tmp_path):
    clock = GatedClock(START, time.time(), tmp_path / "begun", SPEED)
    evening = EveningPace(clock.gate, SPEED)
    evening.begin(time.time())
    keeping = asyncio.create_task(evening.keep())
    try:
        note_work(clock, "planning", under_way=True)
        note_work(clock, "calls", under_way=True)
        await seen(clock, WORKING_PACE)
        note_work(clock, "planning", under_way=False)
        assert (work_folder(clock.gate) / str(os.getpid())).exists()
        note_work(clock, "calls", under_way=False)
        await seen(clock, SPEED)
    finally:
        keeping.cancel()
    shown = clock.now()
    assert evening.passed_s(time.time()) == pytest.approx((shown - START).total_seconds(), abs=SPEED)


def test_a_new_pace_goes_on_from_where_the_clock_stood_and_never_back(tmp_path):
    gate, real_s = tmp_path / "begun", time.time() - 100.0
    clock = GatedClock(START, 0.0, gate, SPEED)
    open_gate(gate, real_s)
    before = clock.now()
    assert before >= START + timedelta(seconds=100 * SPEED)
    open_gate(gate, ClockPace(time.time(), 0.0, 1.0))
    assert clock.now() == before
    assert clock.real_seconds_until(before + timedelta(seconds=SPEED)) == pytest.approx(1.0)


def test_clocks_that_heed_no_work_are_told_in_vain():
    note_work(object(), "planning", under_way=True)


def test_a_mark_that_a_dead_process_left_is_forgotten(tmp_path):
    gate = tmp_path / "begun"
    evening = EveningPace(gate, SPEED)
    evening.begin(time.time())
    mark = work_folder(gate) / "1"
    mark.touch()
    os.utime(mark, (time.time() - 3600, time.time() - 3600))
    assert not evening.at_work()
    (work_folder(gate) / "2").touch()
    assert evening.at_work()
