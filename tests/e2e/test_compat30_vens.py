"""Vens on OpenADR 3.0.1: resources inside them, written as one; and vens of Business Logic, which names no client."""

import pytest
from party301 import Party301
from vtn_process import fresh

KNOWN = fresh("known")


@pytest.fixture(scope="module")
def vtn(launch):
    with launch({"protocol.ven_clients": f'{{"{KNOWN}" = "c3"}}'}) as server:
        yield server


@pytest.fixture
def old_bl(vtn, bl):
    return Party301(bl, vtn.root)


@pytest.fixture
def old_c1(vtn, c1):
    return Party301(c1, vtn.root)


@pytest.fixture(autouse=True)
async def _no_vens_after(bl, old_bl):
    yield
    for ven in (await old_bl.get("/vens")).ids:
        (await old_bl.delete(f"/vens/{ven}")).shows(200)


def named(ven):
    return [one["resourceName"] for one in ven["resources"]]


def with_resources(*names, **more):
    return {"venName": fresh("v"), "resources": [{"resourceName": name} for name in names], **more}


# --- resources inside vens -------------------------------------------------------------------------------------------


async def test_a_ven_is_made_with_its_resources(old_c1, c1):
    made = await old_c1.made("/vens", with_resources("b", "a"))
    assert named(made) == ["b", "a"]
    assert (await old_c1.get(f"/vens/{made['id']}")).json == made
    assert (await old_c1.get(f"/vens/{made['id']}/resources")).json == made["resources"]
    new = (await c1.get("/resources")).json
    assert [(one["resourceName"], one["venID"], one["clientID"]) for one in new] == [
        ("b", made["id"], "c1"),
        ("a", made["id"], "c1"),
    ]
    assert "resources" not in (await c1.get(f"/vens/{made['id']}")).json


async def test_a_ven_with_a_bad_resource_is_not_made_at_all(old_c1):
    for body, status in (
        (with_resources("a", "a"), 409),
        (with_resources("a", ""), 400),
        ({"venName": fresh("v"), "resources": [{}]}, 400),
        ({"venName": fresh("v"), "resources": {}}, 400),
        ({"venName": fresh("v"), "resources": ["a"]}, 400),
    ):
        (await old_c1.post("/vens", body)).shows(status)
    assert (await old_c1.get("/vens")).json == []


async def test_every_fault_of_a_ven_and_its_resources_is_named(old_bl):
    resources = [{"resourceName": "ok"}, {"targets": ["g1"]}, {"resourceName": 5, "objectType": "VEN"}]
    answer = (await old_bl.post("/vens", {"targets": "x", "resources": resources})).shows(400)
    assert sorted(answer.paths()) == [
        "$.resources[1].resourceName",
        "$.resources[1].targets[0]",
        "$.resources[2].objectType",
        "$.resources[2].resourceName",
        "$.targets",
        "$.venName",
    ]


async def test_a_list_of_resources_replaces_those_of_the_ven(old_c1):
    made = await old_c1.made("/vens", with_resources("a", "b", "c"))
    a, b, _c = made["resources"]
    renamed = {"id": a["id"], "resourceName": "z"}
    changed = {"resourceName": "b", "attributes": [{"type": "AREA", "values": ["x"]}]}
    body = {"venName": made["venName"], "resources": [renamed, changed, {"resourceName": "c2"}]}
    put = (await old_c1.put(f"/vens/{made['id']}", body)).shows(200).json
    assert named(put) == ["z", "b", "c2"]
    assert [one["id"] for one in put["resources"][:2]] == [a["id"], b["id"]]
    assert put["resources"][1]["attributes"] == changed["attributes"]
    assert (await old_c1.get(f"/vens/{made['id']}")).json == put


async def test_an_id_outranks_a_name(old_c1):
    made = await old_c1.made("/vens", with_resources("a"))
    kept = {"id": made["resources"][0]["id"], "resourceName": "b"}
    body = {"venName": made["venName"], "resources": [{"resourceName": "c"}, kept]}
    put = (await old_c1.put(f"/vens/{made['id']}", body)).shows(200).json
    assert [(one["resourceName"], one["id"] == kept["id"]) for one in put["resources"]] == [("b", True), ("c", False)]


async def test_a_name_given_up_by_one_resource_may_be_taken_by_another(old_c1):
    made = await old_c1.made("/vens", with_resources("a"))
    body = {"venName": made["venName"], "resources": [{"id": "elsewhere", "resourceName": "b"}]}
    assert named((await old_c1.put(f"/vens/{made['id']}", body)).shows(200).json) == ["b"]
    empty = (await old_c1.put(f"/vens/{made['id']}", {**body, "resources": []})).shows(200).json
    assert empty["resources"] == []


@pytest.mark.parametrize("absent", [{}, {"resources": None}])
async def test_no_list_leaves_the_resources_alone(old_c1, absent):
    made = await old_c1.made("/vens", with_resources("a"))
    put = (await old_c1.put(f"/vens/{made['id']}", {"venName": fresh("w"), **absent})).shows(200).json
    assert put["resources"] == made["resources"]


async def test_a_refused_replacement_changes_nothing(old_c1):
    made = await old_c1.made("/vens", with_resources("a", "b"))
    twins = {"venName": fresh("w"), "resources": [{"resourceName": "c"}, {"resourceName": "c"}]}
    (await old_c1.put(f"/vens/{made['id']}", twins)).shows(409)
    assert (await old_c1.get(f"/vens/{made['id']}")).json == made


async def test_a_deleted_ven_is_shown_with_what_went_with_it(old_c1, c1):
    made = await old_c1.made("/vens", with_resources("a"))
    assert (await old_c1.delete(f"/vens/{made['id']}")).shows(200).json == made
    assert (await c1.get("/resources")).json == []


async def test_targets_that_a_ven_writes_are_dropped_and_those_it_was_granted_stay(old_c1, old_bl, bl):
    mine = [{"type": "GROUP", "values": ["mine"]}]
    body = with_resources("a", targets=mine)
    body["resources"][0]["targets"] = mine
    made = await old_c1.made("/vens", body)
    assert "mine" not in str(made)
    granted = [{"type": "SERVICE_AREA", "values": ["s1"]}]
    (await old_bl.put(f"/vens/{made['id']}", {"venName": made["venName"], "targets": granted})).shows(200)
    put = (await old_c1.put(f"/vens/{made['id']}", {"venName": fresh("w"), "targets": mine})).shows(200).json
    assert put["targets"] == granted
    assert (await bl.get(f"/vens/{made['id']}")).json["targets"] == ["s1"]


async def test_a_resource_of_another_ven_is_not_found(old_bl, old_c1, bl):
    mine = await old_c1.made("/vens", with_resources("a"))
    theirs = await old_bl.made("/vens", with_resources("b"))
    wrong = f"/vens/{theirs['id']}/resources/{mine['resources'][0]['id']}"
    for answer in (
        await old_bl.get(wrong),
        await old_bl.put(wrong, {"resourceName": "x"}),
        await old_bl.delete(wrong),
        await old_c1.get(f"/vens/{theirs['id']}/resources"),
        await old_c1.post(f"/vens/{theirs['id']}/resources", {"resourceName": "x"}),
        await old_bl.get("/vens/no-such-ven/resources"),
    ):
        answer.shows(404)
    assert named((await old_bl.get(f"/vens/{mine['id']}")).json) == ["a"]


# --- whose ven it is -------------------------------------------------------------------------------------------------


async def test_a_ven_that_the_settings_know_has_its_client(old_bl, bl, c3):
    made = await old_bl.made("/vens", {"venName": KNOWN, "targets": [{"type": "GROUP", "values": ["g1"]}]})
    assert "clientID" not in made
    new = (await c3.get(f"/vens/{made['id']}")).shows(200).json
    assert (new["clientID"], new["targets"]) == ("c3", ["g1"])


async def test_a_ven_that_nobody_owns_is_shown_to_business_logic_on_301_alone(old_bl, bl, c1, old_c1):
    made = await old_bl.made("/vens", with_resources("a"))
    path, part = f"/vens/{made['id']}", f"/resources/{made['resources'][0]['id']}"
    assert (await old_bl.get(path)).shows(200).json == made
    assert (await old_bl.get("/vens", ("venName", made["venName"]))).json == [made]
    for party in (bl, c1, old_c1):
        (await party.get(path)).shows(404)
        assert (await party.get("/vens")).json == []
    (await bl.get(part)).shows(404)
    assert (await bl.get("/resources")).json == []
    body = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "x", "venID": made["id"]}
    (await bl.post("/resources", body)).shows(404)
    (await bl.delete(path)).shows(404)
    more = await old_bl.made(f"{path}/resources", {"resourceName": "b"})
    assert more["venID"] == made["id"]


async def test_a_put_on_31_gives_such_a_ven_and_its_resources_to_a_client(old_bl, bl, c1):
    made = await old_bl.made("/vens", with_resources("a", targets=[{"type": "GROUP", "values": ["g1"]}]))
    path = f"/vens/{made['id']}"
    body = {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": made["venName"], "targets": ["g1"]}
    owned = (await bl.put(path, body)).shows(200).json
    assert owned["clientID"] == "c1"
    assert (await c1.get(path)).shows(200).json == owned
    assert [one["clientID"] for one in (await c1.get("/resources")).json] == ["c1"]
    renamed = (await old_bl.put(path, {"venName": fresh("w")})).shows(200).json
    assert (await c1.get(path)).json["venName"] == renamed["venName"]


async def test_a_ven_gets_its_client_once_it_has_a_name_that_the_settings_know(old_bl, c3):
    made = await old_bl.made("/vens", with_resources("a"))
    body = {"venName": KNOWN, "resources": [{"resourceName": "a"}, {"resourceName": "b"}]}
    (await old_bl.put(f"/vens/{made['id']}", body)).shows(200)
    assert [one["clientID"] for one in (await c3.get("/resources")).shows(200).json] == ["c3", "c3"]


async def test_a_client_that_has_a_ven_gets_no_second_one_by_its_name(old_bl, c3):
    await c3.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("first")})
    (await old_bl.post("/vens", {"venName": KNOWN})).shows(409)


async def test_one_request_changes_a_bounded_number_of_resources(old_c1):
    """They are written one by one while other writers wait."""
    names = [f"r{number}" for number in range(501)]
    refused = (await old_c1.post("/vens", with_resources(*names))).shows(400)
    assert refused.json["errors"][0]["path"] == "$.resources"
    ven = await old_c1.made("/vens", with_resources(*names[:2]))
    changed = {**ven, "resources": [{"resourceName": f"other-{number}"} for number in range(499)]}
    (await old_c1.put(f"/vens/{ven['id']}", changed)).shows(400)
    assert named((await old_c1.get(f"/vens/{ven['id']}")).json) == names[:2], "nothing half written"
