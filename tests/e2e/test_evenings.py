"""A short evening through a whole adapter keeps every measure; `make evenings` has long ones of every vendor.

Cars come home, the grid asks for the most for an hour and a half, and for an hour of it the vendor tells nothing.
"""

import os

import pytest
from evenings import SHORT, play
from vendor_rig import VENDORS

CARS = 16
# A cloud and stations, the quickest of each; `EVENINGS=all` plays every vendor.
CHOSEN = tuple(VENDORS) if os.environ.get("EVENINGS") == "all" else ("bmw", "ocpp-2.0.1")


@pytest.mark.parametrize("vendor", CHOSEN)
async def test_an_evening_sheds_what_can_be_held_within_its_budget_and_nobody_is_late(vendor, launch, tmp_path):
    result = await play(launch, vendor, tmp_path, cars=CARS, speed=600.0, plan=SHORT)
    assert result.broken() == [], result
