"""From an export price to a car's directive: who asked, why, and a budget that is whole once a day."""

from datetime import time, timedelta

import pytest
from agent_cases import COURSE, event, fleet_state, snapshot
from directive_cases import T0

from ven_adapters.contract import ChargeState, DirectiveKind
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.explain.code_texts import BECAUSE
from ven_adapters.ven.planning.guardrails import Reason

EVERY_DAY = (time(7),) * 7


def prices(begins=T0, *, dear=0.5, cheap=0.1, paid=0.45, hours=30):
    """Three dear hours, then cheap ones: a tariff, and what is paid for feeding the grid."""
    tariff, sale = [dear] * 3 + [cheap] * (hours - 3), [paid] * 3 + [0.02] * (hours - 3)
    start = begins.isoformat()
    return [event("PRICE", tariff, start=start, key="tariff"), event("EXPORT_PRICE", sale, start=start, key="sale")]


def steered(cars_of, events, now):
    return ZoneController(cars_of, COURSE).steer("bay", events, now)


def told(result):
    return [step.target.directive for _, step in result.steps if step.target is not None]


def ready(now=T0, *, soc_pct=79.5, **more):
    """A car with every paper, idle, and nothing given yet."""
    cars_of = fleet_state(ready_by=EVERY_DAY, **more)
    counted = {"energy_exported_wh": 0.0, "power_w": 0.0, "state": ChargeState.STOPPED}
    cars_of.observe([snapshot(now, soc_pct=soc_pct, **counted)], now)
    return cars_of


def test_a_car_is_told_to_give_by_the_event_that_pays_and_within_its_own_bounds():
    result = steered(ready(), prices(), T0)
    (directive,) = told(result)
    assert directive.kind is DirectiveKind.SETPOINT
    assert -7000 <= directive.power_w < 0
    assert directive.origin.event_id == "sale"
    assert directive.end <= T0 + timedelta(seconds=COURSE.plan_settings.dead_man_s)
    assert directive.reserve_soc_pct == 30.0
    assert directive.max_energy_wh <= 10_000
    assert result.plan.reason.tolist() == [Reason.EXPORT_PRICE]
    assert "losses and wear" in BECAUSE[Reason.EXPORT_PRICE]


def test_where_it_does_not_pay_nobody_is_told_to_give():
    for cheap in (prices(paid=0.15), prices()[:1], prices()[1:]):
        assert all(one.kind is not DirectiveKind.SETPOINT for one in told(steered(ready(), cheap, T0)))


def test_a_discharge_for_a_price_is_not_stopped_because_the_next_hour_is_near():
    cars_of, events = ready(), prices()
    controller = ZoneController(cars_of, COURSE)
    controller.steer("bay", events, T0)
    before = T0 + timedelta(minutes=57)
    giving = {"energy_exported_wh": 1000.0, "power_w": -3000.0, "state": ChargeState.DISCHARGING}
    cars_of.observe([snapshot(before, soc_pct=77.0, **giving)], before)
    ahead = controller.steer("bay", events, before)
    assert all(one.kind is DirectiveKind.SETPOINT for one in told(ahead))


@pytest.mark.parametrize(("hours", "may_give"), [(1, False), (25, True)])
def test_what_was_given_counts_until_the_day_is_over(hours, may_give):
    cars_of = ready()
    cars_of.next_price("bay", "sale", T0)
    given = {"energy_exported_wh": 10_000.0, "power_w": 0.0, "state": ChargeState.STOPPED}
    now = T0 + timedelta(minutes=30)
    cars_of.observe([snapshot(now, soc_pct=79.5, **given)], now)
    later = T0 + timedelta(hours=hours)
    cars_of.observe([snapshot(later, soc_pct=79.5, **given)], later)
    orders = told(steered(cars_of, prices(later.replace(minute=0, second=0, microsecond=0)), later))
    assert any(one.kind is DirectiveKind.SETPOINT for one in orders) == may_give
