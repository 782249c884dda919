"""The clock: one simulated instant for all processes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from frozen_wall import wall_at

from ven_adapters.simulator.stepped_clock import SteppedClock
from vtn import clock as module
from vtn.clock import (
    GatedClock,
    RealClock,
    SimulatedClock,
    open_gate,
    parse_clock,
    print_clock,
    sleep_for,
    sleep_until,
    still_waits,
)

START = datetime(2026, 7, 15, 22, tzinfo=UTC)


def test_simulated_time_runs_at_its_speed():
    with wall_at("2026-11-22T00:00:00Z") as frozen:
        clock = SimulatedClock(START, datetime.now(UTC).timestamp(), 540.0)
        frozen.tick(10)
        assert clock.now() == START + timedelta(seconds=5400)
        assert clock.real_seconds_until(START + timedelta(seconds=10_800)) == pytest.approx(10)
        assert clock.real_seconds_until(START) == 0


def test_a_gated_clock_waits_short_of_its_start_until_everybody_is_told_when_it_began(tmp_path):
    with wall_at("2026-11-22T00:00:00Z") as frozen:
        gate = tmp_path / "begun"
        clock = parse_clock(print_clock(GatedClock(START, datetime.now(UTC).timestamp(), gate, 540.0)))
        before = [clock.now()]
        for _ in range(3):
            frozen.tick(300)
            before.append(clock.now())
        assert before == sorted(before)
        assert START - timedelta(minutes=10) <= before[0] < before[1] < before[-1] < START
        assert 0 < clock.real_seconds_until(START + timedelta(hours=1)) <= 0.1
        open_gate(gate, datetime.now(UTC).timestamp() + 1)
        frozen.tick(1)
        assert clock.now() == START
        frozen.tick(10)
        assert clock.now() == START + timedelta(seconds=5400)
        assert clock.real_seconds_until(START + timedelta(seconds=10_800)) == pytest.approx(10)


async def test_a_wait_by_a_clock_that_jumps_is_over_when_so_much_has_passed_and_not_before():
    clock = SteppedClock(START)
    waiting = asyncio.create_task(sleep_for(clock, 600.0))
    await clock.advance(540.0)
    assert not waiting.done()
    await clock.advance(120.0)
    async with asyncio.timeout(60):
        await waiting


def test_a_gate_that_is_half_written_is_not_open(tmp_path):
    gate = tmp_path / "begun"
    gate.write_text("")
    assert GatedClock(START, 0.0, gate, 540.0).now() < START


@pytest.mark.parametrize("clock", [RealClock(), SimulatedClock(START, 1795389177.25, 540.0)])
def test_a_clock_is_printed_and_parsed_alike(clock):
    assert parse_clock(print_clock(clock)) == clock


@pytest.mark.parametrize("text", ["", "fast", "2026-07-15T22:00:00@1*2", "2026-07-15T22:00:00Z@1*0", "x@1*2"])
def test_a_clock_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_clock(text)


class SetClock:
    """A clock that a test sets; what it is asked for is real time."""

    def __init__(self) -> None:
        self.shows = START

    def now(self):
        return self.shows

    def real_seconds_until(self, at):
        return max(0.0, (at - self.shows).total_seconds())


async def test_a_while_is_as_long_whatever_the_clock_is_set_to_meanwhile():
    clock = SetClock()
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(sleep_for(clock, 0.05))
        await asyncio.sleep(0)
        clock.shows -= timedelta(hours=1)
        await waiting


async def test_whoever_waits_for_an_instant_sees_a_clock_that_is_set_forward(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_NAP_S", 0.01)
    clock = SetClock()
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(sleep_until(clock, START + timedelta(hours=1)))
        await asyncio.sleep(0)
        clock.shows += timedelta(hours=2)
        await waiting


@pytest.mark.parametrize(
    ("now_s", "waits"), [(-3600, False), (-1, False), (0, True), (59, True), (60, False), (3600, False)]
)
def test_a_wait_that_was_written_down_is_over_for_a_clock_that_was_set_back_before_it(now_s, waits):
    until = START + timedelta(seconds=60)
    assert still_waits(START, until, START + timedelta(seconds=now_s)) is waits


def test_without_an_end_nothing_waits_and_without_a_beginning_only_the_end_counts():
    assert not still_waits(START, None, START)
    assert still_waits(None, START, START - timedelta(hours=1))
