"""Attacks on the bundled broker by clients that may connect: eavesdropping, forging, taking over, staying too long."""

import asyncio
import contextlib
import dataclasses
import json
import socket

import aiomqtt
import pytest
from notifier_parts import PATIENCE_S, broker_for, node

from vtn.notifiers.broker.secrets import AUTHORISER, OVERSEER, PUBLISHER
from vtn.storage.ports import Replace
from vtn.wire.enumerations import ObjectType as Kind

REFUSED = r"[Nn]ot authori[sz]ed|Bad user name or password"
HOST = "127.0.0.1"
FOREIGN = (
    "vens/V2/#",
    "vens/V2/events/create",
    "vens/V2",
    "vens/#",
    "vens/+",
    "vens/+/events/+",
    "vens/+/update",
    "bl/#",
    "bl/events/create",
    "bl",
    "#",
    "+/#",
    "+/+/events/+",
    "+/events/create",
    "/#",
    "$SYS/#",
    "$SYS/ACCOUNT/+/CONNECT",
    "$MQTT/#",
    "$MQTT/sub/#",
    "$MQTT/sub/+",
    "$MQTT/msgs/#",
    "$MQTT/sess/#",
    "$JS/#",
    "$JS/API/#",
    "_INBOX/#",
    "$share/all/bl/events/+",
    "vens.V2.events.create",
    "vens/V1 /#",
    "bl/>",
    "vens/*",
    "programs/../bl/#",
)


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.ven("V2", "c2", "g2")
        await one.program("P")
        yield one


@pytest.fixture
async def broker(made, tmp_path):
    async with broker_for(made, tmp_path) as running_broker:
        yield running_broker


def client(broker, user, token=None, **more):
    token = f"token-{user}" if token is None else token
    return aiomqtt.Client(HOST, broker.port, username=user, password=token, timeout=10, **more)


async def heard(connection):
    async with asyncio.timeout(PATIENCE_S):
        message = await anext(aiter(connection.messages))
    return f"{message.topic} {json.loads(message.payload)['object']['id']}"


async def cut_off(connection):
    """What still came before the broker closed the connection."""
    came = []
    with contextlib.suppress(aiomqtt.MqttError):
        async with asyncio.timeout(PATIENCE_S):
            async for message in connection.messages:
                came.append(message.topic.value)  # noqa: PERF401 - the loop ends with an error
    return came


# --- eavesdropping ---


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_no_filter_opens_what_is_anothers(broker, made, qos):
    """Each refused or harmless; what everyone hears afterwards shows that nothing else was delivered before it."""
    async with client(broker, "c1") as c1:
        for topic in FOREIGN:
            async with asyncio.timeout(PATIENCE_S):
                with contextlib.suppress(aiomqtt.MqttError):
                    await c1.subscribe(topic, qos=qos)
        await c1.subscribe("programs/P/events/+", qos=qos)
        await made.event("SECRET", "P", "g2")
        await made.program("HIDDEN", "g2")
        await made.put(Kind.RESOURCE, "R", "c2", venID="V2", resourceName="R")
        await made.event("OPEN", "P")
        assert await heard(c1) == "programs/P/events/create OPEN"


@pytest.mark.parametrize("topic", [one for one in FOREIGN if not set(one) & set(" .>*")])
async def test_a_foreign_filter_is_answered_with_a_failure(broker, topic):
    async with client(broker, "c1") as c1:
        assert (await c1.subscribe(topic, qos=1))[0].value == 0x80


async def test_business_logic_hears_no_machinery_either(broker):
    async with client(broker, "bl") as bl:
        for topic in ("#", "$SYS/#", "$MQTT/sub/#", "$JS/#", "_INBOX/#"):
            assert (await bl.subscribe(topic, qos=1))[0].value == 0x80


async def test_a_grant_that_is_withdrawn_means_silence(broker, made):
    async with client(broker, "c1") as c1:
        await c1.subscribe("vens/V1/#", qos=1)
        await made.event("FIRST", "P", "g1")
        assert await heard(c1) == "vens/V1/events/create FIRST"
        await made.ven("V1", "c1", "g3")
        assert await heard(c1) == "vens/V1/update V1"
        await made.event("SECRET", "P", "g1")
        await made.event("OPEN", "P")
        assert await heard(c1) == "vens/V1/events/create OPEN"


# --- forging ---


@pytest.mark.parametrize("user", ["c1", "bl"])
@pytest.mark.parametrize("topic", ["bl/events/create", "vens/V1/events/create", "programs/create", "$MQTT/sub/x", "x"])
async def test_what_a_client_publishes_reaches_nobody(broker, made, user, topic):
    async with client(broker, "bl") as bl, client(broker, "c1") as c1:
        await bl.subscribe([("bl/#", 1), ("programs/#", 1), ("vens/#", 1)])
        await c1.subscribe([("vens/V1/#", 1), ("programs/#", 1)])
        for qos in (0, 1, 2):
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(broker, user) as writer:
                    await writer.publish(topic, b'{"object": {"id": "forged"}}', qos=qos, retain=True, timeout=0.5)
        await made.event("E", "P")
        assert {(await heard(bl)).split()[1], (await heard(c1)).split()[1]} == {"E"}


async def test_a_last_will_is_a_publication_too(broker, made):
    will = aiomqtt.Will("bl/events/create", b'{"object": {"id": "forged"}}', qos=1, retain=True)
    async with client(broker, "bl") as bl:
        await bl.subscribe("bl/events/+", qos=1)
        with contextlib.suppress(aiomqtt.MqttError):
            async with client(broker, "c1", will=will) as dying:
                dying._client.socket().shutdown(socket.SHUT_RDWR)
        await made.event("E", "P")
        assert await heard(bl) == "bl/events/create E"


# --- taking over ---


async def test_another_clients_identifier_cannot_be_taken_over(broker, made):
    async with client(broker, "c2", identifier="charger-7") as c2:
        await c2.subscribe("vens/V2/events/+", qos=1)
        for user, token in (("c1", "token-c1"), ("c2", "token-c1"), ("", "")):
            with pytest.raises(aiomqtt.MqttError):
                async with client(broker, user, token, identifier="charger-7"):
                    pass
        await made.event("E", "P")
        assert await heard(c2) == "vens/V2/events/create E"


@pytest.mark.parametrize("user", [PUBLISHER, AUTHORISER, OVERSEER])
async def test_the_vtns_own_names_are_no_way_in(broker, user):
    for token in ("", "guess", "token-bl", broker.keys.authoriser_password if user == PUBLISHER else "x"):
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, user, token):
                pass


@pytest.mark.parametrize(
    "token", ["", "garbage", "token-", "token-nobody", "a.b.c", "x" * 60_000, "eyJhbGciOiJub25lIn0.e30.", "tokén-c1"]
)
async def test_a_token_that_is_none_opens_nothing(broker, token):
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with client(broker, "c1", token):
            pass


async def test_nobody_gets_in_by_the_brokers_other_door(broker):
    """Clients' tokens are for MQTT; the port for the VTN's own services takes none of them."""
    host, port = broker.nats_url.removeprefix("nats://").split(":")
    for user, token in (("c1", "token-c1"), ("bl", "token-bl"), (PUBLISHER, "guess")):
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.readline()
        login = json.dumps({"user": user, "pass": token, "verbose": False, "pedantic": False})
        writer.write(f"CONNECT {login}\r\nSUB bl.> 1\r\nPING\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read(4096)
        assert b"Authorization Violation" in answer
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# --- staying too long ---


async def test_a_token_that_expires_ends_the_session_and_does_not_open_another(made, tmp_path):
    async with broker_for(made, tmp_path, lifetime_s=2.5) as broker:
        async with client(broker, "c1") as c1:
            await c1.subscribe("vens/V1/#", qos=1)
            assert await cut_off(c1) == []
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, "c1"):
                pass


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_revoked_client_hears_nothing_more_and_stays_out(broker, made, qos):
    async with client(broker, "c2") as c2:
        await c2.subscribe([("vens/V2/#", qos), ("programs/#", qos)])
        made.clients.revoke("c2")
        await made.event("SECRET", "P")
        assert await cut_off(c2) == []
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with client(broker, "c2"):
            pass


async def test_a_new_secret_ends_the_sessions_of_the_old_one(broker, made):
    async with client(broker, "c2") as c2:
        await c2.subscribe("vens/V2/#", qos=1)
        made.clients.held["c2"] = dataclasses.replace(made.clients.held["c2"], valid_from_s=1.0)
        await made.event("SECRET", "P", "g2")
        assert await cut_off(c2) == []


async def test_a_ven_that_changes_hands_takes_its_topics_along(broker, made):
    async with client(broker, "c1") as c1:
        await c1.subscribe("vens/V1/events/+", qos=1)
        await made.delete(Kind.VEN, "V2")
        held = made.model.get(Kind.VEN, "V1")
        moved = dataclasses.replace(held, client_id="c2", body=held.body.replace(b'"c1"', b'"c2"'))
        await made.store.write(Replace(Kind.VEN, "V1", lambda _: moved), at=made.tick(), actor="bl")
        await made.event("SECRET", "P", "g1")
        assert await cut_off(c1) == []
    async with client(broker, "c1") as c1:
        assert (await c1.subscribe("vens/V1/events/+", qos=1))[0].value == 0x80
