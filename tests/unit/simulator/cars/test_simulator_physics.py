import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.simulator.cars import physics
from ven_adapters.simulator.cars.physics import Packs, PackState, PowerOrders

USABLE = st.floats(20_000, 140_000)
SHARE = st.floats(0.0, 1.0)
LIMIT = st.one_of(st.just(np.inf), st.floats(-12_000, 20_000))


def one(*values):
    return np.array(values, float)


def packs_of(usable_wh=50_000.0, charge_w=10_000.0, least_w=1_440.0, discharge_w=0.0, cars=1, **truths):
    """Cars all alike, of efficiency 0.9 and 0.94, a taper from 80 % to a fifth, on circuits of their own."""
    alike = {
        "usable_wh": usable_wh,
        "max_charge_w": charge_w,
        "min_charge_w": least_w,
        "max_discharge_w": discharge_w,
        "charge_efficiency": 0.9,
        "discharge_efficiency": 0.94,
        "taper_from": 0.8,
        "taper_end": 0.2,
        "cold_power": 1.0,
        "cold_efficiency": 1.0,
        "warms_wh": 1_000.0,
        "circuit_w": np.inf,
        "partner": -1,
        **truths,
    }
    columns = {name: np.broadcast_to(np.asarray(value, float), (cars,)).copy() for name, value in alike.items()}
    columns["partner"] = columns["partner"].astype(int)
    return Packs(**columns)


def state_of(*soc_wh, warm=0.0):
    return PackState(one(*soc_wh), np.full(len(soc_wh), warm))


def free(cars=1, limit_w=np.inf, ceiling_wh=50_000.0):
    return PowerOrders(np.ones(cars, bool), np.full(cars, limit_w), np.full(cars, ceiling_wh), np.zeros(cars))


@st.composite
def cars(draw):
    usable = draw(USABLE)
    packs = packs_of(
        usable,
        draw(st.floats(1_440, 19_200)),
        discharge_w=draw(st.floats(0, 10_000)),
        charge_efficiency=draw(st.floats(0.75, 0.95)),
        discharge_efficiency=draw(st.floats(0.85, 0.95)),
        taper_from=draw(st.floats(0.6, 1.0)),
        taper_end=draw(st.floats(0.05, 0.2)),
        cold_power=draw(st.floats(0.5, 1.0)),
        cold_efficiency=draw(st.floats(0.85, 1.0)),
        warms_wh=draw(st.floats(1_000, 6_000)),
    )
    orders = PowerOrders(
        np.array([draw(st.booleans())]), one(draw(LIMIT)), one(draw(SHARE) * usable), one(draw(SHARE) * usable)
    )
    return packs, state_of(draw(SHARE) * usable, warm=draw(SHARE)), orders


@given(cars(), st.floats(0, 900))
@settings(max_examples=200)
def test_energy_in_is_energy_out_less_the_cars_own_losses(car, dt_s):
    packs, state, orders = car
    after, grid_wh = physics.step(packs, state, orders, dt_s)
    cold = 1 - (1 - packs.cold_efficiency) * (1 - state.warm)
    into_wh = np.maximum(grid_wh, 0) * packs.charge_efficiency * cold
    out_of_wh = np.maximum(-grid_wh, 0) / packs.discharge_efficiency
    assert np.allclose(after.soc_wh - state.soc_wh, into_wh - out_of_wh, atol=1e-6)
    assert 0 <= after.warm <= 1


@given(cars(), st.floats(0, 90_000))
@settings(max_examples=200)
def test_no_step_passes_the_stop_level_the_level_kept_or_the_battery(car, dt_s):
    packs, state, orders = car
    after_wh = physics.step(packs, state, orders, dt_s)[0].soc_wh
    assert 0 <= after_wh <= packs.usable_wh
    assert after_wh <= max(orders.ceiling_wh, state.soc_wh) + 1e-6
    assert after_wh >= min(orders.floor_wh, state.soc_wh) - 1e-6


@given(cars())
@settings(max_examples=200)
def test_power_keeps_within_the_limit_and_the_cars_own_bounds(car):
    packs, state, orders = car
    power_w = physics.power_w(packs, state, orders)
    assert -packs.max_discharge_w <= power_w <= packs.max_charge_w
    assert power_w <= max(orders.limit_w, 0.0)
    if orders.limit_w < 0:
        assert power_w >= orders.limit_w
    if not orders.plugged:
        assert power_w == 0


def charging_w(share, limit_w=np.inf, **truths):
    return float(physics.power_w(packs_of(**truths), state_of(share * 50_000), free(limit_w=limit_w))[0])


@pytest.mark.parametrize(
    ("truths", "powers"),
    [
        ({}, [10_000, 10_000, 8_000, 6_000, 2_004]),
        ({"taper_from": 0.6, "taper_end": 0.05}, [10_000, 5_250, 4_062, 2_875, 502]),
        ({"taper_from": 1.0, "taper_end": 0.05}, [10_000] * 5),
    ],
)
def test_power_falls_in_a_line_from_where_the_cars_taper_begins_to_what_it_ends_at(truths, powers):
    assert [round(charging_w(share, **truths)) for share in (0.5, 0.8, 0.85, 0.9, 0.9999)] == powers


def test_a_limit_below_six_amperes_is_no_charging():
    assert (charging_w(0.5, 1_439), charging_w(0.5, 1_440)) == (0.0, 1_440.0)


def test_a_car_slower_than_its_limit_draws_what_it_takes():
    assert charging_w(0.5, 7_000, charge_w=5_000) == 5_000


def test_charging_at_once_fills_every_car_that_has_the_time():
    packs = packs_of(50_000, one(10_000, 1_440), one(1_440, 720), cars=2)
    plugged = np.ones((8 * 60, 2), bool)
    kw, levels = physics.immediate_charge(packs, state_of(10_000, 10_000), one(40_000, 40_000), plugged, 60.0)
    assert np.isclose(levels[-1, 0], 40_000)
    assert levels[-1, 1] < 40_000
    assert np.allclose(kw.sum(axis=0) / 60 * 1_000 * packs.charge_efficiency, levels[-1] - levels[0])


def test_charging_at_once_goes_at_each_cars_true_pace():
    packs = packs_of(charge_w=one(10_000, 5_000, 10_000), charge_efficiency=one(0.9, 0.9, 0.75), cars=3)
    _, levels = physics.immediate_charge(packs, state_of(5_000, 5_000, 5_000), one(*[40_000] * 3), np.ones((60, 3)), 60)
    assert np.allclose(levels[-1] - 5_000, [9_000, 4_500, 7_500])


def test_a_cold_battery_takes_less_and_loses_more_until_charging_has_warmed_it():
    packs = packs_of(cold_power=0.5, cold_efficiency=0.8, warms_wh=2_000)
    state, orders = state_of(5_000), free()
    powers, gained = [], []
    for _ in range(90):
        powers.append(float(physics.power_w(packs, state, orders)[0]))
        after, grid_wh = physics.step(packs, state, orders, 60.0)
        gained.append(float((after.soc_wh - state.soc_wh)[0] / grid_wh[0]))
        state = after
    assert (powers[0], gained[0]) == (5_000, pytest.approx(0.9 * 0.8))
    assert powers == sorted(powers)
    assert (powers[-1], gained[-1]) == (pytest.approx(10_000, rel=0.02), pytest.approx(0.9, rel=0.02))


def test_a_warm_battery_that_waits_in_the_cold_cools():
    packs, waits = packs_of(cold_power=0.5), free(limit_w=0.0)
    state, _ = physics.step(packs, state_of(5_000, warm=1.0), waits, 8 * 3_600.0)
    assert state.warm[0] < 0.2
    assert physics.power_w(packs, state, free())[0] < 6_000


@pytest.mark.parametrize(
    ("limits_w", "plugged", "powers"),
    [
        ((np.inf, np.inf), (True, True), (5_000, 5_000)),
        ((np.inf, np.inf), (True, False), (10_000, 0)),
        ((np.inf, 2_000), (True, True), (8_000, 2_000)),
        ((np.inf, 0.0), (True, True), (10_000, 0)),
        ((np.inf, -3_000), (True, True), (10_000, -3_000)),
    ],
)
def test_two_cars_on_one_circuit_draw_no_more_than_it_gives(limits_w, plugged, powers):
    packs = packs_of(discharge_w=3_000, circuit_w=10_000, partner=one(1, 0), cars=2)
    orders = PowerOrders(np.array(plugged), one(*limits_w), one(50_000, 50_000), one(0, 0))
    assert physics.power_w(packs, state_of(25_000, 25_000), orders).tolist() == list(powers)


def test_a_selection_of_cars_keeps_circuits_whose_cars_are_both_in_it():
    packs = packs_of(partner=one(3, -1, -1, 0), circuit_w=one(7, np.inf, np.inf, 7), cars=4)
    assert packs.at(np.array([3, 1, 0])).partner.tolist() == [2, -1, 0]
    assert packs.at(np.array([0, 1])).partner.tolist() == [-1, -1]


@given(cars(), st.lists(st.floats(0, 30), min_size=1, max_size=4))
@settings(max_examples=50)
def test_a_battery_does_not_care_how_a_discharge_is_cut_into_steps(car, parts_s):
    packs, state, orders = car
    limit_w = -np.abs(np.minimum(orders.limit_w, 12_000)) - 1.0
    orders = dataclasses.replace(orders, limit_w=limit_w)
    whole, _ = physics.step(packs, state, orders, sum(parts_s))
    for part_s in parts_s:
        state, _ = physics.step(packs, state, orders, part_s)
    assert np.allclose(whole.soc_wh, state.soc_wh)
