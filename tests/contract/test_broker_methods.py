"""The bundled broker's other ways of letting clients in: ANONYMOUS and CERTIFICATE, and TLS as such."""

import asyncio
import contextlib
import dataclasses
import json
import random
import ssl
import warnings
from datetime import UTC, datetime, timedelta

import aiomqtt
import pytest
from notifier_parts import PATIENCE_S, broker_for, certificate, node, started

from vtn.auth import pki
from vtn.config import Mqtt
from vtn.errors import CannotStart
from vtn.notifiers.broker.process import BundledBroker
from vtn.notifiers.broker.secrets import MOST_SUBSCRIPTIONS
from vtn.wire.enumerations import ObjectType as Kind

REFUSED = r"[Nn]ot authori[sz]ed"
HOST = "127.0.0.1"


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.program("P")
        yield one


@pytest.fixture
def served(tmp_path):
    """The broker's own certificate and key, as settings, from a development authority."""
    folder = tmp_path / "certs"
    pki.make_development_certificates(folder, [HOST], datetime.now(UTC))
    return {"certificate": folder / "server.pem", "private_key": folder / "server.key"}


@pytest.fixture
async def anonymous(made, tmp_path):
    async with broker_for(made, tmp_path, authentication="ANONYMOUS") as broker:
        yield broker


@pytest.fixture
async def certified(made, tmp_path, served):
    async with broker_for(made, tmp_path, authentication="CERTIFICATE", **served) as broker:
        yield broker


class Desk:
    """Hands out client certificates as `/notifiers` does, and connects with them."""

    def __init__(self, made, broker, folder) -> None:
        self.clients, self.broker, self.folder = made.clients, broker, folder

    def binding(self, name):
        return self.broker._certificates.binding(name, self.clients.held[name].valid_from_s)

    def tls(self, binding):
        (self.folder / "shown.pem").write_text(binding["clientCert"] + binding["clientKey"])
        context = ssl.create_default_context(cadata=binding["caCert"])
        context.load_cert_chain(self.folder / "shown.pem")
        return context

    def connection(self, binding, **more):
        return aiomqtt.Client(HOST, self.broker.port, timeout=10, tls_context=self.tls(binding), **more)

    def client(self, name, **more):
        return self.connection(self.binding(name), **more)


@pytest.fixture
def desk(made, certified, tmp_path):
    return Desk(made, certified, tmp_path)


async def next_topic(connection):
    async with asyncio.timeout(PATIENCE_S):
        message = await anext(aiter(connection.messages))
    return f"{message.topic} {json.loads(message.payload)['object']['id']}"


async def allowed(connection, topic, qos=1):
    return (await connection.subscribe(topic, qos=qos))[0].value <= 2


async def cut_off(connection):
    """Return what still came, once the broker has closed the connection."""
    heard = []
    with contextlib.suppress(aiomqtt.MqttError):
        async with asyncio.timeout(PATIENCE_S):
            async for message in connection.messages:
                heard.append(message.topic.value)  # noqa: PERF401 - the loop ends with an error
    return heard


# --- ANONYMOUS ---


async def test_without_credentials_the_shared_topics_are_heard_and_nothing_else(anonymous, made):
    async with aiomqtt.Client(HOST, anonymous.port, timeout=10) as somebody:
        for topic in ("vens/V1/events/+", "bl/events/+", "vens/+/events/+", "#", "$SYS/#", "$MQTT/sub/#"):
            assert not await allowed(somebody, topic)
        for topic in ("programs/+", "programs/P/events/+"):
            assert await allowed(somebody, topic)
        await made.event("SECRET", "P", "g1")
        await made.program("HIDDEN", "g1")
        await made.event("E", "P")
        assert await next_topic(somebody) == "programs/P/events/create E"


async def test_credentials_change_nothing_where_nobody_is_told_apart(anonymous):
    for user, password in (("c1", "token-c1"), ("bl", "token-bl"), ("x", "y")):
        async with aiomqtt.Client(HOST, anonymous.port, username=user, password=password, timeout=10) as client:
            assert not await allowed(client, "vens/V1/events/+")
            assert not await allowed(client, "bl/events/+")
            assert await allowed(client, "programs/+")


async def test_a_stranger_may_not_publish(anonymous, made):
    async with aiomqtt.Client(HOST, anonymous.port, timeout=10) as listener:
        await listener.subscribe("programs/+", qos=1)
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client(HOST, anonymous.port, timeout=10) as writer:
                await writer.publish("programs/create", '{"object": {"id": "forged"}}', qos=1, timeout=1)
        await made.program("Q")
        assert await next_topic(listener) == "programs/create Q"


async def test_nobody_subscribes_without_end(anonymous):
    async with aiomqtt.Client(HOST, anonymous.port, timeout=10) as greedy:
        wanted = [(f"programs/P{number}/events/+", 0) for number in range(MOST_SUBSCRIPTIONS + 10)]
        answers = [answer.value for answer in await greedy.subscribe(wanted)]
    assert answers[0] == 0
    assert answers[MOST_SUBSCRIPTIONS:] == [0x80] * 10


# --- CERTIFICATE ---


async def test_a_clients_certificate_opens_its_own_topics_and_no_others(desk, made):
    async with desk.client("c1") as c1, desk.client("bl") as bl:
        assert await allowed(c1, "vens/V1/events/+")
        assert await allowed(bl, "bl/events/+")
        for topic in ("bl/events/+", "vens/V2/events/+", "vens/+/events/+", "#"):
            assert not await allowed(c1, topic)
        await made.event("E", "P", "g1")
        assert await next_topic(c1) == "vens/V1/events/create E"
        assert await next_topic(bl) == "bl/events/create E"


async def test_a_certificate_is_not_outvoted_by_a_user_name(desk):
    async with desk.client("c1", username="bl", password="token-bl") as c1:
        assert not await allowed(c1, "bl/events/+")
        assert await allowed(c1, "vens/V1/events/+")


async def test_each_client_gets_its_own_certificate_and_each_time_another_key(desk):
    first, again, other = desk.binding("c1"), desk.binding("c1"), desk.binding("c2")
    assert [pki.holder(binding["clientCert"]).client_id for binding in (first, again, other)] == ["c1", "c1", "c2"]
    assert len({binding["clientKey"] for binding in (first, again, other)}) == 3
    assert len({binding["caCert"] for binding in (first, again, other)}) == 1


async def test_without_a_certificate_of_ours_nobody_gets_in(desk, certified, tmp_path):
    """A token is no proof here, and neither is a certificate of another authority, whoever it names."""
    other = pki.ClientAuthority(tmp_path / "other", datetime.now(UTC))
    forged = other.issue("bl", repr(0.0), datetime.now(UTC), timedelta(hours=1))
    trust = desk.binding("c1")["caCert"]
    binding = {"caCert": trust, "clientCert": forged.certificate, "clientKey": forged.key}
    reader, writer = await asyncio.open_connection(HOST, certified.port, ssl=ssl.create_default_context(cadata=trust))
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client(HOST, certified.port, timeout=1, tls_context=desk.tls(binding)):
            pass


@pytest.mark.parametrize("what", ["revoked", "given a new secret"])
async def test_a_client_that_was_revoked_or_given_a_new_secret_is_put_out_and_stays_out(desk, made, what):
    binding = desk.binding("c1")
    async with desk.connection(binding) as c1:
        await c1.subscribe("vens/V1/events/+", qos=1)
        if what == "revoked":
            made.clients.revoke("c1")
        else:
            made.clients.held["c1"] = dataclasses.replace(made.clients.held["c1"], valid_from_s=1.0)
        await made.event("SECRET", "P", "g1")
        assert await cut_off(c1) == []
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with desk.connection(binding):
            pass


async def test_a_session_ends_with_its_certificate(desk, certified, monkeypatch):
    monkeypatch.setattr(certified._certificates, "_lifetime", timedelta(seconds=3))
    async with desk.client("c1") as c1:
        async with asyncio.timeout(8):
            assert await cut_off(c1) == []


async def test_the_vtns_own_certificate_admits_nobody_without_its_password(desk, certified):
    shown = certified._certificates.publisher("vtn-publisher")
    certificate, key = shown.split("-----BEGIN PRIVATE KEY-----")
    binding = {**desk.binding("c1"), "clientCert": certificate, "clientKey": "-----BEGIN PRIVATE KEY-----" + key}
    for credentials in ({}, {"username": "vtn-publisher", "password": "guess"}):
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with desk.connection(binding, **credentials):
                pass


async def test_a_session_on_another_clients_identifier_is_refused(desk, made):
    async with desk.client("c1", identifier="charger-7") as c1:
        await c1.subscribe("vens/V1/events/+", qos=1)
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with desk.client("c2", identifier="charger-7"):
                pass
        await made.event("E", "P")
        assert await next_topic(c1) == "vens/V1/events/create E"


async def test_what_is_kept_of_certificates_is_for_this_user_only(certified):
    folder = certified._folder
    for path in (folder / "publisher.pem", certified._certificates.path.with_name("ca.key")):
        assert path.stat().st_mode & 0o077 == 0


# --- TLS ---


async def test_tls_before_1_2_is_refused_and_later_is_taken(made, tmp_path, served):
    async with broker_for(made, tmp_path, **served) as broker:
        for version, taken in (
            (ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, True),
        ):
            trust = ssl.create_default_context(cafile=tmp_path / "certs" / "ca.pem")
            with warnings.catch_warnings(action="ignore"):
                trust.minimum_version = min(version, ssl.TLSVersion.TLSv1_2)
                trust.maximum_version = version
            trust.set_ciphers("DEFAULT:@SECLEVEL=0")
            outcome = contextlib.nullcontext() if taken else pytest.raises((ssl.SSLError, ConnectionError))
            with outcome:
                _, writer = await asyncio.open_connection(HOST, broker.port, ssl=trust)
                writer.close()
                await writer.wait_closed()


async def test_an_mqtts_session_is_a_session(made, tmp_path, served):
    async with broker_for(made, tmp_path, **served) as broker:
        trust = ssl.create_default_context(cafile=tmp_path / "certs" / "ca.pem")
        async with aiomqtt.Client(HOST, broker.port, username="c1", password="token-c1", tls_context=trust) as c1:
            await c1.subscribe("vens/V1/events/+", qos=1)
            await made.event("E", "P")
            assert await next_topic(c1) == "vens/V1/events/create E"
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(HOST, broker.port, username="c1", password="token-c1", timeout=2):
                pass


async def test_a_renewed_certificate_is_shown_without_a_restart_and_publishing_goes_on(made, tmp_path):
    """Another authority, another key: nothing of the old pair is trusted any more, by clients or by the VTN itself."""
    own, key = certificate(tmp_path)
    async with broker_for(made, tmp_path, certificate=own, private_key=key) as broker:
        before, process = own.read_text(), broker._process.pid
        (tmp_path / "next").mkdir()
        for new, old in zip(certificate(tmp_path / "next"), (own, key), strict=True):
            new.replace(old)
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(ssl.get_server_certificate, (HOST, broker.port)) == before:
                pass
        trust = ssl.create_default_context(cafile=own)
        trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        trust.check_hostname = False
        async with aiomqtt.Client(HOST, broker.port, username="c1", password="token-c1", tls_context=trust) as c1:
            await c1.subscribe("vens/V1/events/+", qos=1)
            await made.event("E", "P")
            assert await next_topic(c1) == "vens/V1/events/create E"
        assert broker._process.pid == process


async def test_a_certificate_without_its_key_is_said_before_the_broker_starts(tmp_path, served):
    (tmp_path / "certs" / "server.key").write_text("nonsense")
    with pytest.raises(CannotStart, match=r"server\.pem or its key .* cannot be used"):
        BundledBroker(Mqtt(port=0, **served), tmp_path / "broker", random.Random(1))


# --- sizes ---


async def test_the_largest_object_that_the_api_takes_is_published(made, tmp_path):
    body = 200_000
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(broker_for(made, tmp_path, largest_body_bytes=body))
        client = aiomqtt.Client(HOST, broker.port, username="bl", password="token-bl", timeout=10)
        bl = await stack.enter_async_context(client)
        await bl.subscribe("bl/programs/create", qos=1)
        values = [1e15] * (body // 5)
        await made.put(Kind.PROGRAM, "Q", programName="Q", attributes=[{"type": "X", "values": values}])
        assert await next_topic(bl) == "bl/programs/create Q"


async def test_the_broker_starts_with_the_largest_messages_it_can_take(tmp_path):
    broker = BundledBroker(Mqtt(port=0), tmp_path / "broker", random.Random(1), largest_body_bytes=2**30)
    async with started(broker):
        assert "max_payload: 67108864" in broker.configured()
