"""What a token request costs: one slow check whoever is named, and none when it comes too often."""

import asyncio
import types
import urllib.parse

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from vtn.auth import clients
from vtn.auth.clients import EXTERNAL, hash_secret, secret_matches
from vtn.config import Auth
from vtn.endpoints import oauth
from vtn.endpoints.guard import PATIENCE_S
from vtn.storage.ports import ClientRecord, Role

HASH = hash_secret("right")


def client(secret_hash=HASH, **change):
    return ClientRecord("c1", Role.VEN, ("read_targets",), secret_hash, "2026-01-01T00:00:00Z", 0.0, **change)


@pytest.fixture
def hashes(monkeypatch):
    """The hashes that secrets were checked against."""
    seen = []
    hasher = clients._hasher

    def verify(held, secret):
        seen.append(held)
        return hasher.verify(held, secret)

    monkeypatch.setattr(clients, "_hasher", types.SimpleNamespace(verify=verify))
    return seen


@pytest.mark.parametrize(
    ("who", "secret", "matches"),
    [
        (client(), "right", True),
        (client(), "wrong", False),
        (client(revoked=True), "right", False),
        (client(EXTERNAL), "right", False),
        (client(EXTERNAL + "https://login.example.org"), "external:", False),
        (None, "right", False),
    ],
    ids=["right", "wrong", "revoked", "external", "bound", "unknown"],
)
def test_every_answer_costs_one_check_of_the_same_kind(hashes, who, secret, matches):
    assert secret_matches(secret, who) is matches
    assert [held.rpartition("$")[0].rpartition("$")[0] for held in hashes] == ["$argon2id$v=19$m=19456,t=2,p=1"]


class Registry:
    async def current(self):
        pass

    def standing(self, client_id):
        return client() if client_id == "c1" else None


@pytest.fixture
def checks(monkeypatch):
    """Stands in for the slow check: counts, and takes its time when told to."""
    counted = types.SimpleNamespace(number=0, at_once=0, most=0, go=None)

    async def to_thread(_check, secret, who):
        counted.number += 1
        counted.at_once += 1
        counted.most = max(counted.most, counted.at_once)
        if counted.go:
            await counted.go.wait()
        counted.at_once -= 1
        return who is not None and secret == "right"

    monkeypatch.setattr(oauth.asyncio, "to_thread", to_thread)
    return counted


@pytest.fixture
async def ask():
    """Ask for a token; settings of [auth] by name."""
    servers = []

    async def start(**settings):
        context = types.SimpleNamespace(
            auth=Auth(**settings),
            registry=Registry(),
            tokens=types.SimpleNamespace(issue=lambda *_: ("token", 60)),
            problem_media_type="application/json",
        )
        app = web.Application()
        app[PATIENCE_S] = 30.0
        app.router.add_post("/auth/token", oauth.auth_token(context))
        server = TestClient(TestServer(app))
        await server.start_server()
        servers.append(server)

        async def post(client_id, secret):
            form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
            body = urllib.parse.urlencode(form)
            answer = await server.post("/auth/token", data=body, headers={"Content-Type": oauth.FORM})
            return answer.status

        return post

    yield start
    for server in servers:
        await server.close()


async def test_who_comes_too_often_costs_no_check(ask, checks):
    post = await ask(tokens_per_minute=2)
    assert [await post("c1", "wrong") for _ in range(10)] == [401] * 2 + [429] * 8
    assert checks.number == 2


async def test_an_address_that_comes_too_often_costs_no_check(ask, checks):
    post = await ask(tokens_per_minute_and_address=2)
    assert [await post(f"c{number}", "wrong") for number in range(10)] == [401] * 2 + [429] * 8
    assert checks.number == 2


async def test_few_checks_run_at_once_and_few_wait(ask, checks):
    checks.go = asyncio.Event()
    post = await ask(tokens_per_minute_and_address=10_000)
    crowd = [asyncio.create_task(post(f"c{number}", "wrong")) for number in range(oauth.LONGEST_QUEUE + 20)]
    async with asyncio.timeout(60):
        done, waiting = set(), set(crowd)
        while len(done) < 20:
            fresh, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= fresh
    checks.go.set()
    statuses = await asyncio.gather(*crowd)
    assert (statuses.count(429), statuses.count(401)) == (20, oauth.LONGEST_QUEUE)
    assert checks.most == oauth.CONCURRENT_CHECKS


async def test_the_queue_is_open_again_when_it_has_been_served(ask, checks):
    post = await ask()
    await asyncio.gather(*(post(f"c{number}", "wrong") for number in range(10)))
    assert await post("c1", "right") == 200
