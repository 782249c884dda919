"""Bodies and connections that are meant to hurt: each is refused or cut off in bounded time, and others are served.

The server is a process of its own; its memory is read from the system. It is impatient (two seconds), so that the tests
need not be patient.
"""

import asyncio
import contextlib
import gzip
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
from vtn_process import Party, Vtn, add_client, fresh

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="the server's memory is read from /proc")
BOUND = 1_048_576
PATIENCE_S = 2.0
MOST_GROWTH = 160 * BOUND
JSON = "application/json"
BOMBS = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a property": b'{"programName":"x","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "never closed": b"[" * 500_000,
    "a number of a million digits": b'{"programName":"x","n":' + b"9" * 1_000_000 + b"}",
    "a fraction of a million digits": b'{"programName":"x","n":0.' + b"9" * 1_000_000 + b"e}",
    "an endless exponent": b'{"programName":"x","n":1e' + b"9" * 1_000_000 + b"}",
    "a million lists": b'{"programName":7,"n":[' + b"[]," * 300_000 + b"[]]}",
    "a million names": b'{"programName":7,' + b'"":0,' * 200_000 + b'"x":1}',
    "a million backslashes": b'{"programName":"' + b"\\\\" * 500_000 + b'"}',
    "half pairs": b'{"programName":"' + b"\\ud800" * 170_000 + b'"}',
}
TOO_LARGE = {
    "plain": (b'{"programName":"' + b"x" * BOUND + b'"}', {}),
    "a gzip bomb": (gzip.compress(bytes(200 * BOUND), 6), {"Content-Encoding": "gzip"}),
    "a gzip bomb that begins as JSON": (
        gzip.compress(b'{"programName":"' + b"x" * (100 * BOUND), 6),
        {"Content-Encoding": "gzip"},
    ),
}


@pytest.fixture(scope="module")
def vtn(tmp_path_factory):
    var = tmp_path_factory.mktemp("bombs") / "var"
    secrets = {"bl": add_client(var, "bl", "BL")}
    with Vtn(var, {"bounds.connections.patience_s": str(PATIENCE_S)}, secrets) as server:
        yield server


@pytest.fixture
async def bl(vtn):
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Party(session, vtn.url, vtn.token("bl"))


def memory(vtn) -> int:
    """Bytes that the server holds in memory."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{vtn.pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024


def connections(vtn) -> int:
    """How many files and sockets the server has open."""
    return len(list(Path(f"/proc/{vtn.pid}/fd").iterdir()))


def connected(vtn, port) -> bool:
    """Whether the server still talks to this port, as the system sees it."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    states = [line.split()[1:4] for line in lines]
    return any(
        (int(ours[-4:], 16), int(theirs[-4:], 16), state) == (at(vtn)[1], port, "01") for ours, theirs, state in states
    )


async def until(true):
    """Return once something is so in another process."""
    while not true():  # noqa: ASYNC110 - the system tells nobody when a socket of another process is closed
        await asyncio.sleep(0.05)


def at(vtn):
    host, port = vtn.root.removeprefix("http://").split(":")
    return host, int(port)


async def is_served(bl):
    """Others are served, promptly enough while the server has its hands full."""
    async with asyncio.timeout(60):
        (await bl.get("/programs", ("limit", "1"))).shows(200)


@contextlib.asynccontextmanager
async def open_to(vtn):
    reader, writer = await asyncio.open_connection(*at(vtn))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def head(bl, *lines):
    own = (f"POST {bl.url.partition('127.0.0.1:')[2].partition('/')[2]}/programs HTTP/1.1", "Host: x")
    text = (*own, f"Authorization: Bearer {bl.token}", f"Content-Type: {JSON}", *lines, "", "")
    return "\r\n".join(text).replace("POST openadr3", "POST /openadr3").encode()


async def until_hung_up(reader, within_s):
    """What was still said before the other side hung up, which it must do in this time."""
    async with asyncio.timeout(within_s):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_refused_and_others_are_served_meanwhile(vtn, bl, bomb):
    before = memory(vtn)
    answers, _ = await asyncio.gather(
        asyncio.gather(*(bl.send("POST", "/programs", raw=BOMBS[bomb]) for _ in range(4))), is_served(bl)
    )
    assert {answer.status for answer in answers} <= {400, 413}
    assert memory(vtn) - before < MOST_GROWTH


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_what_is_too_large_is_413_however_it_comes(vtn, bl, what):
    body, headers = TOO_LARGE[what]
    before = memory(vtn)
    answers = await asyncio.gather(*(bl.send("POST", "/programs", raw=body, headers=headers) for _ in range(8)))
    assert [answer.status for answer in answers] == [413] * 8
    assert memory(vtn) - before < MOST_GROWTH
    await is_served(bl)


async def test_an_endless_body_without_a_length_is_413(vtn, bl):
    before = memory(vtn)

    async def endless():
        for _ in range(2000):
            yield b"x" * 65_536

    headers = {"Authorization": f"Bearer {bl.token}", "Content-Type": JSON}
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(f"{vtn.url}/programs", data=endless(), headers=headers) as answer:
                assert answer.status == 413
    assert memory(vtn) - before < MOST_GROWTH
    await is_served(bl)


async def test_a_token_request_is_bounded_in_the_same_way(vtn, bl):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, extra in ((b"a=" + b"x" * 3 * BOUND, {}), (TOO_LARGE["a gzip bomb"][0], {"Content-Encoding": "gzip"})):
        answer = await bl.send("POST", "/auth/token", raw=body, headers={**headers, **extra})
        assert answer.status in {400, 413}
    await is_served(bl)


async def test_a_body_that_does_not_arrive_is_given_up(vtn, bl):
    async with open_to(vtn) as (reader, writer):
        writer.write(head(bl, "Content-Length: 100") + b"{")
        began = time.monotonic()
        async with asyncio.timeout(10 * PATIENCE_S):
            status = await reader.readline()
        assert b" 408 " in status
        assert time.monotonic() - began > PATIENCE_S * 0.9
        await is_served(bl)


async def test_a_body_that_drips_is_given_up_too(vtn, bl):
    async with open_to(vtn) as (reader, writer):
        writer.write(head(bl, "Content-Length: 1000000"))

        async def drip():
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(10 * PATIENCE_S):
            assert b" 408 " in await reader.readline()
        dripping.cancel()


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "a byte", "half a head"]
)
async def test_who_sends_no_whole_head_is_hung_up_on(vtn, bl, sent):
    async with open_to(vtn) as (reader, writer):
        writer.write(sent)
        assert await until_hung_up(reader, 5 * PATIENCE_S) == b""
    await is_served(bl)


async def test_a_head_that_drips_is_hung_up_on_too(vtn, bl):
    async with open_to(vtn) as (reader, writer):

        async def drip():
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"GET / HTTP/1.1\r\n" if not drip.begun else b"X: y\r\n")  # type: ignore[attr-defined]
                    drip.begun = True  # type: ignore[attr-defined]
                    await writer.drain()
                    await asyncio.sleep(0.2)

        drip.begun = False  # type: ignore[attr-defined]
        dripping = asyncio.create_task(drip())
        await until_hung_up(reader, 5 * PATIENCE_S)
        dripping.cancel()
    await is_served(bl)


async def test_a_second_request_has_the_same_time_as_the_first(vtn, bl):
    async with open_to(vtn) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            said = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readexactly(int(re.search(r"Content-Length: (\d+)", said)[1]))
        writer.write(b"GET /health HTTP/1.1\r\n")
        assert await until_hung_up(reader, 5 * PATIENCE_S) == b""


async def test_an_idle_connection_between_requests_is_kept(vtn, bl):
    async with open_to(vtn) as (reader, writer):
        for pause_s in (PATIENCE_S * 1.5, 0):
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                said = (await reader.readuntil(b"\r\n\r\n")).decode()
                assert said.startswith("HTTP/1.1 200")
                await reader.readexactly(int(re.search(r"Content-Length: (\d+)", said)[1]))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    assert await reader.read(1) != b""


async def test_hundreds_of_slow_connections_hold_up_nobody_and_are_let_go(vtn, bl):
    open_before = connections(vtn)
    before = memory(vtn)
    with ThreadPoolExecutor(16) as pool:
        slow = list(pool.map(lambda _: socket.create_connection(at(vtn)), range(300)))
    for position, one in enumerate(slow):
        one.send(b"GET / HTTP/1.1\r\nHost: x\r\n" if position % 2 else head(bl, "Content-Length: 9") + b"{")
    await is_served(bl)
    async with asyncio.timeout(20 * PATIENCE_S):
        await until(lambda: connections(vtn) <= open_before + 5)
    for one in slow:
        one.close()
    assert memory(vtn) - before < MOST_GROWTH


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system cannot watch untaken answers")
async def test_who_does_not_take_its_answer_is_let_go(vtn, bl):
    """The answers fill every buffer on the way; then the server must not wait for ever."""
    large = await bl.made("/programs", {"programName": fresh("p"), "extension": ["x" * 200_000] * 5})
    asked = (
        f"GET /openadr3/3.1.0/programs/{large['id']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bl.token}\r\n\r\n"
    )
    with contextlib.closing(socket.create_connection(at(vtn))) as deaf:
        port = deaf.getsockname()[1]
        deaf.send(asked.encode() * 20)
        await is_served(bl)
        assert connected(vtn, port)
        async with asyncio.timeout(5 * PATIENCE_S):
            await until(lambda: not connected(vtn, port))


async def test_a_body_that_is_not_framed_as_it_says_is_refused(vtn, bl):
    async with open_to(vtn) as (reader, writer):
        writer.write(head(bl, "Transfer-Encoding: chunked") + b"5\r\n{}   \r\nzz\r\n")
        async with asyncio.timeout(60):
            assert b" 400 " in await reader.readline()
    await is_served(bl)
    assert "Traceback" not in vtn.log


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure(vtn, bl):
    async with open_to(vtn) as (_, writer):
        writer.write(head(bl, "Content-Length: 100") + b"{")
        await writer.drain()
    await is_served(bl)
    assert "failed on" not in vtn.log


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Long: " + "x" * 100_000],
        [f"X-{number}: y" for number in range(5000)],
        ["Cookie: " + "a=b; " * 20_000],
        ["Authorization: Bearer " + "x" * 8000],
        ["Accept-Encoding: " + "gzip;q=0.1," * 700],
        ['If-None-Match: "' + 'x", "' * 1500],
    ],
    ids=["one long", "very many", "cookies", "a long token", "codings", "tags"],
)
async def test_a_huge_head_is_refused_or_read_and_nothing_worse(vtn, bl, lines):
    async with open_to(vtn) as (reader, writer):
        text = "\r\n".join(("GET /openadr3/3.1.0/programs HTTP/1.1", "Host: x", *lines, "", ""))
        with contextlib.suppress(ConnectionError):
            writer.write(text.encode())
            await writer.drain()
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await reader.readline() in {
                    b"HTTP/1.1 400 Bad Request\r\n",
                    b"HTTP/1.0 400 Bad Request\r\n",
                    b"HTTP/1.1 401 Unauthorized\r\n",
                }
    await is_served(bl)


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"x{number}=y" for number in range(1000)),
        "targets=" + "&targets=".join("t" for _ in range(800)),
        "limit=" + "9" * 7000,
    ],
    ids=["unknown", "targets", "a long number"],
)
async def test_very_many_parameters_are_read_in_no_time(bl, query):
    async with asyncio.timeout(60):
        assert (await bl.send("GET", f"/programs?{query}")).status in {200, 400}


async def test_what_was_asked_in_a_flood_is_answered_in_order_and_in_little_memory(vtn, bl):
    """Thousands of requests at once on one connection, whose answers are taken slowly."""
    before = memory(vtn)
    asked = (
        f"GET /openadr3/3.1.0/programs?limit=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bl.token}\r\n\r\n".encode()
    )
    async with open_to(vtn) as (reader, writer):
        sending = asyncio.create_task(_send(writer, asked * 3000))
        async with asyncio.timeout(30):
            for _ in range(3000):
                said = await reader.readuntil(b"\r\n\r\n")
                assert said.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"[]"
        await sending
    assert memory(vtn) - before < MOST_GROWTH


async def _send(writer, text):
    writer.write(text)
    await writer.drain()


async def test_after_all_of_this_a_program_can_be_written(bl):
    made = await bl.made("/programs", {"programName": fresh("p")})
    assert json.loads((await bl.get(f"/programs/{made['id']}")).content) == made
