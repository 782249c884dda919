"""Nights of small random fleets, played in a closed loop with perfect cars, and the best that each could have been.

The planner plans every five minutes, as an adapter has it; the cars do what they are told to the watt, and tell all of
it. The best night is a programme over every single car, solved by HiGHS: what a car draws in each quarter hour is any
power that it can take, a linear bound that no plan beats, also of cars that are only on or off.
Cars are ready by their departure less the planner's own margin, in both. All figures are of quarter hours.
"""

import dataclasses
import math

import highspy
import numpy as np
from planning_cases import HOUR, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly

from ven_adapters.solver import SilentSolver
from ven_adapters.ven.fleet.columns import Charge, Control
from ven_adapters.ven.planning.charging_need import surest_pct
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.night.linear_programme import RAMP_SHARE, NightProblem
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan

CYCLE_S, STEP_S = 300.0, 900.0
STEPS = 56
HOURS = STEPS / 4
KINDS = ("tariff", "hourly", "limit", "on_off", "sale")
READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s", "exported_at_s")
TAKE, GIVE = SETTINGS.charge_efficiency, SETTINGS.discharge_efficiency
BILL_SLACK = 1e-6
FLAT_STEPS = 40


@dataclasses.dataclass(frozen=True)
class Fleet:
    """A zone's cars at the evening's beginning and what it is asked; `price`, `paid`: per quarter hour."""

    kind: str
    view: object
    requests: object
    price: np.ndarray
    paid: np.ndarray
    cap_kw: float


@dataclasses.dataclass(frozen=True)
class PlayedNight:
    """What a night came to: bill (wear included), kW per quarter hour, kWh short at departure and above the limit."""

    bill: float
    load_kw: np.ndarray
    short_kwh: float
    over_kwh: float
    below_reserve: int

    @property
    def peak_kw(self):
        return float(self.load_kw.max())


def fleet(kind, seed):
    """A random fleet of 3 to 10 cars for a kind of night; of 12 to 20 batteries for a `sale`."""
    r = np.random.default_rng([KINDS.index(kind), seed])
    count = int(r.integers(12, 21)) if kind == "sale" else int(r.integers(3, 11))
    kw = r.choice([3.6, 7.2, 9.6, 11.0], count)
    usable_kwh = r.choice([39.0, 59.0, 75.0, 98.0], count)
    stay_h = r.uniform(7.0, 13.5, count)
    need_kwh = np.minimum(r.gamma(1.7, 9.0, count) + 1.0, 0.8 * kw * (stay_h - 1.0))
    need_pct = np.minimum(100 * need_kwh * TAKE / usable_kwh, 45.0)
    price = _tariff(r) if kind in ("tariff", "limit", "on_off", "sale") else np.round(r.uniform(0.03, 0.30, 14), 3)
    paid = np.zeros(14)
    own = {"control": Control.ON_OFF} if kind == "on_off" else {"control": Control.STEPS, "floor_kw": 1.38}
    own |= {} if kind == "on_off" else {"step_kw": 0.23}
    soc_pct = 80.0 - need_pct
    if kind == "sale":
        own |= PERMITTED | {"max_discharge_kw": r.choice([5.0, 7.0, 9.6], count), "export_limit_kw": 10.0}
        own |= {"event_budget_kwh": r.choice([12.0, 20.0, 40.0], count), "reserve_pct": r.choice([20.0, 30.0], count)}
        own |= {"min_discharge_kw": r.choice([0.0, 0.5, 1.5], count)}
        soc_pct = np.maximum(r.uniform(45.0, 80.0, count), 80.0 - 80.0 * kw * (stay_h - 1.0) * TAKE / usable_kwh)
        # Less than what charging costs at the same time, or cars could be charged and emptied in turn for a living.
        paid = np.where(price > price.min(), np.round(r.uniform(0.6, 1.1) * price.max(), 3), 0.02)
    view = cars(
        count,
        u=np.sort(r.random(count)),
        soc_pct=soc_pct,
        usable_kwh=usable_kwh,
        max_charge_kw=kw,
        departure_s=NOW_S + stay_h * HOUR,
        charge_state=Charge.STOPPED,
        power_kw=0.0,
        plugged_since_s=NOW_S,
        **own,
    )
    price_s, paid_s = hourly(*price, start_h=0), hourly(*paid, start_h=0)
    drawn = Fleet(
        kind, view, asked(price=price_s, export_price=paid_s), np.repeat(price, 4), np.repeat(paid, 4), np.inf
    )
    if kind != "limit":
        return drawn
    cap_kw = max(float(r.uniform(1.05, 1.4)) * least_peak_kw(drawn), float(kw.max()) * r.uniform(0.3, 1.0))
    capped = dataclasses.replace(drawn.requests, import_cap_kw=ask(cap_kw, start_h=-1, end_h=24))
    return dataclasses.replace(drawn, requests=capped, cap_kw=cap_kw)


def _tariff(r):
    """A dear evening, a cheap night and something between, by the hour."""
    dear, cheap = r.uniform(0.3, 0.6), r.uniform(0.05, 0.2)
    begins, ends = int(r.integers(1, 6)), int(r.integers(8, 14))
    hours = np.arange(14)
    return np.round(np.where((hours >= begins) & (hours < ends), cheap, dear), 3)


class PerfectCars:
    """Cars that do what they are told to the watt, and tell all of it; each is at its plug from `come_s` on."""

    def __init__(self, view, come_s=None) -> None:
        self.come_s = np.full(len(view), NOW_S) if come_s is None else come_s
        self.stored_kwh = view.soc_pct / 100 * view.usable_kwh
        self.goal_kwh = view.target_pct / 100 * view.usable_kwh
        self.floor_kwh = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct) / 100 * view.usable_kwh
        self.short_kwh, self.below = np.zeros(len(view)), np.zeros(len(view), dtype=bool)
        self.view = dataclasses.replace(view, plugged=np.where(self.come_s <= NOW_S, 1, 0), plugged_since_s=self.come_s)

    def obey(self, made, now_s):
        """Five minutes of a plan; kW drawn and given by each car."""
        view, hours, later_s = self.view, CYCLE_S / HOUR, now_s + CYCLE_S
        here = (view.departure_s > now_s) & (self.come_s <= now_s)
        told_kw = np.where(np.isin(made.kind, (DesireKind.CHARGE, DesireKind.CAP)), made.expected_kw, 0.0)
        told_kw = np.where(made.kind == DesireKind.NONE, view.max_charge_kw, told_kw)
        kwh = np.clip(np.minimum(told_kw * hours, (self.goal_kwh - self.stored_kwh) / TAKE), 0.0, None) * here
        draw_kw, give_kw = kwh / hours, np.where((made.kind == DesireKind.SETPOINT) & here, -made.expected_kw, 0.0)
        leaves = here & (view.departure_s <= later_s)
        self.short_kwh = np.where(leaves, np.maximum(0.0, self.goal_kwh - self.stored_kwh), self.short_kwh)
        self.stored_kwh = self.stored_kwh + kwh * TAKE - give_kw * hours / GIVE
        self.below |= (self.stored_kwh < self.floor_kwh - 1e-6) & (give_kw > 0)
        self.view = self._as_they_are(draw_kw, give_kw, now_s, later_s)
        return draw_kw, give_kw

    def _as_they_are(self, draw_kw, give_kw, now_s, later_s):
        view, full = self.view, self.stored_kwh >= self.goal_kwh - 1e-9
        state = np.select([draw_kw > 0, give_kw > 0], [int(Charge.CHARGING), int(Charge.DISCHARGING)], Charge.STOPPED)
        state = np.where(full & (draw_kw > 0), int(Charge.COMPLETE), state)
        power_kw = np.where(state == Charge.COMPLETE, 0.0, draw_kw - give_kw)
        gone = (view.departure_s <= later_s) | (self.come_s > later_s)
        on, given_kwh = state == Charge.CHARGING, give_kw * CYCLE_S / HOUR
        return dataclasses.replace(
            view,
            soc_pct=self.stored_kwh / view.usable_kwh * 100,
            power_kw=np.where(gone, 0.0, power_kw),
            charge_state=np.where(gone, int(Charge.UNPLUGGED), state),
            plugged=np.where(gone, 0, 1),
            event_exported_kwh=view.event_exported_kwh + given_kwh,
            year_exported_kwh=view.year_exported_kwh + given_kwh,
            last_toggle_s=np.where((view.power_kw > 0) != on, now_s, view.last_toggle_s),
            told_on=on,
            **dict.fromkeys(READ_AT, np.full(len(view), later_s)),
        )


def play(drawn, come_s=None, expected=None):
    """The night as the planner has it; `come_s`: when cars come home, `expected`: what it is told of that."""
    those, night = PerfectCars(drawn.view, come_s), None
    drew, gave = [], []
    for now_s in NOW_S + CYCLE_S * np.arange(int(HOURS * HOUR / CYCLE_S)):
        requests, earlier = dataclasses.replace(drawn.requests, now_s=now_s), EarlierCycles(night, expected=expected)
        made = plan(those.view, requests, now_s, SETTINGS, earlier=earlier)
        night = made.night
        draw_kw, give_kw = those.obey(made, now_s)
        drew.append(draw_kw.sum())
        gave.append(give_kw.sum())
    over_kw = np.maximum(0.0, np.array(drew) - drawn.cap_kw)
    draw_kw, give_kw = (np.reshape(kw, (STEPS, -1)).mean(axis=1) for kw in (drew, gave))
    bill = float(draw_kw @ drawn.price - give_kw @ (drawn.paid - SETTINGS.wear_per_kwh / GIVE)) / 4
    over_kwh = float(over_kw.sum() * CYCLE_S / HOUR)
    return PlayedNight(bill, draw_kw - give_kw, float(those.short_kwh.sum()), over_kwh, int(those.below.sum()))


class BestNight:
    """The exact problem of a fleet: every car and quarter hour a column, with any power that the car can take."""

    def __init__(self, drawn) -> None:
        self._drawn, self.solver = drawn, SilentSolver()
        view, due_s = drawn.view, drawn.view.departure_s - SETTINGS.margin_s
        self._share = np.clip((due_s[:, None] - NOW_S - STEP_S * np.arange(STEPS)) / STEP_S, 0.0, 1.0)
        add, steps = self.solver.addVariable, range(STEPS)
        self.peak = add(-highspy.kHighsInf)
        cars_taken = [self._taken(car, [add(0.0, 1.0) for _ in steps]) for car in range(len(view))]
        gives_kw = (
            np.minimum(view.max_discharge_kw, view.export_limit_kw) if drawn.kind == "sale" else np.zeros(len(view))
        )
        cars_given = []
        for car, taken in enumerate(cars_taken):
            given = (
                [add(0.0, float(gives_kw[car] * (self._share[car, t] >= 1))) for t in steps] if gives_kw[car] else []
            )
            self._keep(car, taken, given)
            cars_given.append(given)
        taken = [sum(one[t] for one in cars_taken) for t in steps]
        given = [sum(one[t] for one in cars_given if one) for t in steps]
        self.net = [taken[t] - given[t] for t in steps]
        for t in steps:
            self.solver.addConstr(self.net[t] <= self.peak)
            if math.isfinite(drawn.cap_kw):
                self.solver.addConstr(taken[t] <= drawn.cap_kw)
        paid = drawn.paid - SETTINGS.wear_per_kwh / GIVE
        self.bill = sum(taken[t] * float(drawn.price[t] / 4) - given[t] * float(paid[t] / 4) for t in steps)

    def _taken(self, car, on):
        """KW by quarter hour."""
        kw = self._drawn.view.max_charge_kw[car] * self._share[car]
        return [one * float(most_kw) for one, most_kw in zip(on, kw, strict=True)]

    def _keep(self, car, taken, given):
        """A car has what it needs when it is due; a battery that gives keeps its reserve and its budget meanwhile."""
        view, solver = self._drawn.view, self.solver
        need_kwh = float((view.target_pct - view.soc_pct)[car] / 100 * view.usable_kwh[car] / TAKE)
        if not given:
            solver.addConstr(sum(taken) * 0.25 == need_kwh)
            return
        floor_pct = max(view.reserve_pct[car], SETTINGS.programme_floor_pct)
        most_kwh = need_kwh + float((view.soc_pct[car] - floor_pct) / 100 * view.usable_kwh[car] / TAKE)
        left = need_kwh
        for one, back in zip(taken, given, strict=True):
            now = solver.addVariable(min(0.0, need_kwh), most_kwh)
            solver.addConstr(now == left - one * 0.25 + back * (0.25 / (TAKE * GIVE)))
            left = now
        solver.addConstr(left <= 0.0)
        solver.addConstr(sum(given) * 0.25 <= float(view.event_budget_kwh[car]))

    def _steep(self, t):
        """How far the load rises or falls at step t by more than the share of the peak that costs nothing."""
        beyond = self.solver.addVariable(0.0)
        for sign in (1.0, -1.0):
            change = (self.net[t] - self.net[t - 1]) * sign
            self.solver.addConstr(change <= 3 * RAMP_SHARE * self.peak + beyond)
        return beyond

    def least(self, what):
        """The least value of an expression; None where there is no such night."""
        self.solver.minimize(what)
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return float(self.solver.getInfo().objective_function_value)

    def least_peak_kw(self, bill=None):
        """The peak that is least together with what is steep, at a bill if one is given; None without such a night."""
        if bill is None:
            return self.least(self.peak)
        self.solver.addConstr(self.bill <= bill + BILL_SLACK)
        steep = sum(self._steep(t) for t in range(1, STEPS))
        return None if self.least(self.peak + steep) is None else float(self.solver.variableValue(self.peak))


def least_bill(drawn):
    """The least bill; None where a limit or a departure cannot be kept."""
    best = BestNight(drawn)
    return best.least(best.bill)


def least_peak_kw(drawn, *, bill=None):
    """The least peak, at a bill if one is given; None where there is no such night."""
    return BestNight(drawn).least_peak_kw(bill)


def without_sale(drawn):
    """The same fleet where nothing is paid for giving."""
    return dataclasses.replace(drawn, kind="tariff")


def weakest_share(seed):
    """The least that a fleet of batteries gives in any interval of an event, of the bound that it was asked for.

    It is asked for three hours for the most that can be held by what cars tell: the sum of min(p, e / H), e being what
    lies above the reserve and within the budget, and can be put back before departure.
    """
    view = fleet("sale", seed).view
    those, hold_h = PerfectCars(dataclasses.replace(view, departure_s=view.departure_s + 4 * HOUR)), 3.0
    bound_kw = bound_of(those.view, hold_h)
    if bound_kw <= 0.5:
        return 1.0
    dispatch, shares = ask(-bound_kw, start_h=0.0, end_h=hold_h), []
    for now_s in NOW_S + CYCLE_S * np.arange(int(hold_h * HOUR / CYCLE_S)):
        requests = dataclasses.replace(asked(dispatch_kw=dispatch), now_s=now_s)
        made = plan(those.view, requests, now_s, SETTINGS)
        draw_kw, give_kw = those.obey(made, now_s)
        shares.append((give_kw.sum() - draw_kw.sum()) / bound_kw)
    return float(min(shares))


def bound_of(view, hours):
    """The best that can be held by every single car: a linear programme over its energy, solved by HiGHS."""
    solver = SilentSolver()
    need_kwh = (view.target_pct - view.soc_pct) / 100 * view.usable_kwh / TAKE
    free_h = (view.departure_s - SETTINGS.margin_s - NOW_S) / HOUR - hours
    floor_pct = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
    above_kwh = (surest_pct(view) - floor_pct) / 100 * view.usable_kwh * GIVE
    back_kwh = (view.max_charge_kw * free_h - need_kwh) * TAKE * GIVE
    most_kwh = np.maximum(0.0, np.minimum.reduce([above_kwh, back_kwh, view.event_budget_kwh]))
    power_kw, steps = np.minimum(view.max_discharge_kw, view.export_limit_kw), int(hours * 4)
    held = solver.addVariable(0.0)
    gives = [[solver.addVariable(0.0, float(kw)) for _ in range(steps)] for kw in power_kw]
    for one, kwh in zip(gives, most_kwh, strict=True):
        solver.addConstr(sum(one) * 0.25 <= float(kwh))
    for step in range(steps):
        solver.addConstr(sum(one[step] for one in gives) >= held)
    solver.maximize(held)
    return float(solver.variableValue(held))


def flat(energy_kwh, power_kw, steps=FLAT_STEPS, **changed):
    """One class that is there all the time, at one price."""
    edges_s = NOW_S + 900.0 * np.arange(steps + 1)
    free = {
        "cost": np.ones(steps),
        "base_kw": np.zeros(steps),
        "limit_kw": np.full(steps, np.inf),
        "least_kw": np.zeros(steps),
        "most_kw": np.full(steps, np.inf),
        "before_kw": np.nan,
        "gentle": np.zeros(steps, dtype=bool),
    }
    return NightProblem(
        edges_s, energy_kwh=np.array([energy_kwh]), power_kw=np.full((1, steps), power_kw), **free | changed
    )
