"""The load of one zone over the coming night, by linear programme: how much when, not yet whose.

Cars that leave together and need alike are one class; the programme has the size of the clock and not of the fleet.
Its goals are lexicographic: nobody short, limits kept, events kept, the least bill; then, for at most half a percent
of the bill, the lowest peak, a gentle ramp, and what is left as early as possible. One solve does it: each goal's
weight outbids all that the next could gain. Least laxity then fills the load with cars, every cycle
(`planned_start`). Solved by HiGHS (Huangfu and Hall, Math. Prog. Comp. 10, 2018), whose work is bounded by a number of
iterations and not by a clock, so that the same fleet always gets the same plan. Pure arrays; knows no cars.
"""

import dataclasses

import highspy
import numpy as np

from ven_adapters.solver import SilentSolver
from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from vtn.clock import HOUR_S

MOST_ITERATIONS = 50_000
RAMP_SHARE = 0.05
"""The ramp that costs nothing: this share of the peak in five minutes."""
RAMP_S = 300.0
BILL_SHARE = 0.005
"""What peak, ramp and earliness together may add to the bill."""
UNMET, OVER_LIMIT, OVER_ASK = 1000.0, 100.0, 10.0
"""Weights per kWh, in units of the dearest kWh of the horizon: a kWh served late costs one kWh of a limit at most."""
EARLY_SHARE = 0.02
FALL_AFTER_EVENT = 1.0
"""Weight per kW of a fall where an event has just ended, in dear kWh: what it costs to lead the load down."""
OUTBIDS = 1.05
GENTLE_TIMES = 2.0
"""After an event the ramp that costs nothing is this many times the share of the load that the event left, or the share
of the peak that was planned before."""
NOTHING_KWH = 1e-6
FINER = 100.0
"""All weights times this, so that the least of them are well above the solver's tolerance."""


@dataclasses.dataclass(frozen=True, slots=True)
class NightBatteries:
    """B classes of batteries that may feed the grid, over T steps; powers kW and energies kWh at the charging point.

    `charge_kw`, `give_kw` (B, T): most that is taken and given; 0 while they are away, or where giving does not pay.
    `need_kwh` (B): still to be charged, below zero for what lies above the drivers' targets. `above_kwh`,
    `budget_kwh` (B): most that can be given before the reserve, and that may be given at all. `gain` (T): money per kWh
    given, above what it costs to charge it back in the cheapest step. `export_limit_kw` (T): most that the zone may
    feed, infinite without. `round_trip`: kWh given per kWh taken.
    """

    charge_kw: Floats
    give_kw: Floats
    need_kwh: Floats
    above_kwh: Floats
    budget_kwh: Floats
    gain: Floats
    export_limit_kw: Floats
    round_trip: float


@dataclasses.dataclass(frozen=True, slots=True)
class NightProblem:
    """T steps between `edges_s` (T + 1, epoch seconds), C classes of cars; kW at the charging point.

    `cost` (T): money, or anything like it, per kWh. `base_kw` (T): load that nobody controls. `limit_kw` (T): most of
    the zone, infinite without. `least_kw`, `most_kw` (T): what events ask of the zone's load, 0 and infinite without.
    `energy_kwh` (C): still to be charged. `power_kw` (C, T): most that a class can take in a step, 0 before its
    arrival and after its departure. `before_kw`: the load that the first step follows, NaN when none is known.
    `gentle` (T): steps in which a steep fall goes before the bill, because an event has just ended. `earlier_peak_kw`:
    that of the night as it was planned before, 0 when it was not. `expected`: so many classes, the last ones, are of
    cars that are not there yet. `batteries`: cars that may also give; none where nothing is gained by it. `first` (C),
    0 to 1: of equals the greater goes first; None where nobody does.
    """

    edges_s: Floats
    cost: Floats
    base_kw: Floats
    limit_kw: Floats
    least_kw: Floats
    most_kw: Floats
    energy_kwh: Floats
    power_kw: Floats
    before_kw: float
    gentle: Bools
    earlier_peak_kw: float = 0.0
    expected: int = 0
    batteries: NightBatteries | None = None
    first: Floats | None = None

    @property
    def hours(self) -> Floats:
        """The length of each step."""
        return np.diff(self.edges_s) / HOUR_S


@dataclasses.dataclass(frozen=True, slots=True)
class NightLoad:
    """What the zone draws (T), base included, led from `before_kw` (NaN: taken up at once); its peak, kW.

    `unmet_kwh`, `over_limit_kwh`, `over_ask_kwh`: what could not be had, kept and done. `class_kw` (C, T):
    what each class draws; the last `expected` of them are not there yet. `take_kw`, `give_kw` (B, T): what classes of
    batteries draw, and what they give beside it.
    """

    edges_s: Floats
    load_kw: Floats
    before_kw: float
    unmet_kwh: float
    over_limit_kwh: float
    over_ask_kwh: float
    peak_kw: float
    class_kw: Floats
    take_kw: Floats
    give_kw: Floats
    expected: int = 0

    @property
    def expected_kw(self) -> Floats:
        """The part of the load (T) that is of cars that are not there yet."""
        return np.asarray(self.class_kw[len(self.class_kw) - self.expected :].sum(axis=0))

    @property
    def net_kw(self) -> Floats:
        """What is drawn less what is given (T)."""
        return np.asarray(self.load_kw - self.give_kw.sum(axis=0))

    def led_from(self, before_kw: float) -> "NightLoad":
        """The same load as it is reached from what is drawn now; NaN: it is taken up at once."""
        return dataclasses.replace(self, before_kw=before_kw)

    def at(self, instant_s: float | Floats) -> Floats:
        """The load of cars that are there, in a line from what was before to the middle of each step in turn."""
        middles_s, load_kw = (self.edges_s[1:] + self.edges_s[:-1]) / 2, self.load_kw - self.expected_kw
        if np.isfinite(self.before_kw):
            middles_s, load_kw = np.append(self.edges_s[0], middles_s), np.append(self.before_kw, load_kw)
        return np.asarray(np.interp(instant_s, middles_s, load_kw))

    def drawn_kw(self, start_s: float, beyond_kw: Floats, slot_s: float) -> Floats:
        """What is drawn less what is given in equal slots from an instant on; beyond the night's end `beyond_kw`."""
        at_s = start_s + (np.arange(len(beyond_kw)) + 0.5) * slot_s
        place = np.clip(np.searchsorted(self.edges_s, at_s, side="right") - 1, 0, len(self.load_kw) - 1)
        return np.where(at_s < self.edges_s[-1], self.net_kw[place], beyond_kw)


def solve(problem: NightProblem, *, most_iterations: int = MOST_ITERATIONS) -> NightLoad | None:
    """The best load; None when the solver needs more than `most_iterations`."""
    programme = _NightProgramme(problem)
    solver = SilentSolver()  # type: ignore[no-untyped-call]
    for name, value in (("presolve", "off"), ("simplex_iteration_limit", most_iterations)):
        solver.setOptionValue(name, value)
    solver.passModel(programme.model())
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return programme.read(np.array(solver.getSolution().col_value))


class _NightProgramme:
    """The problem as columns and rows.

    Columns: what each class takes in each step, then L (T, the controlled load less what batteries give), unmet (C),
    over limit, over ask and under ask (T each), rise and fall beyond what is free (T each), Y; of batteries what each
    class takes, gives and still needs in each step, and unmet (B). Rows: energy (C), L (T), limit (T), ask (2 T),
    peak (T), ramp (2 T); of batteries need (B, T), its end, budget (B), export limit (T), and of a class either to take
    or to give, where both at once would pay.
    """

    def __init__(self, problem: NightProblem) -> None:
        self._problem = problem
        self._class, self._step = np.nonzero(problem.power_kw > 0)
        classes, steps = problem.power_kw.shape
        self._batteries = batteries = problem.batteries or _no_batteries(steps)
        self._takes, self._gives = np.nonzero(batteries.charge_kw > 0), np.nonzero(batteries.give_kw > 0)
        there = np.maximum.accumulate((batteries.charge_kw > 0)[:, ::-1], axis=1)[:, ::-1]
        self._needing = np.nonzero(there)
        count = len(batteries.need_kwh)
        given = (len(self._takes[0]), len(self._gives[0]), len(self._needing[0]), count)
        widths = (len(self._class), steps, classes, steps, steps, steps, steps, steps, 1, *given)
        ends = np.cumsum(widths)
        columns = [np.arange(end - width, end) for end, width in zip(ends, widths, strict=True)]
        self._taken, self._load, self._unmet, self._over, self._above, self._below = columns[:6]
        self._rise, self._fall, self._peak = columns[6:9]
        self._take, self._give, self._need, self._lacking = columns[9:]
        self._columns = int(ends[-1])
        self._parts: list[tuple[Ints, Ints, Floats]] = []
        self._low: list[Floats] = []
        self._high: list[Floats] = []
        self._rows = 0

    def model(self) -> highspy.HighsLp:
        """The programme as HiGHS takes it."""
        problem, hours = self._problem, self._problem.hours
        classes, steps = problem.power_kw.shape
        one, every, all_steps = np.ones(steps), np.arange(len(self._class)), np.arange(steps)
        infinite = np.full(steps, highspy.kHighsInf)
        energy = [
            (self._class, self._taken, hours[self._step]),
            (np.arange(classes), self._unmet, np.ones(classes)),
        ]
        self._add(energy, problem.energy_kwh, problem.energy_kwh)
        given = (self._gives[1], self._give, np.ones(len(self._give)))
        taken = [(self._step, self._taken, np.ones(len(every))), (self._takes[1], self._take, np.ones(len(self._take)))]
        minus_given = (self._gives[1], self._give, -np.ones(len(self._give)))
        self._add([*taken, minus_given, (all_steps, self._load, -one)], 0 * one, 0 * one)
        load = (all_steps, self._load, one)
        # Limits and asks are kept by what is drawn: nobody relies on a battery that may fall silent.
        drawn = [load, given]
        room_kw = np.maximum(0.0, problem.limit_kw - problem.base_kw)
        self._add([*drawn, (all_steps, self._over, -one)], -infinite, np.minimum(room_kw, highspy.kHighsInf))
        most_kw = np.maximum(0.0, problem.most_kw - problem.base_kw)
        self._add([*drawn, (all_steps, self._above, -one)], -infinite, np.minimum(most_kw, highspy.kHighsInf))
        least_kw = np.maximum(0.0, problem.least_kw - problem.base_kw)
        self._add([*drawn, (all_steps, self._below, one)], least_kw, infinite)
        if len(self._lacking):
            self._add_batteries(hours)
            self._add([load], -self._batteries.export_limit_kw - problem.base_kw, infinite)
        peak = (all_steps, np.repeat(self._peak, steps), -one)
        self._add([load, peak], -infinite, -problem.base_kw)
        self._add_ramp()
        return self._assembled(self._cost())

    def _add_batteries(self, hours: Floats) -> None:
        """What is left of each need: it falls by charging, grows by giving with the losses of both ways, ends at 0."""
        batteries, infinity = self._batteries, highspy.kHighsInf
        (of, step), count = self._needing, len(self._batteries.need_kwh)
        row = np.full(batteries.charge_kw.shape, -1)
        row[of, step] = np.arange(len(of))
        first, last = np.concatenate([[True], np.diff(of) != 0]), np.concatenate([np.diff(of) != 0, [True]])
        before = np.flatnonzero(~first)
        parts = [
            (np.arange(len(of)), self._need, np.ones(len(of))),
            (before, self._need[before - 1], -np.ones(len(before))),
            (row[self._takes], self._take, hours[self._takes[1]]),
            (row[self._gives], self._give, -hours[self._gives[1]] / batteries.round_trip),
        ]
        begins_kwh = np.where(first, batteries.need_kwh[of], 0.0)
        self._add(parts, begins_kwh, begins_kwh)
        ends = np.arange(last.sum())
        done = [(ends, self._need[last], np.ones(len(ends))), (ends, self._lacking[of[last]], -np.ones(len(ends)))]
        self._add(done, np.full(len(ends), -infinity), np.zeros(len(ends)))
        self._add(
            [(self._gives[0], self._give, hours[self._gives[1]])], np.full(count, -infinity), batteries.budget_kwh
        )
        both = np.flatnonzero(self._pays_at_once()[self._gives[1]] & (batteries.charge_kw[self._gives] > 0))
        place = np.full(batteries.charge_kw.shape, -1)
        place[self._takes] = self._take
        cells = self._gives[0][both], self._gives[1][both]
        rows = np.arange(len(both))
        either = [
            (rows, place[cells], 1 / batteries.charge_kw[cells]),
            (rows, self._give[both], 1 / batteries.give_kw[cells]),
        ]
        self._add(either, np.full(len(both), -infinity), np.ones(len(both)))

    def _pays_at_once(self) -> Bools:
        """Steps (T) in which even what is taken and given at once would gain."""
        cost = self._problem.cost
        return np.asarray(self._batteries.gain > (cost - cost.min()) / self._batteries.round_trip)

    def _add_ramp(self) -> None:
        """|change of load| <= free share of the peak + what is paid for; where an event begins or changes, any."""
        problem, steps = self._problem, len(self._problem.cost)
        middles_s = (problem.edges_s[1:] + problem.edges_s[:-1]) / 2
        # What single cars are given holds from the beginning of a step, what many are led by from its middle.
        first_s = problem.edges_s[0] - (0.0 if problem.first is None else middles_s[0] - problem.edges_s[0])
        between_s = np.diff(middles_s, prepend=first_s)
        share = RAMP_SHARE * np.maximum(between_s, RAMP_S) / RAMP_S
        free = self._asked_to_step()
        free[0] |= not np.isfinite(problem.before_kw)
        # After an event a fall is held against what is known beforehand, or a higher peak would buy a steeper one.
        left_kw = share * max(GENTLE_TIMES * self._left_by_event_kw(), problem.earlier_peak_kw)
        rises = (1.0, self._rise, share, np.zeros(steps))
        falls = (-1.0, self._fall, np.where(problem.gentle, 0.0, share), np.where(problem.gentle, left_kw, 0.0))
        base_step_kw = np.diff(problem.base_kw, prepend=np.nan_to_num(problem.before_kw))
        every, later = np.arange(steps), np.arange(1, steps)
        for sign, beyond, of_peak, bound_kw in (rises, falls):
            parts = [
                (every, self._load, np.full(steps, sign)),
                (later, self._load[:-1], np.full(steps - 1, -sign)),
                (every, np.repeat(self._peak, steps), -of_peak),
                (every, beyond, -np.ones(steps)),
            ]
            high = np.where(free, highspy.kHighsInf, bound_kw - sign * base_step_kw)
            self._add(parts, np.full(steps, -highspy.kHighsInf), high)

    def _left_by_event_kw(self) -> float:
        """The load that an event holds in force until it ends, as far as it is known."""
        asked_kw = self._problem.most_kw[np.isfinite(self._problem.most_kw)]
        return float(max(np.nan_to_num(self._problem.before_kw), asked_kw.max(initial=0.0)))

    def _asked_to_step(self) -> Bools:
        """The steps at whose beginning what an event asks begins or changes; where one ends the load comes gently."""
        least_kw, most_kw = self._problem.least_kw, self._problem.most_kw
        bound = np.isfinite(most_kw) | (least_kw > 0)
        other = (np.diff(least_kw, prepend=0.0) != 0) | (most_kw != np.concatenate([[np.inf], most_kw[:-1]]))
        return np.asarray(bound & other)

    def _cost(self) -> Floats:
        """Money per column, in units of the horizon's spread, and the weights of the goals before and after it."""
        problem, hours = self._problem, self._problem.hours
        steps = len(problem.cost)
        batteries = self._batteries
        spread = max(float(np.ptp(problem.cost)), float(batteries.gain.max(initial=0.0)))
        unit = spread if spread > 0 else 1.0
        dear = (problem.cost - problem.cost.min()) / unit
        given_kwh = np.minimum(batteries.above_kwh, batteries.budget_kwh).sum() / batteries.round_trip
        energy_kwh = problem.energy_kwh.sum() + np.maximum(0.0, batteries.need_kwh).sum() + given_kwh
        energy_kwh = max(float(energy_kwh), NOTHING_KWH)
        worth = max(BILL_SHARE * abs(float(problem.cost.min())) / unit, BILL_SHARE / 10) if spread > 0 else 1.0
        worth *= energy_kwh
        most_kw = problem.power_kw.max(axis=1, initial=0.0).sum() + batteries.charge_kw.max(axis=1, initial=0.0).sum()
        most_kw = max(float(most_kw), NOTHING_KWH)
        # What must be bought dear before hours that are cheaper is bought as late as can be: more is known by then.
        cheaper_later = problem.cost > np.minimum.accumulate(problem.cost[::-1])[::-1]
        early = (
            EARLY_SHARE
            * worth
            / energy_kwh
            * np.where(cheaper_later, steps - np.arange(steps), np.arange(steps))
            / steps
        )
        cost = np.zeros(self._columns)
        first = np.zeros(len(problem.energy_kwh)) if problem.first is None else problem.first
        cost[self._taken] = dear[self._step] * hours[self._step]
        turn = np.where(cheaper_later[self._step], 2.0 - first[self._class], 1.0 + first[self._class])
        cost[self._taken] += (early * hours)[self._step] * turn
        # Where even what is taken at the same time would gain by being given, it costs more than it brings.
        brings = OUTBIDS * batteries.gain * batteries.round_trip / unit
        taken = np.maximum(dear, np.where(self._pays_at_once(), brings, 0.0))
        cost[self._take] = ((taken + early) * hours)[self._takes[1]]
        # What is given at one price is given as early as can be, so that plans that follow do not change their minds.
        soon = EARLY_SHARE * worth / energy_kwh * np.arange(steps) / steps
        cost[self._give] = ((soon - batteries.gain / unit) * hours)[self._gives[1]]
        cost[self._unmet] = cost[self._lacking] = UNMET
        cost[self._over] = OVER_LIMIT * hours
        cost[self._above] = cost[self._below] = OVER_ASK * hours
        cost[self._peak] = cost[self._rise] = worth / 2 / most_kw
        cost[self._fall] = np.where(problem.gentle, FALL_AFTER_EVENT, worth / 2 / most_kw)
        return cost * FINER

    def _add(self, parts: list[tuple[Ints, Ints, Floats]], low: Floats, high: Floats) -> None:
        self._parts += [(rows + self._rows, columns, values) for rows, columns, values in parts]
        self._low.append(low)
        self._high.append(high)
        self._rows += len(low)

    def _assembled(self, cost: Floats) -> highspy.HighsLp:
        rows, columns, values = (np.concatenate(one) for one in zip(*self._parts, strict=True))
        order = np.argsort(columns, kind="stable")
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self._columns, self._rows
        upper = np.full(self._columns, highspy.kHighsInf)
        upper[self._taken] = self._problem.power_kw[self._class, self._step]
        batteries, lower = self._batteries, np.zeros(self._columns)
        upper[self._take], upper[self._give] = batteries.charge_kw[self._takes], batteries.give_kw[self._gives]
        deepest_kwh = batteries.need_kwh + batteries.above_kwh / batteries.round_trip
        upper[self._need] = np.maximum(deepest_kwh, batteries.need_kwh)[self._needing[0]]
        lower[self._need] = np.minimum(0.0, batteries.need_kwh)[self._needing[0]]
        lower[self._load] = -highspy.kHighsInf if len(self._lacking) else 0.0
        model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
        model.row_lower_, model.row_upper_ = np.concatenate(self._low), np.concatenate(self._high)
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.searchsorted(columns[order], np.arange(self._columns + 1)).astype(np.int32)
        model.a_matrix_.index_ = rows[order].astype(np.int32)
        model.a_matrix_.value_ = values[order]
        return model

    def read(self, found: Floats) -> NightLoad:
        """What the solver found."""
        problem, hours = self._problem, self._problem.hours
        class_kw, take_kw, give_kw = (
            np.zeros_like(kw) for kw in (problem.power_kw, self._batteries.charge_kw, self._batteries.give_kw)
        )
        class_kw[self._class, self._step] = found[self._taken]
        take_kw[self._takes], give_kw[self._gives] = found[self._take], found[self._give]
        net_kw = found[self._load] + problem.base_kw
        return NightLoad(
            problem.edges_s,
            net_kw + give_kw.sum(axis=0),
            float("nan"),
            float(found[self._unmet].sum() + found[self._lacking].sum()),
            float(found[self._over] @ hours),
            float(found[self._above] @ hours),
            float(net_kw.max(initial=0.0)),
            class_kw,
            take_kw,
            give_kw,
            problem.expected,
        )


def _no_batteries(steps: int) -> NightBatteries:
    none, nobody = np.zeros((0, steps)), np.zeros(0)
    return NightBatteries(none, none, nobody, nobody, nobody, np.zeros(steps), np.full(steps, np.inf), 1.0)
