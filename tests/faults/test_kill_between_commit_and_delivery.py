"""The VTN is killed (SIGKILL) after an event was committed and before anybody was told; after a restart they are told.

The window is real: the webhook receiver holds the request without answering, and the broker's process is stopped
(SIGSTOP) before the write. Nothing in the VTN is replaced or slowed down. What may happen is that somebody is told
twice; what may not is that anybody is told nothing, or the wrong order.
"""

import asyncio
import contextlib
import json
import os
import signal
from urllib.parse import urlsplit

import aiohttp
import aiomqtt
import pytest
from aiohttp import web
from vtn_process import PATIENCE_S, Party, Vtn, add_client, fresh

SETTINGS = {"webhooks.first_retry_s": "0.1", "webhooks.longest_retry_s": "0.2", "webhooks.timeout_s": "5"}


class Receiver:
    """A callback receiver that can hold requests back: `open` says whether it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.open = asyncio.Event()
        self.open.set()
        self.called = asyncio.Event()
        self.taken: asyncio.Queue[dict] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.Response:
        """Echo a challenge at once; take a notification only when open."""
        if request.method == "GET":
            return web.Response(text=request.query["echo"])
        note = await request.json()
        self.called.set()
        await self.open.wait()
        await self.taken.put(note)
        return web.Response()

    async def operations(self, event_id: str, last: str) -> list[str]:
        """What was told about an event, up to and with this operation."""
        told = []
        async with asyncio.timeout(PATIENCE_S):
            while last not in told:
                note = await self.taken.get()
                if note["object"]["id"] == event_id:
                    told.append(note["operation"])
        return told


@pytest.fixture
async def receiver():
    taker = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", taker.handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield taker
    taker.open.set()
    await runner.cleanup()


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A folder with a database and two clients, and their secrets."""
    var = tmp_path_factory.mktemp("killed") / "var"
    return var, {name: add_client(var, name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}


@pytest.fixture
def vtn(clients):
    """A server without MQTT."""
    var, secrets = clients
    with Vtn(var, SETTINGS, secrets) as server:
        yield server


@pytest.fixture
def vtn_with_broker(clients):
    """The same with its bundled broker."""
    var, secrets = clients
    with Vtn(var, {**SETTINGS, "mqtt.mode": "bundled", "mqtt.port": "0"}, secrets) as server:
        yield server
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # only there when the test broke off midway
        os.kill(int((var / "broker" / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


def party(http, vtn, name):
    return Party(http, vtn.url, vtn.token(name))


async def listens(http, vtn, program, url):
    """Subscribe c1 to the events of a program."""
    every = {"objects": ["EVENT"], "operations": ["CREATE", "UPDATE", "DELETE"], "callbackUrl": url}
    body = {"clientName": "x", "programID": program["id"], "objectOperations": [every]}
    return await party(http, vtn, "c1").made("/subscriptions", body)


@pytest.mark.parametrize("waits", [False, True], ids=["killed at once", "killed during the call"])
async def test_a_webhook_subscriber_hears_of_an_event_whose_server_was_killed(vtn, http, receiver, waits):
    bl = party(http, vtn, "bl")
    program = await bl.made("/programs", {"programName": fresh("p")})
    await listens(http, vtn, program, receiver.url)
    receiver.open.clear()
    event = await bl.made("/events", {"programID": program["id"]})
    if waits:
        async with asyncio.timeout(PATIENCE_S):
            await receiver.called.wait()
    vtn.kill()
    assert receiver.taken.empty()
    receiver.open.set()
    vtn.start()
    assert set(await receiver.operations(event["id"], "CREATE")) == {"CREATE"}


async def test_everything_that_was_committed_is_told_in_its_order_after_the_kill(vtn, http, receiver):
    bl = party(http, vtn, "bl")
    program = await bl.made("/programs", {"programName": fresh("p")})
    await listens(http, vtn, program, receiver.url)
    receiver.open.clear()
    event = await bl.made("/events", {"programID": program["id"]})
    (await bl.put(f"/events/{event['id']}", {"programID": program["id"], "priority": 1})).shows(200)
    (await bl.delete(f"/events/{event['id']}")).shows(200)
    vtn.kill()
    receiver.open.set()
    vtn.start()
    told = await receiver.operations(event["id"], "DELETE")
    assert list(dict.fromkeys(told)) == ["CREATE", "UPDATE", "DELETE"]


@contextlib.asynccontextmanager
async def mqtt(http, vtn, name, identifier):
    """A persistent MQTT session of a client, where `/notifiers` says, with its token as the password."""
    offered = (await party(http, vtn, name).get("/notifiers")).shows(200).json["MQTT"]
    where = urlsplit(offered["URIS"][0])
    assert offered["authentication"] == {"method": "OAUTH2_BEARER_TOKEN", "username": "{clientID}"}
    session = aiomqtt.Client(
        where.hostname,
        where.port,
        username=name,
        password=vtn.token(name),
        identifier=identifier,
        clean_session=False,
        timeout=PATIENCE_S,
    )
    async with session as connection:
        yield connection


async def test_an_mqtt_subscriber_hears_of_an_event_whose_server_was_killed(vtn_with_broker, http):
    vtn = vtn_with_broker
    bl, c1 = party(http, vtn, "bl"), party(http, vtn, "c1")
    ven = await c1.made("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("v")})
    topic = (await c1.get(f"/notifiers/mqtt/topics/vens/{ven['id']}/events")).shows(200).json["topics"]["ALL"]
    program = await bl.made("/programs", {"programName": fresh("p")})
    identifier = fresh("session")
    async with mqtt(http, vtn, "c1", identifier) as connection:
        await connection.subscribe(topic, qos=1)
    os.kill(int((vtn.var / "broker" / "pid").read_text()), signal.SIGSTOP)
    event = await bl.made("/events", {"programID": program["id"]})
    vtn.kill()
    vtn.start()
    async with asyncio.timeout(PATIENCE_S), mqtt(http, vtn, "c1", identifier) as connection:
        async for message in connection.messages:
            note = json.loads(message.payload)
            if note["object"]["id"] == event["id"]:
                break
    assert (note["operation"], note["object"]) == ("CREATE", event)
