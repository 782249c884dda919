"""When cars are at home is learned by hour of the week, leans on other days at first, and outlives a restart."""

import numpy as np
import pytest

from ven_adapters.ven.fleet.home_hours import DAY_HOURS, HomeHours
from vtn.clock import HOUR_S

MONDAY_S = 4 * 86400.0  # 5 January 1970, 00:00 UTC
DAY_S = 86400.0
ROW = np.array([0])


def learned(at_home, weeks=6):
    """A car of which it was seen for weeks at which (day, hour) it is at home."""
    made = HomeHours()
    made.grow(2)
    for number in range(weeks * 7 * DAY_HOURS):
        at_s = MONDAY_S + number * HOUR_S
        home = at_home(number // DAY_HOURS % 7, number % DAY_HOURS, number // (7 * DAY_HOURS))
        made.note(ROW, np.array([home]), at_s)
    return made


def likely(made, day, hour, hours=1.0):
    start_s = MONDAY_S + 70 * 7 * DAY_S + day * DAY_S + hour * HOUR_S
    return float(made.likely(ROW, start_s, start_s + hours * HOUR_S)[0])


def test_a_car_that_is_home_at_night_is_expected_at_night_and_not_by_day():
    made = learned(lambda _day, hour, _week: hour < 6 or hour >= 19)
    assert likely(made, 2, 21) > 0.99
    assert likely(made, 2, 12) < 0.01


def test_a_weekday_on_which_it_is_away_is_its_own():
    made = learned(lambda day, hour, _week: hour >= 19 and day != 2)
    assert likely(made, 2, 20) < 0.25
    assert likely(made, 3, 20) > 0.9


def test_working_days_lean_on_working_days_where_the_cars_live():
    """Home at six on working days and at two on weekends, eight hours behind UTC: Friday evening is UTC's Saturday."""

    def at_home(day, hour, _week):
        local = day * DAY_HOURS + hour - 8
        return local % DAY_HOURS >= (14 if local // DAY_HOURS % 7 >= 5 else 18)

    made = learned(at_home, weeks=1)
    start_s = MONDAY_S + 70 * 7 * DAY_S

    def local(day, hour):
        at_s = start_s + (day * DAY_HOURS + hour + 8) * HOUR_S
        return float(made.likely(ROW, at_s, at_s + 1.0, -8 * HOUR_S)[0])

    assert local(4, 16) == 0.0
    assert local(4, 19) == 1.0
    assert local(5, 15) == 1.0
    assert likely(made, 5, 0) > 0.0  # without knowing where, Friday afternoon leans on the weekend


def test_over_an_event_the_least_hour_counts():
    made = learned(lambda _day, hour, _week: hour >= 19)
    assert likely(made, 1, 18, 3.0) < 0.01
    assert likely(made, 1, 19, 3.0) > 0.99


def test_one_evening_says_something_of_the_others_and_a_car_never_seen_is_not_counted():
    made = HomeHours()
    made.grow(2)
    assert likely(made, 0, 20) == 0
    made.note(ROW, np.array([True]), MONDAY_S + 20 * HOUR_S)
    assert likely(made, 4, 20) == 1.0
    made.note(ROW, np.array([False]), MONDAY_S + DAY_S + 20 * HOUR_S)
    assert likely(made, 4, 20) == pytest.approx(0.5)
    assert likely(made, 4, 3) == 0


def test_habits_that_change_are_followed_within_half_a_year():
    made = learned(lambda _day, hour, week: hour >= 19 and week < 60, weeks=90)
    assert likely(made, 1, 20) < 0.25


def test_the_level_that_cars_come_with_follows_their_last_arrivals():
    made = HomeHours()
    made.grow(2)
    assert np.isnan(made.level_pct(ROW)[0])
    for soc_pct in (40.0, np.nan, 40.0, 60.0):
        made.arrived(ROW, np.array([soc_pct]))
    assert made.level_pct(ROW)[0] == pytest.approx(44.0)


def test_what_was_learned_outlives_a_restart():
    made = learned(lambda day, hour, _week: hour >= 19 and day != 2)
    made.arrived(ROW, np.array([47.0]))
    again = HomeHours()
    again.grow(2)
    again.restore(0, made.plain(0))
    assert likely(again, 3, 20) == likely(made, 3, 20)
    assert again.level_pct(ROW)[0] == 47.0
    assert made.plain(1) == {}


def test_who_comes_home_at_seven_is_expected_in_that_hour_and_in_no_other():
    made = learned(lambda _day, hour, _week: hour < 6 or hour >= 19)
    noon_s = MONDAY_S + 70 * 7 * DAY_S + 2 * DAY_S + 12 * HOUR_S
    chance = made.arrivals(ROW, noon_s, 18)[0]
    assert chance[6] > 0.98
    assert np.delete(chance, 6).max() < 0.01


def test_chances_of_all_hours_add_up_to_no_more_than_one_and_fall_with_who_should_have_come():
    made = learned(lambda _day, hour, week: hour >= 19 if week % 2 else hour >= 21)
    evening_s = MONDAY_S + 70 * 7 * DAY_S + 2 * DAY_S
    before, between = (made.arrivals(ROW, evening_s + hour * HOUR_S, 12)[0] for hour in (17.0, 20.5))
    assert before.sum() <= 1.0 + 1e-9
    assert before[[1, 3]] == pytest.approx([0.5, 0.5], abs=0.1)
    assert between[0] == pytest.approx(between.sum(), abs=0.01)
    assert made.arrivals(ROW, evening_s + 22 * HOUR_S, 6).sum() == pytest.approx(0.0, abs=0.01)


def test_of_a_car_that_was_never_seen_no_arrival_is_expected():
    made = learned(lambda _day, hour, _week: hour >= 19)
    assert made.arrivals(np.array([1]), MONDAY_S, 18).sum() == 0.0
