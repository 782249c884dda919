"""What can be held over a whole event nine times in ten, and what of it rests on cars that are still to come."""

import numpy as np
import pytest
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly, joined

from ven_adapters.ven.planning.flexibility import nomination as nominations
from ven_adapters.ven.planning.flexibility.feasible_band import NO_CYCLES
from ven_adapters.ven.planning.flexibility.nomination import EventSpan, HomeForecast, nominate
from ven_adapters.ven.planning.guardrails import GUARDS
from ven_adapters.ven.planning.targets import plan_inputs_of

V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "departure_s": NOW_S + 40 * HOUR, "event_budget_kwh": 100.0}
AWAY = {"plugged": 0, "at_home": 0, "charge_state": 9, "power_kw": 0.0}
STORED_KWH = 60 * 0.49 * 0.92


def nominated(view, start_h=1.0, hours=2.0, **more):
    """An event of one interval."""
    return intervals(view, [(start_h, start_h + hours, True)], **more)[0]


def intervals(view, spans, *, now=0.0, event=0.0, level_pct=np.nan, follows=1.0, seed=1, comes_h=None, **requests):
    """Cars are at home with chance `now` until the event begins, or `comes_h`, and with chance `event` from then on."""
    count, start_h = len(view), spans[0][0]
    at_s = NOW_S + np.arange(np.floor(start_h) - 12, np.ceil(spans[-1][1]) + 1) * HOUR
    changes_h = start_h if comes_h is None else comes_h
    chance = np.where(at_s[None, :] - NOW_S >= changes_h * HOUR - 1, event, now) * np.ones((count, 1))
    home = HomeForecast(at_s, chance, np.broadcast_to(np.asarray(level_pct, float), count))
    inputs = plan_inputs_of(view, asked(**requests), NOW_S, SETTINGS, GUARDS, NO_CYCLES)
    events = [EventSpan(NOW_S + first * HOUR, NOW_S + last * HOUR, feeds) for first, last, feeds in spans]
    return nominate(inputs, events, home, follows, np.random.default_rng(seed))


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


def test_cars_that_come_during_an_event_draw_unmanaged_from_then_on_for_as_long_as_they_need():
    """All of ten cars come in the hour before `now + 20 h`; each then needs 18 kWh at 7 kW, which takes 2.9 hours."""
    spans = [(hour, hour + 1.0, False) for hour in range(17, 25)]
    found = intervals(cars(10, **AWAY), spans, event=1.0, level_pct=50.0, comes_h=20.0)
    drawn_kw = [one.unmanaged_kw for one in found]
    assert drawn_kw[:2] == [0.0, 0.0]
    assert drawn_kw[3] == pytest.approx(70.0, abs=1.0)
    assert drawn_kw[4] == pytest.approx(70.0, abs=1.0)
    assert drawn_kw[7] == 0.0
    assert sum(drawn_kw) == pytest.approx(10 * 60 * 0.3 / 0.9, rel=0.05)
    assert all(one.shed_kw <= one.unmanaged_kw + 0.01 for one in found)
    assert found[3].shed_kw == pytest.approx(70.0, abs=1.0)


def test_who_comes_and_cannot_be_stopped_is_in_the_unmanaged_load_and_not_kept_away():
    spans = [(21.0, 22.0, False)]
    found = intervals(cars(10, **AWAY | {"can_stop": False}), spans, event=1.0, level_pct=50.0, comes_h=20.0)[0]
    assert (found.shed_kw, found.unmanaged_kw) == (0.0, pytest.approx(70.0, abs=1.0))


def test_what_is_kept_away_is_against_charging_at_once_whatever_the_tariff_says():
    dear_now = {"price": hourly(*[0.6] * 10, *[0.2] * 10)}
    assert nominated(cars(10), start_h=0.5, hours=1.5, **dear_now).shed_kw == pytest.approx(70)
    waited = cars(10, charge_state=2, power_kw=0.0, plugged_since_s=NOW_S - 2 * HOUR)
    first, second = intervals(waited, [(0.25, 0.75, True), (1.0, 2.0, True)], **dear_now)
    assert first.unmanaged_kw == pytest.approx(70, abs=1)
    assert second.unmanaged_kw == pytest.approx(0, abs=1)


def test_power_is_fed_in_the_intervals_that_ask_for_it_and_lasts_for_those():
    found = intervals(cars(5, **V2G), [(1.0, 2.0, False), (2.0, 4.0, True), (4.0, 5.0, False)])
    assert [one.feed_kw for one in found] == [0.0, pytest.approx(5 * min(7, STORED_KWH / 2), rel=0.01), 0.0]


def test_an_hour_counts_as_its_weakest_of_an_interval_that_is_longer():
    need_h = 60 * 0.3 / 0.9 / 7
    whole, by_hour = intervals(cars(10), [(0.0, need_h + 2, True)]), intervals(cars(10), [(0.0, 1.0, True)])
    assert (whole[0].shed_kw, by_hour[0].shed_kw) == (0.0, pytest.approx(70))
