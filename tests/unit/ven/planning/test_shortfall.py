"""What is short of an ask and what keeps cars from following: named, counted, in kW; and when it is news."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, ask, asked, cars, joined

from ven_adapters.ven.planning.flexibility.shortfall import (
    Binding,
    Flexibility,
    Obstacle,
    flexibility_of,
    in_words,
    is_news,
    together,
)
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan

LATE = {"departure_s": NOW_S + 3 * HOUR}
V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}


def able(view, **requests):
    given_by = asked(**requests)
    return flexibility_of(view, given_by, plan(view, given_by, NOW_S))


def binds(found):
    return {one.obstacle.value: (one.cars, round(one.kw, 1)) for one in found.bindings}


def test_what_can_be_done_is_no_shortfall_and_its_band_is_told():
    found = able(joined(cars(3), cars(2, **LATE)), dispatch_kw=ask(20))
    assert (found.shortfall_kw, found.bindings) == (0.0, ())
    assert (found.least_kw, found.most_kw) == (14.0, 35.0)
    assert (found.event_id, found.ask_kw) == ("e1", 20)


def test_a_car_more_or_less_than_asked_is_no_shortfall():
    assert not able(cars(3), dispatch_kw=ask(10)).is_short


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (LATE, "DEPARTURE"),
        ({"soc_pct": 20.0}, "RESERVE"),
        ({"can_stop": False}, "CANNOT_STOP"),
        ({"can_resume": False}, "CANNOT_STOP"),
        ({"last_toggle_s": NOW_S - 60, "told_on": True}, "DWELL"),
        ({"opted_out": True}, "DRIVER"),
        ({"boost_until_s": NOW_S + HOUR}, "DRIVER"),
        ({"charging_consent": False}, "CONSENT"),
        ({"soc_pct": np.nan}, "READING"),
        ({"charge_state": 7}, "FAULT"),
    ],
)
def test_each_cause_for_which_a_car_goes_on_drawing_is_named_and_counted(changed, cause):
    found = able(joined(cars(4), cars(3, **changed)), dispatch_kw=ask(0))
    assert found.shortfall_kw == pytest.approx(21)
    assert binds(found) == {cause: (3, 21.0)}


def test_a_limit_that_cannot_be_kept_is_a_shortfall_too():
    found = able(cars(3, **LATE), import_cap_kw=ask(10))
    assert found.shortfall_kw == pytest.approx(11)
    assert binds(found) == {"DEPARTURE": (3, 21.0)}


def test_what_a_plan_aims_at_beside_an_ask_changes_nothing_of_what_is_short():
    requests, view = asked(import_cap_kw=ask(10.1)), cars(3, **LATE)
    trimmed = plan(view, requests, NOW_S, earlier=EarlierCycles(None, -0.7))
    found = flexibility_of(view, requests, trimmed)
    assert (found.event_id, found.ask_kw, found.shortfall_kw) == ("e1", 10.1, pytest.approx(10.9))


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"discharge_consent": False}, "PERMIT"),
        ({"interconnected": False}, "PERMIT"),
        ({"event_budget_kwh": 0.0}, "BUDGET"),
        ({"soc_pct": 30.0}, "RESERVE"),
        ({"soc_at_s": NOW_S - 2000}, "READING"),
        ({"der_alarm": 1}, "FAULT"),
        ({"plugged": 0}, "NO_CARS"),
    ],
)
def test_each_cause_for_which_a_battery_gives_nothing_is_named_with_the_power_that_is_lost(changed, cause):
    found = able(joined(cars(2, **V2G), cars(3, **V2G | changed)), dispatch_kw=ask(-35))
    assert found.shortfall_kw > 20
    assert binds(found)[cause] == (3, 21.0)


def test_cars_that_cannot_feed_are_counted_and_batteries_that_hold_no_more_are_named():
    found = able(joined(cars(2, **V2G | {"soc_pct": 51.0}), cars(4, **IDLE)), dispatch_kw=ask(-50, end_h=4.0))
    cars_, kw = binds(found)["ENERGY"]
    assert cars_ == 2
    assert kw == pytest.approx(14 + found.least_kw, abs=0.1)
    assert binds(found)["CANNOT_FEED"] == (4, 0.0)


def test_whoever_asks_for_more_load_than_there_is_reads_why():
    view = joined(cars(2), cars(3, plugged=0, **IDLE), cars(4, soc_pct=80.0, **IDLE), cars(2, can_start=False, **IDLE))
    found = able(view, dispatch_kw=ask(60))
    assert found.shortfall_kw == pytest.approx(found.most_kw - 60)
    assert binds(found) == {"FULL": (4, 28.0), "NO_CARS": (3, 21.0), "CANNOT_START": (2, 14.0)}


def test_a_limit_that_narrows_a_set_point_is_named_with_what_it_costs():
    upwards = able(cars(5), dispatch_kw=ask(35), import_cap_kw=ask(14))
    assert upwards.shortfall_kw == pytest.approx(-21)
    assert binds(upwards)["LIMIT"] == (0, 21.0)
    down = able(cars(5, **V2G), dispatch_kw=ask(-20), export_cap_kw=ask(5))
    assert down.shortfall_kw == pytest.approx(15)
    assert binds(down)["LIMIT"] == (0, 15.0)


def test_a_relative_ask_is_short_against_what_it_comes_to():
    found = able(joined(cars(2), cars(2, **LATE)), relative_kw=ask(-21))
    assert found.ask_kw == pytest.approx(7)
    assert found.shortfall_kw == pytest.approx(7)


@given(st.floats(-60, 60), st.lists(st.sampled_from(["free", "late", "v2g", "away", "out"]), min_size=1, max_size=8))
@settings(max_examples=60)
def test_a_shortfall_is_exactly_how_far_an_ask_lies_outside_the_band_and_always_has_a_cause(kw, kinds):
    change = {"free": {}, "late": LATE, "v2g": V2G, "away": IDLE | {"plugged": 0}, "out": {"opted_out": True}}
    found = able(joined(*(cars(1, **change[kind]) for kind in kinds)), dispatch_kw=ask(kw))
    beyond_kw = max(found.least_kw - kw, 0.0) + min(found.most_kw - kw, 0.0)
    assert found.shortfall_kw == pytest.approx(beyond_kw if abs(beyond_kw) >= 0.05 else 0.0)
    assert bool(found.bindings) == found.is_short


SHORT = Flexibility(NOW_S, 100.0, 120.0, 120.0, 300.0, 20.0, (Binding(Obstacle.DEPARTURE, 12, 120.0),), "e1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"shortfall_kw": 24.9}, False),
        ({"shortfall_kw": 25.1}, True),
        ({"shortfall_kw": 0.0}, True),
        ({"bindings": (Binding(Obstacle.DWELL, 12, 120.0),)}, True),
        ({"bindings": (*SHORT.bindings, Binding(Obstacle.DWELL, 1, 4.9))}, False),
        ({"bindings": (*SHORT.bindings, Binding(Obstacle.DWELL, 1, 5.1))}, True),
        ({"interval_id": 1}, True),
        ({"at_s": NOW_S + 300, "planned_kw": 130.0}, False),
    ],
)
def test_news_is_a_twentieth_of_the_ask_another_cause_another_interval_or_the_end(change, expected):
    assert is_news(SHORT, dataclasses.replace(SHORT, **change)) == expected


def test_a_shortfall_that_was_never_told_is_news_and_none_that_was_never_there_is_not():
    assert is_news(None, SHORT)
    assert not is_news(None, dataclasses.replace(SHORT, shortfall_kw=0.0))


def test_parts_of_a_zone_add_up_cause_by_cause():
    whole = together([SHORT, dataclasses.replace(SHORT, bindings=(Binding(Obstacle.DEPARTURE, 3, 10.0),))])
    assert (whole.ask_kw, whole.shortfall_kw, whole.least_kw) == (200.0, 40.0, 240.0)
    assert whole.bindings == (Binding(Obstacle.DEPARTURE, 15, 130.0),)


def test_a_shortfall_reads_as_a_sentence():
    told = in_words(SHORT)
    assert told.startswith("20.0 kW of 100.0 kW asked are short")
    assert "12 cars (120.0 kW) must charge now, or keep their charge, to be ready at departure" in told
    assert in_words(dataclasses.replace(SHORT, shortfall_kw=0.0)) == ""
