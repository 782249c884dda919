"""Ten thousand wrong secrets: the guesser gets few of them looked at, and everybody else is served meanwhile."""

import asyncio
import itertools
import time
import urllib.parse
from collections import Counter

import aiohttp
import pytest
from vtn_process import Party, Vtn, add_client

CONNECTIONS = 8
PER_MINUTE, PER_MINUTE_AND_ADDRESS = 60, 120
ELSEWHERE = ("127.0.0.2", 0)
LIMITS = {
    "auth.tokens_per_minute": str(PER_MINUTE),
    "auth.tokens_per_minute_and_address": str(PER_MINUTE_AND_ADDRESS),
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def vtn(tmp_path):
    secrets = {name: add_client(tmp_path / "var", name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}
    with Vtn(tmp_path / "var", LIMITS, secrets) as server:
        yield server


@pytest.fixture
async def http():
    connector = aiohttp.TCPConnector(limit=CONNECTIONS + 1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


async def guess(party: Party, numbers, name: str, statuses: Counter[int]) -> None:
    """Try one secret after the other, for the named client or, where it is empty, for a client of each number."""
    for number in numbers:
        form = {"grant_type": "client_credentials", "client_id": name or f"x{number}", "client_secret": f"s{number}"}
        answer = await party.send("POST", "/auth/token", raw=urllib.parse.urlencode(form).encode(), headers=FORM)
        statuses[answer.status] += 1


async def poll(party: Party, latencies_s: list[float], stop: asyncio.Event) -> None:
    """Read as a VEN does, until told to stop."""
    while not stop.is_set():
        began_s = time.perf_counter()
        (await party.get("/programs")).shows(200)
        latencies_s.append(time.perf_counter() - began_s)


async def attack(party: Party, name: str, guesses: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    numbers = itertools.islice(itertools.count(), guesses)
    await asyncio.gather(*(guess(party, numbers, name, statuses) for _ in range(CONNECTIONS)))
    return statuses


@pytest.mark.parametrize(
    ("name", "guesses", "most"),
    [("c1", 10_000, PER_MINUTE), ("", 2_000, PER_MINUTE_AND_ADDRESS)],
    ids=["one client", "many clients"],
)
async def test_guessing_is_cheap_for_us_and_slow_for_the_guesser(vtn, http, name, guesses, most):
    nobody = Party(http, vtn.url, None)
    reader = nobody.bearing(vtn.token("c1"))
    latencies_s: list[float] = []
    stop = asyncio.Event()
    began_s = time.monotonic()
    async with asyncio.timeout(60):
        reading = asyncio.create_task(poll(reader, latencies_s, stop))
        statuses = await attack(nobody, name, guesses)
        stop.set()
        await reading
    refilled = most * (time.monotonic() - began_s) / 60 + 1
    assert set(statuses) == {401, 429}
    assert statuses.total() == guesses
    assert statuses[401] <= most + refilled, "each 401 was one look at a secret, each 429 was none"
    latencies_s.sort()
    assert len(latencies_s) > 100
    assert latencies_s[int(len(latencies_s) * 0.95)] < 0.5


async def test_who_guesses_elsewhere_does_not_keep_a_client_from_its_token(vtn):
    """The client has shown its secret from its own address before, and has a bucket of its own there."""
    assert vtn.token("c1")
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=ELSEWHERE)) as elsewhere:
        await guess(Party(elsewhere, vtn.url, None), range(2 * PER_MINUTE), "c1", statuses)
    assert statuses[429] > 0
    assert vtn.token("c1", renew=True)
