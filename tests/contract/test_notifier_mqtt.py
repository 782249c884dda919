"""MQTT through the bundled broker with real clients: who gets in, who hears what, in which order, and after a fall."""

import asyncio
import contextlib
import json
import random
import socket
import ssl
import time

import aiomqtt
import pytest
from notifier_parts import PATIENCE_S, broker_for, certificate, node, record, started

from vtn.bounds import DeliveryBounds
from vtn.config import Mqtt
from vtn.errors import CannotStart
from vtn.notifiers.broker.process import BundledBroker
from vtn.notifiers.broker.publisher import LONGEST_RETRY_S, Publisher, PublisherAddress, external_address
from vtn.storage.ports import Replace
from vtn.tasks import cancel_tasks
from vtn.wire.enumerations import ObjectType as Kind

CONNACK = b"\x20"
REFUSED = r"[Nn]ot authori[sz]ed|Bad user name or password"


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
    return aiomqtt.Client("127.0.0.1", broker.port, username=user, password=token, timeout=10, **more)


async def hear(connection, count):
    """The next messages as TOPIC OPERATION-ID."""
    heard = []
    async with asyncio.timeout(PATIENCE_S):
        async for message in connection.messages:
            body = json.loads(message.payload)
            heard.append(f"{message.topic} {body['object']['id']}")
            assert body["operation"].lower() == message.topic.value.rsplit("/", 1)[1]
            if len(heard) == count:
                return heard
    raise AssertionError(heard)


async def heard_until_cut_off(connection):
    """What still arrives before the broker closes the connection."""
    heard = []
    async with asyncio.timeout(PATIENCE_S):
        try:
            async for message in connection.messages:
                heard.append(message.topic.value)  # noqa: PERF401 - the loop ends with an error
        except aiomqtt.MqttError:
            return heard
    raise AssertionError(heard)


async def allowed(connection, topic, qos=1):
    return (await connection.subscribe(topic, qos=qos))[0].value <= 2


async def test_a_client_that_is_who_it_says_gets_in_and_nobody_else(broker):
    async with client(broker, "c1"):
        pass
    for user, token in (
        ("c1", "token-c2"),
        ("c1", "nonsense"),
        ("c1", ""),
        ("nobody", "token-nobody"),
        ("", "token-c1"),
    ):
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, user, token):
                pass
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", broker.port, timeout=10):
            pass


async def test_a_ven_may_listen_to_its_own_and_to_shared_topics_only(broker):
    async with client(broker, "c1") as c1:
        for topic in ("vens/V1/events/+", "vens/V1/update", "vens/V1/#", "programs/+", "programs/P/events/create"):
            assert await allowed(c1, topic)
            assert await allowed(c1, topic, qos=0)
        for topic in ("vens/V2/events/+", "vens/+/events/+", "bl/events/+", "#", "+/events/create", "$SYS/#"):
            assert not await allowed(c1, topic)
    async with client(broker, "bl") as bl:
        for topic in ("bl/#", "vens/V1/events/+", "programs/#", "bl/events/+"):
            assert await allowed(bl, topic)


async def test_a_client_that_publishes_is_heard_by_nobody(broker, made):
    async with client(broker, "bl") as bl:
        await bl.subscribe("bl/events/+", qos=1)
        for user in ("c1", "bl"):
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(broker, user) as writer:
                    await writer.publish("bl/events/create", '{"object": {"id": "forged"}}', qos=1, timeout=1)
        await made.event("E", "P")
        assert await hear(bl, 1) == ["bl/events/create E"]


async def test_changes_reach_every_audience_in_order_each_in_its_own_view(broker, made):
    users = ("bl", "c1", "c2", "c2")
    async with contextlib.AsyncExitStack() as stack:
        bl, c1, c2, shared = [await stack.enter_async_context(client(broker, user)) for user in users]
        await bl.subscribe("bl/events/+", qos=1)
        await c1.subscribe("vens/V1/events/+", qos=1)
        await shared.subscribe("programs/P/events/+", qos=1)
        await c2.subscribe("vens/V2/events/+", qos=1)
        await made.event("E", "P", "g1")
        await made.event("E", "P", "g1", "g2")
        await made.event("E", "P", "g2")
        await made.delete(Kind.EVENT, "E")
        await made.event("F", "P")
        assert await hear(bl, 5) == [
            f"bl/events/{what}" for what in ("create E", "update E", "update E", "delete E", "create F")
        ]
        assert await hear(c1, 4) == [
            f"vens/V1/events/{what}" for what in ("create E", "update E", "delete E", "create F")
        ]
        assert await hear(shared, 1) == ["programs/P/events/create F"]
        assert await hear(c2, 4) == [
            f"vens/V2/events/{what}" for what in ("create E", "update E", "delete E", "create F")
        ]


async def test_a_message_is_the_notification_with_the_clients_own_targets(broker, made):
    async with client(broker, "c1") as c1:
        await c1.subscribe("vens/V1/events/create", qos=1)
        await made.event("E", "P", "g1", "g2")
        async with asyncio.timeout(PATIENCE_S):
            message = await anext(aiter(c1.messages))
    body = json.loads(message.payload)
    assert (body["objectType"], body["operation"], body["targets"]) == ("EVENT", "CREATE", ["g1"])
    assert body["object"]["targets"] == ["g1"]
    assert not message.retain


async def test_many_changes_keep_their_order(broker, made):
    async with client(broker, "bl") as bl:
        await bl.subscribe("bl/events/+", qos=1)
        for number in range(300):
            await made.event(f"E{number}", "P")
        assert await hear(bl, 300) == [f"bl/events/create E{number}" for number in range(300)]


async def test_what_happened_while_the_broker_was_down_is_published_when_it_is_back(broker, made):
    async with client(broker, "bl") as bl:
        await bl.subscribe("bl/events/+", qos=1)
        await made.event("E1", "P")
        assert await hear(bl, 1) == ["bl/events/create E1"]
    async with client(broker, "bl", identifier="keeps", clean_session=False) as bl:
        await bl.subscribe("bl/events/+", qos=1)
    broker._process.kill()
    await broker._process.wait()
    for number in range(2, 12):
        await made.event(f"E{number}", "P")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(broker, "bl", identifier="keeps", clean_session=False) as bl:
                    heard = await hear(bl, 10)
                    break
    assert heard == [f"bl/events/create E{number}" for number in range(2, 12)]


async def test_a_revoked_clients_session_is_closed(broker, made):
    async with client(broker, "bl") as bl:
        await bl.subscribe("bl/#", qos=1)
        made.clients.revoke("bl")
        assert await heard_until_cut_off(bl) == []


async def test_a_ven_that_changes_hands_is_not_heard_by_its_former_client(broker, made):
    await made.delete(Kind.VEN, "V2")
    async with client(broker, "c1") as c1:
        await c1.subscribe("vens/V1/#", qos=1)
        at = made.tick()
        moved = record(Kind.VEN, "V1", at, "c2", venName="V1", targets=["g1"])
        await made.store.write(Replace(Kind.VEN, "V1", lambda _: moved), at=at, actor="bl")
        await made.event("SECRET", "P", "g1")
        assert await heard_until_cut_off(c1) == []
    async with client(broker, "c2") as c2:
        assert await allowed(c2, "vens/V1/events/+")


async def test_a_ven_hears_of_its_own_end_and_then_of_nothing(broker, made):
    async with client(broker, "c1") as c1:
        await c1.subscribe([("vens/V1/+", 1), ("vens/V1/events/+", 1), ("programs/P/events/+", 1)])
        await made.delete(Kind.VEN, "V1")
        await made.event("E", "P")
        assert set(await hear(c1, 2)) == {"vens/V1/delete V1", "programs/P/events/create E"}


async def test_a_client_whose_ven_is_made_later_comes_back_for_its_topics(broker, made):
    await made.delete(Kind.VEN, "V2")
    async with client(broker, "c2") as c2:
        assert not await allowed(c2, "vens/V3/events/+")
        await made.ven("V3", "c2", "g2")
        assert await heard_until_cut_off(c2) == []
    async with client(broker, "c2") as c2:
        assert await allowed(c2, "vens/V3/events/+")


async def test_nobody_can_push_another_client_out_by_its_mqtt_identifier(broker, made):
    async with client(broker, "c1", identifier="charger-7") as c1:
        await c1.subscribe("vens/V1/events/+", qos=1)
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, "c2", identifier="charger-7"):
                pass
        await made.event("E", "P")
        assert await hear(c1, 1) == ["vens/V1/events/create E"]


async def test_a_stored_session_is_kept_from_others_while_its_client_is_away(broker, made):
    """Neither read, wiped nor blocked: what comes meanwhile is there when the client is back."""
    async with client(broker, "c1", identifier="same", clean_session=False) as c1:
        await c1.subscribe("vens/V1/events/+", qos=1)
    for keep in (False, True):
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, "c2", identifier="same", clean_session=keep):
                pass
    await made.event("MISSED", "P", "g1")
    async with client(broker, "c1", identifier="same", clean_session=False) as c1:
        assert await hear(c1, 1) == ["vens/V1/events/create MISSED"]


async def test_an_identifier_with_a_clients_name_cannot_be_taken_first(broker):
    for identifier in ("c1", "c1/agent"):
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with client(broker, "c2", identifier=identifier):
                pass
        async with client(broker, "c1", identifier=identifier):
            pass


async def test_a_client_has_so_many_sessions_and_no_more(made, tmp_path):
    async with broker_for(made, tmp_path, bounds=DeliveryBounds(sessions_per_client=2)) as narrow:
        async with client(narrow, "c1", identifier="one"), client(narrow, "c1", identifier="two"):
            with pytest.raises(aiomqtt.MqttError, match=REFUSED):
                async with client(narrow, "c1", identifier="three"):
                    pass
            async with client(narrow, "c2"), client(narrow, "c2"):
                pass
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(aiomqtt.MqttError):
                    async with client(narrow, "c1", identifier="three"):
                        break


async def test_what_a_client_loses_beyond_its_bound_is_dropped_by_the_broker_too(made, tmp_path):
    """Identifiers that are made up each time cost neither the store of the broker nor the one that is come back by."""
    async with broker_for(made, tmp_path, bounds=DeliveryBounds(mqtt_identifiers_per_client=3)) as narrow:
        for identifier in ("steady", "made-up-1", "made-up-2", "steady"):
            async with client(narrow, "c1", identifier=identifier, clean_session=False) as c1:
                await c1.subscribe("vens/V1/events/+", qos=1)
        await made.event("E", "P", "g1")
        for number in range(3, 6):
            async with client(narrow, "c1", identifier=f"made-up-{number}", clean_session=False):
                pass
        async with client(narrow, "c1", identifier="made-up-1", clean_session=False) as c1:
            await c1.subscribe("vens/V1/events/+", qos=1)
            await made.event("F", "P", "g1")
            assert await hear(c1, 1) == ["vens/V1/events/create F"]
        async with client(narrow, "c1", identifier="steady", clean_session=False) as c1:
            assert await hear(c1, 2) == ["vens/V1/events/create E", "vens/V1/events/create F"]


async def test_a_session_ends_with_its_token(made, tmp_path):
    async with broker_for(made, tmp_path, lifetime_s=3.0) as short, client(short, "c1") as c1:
        began = time.monotonic()
        assert await heard_until_cut_off(c1) == []
        assert time.monotonic() - began < 6


async def test_with_a_certificate_the_broker_speaks_tls_and_nothing_else(made, tmp_path):
    own, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(own))
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust.check_hostname = False
    async with broker_for(made, tmp_path, certificate=own, private_key=key) as broker:
        async with client(broker, "c1", tls_context=trust) as c1:
            await c1.subscribe("vens/V1/events/+", qos=1)
            await made.event("E", "P")
            assert await hear(c1, 1) == ["vens/V1/events/create E"]
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", broker.port, ssl=ssl.create_default_context())
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
        async with asyncio.timeout(PATIENCE_S):
            assert not (await reader.read()).startswith(CONNACK)
        writer.close()
        await writer.wait_closed()


# --- the broker itself ---


async def test_a_taken_port_is_said_in_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = BundledBroker(Mqtt(port=port), tmp_path, random.Random(1))
        with pytest.raises(CannotStart, match=f"127.0.0.1:{port} is taken by another program"):
            await broker.start()


async def test_two_vtns_do_not_share_a_brokers_folder(tmp_path):
    async with started(BundledBroker(Mqtt(port=0), tmp_path, random.Random(1))):
        with pytest.raises(CannotStart, match="another VTN runs the MQTT broker"):
            await BundledBroker(Mqtt(port=0), tmp_path, random.Random(2)).start()


class Longest(random.Random):
    """Every wait is as long as it may be."""

    def uniform(self, _least, most):
        return most


class Shortest(random.Random):
    """Every wait is as short as it may be."""

    def uniform(self, least, _most):
        return least


async def test_a_publisher_that_waits_connects_as_soon_as_the_broker_that_died_answers_again(tmp_path):
    async with started(BundledBroker(Mqtt(port=0), tmp_path, random.Random(1))) as broker:
        publisher = Publisher(broker.address, Longest())
        publisher._failures, broker.on_return = 20, publisher.retry_now
        running = [asyncio.create_task(one.run()) for one in (broker, publisher)]
        async with asyncio.timeout(PATIENCE_S):
            await publisher.connected()
        broker._process.kill()
        while publisher._client is not None:  # noqa: ASYNC110 - a connection that is lost rings no bell
            await asyncio.sleep(0.01)
        began_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            await publisher.connected()
        assert time.monotonic() - began_s < LONGEST_RETRY_S
        await cancel_tasks(running)


async def test_a_broker_that_hangs_up_with_its_first_answer_is_no_connection():
    """A broker that dies in that moment is tried again, and nobody is told that it is there."""
    came = asyncio.Semaphore(0)

    async def hang_up(reader, writer):
        await reader.read(1)
        writer.write(CONNACK + b"\x02\x00\x00")
        came.release()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        publisher = Publisher(PublisherAddress("127.0.0.1", port), Shortest())
        running = asyncio.create_task(publisher.run())
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(50):
                await came.acquire()
        await cancel_tasks([running])


async def test_the_broker_of_a_vtn_that_was_killed_is_replaced(tmp_path):
    first = BundledBroker(Mqtt(port=0), tmp_path, random.Random(1))
    await first.start()
    orphan = first._process
    first._lock.close()
    async with started(BundledBroker(Mqtt(port=first.port), tmp_path, random.Random(2))) as second:
        assert await orphan.wait() is not None
        assert second._process.pid != orphan.pid
        assert second.keys == first.keys


async def test_secrets_are_for_this_user_only_and_a_stop_leaves_nothing_running(tmp_path):
    broker = BundledBroker(Mqtt(port=0), tmp_path / "broker", random.Random(1))
    await broker.start()
    process = broker._process
    for name in ("keys.json", "broker.conf"):
        assert (tmp_path / "broker" / name).stat().st_mode & 0o077 == 0
    await broker.stop()
    assert process.returncode is not None
    await broker.stop()


async def test_a_broker_beyond_this_machine_is_not_started_without_tls(tmp_path):
    with pytest.raises(CannotStart, match=r"needs mqtt\.certificate"):
        BundledBroker(Mqtt(port=1, host="192.0.2.1"), tmp_path, random.Random(1)).configured()


async def test_keys_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(CannotStart, match=r"keys\.json does not hold the broker's keys"):
        BundledBroker(Mqtt(port=0), tmp_path, random.Random(1))


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker.example", "broker.example", 1883, False),
        ("mqtt://127.0.0.1:1999", "127.0.0.1", 1999, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
    ],
)
def test_an_external_broker_is_named_by_url(url, host, port, tls):
    address = external_address(url, "u", "p")
    assert (address.host, address.port, address.tls is not None) == (host, port, tls)
    assert "password" not in repr(address)


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "nonsense", "mqtt://x:notaport"])
def test_a_url_that_names_no_broker_is_refused(url):
    with pytest.raises(CannotStart, match=r"mqtt\.url must be"):
        external_address(url, None, None)


async def test_an_external_broker_that_is_not_there_is_said_in_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(CannotStart, match=f"the MQTT broker at 127.0.0.1:{port} cannot be used"):
        await Publisher(PublisherAddress("127.0.0.1", port), random.Random(1)).probe()
