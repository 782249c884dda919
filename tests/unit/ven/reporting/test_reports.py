"""Report bodies: what is told, what is missing, what is never told; and the meter that they rest on."""

import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import Reading, Snapshot
from ven_adapters.ven.fleet.metering import Energy, Meter, Sample
from ven_adapters.ven.fleet.telemetry import batches
from ven_adapters.ven.planning.flexibility.forecast import Ahead
from ven_adapters.ven.reporting.reports import FORECASTS, KINDS, Request, Wanted, ZoneFigures, body
from vtn.rules.timeline import DueReport, Window
from vtn.wire.enumerations import ReportPayload
from vtn.wire.report import ReportRequest
from vtn.wire.values import ReportDescriptor

T0 = datetime(2026, 7, 15, 23, 0, tzinfo=UTC)
FULL = Sample(
    at_s=T0.timestamp(),
    members=20,
    cars=20,
    plugged=15,
    charging=5,
    held_back=3,
    opted_out=0,
    power_kw=30.0,
    stored_kwh=600.0,
    usable_kwh=1200.0,
    max_charge_kw=150.0,
    max_discharge_kw=40.0,
    asked_kw=-25.0,
    simple_level=2,
)
ROWS = {"a": 0, "b": 1}
FIGURES = ZoneFigures(20, Energy(12.5, 4.0), FULL, 1.0)


def window(number=0):
    start = T0 + timedelta(hours=number)
    return Window(start, start + timedelta(hours=1), 10 + number, number, (), "event-1", "program-1", None)


FIRST = window()


def wanted(payload_type, *, windows=(FIRST,), zones=("bay", "la"), **more):
    descriptor = ReportDescriptor.model_validate({"payloadType": payload_type, **more})
    return Wanted(descriptor, DueReport(windows[-1].end, 0, windows), zones)


def told(*asked, figures=FIGURES, exporting=frozenset(), smallest=10):
    request = Request("event-1", "bmw", exporting, asked, smallest)
    made = body(request, figures if callable(figures) else lambda _zone, _window: figures)
    ReportRequest.model_validate(made)
    return made


def values(made, resource, payload_type, place=0):
    entry = next(entry for entry in made["resources"] if entry["resourceName"] == resource)
    return next(p["values"] for p in entry["intervals"][place]["payloads"] if p["type"] == payload_type)


@pytest.mark.parametrize(
    ("payload_type", "expected"),
    [
        ("USAGE", [12.5]),
        ("DEMAND", [12.5]),
        ("READING", [30.0]),
        ("OPERATING_STATE", ["RUNNING_CURTAILED"]),
        ("STORAGE_CHARGE_LEVEL", [0.5]),
        ("STORAGE_USABLE_CAPACITY", [1200.0]),
        ("STORAGE_MAX_CHARGE_POWER", [150.0]),
        ("STORAGE_MAX_DISCHARGE_POWER", [40.0]),
        ("SETPOINT", [-25.0]),
        ("SIMPLE_LEVEL", [2]),
    ],
)
def test_each_type_is_filled_from_the_zones_figures(payload_type, expected):
    made = told(wanted(payload_type))
    assert [entry["resourceName"] for entry in made["resources"]] == ["bay", "la"]
    assert values(made, "bay", payload_type) == expected
    (descriptor,) = made["payloadDescriptors"]
    kind = KINDS[payload_type]
    assert descriptor["objectType"] == "REPORT_PAYLOAD_DESCRIPTOR"
    assert (descriptor["readingType"], descriptor.get("units")) == (kind.reading_type, kind.units)


def test_one_interval_carries_all_types_and_mirrors_the_events_interval():
    made = told(wanted("USAGE", windows=(window(0), window(1))), wanted("DEMAND", windows=(window(0), window(1))))
    first, second = made["resources"][0]["intervals"]
    assert (first["id"], second["id"]) == (10, 11)
    assert second["intervalPeriod"] == {"start": "2026-07-16T00:00:00.000Z", "duration": "PT3600S"}
    assert [payload["type"] for payload in first["payloads"]] == ["USAGE", "DEMAND"]


def test_export_stands_under_its_own_resource_and_never_as_negative_usage():
    made = told(wanted("USAGE"), exporting=frozenset({"bay"}))
    assert [entry["resourceName"] for entry in made["resources"]] == ["bay", "bay-export", "la"]
    assert values(made, "bay-export", "USAGE") == [4.0]
    assert values(made, "bay", "USAGE") == [12.5]


def test_an_aggregate_is_one_sum_over_the_zones():
    made = told(wanted("USAGE", aggregate=True), wanted("STORAGE_CHARGE_LEVEL", aggregate=True))
    (entry,) = made["resources"]
    assert entry["resourceName"] == "AGGREGATED_REPORT"
    assert values(made, "AGGREGATED_REPORT", "USAGE") == [25.0]
    assert values(made, "AGGREGATED_REPORT", "STORAGE_CHARGE_LEVEL") == [0.5]


@pytest.mark.parametrize("payload_type", [*sorted(set(ReportPayload) - set(KINDS)), "X_PRIVATE"])
def test_what_we_cannot_report_is_called_missing_and_not_passed_over(payload_type):
    made = told(wanted("USAGE"), wanted(payload_type))
    whole, missing = made["resources"][0]["intervals"]
    assert [payload["type"] for payload in whole["payloads"]] == ["USAGE"]
    assert missing["payloads"][0] == {"type": payload_type, "values": []}
    assert missing["payloads"][1] == {"type": "DATA_QUALITY", "values": ["MISSING"]}


def test_a_forecast_of_which_nothing_is_known_is_missing():
    for payload_type in FORECASTS:
        made = told(wanted(payload_type, historical=False))
        assert values(made, "bay", "DATA_QUALITY") == ["MISSING"]


def test_what_is_still_to_come_is_answered_by_the_forecast_and_not_by_the_past():
    ahead = dataclasses.replace(FIGURES, ahead=Ahead(40.0, 20.0, 12.0, 5.0, 30.0))
    expected = {
        "USAGE": 40.0,
        "DEMAND": 20.0,
        "USAGE_FORECAST": 40.0,
        "LOAD_SHED_DELTA_AVAILABLE": 12.0,
        "GENERATION_DELTA_AVAILABLE": 5.0,
        "STORAGE_DISPATCH_FORECAST": 30.0,
    }
    assert set(expected) == set(FORECASTS)
    for payload_type, value in expected.items():
        made = told(wanted(payload_type, historical=False), figures=ahead)
        assert values(made, "bay", payload_type) == [value]
        assert made["payloadDescriptors"][0]["readingType"] == "FORECAST"


@pytest.mark.parametrize("payload_type", sorted(set(FORECASTS) - set(KINDS)))
def test_what_can_only_be_forecast_is_so_although_nobody_said_that_it_is_no_history(payload_type):
    ahead = dataclasses.replace(FIGURES, ahead=Ahead(40.0, 20.0, 12.0, 5.0, 30.0))
    made = told(wanted(payload_type), figures=ahead)
    assert values(made, "bay", payload_type)[0] > 0


def test_a_forecast_is_a_number_that_json_can_hold_whatever_it_was_worked_out_with():
    worked_out = Ahead(*(np.float64(value) for value in (40.0, 20.0, 12.0, 5.0, 30.0)))
    ahead = dataclasses.replace(FIGURES, ahead=worked_out)
    for payload_type in FORECASTS:
        made = told(wanted(payload_type, historical=False), figures=ahead)
        assert [type(value) for value in values(made, "bay", payload_type)] == [float]


def test_forecasts_of_zones_add_up():
    ahead = dataclasses.replace(FIGURES, ahead=Ahead(40.0, 20.0, 12.0, 5.0, 30.0))
    made = told(wanted("USAGE_FORECAST", historical=False, aggregate=True), figures=ahead)
    assert values(made, "AGGREGATED_REPORT", "USAGE_FORECAST") == [80.0]


@pytest.mark.parametrize("payload_type", list(KINDS))
def test_nothing_is_told_about_fewer_cars_than_the_smallest_group(payload_type):
    made = told(wanted(payload_type), figures=dataclasses.replace(FIGURES, cars=9), exporting=frozenset({"bay"}))
    for entry in made["resources"]:
        for interval in entry["intervals"]:
            assert interval["payloads"][0]["values"] == []
            assert interval["payloads"][1]["values"] == ["MISSING"]


@pytest.mark.parametrize(
    ("change", "states"),
    [
        ({}, ["RUNNING_CURTAILED"]),
        ({"held_back": 0}, ["RUNNING_NORMAL"]),
        ({"power_kw": 0.0}, ["IDLE_CURTAILED"]),
        ({"power_kw": 0.0, "held_back": 0}, ["IDLE_NORMAL"]),
        ({"opted_out": 2}, ["RUNNING_CURTAILED", "RUNNING_OPTED_OUT"]),
        ({"power_kw": 0.0, "held_back": 0, "opted_out": 1}, ["IDLE_NORMAL", "IDLE_OPTED_OUT"]),
        ({"power_kw": -20.0}, ["RUNNING_CURTAILED"]),
    ],
)
def test_the_operating_state_names_opt_outs_beside_the_zones_state(change, states):
    figures = dataclasses.replace(FIGURES, sample=dataclasses.replace(FULL, **change))
    assert values(told(wanted("OPERATING_STATE"), figures=figures), "bay", "OPERATING_STATE") == states


def test_no_sample_means_missing_and_not_zero():
    made = told(wanted("OPERATING_STATE"), figures=dataclasses.replace(FIGURES, sample=None))
    assert values(made, "bay", "DATA_QUALITY") == ["MISSING"]


# --- the meter -------------------------------------------------------------------------------------------------------


def seen(ref, at_s, power_w, added_wh=None, exported_wh=None):
    at = T0 + timedelta(seconds=at_s)

    def reading(value):
        return None if value is None else Reading(value, at, at)

    return Snapshot(
        ref, power_w=reading(power_w), energy_added_wh=reading(added_wh), energy_exported_wh=reading(exported_wh)
    )


def metered(*snapshots, zones=None):
    meter = Meter(T0.timestamp())
    enrol(meter, *(zones or ("a", "b")))
    observe(meter, *snapshots)
    return meter


def enrol(meter, *refs):
    meter.enrol(np.array([ROWS[ref] for ref in refs]), ["bay"] * len(refs))


def observe(meter, *snapshots):
    for batch in batches(snapshots, ROWS.get):
        meter.take(batch)


def energy(meter, start_s, end_s, zone="bay"):
    return meter.energy(zone, T0.timestamp() + start_s, T0.timestamp() + end_s)


def test_counters_say_how_much_and_time_says_where():
    meter = metered(seen("a", 0, 7000.0, 100.0, 0.0), seen("a", 3600, 0.0, 7100.0, 0.0))
    assert energy(meter, 0, 3600).imported_kwh == pytest.approx(7.0)
    assert energy(meter, 900, 1800).imported_kwh == pytest.approx(1.75)
    assert energy(meter, 30, 90).imported_kwh == pytest.approx(7.0 / 60)


def test_without_counters_the_last_power_is_held_until_the_next_reading():
    meter = metered(seen("a", 0, 6000.0), seen("a", 1800, 0.0), seen("b", 0, -3000.0), seen("b", 1200, 0.0))
    assert energy(meter, 0, 3600) == Energy(pytest.approx(3.0), pytest.approx(1.0))


def test_import_and_export_are_kept_apart_and_neither_is_negative():
    meter = metered(seen("a", 0, 0.0, 50.0, 0.0), seen("a", 600, 0.0, 250.0, 400.0))
    assert energy(meter, 0, 600) == Energy(pytest.approx(0.2), pytest.approx(0.4))


def test_a_counter_that_was_reset_leaves_the_held_power():
    meter = metered(seen("a", 0, 6000.0, 9000.0, 0.0), seen("a", 600, 0.0, 20.0, 0.0))
    assert energy(meter, 0, 600).imported_kwh == pytest.approx(1.0)


def test_what_was_not_read_yet_is_extrapolated_for_an_hour_at_most():
    meter = metered(seen("a", 0, 6000.0, 0.0, 0.0))
    assert energy(meter, 0, 1800).imported_kwh == pytest.approx(3.0)
    assert energy(meter, 0, 7200).imported_kwh == pytest.approx(6.0)


def test_older_readings_change_nothing():
    meter = metered(seen("a", 600, 6000.0), seen("a", 1200, 0.0), seen("a", 900, 9000.0))
    assert energy(meter, 0, 1200).imported_kwh == pytest.approx(1.0)


def test_a_car_that_left_the_programme_counts_no_more():
    meter = metered(seen("a", 0, 6000.0), seen("a", 600, 6000.0))
    enrol(meter, "b")
    observe(meter, seen("a", 1200, 6000.0))
    assert energy(meter, 600, 1200).imported_kwh == 0.0
    assert meter.known("bay") == 0


def test_hours_come_back_after_a_restart():
    meter = metered(seen("a", 0, 7000.0, 0.0, 0.0), seen("a", 5400, 0.0, 10500.0, 0.0))
    again = Meter(T0.timestamp() + 6000)
    enrol(again, "a")
    for zone, hour, imported_wh, exported_wh in meter.drain():
        again.restore(zone, hour, imported_wh, exported_wh)
    assert energy(again, 0, 5400).imported_kwh == pytest.approx(10.5, rel=1e-4)
    assert meter.drain() == []


def test_a_sample_is_the_last_at_or_before_its_instant():
    meter = metered()
    for at_s in (0.0, 300.0):
        meter.note("bay", dataclasses.replace(FULL, at_s=at_s))
    assert [getattr(meter.sample("bay", at_s), "at_s", None) for at_s in (-1.0, 0.0, 299.0, 900.0)] == [None, 0, 0, 300]
    assert meter.sample("nowhere", 0.0) is None


@given(
    st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 11000), st.floats(0, 7000)), min_size=1, max_size=20),
    st.lists(st.integers(0, 1300), max_size=6),
)
@settings(max_examples=100)
def test_no_energy_is_lost_or_made_however_a_day_is_cut_at_its_minutes(steps, cuts):
    at_s, added, exported = 0, 0.0, 0.0
    snapshots = [seen("a", 0, 0.0, 0.0, 0.0)]
    for wait_s, more_wh, given_wh in steps:
        at_s, added, exported = at_s + wait_s, added + more_wh, exported + given_wh
        snapshots.append(seen("a", at_s, 0.0, added, exported))
    meter = metered(*snapshots)
    edges = sorted({0, -(-at_s // 60) * 60, *(cut * 60 for cut in cuts if cut * 60 < at_s)})
    parts = [energy(meter, start_s, end_s) for start_s, end_s in pairwise(edges)]
    assert sum(part.imported_kwh for part in parts) == pytest.approx(added / 1000, abs=1e-6)
    assert sum(part.exported_kwh for part in parts) == pytest.approx(exported / 1000, abs=1e-6)


def test_an_alarm_of_an_inverter_is_told_beside_the_state():
    alarmed = dataclasses.replace(FIGURES, sample=dataclasses.replace(FULL, alarmed=1))
    made = told(wanted("OPERATING_STATE"), figures=alarmed)
    assert values(made, "bay", "OPERATING_STATE") == ["RUNNING_CURTAILED", "SGD_ERROR_CONDITION"]


def test_a_measured_figure_says_so_and_an_estimated_one_how_much_of_it_is():
    told_ok = told(wanted("USAGE"), wanted("DEMAND"), figures=dataclasses.replace(FIGURES, estimated=0.0))
    (interval,) = told_ok["resources"][0]["intervals"]
    assert [(p["type"], p["values"]) for p in interval["payloads"]] == [
        ("USAGE", [12.5]),
        ("DEMAND", [12.5]),
        ("DATA_QUALITY", ["OK"]),
    ]
    some = told(wanted("USAGE"), figures=dataclasses.replace(FIGURES, estimated=0.25))
    assert values(some, "bay", "DATA_QUALITY") == ["ESTIMATED"]
    assert values(some, "bay", "x-EVTN-QUALITY") == ["ESTIMATED", 0.25]


def test_figures_of_different_quality_stand_apart():
    made = told(wanted("OPERATING_STATE"), wanted("USAGE"), figures=dataclasses.replace(FIGURES, estimated=0.25))
    state, usage = made["resources"][0]["intervals"]
    assert [payload["type"] for payload in state["payloads"]] == ["OPERATING_STATE"]
    assert [payload["type"] for payload in usage["payloads"]] == ["USAGE", "DATA_QUALITY", "x-EVTN-QUALITY"]


def test_a_reading_counts_cars_that_were_not_read_lately_as_those_that_were():
    figures = dataclasses.replace(FIGURES, sample=dataclasses.replace(FULL, measured=10, plugged=15))
    made = told(wanted("READING"), figures=figures)
    assert values(made, "bay", "READING") == [45.0]
    assert values(made, "bay", "DATA_QUALITY") == ["ESTIMATED"]
    whole = dataclasses.replace(FIGURES, sample=dataclasses.replace(FULL, measured=15, plugged=15))
    assert values(told(wanted("READING"), figures=whole), "bay", "DATA_QUALITY") == ["OK"]


def test_zones_that_are_summed_up_are_estimated_as_their_cars_are():
    parts = {"bay": dataclasses.replace(FIGURES, estimated=0.5), "la": dataclasses.replace(FIGURES, estimated=0.0)}
    made = told(wanted("USAGE", aggregate=True), figures=lambda zone, _: parts[zone])
    assert values(made, "AGGREGATED_REPORT", "x-EVTN-QUALITY") == ["ESTIMATED", 0.25]
