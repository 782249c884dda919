"""The cars of a night as an optimiser that knows the truth would have them, from the simulators' ground truth. Pure.

One row per car that was plugged in, one column per quarter of an hour. Energy is counted at the charging point, in
kWh, and is what the car drew unmanaged (charging at once from plug-in on, true physics, the plugs of the night as they
were); so losses, cold batteries and levels that no charging could have reached are those of the simulator.
"""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ven_adapters.demo.scenario import LEVEL_FLOOR_PCT
from ven_adapters.simulator.cars.car_models import CONTROL_NAMES
from ven_adapters.simulator.cars.enrolment import MAX_EVENT_WH
from ven_adapters.simulator.cars.fleets import COMPLETE, PREROLL_HOUR, SimulatedFleet
from ven_adapters.simulator.cars.physics import PackState, immediate_charge
from ven_adapters.simulator.cars.world import DRIVEN_WARM, packs_of
from vtn.clock import HOUR_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
QUARTER_S, QUARTER_STEPS = 900.0, 15
UNSTEERABLE = ("start_only", "stop_once")
DUST_KWH, LEAST_KW = 0.01, 1e-9
CLASS_QUARTERS = 4
CLASS_HOURS, MOST_CLASS_HOURS = 2.0, 16.0


@dataclasses.dataclass(frozen=True, slots=True)
class NightCars:
    """N cars over T quarters of an hour.

    `plugged` (N, T) is the share of each quarter with the cable in. `need_kwh` is what must be drawn by departure,
    `charge_kw` the greatest power. From `taper_kwh` before the end of the need on that power falls in a line, to
    `taper_end` of it when the battery is full, which is `full_kwh` after the end of the need. `discharge_kw` is 0 for
    cars that may not feed back; `spare_kwh` is how far such a car may be from the end of its need without going below
    its reserve, `round_trip` what comes back of a kWh that is bought to be fed back, `budget_kwh` what it may give.
    `partner` is the row of the car on the same circuit, -1 for none, and `circuit_kw` what that gives. `unmanaged_kw`
    (N, T) is the load of charging at once, and `steerable` says whether the car takes commands that move it.
    """

    zone: Ints
    plugged: Floats
    need_kwh: Floats
    charge_kw: Floats
    taper_kwh: Floats
    taper_end: Floats
    full_kwh: Floats
    discharge_kw: Floats
    spare_kwh: Floats
    round_trip: Floats
    budget_kwh: Floats
    circuit_kw: Floats
    partner: Ints
    unmanaged_kw: Floats
    steerable: Flags

    def of(self, zone: int) -> "NightCars":
        """The cars of one zone."""
        return self.rows(self.zone == zone)

    def steered_as_they_can_be(self) -> "NightCars":
        """The same cars, of which those that take no such command charge as unmanaged, whatever is best."""
        fixed = ~self.steerable
        share = self.unmanaged_kw / np.maximum(self.charge_kw, LEAST_KW)[:, None]
        return dataclasses.replace(
            self,
            plugged=np.where(fixed[:, None], share, self.plugged),
            need_kwh=np.where(fixed, self.unmanaged_kw.sum(axis=1) * QUARTER_S / HOUR_S, self.need_kwh),
            taper_kwh=np.where(fixed, 0.0, self.taper_kwh),
            discharge_kw=np.where(fixed, 0.0, self.discharge_kw),
            partner=np.where(fixed | fixed[self.partner], -1, self.partner),
        )

    def rows(self, chosen: Flags) -> "NightCars":
        """Some of the cars; one whose partner is not among them has its circuit for itself."""
        columns = {field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(self)}
        place = np.full(chosen.size + 1, -1)
        place[:-1][chosen] = np.arange(int(chosen.sum()))
        return NightCars(**columns | {"partner": place[columns["partner"]]})


def night_cars(fleet: SimulatedFleet, arrays: dict[str, Floats], quarters: int) -> NightCars:
    """The cars of one automaker that were plugged in after the first bin, from the arrays of `GroundTruth`.

    What an optimiser could not know better is left out in its favour, so that the bound is one: a cold battery is warm
    from the start.
    """
    packs, truth = packs_of(fleet), fleet.truth
    usable_kwh = packs.usable_wh / 1_000.0 / packs.charge_efficiency
    end_level = _end_levels(fleet, arrays)
    may_give = (fleet.papers == COMPLETE) & ~fleet.opted_out
    limit_w = np.minimum(fleet.max_discharge_w, fleet.export_limit_w)
    everyone = NightCars(
        zone=fleet.zone,
        plugged=plugged_shares(arrays["plugs"], len(fleet.refs), float(arrays["bin_start_s"][0]), quarters),
        need_kwh=arrays["car_asked_wh"] / 1_000.0,
        charge_kw=packs.max_charge_w / 1_000.0,
        taper_kwh=np.maximum(end_level - packs.taper_from, 0.0) * usable_kwh,
        taper_end=packs.taper_end,
        full_kwh=(1.0 - end_level) * usable_kwh,
        discharge_kw=np.where(may_give, limit_w, 0.0) / 1_000.0,
        spare_kwh=np.maximum(end_level - fleet.reserve_pct / 100.0, 0.0) * usable_kwh,
        round_trip=truth.charge_efficiency * truth.discharge_efficiency,
        budget_kwh=np.full(len(fleet.refs), MAX_EVENT_WH / 1_000.0),
        circuit_kw=packs.circuit_w / 1_000.0,
        partner=truth.partner,
        unmanaged_kw=_unmanaged_kw(fleet, arrays, quarters),
        steerable=steerable(fleet),
    )
    return everyone.rows((everyone.plugged.sum(axis=1) > 0.0) & (everyone.need_kwh > DUST_KWH) | _gives(everyone))


def steerable(fleet: SimulatedFleet) -> Flags:
    """Cars that can be held back and started again, or follow a schedule; not those of drivers who opted out.

    One that only takes a target level is held back from 50 % on.
    """
    control = np.array(CONTROL_NAMES)[fleet.control]
    low = (control == "target_only") & (fleet.soc_pct < LEVEL_FLOOR_PCT)
    return np.asarray(~np.isin(control, UNSTEERABLE) & ~low & ~fleet.opted_out)


def _unmanaged_kw(fleet: SimulatedFleet, arrays: dict[str, Floats], quarters: int) -> Floats:
    """(cars, quarters): the load of charging at once, by the simulator's physics, and in sum what its cars drew so."""
    starts_s, cars = float(arrays["bin_start_s"][0]), len(fleet.refs)
    before = round((starts_s - PREROLL_HOUR * HOUR_S) / QUARTER_S)
    shares = plugged_shares(arrays["plugs"], cars, starts_s - before * QUARTER_S, before + quarters)
    packs = packs_of(fleet)
    state = PackState(fleet.soc_pct / 100.0 * packs.usable_wh, np.full(cars, DRIVEN_WARM))
    target_wh = fleet.target_pct / 100.0 * packs.usable_wh
    steps = np.repeat(shares.T >= 0.5, QUARTER_STEPS, axis=0)  # noqa: PLR2004 - most of the quarter
    kw, _ = immediate_charge(packs, state, target_wh, steps, QUARTER_S / QUARTER_STEPS)
    load_kw = kw.reshape(before + quarters, QUARTER_STEPS, cars).mean(axis=1)[before:].T
    drawn_kwh, need_kwh = load_kw.sum(axis=1) * QUARTER_S / HOUR_S, arrays["car_asked_wh"] / 1_000.0
    return np.asarray(load_kw * (need_kwh / np.maximum(drawn_kwh, DUST_KWH))[:, None])


def _gives(cars: NightCars) -> Flags:
    return np.asarray((cars.discharge_kw > 0.0) & (cars.plugged.sum(axis=1) > 0.0))


def _end_levels(fleet: SimulatedFleet, arrays: dict[str, Floats]) -> Floats:
    """The share of the battery at which each car ends unmanaged: its target, or what its plug had time for."""
    level = fleet.target_pct / 100.0
    cars = arrays["departure_car"].astype(np.int64)
    known = arrays["departure_asked_soc_pct"] >= 0.0
    level[cars[known]] = arrays["departure_asked_soc_pct"][known] / 100.0
    return np.asarray(level)


def unmet_kwh(fleet: SimulatedFleet, arrays: dict[str, Floats]) -> Floats:
    """By zone: what cars lacked when they left of what charging at once would have given, kWh at the charging point."""
    cars = arrays["departure_car"].astype(np.int64)
    packs = packs_of(fleet)
    asked_pct = np.maximum(arrays["departure_asked_soc_pct"], 0.0)
    short = np.maximum(asked_pct - arrays["departure_soc_pct"], 0.0) / 100.0
    lacked_kwh = short * packs.usable_wh[cars] / packs.charge_efficiency[cars] / 1_000.0
    return np.asarray(np.bincount(fleet.zone[cars], lacked_kwh, len(fleet.zones)), float)


def plugged_shares(plugs: Floats, cars: int, starts_s: float, quarters: int) -> Floats:
    """(cars, quarters): which share of each quarter the cable was in, from turns of cables (car, second, 1 or 0)."""
    edges_s = starts_s + np.arange(quarters + 1) * QUARTER_S
    shares = np.zeros((cars, quarters))
    since_s: dict[int, float] = {}

    def add(car: int, from_s: float, to_s: float) -> None:
        overlap_s = np.minimum(edges_s[1:], to_s) - np.maximum(edges_s[:-1], from_s)
        shares[car] += np.clip(overlap_s, 0.0, None) / QUARTER_S

    for car, at_s, plugged in plugs.tolist():
        if plugged:
            since_s.setdefault(int(car), at_s)
        elif int(car) in since_s:
            add(int(car), since_s.pop(int(car)), at_s)
    for car, from_s in since_s.items():
        add(car, from_s, float(edges_s[-1]))
    return shares


def together(nights: Sequence[NightCars], zones: Sequence[int]) -> NightCars:
    """The cars of several automakers with so many zones each; zones are numbered through in that order."""
    first_row = np.cumsum([0, *(cars.zone.size for cars in nights)])
    first_zone = np.cumsum([0, *zones])
    columns = {
        field.name: np.concatenate([getattr(cars, field.name) for cars in nights])
        for field in dataclasses.fields(NightCars)
    }
    columns["zone"] = np.concatenate([cars.zone + first for cars, first in zip(nights, first_zone, strict=False)])
    columns["partner"] = np.concatenate(
        [np.where(cars.partner >= 0, cars.partner + first, -1) for cars, first in zip(nights, first_row, strict=False)]
    )
    return NightCars(**columns)


def classes_of(cars: NightCars) -> NightCars:
    """Fewer rows: cars of one zone with nearly equal plug-in, departure and hours of charging, as if one large car.

    What such cars can do together is no less than what they can do apart, and their tapers and circuits are left out,
    so an optimum of classes bounds that of the cars. Cars that feed back stay apart.
    """
    last = cars.plugged.shape[1] - 1 - np.argmax(cars.plugged[:, ::-1] > 0.0, axis=1)
    hours = cars.need_kwh / np.maximum(cars.charge_kw, DUST_KWH)
    key = np.stack(
        [
            cars.zone,
            np.argmax(cars.plugged > 0.0, axis=1) // CLASS_QUARTERS,
            last // CLASS_QUARTERS,
            np.minimum(hours // CLASS_HOURS, MOST_CLASS_HOURS // CLASS_HOURS).astype(np.int64),
            np.where(cars.discharge_kw > 0.0, np.arange(cars.zone.size), -1),
            cars.steerable,
        ]
    )
    _, first, member = np.unique(key, axis=1, return_index=True, return_inverse=True)
    count, member = first.size, member.reshape(-1)
    charge_kw = np.bincount(member, cars.charge_kw, count)
    power = np.zeros((count, cars.plugged.shape[1]))
    np.add.at(power, member, cars.plugged * cars.charge_kw[:, None])
    columns = {field.name: getattr(cars, field.name)[first] for field in dataclasses.fields(cars)}
    columns["plugged"] = power / np.maximum(charge_kw, LEAST_KW)[:, None]
    columns["need_kwh"] = np.bincount(member, cars.need_kwh, count)
    columns["charge_kw"] = charge_kw
    columns["taper_kwh"] = np.zeros(count)
    columns["partner"] = np.full(count, -1)
    unmanaged_kw = np.zeros(power.shape)
    np.add.at(unmanaged_kw, member, cars.unmanaged_kw)
    columns["unmanaged_kw"] = unmanaged_kw
    return NightCars(**columns)


def quarter_prices(starts: datetime, by_hour: Sequence[float], quarters: int) -> Floats:
    """The price of each quarter, from prices by hour of the local day in which `starts` is given."""
    hours = starts.hour + np.arange(quarters) * QUARTER_S / HOUR_S + starts.minute / 60.0
    return np.asarray(by_hour)[hours.astype(np.int64) % 24]
