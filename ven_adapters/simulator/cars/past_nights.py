"""What an automaker would have recorded of its cars in the nights before: readings of cars that charged as they came.

The nights are further draws of the same fleet, with the physics of the simulated nights and levels told as each car
tells them; so past and present are of one kind, and no past night is the night that follows. One JSON line a reading,
in order of time, as `ven-adapters learn` takes them.
"""

import dataclasses
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ven_adapters.contract import ChargeState
from ven_adapters.simulator.cars.fleets import LEAST_SOC_PCT, SimulatedFleet, plan_fleet
from ven_adapters.simulator.cars.physics import Flags, Floats, Ints, PackState, driver_orders, power_w, step
from ven_adapters.simulator.cars.world import DRIVEN_WARM, packs_of
from ven_adapters.simulator.settings import SimulatorSettings
from vtn.clock import HOUR_S

STEP_S = 300.0
FIRST_HOUR, LAST_HOUR = 11.0, 35.0  # of a night, after its first midnight: from before the first arrival to the next
FULL_SLACK_WH = 1.0
WEEK_DAYS = 7


def write_past_readings(settings: SimulatorSettings, nights: int, path: Path) -> int:
    """The readings of so many nights right before the fleet's first evening; how many there are."""
    fleet = plan_fleet(dataclasses.replace(settings, nights=nights + 1))
    # The nights after the first, moved back by whole weeks: drivers keep their days, and the first is none of them.
    earlier = timedelta(days=WEEK_DAYS * math.ceil((nights + 1) / WEEK_DAYS))
    count = 0
    with path.open("wb") as lines:
        for night in range(1, nights + 1):
            for reading in _PastNight(fleet, night, earlier).readings():
                lines.write(orjson.dumps(reading) + b"\n")
                count += 1
    return count


class _PastNight:
    """One night of a fleet, in steps of five minutes; `earlier`: how far it is moved back."""

    def __init__(self, fleet: SimulatedFleet, night: int, earlier: timedelta) -> None:
        self._fleet, self._earlier = fleet, earlier
        self._packs, cars = packs_of(fleet), len(fleet.refs)
        self._began_s = (night * 24 + FIRST_HOUR) * HOUR_S
        self._home = fleet.plugs_in[night] & ~fleet.away[night]
        self._arrive_s, self._depart_s = fleet.arrive_s[night], fleet.depart_s[night]
        self._target_wh = fleet.target_pct / 100.0 * self._packs.usable_wh
        level_pct = np.maximum(LEAST_SOC_PCT, fleet.target_pct - 100.0 * fleet.need_wh[night] / fleet.usable_wh)
        self._state = PackState(level_pct / 100.0 * self._packs.usable_wh, np.zeros(cars))
        self._added_wh: Floats = np.zeros(cars)
        self._plugged: Flags = np.zeros(cars, bool)
        self._full: Flags = np.zeros(cars, bool)
        self._told_s: Floats = np.full(cars, -np.inf)

    def readings(self) -> Iterator[dict[str, Any]]:
        """At plug-in, while power flows, when a car is full, and when the cable is out."""
        for number in range(round((LAST_HOUR - FIRST_HOUR) * HOUR_S / STEP_S)):
            at_s = self._began_s + number * STEP_S
            plugged = self._home & (self._arrive_s <= at_s) & (at_s < self._depart_s)
            yield from self._unplugged(np.flatnonzero(self._plugged & ~plugged))
            came, self._plugged = plugged & ~self._plugged, plugged
            self._state = PackState(self._state.soc_wh, np.where(came, DRIVEN_WARM, self._state.warm))
            yield from self._told(at_s, came)
            self._state, grid_wh = step(self._packs, self._state, driver_orders(plugged, self._target_wh), STEP_S)
            self._added_wh += grid_wh

    def _told(self, at_s: float, came: Flags) -> Iterator[dict[str, Any]]:
        """What plugged cars tell at an instant; those of slow clouds keep to their last reading for a while."""
        truth, state = self._fleet.truth, self._state
        flow_w = power_w(self._packs, state, driver_orders(self._plugged, self._target_wh))
        full = state.soc_wh >= self._target_wh - FULL_SLACK_WH
        news = self._plugged & (came | (full != self._full) | (flow_w > 0.0))
        speaks = news & (came | (at_s - self._told_s >= truth.reading_age_s))
        level_pct = truth.told_pct(100.0 * state.soc_wh / self._packs.usable_wh)
        at = self._print(at_s)
        for car in np.flatnonzero(speaks).tolist():
            yield {
                "vehicle_ref": self._fleet.refs[car],
                "at": at,
                "plugged": True,
                "at_home": True,
                "charge_state": (ChargeState.COMPLETE if full[car] else ChargeState.CHARGING).value,
                "soc_pct": round(float(level_pct[car]), 1),
                "power_w": round(float(flow_w[car])),
                "energy_added_wh": round(float(self._added_wh[car])),
            }
        self._full, self._told_s[speaks] = np.where(speaks, full, self._full), at_s

    def _unplugged(self, cars: Ints) -> Iterator[dict[str, Any]]:
        for car in cars[np.argsort(self._depart_s[cars], kind="stable")].tolist():
            self._full[car] = False
            yield {
                "vehicle_ref": self._fleet.refs[car],
                "at": self._print(float(self._depart_s[car])),
                "plugged": False,
                "at_home": False,
                "charge_state": ChargeState.UNPLUGGED.value,
                "power_w": 0,
            }

    def _print(self, at_s: float) -> str:
        return (self._fleet.midnight + timedelta(seconds=round(at_s)) - self._earlier).isoformat()
