"""Admission: what the schema refuses is refused with every fault, and what is kept is kept as it was sent."""

import copy

import pytest

from vtn.errors import Forbidden, Rejected
from vtn.rules.admission import Strictness, admit
from vtn.wire.enumerations import ObjectType


def faults(kind, content, *, is_bl=True, **switches):
    with pytest.raises(Rejected) as refused:
        admit(kind, copy.deepcopy(content), is_bl=is_bl, strictness=Strictness(**switches))
    return {fault.path: fault.rule for fault in refused.value.faults}


def accepted(kind, content, *, is_bl=True, **switches):
    return admit(kind, copy.deepcopy(content), is_bl=is_bl, strictness=Strictness(**switches))


def event(**fields):
    return {"programID": "p", **fields}


def interval(**fields):
    return {"id": 0, "payloads": [{"type": "PRICE", "values": [0.17]}], **fields}


def test_every_fault_of_a_body_is_reported_at_once_with_its_path():
    body = {
        "priority": -1,
        "targets": [""],
        "intervals": [interval(id="0"), {"id": 1, "payloads": [{"type": "P", "values": [None, [1], {"x": 1}]}]}],
        "payloadDescriptors": [{"payloadType": "PRICE"}],
    }
    assert set(faults(ObjectType.EVENT, body)) == {
        "$.programID",
        "$.priority",
        "$.targets[0]",
        "$.intervals[0].id",
        "$.intervals[1].payloads[0].values[0]",
        "$.intervals[1].payloads[0].values[1]",
        "$.intervals[1].payloads[0].values[2].y",
        "$.payloadDescriptors[0].objectType",
    }


@pytest.mark.parametrize("body", [[], "x", 7, None, True])
def test_a_body_that_is_no_object_is_refused(body):
    assert faults(ObjectType.PROGRAM, body) == {"$": "must be a JSON object"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 1.5),
        ("priority", "1"),
        ("priority", True),
        ("eventName", 7),
        ("duration", "P12H"),
        ("duration", "P0S"),
        ("duration", "PT1H\n"),
        ("duration", "PT1.5H"),
        ("intervalPeriod", {"start": "17:15:16"}),
        ("intervalPeriod", {"start": "2026-02-30T00:00:00Z"}),
        ("intervalPeriod", {"start": "2026-02-03T00:00:00"}),
        ("intervalPeriod", "PT1H"),
        ("intervals", {}),
        ("intervals", [interval(id=2**31)]),
        ("intervals", [{"id": 0}]),
        ("programID", "a b"),
        ("programID", ""),
        ("programID", "a" * 129),
        ("targets", [{"type": "GROUP"}]),
        ("reportDescriptors", [{}]),
        ("reportDescriptors", [{"payloadType": "USAGE", "reportIntervals": "FOO"}]),
        ("reportDescriptors", [{"payloadType": "USAGE", "aggregate": "true"}]),
        ("payloadDescriptors", [{"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE"}]),
    ],
)
def test_an_event_field_outside_the_schema_is_refused(field, value):
    assert faults(ObjectType.EVENT, event(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", None),
        ("priority", 10**30),
        ("eventName", "x" * 1000),
        ("duration", "P9999Y"),
        ("duration", "-PT5M"),
        ("duration", "P1DT12H"),
        ("intervalPeriod", {}),
        ("intervalPeriod", {"start": "2026-07-15T16:00:00.5-07:00", "duration": "PT0.5S"}),
        ("intervals", [interval(payloads=[])]),
        ("intervals", [interval(), interval()]),
        ("intervals", [interval(payloads=[{"type": "PRIVATE", "values": ["a", True, 1, 1.5, {"x": 1, "y": 2}]}])]),
        ("myPrivateObject", {"deep": [1]}),
    ],
)
def test_an_event_field_inside_the_schema_is_kept_as_sent(field, value):
    assert accepted(ObjectType.EVENT, event(**{field: value}))[field] == value


@pytest.mark.parametrize("spelling", ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"])
def test_every_spelling_of_now_is_stored_as_a_valid_date_time(spelling):
    body = event(intervalPeriod={"start": spelling}, intervals=[interval(intervalPeriod={"start": spelling})])
    kept = accepted(ObjectType.EVENT, body)
    assert kept["intervalPeriod"]["start"] == "0001-01-01T00:00:00Z"
    assert kept["intervals"][0]["intervalPeriod"]["start"] == "0001-01-01T00:00:00Z"


def test_what_the_server_owns_is_not_taken_from_a_body():
    body = {"id": "mine", "createdDateTime": "1999-01-01T00:00:00Z", "objectType": "EVENT", "programName": "p"}
    assert accepted(ObjectType.PROGRAM, body) == {"programName": "p"}


def test_a_null_that_may_only_be_left_out_is_left_out():
    body = event(intervals=None, duration=None, targets=None, reportDescriptors=[{"payloadType": "U", "repeat": None}])
    assert accepted(ObjectType.EVENT, body) == {
        "programID": "p",
        "targets": None,
        "reportDescriptors": [{"payloadType": "U"}],
    }


def test_a_null_that_may_only_be_left_out_is_refused_when_strict():
    assert faults(ObjectType.EVENT, event(duration=None), strict_null=True) == {
        "$.duration": "may be left out but may not be null"
    }


def test_a_required_null_is_refused_also_when_lenient():
    assert "$.programID" in faults(ObjectType.EVENT, {"programID": None, "duration": None})


def test_descriptors_without_an_object_type_are_filled_in_only_by_the_switch():
    body = {"programName": "p", "payloadDescriptors": [{"payloadType": "PRICE"}, {"payloadType": "U", "accuracy": 1}]}
    assert "$.payloadDescriptors[0].objectType" in faults(ObjectType.PROGRAM, body)
    filled = accepted(ObjectType.PROGRAM, body, lenient_descriptors=True)["payloadDescriptors"]
    assert [d["objectType"] for d in filled] == ["EVENT_PAYLOAD_DESCRIPTOR", "REPORT_PAYLOAD_DESCRIPTOR"]


def test_a_program_may_describe_events_and_reports():
    descriptors = [
        {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE", "units": "KWH", "currency": "USD"},
        {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE", "confidence": 100},
    ]
    assert accepted(ObjectType.PROGRAM, {"programName": "p", "payloadDescriptors": descriptors})
    descriptors[1]["confidence"] = 101
    assert faults(ObjectType.PROGRAM, {"programName": "p", "payloadDescriptors": descriptors}).keys() == {
        "$.payloadDescriptors[1].confidence"
    }


def test_a_ven_may_not_write_the_shape_of_business_logic():
    with pytest.raises(Forbidden):
        admit(ObjectType.VEN, {"objectType": "BL_VEN_REQUEST", "clientID": "c", "venName": "v"}, is_bl=False)


@pytest.mark.parametrize("constant", ["VEN_VEN_REQUEST", "VEN", None])
def test_business_logic_may_write_only_its_own_shape(constant):
    body = {"objectType": constant, "clientID": "c", "venName": "v"}
    assert faults(ObjectType.VEN, body) == {"$.objectType": "must be BL_VEN_REQUEST for this client"}


def test_targets_and_owner_in_a_vens_own_request_never_take_effect():
    body = {"objectType": "VEN_VEN_REQUEST", "venName": "v", "targets": ["g9"], "clientID": "evil"}
    assert accepted(ObjectType.VEN, body, is_bl=False) == {"venName": "v"}


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://example.org", "https:///x", "not a url", "h", "https://["]
)
def test_a_callback_that_is_not_https_is_refused(url):
    body = {"clientName": "c", "objectOperations": [{"objects": [], "operations": [], "callbackUrl": url}]}
    assert faults(ObjectType.SUBSCRIPTION, body).keys() == {"$.objectOperations[0].callbackUrl"}


def test_a_plain_callback_to_this_machine_is_taken_only_where_it_was_opened():
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "http://127.0.0.1:9/x"}
    body = {"clientName": "c", "objectOperations": [entry]}
    assert faults(ObjectType.SUBSCRIPTION, body)
    assert accepted(ObjectType.SUBSCRIPTION, body, allow_loopback_callbacks=True)


@pytest.mark.parametrize("extension", [5, "now", [{"intervalPeriod": {"start": []}}]])
def test_an_extension_with_the_name_of_intervals_is_kept_beside_a_start_of_now(extension):
    content = {"programName": "p", "intervalPeriod": {"start": "0001-01-01"}, "intervals": extension}
    assert accepted(ObjectType.PROGRAM, content)["intervals"] == extension
