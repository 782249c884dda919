"""Reports of 2.0b in words of 3.1 and back: every type, unit and quality, by the schema; sums, states, schedules."""

from datetime import timedelta

import openadr_spec
import pytest
from oadr20b_cases import HOUR, NOON, POWER, description

from vtn.oadr20b.codec.messages import ItemBase, OadrReport, ReportPoint, ResourceStatus
from vtn.oadr20b.mapping import reports
from vtn.oadr20b.mapping.report_types import (
    BY_PAYLOAD,
    ITEMS,
    QUALITIES,
    QUALITY_BACK,
    READING_BACK,
    READING_TYPES,
    REPORT_TYPES,
    UNITS,
    payload_up,
    quality_up,
    reading_up,
    units_up,
)
from vtn.oadr20b.mapping.reports import Figure
from vtn.oadr20b.upstream.reports import metadata, resampled
from vtn.oadr20b.upstream.settings import UtilitySettings
from vtn.wire.enumerations import OperatingState, ReportPayload
from vtn.wire.event import Event
from vtn.wire.report import ReportRequest

QUARTER = timedelta(minutes=15)


def reported(*points, described=()):
    """What a VEN sent, as a report of 3.1."""
    sent = OadrReport("q", "spec", "TELEMETRY_USAGE", points, NOON)
    return reports.report_up(sent, {one.r_id: one for one in described}, "event-1", "depot", "name")


def payloads(content):
    return [
        (one["type"], one["values"])
        for resource in content["resources"]
        for interval in resource["intervals"]
        for one in interval["payloads"]
    ]


@pytest.mark.parametrize("rule", REPORT_TYPES, ids=lambda rule: rule.report_type)
def test_a_report_type_is_a_payload_type_of_3_1_or_a_private_one_and_comes_back(rule):
    item = ITEMS.get(rule.item)
    content = reported(ReportPoint("r", NOON, 2.0, HOUR), described=[description("r", rule.report_type, item)])
    ((payload, _),) = payloads(content)
    assert payload == rule.payload
    assert payload in set(ReportPayload) or payload.startswith("X_20B_")
    assert BY_PAYLOAD.get(rule.payload) is None or rule.back is (BY_PAYLOAD[rule.payload] == rule)
    ReportRequest.model_validate(content)


@openadr_spec.HERE
@pytest.mark.parametrize("rule", REPORT_TYPES, ids=lambda rule: rule.report_type)
def test_reports_are_valid_by_the_schema_of_3_1(rule):
    quality = "Quality Good - Non Specific"
    content = reported(
        ReportPoint("r", NOON, 2.0, HOUR, quality, 95, 0.5),
        ReportPoint("s", NOON, ResourceStatus(True, False, (("oadrSetPoint", 1.0),))),
        described=[description("r", rule.report_type, ITEMS.get(rule.item)), description("s", "x-resourceStatus")],
    )
    assert openadr_spec.faults("reportRequest", content) == []
    standing = reports.standing_event("p1", NOON, (("USAGE", None), ("DEMAND", "MEAN")), QUARTER, HOUR)
    assert openadr_spec.faults("eventRequest", standing) == []


@pytest.mark.parametrize("name", READING_TYPES)
def test_every_reading_type_has_a_word_and_comes_back(name):
    told = reading_up("usage", name)
    assert told == READING_TYPES[name]
    assert told is None or READING_BACK[told] == name


def test_an_average_is_a_mean_whatever_it_says_beside_that():
    assert reading_up("avgUsage", "Direct Read") == reading_up("avgDemand", "x-notApplicable") == "MEAN"
    assert READING_BACK["AVERAGE"] == "Mean"


@pytest.mark.parametrize(("begin", "told"), QUALITIES)
def test_every_quality_has_a_word_and_its_own_beside_it(begin, told):
    assert quality_up(begin) == told
    content = reported(ReportPoint("r", NOON, 2.0, HOUR, begin), described=[description("r")])
    assert payloads(content)[1:] == [("DATA_QUALITY", [told]), ("X_20B_QUALITY", [begin])]
    assert quality_up(QUALITY_BACK[told]) == told


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("scale", "power"), [("none", 0), ("k", 3), ("M", 6), ("m", -3)])
def test_numbers_are_in_the_units_of_3_1_whatever_the_scale(unit, scale, power):
    units, factor = units_up("usage", ItemBase("x", "x", unit, scale))
    told, powers = UNITS[unit]
    assert (units, factor) == (told, pytest.approx(10.0 ** (power - powers)))


def test_percents_are_fractions_and_unknown_types_and_units_stay_what_they_are():
    assert units_up("percentUsage", None) == ("PERCENT", 0.01)
    assert units_up("usage", ItemBase("frequency", "Frequency", "Hz")) == ("Hz", 1.0)
    assert payload_up("x-own") == "X_20B_X_OWN"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (ResourceStatus(False, False), OperatingState.ERROR),
        (ResourceStatus(True, True), OperatingState.RUNNING_OPTED_OUT),
        (ResourceStatus(True, False), OperatingState.NORMAL),
        (ResourceStatus(True, False, (("oadrCapacity", 0.5),)), OperatingState.RUNNING_CURTAILED),
    ],
)
def test_a_status_is_an_operating_state(status, state):
    assert reports.operating_state(status) is state


def figure(resource, value, start=NOON, payload="USAGE", lasts=QUARTER, quality="OK"):
    return Figure(resource, payload, start, start + lasts, (value,), quality)


def test_a_sum_is_over_resources_exports_count_against_it_and_what_is_missing_does_not():
    found = [
        figure("bay", 5.0),
        figure("la", 2.5, quality="ESTIMATED"),
        figure("bay-export", 1.0),
        figure("sf", 99.0, quality="MISSING"),
        figure("bay", 4.0, NOON + QUARTER),
    ]
    told = [(one.start, one.values[0], one.quality) for one in reports.summed(found, "USAGE")]
    assert told == [(NOON, 6.5, "ESTIMATED"), (NOON + QUARTER, 4.0, "OK")]
    assert [one.values[0] for one in reports.summed(found, "USAGE", "bay")] == [4.0, 4.0]


def test_what_was_told_is_not_told_again_and_what_has_not_ended_not_yet():
    found = [figure("bay", float(number), NOON + number * QUARTER) for number in range(4)]
    points = reports.points_of(found, "energy", NOON + QUARTER, NOON + 3 * QUARTER)
    assert [one.value for one in points] == [1.0, 2.0]
    assert points[0].quality == "Quality Good - Non Specific"


def test_coarser_intervals_add_energy_average_power_and_wait_until_they_are_whole():
    found = [figure("bay", value, NOON + number * QUARTER) for number, value in enumerate((1.0, 2.0, 3.0, 4.0, 9.0))]
    assert [(one.start, one.values[0]) for one in resampled(found, HOUR, "energy")] == [(NOON, 10.0)]
    assert [(one.end, one.values[0]) for one in resampled(found, HOUR, "power")] == [(NOON + HOUR, 2.5)]
    assert resampled(found, QUARTER, "energy") == found


def test_the_newest_word_says_who_opted_out():
    later = NOON + HOUR
    found = [
        figure("bay", "RUNNING_OPTED_OUT", payload="OPERATING_STATE"),
        figure("la", "RUNNING_OPTED_OUT", payload="OPERATING_STATE"),
        figure("la", "RUNNING_NORMAL", later, "OPERATING_STATE"),
        figure("depot", "optOut", payload="X_20B_OPT"),
    ]
    assert reports.opted_out(found) == {"bay", "depot"}
    at, status = reports.status_of(found)
    assert (at, status) == (later + QUARTER, ResourceStatus(True, False))
    assert reports.status_of(found, "bay")[1].override is True


def test_times_at_which_nothing_can_be_shed_are_joined_and_those_that_passed_are_not_told():
    name = "LOAD_SHED_DELTA_AVAILABLE"
    found = [figure("bay", 0, NOON + number * QUARTER, name) for number in (-4, 1, 2, 5)]
    found.append(figure("la", 3.5, NOON + QUARTER, name))
    spans = reports.unavailable(found, NOON)
    assert spans == {
        "bay": [(NOON + QUARTER, NOON + 3 * QUARTER), (NOON + 5 * QUARTER, NOON + 6 * QUARTER)],
    }


def test_figures_follow_each_other_where_only_the_first_has_a_start():
    content = {
        "eventID": "e",
        "clientName": "c",
        "resources": [
            {
                "resourceName": "bay",
                "intervalPeriod": {"start": "2026-07-01T12:00:00Z", "duration": "PT15M"},
                "intervals": [{"id": n, "payloads": [{"type": "USAGE", "values": [n]}]} for n in range(3)],
            },
            {"resourceName": "la", "intervals": [{"id": 0, "payloads": [{"type": "USAGE", "values": [7]}]}]},
        ],
    }
    found = list(reports.figures(ReportRequest.model_validate(content)))
    assert [(one.resource, one.start) for one in found] == [("bay", NOON + n * QUARTER) for n in range(3)]


def test_the_standing_event_asks_for_every_interval_and_lasts_until_it_is_deleted():
    from vtn.rules.timeline import due_reports

    content = reports.standing_event("p1", NOON, (("USAGE", None),), QUARTER, HOUR)
    dates = {"id": "x", "createdDateTime": "2026-07-01T00:00:00Z", "modificationDateTime": "2026-07-01T00:00:00Z"}
    event = Event.model_validate({**dates, **content})
    (asked,) = event.report_descriptors
    due = due_reports(event, asked, read_at=NOON, since=NOON, until=NOON + 3 * HOUR, seed=None)
    assert [one.at for one in due] == [NOON + HOUR, NOON + 2 * HOUR]
    covered = [window.start for one in due for window in one.windows]
    assert covered == [NOON + number * QUARTER for number in range(8)]


def test_names_of_what_can_be_asked_for_never_change():
    utility = UtilitySettings(url="https://drms.example", ven_name="v", resources=("bay",))
    first, again = (metadata("u1", "ven", utility, at) for at in (NOON, NOON + HOUR))
    names = [(one.specifier_id, [point.r_id for point in one.descriptions]) for one in first]
    assert names == [(one.specifier_id, [point.r_id for point in one.descriptions]) for one in again]
    values = ["power", "energy", "power/bay", "energy/bay"]
    assert names == [
        ("u1-telemetry-usage", values),
        ("u1-telemetry-status", ["status", "status/bay"]),
        ("u1-history-usage", values),
    ]
    assert first[0].descriptions[0].item == POWER
