"""A short evening with each shipped vendor through a whole adapter keeps every measure; `make evenings` has long ones.

Cars come home, the grid asks for the most for an hour and a half, and for an hour of it the vendor tells nothing.
"""

import pytest
from evenings import EveningPlan, play
from pacing import paced
from vendor_rig import VENDORS

CARS = 16
SHORT = EveningPlan(begins_h=5.75, event_h=(6.0, 7.5), lost_h=(6.25, 7.25), whole_night=False)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_evening_sheds_what_can_be_held_within_its_budget_and_nobody_is_late(vendor, launch, tmp_path):
    result = await play(launch, vendor, tmp_path, cars=CARS, speed=paced(600.0), plan=SHORT)
    assert result.broken() == [], result
