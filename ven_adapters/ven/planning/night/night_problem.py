"""From a zone's cars and what is asked of it over the horizon to the problem that `linear_programme` solves.

Steps are the quarter hours of the clock, the first one cut short by now. A car must be done by its latest safe start
plus the time that it usually takes, so that the plan sees the pace that cars show and still starts each of them while
its slow pace would do. Cars that leave together and could wait equally long are one class, ever more coarsely until
there are few enough. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.openadr.payload_types import LEVEL_SHARE
from ven_adapters.ven.openadr.zone_requests import GridRequest, RequestSeries, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.night.linear_programme import NightProblem
from vtn.clock import HOUR_S

STEP_S = 900.0
GENTLE_S = 7200.0
MOST_CLASSES = 40
COARSEST = 64
NOTHING_KW = 1e-6
NO_DIFFERENCE = 1e-9  # in money per kWh


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedCars:
    """One entry per car: kWh it needs, kW it usually takes meanwhile, and from when until when (epoch seconds)."""

    kwh: Floats
    kw: Floats
    start_s: Floats
    end_s: Floats

    def __len__(self) -> int:
        return len(self.kwh)

    def take(self, chosen: Bools) -> "PlannedCars":
        """The chosen ones."""
        return PlannedCars(self.kwh[chosen], self.kw[chosen], self.start_s[chosen], self.end_s[chosen])


def edges_from(now_s: float, until_s: float) -> Floats:
    """Now, then every quarter hour of the clock until `until_s` is passed; at least one step."""
    first_s = (np.floor(now_s / STEP_S) + 1) * STEP_S
    return np.concatenate([[now_s], np.arange(first_s, max(until_s, first_s) + STEP_S - 1e-3, STEP_S)])


def problem_of(
    cars: PlannedCars,
    requests: ZoneRequests,
    base_kw: Floats,
    edges_s: Floats,
    before_kw: float,
    settings: PlanSettings,
) -> NightProblem:
    """The night without what events ask; `asked` adds that, `expecting` the cars that are not there yet."""
    energy_kwh, power_kw = _classes(cars, edges_s)
    middles_s = (edges_s[1:] + edges_s[:-1]) / 2
    limit_kw = limit_of(requests.import_limits_kw, requests.import_cap_kw, middles_s)
    steps = len(middles_s)
    return NightProblem(
        edges_s,
        cost_of(requests, middles_s, settings),
        base_kw,
        limit_kw,
        np.zeros(steps),
        np.full(steps, np.inf),
        energy_kwh,
        power_kw,
        before_kw,
        _after_events(requests, middles_s),
    )


def expecting(problem: NightProblem, cars: PlannedCars) -> NightProblem:
    """The same night with cars that are not there yet, each a class."""
    each, edges_s = np.arange(len(cars)), problem.edges_s
    kw = present_kw(cars.end_s, cars.kw, each, len(each), edges_s)
    kw -= present_kw(cars.start_s, cars.kw, each, len(each), edges_s)
    kw = np.where(kw > NOTHING_KW, kw, 0.0)
    kwh = np.minimum(cars.kwh, kw @ problem.hours)
    energy_kwh, power_kw = np.append(problem.energy_kwh, kwh), np.concatenate([problem.power_kw, kw])
    return dataclasses.replace(problem, energy_kwh=energy_kwh, power_kw=power_kw, expected=len(cars))


def asked(problem: NightProblem, requests: ZoneRequests, unasked_kw: Floats) -> NightProblem:
    """The same night with what events ask: set-points from both sides, shares of what would be drawn unasked."""
    middles_s = (problem.edges_s[1:] + problem.edges_s[:-1]) / 2
    away = np.zeros(len(middles_s))
    if requests.restriction is not None:
        away = np.nan_to_num(sampled(requests.restriction, middles_s))
    points_kw = np.full(len(middles_s), np.nan)
    if requests.set_points_kw is not None:
        points_kw = sampled(requests.set_points_kw, middles_s)
    for ask, share in _in_force(requests):
        away = np.where(middles_s < ask.end_s, share, away)
    point = requests.dispatch_kw
    if point is not None and requests.ruling is RulingDimension.DISPATCH:
        points_kw = np.where(middles_s < point.end_s, point.value, points_kw)
    base_kw, set_by = problem.base_kw, ~np.isnan(points_kw)
    kept_kw = base_kw + (1 - away) * np.maximum(0.0, np.minimum(unasked_kw, problem.limit_kw) - base_kw)
    most_kw = np.where(set_by, np.maximum(points_kw, 0.0), np.where(away > 0, kept_kw, np.inf))
    least_kw = np.where(set_by, np.maximum(points_kw, 0.0), 0.0)
    return dataclasses.replace(problem, most_kw=most_kw, least_kw=least_kw)


def _in_force(requests: ZoneRequests) -> list[tuple[GridRequest, float]]:
    """What rules now and keeps a share of the load away."""
    levels = {RulingDimension.SIMPLE: requests.simple, RulingDimension.ALERT: requests.alert}
    level = levels.get(requests.ruling)
    shares = [] if level is None else [(level, 1 - LEVEL_SHARE[int(level.value)])]
    relative = requests.relative_kw or requests.relative_share
    if relative is not None and requests.ruling is RulingDimension.DISPATCH:
        away = -relative.value if relative is requests.relative_share else float(relative.value < 0)
        shares.append((relative, min(1.0, max(0.0, away))))
    return shares


def _after_events(requests: ZoneRequests, middles_s: Floats) -> Bools:
    """The steps that follow the end of an event, as far as it is known."""
    ends_s = [requests.recovery_from_s]
    for steps in (requests.restriction, requests.set_points_kw):
        if steps is not None:
            rests = np.append(np.isnan(steps.values) | ((steps is requests.restriction) & (steps.values == 0.0)), True)
            ends_s += steps.edges_s[1:][~rests[:-1] & rests[1:]].tolist()
    ends_s += [ask.end_s for ask, _ in _in_force(requests)]
    since_s = middles_s[:, None] - np.array(ends_s)[None, :]
    return np.asarray(((since_s >= 0.0) & (since_s < GENTLE_S)).any(axis=1))


def at_once_kw(hours: Floats, kw: Floats, edges_s: Floats) -> Floats:
    """The load per step of cars that begin at the first edge and go on for so many hours."""
    steps, last, share = _last_steps(edges_s[0] + np.nan_to_num(hours) * HOUR_S, edges_s)
    whole_kw = np.bincount(last, weights=kw, minlength=steps + 1)
    part_kw = np.bincount(last, weights=kw * share, minlength=steps + 1)
    later_kw = np.cumsum(whole_kw[::-1])[::-1]
    return np.asarray(later_kw[1:] + part_kw[:-1])


def _last_steps(end_s: Floats, edges_s: Floats) -> tuple[int, Ints, Floats]:
    """How many steps there are, and per instant the step in which it lies and the share of that step before it."""
    steps = len(edges_s) - 1
    last = np.clip(np.searchsorted(edges_s, end_s, side="right") - 1, 0, steps)
    length_s = np.diff(edges_s, append=edges_s[-1] + 1.0)[last]
    share = np.clip((end_s - edges_s[last]) / length_s, 0.0, 1.0)
    return steps, last, np.where(last < steps, share, 0.0)


def is_priced(requests: ZoneRequests, now_s: float, settings: PlanSettings) -> bool:
    """Whether a kWh costs more at one instant of the horizon than at another."""
    if requests.price is None and requests.ghg is None:
        return False
    edges_s = edges_from(now_s, now_s + settings.horizon_s)
    cost = cost_of(requests, (edges_s[1:] + edges_s[:-1]) / 2, settings)
    return bool(np.ptp(cost) > NO_DIFFERENCE)


def cost_of(requests: ZoneRequests, at_s: Floats, settings: PlanSettings) -> Floats:
    """What a kWh costs at each instant, in the price's money, emissions included; zeros where neither is told.

    What was not quoted counts as the dearest that was, so that nobody waits for a price that may never come.
    """
    cost = np.zeros(len(at_s))
    for steps, weight in ((requests.price, 1.0), (requests.ghg, settings.ghg_cost_per_kg / 1000)):
        if steps is not None:
            values = sampled(steps, at_s)
            cost += weight * np.where(np.isnan(values), np.nanmax(steps.values), values)
    return cost


def sampled(steps: RequestSeries, at_s: Floats) -> Floats:
    """The value in force at each instant, NaN where nothing was said."""
    place = np.searchsorted(steps.edges_s, at_s, side="right") - 1
    inside = (place >= 0) & (place < len(steps.values))
    return np.where(inside, steps.values[np.clip(place, 0, len(steps.values) - 1)], np.nan)


def limit_of(series: RequestSeries | None, cap: GridRequest | None, middles_s: Floats) -> Floats:
    """The limit in each step, infinite without: what is known of the horizon, and the one in force until it ends."""
    limit_kw = np.full(len(middles_s), np.inf)
    if series is not None:
        limit_kw = np.nan_to_num(sampled(series, middles_s), nan=np.inf)
    if cap is not None:
        limit_kw = np.where(middles_s < cap.end_s, np.minimum(limit_kw, cap.value), limit_kw)
    return limit_kw


def _classes(cars: PlannedCars, edges_s: Floats) -> tuple[Floats, Floats]:
    """KWh per class (C), and the most kW that each can take in each step (C, T): the sum of what its cars can take."""
    number = _class_of(cars, edges_s)
    count = int(number.max(initial=-1)) + 1
    energy_kwh = np.bincount(number, weights=cars.kwh, minlength=count).astype(np.float64)
    power_kw = present_kw(cars.end_s, cars.kw, number, count, edges_s)
    late = cars.start_s > edges_s[0]
    if late.any():
        start_s = np.minimum(cars.start_s, cars.end_s)[late]
        power_kw -= present_kw(start_s, cars.kw[late], number[late], count, edges_s)
    return energy_kwh, np.where(power_kw > NOTHING_KW, power_kw, 0.0)


def present_kw(until_s: Floats, kw: Floats, number: Ints, count: int, edges_s: Floats) -> Floats:
    """(count, T) kW of cars that are there from the first edge until an instant, by class."""
    steps, last, share = _last_steps(until_s, edges_s)
    cell, size = number * (steps + 1) + last, count * (steps + 1)
    whole_kw = np.bincount(cell, weights=kw, minlength=size).reshape(count, steps + 1)
    part_kw = np.bincount(cell, weights=kw * share, minlength=size).reshape(count, steps + 1)
    later_kw = np.cumsum(whole_kw[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(later_kw[:, 1:] + part_kw[:, :-1])


def _class_of(cars: PlannedCars, edges_s: Floats) -> Ints:
    """A number per car; equal for cars that come and leave together and could wait equally long."""
    if len(cars) <= MOST_CLASSES:
        return np.arange(len(cars))
    come, leave = np.searchsorted(edges_s, cars.start_s, side="right"), np.searchsorted(edges_s, cars.end_s)
    wait_s = cars.end_s - cars.start_s - cars.kwh / np.maximum(cars.kw, NOTHING_KW) * HOUR_S
    wait = np.clip(wait_s // STEP_S, 0, len(edges_s)).astype(np.int64)
    step, size = 1, len(edges_s) + 1
    while True:
        key = (come // step * size + leave // step) * size + wait // step
        places = np.cumsum(np.bincount(key) > 0) - 1
        if places[-1] < MOST_CLASSES or step >= COARSEST:
            return np.asarray(places[key], dtype=np.int64)
        step *= 2
