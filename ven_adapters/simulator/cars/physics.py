"""Batteries and chargers: pure, vectorised steps from state to state. Powers at the charging point, + into the car.

Every car has its own truths: efficiencies, power, taper, usable energy. From `taper_from` of the battery on it takes
less, falling in a line to `taper_end` of its greatest power when full. A cold battery takes less and loses more until
it is warm: charging warms it, time cools it. A limit below 6 A is no charging at all. Two cars on one circuit together
take no more than the circuit gives: each half of it, or what the other leaves. No step passes the level at which the
car stops, the level at which a discharge stops, or the battery's own bounds.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from vtn.clock import HOUR_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

COOLS_S = 4.0 * HOUR_S  # the time in which a battery that stands in the cold loses 63 % of its warmth; an assumption
NARROW = 1e-9  # a taper that begins at full
ROUNDING_WH = 1e-6  # a sum that falls short of a bound by the last digit has reached it


@dataclasses.dataclass(frozen=True, slots=True)
class Packs:
    """What does not change, all of it true: Wh, W and shares; see `TrueCars` for those that differ from what is told.

    `min_charge_w` is 6 A. `partner` is the row of the car on the same circuit, -1 for none; `circuit_w` what it gives.
    """

    usable_wh: Floats
    max_charge_w: Floats
    min_charge_w: Floats
    max_discharge_w: Floats
    charge_efficiency: Floats
    discharge_efficiency: Floats
    taper_from: Floats
    taper_end: Floats
    cold_power: Floats
    cold_efficiency: Floats
    warms_wh: Floats
    circuit_w: Floats
    partner: Ints

    def at(self, cars: Ints) -> "Packs":
        """The same columns for some of the cars; one whose partner is not among them has the circuit for itself."""
        columns = {field.name: getattr(self, field.name)[cars] for field in dataclasses.fields(self)}
        paired = columns["partner"] >= 0
        if paired.any():
            place = np.full(self.partner.size, -1)
            place[cars] = np.arange(cars.size)
            columns["partner"] = np.where(paired, place[columns["partner"]], -1)
        return Packs(**columns)


@dataclasses.dataclass(frozen=True, slots=True)
class PackState:
    """What changes: the charge in Wh, and how warm the battery is, 0 (as cold as it gets) to 1."""

    soc_wh: Floats
    warm: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class PowerOrders:
    """What holds now: plugged or not, a signed power limit (inf: none), the level to stop at, the level to keep."""

    plugged: Flags
    limit_w: Floats
    ceiling_wh: Floats
    floor_wh: Floats

    @property
    def may_discharge(self) -> bool:
        """Whether any limit asks for power out of a battery."""
        return bool(self.limit_w.min(initial=0.0) < 0.0)


def power_w(packs: Packs, state: PackState, orders: PowerOrders) -> Floats:
    """The power that flows at this instant."""
    soc_wh = state.soc_wh
    width = np.maximum(1.0 - packs.taper_from, NARROW)
    over = np.minimum(np.maximum((soc_wh / packs.usable_wh - packs.taper_from) / width, 0.0), 1.0)
    accepted_w = packs.max_charge_w * (1.0 - (1.0 - packs.taper_end) * over) * _when_cold(packs.cold_power, state)
    charges = (orders.limit_w >= packs.min_charge_w) & (soc_wh < orders.ceiling_wh - ROUNDING_WH)
    flow_w = np.where(charges, np.minimum(orders.limit_w, accepted_w), 0.0)
    if orders.may_discharge:
        discharges = (orders.limit_w < 0.0) & (soc_wh > orders.floor_wh + ROUNDING_WH)
        flow_w = np.where(discharges, np.maximum(orders.limit_w, -packs.max_discharge_w), flow_w)
    flow_w = np.where(orders.plugged, flow_w, 0.0)
    paired = packs.partner >= 0
    if paired.any():
        other_w = np.where(paired, flow_w[packs.partner], 0.0)
        left_w = packs.circuit_w - np.minimum(np.maximum(other_w, 0.0), packs.circuit_w / 2.0)
        flow_w = np.where(paired, np.minimum(flow_w, left_w), flow_w)
    return flow_w


def step(packs: Packs, state: PackState, orders: PowerOrders, dt_s: Floats | float) -> tuple[PackState, Floats]:
    """The state after `dt_s`, and the energy in Wh that crossed the charging point (+ into the car)."""
    hours = np.asarray(dt_s) / HOUR_S
    flow_w, soc_wh = power_w(packs, state, orders), state.soc_wh
    efficiency = packs.charge_efficiency * _when_cold(packs.cold_efficiency, state)
    up_wh = np.minimum(np.maximum(flow_w, 0.0) * efficiency * hours, np.maximum(orders.ceiling_wh - soc_wh, 0.0))
    cooled = state.warm * np.exp(-np.asarray(dt_s) / COOLS_S)
    warm = np.minimum(1.0, cooled + up_wh / packs.warms_wh)
    after_wh, grid_wh = soc_wh + up_wh, up_wh / efficiency
    if orders.may_discharge:
        least_wh = np.maximum(soc_wh - orders.floor_wh, 0.0)
        down_wh = np.minimum(np.maximum(-flow_w, 0.0) / packs.discharge_efficiency * hours, least_wh)
        after_wh, grid_wh = after_wh - down_wh, grid_wh - down_wh * packs.discharge_efficiency
    return PackState(np.minimum(np.maximum(after_wh, 0.0), packs.usable_wh), warm), grid_wh


def _when_cold(share: Floats, state: PackState) -> Floats:
    """What is left of a power or an efficiency of which a cold battery has `share`."""
    return np.asarray(1.0 - (1.0 - share) * (1.0 - state.warm))


def driver_orders(plugged: Flags, target_wh: Floats) -> PowerOrders:
    """Charge on plug-in at full power until the driver's target: what happens when nobody asks for anything."""
    return PowerOrders(plugged, np.full(target_wh.shape, np.inf), target_wh, np.zeros(target_wh.shape))


def immediate_charge(
    packs: Packs, state: PackState, target_wh: Floats, plugged: Flags, dt_s: float
) -> tuple[Floats, Floats]:
    """The counterfactual for `plugged` (steps, N): kW (steps, N), and the Wh before and after each (steps + 1, N)."""
    kw, levels = np.zeros(plugged.shape), np.empty((len(plugged) + 1, state.soc_wh.size))
    levels[0] = state.soc_wh
    for number, there in enumerate(plugged):
        state, grid_wh = step(packs, state, driver_orders(there, target_wh), dt_s)
        levels[number + 1] = state.soc_wh
        kw[number] = grid_wh / 1_000.0 * HOUR_S / dt_s
    return kw, levels
