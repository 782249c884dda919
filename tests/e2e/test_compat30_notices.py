"""Who subscribed on OpenADR 3.0.1 is told in its words: POST, PUT, DELETE and GET, with 3.0.1 objects."""

import asyncio
import contextlib

import pytest
from aiohttp import web
from party301 import Party301, faults, in_the_schemas_words
from vtn_process import Party, fresh

EVERY = ["PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE"]


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


@pytest.fixture
def old_bl(vtn, bl):
    return Party301(bl, vtn.root)


@pytest.fixture
def old_c1(vtn, c1):
    return Party301(c1, vtn.root)


@pytest.fixture(autouse=True)
async def _nothing_after(old_bl, bl):
    yield
    for collection in ("programs", "vens"):
        for one in (await old_bl.get(f"/{collection}")).ids:
            (await old_bl.delete(f"/{collection}/{one}")).shows(200)
    for one in (await bl.get("/subscriptions")).ids:
        (await bl.delete(f"/subscriptions/{one}")).shows(200)


async def heard(receiver):
    async with asyncio.timeout(60):
        return await receiver.seen.get()


async def said(receiver):
    """The next notification, which must be of the 3.0.1 schema."""
    message = await heard(receiver)
    judged = {**message, "object": in_the_schemas_words(message["object"])}
    assert faults("notification", judged) == [], message
    assert not {"clientID", "duration"} & message["object"].keys()
    return message


def wish(receiver, program, *operations, kinds=EVERY, **more):
    entry = {"objects": list(kinds), "operations": list(operations), "callbackUrl": receiver.url}
    return {"clientName": "x", "programID": program["id"], "objectOperations": [entry], **more}


def told(message):
    return message["operation"], message["objectType"], message["object"]["id"]


async def test_a_program_and_its_children_are_told_in_301_words(old_bl, bl, c1, program, receiver):
    mine = await old_bl.made("/subscriptions", wish(receiver, program, "POST", "PUT", "DELETE"))
    assert told(await said(receiver)) == ("POST", "SUBSCRIPTION", mine["id"])
    attributes = [{"type": "COUNTRY", "values": ["US"]}]
    body = {"programName": program["programName"], "attributes": attributes}
    (await bl.put(f"/programs/{program['id']}", body)).shows(200)
    changed = await said(receiver)
    assert told(changed) == ("PUT", "PROGRAM", program["id"])
    assert changed["object"]["country"] == "US"
    assert "attributes" not in changed["object"]
    event = await bl.made("/events", {"programID": program["id"], "duration": "PT1H"})
    made = await said(receiver)
    assert (told(made), made["object"]["intervals"]) == (("POST", "EVENT", event["id"]), [])
    report = await c1.made("/reports", {"eventID": event["id"], "clientName": "x", "resources": []})
    measured = await said(receiver)
    assert told(measured) == ("POST", "REPORT", report["id"])
    assert measured["object"]["programID"] == program["id"]
    (await bl.delete(f"/programs/{program['id']}")).shows(200)
    gone = [told(await said(receiver))[:2] for _ in range(4)]
    assert sorted(gone) == [("DELETE", kind) for kind in ("EVENT", "PROGRAM", "REPORT", "SUBSCRIPTION")]


async def test_one_change_is_told_to_each_subscriber_in_its_own_words(old_c1, c1, bl, program, receiver):
    await c1.made("/subscriptions", wish(receiver, program, "CREATE", kinds=["EVENT"]))
    await old_c1.made("/subscriptions", wish(receiver, program, "CREATE", kinds=["EVENT"]))
    intervals = [{"id": 0, "payloads": [{"type": "PRICE", "values": [1, 2]}]}]
    period = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"}
    await bl.made("/events", {"programID": program["id"], "intervalPeriod": period, "intervals": intervals})
    messages = {message["operation"]: message for message in (await heard(receiver), await heard(receiver))}
    assert messages["CREATE"]["object"]["intervals"] == intervals
    assert len(messages["POST"]["object"]["intervals"]) == 2
    assert faults("notification", messages["POST"]) == []


async def test_targets_are_cut_and_typed_as_they_were_written(old_bl, old_c1, program, receiver):
    ven = await old_c1.made("/vens", {"venName": fresh("v")})
    grant = {"venName": ven["venName"], "targets": [{"type": "GROUP", "values": ["g1"]}]}
    (await old_bl.put(f"/vens/{ven['id']}", grant)).shows(200)
    await old_c1.made("/subscriptions", wish(receiver, program, "CREATE", kinds=["EVENT"]))
    targets = [{"type": "SERVICE_AREA", "values": ["g1"]}, {"type": "GROUP", "values": ["g9"]}]
    hidden = {"programID": program["id"], "intervals": [], "targets": targets[1:]}
    await old_bl.made("/events", hidden)
    await old_bl.made("/events", {**hidden, "targets": targets})
    message = await said(receiver)
    assert message["targets"] == message["object"]["targets"] == targets[:1]


async def test_an_endless_event_is_told_as_the_week_ahead(old_c1, bl, program, receiver):
    await old_c1.made("/subscriptions", wish(receiver, program, "CREATE", kinds=["EVENT"]))
    body = {"programID": program["id"], "duration": "P9999Y"}
    period = {"start": "2020-01-01T00:00:00Z", "duration": "P1D"}
    intervals = [{"id": 0, "payloads": [{"type": "PRICE", "values": [1]}]}]
    event = await bl.made("/events", {**body, "intervalPeriod": period, "intervals": intervals})
    shown = (await said(receiver))["object"]["intervals"]
    assert 7 <= len(shown) <= 9
    assert shown[0]["intervalPeriod"]["start"][:10] == event["createdDateTime"][:10]


async def test_vens_belong_to_no_program_and_are_told_all_the_same(old_bl, old_c1, c1, program, receiver):
    await old_bl.made("/subscriptions", wish(receiver, program, "POST", kinds=["VEN", "RESOURCE"]))
    made = await old_c1.made("/vens", {"venName": fresh("v"), "resources": [{"resourceName": "a"}]})
    assert told(await said(receiver)) == ("POST", "VEN", made["id"])
    assert told(await said(receiver)) == ("POST", "RESOURCE", made["resources"][0]["id"])


async def test_a_ven_that_nobody_owns_is_told_on_31_when_it_has_an_owner(old_bl, bl, receiver):
    entry = {"objects": ["VEN"], "operations": ["CREATE", "UPDATE"], "callbackUrl": receiver.url}
    await bl.made("/subscriptions", {"clientName": "x", "objectOperations": [entry]})
    made = await old_bl.made("/vens", {"venName": fresh("v")})
    body = {"objectType": "BL_VEN_REQUEST", "clientID": "c2", "venName": made["venName"]}
    (await bl.put(f"/vens/{made['id']}", body)).shows(200)
    message = await heard(receiver)
    assert (message["operation"], message["object"]["id"], message["object"]["clientID"]) == (
        "CREATE",
        made["id"],
        "c2",
    )


async def test_reads_are_told_as_get(old_bl, c1, program, receiver):
    await old_bl.made("/subscriptions", wish(receiver, program, "GET", kinds=["PROGRAM"]))
    (await c1.get(f"/programs/{program['id']}")).shows(200)
    assert told(await said(receiver)) == ("GET", "PROGRAM", program["id"])


async def test_a_read_on_301_is_a_read(bl, old_c1, program, receiver):
    await bl.made("/subscriptions", wish(receiver, program, "READ", kinds=["PROGRAM"]))
    (await old_c1.get(f"/programs/{program['id']}")).shows(200)
    message = await heard(receiver)
    assert (message["operation"], message["object"]) == ("READ", program)


@pytest.mark.parametrize("writer", ["c1", "bl"])
async def test_a_subscriber_hears_the_version_it_last_wrote_in_itself(old_c1, c1, bl, program, receiver, writer):
    made = await old_c1.made("/subscriptions", wish(receiver, program, "CREATE", kinds=["EVENT"]))
    party = {"c1": c1, "bl": bl}[writer]
    body = wish(receiver, program, "CREATE", kinds=["EVENT"], clientName="renamed")
    (await party.put(f"/subscriptions/{made['id']}", body)).shows(200)
    await bl.made("/events", {"programID": program["id"]})
    assert (await heard(receiver))["operation"] == {"c1": "CREATE", "bl": "POST"}[writer]


@contextlib.asynccontextmanager
async def plain_receiver(host):
    """A receiver on another loopback address than those that development opens."""
    seen = asyncio.Queue()

    async def handle(request):
        if request.method == "GET":
            return web.Response(text=request.query["echo"])
        await seen.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/", handle)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    yield f"http://{host}:{runner.addresses[0][1]}/", seen
    await runner.cleanup()


async def test_plain_http_callbacks_are_for_301_and_by_the_switch_alone(launch, http, old_c1, c1, program):
    with launch({"webhooks.legacy_http": "true"}) as lenient:
        there = {name: Party(http, lenient.url, lenient.token(name)) for name in ("bl", "c1")}
        here = await there["bl"].made("/programs", {"programName": fresh("p")})
        async with plain_receiver("127.0.0.2") as (url, seen):
            entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url}
            body = {"clientName": "x", "objectOperations": [entry]}
            (await old_c1.post("/subscriptions", {**body, "programID": program["id"]})).shows(400)
            (await there["c1"].post("/subscriptions", {**body, "programID": here["id"]})).shows(400)
            old = Party301(there["c1"], lenient.root)
            await old.made("/subscriptions", {**body, "programID": here["id"]})
            await there["bl"].made("/events", {"programID": here["id"]})
            async with asyncio.timeout(60):
                assert (await seen.get())["operation"] == "POST"
