"""OpenADR 3.0.1 beside 3.1 on one store: every operation of the old face, and what was written on the other."""

import json
import re

import openadr_spec
import pytest
from party301 import V301, Party301, faults
from vtn_process import Party, fresh

GROUP = {"type": "GROUP", "values": ["g1"]}
PERIOD = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"}
PRICES = [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.17]}]}]
READINGS = [{"id": 0, "payloads": [{"type": "USAGE", "values": [1.5]}]}]


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        server.add_client("old", "VEN", "--scope", "read_all", "--scope", "write_vens", "--scope", "write_reports")
        yield server


@pytest.fixture
def old_bl(vtn, bl):
    return Party301(bl, vtn.root)


@pytest.fixture
def old_c1(vtn, c1):
    return Party301(c1, vtn.root)


@pytest.fixture
def old_c2(vtn, c2):
    return Party301(c2, vtn.root)


@pytest.fixture
async def old_program(old_bl):
    return await old_bl.made("/programs", {"programName": fresh("p"), "country": "US", "principalSubdivision": "CO"})


@pytest.fixture
async def old_event(old_bl, old_program):
    return await old_bl.made("/events", {"programID": old_program["id"], "intervalPeriod": PERIOD, "intervals": PRICES})


@pytest.fixture
async def old_ven(old_c1):
    ven = await old_c1.made("/vens", {"venName": fresh("v")})
    yield ven
    await old_c1.delete(f"/vens/{ven['id']}")


def hook(receiver, *operations, objects=("EVENT",), **more):
    return {"objects": list(objects), "operations": list(operations), "callbackUrl": receiver.url, **more}


# --- the 31 operations -----------------------------------------------------------------------------------------------


async def life(party, path, body, changed, **query):
    """Create, search, read, replace and delete; what was read is what was written."""
    made = await party.made(path, body)
    one = f"{path}/{made['id']}"
    assert (await party.get(one)).shows(200).json == made
    assert made in (await party.get(path, *query.items())).shows(200).json
    put = (await party.put(one, changed)).shows(200).json
    assert (put["id"], put["createdDateTime"]) == (made["id"], made["createdDateTime"])
    assert (await party.delete(one)).shows(200).json == put
    (await party.get(one)).shows(404)
    return made, put


async def test_programs_live_on_301(old_bl):
    body = {
        "programName": fresh("p"),
        "programLongName": "A long name",
        "timeZoneOffset": "-PT7H",
        "localPrice": True,
        "intervalPeriod": PERIOD,
        "payloadDescriptors": [
            {"payloadType": "PRICE", "units": "KWH"},
            {"payloadType": "USAGE", "readingType": "MEAN"},
        ],
        "targets": [GROUP, {"type": "VEN_NAME", "values": ["v9"]}],
    }
    made, put = await life(old_bl, "/programs", body, {"programName": fresh("q"), "bindingEvents": False})
    assert made.items() >= {key: value for key, value in body.items() if key != "payloadDescriptors"}.items()
    kinds = [one["objectType"] for one in made["payloadDescriptors"]]
    assert kinds == ["EVENT_PAYLOAD_DESCRIPTOR", "REPORT_PAYLOAD_DESCRIPTOR"]
    assert put["bindingEvents"] is False
    assert not {"programLongName", "targets"} & put.keys()


async def test_events_live_on_301(old_bl, old_program):
    body = {
        "programID": old_program["id"],
        "intervalPeriod": {"start": "0000-00-00", "duration": "PT0S"},
        "intervals": PRICES,
        "reportDescriptors": [{"payloadType": "USAGE", "targets": [{"type": "RESOURCE_NAME", "values": ["r1"]}]}],
        "targets": [GROUP],
    }
    changed = {**body, "intervals": [], "priority": 2}
    made, put = await life(old_bl, "/events", body, changed, programID=old_program["id"])
    assert made["intervalPeriod"] == {"start": "0001-01-01T00:00:00Z", "duration": "PT0S"}
    assert made["reportDescriptors"] == body["reportDescriptors"]
    assert (put["intervals"], put["priority"]) == ([], 2)


async def test_reports_live_on_301(old_c1, old_event):
    body = {
        "programID": old_event["programID"],
        "eventID": old_event["id"],
        "clientName": "x",
        "payloadDescriptors": [{"payloadType": "USAGE", "readingType": "MEAN"}],
        "resources": [{"resourceName": "r", "intervalPeriod": PERIOD, "intervals": READINGS}],
    }
    made, put = await life(old_c1, "/reports", body, {**body, "reportName": "n"}, eventID=old_event["id"])
    assert made["programID"] == old_event["programID"]
    assert put["reportName"] == "n"


async def test_subscriptions_live_on_301(old_c1, old_program, receiver):
    body = {"clientName": "x", "programID": old_program["id"], "targets": [GROUP]}
    entry = hook(receiver, "CREATE", "UPDATE", bearerToken="t")
    changed = {**body, "clientName": "y", "objectOperations": [hook(receiver, "READ")]}
    query = {"programID": old_program["id"], "objects": "EVENT", "targetType": "GROUP", "targetValues": "g1"}
    made, put = await life(old_c1, "/subscriptions", {**body, "objectOperations": [entry]}, changed, **query)
    assert made["objectOperations"] == [entry]
    assert put["objectOperations"] == [{**hook(receiver, "READ"), "bearerToken": None}]


async def test_a_subscription_in_http_words_keeps_its_words(old_c1, c1, old_program, receiver):
    entry = hook(receiver, "POST", "PUT", "DELETE", bearerToken=None)
    body = {"clientName": "x", "programID": old_program["id"], "objectOperations": [entry]}
    made = await old_c1.made("/subscriptions", body)
    assert made["objectOperations"] == [entry]
    new = (await c1.get(f"/subscriptions/{made['id']}")).json
    assert new["objectOperations"][0]["operations"] == ["CREATE", "UPDATE", "DELETE"]


@pytest.mark.parametrize("who", ["bl", "c2"])
async def test_vens_live_on_301(old_bl, old_c2, who):
    party = {"bl": old_bl, "c2": old_c2}[who]
    body = {"venName": fresh("v"), "attributes": [{"type": "LOCATION", "values": [-105.2, 40.0]}], "objectType": "VEN"}
    made, put = await life(party, "/vens", body, {"venName": fresh("w")}, venName=body["venName"])
    assert made["attributes"] == body["attributes"]
    assert made["resources"] == put["resources"] == []


async def test_resources_live_on_301(old_c1, old_ven):
    path = f"/vens/{old_ven['id']}/resources"
    body = {"resourceName": "evse-1", "objectType": "RESOURCE"}
    changed = {"resourceName": "evse-2", "venID": "ignored", "attributes": None}
    made, put = await life(old_c1, path, body, changed, resourceName="evse-1")
    assert made["venID"] == put["venID"] == old_ven["id"]


async def test_tokens_are_given_on_301_too(vtn, nobody, old_bl):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = f"grant_type=client_credentials&client_id=bl&client_secret={vtn.secrets['bl']}"
    path = old_bl.url + "/auth/token"
    token = await nobody.at("").send("POST", path, raw=form.encode(), headers=headers)
    assert faults("clientCredentialResponse", token.shows(200).json) == []
    (await old_bl.bearing(token.json["access_token"]).get("/programs")).shows(200)
    refused = await nobody.at("").send("POST", path, raw=b"grant_type=password", headers=headers)
    assert faults("authError", refused.shows(400).json) == []


@openadr_spec.HERE
async def test_every_operation_of_the_301_document_is_answered(bl, vtn):
    """With well-formed ids that name nothing; 404 then has the words of an object, not of a route."""
    found = 0
    for path, item in openadr_spec.document("3.0.1")["paths"].items():
        for method in item.keys() & {"get", "post", "put", "delete"}:
            url = vtn.root + V301 + re.sub(r"\{\w+\}", "x", path)
            answer = await bl.at("").send(method.upper(), url, raw=b"{}" if method in {"post", "put"} else None)
            assert (
                "nothing answers" not in answer.json.get("detail", "") if answer.status == 404 else answer.status < 500
            )
            found += 1
    assert found == 31


@pytest.mark.parametrize(
    "path",
    ["/auth/server", "/notifiers", "/notifiers/mqtt/topics/programs", "/resources", "/resources/x", "/openapi.json"],
)
async def test_what_301_did_not_have_is_not_found(old_bl, path):
    assert "nothing answers" in (await old_bl.get(path)).shows(404).json["detail"]


async def test_active_means_nothing_on_301(old_bl, old_event):
    for party_query in ({"active": "true"}, {"active": "nonsense"}, {"targets": "g9"}):
        found = await old_bl.get("/events", ("programID", old_event["programID"]), *party_query.items())
        assert found.shows(200).ids == [old_event["id"]]


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_targets_are_asked_for_by_type_and_values(old_bl, bl, old_program):
    async def made(*targets):
        body = {"programID": old_program["id"], "intervals": [], "targets": list(targets)}
        return (await old_bl.made("/events", body))["id"]

    group, name = await made(GROUP), await made({"type": "VEN_NAME", "values": ["g1", "v"]})
    bare = (await bl.made("/events", {"programID": old_program["id"], "targets": ["g1"]}))["id"]

    async def found(*query):
        return (await old_bl.get("/events", ("programID", old_program["id"]), *query)).shows(200).ids

    assert await found(("targetValues", "g1")) == [group, name, bare]
    assert await found(("targetType", "GROUP"), ("targetValues", "g1")) == [group, bare]
    assert await found(("targetType", "VEN_NAME"), ("targetValues", "g1"), ("targetValues", "v")) == [name, bare]
    assert await found(("targetType", "VEN_NAME"), ("targetValues", "g9")) == []
    assert await found(("targetType", "VEN_NAME")) == [group, name, bare]
    assert await found(("targetType", "GROUP"), ("targetValues", "g1"), ("skip", "1"), ("limit", "1")) == [bare]


async def test_every_fault_of_a_query_is_named(old_bl):
    query = (("limit", "51"), ("targetType", ""), ("targetValues", "g1"), ("targetValues", "x" * 129))
    answer = (await old_bl.get("/events", *query)).shows(400)
    assert answer.paths() == ["query.limit", "query.targetType", "query.targetValues[1]"]


async def test_an_unchanged_list_is_not_sent_twice(old_bl, old_event):
    path = f"/events?programID={old_event['programID']}"
    etag = (await old_bl.get(path)).headers["ETag"]
    assert (await old_bl.send("GET", path, headers={"If-None-Match": etag})).status == 304


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_the_faults_of_both_versions_come_at_once(old_bl, old_program):
    body = {"programID": 5, "targets": ["g1"], "priority": -1, "intervalPeriod": {"duration": "PT1H"}}
    answer = (await old_bl.post("/events", body)).shows(400)
    expected = ["$.intervalPeriod.start", "$.intervals", "$.priority", "$.programID", "$.targets[0]"]
    assert sorted(answer.paths()) == expected
    assert (await old_bl.get("/events", ("programID", old_program["id"]))).json == []


async def test_a_report_names_the_program_of_its_event(old_c1, old_bl, old_event):
    other = await old_bl.made("/programs", {"programName": fresh("other")})
    body = {"eventID": old_event["id"], "clientName": "x", "resources": []}
    (await old_c1.post("/reports", body)).shows(400)
    for program_id in (other["id"], "no-such-program"):
        (await old_c1.post("/reports", {**body, "programID": program_id})).shows(409)
    made = await old_c1.made("/reports", {**body, "programID": old_event["programID"]})
    (await old_c1.put(f"/reports/{made['id']}", {**body, "programID": other["id"]})).shows(409)


async def test_a_callback_is_https_and_echoes_on_301_too(old_c1, old_program, receiver):
    body = {"clientName": "x", "programID": old_program["id"]}
    plain = {**hook(receiver, "CREATE"), "callbackUrl": "http://hooks.example.org/x"}
    (await old_c1.post("/subscriptions", {**body, "objectOperations": [plain]})).shows(400)
    receiver.echoing = False
    (await old_c1.post("/subscriptions", {**body, "objectOperations": [hook(receiver, "CREATE")]})).shows(400)


# --- both faces on one store -----------------------------------------------------------------------------------------


async def test_a_program_of_301_is_a_program_of_31_and_back(old_bl, bl):
    body = {"programName": fresh("p"), "retailerName": "R", "targets": [{"type": "SERVICE_AREA", "values": [7]}]}
    made = await old_bl.made("/programs", body)
    path = f"/programs/{made['id']}"
    new = (await bl.get(path)).json
    assert new["attributes"] == [{"type": "RETAILER_NAME", "values": ["R"]}]
    assert new["targets"] == ["7"]
    assert not {"retailerName", "types", "side"} & new.keys()
    extra = {"type": "X_MINE", "values": [1]}
    written = {"programName": body["programName"], "attributes": [*new["attributes"], extra], "targets": ["7", "g2"]}
    (await bl.put(path, written)).shows(200)
    old = (await old_bl.get(path)).json
    assert old["targets"] == [{"type": "SERVICE_AREA", "values": ["7"]}, {"type": "GROUP", "values": ["g2"]}]
    (await old_bl.put(path, {**old, "retailerName": "S"})).shows(200)
    assert (await bl.get(path)).json["attributes"] == [{"type": "RETAILER_NAME", "values": ["S"]}, extra]


async def test_an_endless_tariff_of_31_is_a_window_on_301_and_survives_a_write_there(old_bl, bl, old_program):
    hours = [{"id": hour, "payloads": [{"type": "PRICE", "values": [hour]}]} for hour in range(24)]
    body = {"programID": old_program["id"], "duration": "P9999Y", "intervalPeriod": PERIOD, "intervals": hours}
    made = await bl.made("/events", body)
    path = f"/events/{made['id']}"
    shown = (await old_bl.get(path)).json
    assert len(shown["intervals"]) > 7 * 24
    assert all({"start", "duration"} <= one["intervalPeriod"].keys() for one in shown["intervals"])
    (await old_bl.put(path, {**shown, "priority": 1})).shows(200)
    new = (await bl.get(path)).json
    assert new.items() >= {**body, "priority": 1}.items()


async def test_packed_prices_of_31_are_single_prices_on_301(old_bl, bl, old_program):
    packed = [{"id": 0, "payloads": [{"type": "EXPORT_PRICE", "values": [1, 2, 3, 4]}]}]
    made = await bl.made("/events", {"programID": old_program["id"], "intervalPeriod": PERIOD, "intervals": packed})
    shown = (await old_bl.get(f"/events/{made['id']}")).json["intervals"]
    assert [(one["payloads"][0]["values"], one["intervalPeriod"]["duration"]) for one in shown] == [
        ([price], "PT15M") for price in (1, 2, 3, 4)
    ]


WRITTEN_ON_301 = [
    [{"id": 7, "payloads": [{"type": "PRICE", "values": [2.0, 3.0]}]}],
    [
        {"id": 9, "intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"}, "payloads": []},
        {"id": 4, "payloads": [{"type": "GHG", "values": [1.0, 2.0, 3.0]}]},
    ],
]


@pytest.mark.parametrize("intervals", WRITTEN_ON_301)
async def test_an_event_written_on_301_comes_back_there_as_it_was_written(old_bl, bl, old_program, intervals):
    body = {"programID": old_program["id"], "intervalPeriod": PERIOD, "intervals": intervals}
    made = await old_bl.made("/events", body)
    path = f"/events/{made['id']}"
    assert made["intervals"] == intervals
    assert (await old_bl.get(path)).json["intervals"] == intervals
    assert (await old_bl.get(f"/events?programID={old_program['id']}")).json[0]["intervals"] == intervals
    assert (await old_bl.put(path, {**body, "priority": 2})).shows(200).json["intervals"] == intervals
    assert (await bl.get(path)).json["intervals"] == intervals
    content = {key: value for key, value in (await bl.get(path)).json.items() if key in {*body, "targets"}}
    on_31 = {**content, "intervals": [{**PRICES[0], "payloads": [{"type": "PRICE", "values": [1.0, 2.0]}]}]}
    (await bl.put(path, on_31)).shows(200)
    assert len((await old_bl.get(path)).json["intervals"]) == 2


async def test_an_event_that_301_writes_out_itself_is_the_written_out_one(old_bl, old_program):
    """It was one interval with two values, and is replaced by what 3.1's reading of it would be written out to."""
    packed = {"id": 7, "payloads": [{"type": "PRICE", "values": [2.0, 3.0]}]}
    period = {"start": "2030-07-15T16:00:00Z", "duration": "PT2H"}
    body = {"programID": old_program["id"], "intervalPeriod": period, "intervals": [packed]}
    made = await old_bl.made("/events", body)
    halves = [
        {
            "id": number,
            "intervalPeriod": {"start": f"2030-07-15T{16 + number}:00:00Z", "duration": "PT1H"},
            "payloads": [{"type": "PRICE", "values": [value]}],
        }
        for number, value in enumerate((2.0, 3.0))
    ]
    path = f"/events/{made['id']}"
    assert (await old_bl.put(path, {**body, "intervals": halves})).shows(200).json["intervals"] == halves
    assert (await old_bl.get(path)).json["intervals"] == halves


async def test_a_put_on_301_that_changes_an_extension_of_an_interval_alone_changes_it(old_bl, bl, old_program):
    period = {"start": "2030-07-15T16:00:00Z", "duration": "PT1H"}
    interval = {"id": 0, "payloads": [{"type": "PRICE", "values": [0.17], "x-note": "a"}], "x-note": "a"}
    body = {"programID": old_program["id"], "intervalPeriod": {**period, "x-note": "a"}, "intervals": [interval]}
    made = await bl.made("/events", body)
    path = f"/events/{made['id']}"
    shown = (await old_bl.get(path)).json
    text = json.dumps({key: shown[key] for key in body})
    of_the_payload = '"x-note": "a"}]', '"x-note": "d"}]'
    for changed in (text.replace('"a"', '"b"', 1), text.replace('"a"', '"c"'), text.replace(*of_the_payload)):
        (await old_bl.put(path, json.loads(changed))).shows(200)
        held = (await bl.get(path)).json
        assert {key: held[key] for key in body} == json.loads(changed)


async def test_a_report_of_31_names_its_program_on_301(old_bl, c1, old_event):
    made = await c1.made("/reports", {"eventID": old_event["id"], "clientName": "x", "resources": []})
    assert (await old_bl.get(f"/reports/{made['id']}")).json["programID"] == old_event["programID"]
    listed = (await old_bl.get("/reports", ("eventID", old_event["id"]))).json
    assert [one["programID"] for one in listed] == [old_event["programID"]]


async def test_a_subscription_to_all_programs_does_not_exist_on_301(old_c1, c1, receiver):
    body = {"clientName": "x", "objectOperations": [hook(receiver, "CREATE")]}
    made = await c1.made("/subscriptions", body)
    path = f"/subscriptions/{made['id']}"
    assert made["id"] not in (await old_c1.get("/subscriptions")).ids
    for answer in (
        await old_c1.get(path),
        await old_c1.delete(path),
        await old_c1.put(path, {**body, "programID": "x"}),
    ):
        answer.shows(404)
    (await c1.get(path)).shows(200)


# --- scopes ----------------------------------------------------------------------------------------------------------


async def test_read_all_lets_a_ven_read_on_301_what_a_ven_may_see(vtn, http, bl, old_bl, old_program):
    hidden = await bl.made("/events", {"programID": old_program["id"], "targets": ["g9"]})
    old = old_bl.bearing(vtn.token("old"))
    found = Party301(old, vtn.root)
    assert old_program["id"] in (await found.get("/programs", ("limit", "50"))).ids
    (await found.get(f"/events/{hidden['id']}")).shows(404)
    assert (await found.get("/vens")).shows(200).json == []
    (await found.post("/programs", {"programName": "x"})).shows(403)
    for path in ("/programs", "/vens", "/notifiers/mqtt/topics/events"):
        (await old.at(vtn.url).get(path)).shows(403)


async def test_a_ven_may_ask_for_read_all_which_opens_nothing_on_31(vtn, nobody):
    form = f"grant_type=client_credentials&client_id=c1&client_secret={vtn.secrets['c1']}&scope=read_all"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    async def asked(base):
        return await nobody.at("").send("POST", f"{vtn.root}{base}/auth/token", raw=form.encode(), headers=headers)

    granted = (await asked(V301)).shows(200).json
    assert granted["scope"] == "read_all"
    (await nobody.at(vtn.root + V301).bearing(granted["access_token"]).get("/events")).shows(200)
    (await nobody.at(vtn.url).bearing(granted["access_token"]).get("/events")).shows(403)
    same = (await asked("/openadr3/3.1.0")).shows(200).json["access_token"]
    (await nobody.at(vtn.url).bearing(same).get("/events")).shows(403)


async def test_public_data_is_read_without_a_token_on_301_too(launch, http):
    with launch({"auth.anonymous_read": "true"}) as open_to_all:
        nobody, bl = (Party(http, open_to_all.url, token) for token in (None, open_to_all.token("bl")))
        made = await Party301(bl, open_to_all.root).made("/programs", {"programName": fresh("p")})
        anyone = Party301(nobody, open_to_all.root)
        assert (await anyone.get("/programs")).shows(200).json == [made]
        (await anyone.get("/vens")).shows(401)
