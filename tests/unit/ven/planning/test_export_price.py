"""What batteries do for an export price: give where that pays after losses and wear, and never what is not theirs."""

import dataclasses
import math

import numpy as np
import pytest
from closed_nights import READ_AT, flat
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars, hourly, joined

from ven_adapters.ven.fleet.columns import Charge
from ven_adapters.ven.planning.discharge_permits import MissingPermit
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.flexibility.feasible_band import NO_CYCLES
from ven_adapters.ven.planning.guardrails import GUARDS, Reason
from ven_adapters.ven.planning.night.linear_programme import NightBatteries, solve
from ven_adapters.ven.planning.night.night_batteries import MOST_SELLING, batteries_of, gain_of, selling_cars
from ven_adapters.ven.planning.night.night_problem import edges_from
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.targets import plan_inputs_of

V2G = PERMITTED | IDLE | {"soc_pct": 80.0, "event_budget_kwh": 40.0}
DEAR, CHEAP = 0.50, 0.10
PRICE = hourly(*[DEAR] * 4, *[CHEAP] * 7, *[DEAR] * 25, start_h=0)
TAKE, GIVE = SETTINGS.charge_efficiency, SETTINGS.discharge_efficiency
BREAK_EVEN = CHEAP / TAKE / GIVE + SETTINGS.wear_per_kwh / GIVE


def paid(dear, cheap=0.02):
    return hourly(*[dear] * 4, *[cheap] * 7, *[cheap] * 25, start_h=0)


def planned(view, *, export=0.40, now_s=NOW_S, **fields):
    requests = asked(**{"price": PRICE, "export_price": paid(export)} | fields)
    return plan(view, dataclasses.replace(requests, now_s=now_s), now_s, SETTINGS)


def given_kw(made):
    return -made.expected_kw[made.kind == DesireKind.SETPOINT].sum()


def test_a_battery_gives_in_the_dear_hours_and_says_for_what():
    made = planned(cars(3, **V2G))
    gives = made.kind == DesireKind.SETPOINT
    assert gives.any()
    assert (made.reason[gives] == Reason.EXPORT_PRICE).all()
    assert {made.origins[n].event_id for n in made.origin[gives]} == {"price"}
    assert (made.end_s[gives] <= NOW_S + SETTINGS.dead_man_s).all(), "nobody gives for long without being asked again"
    assert made.night.load.give_kw.sum() > 0


@pytest.mark.parametrize(("export", "gives"), [(BREAK_EVEN + 0.01, True), (BREAK_EVEN - 0.01, False)])
def test_it_gives_only_where_losses_of_both_ways_and_wear_are_paid(export, gives):
    assert (given_kw(planned(cars(3, **V2G), export=export)) > 0) == gives


def test_what_lies_above_the_target_is_not_free_either():
    full = cars(3, **V2G | {"soc_pct": 95.0})
    assert given_kw(planned(full, export=BREAK_EVEN - 0.01)) == 0
    assert given_kw(planned(full, export=BREAK_EVEN + 0.01)) > 0


def test_a_higher_wear_keeps_batteries_still():
    dear = dataclasses.replace(SETTINGS, wear_per_kwh=0.40)
    requests = asked(price=PRICE, export_price=paid(0.40))
    assert given_kw(plan(cars(3, **V2G), requests, NOW_S, dear)) == 0


@pytest.mark.parametrize(
    ("lacks", "refusal"),
    [
        ({"discharge_consent": False}, MissingPermit.CONSENT),
        ({"interconnected": False}, MissingPermit.INTERCONNECTION),
        ({"event_budget_kwh": 0.0}, MissingPermit.EVENT_BUDGET),
        ({"cycle_budget": 0.0}, MissingPermit.CYCLE_BUDGET),
        ({"soc_pct": 30.0}, MissingPermit.RESERVE),
        ({"soc_at_s": NOW_S - 3600}, MissingPermit.READING_TOO_OLD),
        ({"opted_out": True}, MissingPermit.OPTED_OUT),
        ({"departure_s": math.inf}, MissingPermit.READY_BY),
    ],
)
def test_every_permit_of_a_discharge_is_asked_for(lacks, refusal):
    made = planned(cars(2, **V2G | lacks))
    assert given_kw(made) == 0
    assert (made.refusal == refusal).all()


def test_no_price_to_hold_it_against_or_another_money_and_nobody_gives():
    view, foreign = cars(3, **V2G), dataclasses.replace(paid(9.0), currency="EUR")
    assert given_kw(planned(view, price=None)) == 0
    assert given_kw(planned(view, export_price=foreign)) == 0


def test_a_set_point_and_a_call_to_fill_up_go_before_a_price():
    view = cars(4, **V2G)
    made = planned(view, dispatch_kw=ask(-5.0))
    gives = made.kind == DesireKind.SETPOINT
    assert given_kw(made) == pytest.approx(5.0, abs=0.01)
    assert (made.reason[gives] == Reason.SET_POINT).all()
    assert given_kw(planned(view, dispatch_kw=ask(10.0))) == 0
    assert given_kw(planned(view, pre_charge=ask(1))) == 0


def test_a_level_that_holds_charging_back_lets_batteries_give():
    assert given_kw(planned(cars(3, **V2G), simple=ask(2))) > 0


def test_a_limit_on_export_holds_now_and_for_the_hours_that_are_known():
    view, limit = cars(10, **V2G), hourly(*[12.0] * 36, start_h=0)
    made = planned(view, export_cap_kw=ask(12.0, end_h=8), export_limits_kw=limit)
    assert 6.0 < given_kw(made) <= 12.0 + 1e-6
    assert made.night.load.net_kw.min() >= -12.0 - 1e-6
    both = joined(cars(10, **V2G), cars(1, charge_state=Charge.CHARGING, departure_s=NOW_S + 3 * HOUR))
    made = planned(both, export_cap_kw=ask(12.0, end_h=8), export_limits_kw=limit)
    assert made.planned_kw >= -12.0 - 1e-6


def test_known_set_points_keep_the_price_out_of_their_hours():
    points = hourly(np.nan, -10.0, np.nan, np.nan, start_h=0)
    edges_s = edges_from(NOW_S, NOW_S + 6 * HOUR)
    gain = gain_of(asked(price=PRICE, export_price=paid(0.4), set_points_kw=points), edges_s, SETTINGS)
    assert (gain > 0).tolist() == [True] * 4 + [False] * 4 + [True] * 8 + [False] * 8


def test_many_batteries_are_a_bounded_number_of_classes():
    r = np.random.default_rng(1)
    count = 500
    own = {"soc_pct": r.uniform(45, 90, count), "departure_s": NOW_S + HOUR * r.uniform(8, 20, count)}
    requests = asked(price=PRICE, export_price=paid(0.4))
    inputs = plan_inputs_of(cars(count, **V2G | own), requests, NOW_S, SETTINGS, GUARDS, NO_CYCLES)
    found = selling_cars(inputs.situation, inputs.limits, inputs.forced, GUARDS)
    edges_s = edges_from(NOW_S, NOW_S + 20 * HOUR)
    steps = len(edges_s) - 1
    number, batteries = batteries_of(found, edges_s, np.ones(steps), np.full(steps, np.inf), SETTINGS)
    assert len(batteries.need_kwh) <= MOST_SELLING
    assert np.bincount(number, weights=found.above_kwh) == pytest.approx(batteries.above_kwh)
    assert batteries.give_kw.max() <= found.give_kw.sum()


def obeyed(view, made, now_s, minutes=5):
    """The cars some minutes later, having done what they were told."""
    hours = minutes / 60
    kw = np.where(np.isin(made.kind, (DesireKind.CHARGE, DesireKind.CAP)), made.expected_kw, 0.0)
    kw = np.where(made.kind == DesireKind.SETPOINT, made.expected_kw, kw)
    stored = np.where(kw > 0, kw * TAKE, kw / GIVE) * hours
    given = np.maximum(0.0, -kw) * hours
    state = np.select([kw > 0, kw < 0], [int(Charge.CHARGING), int(Charge.DISCHARGING)], int(Charge.STOPPED))
    return dataclasses.replace(
        view,
        soc_pct=view.soc_pct + stored / view.usable_kwh * 100,
        event_exported_kwh=view.event_exported_kwh + given,
        year_exported_kwh=view.year_exported_kwh + given,
        power_kw=kw,
        charge_state=state,
        **dict.fromkeys(READ_AT, np.full(len(view), now_s + minutes * 60.0)),
    )


@pytest.mark.laws  # whole nights, planned cycle after cycle over drawn fleets
@pytest.mark.parametrize("count", [3, 60])
def test_over_a_night_no_reserve_budget_or_departure_is_broken_and_the_charge_is_back(count):
    r = np.random.default_rng(count)
    own = {
        "soc_pct": r.uniform(50, 80, count),
        "departure_s": NOW_S + HOUR * r.uniform(9, 13, count),
        "event_budget_kwh": r.choice([5.0, 12.0, 30.0], count),
        "reserve_pct": r.choice([20.0, 40.0], count),
    }
    view = begun = cars(count, **V2G | own)
    night, gave_kwh = None, 0.0
    for now_s in np.arange(NOW_S, NOW_S + 13 * HOUR, 300.0):
        requests = dataclasses.replace(asked(price=PRICE, export_price=paid(0.40)), now_s=now_s)
        made = plan(view, requests, now_s, SETTINGS, earlier=EarlierCycles(night))
        here, night = view.departure_s > now_s, made.night
        after = obeyed(view, made, now_s)
        gave_kwh += float(np.maximum(0.0, -after.power_kw[here]).sum()) / 12
        floor_pct = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
        assert (after.soc_pct >= np.minimum(floor_pct, begun.soc_pct) - 1e-6)[here].all()
        assert (after.event_exported_kwh <= view.event_budget_kwh + 1e-6).all()
        leaves = here & (view.departure_s <= now_s + 300.0)
        assert (view.soc_pct[leaves] >= view.target_pct[leaves] - 0.2).all()
        view = after
    assert gave_kwh > 4.0 * count


def batteries(**changed):
    """One class for sixteen steps: 10 kWh to give, nothing needed, dear for four steps."""
    steps = 16
    gain = np.where(np.arange(steps) < 4, 0.3, 0.0)
    free = {
        "charge_kw": np.full((1, steps), 10.0),
        "give_kw": np.where(gain > 0, 8.0, 0.0)[None, :],
        "need_kwh": np.array([0.0]),
        "above_kwh": np.array([6.0]),
        "budget_kwh": np.array([100.0]),
        "gain": gain,
        "export_limit_kw": np.full(steps, np.inf),
        "round_trip": 0.8,
    }
    return NightBatteries(**free | changed)


def night_of(own, **changed):
    cost = np.where(np.arange(16) < 4, 0.5, 0.1)
    return solve(dataclasses.replace(flat(1.0, 1.0, steps=16), cost=cost, batteries=own, **changed))


def test_the_programme_gives_all_that_is_above_the_reserve_and_takes_it_back_with_the_losses():
    found = night_of(batteries())
    assert found.give_kw.sum() / 4 == pytest.approx(6.0)
    assert found.take_kw.sum() / 4 == pytest.approx(6.0 / 0.8)
    assert found.take_kw[0, :4].sum() == pytest.approx(0.0, abs=1e-6)
    assert night_of(batteries(budget_kwh=np.array([2.0]))).give_kw.sum() / 4 == pytest.approx(2.0)


def test_nobody_is_late_for_what_was_sold():
    leaves = np.where(np.arange(16) < 6, 10.0, 0.0)[None, :]
    found = night_of(batteries(charge_kw=leaves))
    assert found.unmet_kwh == pytest.approx(0.0, abs=1e-6)
    assert found.give_kw.sum() / 4 == pytest.approx(4.0), "as much as two quarter hours put back"


def test_who_has_more_than_is_wanted_gives_that_first_and_need_not_take_it_back():
    found = night_of(batteries(need_kwh=np.array([-5.0]), above_kwh=np.array([4.0])))
    assert found.give_kw.sum() / 4 == pytest.approx(4.0)
    assert found.take_kw.sum() == pytest.approx(0.0, abs=1e-6)


def test_no_battery_is_charged_in_an_hour_in_order_to_be_emptied_in_it():
    own = batteries(gain=np.where(np.arange(16) < 4, 2.0, 0.0), above_kwh=np.array([2.0]))
    found = night_of(own)
    assert found.give_kw.sum() / 4 == pytest.approx(2.0)
    assert (found.take_kw * found.give_kw).sum() == pytest.approx(0.0, abs=1e-6)
