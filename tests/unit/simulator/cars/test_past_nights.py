"""The nights before: the same cars, in order of time, over before the first evening, none of them that evening."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.cars.past_nights import write_past_readings
from ven_adapters.simulator.settings import SimulatorSettings

STARTS = datetime(2026, 7, 15, 22, tzinfo=UTC)
NIGHTS = 4


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    path = tmp_path_factory.mktemp("past") / "readings.jsonl"
    settings = SimulatorSettings("bmw", 60, 7, STARTS, token="", nights=1)
    count = write_past_readings(settings, NIGHTS, path)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(lines) == count
    return plan_fleet(settings), lines


def test_they_come_in_order_of_time_and_are_over_before_the_evening(readings):
    _, lines = readings
    at = [datetime.fromisoformat(line["at"]) for line in lines]
    assert at == sorted(at)
    assert STARTS - timedelta(days=7) < at[0]
    assert at[-1] < STARTS
    days = {(one - timedelta(hours=19)).date() for one, line in zip(at, lines, strict=True) if line["plugged"]}
    assert len(days) >= NIGHTS


def test_cars_charge_at_their_true_power_and_tell_levels_as_they_do(readings):
    fleet, lines = readings
    number = {ref: car for car, ref in enumerate(fleet.refs)}
    drawn = [line for line in lines if line["plugged"] and line["power_w"] > 0]
    most_w = (fleet.max_charge_w * fleet.truth.power_share)[[number[line["vehicle_ref"]] for line in drawn]]
    assert (np.array([line["power_w"] for line in drawn]) <= most_w + 1).all()
    steps = fleet.truth.level_step_pct[[number[line["vehicle_ref"]] for line in drawn]]
    assert (np.mod([line["soc_pct"] for line in drawn], steps) == 0).all()


def test_no_night_is_the_evening_that_follows(readings):
    fleet, lines = readings
    evening = {ref: round(float(one)) for ref, one in zip(fleet.refs, fleet.arrive_s[0] % 86_400, strict=True)}
    came = {}
    for line in lines:
        if line["plugged"]:
            came.setdefault((line["vehicle_ref"], line["at"][:10]), datetime.fromisoformat(line["at"]))
    same = [abs((at - fleet.midnight).total_seconds() % 86_400 - evening[ref]) < 300 for (ref, _), at in came.items()]
    assert len(came) > 2 * len(fleet.refs)
    assert np.mean(same) < 0.2
