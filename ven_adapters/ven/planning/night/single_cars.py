"""Zones of few cars, where each car is a class of its own: each draws what the programme gave it.

Only cars whose power can be set: what they are given is rounded to their steps so that the sum stays what was planned.
All others are on or off, and fill what is left of the load by laxity (`planned_start`). In large zones nobody does:
there the sum of many that are on or off meets the load, and nobody need be told a power. Pure.
"""

import dataclasses
import math

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Control, FleetView, Floats, Ints
from ven_adapters.ven.planning.car_power import achieved_kw
from ven_adapters.ven.planning.night.linear_programme import NightLoad, NightProblem
from ven_adapters.ven.planning.night.night_batteries import SellingCars
from ven_adapters.ven.planning.night.night_problem import MOST_CLASSES
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

NOTHING_KW = 1e-3
LEAST_LEFT_KW = 0.3
UNHURRIED_H = 0.5  # who can wait longer at the same price gives way to who cannot
SOONER_S = 300.0
"""Under a limit single cars are planned to be done a cycle sooner: nobody can catch up there."""


@dataclasses.dataclass(frozen=True, slots=True)
class OwnPower:
    """KW (cars, T) of single cars by fleet row, in ascending order, between `edges_s` (T + 1)."""

    row: Ints
    kw: Floats
    edges_s: Floats

    def knows(self, rows: Ints) -> Bools:
        """Which of these rows it has."""
        return np.isin(rows, self.row)

    def of(self, rows: Ints) -> Floats:
        """KW (rows, T); 0 of rows that it does not have."""
        if not len(self.row):
            return np.zeros((len(rows), self.kw.shape[1]))
        place = np.clip(np.searchsorted(self.row, rows), 0, len(self.row) - 1)
        return np.where((self.row[place] == rows)[:, None], self.kw[place], 0.0)

    def at(self, rows: Ints, instants_s: Floats) -> Floats:
        """The sum of these rows at each instant."""
        place = np.searchsorted(self.edges_s, instants_s, side="right") - 1
        return np.asarray(self.of(rows).sum(axis=0)[np.clip(place, 0, self.kw.shape[1] - 1)])

    def step(self, now_s: float) -> int:
        """The step that holds an instant."""
        return int(np.clip(np.searchsorted(self.edges_s, now_s, side="right") - 1, 0, self.kw.shape[1] - 1))


@dataclasses.dataclass(frozen=True, slots=True)
class GivenPower:
    """Of the cars that the programme gave a power of their own: which (mask), kW now, and when each begins (inf)."""

    cars: Bools
    kw: Floats
    begins_s: Floats

    @property
    def most_kw(self) -> Floats:
        """What each car may draw by it; infinite for all others."""
        return np.where(self.cars, self.kw, np.inf)


def nobody(count: int) -> GivenPower:
    """No car has a power of its own."""
    return GivenPower(np.zeros(count, dtype=np.bool_), np.zeros(count), np.full(count, np.inf))


@dataclasses.dataclass(frozen=True, slots=True)
class AskingCars:
    """Who may be given power: those that are `waiting` for it, beside those that run in any case; hours of laxity."""

    situation: ZoneState
    full_kw: Floats
    waiting: Bools
    runs: Bools
    slack_h: Floats


def given_power(own: OwnPower, cars: AskingCars, room_kw: float) -> GivenPower:
    """What the programme gave now to those of the waiting cars whose power can be set; `room_kw` in all.

    What cars leave that have what they need is others' now. Those that run in any case and take more than was planned
    take it of those who can wait as cheaply; where there is a limit, of anybody.
    """
    situation, full_kw, waiting, slack_h = cars.situation, cars.full_kw, cars.waiting, cars.slack_h
    view, now_s = situation.view, situation.now_s
    chosen = waiting & settable(view) & own.knows(view.row)
    places = np.flatnonzero(chosen)
    places = places[np.lexsort((slack_h[places], ~situation.charging[places]))]
    planned_kw, step = own.of(view.row[places]), own.step(now_s)
    asked_kw = np.minimum(planned_kw[:, step], full_kw[places])
    sum_kw = float(asked_kw.sum())
    if not (waiting & ~chosen).any():
        sum_kw = float(own.kw[:, step].sum() - full_kw[cars.runs & own.knows(view.row)].sum())
    least_kw = 0.0 if room_kw < math.inf else float(asked_kw[slack_h[places] < UNHURRIED_H].sum())
    found = nobody(len(full_kw))
    found.cars[places] = True
    found.kw[places] = in_steps(view.take(places), asked_kw, full_kw[places], min(room_kw, max(least_kw, sum_kw)))
    later = np.column_stack([planned_kw[:, step + 1 :] > NOTHING_KW, np.ones(len(places), dtype=np.bool_)])
    found.begins_s[places] = np.append(own.edges_s[step + 1 : -1], np.inf)[np.argmax(later, axis=1)]
    found.begins_s[places[found.kw[places] > 0]] = now_s
    return found


def goes_astray(own: OwnPower, situation: ZoneState, free: Bools, made_s: float) -> bool:
    """Whether single cars came since, or are ready before they were to be: either asks for a new night."""
    rows, some = situation.view.row, situation.needs.some
    early = own.of(rows[~some])[:, own.step(situation.now_s)] > NOTHING_KW
    return bool((early & (situation.now_s > made_s)).any()) or not own.knows(rows[free & some]).all()


def singly(
    problem: NightProblem, situation: ZoneState, slack_s: Floats, chosen: Ints, before_kw: float
) -> NightProblem:
    """The problem of single cars: who charges now goes first among equals, then who can wait least; others last.

    A limit is planned half a step of a car lower, as powers are rounded to such steps. `before_kw`: what was planned to
    be drawn until now; a car that has just become ready is no fall of the load, as others take its place.
    """
    order = np.lexsort((slack_s, ~situation.charging[chosen]))
    first = np.zeros(len(chosen) + problem.expected)
    first[order] = np.linspace(1.0, 0.1, len(order))
    view = situation.view
    step_kw = float(np.max(np.where(settable(view), view.step_kw, 0.0)[chosen], initial=0.0))
    limit_kw = np.maximum(0.0, problem.limit_kw - step_kw / 2)
    return dataclasses.replace(problem, first=first, limit_kw=limit_kw, before_kw=np.fmax(problem.before_kw, before_kw))


def sooner(ends_s: Floats, now_s: float, kwh: Floats, kw: Floats) -> Floats:
    """When single cars under a limit are to be done, never sooner than they can be."""
    return np.maximum(ends_s - SOONER_S, np.minimum(ends_s, now_s + kwh / np.maximum(kw, NOTHING_KW) * HOUR_S))


def own_of(rows: Ints, selling: SellingCars | None, load: NightLoad) -> OwnPower | None:
    """What single cars draw, where each car was a class; None where they were not."""
    alone, sellers = len(load.class_kw) - load.expected, 0 if selling is None else len(selling)
    if len(rows) > MOST_CLASSES or alone != len(rows) or sellers != len(load.take_kw):
        return None
    kw = np.concatenate([load.class_kw[:alone], load.take_kw])
    row = rows if selling is None else np.append(rows, selling.row)
    order = np.argsort(row, kind="stable")
    return OwnPower(row[order], kw[order], load.edges_s)


def settable(view: FleetView) -> Bools:
    """Cars whose power can be set between nothing and all."""
    return np.asarray((view.control == Control.STEPS) | (view.control == Control.LEVELS))


def in_steps(view: FleetView, asked_kw: Floats, full_kw: Floats, sum_kw: float) -> Floats:
    """Powers that cars can draw, near to what is asked of each, and in sum `sum_kw` as near as one step of one car.

    Cars are in the order in which they go first. What rounding, or a car that has what it needs, leaves goes to the
    first that can take more, begun ones before others; where none can, the next begins with its least, and the last of
    the others give up what it takes. What is too much is taken from the last.
    """
    shares = _Shares(view, achieved_kw(view, asked_kw, full_kw), full_kw)
    begun = np.argsort(asked_kw <= NOTHING_KW, kind="stable")
    left_kw = sum_kw - float(shares.kw.sum())
    if left_kw < 0:
        shares.move(begun[::-1], left_kw)
        return shares.kw
    left_kw -= shares.move(begun[shares.kw[begun] > NOTHING_KW], left_kw)
    for place in begun[shares.kw[begun] <= NOTHING_KW].tolist():
        least_kw = float(min(view.floor_kw[place], full_kw[place]))
        if left_kw <= max(LEAST_LEFT_KW, float(view.step_kw[place])):
            break
        others = begun[(begun != place) & (shares.kw[begun] > view.floor_kw[begun] + NOTHING_KW)][::-1]
        spare_kw = float((shares.kw - view.floor_kw)[others].sum())
        if left_kw < min(least_kw - spare_kw, least_kw / 2):
            continue
        left_kw -= shares.move(others, min(0.0, left_kw - least_kw), least=True)
        left_kw -= shares.move(np.array([place]), max(least_kw, left_kw))
    return shares.kw


@dataclasses.dataclass(frozen=True, slots=True)
class _Shares:
    """What each car was given so far, KW; `full_kw`: most."""

    view: FleetView
    kw: Floats
    full_kw: Floats

    def move(self, places: Ints, by_kw: float, *, least: bool = False) -> float:
        """Give so much more, or less, to these cars in turn; how much it became. `least`: nobody is stopped."""
        moved_kw = 0.0
        for place in places.tolist():
            if abs(by_kw - moved_kw) <= NOTHING_KW:
                break
            car = np.array([place])
            lowest_kw = float(self.view.floor_kw[place]) if least else 0.0
            wanted_kw = float(self.kw[place]) + by_kw - moved_kw + float(self.view.step_kw[place]) / 2
            wanted_kw = max(lowest_kw, wanted_kw)
            kw = float(achieved_kw(self.view.take(car), np.array([wanted_kw]), self.full_kw[car])[0])
            moved_kw += kw - float(self.kw[place])
            self.kw[place] = kw
        return moved_kw
