"""The coming day before anyone asks: what will be drawn, what of it could wait, what could be fed back."""

import dataclasses

import numpy as np
import pytest
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly, joined

from ven_adapters.ven.planning.flexibility.forecast import outlook

NEED_KWH = 60 * 0.3 / 0.9


def ahead(view, start_h=0.0, end_h=6.0, **requests):
    return outlook(view, asked(**requests), NOW_S, SETTINGS).ahead(NOW_S + start_h * HOUR, NOW_S + end_h * HOUR)


def test_cars_left_alone_charge_at_once_until_they_have_what_they_need():
    assert ahead(cars(3)).usage_kwh == pytest.approx(3 * NEED_KWH, rel=0.02)
    assert ahead(cars(3), 0.0, 1.0).usage_kwh == pytest.approx(21, rel=0.06)
    assert ahead(cars(3), 4.0, 6.0).usage_kwh == 0


def test_a_price_moves_the_load_to_its_hour():
    view, price = cars(20), hourly(*[5] * 10, *[1] * 6, *[5] * 4)
    assert ahead(view, 0.0, 4.0, price=price).usage_kwh == 0
    assert ahead(view, 4.0, 12.0, price=price).usage_kwh == pytest.approx(20 * NEED_KWH, rel=0.02)


def test_a_known_event_keeps_its_share_of_the_load_away():
    assert ahead(cars(5), 0.0, 2.0, restriction=hourly(*[0] * 6, *[1] * 2)).usage_kwh == 0
    assert ahead(cars(5), 2.0, 8.0, restriction=hourly(*[0] * 6, *[1] * 2)).usage_kwh > 0


def test_an_import_cap_bounds_the_forecast():
    assert ahead(cars(5), 0.0, 1.0, import_cap_kw=ask(14)).usage_kwh <= 14 * 1.1


def test_load_that_can_wait_can_be_shed_and_load_that_cannot_is_none():
    patient, late = cars(2), cars(2, departure_s=NOW_S + 3 * HOUR)
    assert ahead(patient, 0.0, 1.0).shed_kw == pytest.approx(14, rel=0.06)
    assert ahead(late, 0.0, 1.0).shed_kw == 0
    assert ahead(cars(2, opted_out=True), 0.0, 1.0).shed_kw == 0


def test_a_window_so_long_that_nobody_could_wait_it_out_sheds_only_what_fits_after_it():
    view = cars(1, departure_s=NOW_S + 6 * HOUR)
    assert ahead(view, 0.0, 5.0).shed_kw == pytest.approx(7 * 0.5 / 5, abs=0.4)


V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}


def test_permitted_batteries_could_give_what_they_can_hold_for_the_window():
    view = joined(cars(2, **V2G), cars(2, **IDLE))
    found = ahead(view, 0.0, 4.0)
    stored_kwh = 2 * 60 * 0.49 * 0.92  # a level told in whole percent may have been rounded up
    assert found.generation_kw == pytest.approx(min(14.0, stored_kwh / 4))
    assert found.stored_kwh == pytest.approx(stored_kwh)
    assert ahead(dataclasses.replace(view, discharge_consent=np.zeros(4, bool))).generation_kw == 0


def test_a_window_that_is_over_or_beyond_a_day_has_no_forecast():
    assert ahead(cars(1), -2.0, -1.0) is None
    assert ahead(cars(1), 20.0, 25.0) is None


def test_cars_that_told_nothing_spoil_no_forecast():
    view = cars(4, soc_pct=[np.nan, 50, 50, 50], usable_kwh=[60, np.nan, 60, 60], departure_s=np.inf)
    found = ahead(view)
    assert np.isfinite([found.usage_kwh, found.shed_kw, found.generation_kw, found.stored_kwh]).all()
    assert found.usage_kwh == pytest.approx(2 * NEED_KWH + 2 * 7, rel=0.02)
