"""Every port of every process: who says nothing keeps nobody out, and no byte of a stranger's makes a server fail."""

import asyncio
import contextlib
import itertools
import logging
import time

import pytest
from listening_ports import PATIENCE_S, PORTS, STRANGER, told

from vtn.bounds import ConnectionBounds

BOUNDS = ConnectionBounds(unproven=40, unproven_of_one_address=20, connections=500, of_one_address=500)
SILENT = 300
PROMPT_S = 5.0
ODD = [b"Bearer \xff\xfe", b"Basic \xff", "Bearer ключ".encode(), b"\xf0\x9f\x9a\x97", b"Basic w7/D"]
NAMES = [b"Authorization", b"Sec-WebSocket-Protocol", b"Sign", b"Idempotency-Key", b"X-Request-Id", b"If-None-Match"]
PATHS = [b"GET /", b"GET /v1/cars", b"POST /", b"GET /openadr3/3.1.0/programs", b"POST /openadr3/3.1.0/auth/token"]
WITH_BOUNDS = [name for name in PORTS if name not in {"consent", "simulated backend", "kit"}]
WITH_SECRETS = [name for name in PORTS if name != "kit"]


@pytest.fixture(params=PORTS)
async def port(request, tmp_path):
    async with PORTS[request.param](tmp_path, BOUNDS) as listening:
        yield listening


class Caller:
    """One connection, from an address of this machine."""

    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request):
        """The first line of the answer; the rest of its head and body is passed over."""
        self.writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
            await self.reader.readexactly(int(fields.get("content-length", 0)))
        return head.splitlines()[0]

    async def ended(self, within_s):
        """Whether the other side hangs up in this time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def calling(port, address="127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number, local_addr=(address, 0))
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def silent(port, count=SILENT, address="127.0.0.1"):
    """So many connections that say nothing."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(calling(port, address))
        yield


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["their own address", "another"])
async def test_hundreds_who_say_nothing_keep_nobody_out(port, address):
    async with silent(port):
        began_s = time.monotonic()
        async with calling(port, address) as caller:
            assert (await caller.ask(port.proof or STRANGER)).startswith("HTTP/1.1 ")
        assert time.monotonic() - began_s < PROMPT_S


@pytest.mark.parametrize("port", WITH_SECRETS, indirect=True)
async def test_who_has_proved_itself_is_cut_off_by_nobody(port):
    async with calling(port) as caller:
        assert (await caller.ask(port.proof)).split()[1] in {"200", "101"}
        async with silent(port):
            assert not await caller.ended(0.3)


@pytest.mark.parametrize("port", WITH_BOUNDS, indirect=True)
async def test_who_has_not_makes_room_for_newer_ones(port):
    async with calling(port) as oldest, silent(port, 30):
        assert await oldest.ended(PATIENCE_S)


async def test_no_bytes_in_a_header_make_a_server_fail(port, caplog):
    caplog.set_level(logging.ERROR)
    for line, name, value in itertools.product(PATHS, NAMES, ODD):
        async with calling(port) as caller:
            sent = line + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + name + b": " + value + b"\r\n\r\n"
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # OCPP's port may just hang up
                assert int((await caller.ask(sent)).split()[1]) < 500
    assert not told(caplog)
