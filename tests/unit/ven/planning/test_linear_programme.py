"""The night's load against the exact problem, car by car and goal after goal, and what each goal is for."""

import dataclasses
import itertools

import highspy
import numpy as np
import pytest
from closed_nights import FLAT_STEPS as STEPS
from closed_nights import flat
from hypothesis import given
from hypothesis import strategies as st
from law_cases import law
from planning_cases import HOUR, NOW_S, SETTINGS, ask, asked, hourly

from ven_adapters.ven.planning.night.linear_programme import RAMP_SHARE, solve
from ven_adapters.ven.planning.night.night_problem import MOST_CLASSES, PlannedCars, edges_from, problem_of

FLEET_SEEDS = st.integers(0, 2**31)


def fleet(seed, count=None):
    """Random cars of a night: what they need, what they take, when they come and leave."""
    r = np.random.default_rng(seed)
    count = count or int(r.integers(3, 11))
    kw = r.choice([3.6, 7.2, 9.6, 11.0], count)
    start_h = np.where(r.random(count) < 0.7, 0.0, np.round(r.uniform(0, 3, count) * 4) / 4)
    end_h = start_h + r.uniform(4, 7, count)
    kwh = np.minimum(r.gamma(1.7, 9.0, count) + 1.0, 0.9 * kw * (end_h - start_h))
    return PlannedCars(kwh, kw, NOW_S + start_h * HOUR, NOW_S + np.minimum(end_h, 9.9) * HOUR)


def night(cars, *, prices=(5, 5, 5, 1, 1, 1, 1, 5, 5, 5), cap_kw=None, before_kw=np.nan):
    edges_s = edges_from(NOW_S, NOW_S + 9.75 * HOUR)
    requests = asked(
        price=hourly(*prices, start_h=0), **({} if cap_kw is None else {"import_cap_kw": ask(cap_kw, end_h=20)})
    )
    return problem_of(cars, requests, np.zeros(len(edges_s) - 1), edges_s, before_kw, SETTINGS)


def exact(problem, cars, *, bill_at_most=None):
    """The least bill, or for a bill the least peak with a gentle ramp: every car a row; None when there is none."""
    hours, steps = problem.hours, len(problem.cost)
    inside_s = np.minimum(cars.end_s[:, None], problem.edges_s[1:]) - np.maximum(
        cars.start_s[:, None], problem.edges_s[:-1]
    )
    most_kw = np.clip(inside_s / np.diff(problem.edges_s), 0, 1) * cars.kw[:, None]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    taken = [[solver.addVariable(0.0, float(most_kw[car, step])) for step in range(steps)] for car in range(len(cars))]
    peak = solver.addVariable(0.0)
    for car in range(len(cars)):
        solver.addConstr(sum(taken[car][s] * float(hours[s]) for s in range(steps)) == float(cars.kwh[car]))
    loads = [sum(taken[car][s] for car in range(len(cars))) for s in range(steps)]
    for step in range(steps):
        solver.addConstr(loads[step] <= peak)
        if np.isfinite(problem.limit_kw[step]):
            solver.addConstr(loads[step] <= float(problem.limit_kw[step]))
    bill = sum(loads[s] * float(hours[s] * problem.cost[s]) for s in range(steps))
    if bill_at_most is not None:
        solver.addConstr(bill <= bill_at_most)
        ramp = 3 * RAMP_SHARE * peak
        for before, after in itertools.pairwise(loads):
            solver.addConstr(after - before <= ramp)
            solver.addConstr(before - after <= ramp)
    solver.minimize(bill if bill_at_most is None else peak)
    feasible = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return solver.getInfo().objective_function_value if feasible else None


@pytest.mark.laws
@law(50)
@given(FLEET_SEEDS)
def test_the_bill_is_within_one_percent_of_the_least_and_the_peak_within_three(seed):
    cars = fleet(seed)
    problem = night(cars)
    found = solve(problem)
    bill = float(found.load_kw @ (problem.hours * problem.cost))
    least = exact(problem, cars)
    assert found.unmet_kwh < 1e-6
    assert bill <= 1.01 * least + 1e-6
    least_kw = exact(problem, cars, bill_at_most=bill + 1e-6)
    assert least_kw is None or found.peak_kw <= 1.03 * least_kw


@pytest.mark.laws
@law(50)
@given(FLEET_SEEDS, st.floats(0.2, 1.0))
def test_a_limit_is_kept_in_every_fleet_where_it_can_be(seed, share):
    cars = fleet(seed)
    cap_kw = share * float(cars.kw.sum())
    problem = night(cars, cap_kw=cap_kw)
    found = solve(problem)
    if exact(problem, cars) is not None:
        assert found.over_limit_kwh < 1e-6
        assert found.unmet_kwh < 1e-6
        assert found.load_kw.max() <= cap_kw + 1e-6
    else:
        assert found.over_limit_kwh > 1e-6 or found.unmet_kwh > 1e-6
        assert found.unmet_kwh < 1e-6, "a departure goes before a limit"


def test_classes_of_a_large_fleet_cost_little():
    cars = fleet(3, 600)
    problem = night(cars)
    assert len(problem.energy_kwh) <= MOST_CLASSES
    found = solve(problem)
    whole = dataclasses.replace(problem)
    assert found.unmet_kwh < 1e-6
    assert float(whole.energy_kwh.sum()) == pytest.approx(float(cars.kwh.sum()))
    assert float(found.load_kw @ problem.hours) == pytest.approx(float(cars.kwh.sum()), rel=1e-6)


def test_at_one_price_the_load_is_as_low_as_it_can_be():
    found = solve(flat(100.0, 50.0))
    assert found.load_kw == pytest.approx(np.full(STEPS, 10.0), rel=0.05)


def test_the_load_follows_what_was_drawn_before_without_a_cliff():
    found = solve(flat(100.0, 50.0, before_kw=40.0))
    steps_kw = np.diff(np.concatenate([[40.0], found.load_kw]))
    assert np.abs(steps_kw[1:]).max() <= 0.15 * found.peak_kw + 1e-6
    assert found.load_kw[0] > 20


def test_load_that_nobody_controls_is_filled_around():
    base_kw = np.where(np.arange(STEPS) < 10, 12.0, 2.0)
    found = solve(flat(60.0, 50.0, base_kw=base_kw))
    assert found.peak_kw == pytest.approx(12.0, abs=0.2)


def test_an_events_set_point_is_met_from_both_sides():
    least_kw = np.where(np.arange(STEPS) == 5, 30.0, 0.0)
    most_kw = np.where(np.arange(STEPS) == 5, 30.0, np.where(np.arange(STEPS) == 6, 0.0, np.inf))
    found = solve(flat(100.0, 50.0, least_kw=least_kw, most_kw=most_kw))
    assert found.load_kw[5:7] == pytest.approx([30.0, 0.0], abs=1e-6)


def test_where_an_event_ends_the_load_comes_back_gently():
    most_kw = np.where(np.arange(STEPS) < 8, 0.0, np.inf)
    found = solve(flat(60.0, 50.0, most_kw=most_kw))
    assert found.load_kw[:8].max() <= 1e-6
    assert np.diff(found.load_kw[7:]).max() <= 0.15 * found.peak_kw + 1e-6


def test_a_solver_that_is_late_says_so():
    assert solve(night(fleet(5)), most_iterations=1) is None
