"""Laws of planning over random fleets and asks, and fleets driven forward to their departures."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_cases import HOUR, NOW_S, SETTINGS, ask, asked, cars, hourly

from ven_adapters.ven.columns import Charge, Control, FleetView, Tri
from ven_adapters.ven.guardrails import GUARDS, below_reserve_charges, ready_by_departure, reserve_is_kept
from ven_adapters.ven.mobility import needs_of
from ven_adapters.ven.planning import Kind, carried, changed, plan
from ven_adapters.ven.zoneplan import PER_CAR

STEP_S = 300.0
SEEDS = st.integers(min_value=0, max_value=10_000)


def fleet(seed, count=40, *, spoiled=True):
    """Cars of every kind; `spoiled` adds those that nobody may or can control."""
    r = np.random.default_rng(seed)
    charging = r.random(count) < 0.5
    v2g = r.random(count) < 0.4
    state = {
        "u": r.random(count),
        "soc_pct": r.uniform(32, 85, count),
        "departure_s": NOW_S + HOUR * r.uniform(8, 16, count),
        "usable_kwh": r.choice([40.0, 60.0, 80.0], count),
        "max_charge_kw": r.choice([3.3, 7.0, 11.0], count),
        "control": r.choice([Control.ON_OFF, Control.STEPS, Control.TARGET_LEVEL], count),
        "floor_kw": 1.4,
        "step_kw": 0.25,
        "level_floor_pct": 50.0,
        "can_resume": r.random(count) < 0.9,
        "discharge_consent": v2g & (r.random(count) < 0.8),
        "interconnected": v2g & (r.random(count) < 0.8),
        "permission_until_s": NOW_S + 1e7,
        "export_limit_kw": r.choice([5.0, 7.0], count),
        "event_budget_kwh": r.choice([0.0, 12.0, 100.0], count),
        "year_budget_kwh": 600.0,
        "max_discharge_kw": np.where(v2g, 7.0, 0.0),
    }
    if spoiled:
        state |= {
            "plugged": r.choice([Tri.YES, Tri.YES, Tri.YES, Tri.UNKNOWN, Tri.NO], count),
            "at_home": r.choice([Tri.YES, Tri.YES, Tri.YES, Tri.UNKNOWN, Tri.NO], count),
            "opted_out": r.random(count) < 0.1,
            "charging_consent": r.random(count) < 0.9,
            "last_toggle_s": np.where(r.random(count) < 0.2, NOW_S - 60, -np.inf),
            "told_on": r.random(count) < 0.5,
        }
    view = cars(count, **state)
    charging &= view.soc_pct < view.target_pct
    power_kw = np.where(charging, view.max_charge_kw, 0.0)
    states = np.where(charging, int(Charge.CHARGING), int(Charge.STOPPED))
    return dataclasses.replace(view, charge_state=states, power_kw=power_kw)


ASKS = st.one_of(
    st.floats(-150, 250).map(lambda kw: asked(dispatch_kw=ask(kw, end_h=3))),
    st.sampled_from([1, 2, 3]).map(lambda level: asked(simple=ask(level))),
    st.floats(0, 200).map(lambda kw: asked(import_cap_kw=ask(kw))),
    st.just(asked(price=hourly(*[4] * 8, *[1] * 6, *[3] * 8))),
    st.just(asked(pre_charge=ask(1))),
    st.just(asked()),
)


@settings(max_examples=60, deadline=None)
@given(SEEDS, ASKS)
def test_the_order_of_cars_does_not_matter(seed, asks):
    view = fleet(seed)
    shuffled = np.random.default_rng(seed + 1).permutation(len(view))
    first, second = plan(view, asks, NOW_S), plan(view.take(shuffled), asks, NOW_S)
    for name in PER_CAR:
        assert (getattr(first, name)[shuffled] == getattr(second, name)).all()
    assert first.planned_kw == second.planned_kw


@settings(max_examples=60, deadline=None)
@given(SEEDS, ASKS)
def test_what_is_planned_adds_up_and_misses_are_explicit(seed, asks):
    view = fleet(seed)
    made = plan(view, asks, NOW_S)
    assert made.planned_kw == pytest.approx(made.uncontrolled_kw + made.expected_kw[made.row[_touched(view)]].sum())
    assert made.feasible_min_kw - 0.1 <= made.planned_kw <= made.feasible_max_kw + 0.1
    if asks.dispatch_kw is not None:
        assert made.shortfall_kw == pytest.approx(made.planned_kw - asks.dispatch_kw.value)
        reachable = min(max(asks.dispatch_kw.value, made.feasible_min_kw), made.feasible_max_kw)
        assert abs(made.planned_kw - reachable) <= 0.6 * view.max_charge_kw.max() + 0.1


def _touched(view: FleetView):
    place = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    return place & view.charging_consent & ~view.opted_out


@settings(max_examples=60, deadline=None)
@given(SEEDS, ASKS)
def test_nobody_is_told_anything_who_may_not_be(seed, asks):
    view = fleet(seed)
    made = plan(view, asks, NOW_S)
    assert (made.kind[~_touched(view)] == Kind.NONE).all()
    gives = made.expected_kw < 0
    permitted = view.discharge_consent & view.interconnected & (view.event_budget_kwh > 0) & (view.max_discharge_kw > 0)
    assert not (gives & ~permitted).any()
    assert (-made.expected_kw <= np.minimum(view.export_limit_kw, view.max_discharge_kw) + 1e-9)[gives].all()
    assert (made.energy_wh[gives] > 0).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(-150, 250), st.floats(0, 100))
def test_a_larger_set_point_takes_no_guarantee_away(seed, kw, more_kw):
    view = fleet(seed)
    small, large = (plan(view, asked(dispatch_kw=ask(v, end_h=3)), NOW_S) for v in (kw, kw + more_kw))
    assert large.planned_kw >= small.planned_kw - 0.6 * view.max_charge_kw.max()
    guaranteed = np.isin(small.reason, (7, 8))
    assert (large.kind[guaranteed] == Kind.CHARGE).all()
    assert (large.expected_kw[guaranteed] == small.expected_kw[guaranteed]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, ASKS)
def test_a_pause_never_outlasts_the_latest_safe_start(seed, asks):
    view = fleet(seed)
    made = plan(view, asks, NOW_S)
    latest_s = needs_of(view, NOW_S, SETTINGS).latest_start_s
    bounded = np.isin(made.kind, (Kind.CURTAIL, Kind.CAP, Kind.SETPOINT)) & (made.reason != 11)
    assert (made.end_s[bounded] <= latest_s[bounded]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, ASKS)
def test_cars_that_told_nothing_or_nonsense_spoil_no_plan(seed, asks):
    view = fleet(seed)
    r = np.random.default_rng(seed)
    changes = {"departure_s": np.inf, "soc_pct": np.nan, "usable_kwh": np.nan, "max_charge_kw": 0.0, "target_pct": 10.0}
    spoiled = {name: np.where(r.random(len(view)) < 0.2, value, getattr(view, name)) for name, value in changes.items()}
    made = plan(dataclasses.replace(view, **spoiled), asks, NOW_S)
    assert np.isfinite(made.expected_kw).all()
    assert np.isfinite(made.planned_kw)
    assert not np.isnan(made.end_s).any()
    known = ~np.isnan(spoiled["soc_pct"]) & ~np.isnan(spoiled["usable_kwh"]) & (spoiled["max_charge_kw"] > 0)
    assert (made.kind[~known] == Kind.NONE).all()


@dataclasses.dataclass
class Drive:
    """A fleet obeying plans in steps of five minutes until everyone has left."""

    view: FleetView
    guards: tuple = GUARDS
    dead_after_h: float = np.inf
    lowest_pct: np.ndarray = None
    at_departure_pct: np.ndarray = None

    def __post_init__(self) -> None:
        self.lowest_pct = self.view.soc_pct.copy()
        self.at_departure_pct = np.full(len(self.view), np.nan)

    def run(self, asks_at, hours=17.0):
        held = None
        for now_s in NOW_S + np.arange(0, hours * HOUR, STEP_S):
            here = self.view.departure_s > now_s
            self.view = dataclasses.replace(self.view, plugged=np.where(here, 1, 0), **self._fresh(now_s))
            if (now_s - NOW_S) / HOUR < self.dead_after_h:
                made = plan(self.view, dataclasses.replace(asks_at(now_s), now_s=now_s), now_s, guards=self.guards)
                told = changed(held, made, now_s, SETTINGS)
                held = carried(held, made, told)
                self._note(now_s, told, held)
            self._step(now_s, held)
        return self

    def _fresh(self, now_s):
        names = ("soc_at_s", "plugged_at_s", "at_home_at_s", "charge_state_at_s", "power_at_s")
        return dict.fromkeys(names, np.full(len(self.view), now_s))

    def _note(self, now_s, told, held):
        starts = np.isin(held.kind, (Kind.CHARGE, Kind.CAP)) & told
        stops = np.isin(held.kind, (Kind.CURTAIL, Kind.SETPOINT)) & told
        self.view = dataclasses.replace(
            self.view,
            last_toggle_s=np.where(starts | stops, now_s, self.view.last_toggle_s),
            told_on=np.where(starts | stops, starts, self.view.told_on),
        )

    def _step(self, now_s, held):
        view, v = self.view, SETTINGS
        binding = held.end_s > now_s
        stopped = binding & np.isin(held.kind, (Kind.CURTAIL, Kind.SETPOINT))
        wants = view.soc_pct < np.maximum(view.target_pct, np.where(binding, held.target_pct, 0))
        over = np.clip((view.soc_pct - v.taper_from_pct) / (100 - v.taper_from_pct), 0, 1)
        taper = 1 - (1 - v.taper_end_share) * over
        kw = np.where(wants & ~stopped, view.max_charge_kw * taper, 0.0)
        kw = np.where(binding & (held.kind == Kind.CAP), np.minimum(kw, held.power_w / 1000), kw)
        kw = np.where(binding & (held.kind == Kind.SETPOINT), held.power_w / 1000, kw)
        here = view.departure_s > now_s
        kw = np.where(here, kw, 0.0)
        share_h = np.minimum(STEP_S, np.maximum(0.0, view.departure_s - now_s)) / HOUR
        stored = np.where(kw > 0, kw * v.charge_efficiency, kw / v.discharge_efficiency)
        soc = np.minimum(view.soc_pct + stored * share_h / view.usable_kwh * 100, 100)
        self.lowest_pct = np.minimum(self.lowest_pct, np.where(here, soc, np.inf))
        leaves = here & (view.departure_s <= now_s + STEP_S)
        self.at_departure_pct = np.where(leaves, soc, self.at_departure_pct)
        state = np.select([kw > 0, kw < 0], [int(Charge.CHARGING), int(Charge.DISCHARGING)], int(Charge.STOPPED))
        given = view.event_exported_kwh + np.maximum(0, -kw) * share_h
        self.view = dataclasses.replace(view, soc_pct=soc, power_kw=kw, charge_state=state, event_exported_kwh=given)


def evening(kw, first_h=1.0, last_h=4.0):
    """A set-point from `first_h` to `last_h`, then the recovery."""

    def at(now_s):
        hour = (now_s - NOW_S) / HOUR
        if first_h <= hour < last_h:
            return asked(dispatch_kw=ask(kw, start_h=first_h, end_h=last_h))
        return asked(recovery_from_s=NOW_S + last_h * HOUR) if last_h <= hour < last_h + 6 else asked()

    return at


def cheap_night(_now_s):
    return asked(price=hourly(*[5] * 9, *[1] * 8, *[5] * 10))


def emergencies(now_s):
    return asked(alert=ask(3, end_h=24), price=hourly(*[5] * 20)) if (now_s - NOW_S) % (4 * HOUR) > HOUR else asked()


SCRIPTS = {
    "discharge": evening(-100),
    "pause": evening(0),
    "part": evening(60),
    "price": cheap_night,
    "storm": emergencies,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize(("dead_after_h", "seed"), [(np.inf, 1), (2.0, 2)])
def test_every_driver_who_can_be_is_ready_and_no_battery_falls_below_its_reserve(script, dead_after_h, seed):
    view = fleet(seed, 60, spoiled=False)
    feasible = needs_of(view, NOW_S, SETTINGS).slack_s >= 0
    driven = Drive(view, dead_after_h=dead_after_h).run(script)
    assert feasible.sum() > 40
    assert (driven.at_departure_pct >= view.target_pct - 0.5)[feasible].all()
    floor_pct = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
    assert (driven.lowest_pct >= np.minimum(floor_pct, view.soc_pct) - 0.1).all()
    budget = np.maximum(view.event_budget_kwh, 0)
    assert (driven.view.event_exported_kwh <= budget + 0.1).all()


def test_without_the_departure_guard_a_driver_is_late():
    view = fleet(1, 60, spoiled=False)
    guards = tuple(guard for guard in GUARDS if guard is not ready_by_departure)
    driven = Drive(view, guards).run(lambda _: asked(dispatch_kw=ask(0, end_h=24)))
    assert (driven.at_departure_pct < view.target_pct - 5).any()


def test_without_the_reserve_guard_a_battery_falls_below_its_reserve():
    view = fleet(1, 60, spoiled=False)
    view = dataclasses.replace(view, departure_s=view.departure_s + 24 * HOUR, event_budget_kwh=np.full(60, 100.0))
    keep = tuple(guard for guard in GUARDS if guard not in (reserve_is_kept, below_reserve_charges))
    driven = Drive(view, keep).run(evening(-500, 0, 10), hours=10)
    assert (driven.lowest_pct < view.reserve_pct - 5).any()
    kept = Drive(view).run(evening(-500, 0, 10), hours=10)
    assert (kept.lowest_pct >= np.minimum(view.reserve_pct, view.soc_pct) - 0.1).all()


def test_the_restart_after_an_event_stays_below_the_unmanaged_peak():
    view = dataclasses.replace(fleet(3, 200, spoiled=False), soc_pct=np.full(200, 55.0))
    loads = []

    class Watched(Drive):
        def _step(self, now_s, held):
            super()._step(now_s, held)
            if now_s > NOW_S + 4 * HOUR:
                loads.append(self.view.power_kw.sum())

    Watched(view).run(evening(0))
    assert max(loads) < 0.75 * view.max_charge_kw.sum()


def test_five_hundred_cars_are_told_little():
    """A steady set-point is held by few commands: desires are kept, not sent again."""
    view = fleet(5, 200, spoiled=False)
    counts = []

    class Counted(Drive):
        def _note(self, now_s, told, held):
            super()._note(now_s, told, held)
            counts.append(int(told.sum()))

    Counted(view).run(evening(300), hours=4)
    assert sum(counts) < 4 * len(view)
