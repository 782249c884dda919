"""Each figure of the night gets worse when its fault is put in, wherever in the night, and in whichever zone."""

from datetime import timedelta

import numpy as np
import pytest
from night_cases import BINS, HELD_KW, UNMANAGED, asks, at_bin, bin_of, clock, managed, night, series, truth

from ven_adapters.demo.figures import (
    INTERVAL_CARS,
    PEAK_CARS,
    NightEvents,
    cap_breach_kwh,
    event_energy_error_pct,
    interval_error_p95_pct,
    rebound_peaks,
    total_ramps,
    worst_of,
    zone_interval_p95_pct,
    zone_nights,
    zone_peaks,
    zone_ramps,
)
from ven_adapters.demo.goals import GOALS, judged
from ven_adapters.demo.judging import night_figures
from ven_adapters.demo.scenario import STARTS
from ven_adapters.demo.utility import AskedSetPoint


def test_a_flat_night_has_the_ratio_of_its_peak_to_the_unmanaged_peak_of_the_evening():
    zones, events = night({"bay": managed()})
    found = rebound_peaks(zones, events)
    assert (found.peak_kw, found.unmanaged_peak_kw, found.night) == (40.0, 100.0, 0.4)


def test_the_unmanaged_peak_may_lie_before_the_event_ends_or_only_after_it():
    early = series(dict.fromkeys(range(18, 21), 100.0) | {21: 50.0})
    zones, events = night({"bay": managed()}, unmanaged=early)
    found = rebound_peaks(zones, events)
    assert (found.night, found.after_event) == (0.4, 0.8)


@pytest.mark.parametrize(("hour", "minute"), [(21, 0), (23, 55), (4, 0), (9, 5), (11, 55)])
def test_a_peak_of_five_minutes_counts_at_any_time_from_the_end_of_the_event_to_noon(hour, minute):
    zones, events = night({"bay": at_bin(managed(), hour, minute, 130.0)})
    assert rebound_peaks(zones, events).night == 1.3


def test_what_was_drawn_before_the_event_ended_is_no_rebound():
    zones, events = night({"bay": at_bin(managed(), 20, 55, 130.0)})
    assert rebound_peaks(zones, events).night == 0.4


def test_a_night_that_ends_before_noon_is_judged_to_its_end():
    short = truth({"bay": at_bin(managed(), 8, 55, 130.0)})
    bins = bin_of(9)
    cut = type(short)(
        short.oem, short.at[:bins], short.zones, short.kw[:bins], short.unmanaged_kw[:bins], None, short.counts
    )
    events = NightEvents(asks())
    assert rebound_peaks(zone_nights([cut], events), events).night == 1.3


def test_one_zone_that_stays_low_does_not_hide_another_s_peak():
    zones, events = night({"bay": managed(changed={3: 160.0}), "la": managed(changed={3: 0.0})})
    assert rebound_peaks(zones, events).night == 0.8
    assert worst_of(zones, PEAK_CARS, lambda zone: zone_peaks(zone).night) == (1.6, "bmw-bay")


def test_zones_of_fewer_than_a_hundred_cars_are_not_the_worst_and_none_is_worst_of_none():
    zones, _ = night({"bay": managed(changed={3: 160.0})}, cars=99)
    assert worst_of(zones, PEAK_CARS, lambda zone: zone_peaks(zone).night) is None
    zones, _ = night({"bay": managed(changed={3: 160.0})}, cars=100)
    assert worst_of(zones, PEAK_CARS, lambda zone: zone_peaks(zone).night) == (1.6, "bmw-bay")


def test_a_zone_whose_event_was_cancelled_is_judged_from_then_on():
    columns = {"bay": at_bin(managed(), 20, 20, 130.0), "la": managed()}
    events = NightEvents([*asks(zone="bay", end=20), *asks(zone="la")])
    zones, _ = night(columns, events=events)
    assert worst_of(zones, PEAK_CARS, lambda zone: zone_peaks(zone).night) == (1.3, "bmw-bay")


def test_the_steps_that_a_set_point_asks_for_are_judged_apart():
    zones, _ = night({"bay": managed()})
    found = zone_ramps(zones[0])
    assert (found.asked_pct, found.unasked_pct) == (20.0, 20.0)  # 20 to 40 kW at 18:00, 40 to 20 at 08:00


def test_a_cliff_at_the_end_of_an_event_counts_as_nobody_asked_for_it():
    cliff = managed(changed={21: 100.0})
    zones, _ = night({"bay": cliff})
    assert zone_ramps(zones[0]).unasked_pct == 60.0


@pytest.mark.parametrize("minute", [-5, 5, 30])
def test_a_step_beside_the_set_point_s_own_bin_was_not_asked_for(minute):
    zones, _ = night({"bay": at_bin(managed(), 18 if minute > 0 else 17, minute % 60, 95.0)})
    assert zone_ramps(zones[0]).unasked_pct == pytest.approx(75.0 if minute < 0 else 55.0)


def test_what_follows_a_set_point_that_stays_is_no_asked_step():
    again = [AskedSetPoint("bmw-bay", clock(a), clock(a + 1), HELD_KW) for a in (18, 19, 20)]
    zones, _ = night({"bay": managed(changed={19: 90.0})}, events=NightEvents(again))
    assert zone_ramps(zones[0]).unasked_pct == 50.0


def test_two_zones_that_jump_against_each_other_show_zone_by_zone():
    up, down = managed(), managed()
    up[bin_of(2) :] += 50.0
    down[bin_of(2) :] -= 40.0
    zones, _ = night({"bay": up, "la": down})
    assert total_ramps(zones).unasked_pct == pytest.approx(20.0)  # both fall by 20 of 200 at 08:00
    assert worst_of(zones, PEAK_CARS, lambda zone: zone_ramps(zone).unasked_pct) == (50.0, "bmw-bay")


def test_a_jump_of_one_zone_does_not_hide_behind_another_zone_s_set_point():
    bay, la = managed(changed={19: 90.0, 20: 90.0}), managed(changed={18: 20.0, 19: 120.0, 20: 120.0})
    steps = [AskedSetPoint("bmw-bay", clock(18), clock(19), 40.0), AskedSetPoint("bmw-bay", clock(19), clock(21), 90.0)]
    zones, _ = night({"bay": bay, "la": la}, events=NightEvents([*steps, *asks(zone="la", kw=20.0)]))
    assert total_ramps(zones).unasked_pct == 65.0  # 100 kW of la at 19:00; at 21:00 both fall by 50 and 80
    assert total_ramps(zones).asked_pct == 25.0


def test_an_emergency_asks_for_a_fall_and_not_for_the_rise_after_it():
    dipped = managed(changed={1: 0.0})
    alert = [(clock(0, 58), clock(1, 45))]
    told = NightEvents(asks(), alerts=alert)
    zones, _ = night({"bay": dipped}, events=told)
    assert zone_ramps(zones[0]) == type(zone_ramps(zones[0]))(unasked_pct=40.0, asked_pct=40.0)
    zones, _ = night({"bay": dipped})
    assert zone_ramps(zones[0]).asked_pct == 20.0


def test_a_cap_asks_for_a_step_at_its_beginning_only():
    lower = managed(changed={2: 10.0})
    cap = AskedSetPoint("bmw-bay", clock(2), clock(3), 10.0)
    zones, _ = night({"bay": lower}, events=NightEvents(asks(), [cap]))
    assert zone_ramps(zones[0]).asked_pct == 30.0
    assert zone_ramps(zones[0]).unasked_pct == 30.0


def test_energy_that_was_asked_and_delivered_has_no_error():
    zones, _ = night({"bay": managed()})
    assert event_energy_error_pct(zones) == 0.0
    assert interval_error_p95_pct(zones) == 0.0
    assert zone_interval_p95_pct(zones[0]) == 0.0


def test_a_zone_that_gives_too_much_does_not_make_up_for_one_that_gives_too_little():
    event = range(18, 21)
    zones, _ = night(
        {"bay": managed(changed=dict.fromkeys(event, 52.0)), "la": managed(changed=dict.fromkeys(event, 28.0))}
    )
    assert event_energy_error_pct(zones) == pytest.approx(20.0)  # 12 of 60 kW each
    assert interval_error_p95_pct(zones) == pytest.approx(0.0)  # the portfolio's own figure
    assert worst_of(zones, INTERVAL_CARS, zone_interval_p95_pct)[0] == pytest.approx(20.0)


def test_too_much_now_does_not_make_up_for_too_little_then():
    zones, _ = night({"bay": managed(changed={18: 52.0, 19: 28.0})})
    assert event_energy_error_pct(zones) == pytest.approx(0.0)
    assert interval_error_p95_pct(zones) == pytest.approx(20.0)


def test_the_95th_percentile_passes_over_one_quarter_of_an_hour_in_twenty_and_not_over_two():
    long = NightEvents([AskedSetPoint("bmw-bay", clock(16), clock(21), HELD_KW)])
    flat = dict.fromkeys(range(16, 21), HELD_KW)
    once = managed(changed=flat)
    once[bin_of(18) : bin_of(18, 15)] = 100.0
    twice = once.copy()
    twice[bin_of(19) : bin_of(19, 15)] = 70.0
    peak = series(dict.fromkeys(range(16, 22), 100.0))
    assert zone_interval_p95_pct(night({"bay": once}, events=long, unmanaged=peak)[0][0]) == 0.0
    assert zone_interval_p95_pct(night({"bay": twice}, events=long, unmanaged=peak)[0][0]) == pytest.approx(50.0)


def test_a_deviation_where_nothing_was_asked_is_not_passed_over():
    zones, _ = night({"bay": managed()}, events=NightEvents(asks(kw=100.0)))
    assert zone_interval_p95_pct(zones[0]) == pytest.approx(6_000.0)


def test_nothing_is_judged_where_nothing_was_asked():
    zones, _ = night({"bay": managed(), "la": managed()}, events=NightEvents(asks(zone="bay")))
    assert zone_interval_p95_pct(zones[1]) is None
    assert event_energy_error_pct(zones[1:]) is None
    assert cap_breach_kwh(zones) is None


def test_energy_above_a_cap_counts_and_room_below_it_does_not():
    cap = AskedSetPoint("bmw-bay", clock(2), clock(4), 50.0)
    zones, _ = night({"bay": managed(changed={2: 70.0, 3: 0.0})}, events=NightEvents(asks(), [cap]))
    assert cap_breach_kwh(zones) == pytest.approx(20.0)


def test_the_summary_names_the_worst_zone_and_leaves_out_what_was_not_asked():
    zones, events = night({"bay": managed(), "la": managed(changed={4: 123.0})})
    found = night_figures(zones, events)
    assert (found["worst_zone_peak_ratio"], found["worst_zone_peak_ratio_of"]) == (1.23, "bmw-la")
    assert found["rebound_peak_ratio_night"] == 0.815
    assert "cap_breach_kwh" not in found


def test_goals_are_bounds_on_both_sides_and_only_figures_that_exist_are_judged():
    by_key = {goal.key: goal for goal in GOALS}
    assert [by_key["rebound_peak_ratio_night"].met(value) for value in (1.0, 1.001)] == [True, False]
    assert [by_key["nomination_over_delivery_ratio"].met(value) for value in (0.89, 0.9, 1.1, 1.11)] == [
        False,
        True,
        True,
        False,
    ]
    assert [goal.key for goal, _ in judged({"cap_breach_kwh": 0.0, "cars": 3})] == ["cap_breach_kwh"]


def test_a_night_of_the_cases_is_as_long_as_it_says():
    assert managed().size == BINS
    assert clock(11, 55) == STARTS + timedelta(hours=21) - timedelta(minutes=5)
    assert np.flatnonzero(series(UNMANAGED) == 100.0)[[0, -1]].tolist() == [bin_of(18), bin_of(21, 55)]
