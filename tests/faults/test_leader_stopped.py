"""Two servers on one database; the one that relays is stopped (SIGSTOP), wakes again, and at last the other is killed.

Nothing is replaced: real processes, a real receiver. Whoever relays is told by `/health` of either.
"""

import asyncio
import contextlib
import os
import re
import signal
import sqlite3

import aiohttp
import asyncpg
import pytest
from notifier_parts import Receiver
from vtn_process import Party, Vtn, add_client, fresh

BOUND_S = 60.0
SETTINGS = {"storage.lease_s": "3"}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
def servers(store_url, tmp_path):
    var, settings = tmp_path / "var", {**SETTINGS, "storage.url": store_url}
    secrets = {"bl": add_client(var, "bl", "BL", settings=settings)}
    pair = [Vtn(var, settings, secrets) for _ in range(2)]
    try:
        yield [server.start() for server in pair]
    finally:
        for server in pair:
            if server._process is not None:
                server._process.send_signal(signal.SIGCONT)
            server.stop()


async def relay(http, server):
    """What a server says of the relay."""
    return (await Party(http, server.root, None).get("/health")).json["checks"]["relay"]


async def leader_as_told(http, server, among):
    """The process that relays, once one of these is told to; it must be told within the bound."""
    async with asyncio.timeout(BOUND_S):
        while True:
            found = re.match(r"process (\d+) on \S+ relays since 20\S+Z", (await relay(http, server))["words"])
            if found and int(found[1]) in among:
                return int(found[1])
            await asyncio.sleep(0.1)


async def late(http, server):
    async with asyncio.timeout(BOUND_S):
        while True:
            told = await relay(http, server)
            if told["state"] == "late":
                return told["words"]
            await asyncio.sleep(0.05)


async def writable(store_url):
    """Whether nobody is in the middle of a write."""
    if store_url.startswith("sqlite"):
        other = sqlite3.connect(store_url.removeprefix("sqlite:///"), timeout=0.0, isolation_level=None)
        with contextlib.closing(other), contextlib.suppress(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
            return True
        return False
    other = await asyncpg.connect(store_url)
    try:
        for table in ("change_log_head", "leader_lease", "cursors", "deliveries"):
            await other.execute(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")  # noqa: S608 - our own names
    except asyncpg.LockNotAvailableError:
        return False
    finally:
        await other.close()
    return True


async def stop_between_writes(pid, store_url):
    """Stop a process where it holds up nobody: one stopped in a write holds up all writers."""
    async with asyncio.timeout(BOUND_S):
        while True:
            os.kill(pid, signal.SIGSTOP)
            if await writable(store_url):
                return
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)


async def publish(bl, program, name):
    interval = {"id": 0, "payloads": [{"type": "PRICE", "values": [1]}]}
    await bl.made("/events", {"programID": program["id"], "eventName": name, "intervals": [interval]})


async def told(receiver, names):
    """Wait until this is all that was told, in order."""
    async with asyncio.timeout(BOUND_S):
        while True:
            if [note["object"]["eventName"] for note in receiver.taken] == names:
                return
            await asyncio.sleep(0.05)


async def test_a_relay_that_is_stopped_is_followed_and_does_not_meddle_when_it_wakes(servers, http, store_url):
    by_pid = {server.pid: server for server in servers}
    first = await leader_as_told(http, servers[1], by_pid)
    stopped = by_pid[first]
    (other,) = (server for server in servers if server is not stopped)
    bl = Party(http, other.url, other.token("bl"))
    program = await bl.made("/programs", {"programName": fresh()})
    async with Receiver() as receiver:
        entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": receiver.url}
        body = {"clientName": "bl", "programID": program["id"], "objectOperations": [entry]}
        await bl.made("/subscriptions", body)
        await publish(bl, program, "one")
        await told(receiver, ["one"])

        await stop_between_writes(first, store_url)
        await publish(bl, program, "two")
        assert "gives no sign of life" in await late(http, other)
        await told(receiver, ["one", "two"])
        assert await leader_as_told(http, other, {other.pid}) == other.pid

        os.kill(first, signal.SIGCONT)
        await publish(bl.at(stopped.url), program, "three")
        await told(receiver, ["one", "two", "three"])
        assert await leader_as_told(http, stopped, {other.pid}) == other.pid

        other.kill()
        await publish(bl.at(stopped.url), program, "four")
        await told(receiver, ["one", "two", "three", "four"])
        assert await leader_as_told(http, stopped, {first}) == first
