"""Every field of every request body, from one table: left out, null, of a wrong type, too short, too long, ill-formed.

A row is (requirement, body, path in the body, rule). A rule says what the schema says: `+` required, `-` may be left
out but not be null, `?` nullable; then the type. By the readings (TR-31) null for a `-` field counts as left out,
unless `strict_null` is set; the whole table runs against both kinds of server.
"""

import copy
import re

import pytest
from vtn_process import fresh

X128 = "x" * 128
VALUES = [{"type": "COUNTRY", "values": ["US", {"x": 1, "y": 2}]}]
PERIOD = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H", "randomizeStart": "PT5M"}
INTERVALS = [{"id": 0, "intervalPeriod": PERIOD, "payloads": [{"type": "PRICE", "values": [0.17, {"x": 1, "y": 2}]}]}]
EVENT_DESCRIPTOR = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE", "units": "KWH", "currency": "USD"}
REPORT_DESCRIPTOR = {
    "objectType": "REPORT_PAYLOAD_DESCRIPTOR",
    "payloadType": "USAGE",
    "readingType": "MEAN",
    "units": "KWH",
    "accuracy": 0.5,
    "confidence": 90,
}
REPORT_REQUEST = {
    "payloadType": "USAGE",
    "readingType": "MEAN",
    "units": "KWH",
    "targets": ["t"],
    "aggregate": False,
    "startInterval": -1,
    "numIntervals": -1,
    "historical": True,
    "frequency": -1,
    "repeat": 1,
    "reportIntervals": "INTERVALS",
}
BODIES = {
    "program": {
        "programName": "p",
        "intervalPeriod": PERIOD,
        "programDescriptions": [{"URL": "https://example.org/program"}],
        "payloadDescriptors": [EVENT_DESCRIPTOR, REPORT_DESCRIPTOR],
        "attributes": VALUES,
        "targets": ["t"],
    },
    "event": {
        "programID": "?",
        "eventName": "e",
        "duration": "PT2H",
        "priority": 1,
        "targets": ["t"],
        "reportDescriptors": [REPORT_REQUEST],
        "payloadDescriptors": [EVENT_DESCRIPTOR],
        "intervalPeriod": PERIOD,
        "intervals": INTERVALS,
    },
    "report": {
        "eventID": "?",
        "clientName": "x",
        "reportName": "r",
        "payloadDescriptors": [REPORT_DESCRIPTOR],
        "resources": [{"resourceName": "r", "intervalPeriod": PERIOD, "intervals": INTERVALS}],
    },
    "subscription": {
        "clientName": "x",
        "programID": "?",
        "objectOperations": [{"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "?", "bearerToken": "t"}],
        "targets": ["t"],
    },
    "bl ven": {
        "objectType": "BL_VEN_REQUEST",
        "clientID": "owner",
        "venName": "v",
        "targets": ["t"],
        "attributes": VALUES,
    },
    "ven": {"objectType": "VEN_VEN_REQUEST", "venName": "v", "attributes": VALUES},
    "bl resource": {
        "objectType": "BL_RESOURCE_REQUEST",
        "clientID": X128,
        "resourceName": "r",
        "venID": "?",
        "targets": ["t"],
        "attributes": VALUES,
    },
    "resource": {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": "?", "attributes": VALUES},
}
FIELDS = [
    ("PROG-F01", "program", "programName", "+name"),
    ("PROG-F02", "program", "intervalPeriod", "-object"),
    ("PROG-F03", "program", "programDescriptions", "?objects"),
    ("PROG-F04", "program", "payloadDescriptors", "?objects"),
    ("PROG-F05", "program", "attributes", "?objects"),
    ("PROG-F06", "program", "targets", "?names"),
    ("PROG-F07", "program", "programDescriptions[0].URL", "+uri"),
    ("EVT-F01", "event", "programID", "+id"),
    ("EVT-F02", "event", "eventName", "?text"),
    ("EVT-F03", "event", "duration", "-duration"),
    ("EVT-F04", "event", "priority", "?natural"),
    ("EVT-F05", "event", "targets", "?names"),
    ("EVT-F06", "event", "reportDescriptors", "?objects"),
    ("EVT-F07", "event", "payloadDescriptors", "?objects"),
    ("EVT-F08", "event", "intervalPeriod", "-object"),
    ("EVT-F09", "event", "intervals", "-objects"),
    ("INT-F01", "event", "intervals[0].id", "+int32"),
    ("INT-F02", "event", "intervals[0].intervalPeriod", "-object"),
    ("INT-F03", "event", "intervals[0].payloads", "+objects"),
    ("INT-F04", "event", "intervalPeriod.start", "-date-time"),
    ("INT-F05", "event", "intervalPeriod.duration", "-duration"),
    ("INT-F06", "event", "intervalPeriod.randomizeStart", "-duration"),
    ("INT-F04 interval", "event", "intervals[0].intervalPeriod.start", "-date-time"),
    ("INT-F05 interval", "event", "intervals[0].intervalPeriod.duration", "-duration"),
    ("INT-F06 interval", "event", "intervals[0].intervalPeriod.randomizeStart", "-duration"),
    ("PAY-F01", "event", "intervals[0].payloads[0].type", "+name"),
    ("PAY-F02", "event", "intervals[0].payloads[0].values", "+values"),
    ("PAY-F01 attribute", "program", "attributes[0].type", "+name"),
    ("PAY-F02 attribute", "ven", "attributes[0].values", "+values"),
    ("PAY-F03", "event", "intervals[0].payloads[0].values[1].x", "+number"),
    ("PAY-F04", "event", "intervals[0].payloads[0].values[1].y", "+number"),
    ("PAY-F05", "event", "payloadDescriptors[0].objectType", "+enum"),
    ("PAY-F05 program", "program", "payloadDescriptors[0].objectType", "+enum"),
    ("PAY-F06", "event", "payloadDescriptors[0].payloadType", "+name"),
    ("PAY-F07", "event", "payloadDescriptors[0].units", "?name"),
    ("PAY-F08", "event", "payloadDescriptors[0].currency", "?text"),
    ("PAY-F09", "report", "payloadDescriptors[0].objectType", "+enum"),
    ("PAY-F09 program", "program", "payloadDescriptors[1].objectType", "+enum"),
    ("PAY-F10", "report", "payloadDescriptors[0].payloadType", "+name"),
    ("PAY-F11", "report", "payloadDescriptors[0].readingType", "?name"),
    ("PAY-F12", "report", "payloadDescriptors[0].units", "?name"),
    ("PAY-F13", "report", "payloadDescriptors[0].accuracy", "?number"),
    ("PAY-F14", "report", "payloadDescriptors[0].confidence", "?percent"),
    ("RDS-F01", "event", "reportDescriptors[0].payloadType", "+name"),
    ("RDS-F02", "event", "reportDescriptors[0].readingType", "?name"),
    ("RDS-F03", "event", "reportDescriptors[0].units", "?name"),
    ("RDS-F04", "event", "reportDescriptors[0].targets", "?names"),
    ("RDS-F05", "event", "reportDescriptors[0].aggregate", "-boolean"),
    ("RDS-F06", "event", "reportDescriptors[0].startInterval", "-int32"),
    ("RDS-F07", "event", "reportDescriptors[0].numIntervals", "-int32"),
    ("RDS-F08", "event", "reportDescriptors[0].historical", "-boolean"),
    ("RDS-F09", "event", "reportDescriptors[0].frequency", "-int32"),
    ("RDS-F10", "event", "reportDescriptors[0].repeat", "-int32"),
    ("RDS-F11", "event", "reportDescriptors[0].reportIntervals", "-enum"),
    ("RPT-F01", "report", "eventID", "+id"),
    ("RPT-F02", "report", "clientName", "+name"),
    ("RPT-F03", "report", "reportName", "?text"),
    ("RPT-F04", "report", "payloadDescriptors", "?objects"),
    ("RPT-F05", "report", "resources", "+objects"),
    ("RPT-F06", "report", "resources[0].resourceName", "+name"),
    ("RPT-F07", "report", "resources[0].intervalPeriod", "-object"),
    ("RPT-F08", "report", "resources[0].intervals", "+objects"),
    ("INT-F01 report", "report", "resources[0].intervals[0].id", "+int32"),
    ("INT-F04 report", "report", "resources[0].intervalPeriod.start", "-date-time"),
    ("PAY-F01 report", "report", "resources[0].intervals[0].payloads[0].type", "+name"),
    ("SUB-F01", "subscription", "clientName", "+name"),
    ("SUB-F02", "subscription", "programID", "-id"),
    ("SUB-F03", "subscription", "objectOperations", "+objects"),
    ("SUB-F04", "subscription", "targets", "?names"),
    ("SUB-F05", "subscription", "objectOperations[0].objects", "+enums"),
    ("SUB-F06", "subscription", "objectOperations[0].operations", "+enums"),
    ("SUB-F07", "subscription", "objectOperations[0].callbackUrl", "+callback"),
    ("SUB-F08", "subscription", "objectOperations[0].bearerToken", "?token"),
    ("VEN-F01", "bl ven", "objectType", "+enum"),
    ("VEN-F02", "bl ven", "clientID", "+client"),
    ("VEN-F03", "bl ven", "targets", "?names"),
    ("VEN-F04", "bl ven", "venName", "+name"),
    ("VEN-F05", "bl ven", "attributes", "?objects"),
    ("VEN-F06", "ven", "objectType", "+enum"),
    ("VEN-F07", "ven", "venName", "+name"),
    ("VEN-F08", "ven", "attributes", "?objects"),
    ("RES-F01", "bl resource", "objectType", "+enum"),
    ("RES-F02", "bl resource", "clientID", "-owner"),  # left out, it is that of the ven (DIVERGENCES.md)
    ("RES-F03", "bl resource", "targets", "?names"),
    ("RES-F04", "bl resource", "resourceName", "+name"),
    ("RES-F05", "bl resource", "venID", "+id"),
    ("RES-F06", "bl resource", "attributes", "?objects"),
    ("RES-F07", "resource", "objectType", "+enum"),
    ("RES-F08", "resource", "resourceName", "+name"),
    ("RES-F09", "resource", "venID", "+id"),
    ("RES-F10", "resource", "attributes", "?objects"),
]
NOT_NAMES = ["", "x" * 129, 7, True, ["x"], {}]
NOT_INTEGERS = [1.5, "1", True, 2**31, -(2**31) - 1, []]
NOT_LISTS = ["x", 7, {}]
GOOD = {
    "name": ["x", X128, "Straße"],
    "client": ["y" * 128, "ä b"],
    "owner": [X128],
    "names": [[], ["a"], [X128, "a", "a"]],
    "id": [X128, "a-b_C9"],
    "text": ["", "x" * 9000],
    "token": ["", "x" * 4000],
    "uri": ["https://example.org/x?y=1#z", "urn:x", "a:" + "b" * 7998],
    "callback": [],
    "int32": [0, -1, 2**31 - 1, -(2**31)],
    "natural": [0, 2**31],
    "percent": [0, 100],
    "number": [0, -1.5, 1e9],
    "boolean": [True, False],
    "duration": ["PT0S", "PT1H", "P9999Y", "P7D", "P1W", "PT0.5S", "-PT5M", "P1M", "P1DT12H", "PT0H", "P1Y1W", "P1DT"],
    "date-time": [
        "2023-02-10T00:00:00.000Z",
        "2023-02-10t00:00:00+01:00",
        "0001-01-01",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
    ],
    "object": [{}],
    "objects": [[]],
    "values": [[], [1, 1.5, "x", True, {"x": 1, "y": 2}]],
    "enum": [],
    "enums": [[]],
}
BAD = {
    "name": NOT_NAMES,
    "client": NOT_NAMES,
    "owner": NOT_NAMES,
    "names": [*NOT_LISTS, [""], ["x" * 129], [7], [None], [{"type": "GROUP"}]],
    "id": [*NOT_NAMES, "a b", "a/b", "ä", "a\n"],
    "text": [7, True, ["x"], {}],
    "token": [7, True, ["x"], {}],
    "uri": ["x", "", 7, "not a url", "a:" + "b" * 7999, "/relative"],
    "callback": [
        "x",
        "",
        7,
        "not a url",
        "https://" + "b" * 7993,
        "http://example.org/",
        "ftp://example.org/",
        "https://",
    ],
    "int32": NOT_INTEGERS,
    "natural": [-1, 1.5, "1", True],
    "percent": [-1, 101, 1.5, "1", 2**31],
    "number": ["x", True, []],
    "boolean": ["true", 1, 0, []],
    "duration": [
        "P12H",
        "P0S",
        "PT1.5H",
        "P",
        "PT",
        "pt1h",
        "",
        "P1.5D",
        "P1D2W",
        "+PT1H",
        "PT-1H",
        "PT1H\n",
        "P\u0661D",
        7,
    ],
    "date-time": [
        "17:15:16",
        "2023-02-10",
        "2023-02-30T00:00:00Z",
        "2023-02-10T00:00:00",
        "2023-02-10 00:00:00Z",
        "",
        7,
    ],
    "object": ["x", 7, []],
    "objects": [*NOT_LISTS, ["x"], [7], [None]],
    "values": [*NOT_LISTS, [None], [[1]], [{"x": 1}], [{"x": "1", "y": 2}], [{}]],
    "enum": ["OTHER", "", 7, [], "eventPayloadDescriptor"],
    "enums": [*NOT_LISTS, ["EVENTS"], ["POST"], [7], [None]],
}
MISSING = object()


@pytest.fixture(scope="module", params=[False, True], ids=["standard", "strict_null"])
def strict(request):
    return request.param


@pytest.fixture(scope="module")
def vtn(launch, strict):
    with launch({"protocol.strict_null": str(strict).lower()}) as server:
        yield server


@pytest.fixture
async def desk(bl, c1, receiver):
    """Who posts which body where, and the ids and URLs that stand for the question marks."""
    program = await bl.made("/programs", {"programName": fresh("p")})
    event = await bl.made("/events", {"programID": program["id"]})
    ven = {"objectType": "BL_VEN_REQUEST", "venName": fresh("v")}
    theirs = await bl.made("/vens", {**ven, "clientID": X128})
    mine = await c1.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})
    yield {
        "program": (bl, "/programs", {}),
        "event": (bl, "/events", {"programID": program["id"]}),
        "report": (c1, "/reports", {"eventID": event["id"]}),
        "subscription": (c1, "/subscriptions", {"programID": program["id"], "callbackUrl": receiver.url}),
        "bl ven": (bl, "/vens", {}),
        "ven": (c1, "/vens", {}),
        "bl resource": (bl, "/resources", {"venID": theirs["id"]}),
        "resource": (c1, "/resources", {"venID": mine["id"]}),
    }
    for path in (f"/programs/{program['id']}", f"/vens/{theirs['id']}"):
        (await bl.delete(path)).shows(200)
    await c1.delete(f"/vens/{mine['id']}")


def filled(kind, known):
    body = copy.deepcopy(BODIES[kind])
    for name, value in known.items():
        holder = body["objectOperations"][0] if name == "callbackUrl" else body
        holder[name] = value
    return body


def mutant(body, path, value):
    """The body with one field changed or left out."""
    changed = copy.deepcopy(body)
    steps = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    node = changed
    for step in steps[:-1]:
        node = node[step]
    if value is MISSING:
        del node[steps[-1]]
    else:
        node[steps[-1]] = value
    return changed


def verdicts(rule, *, strict):
    """What is to be accepted and what is to be refused for a field of this rule."""
    level, kind = rule[0], rule[1:]
    good, bad = list(GOOD[kind]), list(BAD[kind])
    (bad if level == "+" else good).append(MISSING)
    (bad if level == "+" or (level == "-" and strict) else good).append(None)
    return good, bad


@pytest.mark.parametrize("row", FIELDS, ids=[row[0] for row in FIELDS])
async def test_a_field_is_held_to_its_schema(desk, c1, strict, row):
    _, kind, path, rule = row
    writer, collection, known = desk[kind]
    if kind == "ven":
        for mine in (await c1.get("/vens")).ids:
            (await c1.delete(f"/vens/{mine}")).shows(200)
    body = filled(kind, known)
    good, bad = verdicts(rule, strict=strict)
    before = (await writer.get(collection)).ids
    for value in bad:
        answer = await writer.post(collection, mutant(body, path, value))
        assert answer.status == 400, (value, answer.status, answer.content)
        assert any(place.startswith(f"$.{path}") for place in answer.shows(400).paths()), (value, answer.content)
    assert (await writer.get(collection)).ids == before, "something refused was stored"
    for value in good:
        answer = await writer.post(collection, mutant(body, path, value))
        if rule[1:] == "id" and isinstance(value, str):
            assert answer.status in {404, 409}, (value, answer.content)
            continue
        assert answer.status == 201, (value, answer.content)
        (await writer.delete(f"{collection}/{answer.json['id']}")).shows(200)
