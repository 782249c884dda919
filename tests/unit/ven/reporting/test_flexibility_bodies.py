"""Bands, nominations and shortfalls as reports: what they say, and that no figure is about too few cars."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.ven.planning.flexibility.feasible_band import HeldBand
from ven_adapters.ven.planning.flexibility.nomination import ZoneNomination
from ven_adapters.ven.planning.flexibility.shortfall import Binding, Flexibility, Obstacle
from ven_adapters.ven.reporting.flexibility_bodies import (
    added,
    band_body,
    causes_told,
    nomination_body,
    shortfall_body,
)
from vtn.rules.timeline import Window
from vtn.wire.report import ReportRequest

T0 = datetime(2026, 7, 15, 23, 0, tzinfo=UTC)
O = Obstacle  # noqa: E741 - as in the module under test


def window(number=0):
    start = T0 + timedelta(hours=number)
    return Window(start, start + timedelta(hours=1), 10 + number, number, (), "event-1", "program-1", None)


def held(least_kw, most_kw):
    return HeldBand(0.0, least_kw, most_kw)


def checked(body):
    ReportRequest.model_validate(body)
    return body


def payloads(body, place=0):
    return [(p["type"], p["values"]) for p in body["resources"][0]["intervals"][place]["payloads"]]


def test_a_band_has_two_numbers_per_interval_of_the_event_and_what_is_not_known_is_missing():
    body = checked(band_body("e", "bmw", [window(0), window(1)], {"bay": [held(-10.004, 55.5), None]}))
    assert payloads(body) == [("x-EVTN-BAND", [-10.0, 55.5])]
    assert payloads(body, 1) == [("x-EVTN-BAND", []), ("DATA_QUALITY", ["MISSING"])]
    assert [one["id"] for one in body["resources"][0]["intervals"]] == [10, 11]
    assert body["payloadDescriptors"][0]["units"] == "KW"


def test_a_nomination_says_by_interval_what_is_kept_away_and_fed_and_what_would_be_drawn_unmanaged():
    told = [ZoneNomination(120.0, 33.3, 200.0, 51.0), ZoneNomination(90.0, 0.0, 150.0, 51.0)]
    body = checked(nomination_body("e", "bmw", "T-60min", [window(0), window(1)], {"bay": told}))
    assert body["reportName"] == "nomination T-60min"
    hours = (window(0).end - window(0).start).total_seconds() / 3600
    assert payloads(body) == [("x-EVTN-NOMINATION", [120.0, 33.3]), ("BASELINE", [200.0 * hours])]
    assert payloads(body, 1) == [("x-EVTN-NOMINATION", [90.0, 0.0]), ("BASELINE", [150.0 * hours])]
    assert [one["units"] for one in body["payloadDescriptors"]] == ["KW", "KWH"]


SHORT = Flexibility(
    T0.timestamp(),
    -50.0,
    20.0,
    20.0,
    90.0,
    70.0,
    (Binding(O.PERMIT, 30, 44.0), Binding(O.DEPARTURE, 12, 20.0), Binding(O.DWELL, 2, 6.0)),
    "e",
    3,
    T0.timestamp() + 7200,
)


def test_a_shortfall_says_how_much_what_can_be_done_and_what_binds():
    body = checked(shortfall_body("e", "bmw", {"bay": SHORT}, T0, 10))
    assert body["reportName"] == "shortfall"
    assert body["resources"][0]["intervals"][0]["id"] == 3
    assert body["resources"][0]["intervals"][0]["intervalPeriod"]["duration"] == "PT7200S"
    assert payloads(body)[:2] == [("x-EVTN-SHORTFALL", [70.0]), ("x-EVTN-BAND", [20.0, 90.0])]
    assert ("x-EVTN-BINDS", ["PERMIT", 30, 44.0]) in payloads(body)


def test_a_shortfall_that_is_over_says_nought():
    over = Flexibility(T0.timestamp(), -50.0, -50.0, -60.0, 90.0, event_id="e")
    body = checked(shortfall_body("e", "bmw", {"bay": over}, T0, 10))
    assert body["reportName"] == "shortfall over"
    assert payloads(body)[0] == ("x-EVTN-SHORTFALL", [0.0])


def test_causes_of_few_cars_are_summed_with_the_next_larger_and_named_without_figures():
    told = causes_told(SHORT.bindings, 10)
    assert told == [["PERMIT", 30, 44.0], ["OTHER", 14, 26.0], ["DWELL"], ["DEPARTURE"]]


def test_where_all_causes_together_are_about_too_few_cars_only_their_names_are_told():
    assert causes_told([Binding(O.DWELL, 2, 6.0), Binding(O.DRIVER, 3, 9.0)], 10) == [["DRIVER"], ["DWELL"]]


def test_a_limit_is_about_no_car_and_is_told_whole():
    assert causes_told([Binding(O.LIMIT, 0, 6.0)], 10) == [["LIMIT", 0, 6.0]]


@given(
    st.dictionaries(st.sampled_from([one for one in O if one is not O.LIMIT]), st.integers(1, 40)), st.integers(1, 30)
)
def test_no_figure_told_and_no_difference_of_figures_is_about_fewer_cars_than_the_smallest_group(cars, smallest):
    bindings = [Binding(obstacle, count, float(count)) for obstacle, count in cars.items()]
    told = causes_told(bindings, smallest)
    counts = [one[1] for one in told if len(one) > 1]
    assert all(count >= smallest for count in counts)
    unsaid = sum(cars.values()) - sum(counts)
    assert not counts or unsaid == 0
    assert {one[0] for one in told} - {"OTHER"} == {obstacle.value for obstacle in cars} - {"OTHER"}


@pytest.mark.parametrize("second", [[held(1.0, 2.0), None], [None, None]])
def test_the_band_of_a_zone_is_the_sum_of_its_parts_and_unknown_where_one_is(second):
    whole = added([[held(10.0, 20.0), held(5.0, 6.0)], second])
    assert whole[1] is None
    assert (whole[0] is None) == (second[0] is None)
    if whole[0] is not None:
        assert (whole[0].least_kw, whole[0].most_kw) == (11.0, 22.0)
