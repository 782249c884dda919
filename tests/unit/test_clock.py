"""The clock: one simulated instant for all processes."""

from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from vtn.clock import RealClock, SimulatedClock, parse_clock, print_clock

START = datetime(2026, 7, 15, 22, tzinfo=UTC)


def test_simulated_time_runs_at_its_speed():
    with freeze_time("2026-11-22T00:00:00Z") as frozen:
        clock = SimulatedClock(START, datetime.now(UTC).timestamp(), 540.0)
        frozen.tick(10)
        assert clock.now() == START + timedelta(seconds=5400)
        assert clock.real_seconds_until(START + timedelta(seconds=10_800)) == pytest.approx(10)
        assert clock.real_seconds_until(START) == 0


@pytest.mark.parametrize("clock", [RealClock(), SimulatedClock(START, 1795389177.25, 540.0)])
def test_a_clock_is_printed_and_parsed_alike(clock):
    assert parse_clock(print_clock(clock)) == clock


@pytest.mark.parametrize("text", ["", "fast", "2026-07-15T22:00:00@1*2", "2026-07-15T22:00:00Z@1*0", "x@1*2"])
def test_a_clock_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_clock(text)
