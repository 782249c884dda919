"""Cars that are away and expected home, as part of a night: how much they will need, from when, until when.

Each car comes in an hour with the chance that was learned (`fleet/home_hours`), at the level that it usually comes
with. A chance is a share of its power and energy, so that of many cars as many are expected as come. What is expected
takes up room in the night's load and is told nothing. A car of which nothing is known is not expected. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Charge, FleetView, Floats, Tri
from ven_adapters.ven.planning.charging_need import PlanSettings, needs_of
from ven_adapters.ven.planning.night.night_problem import PlannedCars
from vtn.clock import HOUR_S

DAY_S = 24 * HOUR_S
LEAVES_S = 3600.0
LEAST_CHANCE = 0.01
LEAST_KW = 1e-6
MOST_EXPECTED = 16
NOBODY = PlannedCars(*(np.zeros(0) for _ in range(4)))


@dataclasses.dataclass(frozen=True, slots=True)
class ArrivalHabits:
    """Per car of a view the chance that it comes home in each of the hours to come, and the level that it comes with.

    `chance` (cars, H); `edges_s` (H + 1): the hours, epoch seconds, of which the first began before now. `level_pct`:
    NaN of cars that were never seen to come.
    """

    chance: Floats
    edges_s: Floats
    level_pct: Floats


def expected_arrivals(view: FleetView, habits: ArrivalHabits, now_s: float, settings: PlanSettings) -> PlannedCars:
    """The expected cars, those that come and must be done in the same hours as one; at most `MOST_EXPECTED`."""
    away = (view.plugged != Tri.YES) | (view.at_home != Tri.YES)
    away &= view.enrolled & view.charging_consent & ~view.opted_out & ~np.isnan(habits.level_pct)
    some = np.flatnonzero(away & (habits.chance > LEAST_CHANCE).any(axis=1))
    if not len(some):
        return NOBODY
    come, chance = _as_they_come(view.take(some), habits.level_pct[some]), habits.chance[some]
    needs = needs_of(come, now_s, settings)
    usual_h = np.nan_to_num(needs.usual_hours)
    kw = np.where(usual_h > 0, needs.usual_kwh / np.maximum(usual_h, 1e-9), 0.0)
    done_s = come.departure_s - settings.margin_s - (np.nan_to_num(needs.hours) - usual_h) * HOUR_S
    group_s = np.where(np.isfinite(done_s), np.floor(done_s / HOUR_S) * HOUR_S + HOUR_S / 2, np.inf)
    sums_kw, sums_kwh, done_s = _by_group(group_s, chance, kw, kw * usual_h)
    group, hour = np.nonzero(sums_kw > LEAST_KW)
    start_s = np.maximum((habits.edges_s[hour] + habits.edges_s[hour + 1]) / 2, now_s)
    end_s = done_s[group]
    days = np.ceil(np.maximum(0.0, start_s + LEAVES_S - end_s) / DAY_S)
    end_s = np.where(np.isfinite(end_s), end_s + days * DAY_S, start_s + DAY_S)
    end_s = np.clip(end_s, start_s, now_s + settings.horizon_s)
    found_kw = sums_kw[group, hour]
    found_kwh = np.minimum(sums_kwh[group, hour], found_kw * (end_s - start_s) / HOUR_S)
    return _grouped(PlannedCars(found_kwh, found_kw, start_s, end_s).take(end_s > start_s))


def _by_group(group_s: Floats, chance: Floats, kw: Floats, kwh: Floats) -> tuple[Floats, Floats, Floats]:
    """KW and kWh (G, H) that come in each hour, by when cars must be done; and when that is (G)."""
    order = np.argsort(group_s, kind="stable")
    found_s, first = np.unique(group_s[order], return_index=True)
    likely = np.where(chance > LEAST_CHANCE, chance, 0.0)[order]
    sums = (np.add.reduceat(likely * values[order, None], first, axis=0) for values in (kw, kwh))
    return next(sums), next(sums), found_s


def _as_they_come(view: FleetView, level_pct: Floats) -> FleetView:
    """Cars that are away as they will be at their plugs."""
    yes, stopped = (np.full(len(view), int(code)) for code in (Tri.YES, Charge.STOPPED))
    told = {"soc_pct": level_pct, "unsure_pct": np.zeros(len(view)), "charge_state": stopped}
    return dataclasses.replace(view, plugged=yes, at_home=yes, **told)


def _grouped(cars: PlannedCars) -> PlannedCars:
    """Sums by hour of arrival and time of departure, ever more coarsely until there are few enough."""
    if not len(cars):
        return NOBODY
    width_h = 1
    while True:
        come, leave = (np.floor(at_s / (width_h * HOUR_S)).astype(np.int64) for at_s in (cars.start_s, cars.end_s))
        keys, number = np.unique(come * 100_000_000 + leave, return_inverse=True)
        if len(keys) <= MOST_EXPECTED:
            break
        width_h *= 2
    sums_kw, sums_kwh = (np.asarray(np.bincount(number, weights=one), np.float64) for one in (cars.kw, cars.kwh))
    start_s, end_s = (np.bincount(number, weights=cars.kw * at_s) / sums_kw for at_s in (cars.start_s, cars.end_s))
    return PlannedCars(np.minimum(sums_kwh, sums_kw * (end_s - start_s) / HOUR_S), sums_kw, start_s, end_s)
