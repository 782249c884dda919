"""Laws of planning over random fleets and asks, and fleets driven forward to their departures."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet_cases import ASKS, SEEDS, WINDOWS, Drive, evening, fleet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from law_cases import GRID, PLANNED, anything, law, planned, violations
from planning_cases import HOUR, NOW_S, SETTINGS, ask, asked, cars, hourly

from ven_adapters.ven.fleet.columns import Charge, Control, FleetView, Tri
from ven_adapters.ven.openadr.grid_limits import limits_of
from ven_adapters.ven.planning.charging_need import needs_of
from ven_adapters.ven.planning.discharge import give
from ven_adapters.ven.planning.guardrails import (
    GUARDS,
    Reason,
    below_reserve_charges,
    ready_by_departure,
    reserve_is_kept,
)
from ven_adapters.ven.planning.plan import DesireKind, plan
from ven_adapters.ven.planning.zone_plan import PER_CAR

pytestmark = pytest.mark.laws

HERE = Path(__file__).parent


@law(80)
@given(SEEDS, ASKS)
def test_the_order_of_cars_does_not_matter(seed, requests):
    view = fleet(seed)
    shuffled = np.random.default_rng(seed + 1).permutation(len(view))
    first, second = plan(view, requests, NOW_S), plan(view.take(shuffled), requests, NOW_S)
    for name in PER_CAR:
        assert (getattr(first, name)[shuffled] == getattr(second, name)).all()
    assert first.planned_kw == second.planned_kw


@law(80)
@given(SEEDS, ASKS)
def test_no_plan_breaks_the_law_of_any_guard(seed, requests):
    view = anything(seed)
    assert violations(planned(view, plan(view, requests, NOW_S))) == set()
    below = dataclasses.replace(requests, grid=limits_of(GRID, {}))
    assert violations(planned(view, plan(view, below, NOW_S))) == set()


@law(80)
@given(SEEDS, ASKS)
def test_the_same_cars_and_asks_make_the_same_plan_to_the_byte(seed, requests):
    first, second = (plan(fleet(seed), requests, NOW_S) for _ in range(2))
    assert [getattr(first, name).tobytes() for name in PER_CAR] == [getattr(second, name).tobytes() for name in PER_CAR]


@law(80)
@given(SEEDS, st.floats(0, 300))
def test_adjustable_cars_meet_a_set_point_to_within_one_step_of_one_car(seed, kw):
    view = fleet(seed, spoiled=False)
    view = dataclasses.replace(view, control=np.full(40, int(Control.STEPS)), max_discharge_kw=np.zeros(40))
    made = plan(view, asked(dispatch_kw=ask(kw, end_h=3)), NOW_S)
    one_runs = kw >= made.feasible_min_kw + view.max_charge_kw.max()
    if one_runs and kw <= made.feasible_max_kw:
        assert -view.step_kw.max() - 0.001 <= made.planned_kw - kw <= 0.001


@law(80)
@given(SEEDS, st.floats(10, 200))
def test_of_cars_that_are_alike_the_least_burdened_wait(seed, kw):
    r = np.random.default_rng(seed)
    view = cars(40, burden_kwh=r.uniform(0, 30, 40), u=r.random(40))
    made = plan(view, asked(dispatch_kw=ask(kw)), NOW_S)
    charges, waits = made.kind == DesireKind.CHARGE, made.kind == DesireKind.CURTAIL
    charged, waits = np.floor(view.burden_kwh[charges]), np.floor(view.burden_kwh[waits])
    assert charged.min(initial=np.inf) >= waits.max(initial=0)


@law(80)
@given(SEEDS, st.floats(-150, 250))
def test_a_set_point_that_is_met_moves_at_most_the_marginal_car(seed, kw):
    view, requests = fleet(seed, spoiled=False), asked(dispatch_kw=ask(kw, end_h=3))
    made = [plan(view, requests, NOW_S)]
    for _ in range(2):
        runs = np.isin(made[-1].kind, (DesireKind.CHARGE, DesireKind.CAP))
        states = [int(Charge.DISCHARGING), int(Charge.CHARGING)]
        state = np.select([made[-1].expected_kw < 0, runs], states, int(Charge.STOPPED))
        obeyed = dataclasses.replace(view, charge_state=state, power_kw=made[-1].expected_kw)
        made.append(plan(obeyed, requests, NOW_S))
    flips = (made[1].reason == made[2].reason) & ((made[1].expected_kw > 0) != (made[2].expected_kw > 0))
    assert flips.sum() <= 1


@law(80)
@given(SEEDS, st.floats(0.25, 6), st.floats(0, 400))
@example(0, 0.5, 3.6e-311)
def test_batteries_give_what_is_asked_up_to_the_most_that_can_be_held(seed, hours, asked_kw):
    r = np.random.default_rng(seed)
    power_kw, energy_kwh = r.uniform(0, 11, 60), r.uniform(0, 40, 60) * (r.random(60) < 0.9)
    given_kw, most_kw = give(power_kw, energy_kwh, asked_kw, hours), np.minimum(power_kw, energy_kwh / hours)
    assert given_kw.sum() == pytest.approx(min(asked_kw, most_kw.sum()), abs=1e-8)
    assert (given_kw <= most_kw + 1e-9).all()
    bound = (given_kw > 1e-9) & (given_kw < power_kw - 1e-9)
    if bound.any():
        assert energy_kwh[bound] / given_kw[bound] == pytest.approx(float((energy_kwh[bound] / given_kw[bound]).max()))


@law(80)
@given(SEEDS, ASKS)
def test_what_is_planned_adds_up_and_misses_are_explicit(seed, requests):
    view = fleet(seed)
    made = plan(view, requests, NOW_S)
    assert made.planned_kw == pytest.approx(made.uncontrolled_kw + made.expected_kw[made.row[_touched(view)]].sum())
    assert made.feasible_min_kw - 0.1 <= made.planned_kw <= made.feasible_max_kw + 0.1
    if requests.dispatch_kw is not None:
        assert made.shortfall_kw == pytest.approx(made.planned_kw - requests.dispatch_kw.value)
        reachable = min(max(requests.dispatch_kw.value, made.feasible_min_kw), made.feasible_max_kw)
        assert abs(made.planned_kw - reachable) <= 0.6 * view.max_charge_kw.max() + 0.1


def _touched(view: FleetView):
    place = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    return place & view.charging_consent & ~view.opted_out


@law(80)
@given(SEEDS, ASKS)
def test_nobody_is_told_anything_who_may_not_be(seed, requests):
    view = fleet(seed)
    made = plan(view, requests, NOW_S)
    assert (made.kind[~_touched(view)] == DesireKind.NONE).all()
    gives = made.expected_kw < 0
    permitted = view.discharge_consent & view.interconnected & (view.event_budget_kwh > 0) & (view.max_discharge_kw > 0)
    assert not (gives & ~permitted).any()
    assert (-made.expected_kw <= np.minimum(view.export_limit_kw, view.max_discharge_kw) + 1e-9)[gives].all()
    assert (made.energy_wh[gives] > 0).all()


@law(80)
@given(SEEDS, st.floats(-150, 250), st.floats(0, 100))
def test_a_larger_set_point_takes_no_guarantee_away(seed, kw, more_kw):
    view = fleet(seed)
    small, large = (plan(view, asked(dispatch_kw=ask(v, end_h=3)), NOW_S) for v in (kw, kw + more_kw))
    assert large.planned_kw >= small.planned_kw - 0.6 * view.max_charge_kw.max()
    guaranteed = np.isin(small.reason, (7, 8))
    assert (large.kind[guaranteed] == DesireKind.CHARGE).all()
    assert (large.expected_kw[guaranteed] == small.expected_kw[guaranteed]).all()


@law(80)
@given(SEEDS, ASKS)
def test_a_pause_never_outlasts_the_latest_safe_start(seed, requests):
    view = fleet(seed)
    made = plan(view, requests, NOW_S)
    latest_s = planned(view, made).last_start_s + 600.0
    latest_s = np.where(made.reason == Reason.IMPORT_CAP, latest_s, needs_of(view, NOW_S, SETTINGS).latest_start_s)
    bounded = np.isin(made.kind, (DesireKind.CURTAIL, DesireKind.CAP, DesireKind.SETPOINT)) & (made.reason != 11)
    assert (made.end_s[bounded] <= latest_s[bounded]).all()


@law(80)
@given(SEEDS, ASKS)
def test_cars_that_told_nothing_or_nonsense_spoil_no_plan(seed, requests):
    view = fleet(seed)
    r = np.random.default_rng(seed)
    changes = {"departure_s": np.inf, "soc_pct": np.nan, "usable_kwh": np.nan, "max_charge_kw": 0.0, "target_pct": 10.0}
    spoiled = {name: np.where(r.random(len(view)) < 0.2, value, getattr(view, name)) for name, value in changes.items()}
    made = plan(dataclasses.replace(view, **spoiled), requests, NOW_S)
    assert np.isfinite(made.expected_kw).all()
    assert np.isfinite(made.planned_kw)
    assert not np.isnan(made.end_s).any()
    known = ~np.isnan(spoiled["soc_pct"]) & ~np.isnan(spoiled["usable_kwh"]) & (spoiled["max_charge_kw"] > 0)
    assert (made.kind[~known] == DesireKind.NONE).all()


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


@law(10)
@given(SEEDS, WINDOWS, st.sampled_from([np.inf, 0.5, 3.0]))
def test_nobody_who_can_be_ready_is_late_whatever_is_asked_and_whenever_the_adapter_dies(seed, window, dead_after_h):
    first_h, hours, kw = window
    view = fleet(seed, 12, spoiled=False)
    feasible = needs_of(view, NOW_S, SETTINGS).slack_s >= 0
    driven = Drive(view, dead_after_h=dead_after_h, step_s=900.0).run(evening(kw, first_h, first_h + hours))
    assert (driven.view.event_exported_kwh <= np.maximum(view.event_budget_kwh, 0) + 0.1).all()
    assert (driven.at_departure_pct >= view.target_pct - 0.5)[feasible].all()
    floor_pct = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
    assert (driven.lowest_pct >= np.minimum(floor_pct, view.soc_pct) - 0.1).all()


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


def test_a_plan_is_the_same_in_every_process(tmp_path):
    """Sets and dictionaries are ordered by chance from process to process; plans are not."""
    script = tmp_path / "digest.py"
    script.write_text(
        "import hashlib\n"
        "from planning_cases import NOW_S, ask, asked\n"
        "from fleet_cases import fleet\n"
        "from ven_adapters.ven.planning.plan import plan\n"
        "from ven_adapters.ven.planning.zone_plan import PER_CAR\n"
        "made = plan(fleet(7), asked(dispatch_kw=ask(-60, end_h=3)), NOW_S)\n"
        "print(hashlib.sha256(b''.join(getattr(made, name).tobytes() for name in PER_CAR)).hexdigest())\n"
    )
    folders = os.pathsep.join(str(one) for one in (HERE.parents[1], HERE.parents[3]))
    digests = set()
    for seed in ("1", "2"):
        environ = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": folders}
        done = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_long_profile_tries_twenty_thousand_examples():
    assert sum(PLANNED.values()) * settings.get_profile("laws").max_examples / 100 >= 20_000
