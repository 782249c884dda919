"""The demonstration judges honestly: its events are valid OpenADR and its figures follow their definitions."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ven_adapters.demo import scenario
from ven_adapters.demo.evening import exit_code
from ven_adapters.demo.results import (
    EveningTruth,
    lost_notifications,
    points_short,
    rebound_payback_ratio,
    tracking,
    true_cars,
)
from ven_adapters.demo.scenario import Nomination
from ven_adapters.demo.utility import AskedSetPoint, Sent
from vtn.rules.admission import admit
from vtn.wire.enumerations import ObjectType

START = datetime(2026, 7, 15, 23, tzinfo=UTC)
NOMINATION = Nomination("nissan", "bay", 250, 0.4, 200.0)
FORECAST = (0.8, 1.4, 2.0, 2.2, 2.0)


def truth(kw, unmanaged, oem="bmw"):
    at = tuple(START + timedelta(minutes=5 * n) for n in range(len(kw)))
    column = np.array(kw, float)[:, None], np.array(unmanaged, float)[:, None]
    return EveningTruth(oem, at, ("bay",), *column, np.zeros((len(kw), 5)), {})


def ask(kw, bins, oem="bmw", first=0):
    return AskedSetPoint(f"{oem}-bay", START + timedelta(minutes=5 * first), START + timedelta(minutes=5 * bins), kw)


@pytest.mark.parametrize(
    "event",
    [
        scenario.tariff_event("p"),
        scenario.market_event("p"),
        scenario.alert_event("p"),
        scenario.cap_event("p", NOMINATION, scenario.cap_kw(NOMINATION, FORECAST)),
        scenario.evening_event("p", NOMINATION, scenario.setpoints_kw(NOMINATION, FORECAST)),
    ],
)
def test_every_event_of_the_evening_is_valid(event):
    assert admit(ObjectType.EVENT, event, is_bl=True)


def test_set_points_curtail_the_flexible_share_and_export_from_18_to_20_only():
    points = scenario.setpoints_kw(NOMINATION, FORECAST)
    held = [250 * kw * (1 - scenario.CURTAILED_SHARE * 0.4) for kw in FORECAST]
    exported = [h - p for h, p in zip(held, points, strict=True)]
    assert exported == pytest.approx([0, 0, 110, 110, 0], abs=0.1)


def test_the_load_forecast_follows_from_its_seed():
    assert scenario.load_forecast_kw(1) == scenario.load_forecast_kw(1)
    assert scenario.load_forecast_kw(1) != scenario.load_forecast_kw(2)


def test_following_the_set_point_exactly_has_no_error():
    result = tracking([truth([10, 10, 50], [60, 60, 60])], [ask(10, 2)])
    assert (result.asked_kwh, result.delivered_kwh, result.error_pct) == (8.3, 8.3, 0.0)


def test_ignoring_the_set_point_is_an_error_of_one_hundred_percent():
    assert tracking([truth([60, 60], [60, 60])], [ask(10, 2)]).error_pct == 100.0


def test_too_much_at_one_time_does_not_make_up_for_too_little_at_another():
    assert tracking([truth([0, 20], [60, 60])], [ask(10, 2)]).error_pct == pytest.approx(20.0)


def test_automakers_are_judged_together_where_set_points_held():
    both = [truth([0, 60], [60, 60]), truth([20, 0], [60, 60], oem="ford")]
    assert tracking(both, [ask(10, 1), ask(10, 1, oem="ford")]).error_pct == 0.0


def test_rebound_is_what_comes_back_after_the_last_set_point_however_late():
    late = 100
    night = truth([0, 0, *[30] * late, 90], [60, 60, *[30] * late, 30])
    assert rebound_payback_ratio([night], [ask(0, 2)]) == 0.5


def test_what_one_automaker_holds_back_does_not_make_up_for_what_another_pays_back():
    both = [truth([0, 90], [60, 30]), truth([60, 0], [60, 60], oem="ford")]
    assert rebound_payback_ratio(both, [ask(0, 1), ask(60, 1, oem="ford")]) == 1.0


def test_a_set_point_that_ends_within_a_bin_does_not_hold_in_it():
    asked = AskedSetPoint("bmw-bay", START, START + timedelta(minutes=7), 10)
    assert tracking([truth([10, 60], [60, 60])], [asked]).error_pct == 0.0


def test_a_notification_counts_as_lost_only_for_those_who_were_entitled_to_it():
    sent = [Sent(0.0, "CREATE", "e1", "x", frozenset({"bmw"})), Sent(0.0, "UPDATE", "e1", "x", frozenset({"bmw"}))]
    assert lost_notifications(sent, {"bmw": [("e1", "CREATE")], "ford": []}) == 1


@pytest.mark.parametrize("broken", ["feasible_late_departures", "reserve_violations", "notifications_lost"])
def test_a_broken_promise_fails_the_demonstration(broken):
    kept = dict.fromkeys(
        ("feasible_late_departures", "reserve_violations", "unauthorised_discharges", "notifications_lost"), 0
    ) | {"opt_outs": 3, "opt_outs_honoured": 3}
    assert exit_code(kept) == 0
    assert exit_code(kept | {broken: 1}) == 1
    assert exit_code(kept | {"opt_outs_honoured": 2}) == 1


def drawn(part, cars, of, least, most):
    return {"topic": "power", "part": part, "column": "power_share"} | {
        "drawn": cars, "of": of, "least": least, "most": most
    }  # fmt: skip


def counted(oem, rows, late=0, points=0.0):
    counts = {"truths": rows, "late_though_feasible": late, "points_short": points}
    counts |= {"left_early_short_though_feasible": 0, "points_short_left_early": 0.0}
    return EveningTruth(oem, (), ("bay",), np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 5)), counts)


def test_what_the_cars_really_were_is_told_of_all_automakers_together():
    both = [
        counted("bmw", [drawn("low", 2, 10, 0.5, 0.7), drawn("high", 8, 10, 0.9, 1.0)]),
        counted("ford", [drawn("low", 0, 5, None, None), drawn("high", 5, 5, 0.8, 0.95)]),
    ]
    assert true_cars(both) == [drawn("low", 2, 15, 0.5, 0.7), drawn("high", 13, 15, 0.8, 1.0)]


def test_how_short_late_cars_were_is_a_mean_over_cars_and_not_over_automakers():
    both = [counted("bmw", [], late=1, points=10.0), counted("ford", [], late=3, points=2.0)]
    assert points_short(both) == {"points_short": 4.0, "points_short_left_early": 0.0}
