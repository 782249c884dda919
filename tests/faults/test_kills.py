"""Whole adapters, executors and planners are killed while they hold cars, and not started again: nobody is late.

`make guard` tries more moments of each vendor, and every kind of kill.
"""

import itertools
import os

import pytest
from kills import Killed, play_kill
from pacing import paced, skip_when_busy
from vendor_rig import VENDORS
from vtn_thread import launcher, template_of

SPEED, WITHIN_H = 480.0, 0.5
# Each vendor once, and each kind of kill in turn; without `EVENINGS=all` the first of each kind.
ALL = tuple(zip(VENDORS, itertools.cycle(Killed), strict=False))
CASES = ALL if os.environ.get("EVENINGS") == "all" else ALL[: len(Killed)]


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    return launcher(template_of(tmp_path_factory.mktemp("template") / "var"), tmp_path_factory.mktemp("vtn"))


@pytest.mark.parametrize(("vendor", "killed"), CASES)
async def test_nobody_is_late_for_a_program_that_was_killed(vendor, killed, launch, tmp_path):
    skip_when_busy()
    result = await play_kill(launch, vendor, killed, 1, tmp_path, speed=paced(SPEED), within_h=WITHIN_H)
    assert result.held > 0
    assert (result.departures > 0, result.late) == (True, 0), result


async def test_without_a_guard_drivers_are_late_for_an_executor_that_was_killed(launch, tmp_path):
    skip_when_busy()
    options = {"speed": paced(SPEED), "within_h": WITHIN_H, "guard": "off"}
    result = await play_kill(launch, "enode", Killed.EXECUTOR, 1, tmp_path, **options)
    assert result.held > 0
    assert result.late > 0
