import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.simulator.cars import physics
from ven_adapters.simulator.cars.physics import CHARGE_EFFICIENCY, DISCHARGE_EFFICIENCY, Packs, PowerOrders

USABLE = st.floats(20_000, 140_000)
SHARE = st.floats(0.0, 1.0)
LIMIT = st.one_of(st.just(np.inf), st.floats(-12_000, 20_000))


def one(*values):
    return np.array(values, float)


@st.composite
def cars(draw):
    usable = draw(USABLE)
    packs = Packs(one(usable), one(draw(st.floats(1_440, 19_200))), one(1_440), one(draw(st.floats(0, 10_000))))
    orders = PowerOrders(
        np.array([draw(st.booleans())]), one(draw(LIMIT)), one(draw(SHARE) * usable), one(draw(SHARE) * usable)
    )
    return packs, one(draw(SHARE) * usable), orders


@given(cars(), st.floats(0, 900))
@settings(max_examples=200)
def test_energy_in_is_energy_out_less_the_losses(car, dt_s):
    packs, soc_wh, orders = car
    after_wh, grid_wh = physics.step(packs, soc_wh, orders, dt_s)
    stored_wh = grid_wh * CHARGE_EFFICIENCY if grid_wh >= 0 else grid_wh / DISCHARGE_EFFICIENCY
    assert np.allclose(after_wh - soc_wh, stored_wh, atol=1e-6)


@given(cars(), st.floats(0, 90_000))
@settings(max_examples=200)
def test_no_step_passes_the_stop_level_the_reserve_or_the_battery(car, dt_s):
    packs, soc_wh, orders = car
    after_wh, _ = physics.step(packs, soc_wh, orders, dt_s)
    assert 0 <= after_wh <= packs.usable_wh
    assert after_wh <= max(orders.ceiling_wh, soc_wh) + 1e-6
    assert after_wh >= min(orders.floor_wh, soc_wh) - 1e-6


@given(cars())
@settings(max_examples=200)
def test_power_keeps_within_the_limit_and_the_cars_own_bounds(car):
    packs, soc_wh, orders = car
    power_w = physics.power_w(packs, soc_wh, orders)
    assert -packs.max_discharge_w <= power_w <= packs.max_charge_w
    assert power_w <= max(orders.limit_w, 0.0)
    if orders.limit_w < 0:
        assert power_w >= orders.limit_w
    if not orders.plugged:
        assert power_w == 0


def charging_w(share, limit_w=np.inf):
    packs = Packs(one(50_000), one(10_000), one(1_440), one(0))
    orders = PowerOrders(np.array([True]), one(limit_w), one(50_000), one(0))
    return float(physics.power_w(packs, one(share * 50_000), orders)[0])


def test_power_falls_in_a_line_from_80_percent_to_a_fifth():
    assert [round(charging_w(share)) for share in (0.5, 0.8, 0.85, 0.9, 0.9999)] == [
        10_000,
        10_000,
        8_000,
        6_000,
        2_004,
    ]


def test_a_limit_below_six_amperes_is_no_charging():
    assert (charging_w(0.5, 1_439), charging_w(0.5, 1_440)) == (0.0, 1_440.0)


def test_charging_at_once_fills_every_car_that_has_the_time():
    packs = Packs(one(50_000, 50_000), one(10_000, 1_440), one(1_440, 720), one(0, 0))
    plugged = np.ones((8 * 60, 2), bool)
    kw, levels = physics.immediate_charge(packs, one(10_000, 10_000), one(40_000, 40_000), plugged, 60.0)
    assert np.isclose(levels[-1, 0], 40_000)
    assert levels[-1, 1] < 40_000
    assert np.allclose(kw.sum(axis=0) / 60 * 1_000 * CHARGE_EFFICIENCY, levels[-1] - levels[0])


@given(cars(), st.lists(st.floats(0, 30), min_size=1, max_size=4))
@settings(max_examples=50)
def test_a_battery_does_not_care_how_a_discharge_is_cut_into_steps(car, parts_s):
    packs, soc_wh, orders = car
    orders = PowerOrders(
        orders.plugged, -np.abs(np.minimum(orders.limit_w, 12_000)) - 1.0, orders.ceiling_wh, orders.floor_wh
    )
    whole_wh, _ = physics.step(packs, soc_wh, orders, sum(parts_s))
    for part_s in parts_s:
        soc_wh, _ = physics.step(packs, soc_wh, orders, part_s)
    assert np.allclose(whole_wh, soc_wh)
