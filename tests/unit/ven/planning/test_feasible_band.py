"""The least and the most that a zone can draw: over the coming day, and held over the intervals of an event."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, joined

from ven_adapters.ven.planning.flexibility.feasible_band import NO_CYCLES, as_it_will_be, feasible_band, held_band
from ven_adapters.ven.planning.guardrails import GUARDS
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.targets import plan_inputs_of

LATE = {"departure_s": NOW_S + 3 * HOUR}
V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}


def day(view, **requests):
    return feasible_band(view, asked(**requests), NOW_S, SETTINGS)


def held(view, *hours, start_h=0.0, **requests):
    """The band from an event's beginning until each of these hours after it."""
    given_by = asked(**requests)
    start_s = NOW_S + start_h * HOUR
    later = as_it_will_be(plan_inputs_of(view, given_by, NOW_S, SETTINGS, GUARDS, NO_CYCLES), start_s)
    return held_band(later, given_by, start_s, [start_s + one * HOUR for one in hours], SETTINGS)


def test_the_first_quarter_hour_of_the_day_is_what_the_plan_says_is_feasible_now():
    view = joined(cars(4), cars(3, **LATE), cars(1, opted_out=True))
    now, made = day(view), plan(view, asked(dispatch_kw=ask(20)), NOW_S)
    assert now.least_kw[0] == pytest.approx(made.feasible_min_kw, rel=0.07)
    assert now.most_kw[0] == pytest.approx(made.feasible_max_kw, rel=0.07)


def test_a_car_that_waits_must_go_in_the_end_and_is_gone_after_its_departure():
    band = day(cars(1, departure_s=NOW_S + 8 * HOUR))
    assert band.least_kw[: 4 * 4].max() == 0
    assert band.least_kw[5 * 4 : 7 * 4].min() > 6
    assert band.least_kw[8 * 4 :].max() == band.most_kw[8 * 4 :].max() == 0
    assert band.most_kw[: 7 * 4].min() > 6


def test_what_was_shed_in_the_first_hour_comes_back_in_the_second():
    view = cars(10, departure_s=NOW_S + 5 * HOUR)
    first, third = held(view, 1.0, 3.0)
    assert first.least_kw == pytest.approx(0, abs=0.1)
    assert third.least_kw > 20


def test_the_most_that_can_be_held_falls_with_the_hours_that_it_is_held():
    one, six = held(cars(10), 1.0, 6.0)
    assert one.most_kw == pytest.approx(70, rel=0.06)
    assert six.most_kw == pytest.approx(10 * 60 * 0.3 / 0.9 / 6, rel=0.02)


def test_batteries_count_as_far_as_they_hold_and_only_where_a_set_point_asks_for_them():
    view = cars(4, **V2G)
    stored_kwh = 4 * 60 * 0.49 * 0.92
    short, long = held(view, 1.0, 8.0, dispatch_kw=ask(-10, end_h=9.0))
    assert short.least_kw == pytest.approx(-28)
    assert long.least_kw == pytest.approx(-min(28.0, stored_kwh / 8), rel=1e-3)
    assert held(view, 1.0)[0].least_kw == 0


def test_limits_bound_the_band_and_a_limit_that_cannot_be_kept_does_not():
    assert held(cars(5), 1.0, import_cap_kw=ask(14))[0].most_kw == 14
    assert held(cars(5, **V2G), 1.0, dispatch_kw=ask(-30), export_cap_kw=ask(5))[0].least_kw == -5
    forced = held(cars(5, **LATE), 1.0, import_cap_kw=ask(14))[0]
    assert forced.least_kw == forced.most_kw == pytest.approx(35, rel=0.01)


def test_before_an_event_still_to_come_cars_charge_as_they_wish_and_who_leaves_is_gone():
    view = joined(cars(2, departure_s=NOW_S + 2 * HOUR), cars(3, departure_s=NOW_S + 12 * HOUR))
    now, later = held(view, 1.0)[0], held(view, 1.0, start_h=2.5)[0]
    assert now.most_kw == pytest.approx(35, rel=0.06)
    assert later.most_kw == pytest.approx(3 * (20 - 7 * 2.5), rel=0.1)


def test_beyond_a_day_and_before_the_event_nothing_is_known():
    assert held(cars(1), 25.0, -1.0, 0.0) == [None, None, None]


@given(
    st.lists(
        st.tuples(
            st.floats(20, 85), st.floats(0.5, 30), st.sampled_from([{}, IDLE, {"can_stop": False}, {"opted_out": True}])
        ),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.2, 20),
    st.sampled_from([{}, {"dispatch_kw": ask(-5, end_h=20.0)}, {"import_cap_kw": ask(10, end_h=20.0)}]),
)
@settings(max_examples=80)
def test_the_least_is_never_more_than_the_most(some, hours, requests):
    view = joined(*(cars(1, soc_pct=soc, departure_s=NOW_S + h * HOUR, **more) for soc, h, more in some))
    (one,) = held(view, hours, **requests)
    assert one.least_kw <= one.most_kw + 1e-6
    band = day(view, **requests)
    assert (band.least_kw <= band.most_kw + 1e-6).all()
    assert np.isfinite(band.least_kw).all()
    assert np.isfinite(band.most_kw).all()
