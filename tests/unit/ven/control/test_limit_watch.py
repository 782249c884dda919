"""Limits that are broken by necessity are said, stand as alarms, and are told of the events that set them."""

import logging

import numpy as np
import pytest
from agent_cases import enrolment
from grid_cases import FEEDER, node
from planning_cases import NOW_S, ask

from ven_adapters.ven.control.limit_watch import LimitWatch, in_words
from ven_adapters.ven.control.node_shares import NodeShares
from ven_adapters.ven.explain.decision_log import plain_limits
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.fleet.grid.site_places import SitePlaces
from ven_adapters.ven.planning.flexibility.shortfall import Obstacle
from ven_adapters.ven.planning.limits.report import BrokenLimit, LimitsReport


def broken(name="T1", kind="transformer", planned_kw=82.0, at_stake=3, beyond_kw=0.0, **more):
    return BrokenLimit(name, kind, 75.0, planned_kw, at_stake, beyond_kw, **more)


def report(*several):
    return LimitsReport(40, 5, 12, len(several), sum(one.over_kw for one in several), several)


def test_a_broken_limit_is_logged_when_it_begins_and_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    watch = LimitWatch()
    for _ in range(3):
        watch.take("bay", report(broken()), NOW_S, leads=False)
    watch.take("bay", report(), NOW_S, leads=False)
    assert [one.levelname for one in caplog.records] == ["ERROR", "INFO"]
    assert "ALARM: the limit of transformer T1 is broken by necessity: 82.0 kW of 75.0 kW: 3 cars" in caplog.text


def test_of_a_plan_for_later_nothing_is_said(caplog):
    watch = LimitWatch()
    watch.take("bay", report(broken()), NOW_S, leads=True)
    assert (watch.now, caplog.text) == ({}, "")


def test_a_home_is_not_named():
    assert in_words(broken("home-17", "site", at_stake=1)).startswith("the limit of a site is broken by necessity")


def test_what_stands_is_an_alarm_beside_the_others():
    watch, places = LimitWatch(), SitePlaces()
    assert watch.added_to({"alarms": ["one"], "alarms_in_all": 1}, places) == {"alarms": ["one"], "alarms_in_all": 1}
    watch.take("bay", report(broken()), NOW_S, leads=False)
    places.grow(1)
    places.put(0, enrolment(grid_node="T9"))
    told = watch.added_to({"alarms": ["one"], "alarms_in_all": 1}, places)
    assert told["alarms_in_all"] == 3
    assert told["alarms"][2] == "grid_node of 1 enrolments: not in the grid file: T9"


def test_an_event_whose_limit_is_broken_is_told_by_how_much_and_why():
    watch = LimitWatch()
    dim = ask(75.0, event="dim")
    watch.take("bay", report(broken(ask=dim), broken("T2", beyond_kw=2.0, ask=dim), broken("T3")), NOW_S, leads=False)
    assert watch.events() == {"dim"}
    found = watch.of_event("bay", "dim")
    assert (found.ask_kw, found.planned_kw, found.shortfall_kw) == (150.0, 164.0, 14.0)
    assert [(one.obstacle, one.cars, one.kw) for one in found.bindings] == [
        (Obstacle.DEPARTURE, 6, 12.0),
        (Obstacle.OTHER, 0, 2.0),
    ]
    assert watch.of_event("bay", "other") is None


def test_figures_say_how_many_nodes_are_full_and_broken():
    told = {"nodes": 40, "full": 5, "held_cars": 12, "broken": 1, "over_kw": 7.0}
    assert plain_limits(report(broken())) == told


def test_a_node_above_cars_of_two_parts_is_shared_by_what_they_would_draw():
    fleet = FleetColumns()
    fleet.hang_from(tree_of([node("F", import_kw=90.0, kind=FEEDER), node("T1", "F", 30.0), node("T2", "F", 30.0)]))
    place = [("a", "bay", "T1"), ("b", "bay", "T1"), ("c", "coast", "T1"), ("d", "coast", "T2")]
    fleet.enrol([enrolment(ref, zone=zone, site_id=ref, grid_node=at, permission=None) for ref, zone, at in place])
    shares = NodeShares(fleet)
    bay, coast = shares.of("bay"), shares.of("coast")
    assert (bay + coast)[:2] == pytest.approx([1.0, 1.0])
    assert bay[:2] == pytest.approx([0.5, 2 / 3])
    assert coast[2] == 1.0


def test_parts_that_share_no_node_have_all_of_theirs():
    fleet = FleetColumns()
    fleet.hang_from(tree_of([node("T1", import_kw=30.0)]))
    fleet.enrol([enrolment("a", grid_node="T1", permission=None)])
    assert NodeShares(fleet).of("bay") is None
    assert np.isfinite(fleet.places.tree.import_kw).all()
