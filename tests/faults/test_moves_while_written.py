"""Objects that move while others are written to hang on them, over HTTP, by two servers on one database."""

import asyncio
import itertools

import aiohttp
import pytest
from party301 import V301
from vtn_process import V310, Party, Vtn, add_client, fresh

ROUNDS = 12


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
def servers(store_url, tmp_path):
    var, settings = tmp_path / "var", {"storage.url": store_url}
    roles = {"bl": "BL", "a": "VEN", "b": "VEN"}
    secrets = {name: add_client(var, name, role, settings=settings) for name, role in roles.items()}
    pair = [Vtn(var, settings, secrets) for _ in range(2)]
    try:
        yield [server.start() for server in pair]
    finally:
        for server in pair:
            server.stop()


def parties(http, servers, name):
    return itertools.cycle([Party(http, server.url, server.token(name)) for server in servers])


async def test_reports_follow_their_event_whatever_came_first(servers, http):
    bl, ven = parties(http, servers, "bl"), parties(http, servers, "a")
    programs = [(await next(bl).made("/programs", {"programName": fresh()}))["id"] for _ in range(2)]
    content = {"intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": [1]}]}]}
    event = await next(bl).made("/events", {"programID": programs[0], **content})

    async def move():
        for n in range(ROUNDS):
            body = {"programID": programs[(n + 1) % 2], **content}
            (await next(bl).put(f"/events/{event['id']}", body)).shows(200)

    async def tell():
        body = {"eventID": event["id"], "clientName": "a", "resources": []}
        return [(await next(ven).made("/reports", body))["id"] for _ in range(ROUNDS)]

    _, *made = await asyncio.gather(move(), *(tell() for _ in range(3)))
    (held,) = {one["programID"] for one in (await next(bl).get("/events")).json}
    (other,) = set(programs) - {held}
    (await next(bl).delete(f"/programs/{other}")).shows(200)
    kept = {one["id"] for one in (await next(bl).get("/reports", ("programID", held))).shows(200).json}
    assert kept == set(itertools.chain.from_iterable(made)), "none went with a program that its event had left"


@pytest.mark.parametrize("base", [V310, V301])
async def test_resources_follow_their_ven_whatever_came_first(servers, http, base):
    bl = parties(http, servers, "bl")
    name = fresh()
    ven = await next(bl).made("/vens", {"objectType": "BL_VEN_REQUEST", "venName": name, "clientID": "a"})

    async def move():
        for n in range(ROUNDS):
            body = {"objectType": "BL_VEN_REQUEST", "venName": name, "clientID": "ba"[n % 2]}
            (await next(bl).put(f"/vens/{ven['id']}", body)).shows(200)

    path = f"/vens/{ven['id']}/resources" if base == V301 else "/resources"

    async def make():
        made = []
        for _ in range(ROUNDS):
            body = {"objectType": "BL_RESOURCE_REQUEST", "resourceName": fresh(), "venID": ven["id"]}
            if base == V301:
                del body["objectType"]
            writer = next(bl)
            writer = writer.at(writer.url.replace(V310, base))
            made.append((await writer.made(path, body))["id"])
            (await writer.put(f"{path}/{made[-1]}", body)).shows(200)
        return made

    _, *made = await asyncio.gather(move(), *(make() for _ in range(3)))
    (owner,) = {one["clientID"] for one in (await next(bl).get("/vens")).json}
    found = (await next(bl).get("/resources")).shows(200).json
    assert {one["id"] for one in found} == set(itertools.chain.from_iterable(made))
    assert {one["clientID"] for one in found} == {owner}
    seen = (await next(parties(http, servers, owner)).get("/resources")).shows(200).json
    assert len(seen) == len(found)
