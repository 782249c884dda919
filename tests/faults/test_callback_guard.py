"""Server-side request forgery, tried: callbacks that lead to where no callback may go, and a drill that can fail.

127.0.0.2 stands for the world outside, 127.0.0.1 for what must not be reached. A listener at each counts connections,
so nothing that leaves this process for the inside stays unseen. With the guard switched off, every case gets through.
"""

import asyncio
import contextlib
import json
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from vtn_process import PATIENCE_S, Party, Vtn, add_client, fresh

from vtn.notifiers.webhooks.addresses import refusal
from vtn.notifiers.webhooks.callbacks import Callbacks

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
NAME = "receiver.example"


class Listener:
    """Counts connections, and answers HTTP: echoes challenges, takes notifications, or redirects all of them."""

    def __init__(self, redirect_to: str | None = None) -> None:
        self.connections = 0
        self.redirect_to = redirect_to

    async def answer(self, reader, writer) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            echo = head.split(" ")[1].partition("echo=")[2]
            first = f"302 Found\r\nLocation: {self.redirect_to}?echo={echo}" if self.redirect_to else "200 OK"
            writer.write(f"HTTP/1.1 {first}\r\nContent-Length: {len(echo)}\r\nConnection: close\r\n\r\n{echo}".encode())
            await writer.drain()
        writer.close()


class Names(AbstractResolver):
    """A name server: each question about a name takes the next answer, and the last one stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):  # noqa: ARG002 - aiohttp passes it by name
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for one in answer
        ]

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def listening(listener, host, port=0):
    server = await asyncio.start_server(listener.answer, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def guarded(text):
    """The guard of the drill: its one opening is the world outside."""
    return None if text == OUTSIDE else refusal(text)


def unguarded(_text):
    return None


def follow_redirects(monkeypatch):
    """The other half of the mutation: a client that goes where it is sent."""
    send = aiohttp.ClientSession._request

    async def follow(self, method, url, **options):
        return await send(self, method, url, **{**options, "allow_redirects": True})

    monkeypatch.setattr(aiohttp.ClientSession, "_request", follow)


async def direct(guard):
    """The URL names the address itself."""
    inside = Listener()
    async with listening(inside, INSIDE) as port, Callbacks(5.0, guard=guard) as callbacks:
        url = f"http://{INSIDE}:{port}/hook"
        outcomes = await callbacks.challenge(url, None), await callbacks.post(url, b"{}")
    return inside, outcomes


async def rebound(guard):
    """A name that means the outside at the challenge, and the inside once the answer has been forgotten."""
    inside, outside = Listener(), Listener()
    names = Names((OUTSIDE,), (INSIDE,))
    async with (
        listening(inside, INSIDE) as port,
        listening(outside, OUTSIDE, port),
        Callbacks(5.0, guard=guard, resolver=names) as callbacks,
    ):
        url = f"http://{NAME}:{port}/hook"
        assert await callbacks.challenge(url, None) is None
        callbacks._session.connector.clear_dns_cache()
        outcomes = (await callbacks.post(url, b"{}"),)
    assert outside.connections == 1
    return inside, outcomes


async def two_addresses(guard):
    """A name with an address outside where nobody answers, and one inside."""
    inside, names = Listener(), Names((OUTSIDE, INSIDE))
    async with listening(inside, INSIDE) as port, Callbacks(5.0, guard=guard, resolver=names) as callbacks:
        url = f"http://{NAME}:{port}/hook"
        outcomes = await callbacks.challenge(url, None), await callbacks.post(url, b"{}")
    return inside, outcomes


async def redirected(guard):
    """A receiver outside that sends its visitors inside."""
    inside = Listener()
    async with listening(inside, INSIDE) as port:
        outside = Listener(redirect_to=f"http://{INSIDE}:{port}/hook")
        async with listening(outside, OUTSIDE) as outer, Callbacks(5.0, guard=guard) as callbacks:
            url = f"http://{OUTSIDE}:{outer}/hook"
            outcomes = await callbacks.challenge(url, None), await callbacks.post(url, b"{}")
    assert outside.connections == 2
    return inside, outcomes


CASES = [direct, rebound, two_addresses, redirected]


@pytest.mark.parametrize("case", CASES)
async def test_no_callback_reaches_what_the_guard_refuses(case):
    inside, outcomes = await case(guarded)
    assert inside.connections == 0
    assert all(outcomes)


@pytest.mark.parametrize("case", CASES)
async def test_without_the_guard_each_of_them_gets_through(case, monkeypatch):
    follow_redirects(monkeypatch)
    inside, outcomes = await case(unguarded)
    assert inside.connections == len(outcomes)
    assert not any(outcomes)


async def test_a_redirect_is_refused_by_its_address_too(monkeypatch):
    follow_redirects(monkeypatch)
    inside, outcomes = await redirected(guarded)
    assert inside.connections == 0
    assert all(outcomes)


# --- a whole server --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A `var` folder with two clients, and their secrets."""
    var = tmp_path / "var"
    return var, {name: add_client(var, name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


def wish(url):
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url}
    return {"clientName": "x", "objectOperations": [entry]}


async def test_a_server_with_its_defaults_accepts_no_callback_to_its_own_machine(folder, http):
    inside = Listener()
    with Vtn(folder[0], {"webhooks.allow_loopback": "false"}, folder[1]) as vtn:
        c1 = Party(http, vtn.url, vtn.token("c1"))
        async with listening(inside, INSIDE) as port:
            for host in (INSIDE, "localhost", "127.1", "[::ffff:127.0.0.1]", "0x7f000001"):
                answer = (await c1.post("/subscriptions", wish(f"https://{host}:{port}/"))).shows(400)
                assert answer.paths() == ["$.objectOperations[0].callbackUrl"]
        assert (await c1.get("/subscriptions")).json == []
    assert inside.connections == 0


async def test_a_callback_that_was_accepted_under_other_settings_is_refused_at_delivery(folder, http):
    inside, settings = Listener(), {"webhooks.attempts": "1"}
    async with listening(inside, INSIDE) as port:
        with Vtn(folder[0], settings, folder[1]) as vtn:
            c1 = Party(http, vtn.url, vtn.token("c1"))
            await c1.made("/subscriptions", wish(f"http://{INSIDE}:{port}/"))
        assert inside.connections == 1
        with Vtn(folder[0], {**settings, "webhooks.allow_loopback": "false"}, folder[1]) as vtn:
            bl = Party(http, vtn.url, vtn.token("bl"))
            program = await bl.made("/programs", {"programName": fresh("p")})
            await bl.made("/events", {"programID": program["id"]})
            async with asyncio.timeout(PATIENCE_S):
                while not (letters := await dead_letters(vtn)):
                    pass
    assert [letter["lastError"] for letter in letters] == ["cannot connect: 127.0.0.1 is a loopback address"]
    assert inside.connections == 1


async def dead_letters(vtn):
    return json.loads((await asyncio.to_thread(vtn.cli, "dead-letters", "list", "--json")).stdout)
