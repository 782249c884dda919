"""Batteries that may feed the grid for a price: what the night's programme knows of them, and what they do of its plan.

Feeding pays where what is paid for a kWh is more than charging it back costs, with the losses of both ways and the wear
of the battery: `paid > wear / eta_d + cost / (eta_c eta_d)`, the cost being the least of the hours to come. What a
battery still needs follows from what it takes and gives; it never grows beyond what lies above the reserve, and is
nought when the car must be ready. Batteries are classes of their own, at most `MOST_SELLING`; each class's power is
shared out among its cars by equal time-to-go (`discharge`), in every cycle. Pure.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.openadr.zone_requests import RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings, kwh_above, lowest_pct, needs_of
from ven_adapters.ven.planning.discharge import SalesNow
from ven_adapters.ven.planning.guardrails import (
    Guard,
    PlanLimits,
    departure_keeps_energy,
    narrow,
    reserve_is_kept,
)
from ven_adapters.ven.planning.night.linear_programme import NightBatteries
from ven_adapters.ven.planning.night.night_problem import cost_of, present_kw, sampled
from ven_adapters.ven.planning.zone_state import ZoneState

MOST_SELLING = 24
TO_GO_H = 0.5
LEAST_GAIN = 1e-9
NOTHING = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class SellingCars:
    """One entry per car that may give: its row, most kW to take (at its slow pace) and to give, until when it is there.

    Energies are kWh at the charging point: `need_kwh` to the driver's target, below zero above it; `above_kwh` that it
    can give before its reserve; `budget_kwh` that it may give. `leave_s`: its departure less the margin.
    """

    row: Ints
    charge_kw: Floats
    give_kw: Floats
    need_kwh: Floats
    above_kwh: Floats
    budget_kwh: Floats
    leave_s: Floats

    def __len__(self) -> int:
        return len(self.row)


@dataclasses.dataclass(frozen=True, slots=True)
class NightSales:
    """What a night has batteries give: by fleet row the class of each car, and kW (B, T) of each class by step."""

    row: Ints
    number: Ints
    give_kw: Floats

    def now(self, rows: Ints, edges_s: Floats, now_s: float) -> "SalesNow | None":
        """What is given now by the cars of these rows; None where nothing is."""
        step = min(max(int(np.searchsorted(edges_s, now_s, side="right")) - 1, 0), self.give_kw.shape[1] - 1)
        if not len(self.row) or not (self.give_kw[:, step] > NOTHING).any():
            return None
        place = np.clip(np.searchsorted(self.row, rows), 0, len(self.row) - 1)
        number = np.where(self.row[place] == rows, self.number[place], -1)
        rests = np.column_stack([self.give_kw[:, step:] <= NOTHING, np.ones(len(self.give_kw), dtype=np.bool_)])
        end_s = np.append(edges_s[step + np.argmax(rests, axis=1)], now_s)
        return SalesNow(number, self.give_kw[:, step], end_s[number])


def may_sell(requests: ZoneRequests) -> bool:
    """Whether batteries may act on an export price: one that can be held against the price of import, in one money.

    Not while a set-point says what the zone is to draw, nor while an alert asks for full batteries.
    """
    price, paid = requests.price, requests.export_price
    if price is None or paid is None or price.currency != paid.currency:
        return False
    return requests.ruling is not RulingDimension.DISPATCH and requests.pre_charge is None


def gain_of(requests: ZoneRequests, edges_s: Floats, settings: PlanSettings) -> Floats:
    """Money per kWh given in each step, above what charging it back costs; 0 where it does not pay, or may not be."""
    middles_s = (edges_s[1:] + edges_s[:-1]) / 2
    if requests.export_price is None or not may_sell(requests):
        return np.zeros(len(middles_s))
    paid = np.nan_to_num(sampled(requests.export_price, middles_s), nan=-math.inf)
    cheapest = float(cost_of(requests, middles_s, settings).min())
    wear = settings.wear_per_kwh / settings.discharge_efficiency
    gain = paid - wear - cheapest / (settings.charge_efficiency * settings.discharge_efficiency)
    if requests.set_points_kw is not None:
        gain = np.where(np.isnan(sampled(requests.set_points_kw, middles_s)), gain, 0.0)
    return np.where(gain > LEAST_GAIN, gain, 0.0)


def selling_cars(
    situation: ZoneState, limits: PlanLimits, forced: Bools, guards: Sequence[Guard]
) -> SellingCars | None:
    """The cars that may give for a price, by every guard of discharge; None without any.

    Reserve and departure are the programme's own here: what the guards leave of both at this instant is not what is
    left after charging.
    """
    view, settings = situation.view, situation.settings
    able = limits.touch & ~forced & view.can_start & (limits.discharge_kw > 0) & (limits.charge_kw > 0)
    able &= np.isfinite(view.departure_s) & np.isfinite(situation.needs.hours)
    if not able.any():
        return None
    view, needs = view.take(able), needs_of(view.take(able), situation.now_s, settings)
    here = dataclasses.replace(situation, view=view, needs=needs)
    others = [guard for guard in guards if guard not in (reserve_is_kept, departure_keeps_energy)]
    budget_kwh = np.minimum(narrow(here, others).discharge_kwh, 1e6)
    empty = dataclasses.replace(view, soc_pct=np.minimum(here.floor_pct, view.soc_pct), unsure_pct=0.0 * view.soc_pct)
    whole = needs_of(empty, situation.now_s, settings)
    kwh_per_pct = whole.kwh / np.maximum(np.fmax(view.target_pct, view.reserve_pct) - empty.soc_pct, NOTHING)
    surplus_kwh = np.maximum(0.0, lowest_pct(view) - np.fmax(view.target_pct, view.reserve_pct)) * kwh_per_pct
    above_kwh = kwh_above(view, here.floor_pct, settings) - here.given_kwh(view.soc_at_s)
    leave_s = view.departure_s - settings.margin_s
    found = SellingCars(
        view.row,
        np.where(whole.hours > 0, whole.kwh / np.maximum(whole.hours, NOTHING), 0.0),
        limits.discharge_kw[able],
        needs.kwh - surplus_kwh,
        np.maximum(0.0, above_kwh),
        budget_kwh,
        leave_s,
    )
    useful = (np.minimum(above_kwh, budget_kwh) > NOTHING) & (leave_s > situation.now_s) & (found.charge_kw > 0)
    return _taken(found, useful) if useful.any() else None


def batteries_of(
    cars: SellingCars, edges_s: Floats, gain: Floats, export_limit_kw: Floats, settings: PlanSettings
) -> tuple[Ints, NightBatteries]:
    """The class of each car, and the classes: those that leave together and could give equally long are one."""
    number = _class_of(cars, edges_s)
    count = int(number.max()) + 1

    def summed(values: Floats) -> Floats:
        return np.bincount(number, weights=values, minlength=count).astype(np.float64)

    whole_s = edges_s[np.clip(np.searchsorted(edges_s, cars.leave_s, side="right") - 1, 0, len(edges_s) - 1)]
    give_kw = present_kw(whole_s, cars.give_kw, number, count, edges_s)
    batteries = NightBatteries(
        present_kw(cars.leave_s, cars.charge_kw, number, count, edges_s),
        np.where(gain > 0, give_kw, 0.0),
        summed(cars.need_kwh),
        summed(cars.above_kwh),
        summed(cars.budget_kwh),
        gain,
        export_limit_kw,
        settings.charge_efficiency * settings.discharge_efficiency,
    )
    return number, batteries


def _class_of(cars: SellingCars, edges_s: Floats) -> Ints:
    if len(cars) <= MOST_SELLING:
        return np.arange(len(cars))
    leave = np.searchsorted(edges_s, cars.leave_s)
    to_go = np.minimum(cars.above_kwh, cars.budget_kwh) / np.maximum(cars.give_kw, NOTHING) // TO_GO_H
    step = 1
    while True:
        keys = leave // step * 1000 + np.minimum(to_go // step, 999.0)
        found, number = np.unique(keys, return_inverse=True)
        if len(found) <= MOST_SELLING:
            return np.asarray(number, dtype=np.int64)
        step *= 2


def _taken(cars: SellingCars, chosen: Bools) -> SellingCars:
    return SellingCars(**{field.name: getattr(cars, field.name)[chosen] for field in dataclasses.fields(cars)})


def sales_of(cars: SellingCars, number: Ints, give_kw: Floats) -> NightSales:
    """The programme's decision with the cars that carry it out."""
    order = np.argsort(cars.row, kind="stable")
    return NightSales(cars.row[order], number[order], give_kw)
