"""Batteries and chargers: pure, vectorised steps from state to state. Powers at the charging point, + into the car.

Charging loses 10 % between the charging point and the battery, discharging 6 %. Above 80 % the battery takes less,
falling in a line to 20 % of the car's greatest power at 100 %. A limit below 6 A is no charging at all. No step passes
the level at which the car stops, the reserve at which a discharge stops, or the battery's own bounds.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from vtn.clock import HOUR_S

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CHARGE_EFFICIENCY = 0.90
DISCHARGE_EFFICIENCY = 0.94
TAPER_FROM = 0.80
TAPER_LOSS = 0.80
ROUNDING_WH = 1e-6  # a sum that falls short of a bound by the last digit has reached it


@dataclasses.dataclass(frozen=True, slots=True)
class Packs:
    """What does not change: usable energy, greatest charging power, least charging power (6 A), greatest discharge."""

    usable_wh: Floats
    max_charge_w: Floats
    min_charge_w: Floats
    max_discharge_w: Floats

    def at(self, cars: NDArray[np.int64]) -> "Packs":
        """The same columns for some of the cars."""
        return Packs(self.usable_wh[cars], self.max_charge_w[cars], self.min_charge_w[cars], self.max_discharge_w[cars])


@dataclasses.dataclass(frozen=True, slots=True)
class PowerOrders:
    """What holds now: plugged or not, a signed power limit (inf: none), the level to stop at, the level to keep."""

    plugged: Flags
    limit_w: Floats
    ceiling_wh: Floats
    floor_wh: Floats

    def at(self, cars: NDArray[np.int64]) -> "PowerOrders":
        """The same columns for some of the cars."""
        return PowerOrders(self.plugged[cars], self.limit_w[cars], self.ceiling_wh[cars], self.floor_wh[cars])


def power_w(packs: Packs, soc_wh: Floats, orders: PowerOrders) -> Floats:
    """The power that flows at this instant."""
    over = np.clip((soc_wh / packs.usable_wh - TAPER_FROM) / (1.0 - TAPER_FROM), 0.0, 1.0)
    accepted_w = packs.max_charge_w * (1.0 - TAPER_LOSS * over)
    charges = (orders.limit_w >= packs.min_charge_w) & (soc_wh < orders.ceiling_wh - ROUNDING_WH)
    discharges = (orders.limit_w < 0.0) & (soc_wh > orders.floor_wh + ROUNDING_WH)
    flow_w = np.where(charges, np.minimum(orders.limit_w, accepted_w), 0.0)
    flow_w = np.where(discharges, np.maximum(orders.limit_w, -packs.max_discharge_w), flow_w)
    return np.where(orders.plugged, flow_w, 0.0)


def step(packs: Packs, soc_wh: Floats, orders: PowerOrders, dt_s: Floats | float) -> tuple[Floats, Floats]:
    """State of charge in Wh after `dt_s`, and the energy in Wh that crossed the charging point (+ into the car)."""
    hours = np.asarray(dt_s) / HOUR_S
    flow_w = power_w(packs, soc_wh, orders)
    up_wh = np.minimum(np.maximum(flow_w, 0.0) * CHARGE_EFFICIENCY * hours, np.maximum(orders.ceiling_wh - soc_wh, 0.0))
    down_wh = np.minimum(
        np.maximum(-flow_w, 0.0) / DISCHARGE_EFFICIENCY * hours, np.maximum(soc_wh - orders.floor_wh, 0.0)
    )
    after_wh = np.clip(soc_wh + up_wh - down_wh, 0.0, packs.usable_wh)
    return after_wh, up_wh / CHARGE_EFFICIENCY - down_wh * DISCHARGE_EFFICIENCY


def driver_orders(plugged: Flags, target_wh: Floats) -> PowerOrders:
    """Charge on plug-in at full power until the driver's target: what happens when nobody asks for anything."""
    return PowerOrders(plugged, np.full(target_wh.shape, np.inf), target_wh, np.zeros(target_wh.shape))


def immediate_charge(
    packs: Packs, soc_wh: Floats, target_wh: Floats, plugged: Flags, dt_s: float
) -> tuple[Floats, Floats]:
    """The counterfactual for `plugged` (steps, N): kW (steps, N), and the Wh before and after each (steps + 1, N)."""
    kw, levels = np.zeros(plugged.shape), np.empty((len(plugged) + 1, soc_wh.size))
    levels[0] = soc_wh
    for number, there in enumerate(plugged):
        orders = driver_orders(there, target_wh)
        levels[number + 1], grid_wh = step(packs, levels[number], orders, dt_s)
        kw[number] = grid_wh / 1_000.0 * HOUR_S / dt_s
    return kw, levels
