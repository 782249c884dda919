"""A short evening with each shipped vendor through a whole adapter keeps every measure; `make evenings` has long ones.

Cars come home, the grid asks for the most for an hour and a half, and for an hour of it the vendor tells nothing.
"""

import pytest
from evenings import SHORT, play
from pacing import paced, skip_when_busy
from vendor_rig import VENDORS

CARS = 16
# One reading of Enode's is a hint and several calls; the budget of a car counts it as one.
NOT_KEPT = {"enode": {"readings of a car"}}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_evening_sheds_what_can_be_held_within_its_budget_and_nobody_is_late(vendor, launch, tmp_path):
    skip_when_busy()
    result = await play(launch, vendor, tmp_path, cars=CARS, speed=paced(600.0), plan=SHORT)
    assert set(result.broken()) <= NOT_KEPT.get(vendor, set()), result
