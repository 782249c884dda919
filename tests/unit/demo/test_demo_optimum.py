"""The least bill and the least peak of small nights are those that one finds by hand."""

import dataclasses

import numpy as np
import pytest
from night_cases import managed, night, series

from ven_adapters.demo.bill import ZoneBill, bill_over_optimum_pct, night_terms, unavoidable_pct
from ven_adapters.demo.night_cars import (
    NightCars,
    classes_of,
    night_cars,
    plugged_shares,
    quarter_prices,
    steerable,
    together,
    unmet_kwh,
)
from ven_adapters.demo.optimum import NightTerms, NoOptimum, cheapest_night, flattest_night
from ven_adapters.demo.scenario import EV2A_USD_PER_KWH, STARTS
from ven_adapters.simulator.cars.car_models import CONTROL_NAMES
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings

CLOSE = 1e-3
DEAR, CHEAP = 0.6, 0.3
EIGHT_HOURS = 32
NAN = np.nan


def cars(count=1, **more):
    """Cars of 8 kW, plugged in for eight hours, that need 8 kWh each: no taper, no circuit, no way back."""
    columns = {
        "zone": np.zeros(count, np.int64),
        "plugged": np.ones((count, EIGHT_HOURS)),
        "need_kwh": np.full(count, 8.0),
        "charge_kw": np.full(count, 8.0),
        "taper_kwh": np.zeros(count),
        "taper_end": np.full(count, 0.5),
        "full_kwh": np.zeros(count),
        "discharge_kw": np.zeros(count),
        "spare_kwh": np.zeros(count),
        "round_trip": np.full(count, 0.8),
        "budget_kwh": np.full(count, 12.0),
        "circuit_kw": np.full(count, np.inf),
        "partner": np.full(count, -1),
        "unmanaged_kw": np.zeros((count, EIGHT_HOURS)),
        "steerable": np.ones(count, bool),
    }
    return NightCars(**columns | {name: np.asarray(value) for name, value in more.items()})


def terms(setpoint=NAN, cap=NAN, zones=1):
    """Two dear hours and six cheap ones; a set-point in the dear ones, a cap in the cheap ones."""
    dear = np.arange(EIGHT_HOURS) < 8
    shape = (zones, 1)
    return NightTerms(
        np.where(dear, DEAR, CHEAP),
        np.full(EIGHT_HOURS, 0.1),
        np.tile(np.where(dear, setpoint, NAN), shape),
        np.tile(np.where(dear, NAN, cap), shape),
    )


def plugged(first, last):
    """One car that is there from quarter `first` to before quarter `last`."""
    return ((np.arange(EIGHT_HOURS) >= first) & (np.arange(EIGHT_HOURS) < last))[None, :].astype(float)


def test_a_car_with_time_is_charged_in_the_cheap_hours():
    assert cheapest_night(cars(), terms()).bill_usd == pytest.approx(8 * CHEAP, abs=CLOSE)


def test_a_car_that_leaves_early_pays_for_what_the_cheap_hours_have_no_room_for():
    leaves = cars(plugged=plugged(0, 10))  # half an hour of them: 4 kWh
    assert cheapest_night(leaves, terms()).bill_usd == pytest.approx(4 * CHEAP + 4 * DEAR, abs=CLOSE)


def test_half_a_quarter_at_the_plug_is_half_a_quarter_of_charging():
    share = plugged(0, 9)
    share[0, 8] = 0.5  # 1 kWh
    assert cheapest_night(cars(plugged=share), terms()).bill_usd == pytest.approx(CHEAP + 7 * DEAR, abs=CLOSE)


def test_a_set_point_is_held_from_both_sides_whatever_it_costs():
    found = cheapest_night(cars(), terms(setpoint=3.0))
    assert found.bill_usd == pytest.approx(6 * DEAR + 2 * CHEAP, abs=CLOSE)
    assert found.load_kw[0, :8] == pytest.approx(np.full(8, 3.0), abs=CLOSE)
    assert found.missed_kwh == pytest.approx(0.0, abs=CLOSE)


def test_a_set_point_that_no_car_can_hold_is_missed_by_as_little_as_possible():
    found = cheapest_night(cars(), terms(setpoint=10.0))
    assert found.missed_kwh == pytest.approx(20.0 - 8.0, abs=CLOSE)


def test_of_a_set_point_and_a_departure_the_departure_is_kept():
    found = cheapest_night(cars(plugged=plugged(0, 4)), terms(setpoint=0.0))
    assert found.unmet_kwh == pytest.approx(0.0, abs=CLOSE)
    assert found.missed_kwh == pytest.approx(8.0, abs=CLOSE)


def test_the_last_part_of_a_taper_takes_its_time():
    """The last 4 of 8 kWh are drawn with 4 kW and what is left in kWh: 28/9 kWh fit into two cheap quarters, not 4."""
    tapers = cars(plugged=plugged(4, 10), taper_kwh=[4.0])
    found = cheapest_night(tapers, terms())
    assert found.load_kw[0, 8:10] == pytest.approx([64 / 9, 48 / 9], abs=CLOSE)
    assert found.bill_usd == pytest.approx(28 / 9 * CHEAP + 44 / 9 * DEAR, abs=CLOSE)


def test_power_near_full_is_bounded_by_the_line_of_the_taper():
    """Left: 4 kWh of taper when the cheap quarter begins. 8 kW at its beginning, 2 kWh drawn, 6 kW in the next, 1.5."""
    tapers = cars(need_kwh=[4.0], plugged=plugged(8, 10), taper_kwh=[4.0])
    found = cheapest_night(tapers, terms())
    assert found.load_kw[0, 8:10] == pytest.approx([8.0, 6.0], abs=CLOSE)
    assert found.unmet_kwh == pytest.approx(0.5, abs=CLOSE)


def test_two_cars_on_one_circuit_share_it():
    pair = cars(2, plugged=np.repeat(plugged(0, 12), 2, axis=0), circuit_kw=[8.0, 8.0], partner=[1, 0])
    assert cheapest_night(pair, terms()).bill_usd == pytest.approx(8 * CHEAP + 8 * DEAR, abs=CLOSE)
    apart = dataclasses.replace(pair, partner=np.full(2, -1))
    assert cheapest_night(apart, terms()).bill_usd == pytest.approx(16 * CHEAP, abs=CLOSE)


def test_what_is_fed_back_is_bought_again_with_its_losses():
    gives = cars(need_kwh=[0.0], discharge_kw=[5.0], spare_kwh=[20.0])
    found = cheapest_night(gives, terms(setpoint=-2.0))  # 4 kWh given, 5 bought at night
    assert found.bill_usd == pytest.approx(5 * CHEAP - 4 * 0.1, abs=CLOSE)
    assert found.missed_kwh == pytest.approx(0.0, abs=CLOSE)


@pytest.mark.parametrize(("bound", "missed_kwh"), [({"spare_kwh": [2.5]}, 2.0), ({"budget_kwh": [1.0]}, 3.0)])
def test_a_battery_gives_no_more_than_its_reserve_and_its_budget_allow(bound, missed_kwh):
    gives = cars(**({"need_kwh": [0.0], "discharge_kw": [5.0], "spare_kwh": [20.0]} | bound))
    assert cheapest_night(gives, terms(setpoint=-2.0)).missed_kwh == pytest.approx(missed_kwh, abs=CLOSE)


def test_every_zone_holds_its_own_set_point():
    two = cars(2, zone=[0, 1])
    asked = terms(zones=2)
    asked.setpoint_kw[0, :8], asked.setpoint_kw[1, :8] = 4.0, 0.0
    found = cheapest_night(two, asked)
    assert found.load_kw[:, :8] == pytest.approx(np.array([np.full(8, 4.0), np.zeros(8)]), abs=CLOSE)


def test_the_least_peak_fills_the_cheap_hours_evenly():
    after = np.arange(EIGHT_HOURS) >= 8
    found = flattest_night(cars(3), terms(), after, ramp_kw=100.0)
    assert (found.peak_kw, found.bill_usd) == (pytest.approx(4.0, abs=0.01), pytest.approx(24 * CHEAP, rel=1e-3))


def test_the_least_peak_keeps_to_the_cheapest_bill():
    """The dear hours stay empty although a load in them would make the night flatter."""
    found = flattest_night(cars(3), terms(), np.ones(EIGHT_HOURS, bool), ramp_kw=100.0)
    assert found.load_kw[0, :8] == pytest.approx(np.zeros(8), abs=0.01)


def test_a_ramp_rounds_the_corners_and_so_raises_the_peak():
    """24 quarters that rise and fall by 0.25 kW: 0.25 to 3, then 3 to 0.25, is 39 kW quarters, 9.75 kWh at the most."""
    after = np.arange(EIGHT_HOURS) >= 8
    rises = plugged(8, 32)
    free = flattest_night(cars(1, plugged=rises, need_kwh=[6.0]), terms(), after, ramp_kw=100.0)
    bounded = flattest_night(cars(1, plugged=rises, need_kwh=[6.0]), terms(), after, ramp_kw=0.25)
    assert free.peak_kw == pytest.approx(1.0, abs=0.01)
    assert bounded.peak_kw > 1.02
    assert np.abs(np.diff(bounded.load_kw[0, 7:])).max() < 0.25 + CLOSE


def test_the_end_of_an_event_is_part_of_the_ramp():
    after = np.arange(EIGHT_HOURS) >= 8
    found = flattest_night(cars(3), terms(setpoint=8.0), after, ramp_kw=1.0)
    assert found.load_kw[0, 8] > 7.0 - CLOSE


def test_a_programme_that_cannot_be_solved_says_so():
    with pytest.raises(NoOptimum, match="no optimum"):
        cheapest_night(cars(need_kwh=[np.nan]), terms())


def test_classes_of_cars_bound_what_the_cars_can_do():
    early, late = plugged(0, 20), plugged(6, 32)
    some = cars(4, plugged=np.concatenate([early, early, late, late]), need_kwh=[8.0, 7.0, 8.0, 20.0])
    few = classes_of(some)
    assert few.need_kwh.sum() == some.need_kwh.sum()
    assert few.zone.size == 3  # the last car needs more hours than the one beside it
    after = np.arange(EIGHT_HOURS) >= 8
    apart, summed = (flattest_night(one, terms(), after, 100.0).peak_kw for one in (some, few))
    assert summed <= apart + CLOSE


def test_zones_of_several_automakers_are_numbered_through_and_keep_their_pairs():
    first, second = cars(2, zone=[0, 0]), cars(2, zone=[0, 1], partner=[1, 0])
    both = together([first, second], [2, 2])
    assert both.zone.tolist() == [0, 0, 2, 3]
    assert both.partner.tolist() == [-1, -1, 3, 2]


def test_a_car_whose_partner_is_in_another_zone_has_its_circuit_for_itself():
    assert cars(3, zone=[0, 1, 0], partner=[2, -1, 0]).of(0).partner.tolist() == [1, 0]
    assert cars(2, zone=[0, 1], partner=[1, 0]).of(1).partner.tolist() == [-1]


def test_turns_of_cables_are_shares_of_quarters():
    turns = np.array([(0, 450.0, 1), (0, 1_350.0, 0), (0, 1_800.0, 1), (1, -900.0, 1), (1, 300.0, 0)])
    assert plugged_shares(turns, 3, 0.0, 4).tolist() == [[0.5, 0.5, 1.0, 1.0], [pytest.approx(1 / 3), 0, 0, 0], [0] * 4]


def test_prices_follow_the_hours_of_the_day():
    prices = quarter_prices(STARTS, EV2A_USD_PER_KWH, 84)
    assert prices[[0, 3, 4, 23, 24, 36, 83]].tolist() == [0.51, 0.51, 0.62, 0.62, 0.51, 0.31, 0.31]


def test_a_missed_event_lowers_no_bill():
    """Where less was drawn than asked the optimum may, too; where more was drawn it keeps to what was asked."""
    zones, _ = night({"bay": managed(changed={18: 10.0, 20: 90.0})})
    points = night_terms(zones).setpoint_kw[0]
    assert points[[12, 16, 20]].tolist() == [10.0, 40.0, 40.0]
    assert np.isnan(points[11])
    assert np.isnan(points[24])


def test_a_bill_is_so_many_percent_over_the_least_of_the_same_zones():
    bills = [ZoneBill("bmw", "bay", 103.0, 100.0, 101.0, 0.0), ZoneBill("bmw", "la", 51.0, 50.0, 50.5, 0.0)]
    assert bill_over_optimum_pct(bills) == pytest.approx(100.0 * 4 / 150)
    assert unavoidable_pct(bills) == pytest.approx(1.0)
    assert bill_over_optimum_pct([]) is None


@pytest.fixture(scope="module")
def fleet():
    told = {"charge_efficiency": 0.8, "taper_from": 1.0, "power_share": 0.5}
    settings = SimulatorSettings("ford", 40, 3, STARTS, "t", nights=1, faults=NO_FAULTS, truth=told)
    return plan_fleet(settings)


def arrays(fleet, **more):
    """Each car plugged in for the first two hours, 2 kWh drawn unmanaged, the target reached."""
    count = len(fleet.refs)
    starts_s = (STARTS - fleet.midnight).total_seconds()
    turns = [(car, starts_s + at_s, inside) for car in range(count) for at_s, inside in ((0.0, 1.0), (7_200.0, 0.0))]
    return {
        "bin_start_s": np.array([starts_s]),
        "plugs": np.array(turns),
        "car_asked_wh": np.full(count, 2_000.0),
        "departure_car": np.arange(float(count)),
        "departure_asked_soc_pct": fleet.target_pct,
        "departure_soc_pct": fleet.target_pct,
    } | more


def test_true_cars_have_their_true_power_and_what_they_drew_unmanaged(fleet):
    found = night_cars(fleet, arrays(fleet), 84)
    assert found.need_kwh.tolist() == [2.0] * 40
    assert found.charge_kw == pytest.approx(fleet.max_charge_w / 2_000.0)
    assert found.plugged.sum(axis=1) == pytest.approx(np.full(40, 8.0))


def test_cars_that_cannot_be_steered_charge_at_once_and_as_much_as_they_did(fleet):
    found = night_cars(fleet, arrays(fleet), 84)
    assert found.unmanaged_kw.sum(axis=1) / 4.0 == pytest.approx(found.need_kwh)
    assert (found.unmanaged_kw[:, 0] > 0.0).all()
    assert (found.unmanaged_kw[:, 8:] == 0.0).all()


def test_the_least_bill_of_cars_that_cannot_be_steered_is_what_they_paid():
    at_once = np.zeros((2, EIGHT_HOURS))
    at_once[:, :4] = 8.0
    some = cars(2, unmanaged_kw=at_once, steerable=[True, False])
    assert cheapest_night(some, terms()).bill_usd == pytest.approx(16 * CHEAP, abs=CLOSE)
    assert cheapest_night(some.steered_as_they_can_be(), terms()).bill_usd == pytest.approx(
        8 * CHEAP + 8 * DEAR, abs=CLOSE
    )


def test_cars_of_drivers_who_opted_out_and_that_only_start_cannot_be_steered():
    nissan = plan_fleet(SimulatorSettings("nissan", 400, 3, STARTS, "t", nights=1))
    free = steerable(nissan)
    assert not free[nissan.opted_out].any()
    assert not free[nissan.control == CONTROL_NAMES.index("start_only")].any()
    assert free[(nissan.control == CONTROL_NAMES.index("charger")) & ~nissan.opted_out].all()


def test_cars_that_were_never_at_their_plug_are_left_out(fleet):
    there = arrays(fleet)
    assert night_cars(fleet, there | {"plugs": there["plugs"][:20]}, 84).zone.size == 10


def test_what_a_car_lacked_is_counted_at_the_charging_point_in_its_zone(fleet):
    short = fleet.target_pct.copy()
    short[0] -= 10.0
    lacked = unmet_kwh(fleet, arrays(fleet, departure_soc_pct=short))
    assert lacked[fleet.zone[0]] == pytest.approx(0.1 * fleet.usable_wh[0] / 0.8 / 1_000.0)
    assert lacked.sum() == lacked[fleet.zone[0]]


def test_the_unmanaged_load_of_the_cases_is_what_it_says():
    assert series({18: 1.0}).sum() == 12.0 + 20.0 * 240
