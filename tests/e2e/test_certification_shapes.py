"""What a certification engineer looks at: every answer held against the specification's own schemas and tables.

The schemas are read from `openadr3.yaml` beside the repository. Where it contradicts itself, readings.md decides: the
objectType of vens and resources is VEN and RESOURCE (TR-23), and 401 may come everywhere (TR-43).
"""

import asyncio

import pytest
from openadr_spec import HERE, document, faults
from vtn_process import fresh

pytestmark = HERE
SCHEMAS = {
    "programs": "program",
    "events": "event",
    "reports": "report",
    "subscriptions": "subscription",
    "vens": "ven",
    "resources": "resource",
}
BEYOND_THE_TABLE = {400, 401, 404, 409, 413, 500}
PERIOD = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H", "randomizeStart": "PT5M"}
PAYLOADS = [{"type": "PRICE", "values": [0.17, 1, "x", True, {"x": 1.5, "y": 2}]}]
INTERVALS = [{"id": 0, "intervalPeriod": PERIOD, "payloads": PAYLOADS}]
EVENT_DESCRIPTOR = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE", "units": "KWH", "currency": "USD"}
REPORT_DESCRIPTOR = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE", "confidence": 90}
ATTRIBUTES = [{"type": "MAX_POWER_CONSUMPTION", "values": [7.4]}]


@pytest.fixture(scope="module")
def vtn(launch):
    with launch({"mqtt.mode": "bundled", "mqtt.port": "0"}) as server:
        yield server


def valid(schema, content):
    """Whether the schema takes it; vens and resources are judged without their objectType (TR-23)."""
    found = faults(schema, content)
    return [one for one in found if schema not in {"ven", "resource"} or "objectType" not in one]


@pytest.fixture
async def full(bl, c1, receiver):
    """One object of each kind with everything in it, by collection: who wrote it, and what came back."""
    program = {
        "programName": fresh("p"),
        "intervalPeriod": PERIOD,
        "programDescriptions": [{"URL": "https://example.org/x"}],
        "payloadDescriptors": [EVENT_DESCRIPTOR, REPORT_DESCRIPTOR],
        "attributes": ATTRIBUTES,
        "targets": ["g1"],
    }
    ven = {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": fresh("v"), "targets": ["g1"]}
    made = {"vens": (bl, await bl.made("/vens", {**ven, "attributes": ATTRIBUTES}))}
    made["programs"] = bl, await bl.made("/programs", program)
    event = {
        "programID": made["programs"][1]["id"],
        "eventName": "e",
        "duration": "PT2H",
        "priority": 0,
        "targets": ["g1"],
        "reportDescriptors": [{"payloadType": "USAGE", "targets": ["g1"], "repeat": 3}],
        "payloadDescriptors": [EVENT_DESCRIPTOR],
        "intervalPeriod": PERIOD,
        "intervals": INTERVALS,
    }
    made["events"] = bl, await bl.made("/events", event)
    report = {
        "eventID": made["events"][1]["id"],
        "clientName": "x",
        "reportName": "r",
        "payloadDescriptors": [REPORT_DESCRIPTOR],
        "resources": [{"resourceName": "r", "intervalPeriod": PERIOD, "intervals": INTERVALS}],
    }
    made["reports"] = c1, await c1.made("/reports", report)
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": receiver.url, "bearerToken": "t"}
    subscription = {"clientName": "x", "programID": event["programID"], "objectOperations": [entry], "targets": ["g1"]}
    made["subscriptions"] = c1, await c1.made("/subscriptions", subscription)
    resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "r", "attributes": ATTRIBUTES}
    resource |= {"venID": made["vens"][1]["id"], "targets": ["r1"]}
    made["resources"] = bl, await bl.made("/resources", resource)
    yield made
    for collection in ("programs", "vens"):
        for one in (await bl.get(f"/{collection}")).ids:
            (await bl.delete(f"/{collection}/{one}")).shows(200)


@pytest.mark.parametrize("collection", SCHEMAS)
async def test_full_objects_are_of_the_response_schema_everywhere_gen_06(full, bl, c1, collection):
    _, made = full[collection]
    path = f"/{collection}/{made['id']}"
    assert valid(SCHEMAS[collection], made) == []
    for party in (bl, c1):
        assert valid(SCHEMAS[collection], (await party.get(path)).shows(200).json) == []
        listed = (await party.get(f"/{collection}")).shows(200).json
        assert listed
        for one in listed:
            assert valid(SCHEMAS[collection], one) == []


async def test_minimal_objects_are_of_the_response_schema_too_gen_14_15(bl, c1):
    program = await bl.made("/programs", {"programName": fresh("p")})
    event = await bl.made("/events", {"programID": program["id"]})
    report = await c1.made("/reports", {"eventID": event["id"], "clientName": "x", "resources": []})
    subscription = await c1.made("/subscriptions", {"clientName": "x", "objectOperations": []})
    ven = await c1.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})
    part = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": ven["id"]}
    resource = await c1.made("/resources", part)
    made = (program, event, report, subscription, ven, resource)
    for collection, schema in SCHEMAS.items():
        one = made[list(SCHEMAS).index(collection)]
        assert valid(schema, one) == []
        assert one["objectType"] == schema.upper()
    for answer in (await bl.delete(f"/programs/{program['id']}"), await c1.delete(f"/vens/{ven['id']}")):
        assert valid("program" if "programName" in answer.json else "ven", answer.json) == []


async def test_discovery_and_tokens_are_of_their_schemas_auth_f(vtn, nobody):
    assert faults("authServerInfo", (await nobody.get("/auth/server")).json) == []
    form = {"grant_type": "client_credentials", "client_id": "c1", "client_secret": vtn.secrets["c1"]}
    raw = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await nobody.send("POST", "/auth/token", raw=raw, headers=headers)
    assert faults("clientCredentialResponse", answer.json) == []
    refusal = await nobody.send("POST", "/auth/token", raw=b"grant_type=password", headers=headers)
    for schema in ("problem", "authError"):
        assert faults(schema, refusal.shows(400).json) == []


async def test_errors_are_of_the_problem_schema_err_f(bl, c1, nobody):
    for answer, status in (
        (await nobody.get("/programs"), 401),
        (await c1.post("/programs", {}), 403),
        (await bl.post("/programs", {}), 400),
        (await bl.get("/programs/x"), 404),
        (await bl.post("/events", {"programID": "x"}), 409),
        (await bl.post("/programs", {"x": "x" * 1_100_000}), 413),
    ):
        assert faults("problem", answer.shows(status).json) == []


async def test_notifiers_and_topics_are_of_their_schemas_mqtt_01_to_31(vtn, full, bl, c1):
    for party in (bl, c1):
        offered = (await party.get("/notifiers")).shows(200).json
        assert faults("notifiersResponse", offered) == []
        assert offered["WEBHOOK"] is True
        assert offered["MQTT"]["authentication"]["method"] == "OAUTH2_BEARER_TOKEN"
    real = {"{programID}": full["programs"][1]["id"], "{venID}": full["vens"][1]["id"]}
    for path in document()["paths"]:
        if path.startswith("/notifiers/mqtt/topics/"):
            for name, value in real.items():
                path = path.replace(name, value)  # noqa: PLW2901 - the same path with real ids
            answer = (await bl.get(path)).shows(200)
            assert faults("notifierTopicsResponse", answer.json) == []


async def test_a_notification_is_of_its_schema_notif_f(full, bl, c1, receiver):
    """Judged without the schema's choice of one object, which TR-36 calls broken for vens and resources."""
    program = full["programs"][1]["id"]
    await bl.made("/events", {"programID": program, "targets": ["g1"], "intervals": INTERVALS})
    async with asyncio.timeout(15):
        note = await receiver.seen.get()
    assert {"objectType", "operation", "object"} <= note.keys()
    assert note["objectType"] == note["object"]["objectType"] == "EVENT"
    assert note["operation"] == "CREATE"
    assert faults("event", note["object"]) == []


def operations():
    """Method, path, the statuses that the specification lists, and the scopes it names."""
    if HERE.args[0]:
        return []
    return [
        (method.upper(), path, {int(status) for status in content["responses"]})
        for path, methods in document()["paths"].items()
        for method, content in methods.items()
        if method in {"get", "post", "put", "delete"}
    ]


def test_the_specification_has_45_operations():
    assert len(operations()) == 45


@pytest.mark.parametrize(("method", "path", "listed"), operations(), ids=[f"{row[0]} {row[1]}" for row in operations()])
async def test_every_operation_is_there_and_answers_as_its_table_says_gen_01_02(full, bl, c1, method, path, listed):
    """Reads get real ids and answer 200; writes get an empty body and answer with a refusal that the table lists."""
    collection = path.split("/")[1]
    writer = c1 if collection == "reports" else bl
    real = {f"{{{name[:-1]}ID}}": made["id"] for name, (_, made) in full.items()}
    for name, value in real.items():
        path = path.replace(name, value)
    answer = await writer.send(method, path, body={} if method in {"POST", "PUT"} else None)
    expected = {"GET": 200, "DELETE": 200}.get(method, 400)
    assert answer.status == expected, answer.content
    assert answer.status in listed | BEYOND_THE_TABLE
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
