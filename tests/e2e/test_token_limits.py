"""The token endpoint is bounded: how often it may be asked, and how much at once."""

import asyncio
import urllib.parse
from collections import Counter

import aiohttp
import pytest
from vtn_process import V311, Party

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(client_id, secret, **more):
    return urllib.parse.urlencode(
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret, **more}
    ).encode()


async def ask(party, client_id, secret):
    return await party.send("POST", "/auth/token", raw=form(client_id, secret), headers=FORM)


@pytest.fixture
def party(http):
    return lambda server: Party(http, server.url, None)


def refusal(answer):
    assert answer.shows(429).json["error"] == "temporarily_unavailable"
    assert answer.json["error_description"]
    assert answer.headers["Retry-After"].isdecimal()
    return int(answer.headers["Retry-After"])


async def test_a_client_is_limited_and_others_are_not(launch, party):
    with launch({"auth.tokens_per_minute": "3"}) as server:
        nobody = party(server)
        for _ in range(3):
            (await ask(nobody, "c1", "wrong")).shows(401)
        assert 1 <= refusal(await ask(nobody, "c1", server.secrets["c1"])) <= 20
        (await ask(nobody, "c2", server.secrets["c2"])).shows(200)


async def test_both_versions_of_the_api_share_the_limit(launch, party):
    with launch({"auth.tokens_per_minute": "1"}) as server:
        nobody = party(server)
        (await ask(nobody, "c1", "wrong")).shows(401)
        refusal(await ask(nobody.at(server.root + V311), "c1", "wrong"))


async def test_good_requests_count_too(launch, party):
    with launch({"auth.tokens_per_minute": "2"}) as server:
        nobody = party(server)
        statuses = [(await ask(nobody, "c1", server.secrets["c1"])).status for _ in range(5)]
        assert statuses.count(200) in {3, 4}, "two, and two more where the client has shown its secret"
        assert statuses[-1] == 429


async def test_an_address_is_limited_whatever_clients_it_names(launch, party):
    with launch({"auth.tokens_per_minute_and_address": "4"}) as server:
        nobody = party(server)
        statuses = [(await ask(nobody, f"stranger-{number}", "wrong")).status for number in range(8)]
        assert statuses == [401] * 4 + [429] * 4


async def test_an_unknown_client_is_limited_like_a_known_one(launch, party):
    """Otherwise the limit would tell which clients there are."""
    with launch({"auth.tokens_per_minute": "2"}) as server:
        nobody = party(server)
        for name in ("c1", "stranger"):
            assert [(await ask(nobody, name, "wrong")).status for _ in range(3)] == [401, 401, 429]


async def test_strangers_from_many_addresses_keep_no_client_from_its_token(launch, party):
    """Each address stays within its bound; together they ask for more than can be checked."""
    with launch() as server:
        nobody, full, done, flood = party(server), asyncio.Event(), asyncio.Event(), Counter()
        (await ask(nobody, "c1", server.secrets["c1"])).shows(200)

        async def stranger(number):
            connector = aiohttp.TCPConnector(local_addr=(f"127.0.1.{number}", 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                while not done.is_set():
                    answer = await ask(Party(session, server.url, None), f"x-{number}", "wrong")
                    flood[answer.status] += 1
                    if answer.status == 429:
                        full.set()

        strangers = [asyncio.create_task(stranger(number)) for number in range(1, 101)]
        async with asyncio.timeout(60):
            await full.wait()
        statuses = [(await ask(nobody, "c1", server.secrets["c1"])).status for _ in range(10)]
        done.set()
        await asyncio.gather(*strangers)
    assert statuses == [200] * 10
    assert flood[401] > 50


@pytest.mark.parametrize(
    "body",
    [b"a=" + b"x" * 70_000, b"&".join(b"a=1" for _ in range(1000)), b"grant_type=%ff", b"\xff", b"x" * 2_000_000],
    ids=["long", "many fields", "no UTF-8", "no UTF-8 at all", "longer than any body"],
)
async def test_a_form_that_is_too_much_is_refused_before_it_is_read_whole(vtn, nobody, body):
    answer = await nobody.send("POST", "/auth/token", raw=body, headers=FORM)
    assert answer.shows(400).json["error"] == "invalid_request"
