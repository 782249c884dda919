"""A driver who has been asked enough is left out of an event, and of nothing else."""

import dataclasses

import numpy as np
import pytest
from planning_cases import AMPS, HOUR, IDLE, NOW_S, PERMITTED, ask, asked, cars, hourly

from ven_adapters.ven.planning.guardrails import GUARDS, Reason, patience_is_kept
from ven_adapters.ven.planning.plan import DesireKind, plan

EVENTS = {
    "a level": asked(simple=ask(3)),
    "a set-point": asked(dispatch_kw=ask(0.0)),
}
HELD, SPENT = 0, 1


def pair(**more):
    """Two cars that are alike, but that the second has been asked as often as its driver agreed to."""
    return cars(2, **{"asks_left_s": [np.inf, 0.0], **more})


@pytest.mark.parametrize("requests", EVENTS.values(), ids=EVENTS)
def test_no_event_holds_a_car_whose_patience_is_at_an_end(requests):
    made = plan(pair(), requests, NOW_S)
    assert made.kind.tolist() == [DesireKind.CURTAIL, DesireKind.NONE]
    assert (made.reason[SPENT], made.expected_kw[SPENT], made.burden_kw[SPENT]) == (Reason.PATIENCE, 7.0, 0.0)
    without = [guard for guard in GUARDS if guard is not patience_is_kept]
    assert plan(pair(), requests, NOW_S, guards=without).kind.tolist() == [DesireKind.CURTAIL] * 2


def test_a_flex_alert_is_an_event_like_others():
    made = plan(pair(), asked(alert=ask(2, payload_type="ALERT_FLEX_ALERT")), NOW_S)
    assert made.kind.tolist() == [DesireKind.CURTAIL, DesireKind.NONE]


def test_a_grid_emergency_asks_everybody():
    made = plan(pair(), asked(alert=ask(3, payload_type="ALERT_GRID_EMERGENCY")), NOW_S)
    assert made.kind.tolist() == [DesireKind.CURTAIL] * 2


def test_it_waits_for_cheap_hours_as_it_would_without_the_event():
    cheap_later = hourly(*[9] * 8, *[1] * 8, *[9] * 8)
    alone = plan(cars(2, **IDLE), asked(price=cheap_later), NOW_S)
    made = plan(pair(**IDLE), asked(price=cheap_later, simple=ask(3)), NOW_S)
    assert (made.kind[SPENT], made.reason[SPENT]) == (DesireKind.CURTAIL, Reason.PRICE)
    assert made.end_s[SPENT] == alone.end_s[SPENT] > NOW_S
    assert made.origins[made.origin[SPENT]].event_id == "price"


@pytest.mark.parametrize("limit_kw", [0.0, 3.0, 7.0])
def test_a_limit_on_import_binds_it_beside_an_event(limit_kw):
    view = pair(**AMPS)
    made = plan(view, asked(simple=ask(3), import_cap_kw=ask(limit_kw)), NOW_S)
    assert made.planned_kw <= limit_kw + 1e-9
    assert made.expected_kw[SPENT] == pytest.approx(limit_kw, abs=1.4)


def test_it_charges_at_its_latest_start_and_below_its_reserve():
    late = plan(pair(departure_s=NOW_S + 3 * HOUR), asked(simple=ask(3)), NOW_S)
    assert (late.kind[SPENT], late.reason[SPENT]) == (DesireKind.CHARGE, Reason.READY_BY)
    low = plan(pair(soc_pct=10.0, **IDLE), asked(simple=ask(3)), NOW_S)
    assert (low.kind[SPENT], low.reason[SPENT]) == (DesireKind.CHARGE, Reason.BELOW_RESERVE)


def test_its_battery_gives_nothing_and_another_gives_what_is_asked():
    view = pair(**PERMITTED | IDLE | {"soc_pct": 79.0, "departure_s": NOW_S + 20 * HOUR})
    made = plan(view, asked(dispatch_kw=ask(-5.0, end_h=0.5)), NOW_S)
    assert made.expected_kw[HELD] < -5.0 + 1e-6
    assert made.expected_kw[SPENT] >= 0


def test_a_set_point_is_met_by_the_others():
    view = cars(10, asks_left_s=np.where(np.arange(10) < 3, 0.0, np.inf))
    made = plan(view, asked(dispatch_kw=ask(35.0)), NOW_S)
    assert (made.expected_kw[:3] == 7.0).all()
    assert made.planned_kw == pytest.approx(35.0) == pytest.approx(made.expected_kw.sum())


def test_what_is_left_bounds_the_hold_of_a_car_that_is_still_asked():
    made = plan(pair(asks_left_s=[np.inf, 900.0]), asked(simple=ask(3)), NOW_S)
    assert made.kind.tolist() == [DesireKind.CURTAIL] * 2
    assert made.end_s[SPENT] == NOW_S + 900


def test_whom_no_event_asks_is_planned_as_if_patience_were_endless():
    view = pair(asks_left_s=0.0)
    for requests in (asked(), asked(import_cap_kw=ask(3.0)), asked(price=hourly(*[9] * 8, *[1] * 8))):
        endless = dataclasses.replace(view, asks_left_s=np.full(2, np.inf))
        first, second = plan(view, requests, NOW_S), plan(endless, requests, NOW_S)
        assert first.kind.tolist() == second.kind.tolist()
        assert first.end_s.tolist() == second.end_s.tolist()
