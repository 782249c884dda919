"""Where a zone has few cars, each draws what the programme gave it, in whole steps and in sum as planned."""

import numpy as np
import pytest
from closed_nights import fleet, least_bill, least_peak_kw, play, weakest_share
from planning_cases import AMPS, HOUR, IDLE, NOW_S, ask, asked, cars, hourly, joined

from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.night.single_cars import in_steps
from ven_adapters.ven.planning.plan import plan

STEPPED = IDLE | AMPS
CHEAP = hourly(*[1] * 9, *[5] * 20, start_h=0)
SEEDS = range(3)


def stepped(asked_kw, sum_kw=None, full_kw=7.0):
    view = cars(len(asked_kw), **STEPPED)
    asked_kw = np.array(asked_kw, float)
    return in_steps(view, asked_kw, np.full(len(view), full_kw), asked_kw.sum() if sum_kw is None else sum_kw)


def test_powers_are_rounded_to_steps_and_the_sum_stays():
    kw = stepped([3.0, 2.5, 5.3])
    on = kw[kw > 0]
    assert ((on - 1.4) / 0.25 == pytest.approx(np.round((on - 1.4) / 0.25))) or on.max() == 7.0
    assert kw.sum() == pytest.approx(10.8, abs=0.25)


def test_a_car_that_was_given_less_than_its_least_begins_with_that_and_another_gives_way():
    kw = stepped([5.9, 0.9], full_kw=5.9)
    assert kw[1] == pytest.approx(1.4)
    assert kw.sum() == pytest.approx(6.8, abs=0.25)


def test_what_one_leaves_the_next_takes_and_what_is_too_much_is_taken_from_the_last():
    assert stepped([3.0, 3.0, 0.0], sum_kw=9.0).sum() == pytest.approx(9.0, abs=0.25)
    less = stepped([3.0, 3.0, 3.0], sum_kw=4.0)
    assert less.sum() == pytest.approx(4.0, abs=0.25)
    assert less[0] > less[2]


def test_nothing_is_given_where_there_is_nothing_to_give():
    assert stepped([0.0, 0.0]).sum() == 0.0
    assert stepped([3.0, 3.0], sum_kw=0.0).sum() == 0.0


def test_few_cars_share_a_flat_night_by_their_steps():
    made = plan(cars(3, **STEPPED), asked(price=CHEAP), NOW_S)
    load = made.night.load
    assert made.planned_kw == pytest.approx(float(load.load_kw[0]), abs=0.25)
    capped = made.kind == DesireKind.CAP
    assert capped.any()
    assert (made.reason[capped] == Reason.PRICE).all()
    assert (made.power_w[capped] > 0).all()


def test_a_car_that_comes_in_between_has_the_night_planned_anew():
    first = cars(3, **STEPPED)
    night = plan(first, asked(price=CHEAP), NOW_S).night
    again = plan(first, asked(price=CHEAP), NOW_S + 60, earlier=EarlierCycles(night)).night
    more = plan(cars(4, **STEPPED), asked(price=CHEAP), NOW_S + 60, earlier=EarlierCycles(night)).night
    assert again is night
    assert more is not night


def test_cars_that_are_on_or_off_fill_what_the_others_leave():
    view = joined(cars(2, **STEPPED), cars(2, **IDLE))
    made = plan(view, asked(price=CHEAP), NOW_S)
    assert made.planned_kw == pytest.approx(float(made.night.load.load_kw[0]), abs=4.0)
    assert set(made.expected_kw[2:]) <= {0.0, 7.0}


def test_in_large_zones_nobody_is_told_a_power_for_a_price():
    made = plan(cars(60, **STEPPED), asked(price=CHEAP), NOW_S)
    assert made.night.own is None
    assert not (made.kind == DesireKind.CAP).any()


def test_a_limit_is_planned_half_a_step_lower_and_not_exceeded():
    busy = {"charge_state": 1, "power_kw": 4.0}
    view = cars(4, **STEPPED | busy | {"soc_pct": 40.0, "departure_s": NOW_S + 7.3 * HOUR})
    made = plan(view, asked(price=CHEAP, import_cap_kw=ask(16.0, end_h=12)), NOW_S)
    assert 15.5 <= made.night.load.load_kw.max() <= 16.0 - 0.25 / 2
    assert 15.5 <= made.planned_kw <= 16.0


@pytest.mark.laws  # whole nights, planned cycle after cycle over drawn fleets
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["tariff", "hourly", "limit", "sale"])
def test_played_to_the_end_a_night_is_near_the_best_there_could_have_been(kind, seed):
    """A few of the five hundred fleets of `make judge`, which prints the figures of all."""
    drawn = fleet(kind, seed)
    played, best = play(drawn), least_bill(drawn)
    assert played.short_kwh == pytest.approx(0.0, abs=0.01)
    assert played.below_reserve == 0
    assert played.over_kwh <= 1.0
    assert played.bill <= best + (0.08 if kind == "limit" else 0.02) * abs(best) + 0.3
    least_kw = least_peak_kw(drawn, bill=max(played.bill, best))
    assert played.peak_kw <= 1.2 * least_kw + 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_in_an_event_batteries_hold_what_can_be_held(seed):
    assert weakest_share(seed) >= 0.95
