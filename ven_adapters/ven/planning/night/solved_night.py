"""The night by the linear programme; where that does not come to an end, by valley filling under the same limits."""

import math

import numpy as np

from ven_adapters.ven.planning import valley_filling
from ven_adapters.ven.planning.night.linear_programme import NightLoad, NightProblem, solve
from ven_adapters.ven.planning.night.night_problem import STEP_S, PlannedCars
from vtn.clock import HOUR_S


def solved_night(problem: NightProblem, cars: PlannedCars) -> NightLoad:
    """The solver's night; where it is late, valley filling under the same limits."""
    return solve(problem) or _filled(problem, cars)


def _filled(problem: NightProblem, cars: PlannedCars) -> NightLoad:
    """The lowest level that serves everybody in time, whatever the price; slots of the fill as steps of the night."""
    now_s, edges_s = problem.edges_s[0], problem.edges_s
    slot_s = now_s + (np.arange(valley_filling.SLOTS) + 0.5) * STEP_S
    place = np.clip(np.searchsorted(edges_s, slot_s) - 1, 0, len(problem.cost) - 1)
    hours = ((cars.start_s - now_s) / HOUR_S, (cars.end_s - now_s) / HOUR_S)
    zone = np.zeros(len(cars), dtype=np.int64)
    stays = valley_filling.stays_of(zone, *hours, cars.kwh, cars.kw, np.zeros(len(cars)))
    ceiling_kw = np.minimum(problem.limit_kw, problem.most_kw)[place]
    filled = valley_filling.fill_valleys(stays, problem.base_kw[place][None, :], ceiling_kw[None, :])
    by_step = np.clip(((edges_s[:-1] - now_s) // STEP_S).astype(np.int64), 0, valley_filling.SLOTS - 1)
    load_kw = problem.base_kw + filled.load_kw[0][by_step]
    peak_kw, nothing = float(load_kw.max(initial=0.0)), np.zeros((0, len(load_kw)))
    if problem.batteries is not None:
        nothing = np.zeros_like(problem.batteries.give_kw)
    return NightLoad(edges_s, load_kw, math.nan, 0.0, 0.0, 0.0, peak_kw, np.zeros((0, len(load_kw))), nothing, nothing)
