"""The life of all six kinds of object, at both base paths, on SQLite and on PostgreSQL (GEN-01..36)."""

import asyncio
import re
from datetime import UTC, datetime

import pytest
from vtn_process import V310, V311, Party, fresh
from vtn_thread import ThreadedVtn

NAMES = {
    "programs": ("PROGRAM", "programName"),
    "events": ("EVENT", "eventName"),
    "reports": ("REPORT", "reportName"),
    "subscriptions": ("SUBSCRIPTION", "clientName"),
    "vens": ("VEN", "venName"),
    "resources": ("RESOURCE", "resourceName"),
}
METADATA = {"id", "createdDateTime", "modificationDateTime", "objectType"}
KINDS = pytest.mark.parametrize("kind", NAMES)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def vtn(request, launch, tmp_path_factory):
    if request.param == "sqlite":
        with launch() as server:
            yield server
        return
    url = request.getfixturevalue("postgres")
    server = ThreadedVtn(tmp_path_factory.mktemp("vtn") / "var", {"storage.url": url})
    server.add_client("bl", "BL")
    server.add_client("c1", "VEN")
    with server:
        yield server


@pytest.fixture(params=[V310, V311])
def base(request, vtn):
    return vtn.root + request.param


@pytest.fixture
async def world(bl, c1, program):
    """Who writes what: the writer and a body for each kind, parents included."""
    event = await bl.made("/events", {"programID": program["id"]})
    vens = (await c1.get("/vens")).json
    ven = vens[0] if vens else await c1.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven")})
    await c1.delete(f"/vens/{ven['id']}")
    ven_for_resources = {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven")}

    async def body(kind):
        bodies = {
            "programs": (bl, {"programName": fresh("p")}),
            "events": (bl, {"programID": program["id"], "eventName": fresh("e")}),
            "reports": (c1, {"eventID": event["id"], "clientName": "x", "reportName": "r", "resources": []}),
            "subscriptions": (c1, {"clientName": fresh("s"), "objectOperations": []}),
            "vens": (c1, {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")}),
        }
        if kind == "resources":
            owner = await c1.made("/vens", ven_for_resources)
            body = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": fresh("r"), "venID": owner["id"]}
            return c1, body
        return bodies[kind]

    yield body
    for mine in (await c1.get("/vens")).json:
        (await c1.delete(f"/vens/{mine['id']}")).shows(200)
    (await bl.delete(f"/programs/{program['id']}")).shows(200)


@KINDS
async def test_an_object_lives_from_post_to_delete_gen_03_04_05_26(world, base, kind):
    writer, body = await world(kind)
    writer = writer.at(base)
    made = (await writer.post(f"/{kind}", body)).shows(201).json
    path = f"/{kind}/{made['id']}"
    assert made.keys() >= METADATA
    assert (await writer.get(path)).shows(200).json == made
    assert made["id"] in (await writer.get(f"/{kind}")).shows(200).ids
    name = NAMES[kind][1]
    changed = (await writer.put(path, {**body, name: fresh("new")})).shows(200).json
    assert changed[name] != made[name]
    assert changed["modificationDateTime"] > made["modificationDateTime"]
    assert {**changed, name: made[name], "modificationDateTime": made["modificationDateTime"]} == made
    assert (await writer.delete(path)).shows(200).json == changed
    for answer in (await writer.get(path), await writer.delete(path), await writer.put(path, body)):
        answer.shows(404)


@KINDS
async def test_metadata_is_the_servers_own_gen_05_07_22_27(world, kind):
    writer, body = await world(kind)
    claimed = {"id": "mine", "createdDateTime": "1999-01-01T00:00:00Z", "modificationDateTime": "1999-01-01T00:00:00Z"}
    claimed |= {} if "objectType" in body else {"objectType": "NONSENSE"}
    made = await writer.made(f"/{kind}", {**claimed, **body})
    assert made["id"] != "mine"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", made["id"])
    assert made["objectType"] == NAMES[kind][0]
    born = datetime.fromisoformat(made["createdDateTime"])
    assert abs((datetime.now(UTC) - born).total_seconds()) < 60
    assert made["modificationDateTime"] >= made["createdDateTime"]


@KINDS
async def test_a_put_keeps_the_identity_of_the_path_gen_08(world, kind):
    writer, body = await world(kind)
    made = await writer.made(f"/{kind}", body)
    other = {**body, "id": "other", "createdDateTime": "1999-01-01T00:00:00Z"}
    changed = (await writer.put(f"/{kind}/{made['id']}", other)).shows(200).json
    assert (changed["id"], changed["createdDateTime"]) == (made["id"], made["createdDateTime"])
    (await writer.get(f"/{kind}/other")).shows(404)


@KINDS
async def test_an_object_without_its_required_properties_is_refused_and_not_stored_gen_11_12(world, kind):
    writer, body = await world(kind)
    made = await writer.made(f"/{kind}", body)
    before = (await writer.get(f"/{kind}")).ids
    bare = {"objectType": body["objectType"]} if "objectType" in body else {}
    (await writer.post(f"/{kind}", bare)).shows(400)
    (await writer.put(f"/{kind}/{made['id']}", bare)).shows(400)
    assert (await writer.get(f"/{kind}")).ids == before
    assert (await writer.get(f"/{kind}/{made['id']}")).json == made


@KINDS
async def test_ids_that_are_malformed_or_unknown_gen_24_25(world, kind):
    writer, body = await world(kind)
    (await writer.get(f"/{kind}/no-such-id")).shows(404)
    (await writer.put(f"/{kind}/no-such-id", body)).shows(404)
    (await writer.delete(f"/{kind}/no-such-id")).shows(404)
    (await writer.get(f"/{kind}/%20bad%21")).shows(400)
    (await writer.get(f"/{kind}/{'x' * 129}")).shows(400)
    (await writer.get(f"/{kind}/{'x' * 128}")).shows(404)


@KINDS
async def test_unknown_properties_do_no_harm_gen_18(world, kind):
    writer, body = await world(kind)
    await writer.made(f"/{kind}", {**body, "myPrivateObject": {"deep": [1, {"x": None}]}})


async def test_ids_are_unique_over_all_kinds_gen_23(world):
    ids = []
    for kind in ("programs", "events", "reports", "subscriptions", "resources"):
        writer, body = await world(kind)
        made = await writer.made(f"/{kind}", body)
        ids += [made["id"], *([made["venID"]] if "venID" in made else [])]
    assert len(set(ids)) == 6


async def test_values_and_orders_survive_untouched_gen_30(bl, program):
    values = ["a", "5", 5, True, False, 1, 1.5, 0.17, -0.15, 1e3, {"x": 1, "y": 2.5}]
    intervals = [{"id": number, "payloads": [{"type": "PRIVATE", "values": values}]} for number in (5, 5, 2)]
    made = await bl.made("/events", {"programID": program["id"], "intervals": intervals})
    answer = await bl.get(f"/events/{made['id']}")
    read = answer.json["intervals"]
    assert read == intervals
    assert [type(value) for value in read[0]["payloads"][0]["values"]] == [type(value) for value in values]


async def test_numbers_come_back_digit_for_digit_gen_19(bl, program):
    raw = (
        b'{"programID":"%s","intervals":[{"id":0,"payloads":[{"type":"P","values":[0.170,1e3,12345678901234567890]}]}]}'
    )
    made = (await bl.send("POST", "/events", raw=raw % program["id"].encode())).shows(201)
    assert b"[0.170,1e3,12345678901234567890]" in made.content
    assert b"[0.170,1e3,12345678901234567890]" in (await bl.get(f"/events/{made.json['id']}")).content


async def test_a_put_without_an_optional_property_drops_it_gen_10(bl):
    body = {"programName": fresh("p"), "attributes": [{"type": "COUNTRY", "values": ["US"]}], "targets": ["a"]}
    made = await bl.made("/programs", body)
    await bl.put(f"/programs/{made['id']}", {"programName": body["programName"]})
    left = (await bl.get(f"/programs/{made['id']}")).json
    assert left.get("attributes") is None
    assert left.get("targets") is None


async def test_concurrent_puts_leave_one_of_the_bodies_whole_gen_36(bl):
    made = await bl.made("/programs", {"programName": fresh("p")})
    bodies = [{"programName": f"{made['programName']}-{n}", "targets": [f"t{n}"] * 3} for n in range(12)]
    answers = await asyncio.gather(*(bl.put(f"/programs/{made['id']}", body) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    left = (await bl.get(f"/programs/{made['id']}")).json
    assert {"programName": left["programName"], "targets": left["targets"]} in bodies


async def test_writes_from_many_at_once_are_all_kept_and_read_back_at_once(bl, c1, program):
    """Read-your-writes, also for another client's very next request."""
    body = {"programID": program["id"]}

    async def write_and_read(number):
        made = await bl.made("/events", {**body, "eventName": str(number)})
        (await c1.get(f"/events/{made['id']}")).shows(200)
        return made["id"]

    ids = await asyncio.gather(*(write_and_read(number) for number in range(40)))
    listed = (await c1.get("/events", ("programID", program["id"]))).ids
    assert set(ids) == set(listed)


async def test_deleting_a_program_takes_its_children_gen_35(bl, c1, program):
    event = await bl.made("/events", {"programID": program["id"]})
    report = await c1.made("/reports", {"eventID": event["id"], "clientName": "x", "resources": []})
    mine = {"clientName": "x", "programID": program["id"], "objectOperations": []}
    subscription = await c1.made("/subscriptions", mine)
    (await bl.delete(f"/programs/{program['id']}")).shows(200)
    (await bl.get(f"/events/{event['id']}")).shows(404)
    (await c1.get(f"/reports/{report['id']}")).shows(404)
    (await c1.get(f"/subscriptions/{subscription['id']}")).shows(404)


async def test_everything_is_there_after_a_restart(launch, http):
    with launch(process=True) as server:
        bl = Party(http, server.url, server.token("bl"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        event = await bl.made("/events", {"programID": program["id"], "priority": 3})
        server.kill()
        server.start()
        again = Party(http, server.url, server.token("bl"))
        assert (await again.get(f"/programs/{program['id']}")).json == program
        assert (await again.get("/events")).json == [event]
