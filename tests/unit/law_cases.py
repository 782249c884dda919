"""What no guard may let through, said a second time: per guard one law, as a mask of the cars that break it.

A law knows a proposal's outcome and the car's columns and nothing of how guards work, so that a guard and its law can
only agree by both being right. `violations` holds any outcome against all laws.
"""

import collections
import dataclasses
import functools

import numpy as np
from grid_cases import FEEDER, SITE, asked_below, node
from hypothesis import settings
from planning_cases import HOUR, NOW_S, SETTINGS, cars

from ven_adapters.ven.fleet.columns import Charge, Control, FleetView, Tri
from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.planning import guardrails as g
from ven_adapters.ven.planning.charging_need import needs_of
from ven_adapters.ven.planning.enforcement import DesireKind, PlanDraft, enforce
from ven_adapters.ven.planning.guardrails import GUARDS, Reason, narrow
from ven_adapters.ven.planning.limits.zone_nodes import in_time, nodes_of
from ven_adapters.ven.planning.zone_state import ZoneState

USUAL_EXAMPLES = 100
PLANNED = {}
WIDE_W = 1e-6
HOURS = (0.25, 1.0, 2.0, 6.0)
LOOSE_KW = 0.01
GRID = tree_of(
    [
        node("F0", import_kw=400.0, export_kw=60.0, kind=FEEDER),
        *(node(f"T{n}", f"F{n % 2}", 30.0 + 10 * n, 8.0 + n) for n in range(6)),
        node("F1", kind=FEEDER),
        *(node(f"S{n}", f"T{n % 6}", 9.0, 7.0, kind=SITE) for n in range(12)),
    ]
)
"""Homes below transformers below feeders, of which one has no limit."""
ENOUGH_SEEDS = 60


def law(examples):
    """A law's number of examples, multiplied by the profile: `--hypothesis-profile laws` tries thirty times as many.

    Its attribute `tried` counts the examples that it has seen, for the line at the end of a run.
    """

    def mark(test):
        PLANNED[test.__name__] = examples
        times = max(1, settings.default.max_examples // USUAL_EXAMPLES)
        inner, tried = test.hypothesis.inner_test, collections.Counter()

        @functools.wraps(inner)
        def counted(*values, **named):
            tried[test.__name__] += 1
            return inner(*values, **named)

        test.hypothesis.inner_test = counted
        law_of_all = settings(max_examples=examples * times)(test)
        law_of_all.tried = tried
        return law_of_all

    return mark


def names(*guards):
    """Of a test: the guards without which it must fail, and no others. A parameter called `guard` says so too."""

    def mark(test):
        test.guards = guards
        return test

    return mark


def papers(r, mostly, count):
    """What stands on file for discharge, mostly in order, and what was used up of it."""
    return {
        "discharge_consent": mostly(True, False),
        "interconnected": mostly(True, False),
        "inverter_listed": mostly(True, False),
        "permission_until_s": mostly(NOW_S + 1e7, NOW_S + 600, NOW_S - 60),
        "export_limit_kw": mostly(5.0, 0.0, 2.0),
        "max_discharge_kw": mostly(7.0, 0.0, 3.0),
        "min_discharge_kw": r.choice([0.0, 0.5], count),
        "event_budget_kwh": mostly(100.0, 0.0, 2.0, share=0.8),
        "event_exported_kwh": r.choice([0.0, 1.0], count),
        "year_budget_kwh": mostly(600.0, 0.0, 3.0),
        "year_exported_kwh": r.choice([0.0, 2.0], count),
        "doubt_pct": r.choice([0.0, 0.0, 0.7], count),
        "soc_at_s": mostly(NOW_S - 60, NOW_S - 901),
        "exported_at_s": mostly(NOW_S - 60, NOW_S - 901, -np.inf),
        "cycle_budget": mostly(100.0, 0.0, 0.1),
        "der_alarm": mostly(Tri.NO, Tri.YES, Tri.UNKNOWN),
    }


def anything(seed, count=200):
    """Cars in every state that readings, papers and drivers can bring about, most of them fit to be moved."""
    r = np.random.default_rng(seed)

    def mostly(value, *others, share=0.9):
        return np.where(r.random(count) < share, value, r.choice(others, count))

    resting = r.random(count) < 0.15
    soc_pct = r.uniform(15, 95, count)
    charging = (r.random(count) < 0.6) & (soc_pct < 90)
    max_kw = r.choice([3.3, 7.0, 11.0], count)
    giving = ~charging & (r.random(count) < 0.3)
    idle = np.where(giving, int(Charge.DISCHARGING), mostly(Charge.STOPPED, Charge.FAULT, Charge.NO_POWER))
    state = np.where(charging, int(Charge.CHARGING), idle)
    return cars(
        count,
        u=r.random(count),
        soc_pct=np.where(r.random(count) < 0.05, np.nan, soc_pct),
        usable_kwh=mostly(60.0, np.nan, 40.0, share=0.8),
        max_charge_kw=max_kw,
        power_kw=np.where(charging, max_kw, np.where(giving, -3.0, 0.0)),
        charge_state=state,
        departure_s=NOW_S + HOUR * mostly(r.uniform(0.5, 30, count), np.inf, share=0.9),
        target_pct=r.choice([40.0, 80.0, 100.0], count),
        reserve_pct=r.choice([5.0, 30.0], count),
        enrolled=mostly(True, False),
        charging_consent=mostly(True, False),
        opted_out=mostly(False, True),
        opted_out_until_s=mostly(-np.inf, NOW_S + HOUR, NOW_S - 1, np.inf),
        boost_until_s=mostly(-np.inf, NOW_S + HOUR, NOW_S - 1),
        plugged=mostly(Tri.YES, Tri.NO, Tri.UNKNOWN),
        at_home=mostly(Tri.YES, Tri.NO, Tri.UNKNOWN),
        can_start=mostly(True, False, share=0.8),
        can_stop=mostly(True, False, share=0.8),
        can_resume=mostly(True, False, share=0.8),
        control=r.choice([Control.ON_OFF, Control.STEPS, Control.TARGET_LEVEL], count),
        floor_kw=1.4,
        step_kw=0.25,
        level_floor_pct=50.0,
        last_toggle_s=np.where(resting, NOW_S - r.uniform(1, 299, count), NOW_S - 3000),
        told_on=r.random(count) < 0.5,
        **papers(r, mostly, count),
        burden_kwh=r.uniform(0, 30, count),
        asks_left_s=mostly(np.inf, 0.0, 600.0, HOUR),
        node=r.integers(-1, len(GRID), count),
    )


@dataclasses.dataclass
class Outcome:
    """What cars would be told: kind, signed kW and window, with the cars as they were.

    `asked`: by an event, of which drivers have had enough some day; a proposal out of the blue counts as one. `held`:
    by a limit that cars share, `below_grid`: whether there was any of nodes.
    """

    view: FleetView
    kind: np.ndarray
    kw: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    now_s: float = NOW_S
    asked: np.ndarray | bool = True
    held: np.ndarray | bool = False
    below_grid: bool = False

    def __post_init__(self) -> None:
        self.told = self.kind != DesireKind.NONE
        self.gives = (self.kind == DesireKind.SETPOINT) & (self.kw < 0)
        self.stops = (self.kind == DesireKind.CURTAIL) | ((self.kind == DesireKind.SETPOINT) & (self.kw <= 0))
        self.starts = np.isin(self.kind, (DesireKind.CHARGE, DesireKind.CAP))
        self.given_kwh = np.where(self.gives, -self.kw * (self.end_s - self.start_s) / HOUR, 0.0)
        self.resting = self.now_s - self.view.last_toggle_s < SETTINGS.min_dwell_s
        self.charging = np.where(self.resting, self.view.told_on, self.view.charge_state == Charge.CHARGING)
        self.needs = needs_of(self.view, self.now_s, SETTINGS)
        self.late = self.needs.some & (self.now_s >= self.needs.latest_start_s)
        self.must = self.late | (self.view.soc_pct < self.view.reserve_pct)
        hours = np.where(self.needs.some, np.nan_to_num(self.needs.hours), 0.0)
        self.last_start_s = self.view.departure_s - hours * HOUR - 600.0
        self.at_stake = self.must & self.needs.some & (self.now_s >= self.last_start_s)
        self.shares = self.held & ~self.at_stake

    @property
    def ours(self):
        """Cars that may be told something at all."""
        view = self.view
        out = view.opted_out | (view.opted_out_until_s > self.now_s) | (view.boost_until_s > self.now_s)
        there = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
        broken = np.isin(view.charge_state, (Charge.FAULT, Charge.NO_POWER))
        known = ~np.isnan(view.soc_pct) & ~np.isnan(view.usable_kwh)
        return view.enrolled & view.charging_consent & ~out & there & known & ~broken


def without_consent(o):
    return o.told & ~(o.view.enrolled & o.view.charging_consent)


def driver_is_out(o):
    return o.told & (o.view.opted_out | (o.view.opted_out_until_s > o.now_s) | (o.view.boost_until_s > o.now_s))


def not_at_our_plug(o):
    return o.told & ((o.view.plugged != Tri.YES) | (o.view.at_home != Tri.YES))


def level_unknown(o):
    return o.told & (np.isnan(o.view.soc_pct) | np.isnan(o.view.usable_kwh))


def out_of_order(o):
    return o.told & np.isin(o.view.charge_state, (Charge.FAULT, Charge.NO_POWER))


def below_reserve_and_not_charging(o):
    return o.ours & (o.view.soc_pct < o.view.reserve_pct) & (o.kind != DesireKind.CHARGE) & ~o.shares


def late(o):
    """At its latest safe start and not charging, or held beyond it; where cars share a limit, the last possible one."""
    held = np.isin(o.kind, (DesireKind.CURTAIL, DesireKind.CAP, DesireKind.SETPOINT))
    latest_s = np.where(o.shares, np.maximum(o.last_start_s, o.now_s) + 1.0, o.needs.latest_start_s)
    return (o.ours & o.late & (o.kind != DesireKind.CHARGE) & ~o.shares) | (held & (o.end_s > latest_s + WIDE_W))


def unpermitted_discharge(o):
    view = o.view
    papers = view.discharge_consent & view.interconnected & view.inverter_listed & (view.permission_until_s >= o.end_s)
    wishes = ~np.isnan(view.reserve_pct) & ~np.isnan(view.target_pct) & np.isfinite(view.departure_s)
    seen_s = np.minimum.reduce([view.soc_at_s, view.plugged_at_s, view.at_home_at_s, view.exported_at_s])
    fresh = (o.now_s - seen_s <= SETTINGS.reading_age_s) & (view.der_alarm != Tri.YES)
    return o.gives & (~(papers & wishes) | ~fresh | (-o.kw > view.export_limit_kw + WIDE_W))


def over_budget(o):
    view = o.view
    since_h = np.clip(o.now_s - view.exported_at_s, 0, SETTINGS.reading_age_s) / HOUR
    given_kwh = np.maximum(-view.power_kw, 0) * since_h
    cycles_kwh = view.cycle_budget * view.usable_kwh * SETTINGS.discharge_efficiency
    event_kwh, year_kwh = view.event_exported_kwh + given_kwh, view.year_exported_kwh + given_kwh
    left_kwh = np.fmin(
        view.event_budget_kwh - event_kwh, np.fmin(view.year_budget_kwh - year_kwh, cycles_kwh - year_kwh)
    )
    return o.gives & (o.given_kwh > np.maximum(left_kwh, 0.0) + WIDE_W)


def outlives_silence(o):
    return o.gives & (o.end_s > o.start_s + SETTINGS.dead_man_s + 1)


def below_floor(o):
    floor_pct = np.maximum(o.view.reserve_pct, SETTINGS.programme_floor_pct)
    since_h = np.clip(o.now_s - o.view.soc_at_s, 0, SETTINGS.reading_age_s) / HOUR
    given_kwh = o.given_kwh + np.maximum(-o.view.power_kw, 0) * since_h
    spent_pct = given_kwh / SETTINGS.discharge_efficiency / o.view.usable_kwh * 100 + o.view.doubt_pct
    return o.gives & (o.view.soc_pct - spent_pct < floor_pct - WIDE_W)


def cannot_be_put_back(o):
    """After the discharge the target is no longer in reach, at the pace at which the car really charges."""
    spent_pct = o.given_kwh / SETTINGS.discharge_efficiency / o.view.usable_kwh * 100
    after = needs_of(dataclasses.replace(o.view, soc_pct=o.view.soc_pct - spent_pct), o.now_s, SETTINGS)
    return o.gives & after.some & (after.latest_start_s < o.end_s - 1.0)


def beyond_its_power(o):
    too_much = o.starts & (o.kw > o.view.max_charge_kw + WIDE_W)
    return too_much | (o.gives & (-o.kw > o.view.max_discharge_kw + WIDE_W))


def stopped_or_started_against_its_nature(o):
    by_target = (o.view.control == Control.TARGET_LEVEL) & ~(o.view.soc_pct >= o.view.level_floor_pct)
    stuck = o.stops & o.charging & (~o.view.can_stop | by_target)
    return ~o.must & (stuck | (o.starts & ~o.charging & ~o.view.can_start))


def stranded(o):
    return o.stops & o.charging & ~o.view.can_resume & o.needs.some


def flipped_too_soon(o):
    return ~o.must & o.resting & ((o.stops & o.charging) | (o.starts & ~o.charging))


def beyond_patience(o):
    """Held back or made to give by an event for longer than the driver agreed to."""
    held = np.isin(o.kind, (DesireKind.CURTAIL, DesireKind.CAP, DesireKind.SETPOINT))
    return o.asked & held & (o.end_s > o.now_s + o.view.asks_left_s + WIDE_W)


def over_a_limit(o):
    """Below a node that carries more than its limit, although cars that could be held draw or feed through it.

    Excused is what is at stake, what cannot be stopped, down to its least, and what is not ours to stop.
    """
    if not o.below_grid:
        return np.zeros(len(o.kind), dtype=bool)
    here = (o.view.plugged == Tri.YES) & (o.view.at_home == Tri.YES)
    drawn_kw = np.where(here, np.maximum(np.nan_to_num(o.kw), 0.0), 0.0)
    by_target = (o.view.control == Control.TARGET_LEVEL) & ~(o.view.soc_pct >= o.view.level_floor_pct)
    stuck = o.charging & (~o.view.can_stop | by_target | o.resting | ~o.view.can_resume)
    least_kw = np.where(o.view.control == Control.STEPS, np.minimum(o.view.floor_kw, drawn_kw), drawn_kw)
    excused_kw = np.where(~o.ours | o.at_stake, drawn_kw, np.where(stuck, least_kw, 0.0))
    broken = np.zeros(len(o.kind), dtype=bool)
    for place in range(len(GRID)):
        below = np.array([place in _path(one) for one in o.view.node.tolist()])
        left_kw = max(0.0, GRID.import_kw[place] - excused_kw[below].sum())
        seen_kw = np.maximum(-np.nan_to_num(o.kw), 0.0)[below & here & ~o.told & ~o.ours].sum()
        feeds_kw = np.maximum(-o.kw, 0.0)[below & o.told].sum()
        fed = feeds_kw > max(0.0, GRID.export_kw[place] - seen_kw) + LOOSE_KW
        if fed or (drawn_kw - excused_kw)[below].sum() > left_kw + LOOSE_KW:
            broken |= below
    return broken


@functools.cache
def _path(leaf):
    return frozenset() if leaf < 0 else frozenset({leaf}) | _path(int(GRID.parent[leaf]))


LAWS = {
    g.without_consent_untouched: without_consent,
    g.opted_out_untouched: driver_is_out,
    g.away_untouched: not_at_our_plug,
    g.unknown_level_untouched: level_unknown,
    g.faulty_untouched: out_of_order,
    g.below_reserve_charges: below_reserve_and_not_charging,
    g.ready_by_departure: late,
    g.discharge_is_permitted: unpermitted_discharge,
    g.budget_is_kept: over_budget,
    g.discharge_ends_by_itself: outlives_silence,
    g.reserve_is_kept: below_floor,
    g.departure_keeps_energy: cannot_be_put_back,
    g.power_is_limited: beyond_its_power,
    g.only_stops_what_can_stop: stopped_or_started_against_its_nature,
    g.never_strands: stranded,
    g.dwell_is_kept: flipped_too_soon,
    g.patience_is_kept: beyond_patience,
    g.grid_limits_are_kept: over_a_limit,
}


def violations(outcome):
    """The laws that some car breaks, by the names of their guards."""
    return {guard.__name__ for guard, rule in LAWS.items() if rule(outcome).any()}


def wild(view, seed, end_h):
    """What a planner that knows no guard might propose."""
    r, count = np.random.default_rng(seed), len(view)
    kind = r.choice(
        [DesireKind.CURTAIL, DesireKind.CAP, DesireKind.CHARGE, DesireKind.SETPOINT, DesireKind.SETPOINT], count
    )
    kw = np.select(
        [kind == DesireKind.CURTAIL, kind == DesireKind.CAP, kind == DesireKind.CHARGE],
        [0.0, r.uniform(0, 12, count), 50.0],
        -r.uniform(0, 50, count),
    )
    now_s = np.full(count, NOW_S)
    return PlanDraft(kind.astype(np.int64), kw, now_s, now_s + end_h * HOUR, np.zeros(count, np.int64))


def enforced(view, draft, end_h, without=None):
    """What becomes of a proposal under all guards, or under all but one."""
    nodes = nodes_of(view, asked_below(GRID))
    place = ZoneState(view, needs_of(view, NOW_S, SETTINGS), NOW_S, NOW_S + end_h * HOUR, SETTINGS, nodes=nodes)
    final = enforce(draft, narrow(place, [guard for guard in GUARDS if guard is not without]), place)
    held = final.reason == Reason.GRID_LIMIT
    return Outcome(view, final.kind, final.kw, final.start_s, final.end_s, asked=~held, held=held, below_grid=True)


@functools.cache
def broken_without(guard):
    """The laws that break over many proposals, under all guards or all but one."""
    broken = set()
    for seed in range(ENOUGH_SEEDS):
        view, end_h = anything(seed), HOURS[seed % len(HOURS)]
        broken |= violations(enforced(view, wild(view, seed, end_h), end_h, without=guard))
    return frozenset(broken)


def keeps(guard, off):
    """The law of a guard, as a test of its own, with one guard switched off."""
    assert guard.__name__ not in broken_without(off)


def planned(view, made, now_s=NOW_S):
    """A plan as an outcome."""
    asked = np.isin(made.reason, (Reason.SET_POINT, Reason.SIMPLE_LEVEL, Reason.ALERT))
    held = np.isin(made.reason, (Reason.GRID_LIMIT, Reason.IMPORT_CAP))
    below = made.limits is not None
    found = Outcome(view, made.kind, made.expected_kw, made.start_s, made.end_s, now_s, asked, held, below)
    if below:  # cars below tight nodes must start earlier than each by itself
        requests = asked_below(GRID)
        due_s = in_time(nodes_of(view, requests), view, found.needs, requests, now_s).latest_start_s
        found.must |= found.needs.some & (now_s >= due_s)
    return found
