"""Laws of what cars are told: whole amps, switches, restarts in a car's own slack, dwell, fairness, independence."""

import dataclasses

import numpy as np
import pytest
from fleet_cases import ASKS, SEEDS, WINDOWS, Drive, evening, fleet
from hypothesis import given
from hypothesis import strategies as st
from law_cases import law
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly

from ven_adapters.ven.fleet.columns import Charge, Control
from ven_adapters.ven.planning.charging_need import needs_of
from ven_adapters.ven.planning.discharge import DischargeCars, give_in_steps, sustained_kw
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.plan import DesireKind, plan
from ven_adapters.ven.planning.zone_plan import PER_CAR

pytestmark = pytest.mark.laws

LEAST_A = 6
URGENT = (Reason.BELOW_RESERVE, Reason.READY_BY)


def amps(seed, count=40):
    """Cars of one, two or three phases at 120 or 240 V, set in steps of one or two amps from six on, or by a list."""
    r = np.random.default_rng(seed)
    view = fleet(seed, count, spoiled=False)
    kw_per_a = r.choice([0.12, 0.24, 0.48, 0.69], count)
    most_a = r.choice([10, 16, 32], count)
    by_list = r.random(count) < 0.3
    levels_kw = np.full((count, 8), np.nan)
    levels_kw[:, :3] = np.sort(r.choice([6, 8, 10, 12, 16], (count, 3)), axis=1) * kw_per_a[:, None]
    levels_kw[~by_list] = np.nan
    return dataclasses.replace(
        view,
        control=np.where(by_list, int(Control.LEVELS), int(Control.STEPS)),
        floor_kw=np.where(by_list, levels_kw[:, 0], LEAST_A * kw_per_a),
        step_kw=np.where(by_list, 0.0, kw_per_a * r.choice([1, 2], count)),
        levels_kw=levels_kw,
        max_charge_kw=np.where(by_list, np.nanmax(levels_kw, axis=1, initial=0.0), most_a * kw_per_a),
        max_discharge_kw=np.zeros(count),
    )


@law(80)
@given(SEEDS, ASKS)
def test_a_power_is_whole_amps_from_six_on_or_an_entry_of_the_cars_list(seed, requests):
    view = amps(seed)
    made = plan(view, requests, NOW_S)
    capped = np.flatnonzero(made.kind == DesireKind.CAP)
    for car in capped.tolist():
        kw = made.expected_kw[car]
        assert view.floor_kw[car] - 1e-9 <= kw <= view.max_charge_kw[car] + 1e-9
        if view.control[car] == Control.LEVELS:
            assert np.nanmin(np.abs(view.levels_kw[car] - kw)) < 1e-9
        else:
            steps = (kw - view.floor_kw[car]) / view.step_kw[car]
            assert steps == pytest.approx(round(steps), abs=1e-6)


@law(80)
@given(SEEDS, st.floats(0, 300))
def test_cars_that_only_start_and_stop_meet_a_set_point_by_one_marginal_car(seed, kw):
    view = fleet(seed, spoiled=False)
    switches = {"control": np.full(40, int(Control.ON_OFF)), "max_discharge_kw": np.zeros(40)}
    view = dataclasses.replace(view, **switches, can_resume=np.ones(40, bool))
    made = plan(view, asked(dispatch_kw=ask(kw, end_h=3)), NOW_S)
    assert not (made.kind == DesireKind.CAP).any()
    reachable_kw = min(max(kw, made.feasible_min_kw), made.feasible_max_kw)
    assert abs(made.planned_kw - reachable_kw) <= 0.6 * view.max_charge_kw.max() + 1e-6
    assert made.shortfall_kw == pytest.approx(made.planned_kw - kw)


@law(80)
@given(SEEDS, st.floats(0, 200))
def test_a_ceiling_is_kept_or_its_excess_is_only_what_must_run(seed, kw):
    made = plan(fleet(seed), asked(import_cap_kw=ask(kw)), NOW_S)
    assert made.planned_kw <= max(kw, made.feasible_min_kw) + 1e-6
    assert made.shortfall_kw == pytest.approx(max(0.0, made.planned_kw - kw))


@law(80)
@given(SEEDS, st.floats(0.25, 4), st.sampled_from(["simple", "dispatch_kw", "alert"]))
def test_a_restart_lies_inside_the_cars_own_slack(seed, end_h, what):
    view = dataclasses.replace(fleet(seed, spoiled=False), max_discharge_kw=np.zeros(40))
    requests = asked(**{what: ask({"simple": 3, "dispatch_kw": 0.0, "alert": 3}[what], end_h=end_h)})
    made = plan(view, requests, NOW_S)
    event_s, latest_s = NOW_S + end_h * HOUR, needs_of(view, NOW_S, SETTINGS).latest_start_s
    held = (made.kind == DesireKind.CURTAIL) & (made.reason != Reason.DWELL)
    assert (made.end_s[held] <= latest_s[held] + 1e-6).all()
    assert (made.end_s[held] >= np.minimum(event_s, latest_s)[held] - 1e-6).all()
    assert (made.end_s[held] <= event_s + SETTINGS.recovery_s + 1e-6).all()


@law(40)
@given(SEEDS, st.floats(0.25, 3))
def test_a_fleet_does_not_snap_back(seed, end_h):
    """Of cars with an hour to spare or more, no quarter hour after an event sees more than a fair share begin."""
    count = 200
    r = np.random.default_rng(seed)
    departure_s = NOW_S + HOUR * (end_h + r.uniform(9, 14, count))
    made = plan(cars(count, u=r.random(count), departure_s=departure_s), asked(simple=ask(3, end_h=end_h)), NOW_S)
    begun, _ = np.histogram(made.end_s - NOW_S - end_h * HOUR, bins=24, range=(-1.0, 6 * HOUR + 1))
    assert begun.sum() == count
    assert begun.max() <= 0.25 * count


@law(10)
@given(SEEDS, WINDOWS)
def test_no_car_is_switched_within_the_dwell_unless_its_driver_needs_it_or_its_discharge_ends(seed, window):
    first_h, hours, kw = window
    view = fleet(seed, 12, spoiled=False)
    flips = []

    class Watched(Drive):
        def _note(self, now_s, told, held):
            starts = np.isin(held.kind, (DesireKind.CHARGE, DesireKind.CAP))
            turned = told & (starts != self.view.told_on) & (held.kind != DesireKind.NONE)
            gives = self.view.charge_state == Charge.DISCHARGING
            early = turned & (now_s - self.view.last_toggle_s < SETTINGS.min_dwell_s) & ~gives
            flips.extend(self.last.reason[early & ~np.isin(self.last.reason, URGENT)].tolist())  # type: ignore[attr-defined]
            super()._note(now_s, told, held)

    Watched(view, step_s=120.0).run(evening(kw, min(first_h, 1.0), min(first_h, 1.0) + hours), hours=4.0)
    assert flips == []


@law(80)
@given(SEEDS, st.floats(1, 60))
def test_of_batteries_that_are_alike_the_least_burdened_give(seed, kw):
    r = np.random.default_rng(seed)
    burden_kwh = np.floor(r.uniform(0, 30, 30))
    same = [np.full(30, value) for value in (7.0, 20.0, 3.0)]
    idle = np.zeros(30, bool)
    given_kw = give_in_steps(DischargeCars(*same, idle, burden_kwh, r.random(30)), kw, 2.0)  # type: ignore[call-arg]
    gives = given_kw > 0
    if gives.any() and not gives.all():
        assert burden_kwh[gives].max() <= burden_kwh[~gives].min()


@law(80)
@given(SEEDS, st.floats(0.5, 6), st.floats(0, 1.2))
def test_batteries_reach_the_bound_and_none_gives_more_than_it_can_hold(seed, hours, share):
    r = np.random.default_rng(seed)
    columns = {"usable_kwh": r.choice([40.0, 60.0, 80.0], 30), "soc_pct": r.uniform(20, 95, 30)}
    columns |= {"target_pct": 30.0, "departure_s": NOW_S + 30 * HOUR, "event_budget_kwh": r.choice([5.0, 20.0], 30)}
    view = cars(30, **PERMITTED | IDLE | columns)
    above_kwh = np.maximum(0.0, view.soc_pct - 30) / 100 * view.usable_kwh * SETTINGS.discharge_efficiency
    bound_kw = sustained_kw(view.max_discharge_kw, np.minimum(above_kwh, view.event_budget_kwh), hours)
    asked_kw = -share * bound_kw.sum()
    made = plan(view, asked(dispatch_kw=ask(asked_kw, end_h=hours)), NOW_S)
    given_kw = np.maximum(0.0, -made.expected_kw)
    assert (given_kw <= bound_kw + 0.001).all()
    must_kw = made.expected_kw[made.kind == DesireKind.CHARGE].sum()
    assert given_kw.sum() == pytest.approx(min(must_kw - asked_kw, bound_kw.sum()), abs=0.1)


@law(40)
@given(SEEDS, SEEDS, ASKS)
def test_one_adapters_plan_says_nothing_of_anothers_whichever_comes_first(first, second, requests):
    views = {"a": fleet(first), "b": fleet(second, 25)}
    told = []
    for order in ("ab", "ba", "a", "b"):
        made = {name: plan(views[name], requests, NOW_S) for name in order}
        told.append({name: [getattr(one, field).tobytes() for field in PER_CAR] for name, one in made.items()})
    assert told[0] == told[1] == told[2] | told[3]


@law(40)
@given(SEEDS, st.floats(5, 11))
def test_a_car_waits_for_cheap_hours_only_as_long_as_it_can(seed, cheap_h):
    view = dataclasses.replace(fleet(seed, spoiled=False), max_discharge_kw=np.zeros(40))
    prices = hourly(*[9] * (6 + int(cheap_h)), *[1] * 6, *[9] * 4)
    made = plan(view, asked(price=prices), NOW_S)
    latest_s = needs_of(view, NOW_S, SETTINGS).latest_start_s
    waits = (made.kind == DesireKind.CURTAIL) & (made.reason != Reason.DWELL)
    assert (made.end_s[waits] <= np.maximum(latest_s, NOW_S)[waits] + 1e-6).all()
