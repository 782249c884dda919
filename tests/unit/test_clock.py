"""The clock: one simulated instant for all processes."""

from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from vtn.clock import GatedClock, RealClock, SimulatedClock, open_gate, parse_clock, print_clock

START = datetime(2026, 7, 15, 22, tzinfo=UTC)


def test_simulated_time_runs_at_its_speed():
    with freeze_time("2026-11-22T00:00:00Z") as frozen:
        clock = SimulatedClock(START, datetime.now(UTC).timestamp(), 540.0)
        frozen.tick(10)
        assert clock.now() == START + timedelta(seconds=5400)
        assert clock.real_seconds_until(START + timedelta(seconds=10_800)) == pytest.approx(10)
        assert clock.real_seconds_until(START) == 0


def test_a_gated_clock_waits_short_of_its_start_until_everybody_is_told_when_it_began(tmp_path):
    with freeze_time("2026-11-22T00:00:00Z") as frozen:
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
