"""Sites, transformers, feeders and the zone: no plan draws or feeds more than any of them carries, but by necessity."""

import dataclasses

import numpy as np
import pytest
from grid_cases import FEEDER, SITE, asked_below, below, node, one_transformer, sums
from planning_cases import AMPS, HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly

from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.openadr.grid_limits import AskedOfNode
from ven_adapters.ven.planning.flexibility.feasible_band import held_band
from ven_adapters.ven.planning.flexibility.shortfall import Obstacle, flexibility_of
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.plan import DesireKind, plan
from ven_adapters.ven.planning.zone_plan import changed

LEAVES = {"target_pct": 80.0, "soc_pct": 50.0}
LATE = AMPS | IDLE | {"soc_pct": 20.0, "departure_s": NOW_S + 6.6 * HOUR}
"""Needs 5.7 h at 7 kW: its latest safe start has come, its last possible one is half an hour away."""


def planned(tree, view, **fields):
    return plan(view, asked_below(tree, **fields), NOW_S)


def test_cars_below_a_transformer_draw_no_more_than_it_carries():
    tree = one_transformer(20.0)
    made = planned(tree, below(tree, ["T1"] * 5, **AMPS))
    assert sums(tree, below(tree, ["T1"] * 5), made.expected_kw)[0][0] == pytest.approx(19.9)
    held = made.reason == Reason.GRID_LIMIT
    assert held.sum() == 3
    assert sorted(made.kind[held].tolist()) == [DesireKind.CURTAIL, DesireKind.CURTAIL, DesireKind.CAP]


def test_every_node_on_the_way_up_counts():
    tree = tree_of(
        [node("F", import_kw=17.0, kind=FEEDER), node("T1", "F", 10.0), node("T2", "F", 10.0), node("S", "T1", 4.0)]
    )
    view = below(tree, ["S", "T1", "T1", "T2", "T2"], **AMPS)
    drawn, _ = sums(tree, view, planned(tree, view).expected_kw)
    assert (drawn <= tree.import_kw + 1e-9).all()
    assert drawn[0] > 15.0


def test_a_car_that_hangs_from_nothing_is_not_held():
    tree = one_transformer(5.0)
    view = below(tree, ["T1", None, None], **AMPS)
    assert planned(tree, view).expected_kw[1:].tolist() == [7.0, 7.0]


def test_what_is_drawn_by_cars_that_are_not_ours_leaves_less_for_the_others():
    tree = one_transformer(10.0)
    view = below(tree, ["T1", "T1"], **AMPS | {"charging_consent": [False, True]})
    made = planned(tree, view)
    assert (made.kind[0], made.expected_kw[1]) == (DesireKind.NONE, pytest.approx(2.9))


def test_one_cars_feed_makes_no_room_for_anothers_draw():
    tree = one_transformer(7.0, 7.0)
    view = below(tree, ["T1", "T1", "T1"], **AMPS | PERMITTED | {"soc_pct": [20.0, 50.0, 79.0], "reserve_pct": 30.0})
    drawn, fed = sums(tree, view, planned(tree, view, dispatch_kw=ask(0.0)).expected_kw)
    assert drawn[0] <= 7.0 + 1e-9
    assert fed[0] <= 7.0 + 1e-9


def test_two_cars_of_a_home_feed_no_more_than_it_may_and_the_one_that_is_there_all_of_it():
    tree = tree_of([node("home", export_kw=7.0, kind=SITE)])
    state = PERMITTED | IDLE | {"soc_pct": 79.0, "event_budget_kwh": 60.0, "max_discharge_kw": 7.0}
    both = planned(tree, below(tree, ["home", "home"], **state), dispatch_kw=ask(-50.0))
    assert both.expected_kw.sum() == pytest.approx(-7.0)
    away = planned(tree, below(tree, ["home", "home"], **state | {"plugged": [0, 1]}), dispatch_kw=ask(-50.0))
    assert away.expected_kw.sum() == pytest.approx(-7.0)
    assert away.expected_kw[0] == 0.0


def test_what_one_battery_cannot_hold_falls_to_the_other_of_its_home():
    tree = tree_of([node("home", export_kw=7.0, kind=SITE)])
    state = PERMITTED | IDLE | {"event_budget_kwh": [60.0, 2.0], "max_discharge_kw": 7.0, "soc_pct": 79.0}
    made = planned(tree, below(tree, ["home", "home"], **state), dispatch_kw=ask(-50.0, end_h=2.0))
    assert made.expected_kw.sum() == pytest.approx(-7.0, abs=0.2)
    assert made.expected_kw[0] < -5.0


def test_cars_that_must_charge_share_each_gets_six_amperes_first_and_the_least_laxity_the_rest():
    tree = one_transformer(12.0)
    departure_s = NOW_S + HOUR * np.array([6.2, 7.2, 8.2, 9.2])
    view = below(tree, ["T1"] * 4, **LATE | {"departure_s": departure_s})
    made = planned(tree, view)
    assert made.expected_kw.sum() <= 12.0
    assert (made.expected_kw >= 1.4).all()
    assert made.expected_kw[0] == pytest.approx(7.0)
    assert (made.kind[1:] == DesireKind.CAP).all()
    assert made.limits.broken == ()


def test_a_switch_has_no_six_amperes_and_waits_its_turn():
    tree = one_transformer(8.0)
    view = below(tree, ["T1"] * 2, **LATE | {"control": 0, "floor_kw": 0.0, "step_kw": 0.0})
    made = planned(tree, view)
    assert sorted(made.expected_kw.tolist()) == [0.0, 7.0]
    assert made.kind[made.expected_kw == 0.0][0] == DesireKind.CURTAIL


def test_only_a_departure_that_is_missed_otherwise_breaks_a_limit_and_it_is_said():
    tree = one_transformer(8.0)
    view = below(tree, ["T1"] * 3, **LATE | {"departure_s": NOW_S + HOUR * np.array([5.8, 5.8, 12.0])})
    made = planned(tree, view)
    assert made.expected_kw.tolist() == [7.0, 7.0, 0.0]
    (broken,) = made.limits.broken
    assert (broken.name, broken.kind, broken.limit_kw, broken.planned_kw, broken.at_stake) == (
        "T1",
        "transformer",
        8.0,
        14.0,
        2,
    )


def test_a_hold_on_a_car_that_must_charge_ends_when_its_departure_is_at_stake():
    tree = one_transformer(8.0)
    view = below(tree, ["T1"] * 3, **LATE)
    made = planned(tree, view)
    held = made.reason == Reason.GRID_LIMIT
    hours = 60 * 0.6 / 0.9 / 7
    assert held.any()
    assert (made.end_s[held] <= view.departure_s[held] - hours * HOUR).all()


def test_a_zones_limit_is_shared_by_cars_below_their_reserve():
    """Ten cars below reserve, twelve hours left, a limit of 20 kW: all of them charge, slowly."""
    view = cars(10, **AMPS | IDLE | {"soc_pct": 20.0})
    made = plan(view, asked(import_cap_kw=ask(20.0)), NOW_S)
    assert made.planned_kw <= 20.0
    assert (made.expected_kw >= 1.4).all()
    assert (made.reason[made.kind == DesireKind.CAP] == Reason.IMPORT_CAP).all()


def test_in_a_grid_emergency_cars_below_their_reserve_wait_as_far_as_their_departures_allow():
    tree = one_transformer(50.0)
    view = below(
        tree, ["T1"] * 2, **AMPS | IDLE | {"soc_pct": 20.0, "departure_s": NOW_S + HOUR * np.array([5.8, 14.0])}
    )
    made = planned(tree, view, alert=ask(3, end_h=4.0))
    assert made.expected_kw.tolist() == [7.0, 0.0]


def test_an_events_limit_on_a_node_holds_beside_the_grids_own():
    tree = one_transformer(20.0)
    lower = AskedOfNode(imports=ask(6.0, event="dim"))
    view = below(tree, ["T1"] * 4, **AMPS)
    made = plan(view, asked_below(tree, {"T1": lower}), NOW_S)
    assert made.planned_kw <= 6.0
    assert {made.origins[one].event_id for one in made.origin[made.reason == Reason.GRID_LIMIT]} == {"dim"}
    higher = AskedOfNode(imports=ask(60.0))
    assert plan(view, asked_below(tree, {"T1": higher}), NOW_S).planned_kw == pytest.approx(19.9)


def test_who_is_held_is_told_by_which_node():
    tree = tree_of([node("F", import_kw=100.0, kind=FEEDER), node("T1", "F", 10.0), node("T2", "F", 60.0)])
    made = planned(tree, below(tree, ["T1", "T1", "T2"], **AMPS))
    assert made.limited_by[made.reason == Reason.GRID_LIMIT].tolist() == [1]
    assert made.limited_by[2] == -1


def test_a_set_point_that_nodes_keep_from_being_met_names_them():
    tree = one_transformer(14.0)
    view, requests = below(tree, ["T1"] * 6, **AMPS), asked_below(tree, dispatch_kw=ask(40.0))
    found = flexibility_of(view, requests, plan(view, requests, NOW_S))
    assert found.shortfall_kw == pytest.approx(-26.0)
    assert found.bindings[0].obstacle is Obstacle.GRID_LIMIT
    assert found.bindings[0].cars == 4


def test_without_their_node_in_mind_the_same_cars_would_start_too_late():
    """What the fill from the end is for: each car by itself could wait for the cheap hours, all of them cannot."""
    r = np.random.default_rng(1)
    tree = one_transformer(26.0)
    state = {"soc_pct": r.uniform(30, 60, 10), "departure_s": NOW_S + HOUR * r.uniform(9, 14, 10), "u": r.random(10)}
    view = below(tree, ["T1"] * 10, **AMPS | IDLE | state)
    requests = asked_below(tree, price=hourly(*[5] * 9, *[1] * 5, *[5] * 13))
    alone = plan(view, dataclasses.replace(requests, grid=None), NOW_S)
    together = plan(view, requests, NOW_S)
    assert together.latest_s.min() < alone.latest_s.min() - HOUR


def test_a_car_that_is_held_although_it_must_charge_is_not_told_so_in_every_cycle():
    tree = one_transformer(8.0)
    view = below(tree, ["T1"] * 3, **LATE)
    first, second = (
        planned(tree, view),
        plan(view, dataclasses.replace(asked_below(tree), now_s=NOW_S + 60), NOW_S + 60),
    )
    assert (first.reason == Reason.GRID_LIMIT).any()
    assert not changed(first, second, NOW_S + 60, SETTINGS).any()


def test_what_can_be_held_for_an_event_counts_no_more_than_nodes_carry():
    tree = tree_of([node("home", export_kw=7.0, import_kw=10.0, kind=SITE)])
    state = PERMITTED | IDLE | AMPS | {"soc_pct": 70.0, "event_budget_kwh": 60.0, "max_discharge_kw": 7.0}
    view, requests = below(tree, ["home", "home"], **state), asked_below(tree, dispatch_kw=ask(-50.0))
    (held,) = held_band(view, requests, NOW_S, [NOW_S + HOUR], SETTINGS)
    assert held.least_kw == pytest.approx(-7.0)
    (drawn,) = held_band(view, asked_below(tree), NOW_S, [NOW_S + 0.5 * HOUR], SETTINGS)
    assert drawn.most_kw <= 10.0 + 1e-9
