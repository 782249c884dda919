"""What each automaker nominates, zone by zone, from what its own enrolled cars can do."""

import numpy as np

from ven_adapters.demo.scenario import PLUGGED_SHARE, Nomination
from ven_adapters.simulator.cars.car_models import CONTROL_NAMES
from ven_adapters.simulator.cars.fleets import COMPLETE, Flags, SimulatedFleet

HOLDABLE = ("amp_list", "amp_range", "charger", "bidirectional", "target_only")
LEVEL_FLOOR_PCT = 50.0


def nominations(fleet: SimulatedFleet) -> list[Nomination]:
    """One nomination per zone of a fleet."""
    return [_nominate(fleet, number) for number in range(len(fleet.zones))]


def _nominate(fleet: SimulatedFleet, number: int) -> Nomination:
    """The share of the zone's energy need that belongs to cars that can be held back, and the export on file."""
    here = fleet.zone == number
    willing = here & _can_be_held(fleet) & ~fleet.opted_out
    exports = here & (fleet.papers == COMPLETE) & (fleet.max_discharge_w > 0) & ~fleet.opted_out
    share = float(fleet.need_wh[0][willing].sum() / fleet.need_wh[0][here].sum())
    limit_w = np.minimum(fleet.max_discharge_w, fleet.export_limit_w)
    exported_kw = float(limit_w[exports].sum()) / 1_000.0 * PLUGGED_SHARE
    return Nomination(fleet.brand, fleet.zones[number], int(here.sum()), share, exported_kw)


def _can_be_held(fleet: SimulatedFleet) -> Flags:
    """Cars that can pause and resume; one that only takes a target level pauses from 50 % on."""
    holdable = np.isin(fleet.control, [CONTROL_NAMES.index(name) for name in HOLDABLE])
    by_level = fleet.control == CONTROL_NAMES.index("target_only")
    answer: Flags = holdable & (~by_level | (fleet.soc_pct >= LEVEL_FLOOR_PCT))
    return answer
