"""Cars are read as often as they matter, never beyond their budget, and never while their pushes come."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.contract import WAKES_UP_TO_S, ReadingPrice
from ven_adapters.ven.fleet.columns import ALWAYS_S, NEVER_S, Charge, Tri
from ven_adapters.ven.fleet.read_schedule import (
    CONFIRM_AFTER_S,
    DAY_S,
    SILENT_FOR_S,
    ReadNeeds,
    ReadSchedule,
    ReadSettings,
    ReadTier,
    ages,
    readings_within,
)

NOW_S = 1_784_000_000.0
STEP_S = 60.0
SEEDS = st.integers(min_value=0, max_value=10_000)
PLENTY = ReadSettings(readings_per_day=10_000)


def needs(count, **more):
    """Cars that are plugged in and were read just now."""
    state = {
        "row": np.arange(count),
        "u": np.linspace(0.0, 0.99, count),
        "plugged": np.full(count, int(Tri.YES)),
        "charge_state": np.full(count, int(Charge.CHARGING)),
        "newest_s": np.full(count, NOW_S),
        "asked": np.zeros(count, bool),
        "held": np.zeros(count, bool),
        "unconfirmed_s": np.full(count, ALWAYS_S),
    }
    return ReadNeeds(**state | more)


def schedule(count):
    made = ReadSchedule()
    made.grow(count)
    return made


def driven(
    schedule, state, settings, hours, *, step_s=STEP_S, pushed_every_s=None, fails=False, change=lambda state: state
):
    """Let time pass; every car that is due is read at once. When each car was asked."""
    asked = [[] for _ in state.row]
    for at_s in np.arange(NOW_S, NOW_S + hours * 3600, step_s):
        state = change(state)
        if pushed_every_s and (at_s - NOW_S) % pushed_every_s == 0:
            schedule.note_pushed(state.row, at_s, np.zeros(len(state.row), bool))
            state.newest_s[:] = at_s
        for row in schedule.due(state, at_s, settings).row.tolist():
            schedule.note_asked(row, at_s)
            asked[row].append(at_s)
            if fails:
                schedule.note_failed(row, at_s)
            else:
                schedule.note_answered(row)
                state.newest_s[row] = at_s
    return asked


def gaps(asked):
    return np.diff([NOW_S, *asked])


@pytest.mark.laws
@given(seed=SEEDS, most=st.integers(min_value=0, max_value=120), fails=st.booleans())
def test_no_car_costs_more_than_its_calls_in_any_24_hours(seed, most, fails):
    r = np.random.default_rng(seed)

    def change(state):
        return dataclasses.replace(
            state,
            plugged=r.choice([Tri.YES, Tri.NO, Tri.UNKNOWN], 4),
            asked=r.random(4) < 0.7,
            unconfirmed_s=np.where(r.random(4) < 0.2, NOW_S - 3600, ALWAYS_S),
        )

    settings = ReadSettings(often_s=60.0, arriving_s=60.0, plugged_s=120.0, seldom_s=300.0, readings_per_day=most)
    for times in driven(schedule(4), needs(4), settings, 26, step_s=300.0, fails=fails, change=change):
        inside = [sum(at_s <= other < at_s + DAY_S for other in times) for at_s in times]
        assert max(inside, default=0) <= most


@pytest.mark.laws
@given(seed=SEEDS, asked=st.booleans(), held=st.booleans())
def test_every_plugged_car_is_read_at_least_once_in_its_period_when_the_budget_allows(seed, asked, held):
    u = np.random.default_rng(seed).random(5)
    state = needs(5, u=u, asked=np.full(5, asked), held=np.full(5, held))
    period_s = PLENTY.often_s if asked or held else PLENTY.plugged_s
    for times in driven(schedule(5), state, PLENTY, 3):
        assert gaps(times).max() <= period_s + STEP_S
        assert gaps(times).min() >= 0.8 * period_s - STEP_S


@pytest.mark.laws
@given(every_s=st.sampled_from([60.0, 120.0, 180.0]), asked=st.booleans(), plugged=st.sampled_from(list(Tri)))
def test_a_car_whose_pushes_come_is_never_read(every_s, asked, plugged):
    state = needs(3, asked=np.full(3, asked), plugged=np.full(3, int(plugged)))
    assert driven(schedule(3), state, PLENTY, 2, pushed_every_s=every_s) == [[], [], []]


def test_a_car_whose_pushes_stop_is_read_within_its_period():
    made, state = schedule(1), needs(1, asked=np.array([True]))
    driven(made, state, PLENTY, 1, pushed_every_s=60.0)
    last_s = state.newest_s[0]
    assert len(made.due(state, last_s + 200, PLENTY).row) == 0
    assert len(made.due(state, last_s + PLENTY.often_s, PLENTY).row) == 1


def test_away_cars_of_a_backend_that_pushes_are_left_to_it_until_all_of_it_is_silent():
    made, state = schedule(2), needs(2, plugged=np.full(2, int(Tri.NO)), asked=np.ones(2, bool))
    made.note_pushed(np.array([0, 1]), NOW_S, np.array([False, False]))
    made.note_pushed(np.array([1]), NOW_S + 1_800, np.array([False]))
    assert len(made.due(state, NOW_S + 1_800, PLENTY).row) == 0
    assert sorted(made.due(state, NOW_S + 1_800 + PLENTY.often_s, PLENTY).row) == [0, 1]


@pytest.mark.parametrize(
    ("more", "tier"),
    [
        ({"plugged": [Tri.NO], "asked": [True]}, ReadTier.ARRIVING),
        ({"plugged": [Tri.NO]}, ReadTier.SELDOM),
        ({"charge_state": [Charge.COMPLETE], "asked": [True]}, ReadTier.SELDOM),
        ({"asked": [True]}, ReadTier.BUSY),
        ({"held": [True]}, ReadTier.BUSY),
        ({}, ReadTier.PLUGGED),
        ({"unconfirmed_s": [NOW_S]}, ReadTier.CONFIRM),
    ],
)
def test_how_urgent_a_reading_is(more, tier):
    state = needs(1, **{name: np.array(value) for name, value in more.items()})
    plan = schedule(1).due(state, NOW_S + 5_000, PLENTY)
    assert plan.tier.tolist() == [tier]


def test_a_directive_that_began_is_looked_for_at_once_and_with_a_reading_from_after_its_start():
    made, state = schedule(1), needs(1, u=np.array([0.0]), unconfirmed_s=np.array([NOW_S]))
    assert len(made.due(state, NOW_S + CONFIRM_AFTER_S - 1, PLENTY).row) == 0
    plan = made.due(state, NOW_S + CONFIRM_AFTER_S, PLENTY)
    assert plan.row.tolist() == [0]
    assert WAKES_UP_TO_S < plan.max_age_s[0] <= CONFIRM_AFTER_S + 1
    made.note_asked(0, NOW_S + CONFIRM_AFTER_S)
    assert len(made.due(state, NOW_S + CONFIRM_AFTER_S + 100, PLENTY).row) == 0


def test_no_reading_by_schedule_wakes_a_car():
    often = ReadSettings(60.0, 60.0, 60.0, 60.0, 10_000)
    plan = schedule(2).due(needs(2, asked=np.ones(2, bool)), NOW_S + 5_000, often)
    assert (plan.max_age_s > WAKES_UP_TO_S).all()


def test_a_car_that_sleeps_is_looked_for_seldom():
    made, state = schedule(1), needs(1, held=np.array([True]))
    made.note_asked(0, NOW_S)
    made.note_answered(0, asleep=True)
    assert len(made.due(state, NOW_S + 0.75 * PLENTY.seldom_s, PLENTY).row) == 0
    assert len(made.due(state, NOW_S + PLENTY.seldom_s, PLENTY).row) == 1


def test_failures_make_a_car_rarer_and_never_more_frequent():
    (times,) = driven(schedule(1), needs(1, u=np.zeros(1)), PLENTY, 40, fails=True)
    between = gaps(times)
    assert (np.diff(between) >= -STEP_S).all()
    assert PLENTY.seldom_s < between[-1] <= 4 * PLENTY.seldom_s + STEP_S


def test_a_failure_that_names_its_wait_is_believed():
    made, state = schedule(1), needs(1)
    made.note_asked(0, NOW_S)
    made.note_failed(0, NOW_S, wait_s=20_000.0)
    assert len(made.due(state, NOW_S + 19_000, PLENTY).row) == 0
    assert len(made.due(state, NOW_S + 20_000, PLENTY).row) == 1


def test_cars_that_nothing_was_heard_of_are_left_to_pushes_for_a_minute_and_take_any_reading():
    made, state = schedule(3), needs(3, newest_s=np.full(3, NEVER_S))
    assert len(made.due(state, NOW_S, PLENTY).row) == 0
    plan = made.due(state, NOW_S + 1.2 * SILENT_FOR_S, PLENTY)
    assert sorted(plan.row) == [0, 1, 2]
    assert np.isnan(plan.max_age_s).all()


def test_a_budget_that_runs_short_leaves_its_last_part_to_what_is_urgent():
    settings = ReadSettings(readings_per_day=40)
    made = schedule(1)
    (quiet,) = driven(made, needs(1), settings, 24)
    assert len(quiet) == int(0.7 * 40)
    later = needs(1, unconfirmed_s=np.array([NOW_S + 24 * 3600 - 100]))
    assert made.due(later, NOW_S + 24 * 3600 - 1, settings).tier.tolist() == [ReadTier.CONFIRM]


def test_the_most_urgent_come_first():
    state = needs(3, asked=np.array([False, True, True]), unconfirmed_s=np.array([ALWAYS_S, ALWAYS_S, NOW_S]))
    assert schedule(3).due(state, NOW_S + 5_000, PLENTY).row.tolist() == [2, 1, 0]


def test_a_price_in_calls_and_in_money_limits_the_readings_of_a_day():
    assert readings_within(200, 5.0, ReadingPrice()) == 200
    assert readings_within(200, 5.0, ReadingPrice(usd=0.002)) == 80
    assert readings_within(10, 5.0, ReadingPrice(usd=0.002)) == 10
    assert readings_within(200, 5.0, ReadingPrice(calls=3)) == 66
    assert readings_within(2, 5.0, ReadingPrice(calls=3)) == 1
    assert readings_within(0, 5.0, ReadingPrice(calls=3)) == 0


@pytest.mark.parametrize("price", [{"calls": 0}, {"usd": -0.1}, {"usd": float("nan")}])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ValueError, match="at least one call"):
        ReadingPrice(**price)


def test_ages_name_the_median_the_oldest_and_the_unread():
    found = ages(np.array([NOW_S - 10, NOW_S - 20, NOW_S - 300, NEVER_S]), NOW_S)
    assert (found["cars"], found["never"], found["p50_s"], found["oldest_s"]) == (4, 1, 20.0, 300.0)
    assert ages(np.array([NEVER_S]), NOW_S)["p50_s"] is None
