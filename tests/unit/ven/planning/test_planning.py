"""One zone, one cycle: what each kind of ask makes of a fleet."""

import dataclasses
import math

import numpy as np
import pytest
from planning_cases import AMPS, HOUR, IDLE, NOW_S, PERMITTED, READ_AT, SETTINGS, ask, asked, cars, hourly, joined

from ven_adapters.ven.fleet.columns import Charge, Control
from ven_adapters.ven.openadr.zone_requests import RulingDimension
from ven_adapters.ven.planning.charging_need import needs_of
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import DesireKind, changed, plan


def planned(view, **requests):
    return plan(view, asked(**requests), NOW_S)


def kinds(made):
    return [DesireKind(code).name for code in made.kind]


def test_a_quiet_zone_is_left_alone():
    made = planned(cars(5))
    assert set(kinds(made)) == {"NONE"}
    assert (made.planned_kw, made.asked_kw, made.shortfall_kw) == (35.0, None, 0.0)


def test_an_empty_zone_has_an_empty_plan():
    for requests in (asked(), asked(dispatch_kw=ask(-5)), asked(price=hourly(1, 2)), asked(simple=ask(3))):
        assert len(plan(cars(0), requests, NOW_S)) == 0


def test_a_set_point_of_zero_pauses_everyone_who_can_wait():
    made = planned(cars(5), dispatch_kw=ask(0))
    assert set(kinds(made)) == {"CURTAIL"}
    assert made.planned_kw == made.asked_kw == 0
    assert (made.end_s >= NOW_S + 2 * HOUR).all()
    assert made.origins[made.origin[0]].event_id == "e1"


def test_cars_with_the_least_time_to_spare_are_served_first():
    view = cars(5, departure_s=NOW_S + HOUR * np.array([12, 6, 10, 7, 8]))
    made = planned(view, dispatch_kw=ask(14))
    assert np.flatnonzero(made.kind == DesireKind.CHARGE).tolist() == [1, 3]


def test_must_run_load_comes_first_and_the_shortfall_is_explicit():
    late = cars(2, departure_s=NOW_S + 3 * HOUR)
    made = plan(joined(late, cars(2)), asked(dispatch_kw=ask(5)), NOW_S)
    assert kinds(made) == ["CHARGE", "CHARGE", "CURTAIL", "CURTAIL"]
    assert (made.planned_kw, made.shortfall_kw, made.feasible_min_kw) == (14.0, 9.0, 14.0)


def test_more_than_the_fleet_can_take_is_a_shortfall_too():
    made = planned(cars(3), dispatch_kw=ask(100))
    assert (made.planned_kw, made.feasible_max_kw, made.shortfall_kw) == (21.0, 21.0, -79.0)


def test_the_marginal_car_is_set_by_its_amps():
    made = planned(joined(cars(2, **AMPS), cars(1, **AMPS)), dispatch_kw=ask(10))
    assert sorted(kinds(made)) == ["CAP", "CHARGE", "CURTAIL"]
    assert 10 - 0.25 < made.planned_kw <= 10


def test_an_on_off_car_fits_when_another_can_be_trimmed():
    view = joined(cars(1, departure_s=NOW_S + 8 * HOUR, **AMPS), cars(1))
    made = plan(view, asked(dispatch_kw=ask(10)), NOW_S)
    assert kinds(made) == ["CAP", "CHARGE"]
    assert 9.75 < made.planned_kw <= 10


@pytest.mark.parametrize(
    ("charging", "asked_kw", "on"), [(True, 3.0, 1), (True, 2.0, 0), (False, 4.0, 0), (False, 5.0, 1)]
)
def test_the_nearest_of_on_and_off_prefers_the_present_state(charging, asked_kw, on):
    view = cars(1, **({} if charging else IDLE))
    made = planned(view, dispatch_kw=ask(asked_kw))
    assert (made.kind[0] == DesireKind.CHARGE) == on


def test_equals_do_not_take_turns():
    view = cars(4, charge_state=[4, 1, 4, 1], power_kw=[0, 7, 0, 7])
    assert np.flatnonzero(planned(view, dispatch_kw=ask(14)).kind == DesireKind.CHARGE).tolist() == [1, 3]


def test_load_that_nobody_controls_counts_against_the_set_point():
    view = joined(cars(2, opted_out=True), cars(2))
    made = plan(view, asked(dispatch_kw=ask(21)), NOW_S)
    assert (made.uncontrolled_kw, made.planned_kw) == (14.0, 21.0)
    assert kinds(made)[:2] == ["NONE", "NONE"]


def test_a_car_charging_beyond_its_target_is_flexible_load():
    made = planned(cars(2, soc_pct=85.0), dispatch_kw=ask(0))
    assert kinds(made) == ["CURTAIL", "CURTAIL"]


def test_a_relative_set_point_changes_what_the_zone_would_draw():
    assert planned(cars(4), relative_kw=ask(-14)).planned_kw == 14.0
    assert planned(cars(4), relative_share=ask(-0.5)).planned_kw == 14.0


V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}


def test_below_zero_the_permitted_cars_give_with_equal_time_to_go():
    view = joined(cars(2, **V2G | {"soc_pct": [51.0, 71.0]}), cars(2))
    made = plan(view, asked(dispatch_kw=ask(-6)), NOW_S)
    assert kinds(made) == ["SETPOINT", "SETPOINT", "CURTAIL", "CURTAIL"]
    energy_kwh = 60 * 0.92 * np.array([0.2, 0.4])
    assert made.expected_kw[:2] == pytest.approx(-6 * energy_kwh / energy_kwh.sum(), abs=0.002)
    assert made.power_w[:2].tolist() == [-2000, -4000]
    assert (made.end_s[:2] == NOW_S + SETTINGS.dead_man_s).all()


def test_discharge_reaches_exactly_what_can_be_held_to_the_end():
    view = cars(3, **V2G | {"soc_pct": [41.0, 61.0, 81.0]})
    made = planned(view, dispatch_kw=ask(-100, end_h=3.0))
    most = np.minimum(7.0, 60 * 0.92 * np.array([0.1, 0.3, 0.5]) / 3)
    assert -made.expected_kw == pytest.approx(most, abs=0.001)
    assert made.shortfall_kw == pytest.approx(100 - most.sum(), abs=0.003)
    assert made.feasible_min_kw == pytest.approx(-most.sum())


def test_the_export_cap_bounds_the_discharge():
    made = planned(cars(3, **V2G), dispatch_kw=ask(-20), export_cap_kw=ask(5))
    assert made.planned_kw == pytest.approx(-5, abs=0.01)
    assert made.feasible_min_kw == -5


def test_a_small_discharge_is_given_by_few_cars_that_cannot_give_less():
    made = planned(cars(10, **V2G | {"min_discharge_kw": 3.0}), dispatch_kw=ask(-5))
    given = -made.expected_kw[made.kind == DesireKind.SETPOINT]
    assert given.sum() == pytest.approx(5, abs=0.01)
    assert (given >= 3).all()


def test_the_set_points_of_the_next_cycle_are_the_same():
    view = cars(4, **V2G | {"soc_pct": [45.5, 55.5, 65.5, 75.5]})
    first = planned(view, dispatch_kw=ask(-10))
    soc_pct = view.soc_pct + first.expected_kw * 0.5 / 0.92 / 60 * 100
    fresh = dict.fromkeys(READ_AT, np.full(4, NOW_S + HOUR / 2))
    after = dataclasses.replace(view, soc_pct=soc_pct, **fresh)
    later = plan(after, asked(dispatch_kw=ask(-10)), NOW_S + HOUR / 2)
    assert later.expected_kw == pytest.approx(first.expected_kw, abs=0.003)


def test_no_car_gives_when_no_set_point_asks_for_it():
    for requests in (
        {"simple": ask(3)},
        {"alert": ask(3)},
        {"import_cap_kw": ask(0)},
        {"export_price": hourly(9, 9, 9, 9, 9, 9, 9, 9)},
    ):
        assert (planned(cars(3, **V2G), **requests).expected_kw >= 0).all()


def test_an_import_cap_is_never_exceeded_by_half_a_car():
    made = planned(cars(5), import_cap_kw=ask(20))
    assert (made.planned_kw, made.asked_kw, made.shortfall_kw) == (14.0, 20.0, 0.0)


def test_an_import_cap_binds_a_set_point():
    made = planned(cars(5), dispatch_kw=ask(35), import_cap_kw=ask(20))
    assert made.planned_kw == 14.0


@pytest.mark.parametrize(("level", "kw"), [(0, 70.0), (1, 49.0), (2, 21.0), (3, 0.0)])
def test_a_simple_level_leaves_its_share_of_the_flexible_load(level, kw):
    assert planned(cars(10), simple=ask(level)).planned_kw == kw


def test_an_emergency_stops_what_can_wait():
    view = joined(cars(3), cars(1, departure_s=NOW_S + 3 * HOUR))
    made = plan(view, asked(alert=ask(3)), NOW_S)
    assert kinds(made) == ["CURTAIL"] * 3 + ["CHARGE"]


def test_in_an_emergency_a_car_below_its_reserve_waits_too_as_far_as_its_departure_allows():
    low = {"soc_pct": 20.0, "reserve_pct": 30.0}
    assert kinds(planned(cars(1, **low), alert=ask(2))) == ["CHARGE"]
    assert kinds(planned(cars(1, **low), alert=ask(3))) == ["CURTAIL"]
    assert kinds(planned(cars(1, departure_s=NOW_S + 3 * HOUR, **low), alert=ask(3))) == ["CHARGE"]


def test_a_zone_measured_below_its_set_point_is_aimed_higher_and_reports_the_ask():
    made = plan(cars(10, **AMPS), asked(dispatch_kw=ask(30)), NOW_S, earlier=EarlierCycles(None, 3.0))
    assert made.planned_kw == pytest.approx(33.0, abs=0.3)
    assert made.asked_kw == 30.0


def test_a_coming_outage_fills_cars_and_freezes_discharge():
    view = joined(cars(1, **IDLE), cars(1, **V2G))
    requests = asked(pre_charge=ask(1), dispatch_kw=ask(-5), price=hourly(*[9] * 8 + [1] * 20))
    made = plan(view, requests, NOW_S)
    assert kinds(made) == ["CHARGE", "NONE"]
    assert made.reason[0] == Reason.PRE_CHARGE


def test_a_charge_state_raises_the_target_and_never_lowers_it():
    view = cars(2, **IDLE | {"soc_pct": 80.0, "target_pct": [80.0, 95.0]})
    made = planned(view, charge_states=(ask(0.9, end_h=6),))
    assert made.target_pct.tolist() == [90.0, 95.0]
    assert kinds(made) == ["CHARGE", "CHARGE"]
    assert made.reason[0] == Reason.CHARGE_STATE


def test_a_charge_state_brings_the_start_forward():
    prices = hourly(*[5] * 9, *[1] * 12)
    view = cars(1, **IDLE | {"target_pct": 60.0})
    assert planned(view, price=prices).kind[0] == DesireKind.CURTAIL
    made = planned(view, price=prices, charge_states=(ask(0.6, end_h=1.6),))
    assert made.kind[0] == DesireKind.CHARGE


def test_cars_wait_for_the_cheap_hours_and_are_ready_in_time():
    made = planned(cars(20), price=hourly(*[5] * 10, *[1] * 6, *[5] * 4))
    assert set(kinds(made)) == {"CURTAIL"}
    cheap_s, hours = NOW_S + 4 * HOUR, 60 * 0.3 / 0.9 / 7
    assert (made.end_s >= cheap_s).all()
    dear_s = np.maximum(0.0, made.end_s + hours * HOUR - NOW_S - 10 * HOUR)
    assert dear_s.mean() <= 0.04 * hours * HOUR


def test_equally_cheap_starts_are_spread_so_that_there_is_no_second_peak():
    count = 200
    made = planned(cars(count), price=hourly(*[5] * 10, *[1] * 7, *[5] * 4))
    starts, _ = np.histogram(made.end_s, bins=17, range=(NOW_S + 4 * HOUR, NOW_S + 8.25 * HOUR))
    assert starts.max() <= 2.5 * count / 17


def test_planned_starts_hardly_move_while_cars_wait():
    view, prices = cars(30, **IDLE), hourly(*[5] * 10, *[1] * 8, *[5] * 4)
    first = planned(view, price=prices).end_s
    for hours in (0.1, 1.0, 2.5, 3.9):
        later = plan(view, asked(price=prices), NOW_S + hours * HOUR)
        assert np.abs(np.sort(later.end_s) - np.sort(first)).mean() <= 900


def test_a_night_is_followed_for_a_quarter_of_an_hour_or_until_something_else_is_asked():
    view, prices = cars(30, **IDLE), hourly(*[5] * 10, *[1] * 8, *[5] * 4)
    earlier = EarlierCycles(planned(view, price=prices).night)
    assert plan(view, asked(price=prices), NOW_S + 590, earlier=earlier).night is earlier.night
    assert plan(view, asked(price=prices), NOW_S + 910, earlier=earlier).night is not earlier.night
    limited = asked(price=prices, import_cap_kw=ask(20))
    assert plan(view, limited, NOW_S + 60, earlier=earlier).night is not earlier.night


def test_a_car_in_its_block_goes_on_while_it_fills():
    prices = hourly(*[5] * 6, *[1] * 8, *[5] * 4)
    for soc in (50.0, 60.0, 70.0, 79.0):
        assert planned(cars(1, soc_pct=soc, u=0.9), price=prices).kind[0] == DesireKind.CHARGE


def test_emissions_move_charging_as_a_price_does():
    made = planned(cars(3), ghg=hourly(*[500] * 9, *[50] * 8))
    assert set(kinds(made)) == {"CURTAIL"}


def test_a_coming_event_is_avoided():
    prices = hourly(*[5] * 10, *[1] * 8)
    view = cars(20)
    made = planned(view, price=prices, restriction=hourly(*[0] * 10, *[1] * 2))
    assert (made.end_s >= NOW_S + 6 * HOUR).all()


def test_after_an_event_restarts_are_spread_inside_each_cars_slack():
    view = cars(100, departure_s=NOW_S + HOUR * np.linspace(6, 14, 100))
    made = planned(view, simple=ask(3, end_h=1.0))
    end_s, latest_s = NOW_S + HOUR, needs_of(view, NOW_S, SETTINGS).latest_start_s
    assert (made.end_s >= end_s).all()
    assert (made.end_s <= latest_s).all()
    starts, _ = np.histogram(made.end_s, bins=12, range=(end_s, end_s + 3 * HOUR))
    assert starts.max() <= 25


def test_the_restart_after_the_event_is_the_one_planned_during_it():
    view = cars(50, **IDLE | {"departure_s": NOW_S + HOUR * np.linspace(6, 14, 50)})
    during = planned(view, simple=ask(3, end_h=1.0)).end_s
    after = plan(view, asked(recovery_from_s=NOW_S + HOUR), NOW_S + HOUR)
    waiting = after.kind == DesireKind.CURTAIL
    assert waiting.sum() > 40
    assert np.abs(after.end_s - during)[waiting].mean() <= 0.5 * HOUR


def test_a_car_plugged_in_after_the_event_is_not_delayed():
    made = planned(cars(1, **IDLE | {"plugged_since_s": NOW_S - 60}), recovery_from_s=NOW_S - HOUR)
    assert made.kind[0] != DesireKind.CURTAIL


def test_unstoppable_load_is_part_of_the_floor():
    view = joined(
        cars(1, can_stop=False), cars(1, can_resume=False), cars(1, control=Control.TARGET_LEVEL, level_floor_pct=60.0)
    )
    made = plan(view, asked(dispatch_kw=ask(0)), NOW_S)
    assert (made.planned_kw, made.feasible_min_kw, made.shortfall_kw) == (21.0, 21.0, 21.0)
    assert made.reason.tolist() == [Reason.CANNOT_STOP, Reason.CANNOT_RESUME, Reason.CANNOT_STOP]


def test_a_plan_does_not_change_what_still_serves():
    first = planned(cars(10), dispatch_kw=ask(30))
    again = plan(cars(10), asked(dispatch_kw=ask(30)), NOW_S + 60)
    assert changed(None, first, NOW_S, SETTINGS).sum() == (first.kind != DesireKind.NONE).sum()
    assert not changed(first, again, NOW_S + 60, SETTINGS).any()


def test_a_window_is_extended_only_when_it_runs_out():
    view = cars(1, departure_s=math.inf)
    short, longer = planned(view, dispatch_kw=ask(7, end_h=0.5)), planned(view, dispatch_kw=ask(7, end_h=3))
    assert not changed(short, longer, NOW_S, SETTINGS).any()
    assert changed(short, longer, NOW_S + 0.45 * HOUR, SETTINGS).all()


def test_a_window_that_became_too_long_is_told():
    view = cars(1)
    long = planned(view, dispatch_kw=ask(0, end_h=6))
    short = planned(dataclasses.replace(view, departure_s=np.array([NOW_S + 5 * HOUR])), dispatch_kw=ask(0, end_h=6))
    assert changed(long, short, NOW_S, SETTINGS).all()


def test_a_desire_that_ended_is_told_again():
    first = planned(cars(1), dispatch_kw=ask(7, end_h=1))
    again = plan(cars(1), asked(dispatch_kw=ask(7, end_h=3)), NOW_S + 2 * HOUR)
    assert changed(first, again, NOW_S + 2 * HOUR, SETTINGS).all()


def test_a_car_new_to_the_plan_is_told():
    first = planned(cars(1), dispatch_kw=ask(0))
    assert changed(first, planned(cars(2), dispatch_kw=ask(0)), NOW_S, SETTINGS).tolist() == [False, True]


def test_an_explicit_ruling_overrides_the_default_order():
    made = planned(cars(10), alert=ask(3), simple=ask(1), ruling=RulingDimension.SIMPLE)
    assert made.planned_kw == 49.0


def test_a_car_that_charges_and_tells_its_target_is_not_stopped_short_for_a_price():
    given = {
        "target_pct": 80.0,
        "charge_state": int(Charge.CHARGING),
        "power_kw": 7.0,
        "departure_s": NOW_S + 14 * HOUR,
    }
    made = plan(cars(2, soc_pct=[80.0, 70.0], **given), asked(price=hourly(*[4] * 8, *[1] * 6, *[3] * 8)), NOW_S)
    assert made.kind.tolist() != [DesireKind.CURTAIL] * 2
    assert made.kind[1] == DesireKind.CURTAIL


def test_a_price_that_is_always_the_same_holds_nobody():
    made = planned(joined(cars(5), cars(5, **IDLE)), price=hourly(*[3] * 60))
    assert set(kinds(made)) == {"CHARGE"}


def test_a_night_is_followed_to_its_end_when_the_price_becomes_the_same_for_all_that_is_left():
    view = cars(60, **IDLE)
    night = planned(view, price=hourly(*[5] * 7, *[1] * 20)).night
    flat = asked(price=hourly(*[1] * 20))
    made = plan(view, flat, NOW_S + 2 * HOUR, earlier=EarlierCycles(night))
    assert (made.kind == DesireKind.CURTAIL).sum() > 20
    recovering = dataclasses.replace(flat, recovery_from_s=NOW_S - 4 * HOUR)
    made_then = plan(view, recovering, NOW_S + 2 * HOUR, earlier=EarlierCycles(night))
    assert (made_then.kind == DesireKind.CURTAIL).sum() > 20
    assert set(kinds(plan(view, flat, NOW_S + 2 * HOUR))) == {"CHARGE"}
    assert made.night.until_s == night.until_s
