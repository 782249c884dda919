"""Refused writes are counted against their client: it waits when they are too many, and nobody else does."""

import asyncio

import aiohttp
import pytest
from vtn_process import Party, fresh

from vtn.bounds import BodyBounds

FEW = 20


@pytest.fixture(scope="module")
def vtn(launch):
    with launch({"bounds.body.refusals_per_minute": str(FEW)}) as server:
        yield server


async def test_a_client_that_sends_rubbish_has_to_wait_and_nobody_else_has(bl, c1, c2):
    ven = await c1.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})
    bad = [await c1.put(f"/vens/{ven['id']}", {"objectType": "VEN_VEN_REQUEST"}) for _ in range(FEW + 3)]
    assert {answer.status for answer in bad[:FEW]} == {400}
    last = bad[-1].shows(429)
    assert 0 < int(last.headers["Retry-After"]) <= 60
    assert last.json["detail"].startswith("too many of your writes were refused")
    (await c1.post("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})).shows(429)
    (await c1.get("/programs")).shows(200)
    (await c1.delete(f"/vens/{ven['id']}")).shows(200)
    await c2.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})
    await bl.made("/programs", {"programName": fresh("p")})


async def test_a_large_bad_body_costs_more_than_a_small_one(c3):
    large = b'{"x":"' + b"y" * 200_000 + b'"}'
    assert (await c3.send("POST", "/vens", raw=large)).status == 400
    assert (await c3.send("POST", "/vens", raw=b"{}")).status == 429


async def test_a_conformance_test_of_hundreds_of_bad_bodies_is_let_through(launch):
    assert BodyBounds().refusals_per_minute >= 5_000
    with launch() as server:
        async with aiohttp.ClientSession() as session:
            party = Party(session, server.url, server.token("bl"))
            answers = await asyncio.gather(*(party.post("/programs", {"programName": 7}) for _ in range(800)))
    assert {answer.status for answer in answers} == {400}
