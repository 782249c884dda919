"""Objects that belong to a client: vens, resources, reports and subscriptions (VEN, RES, RPT, SUB)."""

import asyncio

import pytest
from vtn_process import Party, fresh


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


@pytest.fixture
async def vens(bl):
    """V1 of c1 with a granted target, V2 of c2."""
    made = {}
    for owner, targets in (("c1", ["g1"]), ("c2", None)):
        body = {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": fresh("ven"), "targets": targets}
        made[owner] = await bl.made("/vens", body)
    yield made
    for ven in (await bl.get("/vens")).ids:
        (await bl.delete(f"/vens/{ven}")).shows(200)


@pytest.fixture
async def resource(bl, vens):
    body = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "c1", "resourceName": "evse-1", "targets": ["r1"]}
    return await bl.made("/resources", {**body, "venID": vens["c1"]["id"]})


@pytest.fixture
async def event(bl, program):
    return await bl.made("/events", {"programID": program["id"]})


def ven_shape(**extra):
    return {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v"), **extra}


def bl_shape(owner, **extra):
    return {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": fresh("v"), **extra}


# --- vens ------------------------------------------------------------------------------------------------------------


async def test_each_role_writes_its_own_shape_of_a_ven_ven_06_to_10(bl, c3):
    made = await bl.made("/vens", bl_shape("someone", targets=["a"]))
    assert (made["clientID"], made["targets"], made["objectType"]) == ("someone", ["a"], "VEN")
    (await bl.delete(f"/vens/{made['id']}")).shows(200)
    assert (await bl.post("/vens", ven_shape())).shows(400).paths() == ["$.objectType"]
    (await c3.post("/vens", bl_shape("c3"))).shows(403)
    for wrong in ({"venName": "v"}, {"objectType": "VEN", "venName": "v"}, {"objectType": 7, "venName": "v"}):
        for party in (bl, c3):
            assert (await party.post("/vens", wrong)).shows(400).paths() == ["$.objectType"]


async def test_a_ven_that_registers_itself_owns_itself_and_grants_itself_nothing_ven_11_13(bl, c3):
    made = await c3.made("/vens", ven_shape(clientID="c1", targets=["g9"]))
    assert made["clientID"] == "c3"
    assert made.get("targets") is None
    assert (await bl.get(f"/vens/{made['id']}")).json == made
    (await c3.delete(f"/vens/{made['id']}")).shows(200)


async def test_a_vens_own_put_keeps_owner_and_grants_ven_13_14_tr_07(bl, c1, vens):
    path = f"/vens/{vens['c1']['id']}"
    changed = (await c1.put(path, ven_shape(targets=["g9"], clientID="c2"))).shows(200).json
    assert (changed["clientID"], changed["targets"]) == ("c1", ["g1"])
    assert changed["venName"] != vens["c1"]["venName"]
    (await c1.put(path, bl_shape("c1", targets=["g9"]))).shows(403)
    assert (await bl.get(path)).json == changed


async def test_one_ven_per_client_tr_10(bl, c1, vens):
    (await bl.post("/vens", bl_shape("c1"))).shows(409)
    (await c1.post("/vens", ven_shape())).shows(409)
    (await bl.put(f"/vens/{vens['c2']['id']}", bl_shape("c1"))).shows(409)


async def test_a_client_that_registers_many_times_at_once_has_one_ven_tr_10(c3):
    answers = await asyncio.gather(*(c3.post("/vens", ven_shape()) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert len((await c3.get("/vens")).json) == 1


async def test_ven_names_are_unique_ven_16_err_11(bl, c3, vens):
    taken = vens["c1"]["venName"]
    for answer in (
        await bl.post("/vens", bl_shape("x") | {"venName": taken}),
        await c3.post("/vens", ven_shape() | {"venName": taken}),
        await bl.put(f"/vens/{vens['c2']['id']}", bl_shape("c2") | {"venName": taken}),
    ):
        assert "venName" in answer.shows(409).json["detail"]


async def test_deleting_a_ven_removes_its_resources_and_grants_ven_24(bl, c1, vens, resource, program):
    event = await bl.made("/events", {"programID": program["id"], "targets": ["r1"]})
    (await c1.get(f"/events/{event['id']}")).shows(200)
    (await c1.delete(f"/vens/{vens['c1']['id']}")).shows(200)
    (await bl.get(f"/resources/{resource['id']}")).shows(404)
    (await c1.get(f"/events/{event['id']}")).shows(404)


async def test_a_ven_that_moves_to_another_client_takes_its_resources_along_tr_11(bl, c1, c3, vens, resource):
    body = bl_shape("c3", venName=vens["c1"]["venName"], targets=["g1"])
    (await bl.put(f"/vens/{vens['c1']['id']}", body)).shows(200)
    assert (await c1.get("/vens")).json == (await c1.get("/resources")).json == []
    assert (await c3.get("/resources")).json[0]["clientID"] == "c3"


async def test_vens_do_not_nest_resources_ven_25_res_06(bl, c1, vens, resource):
    assert "resources" not in (await c1.get(f"/vens/{vens['c1']['id']}")).json
    (await bl.get(f"/vens/{vens['c1']['id']}/resources")).shows(404)
    (await bl.get("/resourceGroups")).shows(404)


# --- resources -------------------------------------------------------------------------------------------------------


def ven_resource(ven, **extra):
    return {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": fresh("r"), "venID": ven["id"], **extra}


def bl_resource(ven, owner, **extra):
    own = {"objectType": "BL_RESOURCE_REQUEST", "resourceName": fresh("r"), "venID": ven["id"], "clientID": owner}
    return {**own, **extra}


async def test_each_role_writes_its_own_shape_of_a_resource_res_07_to_10(bl, c1, vens):
    made = await bl.made("/resources", bl_resource(vens["c1"], "c1", targets=["r1"]))
    assert (made["clientID"], made["targets"], made["objectType"]) == ("c1", ["r1"], "RESOURCE")
    mine = await c1.made("/resources", ven_resource(vens["c1"], targets=["g9"], clientID="c2"))
    assert mine["clientID"] == "c1"
    assert mine.get("targets") is None
    (await c1.post("/resources", bl_resource(vens["c1"], "c1"))).shows(403)
    assert (await bl.post("/resources", ven_resource(vens["c1"]))).shows(400).paths() == ["$.objectType"]


async def test_a_resource_hangs_on_a_ven_of_its_owner_res_11_12_13(bl, c1, c2, vens):
    (await bl.post("/resources", bl_resource({"id": "no-such-ven"}, "c1"))).shows(404)
    (await c2.post("/resources", ven_resource(vens["c1"]))).shows(404)
    assert (await bl.post("/resources", bl_resource(vens["c1"], "c2"))).shows(400).paths() == ["$.clientID"]
    assert (await bl.get("/resources")).json == []


async def test_a_vens_put_keeps_the_grants_of_its_resource_res_14_23(bl, c1, vens, resource):
    path = f"/resources/{resource['id']}"
    changed = (await c1.put(path, ven_resource(vens["c1"], targets=["g9"]))).shows(200).json
    assert (changed["targets"], changed["clientID"]) == (["r1"], "c1")
    (await c1.put(path, ven_resource(vens["c2"]))).shows(404)
    assert (await bl.get(path)).json == changed


async def test_resource_names_are_unique_within_their_ven_only_res_16(bl, c1, c2, vens, resource):
    answer = await c1.post("/resources", ven_resource(vens["c1"], resourceName="evse-1"))
    assert "resourceName" in answer.shows(409).json["detail"]
    await c2.made("/resources", ven_resource(vens["c2"], resourceName="evse-1"))
    other = await c1.made("/resources", ven_resource(vens["c1"]))
    (await c1.put(f"/resources/{other['id']}", ven_resource(vens["c1"], resourceName="evse-1"))).shows(409)


async def test_resources_are_found_by_name_and_ven_res_01_21(bl, c1, vens, resource):
    mine = await c1.made("/resources", ven_resource(vens["c1"]))
    for query, expected in (
        ([("venID", vens["c1"]["id"])], [resource["id"], mine["id"]]),
        ([("venID", vens["c2"]["id"])], []),
        ([("resourceName", "evse-1")], [resource["id"]]),
        ([("targets", "r1")], [resource["id"]]),
        ([("targets", "r1"), ("resourceName", mine["resourceName"])], []),
    ):
        for party in (bl, c1):
            assert (await party.get("/resources", *query)).ids == expected, query


async def test_two_vens_with_one_group_both_see_its_event_rg_02(bl, c1, c2, vens, program):
    for owner in ("c1", "c2"):
        body = bl_shape(owner, venName=vens[owner]["venName"], targets=["group-1"])
        (await bl.put(f"/vens/{vens[owner]['id']}", body)).shows(200)
    event = await bl.made("/events", {"programID": program["id"], "targets": ["group-1"]})
    for ven in (c1, c2):
        (await ven.get(f"/events/{event['id']}")).shows(200)


# --- reports ---------------------------------------------------------------------------------------------------------


def report_on(event, **extra):
    return {"eventID": event["id"], "clientName": "x", "resources": [], **extra}


async def test_a_report_carries_the_clientid_of_its_writer_rpt_07_17(bl, c1, event):
    made = await c1.made("/reports", report_on(event, clientID="evil", targets=["g9"]))
    assert made["clientID"] == "c1"
    assert (await bl.get(f"/reports/{made['id']}")).json["clientID"] == "c1"
    changed = (await c1.put(f"/reports/{made['id']}", report_on(event, clientID="evil"))).shows(200)
    assert changed.json["clientID"] == "c1"


async def test_a_ven_reads_and_writes_its_own_reports_only_rpt_08_09(bl, c1, c2, event):
    made = await c1.made("/reports", report_on(event))
    path = f"/reports/{made['id']}"
    for answer in (await c2.get(path), await c2.put(path, report_on(event)), await c2.delete(path)):
        answer.shows(404)
    assert (await c2.get("/reports", ("eventID", event["id"]))).json == []
    assert (await bl.get("/reports", ("eventID", event["id"]))).json == [made]
    assert (await bl.get(path)).json == made


async def test_business_logic_neither_writes_nor_deletes_reports_rpt_10_11_tr_19(bl, c1, event):
    made = await c1.made("/reports", report_on(event))
    (await bl.post("/reports", report_on(event))).shows(403)
    (await bl.put(f"/reports/{made['id']}", report_on(event))).shows(403)
    (await bl.delete(f"/reports/{made['id']}")).shows(403)
    assert (await c1.get(f"/reports/{made['id']}")).json == made


async def test_a_utility_registered_with_write_reports_may_delete_any_tr_19(vtn, http, c1, event):
    scopes = [part for scope in ("read_all", "write_reports") for part in ("--scope", scope)]
    vtn.add_client("janitor", "BL", *scopes)
    janitor = Party(http, vtn.url, vtn.token("janitor"))
    made = await c1.made("/reports", report_on(event))
    assert (await janitor.delete(f"/reports/{made['id']}")).shows(200).json == made
    (await c1.get(f"/reports/{made['id']}")).shows(404)


async def test_the_event_of_a_report_must_exist_rpt_12(c1, event):
    (await c1.post("/reports", report_on({"id": "no-such-event"}))).shows(409)
    made = await c1.made("/reports", report_on(event))
    (await c1.put(f"/reports/{made['id']}", report_on({"id": "no-such-event"}))).shows(409)
    assert (await c1.get(f"/reports/{made['id']}")).json == made


async def test_equal_reports_are_two_reports_rpt_13(c1, event):
    body = report_on(event, reportName="same")
    assert (await c1.made("/reports", body))["id"] != (await c1.made("/reports", body))["id"]


async def test_report_content_is_the_clients_affair_rpt_15_16_18(c1, event):
    usage = [{"type": "USAGE", "values": [1.5]}, {"type": "DATA_QUALITY", "values": ["ESTIMATED"]}]
    resources = [
        {"resourceName": name, "intervals": [{"id": 0, "payloads": usage}]}
        for name in ("unknown-1", "AGGREGATED_REPORT", "unknown-1")
    ]
    made = await c1.made("/reports", report_on(event, resources=resources))
    assert (await c1.get(f"/reports/{made['id']}")).json["resources"] == resources
    wrong = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE"}
    answer = await c1.post("/reports", report_on(event, payloadDescriptors=[wrong]))
    assert answer.shows(400).paths()[0].startswith("$.payloadDescriptors[0].objectType")


async def test_reports_go_with_their_event_to_another_program_tr_56_tr_107(bl, c1, program, event):
    """The old program may go; the report stays with its event."""
    other = await bl.made("/programs", {"programName": fresh("p")})
    made = await c1.made("/reports", report_on(event))
    (await bl.put(f"/events/{event['id']}", {"programID": other["id"]})).shows(200)
    assert (await bl.get("/reports", ("programID", program["id"]))).ids == []
    assert (await bl.get("/reports", ("programID", other["id"]))).ids == [made["id"]]
    (await bl.delete(f"/programs/{program['id']}")).shows(200)
    (await c1.get(f"/reports/{made['id']}")).shows(200)


async def test_a_report_that_moves_to_another_event_is_listed_by_its_program_rpt_02_tr_107(bl, c1, program, event):
    other = await bl.made("/programs", {"programName": fresh("p")})
    made = await c1.made("/reports", report_on(event))
    assert (await bl.get("/reports", ("programID", program["id"]))).ids == [made["id"]]
    second = await bl.made("/events", {"programID": other["id"]})
    (await c1.put(f"/reports/{made['id']}", report_on(second))).shows(200)
    assert (await bl.get("/reports", ("programID", program["id"]))).ids == []
    assert (await bl.get("/reports", ("programID", other["id"]))).ids == [made["id"]]


# --- subscriptions ---------------------------------------------------------------------------------------------------


def subscription(*urls, **extra):
    entries = [{"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url} for url in urls]
    return {"clientName": fresh("s"), "objectOperations": entries, **extra}


async def test_subscriptions_belong_to_their_writer_sub_06_07_08_25(bl, c1, c2, receiver):
    made = await c1.made("/subscriptions", subscription(receiver.url, clientID="evil", targets=["g1", "zz"]))
    path = f"/subscriptions/{made['id']}"
    assert (made["clientID"], made["targets"]) == ("c1", ["g1", "zz"])
    for answer in (await c2.get(path), await c2.delete(path), await c2.put(path, subscription(receiver.url))):
        answer.shows(404)
    assert made["id"] not in (await c2.get("/subscriptions")).ids
    assert made["id"] in (await bl.get("/subscriptions")).ids
    assert (await bl.made("/subscriptions", subscription(receiver.url)))["clientID"] == "bl"


async def test_every_new_url_is_challenged_with_its_own_value_sub_17_to_21(c1, receiver):
    first, second = receiver.url + "?a=1", receiver.url + "/other"
    made = await c1.made("/subscriptions", subscription(first, second, first))
    assert [("a" in seen, len(seen["echo"]) >= 22) for seen in receiver.challenges] == [(True, True), (False, True)]
    third = receiver.url + "/third"
    (await c1.put(f"/subscriptions/{made['id']}", subscription(first, third))).shows(200)
    assert len(receiver.challenges) == 3
    assert len({seen["echo"] for seen in receiver.challenges}) == 3


async def test_a_url_that_does_not_echo_is_refused_and_nothing_changes_sub_18_19(c1, receiver):
    made = await c1.made("/subscriptions", subscription(receiver.url))
    receiver.echoing = False
    before = (await c1.get("/subscriptions")).ids
    answer = await c1.post("/subscriptions", subscription(receiver.url))
    assert answer.shows(400).paths() == ["$.objectOperations[0].callbackUrl"]
    changed = subscription(receiver.url, receiver.url + "/new")
    answer = await c1.put(f"/subscriptions/{made['id']}", changed)
    assert answer.shows(400).paths() == ["$.objectOperations[1].callbackUrl"]
    assert (await c1.get("/subscriptions")).ids == before
    assert (await c1.get(f"/subscriptions/{made['id']}")).json == made


async def test_the_callback_token_goes_with_the_challenge_tr_66(c1, receiver):
    body = subscription(receiver.url)
    body["objectOperations"][0]["bearerToken"] = "s3cret"
    await c1.made("/subscriptions", body)
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "http://127.0.0.1.example.org/x",
        "ftp://127.0.0.1/x",
        "https:///x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/x",
        "https://[fd00::1]/x",
        "https://[bad/x",
    ],
)
async def test_callbacks_go_nowhere_they_should_not_sub_15_hook_05(c1, url):
    before = (await c1.get("/subscriptions")).ids
    answer = (await c1.post("/subscriptions", subscription(url))).shows(400)
    assert answer.paths() == ["$.objectOperations[0].callbackUrl"]
    assert (await c1.get("/subscriptions")).ids == before


async def test_a_url_may_not_turn_unsafe_by_put_sub_15(c1, receiver):
    made = await c1.made("/subscriptions", subscription(receiver.url))
    (await c1.put(f"/subscriptions/{made['id']}", subscription("http://example.org/x"))).shows(400)
    assert (await c1.get(f"/subscriptions/{made['id']}")).json == made


async def test_empty_lists_are_fine_sub_26(c1):
    await c1.made("/subscriptions", {"clientName": "x", "objectOperations": []})
    entry = {"objects": [], "operations": [], "callbackUrl": "https://[fd00::1]/x"}
    (await c1.post("/subscriptions", {"clientName": "x", "objectOperations": [entry]})).shows(400)


async def test_a_subscriber_hears_of_what_it_asked_for_and_may_see_notif_01_to_12(bl, c1, vens, program, receiver):
    """The VTN's own promise end to end; delivery under failures is judged in tests/faults and tests/contract."""
    await c1.made("/subscriptions", subscription(receiver.url, programID=program["id"]))
    await bl.made("/events", {"programID": program["id"], "targets": ["g9"]})
    seen = await bl.made("/events", {"programID": program["id"], "targets": ["g1", "g9"]})
    async with asyncio.timeout(60):
        note = await receiver.seen.get()
    assert (note["objectType"], note["operation"]) == ("EVENT", "CREATE")
    assert note["object"] == (await c1.get(f"/events/{seen['id']}")).json
    assert note["object"]["targets"] == ["g1"]
    assert "g9" not in str(note)
    assert receiver.seen.empty()


@pytest.mark.parametrize(("count", "paths"), [(40, 10), (1000, 1)])
async def test_one_request_does_not_call_thousands_of_hosts_sub_20(c1, count, paths):
    entries = [
        {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": f"http://127.0.0.1:1/{number}"}
        for number in range(count)
    ]
    body = {"clientName": fresh("c"), "objectOperations": entries}
    assert len((await c1.post("/subscriptions", body)).shows(400).paths()) == paths
