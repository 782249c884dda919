"""OpenADR 3.0.1 made of 3.1 and back: one table for both directions, and laws that hold for every object."""

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.errors import Rejected
from vtn.rules.admission import Strictness, admit
from vtn.rules.compat30 import objects, side
from vtn.rules.compat30.objects import Around
from vtn.rules.compat30.side import NOTHING, Side
from vtn.rules.scopes import OPERATIONS_301, permits
from vtn.wire import document
from vtn.wire.enumerations import ObjectType
from vtn.wire.model import NOW

AT = "2026-07-15T12:00:00.000000Z"
LATER = datetime(2026, 7, 20, 9, 30, tzinfo=UTC)
NOON = "2026-07-15T12:00:00Z"
ON_301 = Strictness(lenient_descriptors=True, ownerless=True)
METADATA = {"id": "x", "createdDateTime": AT, "modificationDateTime": AT}


def price(*values, kind="PRICE"):
    return [{"type": kind, "values": list(values)}]


def period(start=NOON, duration="PT1H", **more):
    return {"start": start, "duration": duration, **more}


def read(kind, body, *, is_bl=True):
    """The 3.1 object that a 3.0.1 body becomes, judged as the server judges it."""
    inward = objects.read(kind, document.parse(document.render(body)), is_bl=is_bl)
    assert inward.faults == ()
    return admit(kind, inward.content, is_bl=is_bl, strictness=ON_301), inward


def show(kind, content, remembered=NOTHING, *, now=LATER, **around):
    return objects.show(kind, {**METADATA, **content}, remembered, Around(now, **around))


def without_metadata(content):
    return {key: value for key, value in content.items() if key not in METADATA}


def faults(kind, body, *, is_bl=True):
    return {fault.path: fault.rule for fault in objects.read(kind, body, is_bl=is_bl).faults}


# --- one table, parsed and printed -----------------------------------------------------------------------------------

PROGRAM, EVENT, REPORT = ObjectType.PROGRAM, ObjectType.EVENT, ObjectType.REPORT
SUBSCRIPTION, VEN, RESOURCE = ObjectType.SUBSCRIPTION, ObjectType.VEN, ObjectType.RESOURCE
HOOK = {"objects": ["EVENT"], "callbackUrl": "https://hook.example.org/a", "bearerToken": None}

TABLE = {
    "a program's fields are attributes": (
        PROGRAM,
        {"programName": "p", "programLongName": "P Long", "retailerName": "R", "bindingEvents": True},
        {
            "programName": "p",
            "attributes": [
                {"type": "PROGRAM_LONG_NAME", "values": ["P Long"]},
                {"type": "RETAILER_NAME", "values": ["R"]},
                {"type": "BINDING_EVENTS", "values": [True]},
            ],
        },
    ),
    "every field has an attribute": (
        PROGRAM,
        {
            "programName": "p",
            "retailerLongName": "Retailer Inc.",
            "programType": "PRICING_TARIFF",
            "country": "US",
            "principalSubdivision": "CO",
            "timeZoneOffset": "-PT7H",
            "localPrice": False,
        },
        {
            "programName": "p",
            "attributes": [
                {"type": "RETAILER_LONG_NAME", "values": ["Retailer Inc."]},
                {"type": "PROGRAM_TYPE", "values": ["PRICING_TARIFF"]},
                {"type": "COUNTRY", "values": ["US"]},
                {"type": "PRINCIPAL_SUBDIVISION", "values": ["CO"]},
                {"type": "TIME_ZONE_OFFSET", "values": ["-PT7H"]},
                {"type": "LOCAL", "values": [False]},
            ],
        },
    ),
    "targets have types": (
        PROGRAM,
        {
            "programName": "p",
            "targets": [{"type": "GROUP", "values": ["g1", "g2"]}, {"type": "VEN_NAME", "values": ["v"]}],
        },
        {"programName": "p", "targets": ["g1", "g2", "v"]},
    ),
    "one string may have several types": (
        VEN,
        {"venName": "v", "targets": [{"type": "GROUP", "values": ["a"]}, {"type": "SERVICE_AREA", "values": ["a"]}]},
        {"venName": "v", "targets": ["a"]},
    ),
    "an event with its own times": (
        EVENT,
        {"programID": "p1", "intervalPeriod": period(), "intervals": [{"id": 0, "payloads": price(0.17)}]},
        {"programID": "p1", "intervalPeriod": period(), "intervals": [{"id": 0, "payloads": price(0.17)}]},
    ),
    "no length of a price is no end": (
        EVENT,
        {
            "programID": "p1",
            "intervalPeriod": period(NOW, "PT0S"),
            "intervals": [{"id": 7, "payloads": price(0.17), "intervalPeriod": period(NOON, "PT0S")}],
        },
        {
            "programID": "p1",
            "intervalPeriod": period(NOW, "PT0S"),
            "intervals": [{"id": 7, "payloads": price(0.17), "intervalPeriod": period(NOON, "P9999Y")}],
        },
    ),
    "no length around prices is no end": (
        EVENT,
        {"programID": "p1", "intervalPeriod": period(NOW, "PT0S"), "intervals": [{"id": 0, "payloads": price(1)}]},
        {"programID": "p1", "intervalPeriod": period(NOW, "P9999Y"), "intervals": [{"id": 0, "payloads": price(1)}]},
    ),
    "no length of an instruction is an instant": (
        EVENT,
        {
            "programID": "p1",
            "intervalPeriod": period(NOON, "PT0S"),
            "intervals": [{"id": 0, "payloads": price(1, kind="CTA2045_REBOOT")}],
        },
        {
            "programID": "p1",
            "intervalPeriod": period(NOON, "PT0S"),
            "intervals": [{"id": 0, "payloads": price(1, kind="CTA2045_REBOOT")}],
        },
    ),
    "report requests have typed targets": (
        EVENT,
        {
            "programID": "p1",
            "intervals": [],
            "reportDescriptors": [{"payloadType": "USAGE", "targets": [{"type": "RESOURCE_NAME", "values": ["r"]}]}],
        },
        {"programID": "p1", "intervals": [], "reportDescriptors": [{"payloadType": "USAGE", "targets": ["r"]}]},
    ),
    "a subscription in the schema's words": (
        SUBSCRIPTION,
        {"clientName": "c", "programID": "p1", "objectOperations": [{**HOOK, "operations": ["CREATE", "UPDATE"]}]},
        {"clientName": "c", "programID": "p1", "objectOperations": [{**HOOK, "operations": ["CREATE", "UPDATE"]}]},
    ),
    "a subscription in HTTP's words": (
        SUBSCRIPTION,
        {"clientName": "c", "programID": "p1", "objectOperations": [{**HOOK, "operations": ["GET", "POST", "PUT"]}]},
        {
            "clientName": "c",
            "programID": "p1",
            "objectOperations": [{**HOOK, "operations": ["READ", "CREATE", "UPDATE"]}],
        },
    ),
    "a resource": (
        RESOURCE,
        {"resourceName": "r", "venID": "v1", "attributes": price(7.2, kind="MAX_POWER_CONSUMPTION"), "targets": None},
        {"resourceName": "r", "venID": "v1", "attributes": price(7.2, kind="MAX_POWER_CONSUMPTION"), "targets": None},
    ),
}


@pytest.mark.parametrize(("kind", "old", "new"), TABLE.values(), ids=TABLE)
def test_the_table_holds_in_both_directions(kind, old, new):
    content, inward = read(kind, old)
    assert content == new
    remembered = Side(inward.types, http_words=inward.http_words)
    assert without_metadata(show(kind, content, side.read(side.write(remembered)))) == old


def test_a_report_names_its_program_on_one_side_only():
    body = {"programID": "p1", "eventID": "e1", "clientName": "c", "resources": []}
    content, _ = read(REPORT, body)
    assert {**content, "resources": []} == body, "admission keeps it until it has been compared with the event's"
    stored = {"eventID": "e1", "clientName": "c", "resources": []}
    assert without_metadata(show(REPORT, stored, program_id="p2")) == {**stored, "programID": "p2"}


# --- in --------------------------------------------------------------------------------------------------------------

REFUSED = [
    (EVENT, {"programID": "p"}, {"$.intervals": "is required"}),
    (EVENT, {"programID": "p", "intervals": None}, {"$.intervals": "is required"}),
    (REPORT, {"eventID": "e"}, {"$.programID": "is required"}),
    (SUBSCRIPTION, {"clientName": "c"}, {"$.programID": "is required"}),
    (PROGRAM, {"programLongName": 5}, {"$.programLongName": "must be text"}),
    (PROGRAM, {"bindingEvents": "yes"}, {"$.bindingEvents": "must be true or false"}),
    (PROGRAM, {"timeZoneOffset": "-7"}, {"$.timeZoneOffset": "must be an ISO 8601 duration such as PT1H"}),
    (PROGRAM, {"intervalPeriod": {"duration": "PT1H"}}, {"$.intervalPeriod.start": "is required"}),
    (PROGRAM, {"targets": "g1"}, {"$.targets": "must be a list"}),
    (PROGRAM, {"targets": ["g1"]}, {"$.targets[0]": "must be an object with type and values"}),
    (PROGRAM, {"targets": [{"values": []}]}, {"$.targets[0].type": "must be text of 1 to 128 characters"}),
    (PROGRAM, {"targets": [{"type": "G", "values": "g"}]}, {"$.targets[0].values": "must be a list"}),
    (VEN, {"objectType": "BL_VEN_REQUEST"}, {"$.objectType": "must be VEN"}),
]


@pytest.mark.parametrize(("kind", "body", "expected"), REFUSED)
def test_what_only_301_demands_is_a_fault(kind, body, expected):
    assert faults(kind, body) == expected


@pytest.mark.parametrize("value", [{"x": 1.0, "y": 2.0}, "x" * 129, "", None, ["a"]])
def test_what_no_target_can_be_made_of_is_refused(value):
    rule = "must be text of 1 to 128 characters, a number, true or false"
    assert faults(PROGRAM, {"targets": [{"type": "G", "values": ["ok", value]}]}) == {"$.targets[0].values[1]": rule}


def test_targets_that_are_numbers_and_truth_values_become_text_as_written():
    body = document.parse(b'{"venName":"v","targets":[{"type":"G","values":[1.50,7,true,false,1e3]}]}')
    assert read(VEN, body)[0]["targets"] == ["1.50", "7", "true", "false", "1e3"]


@pytest.mark.parametrize(
    "start", ["0000-00-00", "0000-00-00T00:00:00Z", "0000-01-01", "0001-01-01", "0001-01-01T00:00:00"]
)
def test_every_old_spelling_of_now_is_stored_as_the_new_one(start):
    body = {
        "programID": "p",
        "intervalPeriod": period(start),
        "intervals": [{"id": 0, "payloads": price(1), "intervalPeriod": period(start)}],
    }
    content, _ = read(EVENT, body)
    assert content["intervalPeriod"]["start"] == content["intervals"][0]["intervalPeriod"]["start"] == NOW


def test_a_length_of_zero_around_different_payloads_stays_as_it_is():
    intervals = [{"id": 0, "payloads": price(1)}, {"id": 1, "payloads": price(1, kind="X_PRIVATE")}]
    content, _ = read(EVENT, {"programID": "p", "intervalPeriod": period(NOW, "PT0S"), "intervals": intervals})
    assert content["intervalPeriod"]["duration"] == "PT0S"


def test_a_length_of_zero_without_intervals_stays_because_it_may_ask_for_reports():
    content, _ = read(EVENT, {"programID": "p", "intervalPeriod": period(NOW, "PT0S"), "intervals": []})
    assert content["intervalPeriod"]["duration"] == "PT0S"


def test_an_instant_in_a_report_stays_an_instant():
    interval = {"id": 0, "intervalPeriod": period(duration="PT0S"), "payloads": price(1, kind="READING")}
    body = {
        "programID": "p",
        "eventID": "e",
        "clientName": "c",
        "resources": [{"resourceName": "r", "intervals": [interval]}],
    }
    assert read(REPORT, body)[0]["resources"][0]["intervals"] == [interval]


def test_nulls_where_only_absence_is_allowed_are_left_out():
    body = {"programID": "p", "intervalPeriod": None, "intervals": [{"id": 0, "intervalPeriod": None, "payloads": []}]}
    assert read(EVENT, body)[0] == {"programID": "p", "intervals": [{"id": 0, "payloads": []}]}


def test_what_31_added_means_nothing_on_301():
    assert read(PROGRAM, {"programName": "p", "attributes": [{"anything": 1}]})[0] == {"programName": "p"}
    body = {
        "programID": "p",
        "intervals": [],
        "duration": "P1D",
        "reportDescriptors": [{"payloadType": "U", "reportIntervals": "INTERVALS"}],
    }
    assert read(EVENT, body)[0] == {"programID": "p", "intervals": [], "reportDescriptors": [{"payloadType": "U"}]}
    assert read(VEN, {"venName": "v", "clientID": "c1"})[0] == {"venName": "v"}


def test_extensions_are_carried():
    assert read(PROGRAM, {"programName": "p", "x-mine": {"a": [1]}})[0] == {"programName": "p", "x-mine": {"a": [1]}}
    assert show(PROGRAM, {"programName": "p", "x-mine": {"a": [1]}})["x-mine"] == {"a": [1]}


@pytest.mark.parametrize(("kind", "name"), [(VEN, "venName"), (RESOURCE, "resourceName")])
@pytest.mark.parametrize("given_targets", [[{"type": "GROUP", "values": ["g1"]}], "nonsense"])
def test_a_vens_targets_are_dropped_silently(kind, name, given_targets):
    content, inward = read(kind, {name: "n", "venID": "v1", "targets": given_targets}, is_bl=False)
    assert "targets" not in content
    assert inward.types == {}


@pytest.mark.parametrize(
    ("kind", "descriptor", "constant"),
    [
        (PROGRAM, {"payloadType": "PRICE"}, "EVENT_PAYLOAD_DESCRIPTOR"),
        (PROGRAM, {"payloadType": "USAGE", "readingType": "MEAN"}, "REPORT_PAYLOAD_DESCRIPTOR"),
        (EVENT, {"payloadType": "PRICE"}, "EVENT_PAYLOAD_DESCRIPTOR"),
        (REPORT, {"payloadType": "USAGE"}, "REPORT_PAYLOAD_DESCRIPTOR"),
    ],
)
def test_descriptors_take_their_object_type_from_their_place(kind, descriptor, constant):
    rest = {"programName": "p", "programID": "p", "eventID": "e", "clientName": "c", "intervals": [], "resources": []}
    content, _ = read(kind, {**rest, "payloadDescriptors": [descriptor]})
    assert content["payloadDescriptors"] == [{**descriptor, "objectType": constant}]


@pytest.mark.parametrize("body", [None, 5, "x", [], True])
@pytest.mark.parametrize("kind", ObjectType)
def test_a_body_that_is_no_object_is_left_to_admission(kind, body):
    assert objects.read(kind, body, is_bl=True).content == body


TIMES = ["intervals", "intervalPeriod", "start", "duration", "payloads", "type", "values"]
REFERENCES = ["programID", "targets", "reportDescriptors", "objectOperations", "operations", "resources"]
KEYS = [*TIMES, *REFERENCES, "attributes", "objectType", "country"]
NEEDED = {"programName": "p", "programID": "p", "eventID": "e", "clientName": "c", "venName": "v", "resourceName": "r"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "g1", "PT0S", "PRICE", NOW, "0000-00-00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.sampled_from(ObjectType), JSON, st.booleans())
def test_no_body_breaks_the_translation(kind, body, is_bl):
    body = {**NEEDED, **body} if isinstance(body, dict) else body
    inward = objects.read(kind, body, is_bl=is_bl)
    if not inward.faults:
        try:
            content = admit(kind, inward.content, is_bl=is_bl, strictness=ON_301)
        except Rejected:
            return
        show(kind, content, Side(inward.types, http_words=inward.http_words), program_id="p1")


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "word"), [("CREATE", "POST"), ("READ", "GET"), ("UPDATE", "PUT"), ("DELETE", "DELETE")]
)
def test_notifications_speak_of_http_methods_and_301_objects(operation, word):
    ven = {**METADATA, "objectType": "VEN", "clientID": "c1", "venName": "v", "targets": ["g1"]}
    message = {"objectType": "VEN", "operation": operation, "object": ven, "targets": ["g1"]}
    said = objects.notification(message, Side({"g1": ("VEN_NAME",)}), Around(LATER))
    typed = [{"type": "VEN_NAME", "values": ["g1"]}]
    rest = {key: value for key, value in ven.items() if key != "clientID"}
    assert said == {"objectType": "VEN", "operation": word, "object": {**rest, "targets": typed}, "targets": typed}


def test_a_subscription_is_shown_with_its_bearer_token_or_null():
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "https://a.example"}
    assert show(SUBSCRIPTION, {"objectOperations": [entry]})["objectOperations"] == [{**entry, "bearerToken": None}]


def test_what_a_3_1_client_calls_resources_of_a_ven_is_not_taken_for_those_that_3_0_1_has_inside_it():
    assert "resources" not in show(VEN, {"venName": "v", "resources": [{"resourceName": "r"}]})


def test_the_table_of_operations_is_that_of_301():
    assert len(OPERATIONS_301) == 30
    assert len({(operation.method, operation.path) for operation in OPERATIONS_301}) == 30
    assert {operation.path for operation in OPERATIONS_301 if "resources" in operation.path} == {
        "/vens/{venID}/resources",
        "/vens/{venID}/resources/{resourceID}",
    }


@pytest.mark.parametrize("operation", OPERATIONS_301, ids=lambda one: one.name)
def test_read_all_in_a_vens_token_opens_reads_and_no_writes(operation):
    assert permits(operation, is_bl=False, scopes={"read_all"}) is (operation.method == "GET")


def test_translation_leaves_its_input_alone():
    body = {
        "programID": "p",
        "intervalPeriod": period("0000-00-00", "PT0S"),
        "intervals": [{"id": 0, "payloads": price(1)}],
        "targets": [{"type": "G", "values": ["a"]}],
    }
    before = document.render(body)
    objects.read(EVENT, body, is_bl=True)
    assert document.render(body) == before
    assert dataclasses.asdict(NOTHING) == {"types": {}, "version": None, "http_words": False, "entries": None}
