"""The client that we ship, against the server that we ship: everything through `vtn.client.Client`."""

import asyncio

import pytest
from vtn_process import Vtn, fresh

from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.wire.enumerations import ObjectType

KINDS = ObjectType


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


def client(vtn: Vtn, name: str, **options) -> Client:
    return Client(vtn.url, name, vtn.secrets[name], **options)


@pytest.fixture
async def utility(vtn):
    async with client(vtn, "bl") as one:
        yield one


@pytest.fixture
async def ven(vtn):
    async with client(vtn, "c1") as one:
        yield one


async def test_all_six_kinds_by_the_client(utility, ven):
    program = await utility.create(KINDS.PROGRAM, {"programName": fresh("p")})
    event = await utility.create(KINDS.EVENT, {"programID": program["id"]})
    report = await ven.create(KINDS.REPORT, {"eventID": event["id"], "clientName": "x", "resources": []})
    subscription = await ven.create(KINDS.SUBSCRIPTION, {"clientName": "x", "objectOperations": []})
    shape = {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")}
    mine = await ven.create(KINDS.VEN, shape)
    part = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": mine["id"]}
    resource = await ven.create(KINDS.RESOURCE, part)
    assert await ven.read(KINDS.EVENT, event["id"]) == event
    assert await ven.search(KINDS.REPORT, eventID=event["id"]) == [report]
    assert subscription in await ven.search(KINDS.SUBSCRIPTION)
    changed = await ven.replace(KINDS.VEN, mine["id"], {**shape, "venName": fresh("w")})
    assert await ven.delete(KINDS.VEN, mine["id"]) == changed
    with pytest.raises(VtnRefused) as refused:
        await ven.read(KINDS.RESOURCE, resource["id"])
    assert refused.value.status == 404
    assert (await ven.notifiers())["WEBHOOK"] is True


async def test_a_search_goes_through_all_pages(utility):
    program = await utility.create(KINDS.PROGRAM, {"programName": fresh("p")})
    made = [(await utility.create(KINDS.EVENT, {"programID": program["id"]}))["id"] for _ in range(103)]
    assert [event["id"] for event in await utility.search(KINDS.EVENT, programID=program["id"])] == made


async def test_a_poll_sees_every_change_although_it_remembers_etags(utility, ven):
    program = await utility.create(KINDS.PROGRAM, {"programName": fresh("p")})
    mine = {"programID": program["id"]}
    assert await ven.search(KINDS.EVENT, **mine) == await ven.search(KINDS.EVENT, **mine) == []
    event = await utility.create(KINDS.EVENT, mine)
    assert await ven.search(KINDS.EVENT, **mine) == [event]
    changed = await utility.replace(KINDS.EVENT, event["id"], {**mine, "priority": 1})
    assert await ven.search(KINDS.EVENT, **mine) == [changed]
    await utility.delete(KINDS.EVENT, event["id"])
    assert await ven.search(KINDS.EVENT, **mine) == []


async def test_a_refusal_carries_the_problem(utility):
    with pytest.raises(VtnRefused) as refused:
        await utility.create(KINDS.PROGRAM, {})
    assert refused.value.status == 400
    assert refused.value.problem["errors"][0]["path"] == "$.programName"


async def test_a_wrong_secret_is_refused(vtn):
    async with Client(vtn.url, "c1", "wrong") as stranger:
        with pytest.raises(VtnRefused) as refused:
            await stranger.search(KINDS.PROGRAM)
    assert refused.value.status == 401


async def test_a_narrower_scope_can_be_asked_for(vtn):
    async with client(vtn, "c1", scope="read_targets") as reader:
        await reader.search(KINDS.PROGRAM)
        with pytest.raises(VtnRefused) as refused:
            await reader.search(KINDS.VEN)
    assert refused.value.status == 403


async def test_a_dead_token_is_renewed_by_itself(launch, tmp_path):
    """The server loses its signing key, so every token it gave out is worthless; the client asks for another."""
    with launch() as server:
        port = server.root.rpartition(":")[2]
        async with client(server, "c1") as ven:
            assert await ven.search(KINDS.PROGRAM) == []
            server.stop()
            (server.var / "keys" / "tokens.pem").unlink()
            server.settings["server.port"] = port
            server.start()
            assert await ven.search(KINDS.PROGRAM) == []


async def test_a_server_that_is_gone_is_unreachable(launch):
    with launch(process=True) as server:
        async with client(server, "c1") as ven:
            await ven.search(KINDS.PROGRAM)
            server.kill()
            with pytest.raises(VtnUnreachable):
                await ven.search(KINDS.PROGRAM)


async def test_many_writers_at_once(utility, ven):
    program = await utility.create(KINDS.PROGRAM, {"programName": fresh("p")})
    body = {"programID": program["id"]}
    events = await asyncio.gather(*(utility.create(KINDS.EVENT, body) for _ in range(30)))
    reports = await asyncio.gather(
        *(ven.create(KINDS.REPORT, {"eventID": e["id"], "clientName": "x", "resources": []}) for e in events)
    )
    found = await utility.search(KINDS.REPORT, programID=program["id"])
    assert {report["id"] for report in found} == {report["id"] for report in reports}
