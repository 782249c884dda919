"""Object privacy through OpenADR 3.0.1: the truth table of targets by the old path, and nothing leaks there either."""

import pytest
from party301 import Party301
from vtn_process import Party, fresh


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


@pytest.fixture
async def world(bl):
    """The fixtures, written on 3.1: c1 owns V1 [g1, v1] and R1 [r1]; c2 owns V2 [g2]; c3 owns nothing."""
    made = {}

    async def make(name, path, body):
        made[name] = await bl.made(path, body)
        return made[name]["id"]

    for name, targets in (("P0", None), ("P1", ["g1"]), ("P9", ["g9"])):
        await make(name, "/programs", {"programName": fresh(name), "targets": targets})
    for name, targets in {"E0": None, "E1": ["g1"], "E12": ["g1", "g2"], "ER": ["r1"], "E9": ["g9"]}.items():
        await make(name, "/events", {"programID": made["P0"]["id"], "targets": targets})
    for name, owner, targets in (("V1", "c1", ["g1", "v1"]), ("V2", "c2", ["g2"])):
        body = {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": fresh(name), "targets": targets}
        await make(name, "/vens", body)
    resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "evse-1", "targets": ["r1"]}
    await make("R1", "/resources", {**resource, "venID": made["V1"]["id"]})
    return made


@pytest.fixture
def parties(vtn, bl, c1, c2, c3):
    return {name: Party301(party, vtn.root) for name, party in {"bl": bl, "c1": c1, "c2": c2, "c3": c3}.items()}


@pytest.fixture(autouse=True)
async def _nothing_after(parties):
    yield
    for collection in ("programs", "vens"):
        for one in (await parties["bl"].get(f"/{collection}")).ids:
            (await parties["bl"].delete(f"/{collection}/{one}")).shows(200)


EVENTS_OF_C1 = {"E0": None, "E1": ["g1"], "E12": ["g1"], "ER": ["r1"]}
LISTS = {
    "/events": [
        {"E0": None, "E1": ["g1"], "E12": ["g1", "g2"], "ER": ["r1"], "E9": ["g9"]},
        EVENTS_OF_C1,
        {"E0": None, "E12": ["g2"]},
        {"E0": None},
    ],
    "/events?targetValues=g1": [{"E1": ["g1"], "E12": ["g1", "g2"]}, {"E1": ["g1"], "E12": ["g1"]}, {}, {}],
    "/events?targetType=GROUP&targetValues=g2": [{"E12": ["g1", "g2"]}, {}, {"E12": ["g2"]}, {}],
    "/events?targetValues=g1&targetValues=g2": [
        {"E1": ["g1"], "E12": ["g1", "g2"]},
        {"E1": ["g1"], "E12": ["g1"]},
        {"E12": ["g2"]},
        {},
    ],
    "/events?targetValues=g9": [{"E9": ["g9"]}, {}, {}, {}],
    "/programs": [{"P0": None, "P1": ["g1"], "P9": ["g9"]}, {"P0": None, "P1": ["g1"]}, {"P0": None}, {"P0": None}],
    "/vens": [{"V1": ["g1", "v1"], "V2": ["g2"]}, {"V1": ["g1", "v1"]}, {"V2": ["g2"]}, {}],
    "/vens?targetValues=g1": [{"V1": ["g1", "v1"]}, {"V1": ["g1", "v1"]}, {}, {}],
}


def bare(targets):
    return None if targets is None else [value for entry in targets for value in entry["values"]]


@pytest.mark.parametrize("who", ["bl", "c1", "c2", "c3"])
async def test_lists_show_what_annex_d_says(world, parties, who):
    names = {thing["id"]: name for name, thing in world.items()}
    for path, expected in LISTS.items():
        found = (await parties[who].get(path)).shows(200).json
        shown = {names[thing["id"]]: bare(thing.get("targets")) for thing in found}
        assert shown == expected[["bl", "c1", "c2", "c3"].index(who)], path


BY_ID = [
    ("events", "E0", (200, 200, 200, 200)),
    ("events", "E1", (200, 200, 404, 404)),
    ("events", "E12", (200, 200, 200, 404)),
    ("events", "ER", (200, 200, 404, 404)),
    ("events", "E9", (200, 404, 404, 404)),
    ("programs", "P1", (200, 200, 404, 404)),
    ("programs", "P9", (200, 404, 404, 404)),
    ("vens", "V1", (200, 200, 404, 404)),
]


@pytest.mark.parametrize(("collection", "name", "statuses"), BY_ID)
async def test_reads_by_id_follow_the_same_rule_and_hidden_looks_like_missing(
    world, parties, collection, name, statuses
):
    for who, status in zip(parties, statuses, strict=True):
        answer = (await parties[who].get(f"/{collection}/{world[name]['id']}")).shows(status)
        if status == 404:
            unknown = (await parties[who].get(f"/{collection}/no-such-id")).json
            assert {**answer.json, "instance": ""} == {**unknown, "instance": ""}


async def test_resources_are_seen_through_their_ven_only(world, parties):
    path = f"/vens/{world['V1']['id']}/resources"
    for who, status in (("bl", 200), ("c1", 200), ("c2", 404), ("c3", 404)):
        answer = (await parties[who].get(path)).shows(status)
        (await parties[who].get(f"{path}/{world['R1']['id']}")).shows(status)
        if status == 200:
            assert [bare(one["targets"]) for one in answer.json] == [["r1"]]
    assert (await parties["c1"].get(path, ("targetValues", "g1"))).json == []


async def test_a_ven_writes_no_program_and_no_event(world, parties):
    for name, collection in (("E1", "events"), ("E9", "events"), ("P0", "programs")):
        path = f"/{collection}/{world[name]['id']}"
        (await parties["c1"].put(path, {})).shows(403)
        (await parties["c1"].delete(path)).shows(403)
    (await parties["c1"].post("/events", {})).shows(403)


async def test_foreign_vens_and_resources_cannot_be_touched(world, parties):
    ven = f"/vens/{world['V1']['id']}"
    before = (await parties["bl"].get(ven)).json
    for path in (ven, f"{ven}/resources/{world['R1']['id']}"):
        (await parties["c2"].put(path, {"venName": "theft", "resourceName": "theft"})).shows(404)
        (await parties["c2"].delete(path)).shows(404)
    assert (await parties["bl"].get(ven)).json == before


async def test_a_type_tells_nothing_of_targets_that_a_ven_does_not_hold(parties):
    """The event is seen through g1; that it also has g9, and of which type, is none of c1's business."""
    bl, c1 = parties["bl"], parties["c1"]
    program = await bl.made("/programs", {"programName": fresh("p")})
    targets = [{"type": "VEN_NAME", "values": ["g1"]}, {"type": "GROUP", "values": ["g9"]}]
    body = {"programID": program["id"], "intervals": [], "targets": targets}
    made = await bl.made("/events", body)
    ven = await c1.made("/vens", {"venName": fresh("v")})
    grant = {"venName": ven["venName"], "targets": [{"type": "GROUP", "values": ["g1"]}]}
    (await bl.put(f"/vens/{ven['id']}", grant)).shows(200)
    assert (await c1.get(f"/events/{made['id']}")).json["targets"] == targets[:1]
    query = (("targetType", "GROUP"), ("targetValues", "g1"), ("targetValues", "g9"))
    assert (await bl.get("/events", *query)).ids == [made["id"]]
    assert (await c1.get("/events", *query)).ids == []


async def test_report_requests_are_cut_like_targets(world, bl, parties):
    asked = [{"payloadType": "USAGE", "targets": ["g1", "g9"]}, {"payloadType": "HIDDEN", "targets": ["g9"]}]
    made = await bl.made("/events", {"programID": world["P0"]["id"], "reportDescriptors": asked})
    answer = await parties["c1"].get(f"/events/{made['id']}")
    shown = [{"payloadType": "USAGE", "targets": [{"type": "GROUP", "values": ["g1"]}]}]
    assert answer.json["reportDescriptors"] == shown
    assert b"g9" not in answer.content


async def test_reports_and_subscriptions_are_their_owners(world, parties, receiver):
    report = {"programID": world["P0"]["id"], "eventID": world["E0"]["id"], "clientName": "x", "resources": []}
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": receiver.url, "bearerToken": "s3cret"}
    subscription = {"clientName": "x", "programID": world["P0"]["id"], "objectOperations": [entry]}
    for collection, body in (("reports", report), ("subscriptions", subscription)):
        made = await parties["c1"].made(f"/{collection}", body)
        path = f"/{collection}/{made['id']}"
        (await parties["c2"].get(path)).shows(404)
        assert (await parties["c2"].get(f"/{collection}")).json == []
        assert b"s3cret" not in (await parties["bl"].get(path)).shows(200).content
        assert b"s3cret" not in (await parties["bl"].get(f"/{collection}")).content
        assert (await parties["c1"].get(path)).json == made
    hidden = {**report, "eventID": world["E9"]["id"]}
    (await parties["c1"].post("/reports", hidden)).shows(409)
    (await parties["c1"].post("/subscriptions", {**subscription, "programID": world["P9"]["id"]})).shows(409)


# --- targets that name objects ---------------------------------------------------------------------------------------


def named(kind, name):
    return [{"type": kind, "values": [name]}]


async def test_a_ven_that_business_logic_named_on_301_is_reached_by_its_name(parties, bl, c1):
    old_bl, old_c1, old_c2 = parties["bl"], parties["c1"], parties["c2"]
    program = await old_bl.made("/programs", {"programName": fresh("p")})
    names = {"c1": fresh("ven-a"), "c2": fresh("ven-b")}
    ids = {
        owner: (await bl.made("/vens", {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": name}))["id"]
        for owner, name in names.items()
    }
    body = {"programID": program["id"], "intervals": [{"id": 0, "payloads": [{"type": "SIMPLE", "values": [1]}]}]}
    event = await old_bl.made("/events", {**body, "targets": named("VEN_NAME", names["c1"])})
    assert event["id"] not in (await old_c1.get("/events")).ids, "3.1 gave it that name, and granted it nothing"
    (await old_bl.put(f"/vens/{ids['c1']}", {"venName": names["c1"]})).shows(200)
    seen = (await old_c1.get(f"/events/{event['id']}")).shows(200).json
    assert seen["targets"] == named("VEN_NAME", names["c1"])
    assert (await c1.get("/events")).ids == [event["id"]]
    (await old_c2.get(f"/events/{event['id']}")).shows(404)
    resource = await old_bl.made(f"/vens/{ids['c1']}/resources", {"resourceName": "evse-7"})
    at_resource = await old_bl.made("/events", {**body, "targets": named("RESOURCE_NAME", "evse-7")})
    (await old_c1.get(f"/events/{at_resource['id']}")).shows(200)
    (await old_bl.delete(f"/vens/{ids['c1']}/resources/{resource['id']}")).shows(200)
    (await old_c1.get(f"/events/{at_resource['id']}")).shows(404)


async def test_a_ven_that_names_itself_grants_itself_nothing(parties, c1):
    old_bl, old_c1, old_c2 = parties["bl"], parties["c1"], parties["c2"]
    program = await old_bl.made("/programs", {"programName": fresh("p")})
    name, other = fresh("ven-a"), fresh("another")
    body = {"programID": program["id"], "intervals": [], "targets": named("VEN_NAME", name)}
    event = await old_bl.made("/events", body)
    mine = await old_c2.made("/vens", {"venName": name})
    (await old_c2.get(f"/events/{event['id']}")).shows(404)
    (await old_c2.put(f"/vens/{mine['id']}", {"venName": other})).shows(200)
    held = await old_c1.made("/vens", {"venName": name})
    (await old_bl.put(f"/vens/{held['id']}", {"venName": name})).shows(200)
    (await old_c1.get(f"/events/{event['id']}")).shows(200)
    shape = {"objectType": "VEN_VEN_REQUEST", "venName": name, "attributes": []}
    (await c1.put(f"/vens/{held['id']}", shape)).shows(200)
    (await old_c1.get(f"/events/{event['id']}")).shows(200)
    (await c1.put(f"/vens/{held['id']}", {**shape, "venName": fresh("renamed")})).shows(200)
    (await c1.put(f"/vens/{held['id']}", shape)).shows(200)
    (await old_c1.get(f"/events/{event['id']}")).shows(404)


async def test_a_resource_that_comes_back_inside_its_ven_is_not_named_by_that(parties):
    """A ven's own resource has the name of another's; Business Logic reads the ven whole and writes it back."""
    old_bl, old_c1, old_c2 = parties["bl"], parties["c1"], parties["c2"]
    program, name = await old_bl.made("/programs", {"programName": fresh("p")}), fresh("evse")
    body = {"programID": program["id"], "intervals": [], "targets": named("RESOURCE_NAME", name)}
    event = await old_bl.made("/events", body)
    ven = await old_c2.made("/vens", {"venName": fresh("ven"), "resources": [{"resourceName": name}]})
    whole = (await old_bl.get(f"/vens/{ven['id']}")).shows(200).json
    (await old_bl.put(f"/vens/{ven['id']}", {**whole, "attributes": [{"type": "x", "values": [1]}]})).shows(200)
    (await old_c2.get(f"/events/{event['id']}")).shows(404)
    given = {"venName": fresh("ven"), "resources": [{"resourceName": name}]}
    mine = await old_c1.made("/vens", {"venName": given["venName"]})
    (await old_bl.put(f"/vens/{mine['id']}", given)).shows(200)
    (await old_c1.get(f"/events/{event['id']}")).shows(200)
    whole = (await old_bl.get(f"/vens/{mine['id']}")).shows(200).json
    (await old_bl.put(f"/vens/{mine['id']}", whole)).shows(200)
    (await old_c1.get(f"/events/{event['id']}")).shows(200)


@pytest.mark.parametrize(("setting", "value"), [("names_grant", "all"), ("ven_clients", '{"ven-own" = "c1"}')])
async def test_the_settings_may_trust_the_name_that_a_ven_gave_itself(launch, http, setting, value):
    with launch({f"protocol.{setting}": value}) as server:
        party = {
            name: Party301(Party(http, server.url, server.token(name)), server.root) for name in ("bl", "c1", "c2")
        }
        program = await party["bl"].made("/programs", {"programName": fresh("p")})
        body = {"programID": program["id"], "intervals": [], "targets": named("VEN_NAME", "ven-own")}
        event = await party["bl"].made("/events", body)
        await party["c1"].made("/vens", {"venName": "ven-own"})
        (await party["c1"].get(f"/events/{event['id']}")).shows(200)
        (await party["c2"].get(f"/events/{event['id']}")).shows(404)
