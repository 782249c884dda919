"""Shortfalls, nominations and bands are judged by what the utility could read, and when."""

import numpy as np
import pytest
from night_cases import asks, at_bin, bin_of, clock, managed, night, series, truth

from ven_adapters.demo.figures import NightEvents, zone_nights
from ven_adapters.demo.judging import report_figures
from ven_adapters.demo.report_figures import (
    BAND,
    NOMINATION,
    SHORTFALL,
    band_kw,
    farthest_from_one,
    nomination_over_delivery,
    reported,
    shortfall_reported_within_cycles,
    shortfalls,
)
from ven_adapters.demo.utility import nominated_kw

CYCLE_S = 300.0
SHORT = {19: 60.0}  # 20 of the 60 kW that were asked are missing from 19 to 20 h


def report(kind, values, told, *, start=18, hours=3, oem="bmw", zone="bay"):
    period = {"start": clock(start).isoformat(), "duration": f"PT{hours}H"}
    interval = {"id": 0, "intervalPeriod": period, "payloads": [{"type": kind, "values": values}]}
    resources = [{"resourceName": zone, "intervals": [interval]}]
    return {"clientName": oem, "modificationDateTime": told.isoformat(), "resources": resources}


def zones_of(kw=None, **columns):
    return night(columns or {"bay": managed() if kw is None else kw})[0]


def test_a_shortfall_is_a_run_of_quarters_that_miss_a_tenth_of_what_was_asked():
    assert shortfalls(zones_of(managed(changed=SHORT))[0]) == [(clock(19), clock(20))]
    assert shortfalls(zones_of(managed(changed={19: 45.9}))[0]) == []
    assert shortfalls(zones_of(managed(changed={19: 46.1}))[0]) == [(clock(19), clock(20))]


def test_what_is_drawn_too_little_or_outside_events_is_no_shortfall():
    assert shortfalls(zones_of(managed(changed={19: 0.0, 17: 90.0, 21: 90.0}))[0]) == []


@pytest.mark.parametrize(("told", "cycles"), [(clock(17), 0), (clock(19), 0), (clock(19, 5), 1), (clock(19, 16), 4)])
def test_cycles_count_from_the_beginning_of_the_shortfall_to_the_report(told, cycles):
    found = shortfall_reported_within_cycles(
        zones_of(managed(changed=SHORT)), [report(SHORTFALL, [20.0], told)], CYCLE_S
    )
    assert found == {"bmw": cycles}


def test_the_first_version_that_tells_of_it_counts():
    versions = [report(SHORTFALL, [20.0], clock(19, 30)), report(SHORTFALL, [20.0], clock(19, 5))]
    assert shortfall_reported_within_cycles(zones_of(managed(changed=SHORT)), versions, CYCLE_S) == {"bmw": 1}


@pytest.mark.parametrize(
    "other",
    [
        report(SHORTFALL, [0.0], clock(18)),
        report(SHORTFALL, [20.0], clock(18), start=18, hours=1),
        report(SHORTFALL, [20.0], clock(18), zone="la"),
        report(SHORTFALL, [20.0], clock(18), oem="ford"),
    ],
)
def test_a_report_of_none_of_another_hour_zone_or_automaker_tells_nothing(other):
    """17 hours from 19:00 to noon are 204 cycles of five minutes."""
    found = shortfall_reported_within_cycles(zones_of(managed(changed=SHORT)), [other], CYCLE_S)
    assert found == {"bmw": 204}


def test_an_automaker_that_tells_of_all_but_one_shortfall_has_that_one():
    twice = managed(changed={18: 60.0, 20: 60.0})
    found = shortfall_reported_within_cycles(zones_of(twice), [report(SHORTFALL, [20.0], clock(18), hours=1)], CYCLE_S)
    assert found == {"bmw": 192}


def test_a_nomination_that_was_delivered_has_the_ratio_one():
    told = [report(NOMINATION, [60.0], clock(17))]
    assert nomination_over_delivery(zones_of(), told) == {"bmw-bay": pytest.approx(1.0)}


@pytest.mark.parametrize(("kw", "ratio"), [(120.0, 2.0), (30.0, 0.5)])
def test_more_or_less_nominated_than_delivered_shows(kw, ratio):
    told = [report(NOMINATION, [kw], clock(17))]
    assert nomination_over_delivery(zones_of(), told) == {"bmw-bay": pytest.approx(ratio)}


def test_the_last_nomination_before_a_bin_counts_for_it():
    told = [report(NOMINATION, [60.0], clock(17)), report(NOMINATION, [120.0], clock(19, 30))]
    assert nomination_over_delivery(zones_of(), told)["bmw-bay"] == pytest.approx(1.5)


def test_a_nomination_that_is_made_when_all_is_over_counts_for_nothing():
    assert nomination_over_delivery(zones_of(), [report(NOMINATION, [60.0], clock(21))]) == {}


def test_who_nominated_and_gave_nothing_is_as_bad_as_can_be_shown():
    drew = managed(changed=dict.fromkeys(range(18, 21), 100.0))
    assert nomination_over_delivery(zones_of(drew), [report(NOMINATION, [60.0], clock(17))]) == {"bmw-bay": 1_000.0}


def test_a_zone_that_nominates_too_much_does_not_hide_behind_one_that_nominates_too_little():
    told = [report(NOMINATION, [90.0], clock(17)), report(NOMINATION, [30.0], clock(17), zone="la")]
    found = report_figures(zones_of(bay=managed(), la=managed()), told, CYCLE_S)
    assert found["nomination_over_delivery_ratio_by_zone"] == {"bmw-bay": 1.5, "bmw-la": 0.5}
    assert found["nomination_over_delivery_ratio"] == 0.5
    assert found["nomination_over_delivery_ratio_by_oem"] == {"bmw": 0.5}


def test_half_is_as_far_from_one_as_twice():
    assert farthest_from_one([0.9, 1.2, 0.7]) == 0.7
    assert farthest_from_one([0.9, 1.2]) == 1.2
    assert farthest_from_one([]) is None


def test_while_no_report_carries_a_type_there_is_no_figure_of_it():
    usage = report("USAGE", [12.0], clock(19))
    assert report_figures(zones_of(managed(changed=SHORT)), [usage], CYCLE_S) == {}
    assert band_kw(zones_of(), [usage]) is None


def test_the_summary_has_the_worst_automaker_and_each():
    both = [truth({"bay": managed(changed=SHORT)}), truth({"bay": managed()}, oem="ford")]
    zones = zone_nights(both, NightEvents([*asks(), *asks(oem="ford")]))
    found = report_figures(zones, [report(SHORTFALL, [20.0], clock(19, 10))], CYCLE_S)
    assert found["shortfall_reported_within_cycles"] == 2
    assert found["shortfall_reported_within_cycles_by_oem"] == {"bmw": 2, "ford": 0}


def test_the_band_is_the_sum_of_what_zones_told_before_each_bin():
    zones = zones_of(bay=managed(), la=managed())
    told = [report(BAND, [30.0, 40.0, 55.0], clock(17)), report(BAND, [20.0, 10.0], clock(17), zone="la")]
    low, high = band_kw(zones, told)
    assert (low[bin_of(19)], high[bin_of(19)]) == (40.0, 75.0)
    assert np.isnan(low[[bin_of(17, 55), bin_of(21)]]).all()


def test_an_interval_without_a_period_has_its_resource_s_and_one_without_any_is_about_nothing():
    told = report(BAND, [1.0, 2.0], clock(17))
    resource = told["resources"][0]
    period = resource["intervals"][0].pop("intervalPeriod")
    assert reported([told], BAND) == []
    resource["intervalPeriod"] = period
    assert [(value.start, value.end) for value in reported([told], BAND)] == [(clock(18), clock(21))]


def test_the_cases_have_a_load_to_be_judged():
    assert at_bin(series({}), 19, 0, 5.0)[bin_of(19)] == 5.0


def test_the_utility_reads_an_events_newest_nomination_by_interval():
    def report(event_id, at, name, *told):
        return {
            "eventID": event_id,
            "modificationDateTime": at,
            "reportName": name,
            "resources": [{"resourceName": "bay", "intervals": list(told)}],
        }

    def interval(number, kwh, shed_kw, feed_kw, duration="PT30M"):
        payloads = [("x-EVTN-NOMINATION", [shed_kw, feed_kw]), ("BASELINE", [kwh])]
        return {
            "id": number,
            "intervalPeriod": {"start": "2026-07-15T16:00:00-07:00", "duration": duration},
            "payloads": [{"type": name, "values": values} for name, values in payloads],
        }

    reports = [
        report("e", "2026-07-15T22:30:00Z", "nomination T-60min", interval(0, 50.0, 70.0, 5.0), interval(1, 60, 80, 0)),
        report("e", "2026-07-15T22:00:00Z", "nomination T-24h", interval(0, 1.0, 1.0, 0.0)),
        report("other", "2026-07-15T22:40:00Z", "nomination T-60min", interval(0, 9.0, 9.0, 0.0)),
        report("e", "2026-07-15T22:50:00Z", "band", interval(0, 9.0, 9.0, 0.0)),
    ]
    assert nominated_kw(reports, "e", "bay") == {0: (100.0, 75.0), 1: (120.0, 80.0)}
    assert nominated_kw(reports, "e", "la") == {}
