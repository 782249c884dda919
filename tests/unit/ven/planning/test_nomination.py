"""What can be held over a whole event nine times in ten, and what of it rests on cars that are still to come."""

import numpy as np
import pytest
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, joined

from ven_adapters.ven.planning import nomination as nominations
from ven_adapters.ven.planning.feasible_band import NO_CYCLES
from ven_adapters.ven.planning.guardrails import GUARDS
from ven_adapters.ven.planning.nomination import EventSpan, HomeForecast, nominate
from ven_adapters.ven.planning.targets import plan_inputs_of

V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}
AWAY = {"plugged": 0, "at_home": 0, "charge_state": 9, "power_kw": 0.0}
STORED_KWH = 60 * 0.49 * 0.92


def nominated(view, start_h=1.0, hours=2.0, *, now=0.0, event=0.0, level_pct=np.nan, follows=1.0, seed=1, **requests):
    count = len(view)
    home = HomeForecast(*(np.broadcast_to(np.asarray(one, float), count) for one in (now, event, level_pct)))
    span = EventSpan(NOW_S + start_h * HOUR, NOW_S + (start_h + hours) * HOUR)
    inputs = plan_inputs_of(view, asked(**requests), NOW_S, SETTINGS, GUARDS, NO_CYCLES)
    return nominate(inputs, span, home, follows, np.random.default_rng(seed))


def test_cars_that_are_there_and_stay_hold_what_their_energy_allows_for_the_whole_event():
    found = nominated(cars(5, **V2G), hours=8.0)
    assert found.feed_kw == pytest.approx(5 * STORED_KWH / 8, rel=0.01)
    assert nominated(cars(5, **V2G), hours=1.0).feed_kw == pytest.approx(35)
    assert found.cars == 5


def test_a_car_that_leaves_before_the_events_end_is_not_counted():
    assert nominated(cars(5, **V2G | {"departure_s": NOW_S + 2 * HOUR})).feed_kw == 0


def test_load_is_kept_away_only_as_long_as_cars_would_have_drawn_it():
    need_h = 60 * 0.3 / 0.9 / 7
    assert nominated(cars(10), start_h=0.5, hours=1.5).shed_kw == pytest.approx(70)
    assert nominated(cars(10), start_h=0.5, hours=need_h + 1).shed_kw == 0
    assert nominated(cars(10), start_h=need_h + 1).shed_kw == 0


def test_load_that_must_run_in_the_event_is_not_kept_away():
    assert nominated(cars(10, departure_s=NOW_S + 4.5 * HOUR), start_h=0.5, hours=1.5).shed_kw == 0


def test_the_event_itself_does_not_hide_the_load_that_it_would_keep_away():
    asked_for = {"simple": ask(3, start_h=0.0, end_h=3.0)}
    assert nominated(cars(10), start_h=0.0, hours=2.0, **asked_for).shed_kw == pytest.approx(70)


def test_of_cars_that_come_by_chance_the_tenth_percentile_counts_and_not_the_mean():
    view = cars(40, **V2G | AWAY)
    found = nominated(view, start_h=20.0, hours=1.0, event=0.5, level_pct=80.0)
    mean_kw, spread_kw = 40 * 0.5 * 7, 7 * np.sqrt(40 * 0.25)
    assert found.cars == pytest.approx(20)
    assert found.feed_kw == pytest.approx(mean_kw - 1.28 * spread_kw, abs=8)


def test_many_cars_are_judged_by_the_normal_sum_and_agree_with_the_draws(monkeypatch):
    view = cars(400, **V2G | AWAY)
    drawn = nominated(view, start_h=20.0, hours=1.0, event=0.5, level_pct=80.0)
    monkeypatch.setattr(nominations, "MOST_DRAWN", 10)
    summed = nominated(view, start_h=20.0, hours=1.0, event=0.5, level_pct=80.0)
    assert summed.feed_kw == pytest.approx(drawn.feed_kw, rel=0.02)


def test_a_car_of_which_nothing_is_known_is_not_counted():
    view = cars(10, **V2G | AWAY)
    assert nominated(view, start_h=20.0, event=0.0, level_pct=80.0).feed_kw == 0
    assert nominated(view, start_h=20.0, event=0.9).feed_kw == 0


def test_shortly_before_an_event_who_is_usually_home_by_now_and_is_not_is_not_expected():
    view = cars(10, **V2G | AWAY)
    usual = {"event": 0.9, "level_pct": 80.0}
    assert nominated(view, start_h=1.0, now=0.9, **usual).feed_kw == 0
    assert nominated(view, start_h=1.0, now=0.0, **usual).feed_kw > 40


def test_directives_that_cars_do_not_follow_are_not_promised():
    sure, unsure = nominated(cars(40, **V2G), hours=1.0), nominated(cars(40, **V2G), hours=1.0, follows=0.8)
    assert sure.feed_kw == pytest.approx(280)
    assert 150 < unsure.feed_kw < 0.8 * 280


def test_without_permits_nothing_is_fed_and_the_same_seed_gives_the_same():
    assert nominated(cars(10, **V2G | {"discharge_consent": False})).feed_kw == 0
    view = joined(cars(20, **V2G | AWAY), cars(5))
    first, again = (nominated(view, start_h=20.0, event=0.6, level_pct=70.0, seed=5) for _ in range(2))
    assert first == again
