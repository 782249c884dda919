"""Object privacy over HTTP: the truth table of targets, and that nothing leaks around it (TGT-01..21)."""

import asyncio
import subprocess

import pytest
from vtn_process import fresh


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


@pytest.fixture
async def world(bl, c1):
    """The fixtures: c1 owns V1 [g1, v1] and R1 [r1]; c2 owns V2 [g2]; c3 owns nothing."""
    made = {}

    async def make(name, path, body):
        made[name] = await bl.made(path, body)
        return made[name]["id"]

    for name, targets in (("P0", None), ("P1", ["g1"]), ("P9", ["g9"])):
        await make(name, "/programs", {"programName": fresh(name), "targets": targets})
    events = {"E0": None, "E1": ["g1"], "E12": ["g1", "g2"], "ER": ["r1"], "E9": ["g9"]}
    for name, targets in events.items():
        await make(name, "/events", {"programID": made["P0"]["id"], "targets": targets})
    for name, owner, targets in (("V1", "c1", ["g1", "v1"]), ("V2", "c2", ["g2"])):
        body = {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": fresh(name), "targets": targets}
        await make(name, "/vens", body)
    resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "evse-1", "targets": ["r1"]}
    await make("R1", "/resources", {**resource, "venID": made["V1"]["id"]})
    yield made
    for collection in ("programs", "vens"):
        for one in (await bl.get(f"/{collection}")).ids:
            (await bl.delete(f"/{collection}/{one}")).shows(200)


@pytest.fixture
def parties(bl, c1, c2, c3):
    return {"bl": bl, "c1": c1, "c2": c2, "c3": c3}


WHOLE = {"E0": None, "E1": ["g1"], "E12": ["g1", "g2"], "ER": ["r1"], "E9": ["g9"]}
LISTS = {
    "/events": [
        WHOLE,
        {"E0": None, "E1": ["g1"], "E12": ["g1"], "ER": ["r1"]},
        {"E0": None, "E12": ["g2"]},
        {"E0": None},
    ],
    "/events?targets=g1": [{"E1": ["g1"], "E12": ["g1", "g2"]}, {"E1": ["g1"], "E12": ["g1"]}, {}, {}],
    "/events?targets=g2": [{"E12": ["g1", "g2"]}, {}, {"E12": ["g2"]}, {}],
    "/events?targets=g1&targets=g2": [
        {"E1": ["g1"], "E12": ["g1", "g2"]},
        {"E1": ["g1"], "E12": ["g1"]},
        {"E12": ["g2"]},
        {},
    ],
    "/events?targets=v1": [{}, {}, {}, {}],
    "/events?targets=g9": [{"E9": ["g9"]}, {}, {}, {}],
    "/events?targets=G1": [{}, {}, {}, {}],
    "/events?targets=g1,g2": [{}, {}, {}, {}],
    "/events?targets=g1&targets=g1": [{"E1": ["g1"], "E12": ["g1", "g2"]}, {"E1": ["g1"], "E12": ["g1"]}, {}, {}],
    "/events?targets=r1": [{"ER": ["r1"]}, {"ER": ["r1"]}, {}, {}],
    "/events?clientID=c1": [
        WHOLE,
        {"E0": None, "E1": ["g1"], "E12": ["g1"], "ER": ["r1"]},
        {"E0": None, "E12": ["g2"]},
        {"E0": None},
    ],
    "/programs": [
        {"P0": None, "P1": ["g1"], "P9": ["g9"]},
        {"P0": None, "P1": ["g1"]},
        {"P0": None},
        {"P0": None},
    ],
    "/programs?targets=g1": [{"P1": ["g1"]}, {"P1": ["g1"]}, {}, {}],
    "/vens": [{"V1": ["g1", "v1"], "V2": ["g2"]}, {"V1": ["g1", "v1"]}, {"V2": ["g2"]}, {}],
    "/vens?targets=g1": [{"V1": ["g1", "v1"]}, {"V1": ["g1", "v1"]}, {}, {}],
    "/resources": [{"R1": ["r1"]}, {"R1": ["r1"]}, {}, {}],
    "/resources?targets=r1": [{"R1": ["r1"]}, {"R1": ["r1"]}, {}, {}],
    "/resources?targets=g1": [{}, {}, {}, {}],
}


@pytest.mark.parametrize("who", ["bl", "c1", "c2", "c3"])
async def test_lists_show_what_annex_d_says(world, parties, who):
    """Several `targets` mean any of them, by the settled reading of TR-02."""
    names = {thing["id"]: name for name, thing in world.items()}
    for path, expected in LISTS.items():
        found = (await parties[who].get(path)).shows(200).json
        shown = {names[thing["id"]]: thing.get("targets") for thing in found}
        assert shown == expected[["bl", "c1", "c2", "c3"].index(who)], path


BY_ID = [
    ("events", "E0", (200, 200, 200, 200)),
    ("events", "E1", (200, 200, 404, 404)),
    ("events", "E12", (200, 200, 200, 404)),
    ("events", "ER", (200, 200, 404, 404)),
    ("events", "E9", (200, 404, 404, 404)),
    ("programs", "P0", (200, 200, 200, 200)),
    ("programs", "P1", (200, 200, 404, 404)),
    ("programs", "P9", (200, 404, 404, 404)),
    ("vens", "V1", (200, 200, 404, 404)),
    ("resources", "R1", (200, 200, 404, 404)),
]


@pytest.mark.parametrize(("collection", "name", "statuses"), BY_ID)
async def test_reads_by_id_follow_the_same_rule_and_hidden_looks_like_missing(
    world, parties, collection, name, statuses
):
    """TGT-14, TGT-21: the same body as for an unknown id, apart from the occurrence's own id."""
    for who, status in zip(parties, statuses, strict=True):
        answer = (await parties[who].get(f"/{collection}/{world[name]['id']}")).shows(status)
        if status == 404:
            unknown = (await parties[who].get(f"/{collection}/no-such-id")).json
            assert {**answer.json, "instance": ""} == {**unknown, "instance": ""}
            assert answer.headers.keys() == (await parties[who].get(f"/{collection}/x")).headers.keys()


async def test_targets_are_cut_in_reads_by_id_tgt_12(world, bl, c1, c2):
    path = f"/events/{world['E12']['id']}"
    shown = [(await party.get(path)).json["targets"] for party in (bl, c1, c2)]
    assert shown == [["g1", "g2"], ["g1"], ["g2"]]


@pytest.mark.parametrize("who", ["c1", "c2", "c3"])
async def test_a_ven_writes_no_program_and_no_event_hidden_or_not_tgt_15(world, parties, who):
    for name, collection in (("E1", "events"), ("E9", "events"), ("P0", "programs"), ("P9", "programs")):
        path = f"/{collection}/{world[name]['id']}"
        (await parties[who].put(path, {})).shows(403)
        (await parties[who].delete(path)).shows(403)
    (await parties[who].delete("/events/no-such-id")).shows(403)


async def test_foreign_vens_and_resources_cannot_be_touched_ven_19_res_17(world, bl, c2):
    ven = {"objectType": "VEN_VEN_REQUEST", "venName": fresh("theft")}
    resource = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "theft", "venID": world["V1"]["id"]}
    for path, body in ((f"/vens/{world['V1']['id']}", ven), (f"/resources/{world['R1']['id']}", resource)):
        before = (await bl.get(path)).json
        (await c2.put(path, body)).shows(404)
        (await c2.delete(path)).shows(404)
        assert (await bl.get(path)).json == before
    (await c2.post("/resources", resource)).shows(404)
    assert (await c2.get("/resources", ("venID", world["V1"]["id"]))).json == []


async def test_hidden_and_missing_references_are_refused_alike_rpt_12_sub_13(world, c1):
    for collection, name, hidden, body in (
        ("reports", "eventID", world["E9"]["id"], {"clientName": "x", "resources": []}),
        ("subscriptions", "programID", world["P9"]["id"], {"clientName": "x", "objectOperations": []}),
    ):
        answers = [await c1.post(f"/{collection}", {**body, name: ref}) for ref in (hidden, "no-such-id")]
        bodies = [{**answer.shows(409).json, "instance": ""} for answer in answers]
        assert bodies[0] == bodies[1]
        assert (await c1.get(f"/{collection}")).json == []


async def test_an_event_of_a_hidden_program_is_hidden_evt_20(world, bl, c1, c3):
    body = {"programID": world["P9"]["id"]}
    untargeted = await bl.made("/events", body)
    targeted = await bl.made("/events", {**body, "targets": ["g1"]})
    for made in (untargeted, targeted):
        for ven in (c1, c3):
            assert made["id"] not in (await ven.get("/events")).ids
            (await ven.get(f"/events/{made['id']}")).shows(404)


async def test_report_requests_are_cut_like_targets_evt_23(world, bl, c1):
    asked = [{"payloadType": "USAGE", "targets": ["g1", "g9"]}, {"payloadType": "HIDDEN", "targets": ["g9"]}]
    body = {"programID": world["P0"]["id"], "reportDescriptors": [*asked, {"payloadType": "OPEN"}]}
    made = await bl.made("/events", body)
    for shown in ((await c1.get(f"/events/{made['id']}")).json, (await c1.get("/events")).json[-1]):
        assert shown["reportDescriptors"] == [{"payloadType": "USAGE", "targets": ["g1"]}, {"payloadType": "OPEN"}]
        assert b"g9" not in str(shown).encode()
    assert (await bl.get(f"/events/{made['id']}")).json["reportDescriptors"][0]["targets"] == ["g1", "g9"]


async def test_nothing_a_ven_reads_names_a_target_it_does_not_hold_tgt_12(world, c1, c2, c3):
    secrets = {"c1": (b'"g2"', b'"g9"'), "c2": (b'"g1"', b'"g9"', b'"r1"', b'"v1"'), "c3": (b'"g', b'"r1"', b'"v1"')}
    for ven, hidden in zip((c1, c2, c3), secrets.values(), strict=True):
        for path in ("/events", "/programs", "/vens", "/resources", "/events?targets=g1&targets=g2&targets=g9"):
            content = (await ven.get(path)).content
            assert not [word for word in hidden if word in content], (path, content)


async def test_a_change_of_grants_works_on_the_very_next_read_tgt_16_ven_15(world, bl, c1):
    async def grant(targets):
        body = {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": world["V1"]["venName"]}
        (await bl.put(f"/vens/{world['V1']['id']}", {**body, "targets": targets})).shows(200)

    names = {thing["id"]: name for name, thing in world.items()}

    async def seen():
        return {names[one] for one in (await c1.get("/events")).ids}

    assert await seen() == {"E0", "E1", "E12", "ER"}
    await grant(["g2"])
    assert await seen() == {"E0", "E12", "ER"}
    await grant(None)
    assert await seen() == {"E0", "ER"}
    (await bl.delete(f"/resources/{world['R1']['id']}")).shows(200)
    assert await seen() == {"E0"}
    await grant(["g9"])
    assert await seen() == {"E0", "E9"}
    (await bl.delete(f"/vens/{world['V1']['id']}")).shows(200)
    assert await seen() == {"E0"}


async def test_a_change_of_an_events_targets_moves_it_between_vens(world, bl, c1, c2):
    path = f"/events/{world['E1']['id']}"
    (await bl.put(path, {"programID": world["P0"]["id"], "targets": ["g2"]})).shows(200)
    (await c1.get(path)).shows(404)
    (await c2.get(path)).shows(200)
    assert world["E1"]["id"] not in (await c1.get("/events")).ids
    assert world["E1"]["id"] in (await c2.get("/events")).ids


async def test_an_etag_answers_an_unchanged_poll_and_no_other(world, bl, c1):
    """A write, a change of grants and another client's eyes each give a new body, never a stale 304."""

    async def poll(party, etag=None):
        return await party.send("GET", "/events", headers={"If-None-Match": etag} if etag else None)

    first = await poll(c1)
    etag = first.headers["ETag"]
    unchanged = await poll(c1, etag)
    assert (unchanged.status, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert (await poll(bl, etag)).status == 200
    made = await bl.made("/events", {"programID": world["P0"]["id"]})
    after_write = await poll(c1, etag)
    assert made["id"] in after_write.ids
    etag = after_write.headers["ETag"]
    assert (await poll(c1, etag)).status == 304
    body = {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": world["V1"]["venName"], "targets": ["g2"]}
    (await bl.put(f"/vens/{world['V1']['id']}", body)).shows(200)
    after_ven = await poll(c1, etag)
    assert world["E1"]["id"] not in after_ven.ids
    etag = after_ven.headers["ETag"]
    resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "evse-1", "targets": ["g9"]}
    body = {**resource, "venID": world["V1"]["id"]}
    (await bl.put(f"/resources/{world['R1']['id']}", body)).shows(200)
    after_resource = await poll(c1, etag)
    assert world["E9"]["id"] in after_resource.ids
    assert world["ER"]["id"] not in after_resource.ids


async def test_privacy_comes_before_paging_tgt_20(world, bl, c1):
    program = world["P0"]["id"]
    for number in range(60):
        await bl.made("/events", {"programID": program, "targets": ["g9"] if number % 2 else ["v1"]})
    seen, skip = [], 0
    while page := (await c1.get("/events", ("targets", "v1"), ("skip", str(skip)), ("limit", "7"))).ids:
        assert len(page) == min(7, 30 - skip)
        seen += page
        skip += len(page)
    assert len(set(seen)) == 30


async def test_callback_tokens_are_shown_to_their_owner_only_sub_23(bl, c1, receiver):
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": receiver.url, "bearerToken": "s3cret"}
    made = await c1.made("/subscriptions", {"clientName": "x", "objectOperations": [entry]})
    path = f"/subscriptions/{made['id']}"
    assert made["objectOperations"][0]["bearerToken"] == "s3cret"
    assert (await c1.get(path)).json["objectOperations"][0]["bearerToken"] == "s3cret"
    for answer in (await bl.get(path), await bl.get("/subscriptions")):
        assert b"s3cret" not in answer.shows(200).content
    (await c1.delete(path)).shows(200)


async def test_secrets_are_not_in_the_database_in_the_clear(vtn, c1, receiver):
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": receiver.url, "bearerToken": "s3al-me-up"}
    await c1.made("/subscriptions", {"clientName": "x", "objectOperations": [entry]})
    files = map(str, vtn.var.glob("vtn.db*"))
    reader = await asyncio.create_subprocess_exec(
        "cat", *files, stdout=subprocess.PIPE
    )  # not opened here: `vtn_thread`
    kept, _ = await reader.communicate()
    assert kept
    assert b"s3al-me-up" not in kept
    assert vtn.secrets["c1"].encode() not in kept
    assert "s3al-me-up" not in vtn.log
