"""A VTN, an external MQTT broker of another make that asks it who may do what, and clients of that broker."""

import asyncio
import contextlib
import json
import time

import aiomqtt
import pytest
from external_broker import (
    HOOK_PASSWORD,
    HOST,
    OWN_PASSWORD,
    OWN_USER,
    ExternalBroker,
    Gate,
    asking,
    basic,
    free_port,
    knowing,
)
from vtn_process import PATIENCE_S, Party, fresh, run_cli

BL_VEN = {"objectType": "BL_VEN_REQUEST"}
EXTERNAL = {"mqtt.mode": "external", "mqtt.username": OWN_USER, "mqtt.password": OWN_PASSWORD}
HOOKED = {**EXTERNAL, "mqtt.hook_password": HOOK_PASSWORD}
TOPICS = "/notifiers/mqtt/topics/"


@pytest.fixture(scope="module", params=["json", "form"])
def pair(request, launch, tmp_path_factory):
    """A VTN and the broker that asks it, in each way of asking."""
    vtn_port = free_port()
    folder = tmp_path_factory.mktemp("broker")
    with ExternalBroker(folder, asking(vtn_port, request.param)) as broker:
        settings = {**HOOKED, "server.port": str(vtn_port), "mqtt.url": broker.url}
        with launch(settings) as server:
            yield server, broker


@pytest.fixture
def bl(http, pair):
    """Business Logic of the paired VTN."""
    return Party(http, pair[0].url, pair[0].token("bl"))


@pytest.fixture
async def ids(bl):
    """A program for everyone, and the vens of c1 and c2, made anew for this test."""
    for ven in (await bl.get("/vens")).json:
        await bl.delete(f"/vens/{ven['id']}")
    found = {"P": (await bl.made("/programs", {"programName": fresh("p")}))["id"]}
    for name in ("c1", "c2"):
        body = BL_VEN | {"clientID": name, "venName": fresh("v"), "targets": [f"for-{name}"]}
        found[name] = (await bl.made("/vens", body))["id"]
    return found


def client(pair, user, token=None, **more):
    server, broker = pair
    token = server.token(user) if token is None else token
    return aiomqtt.Client(HOST, broker.port, username=user, password=token, timeout=10, **more)


async def heard(connection):
    async with asyncio.timeout(PATIENCE_S):
        return json.loads((await anext(aiter(connection.messages))).payload)["object"]["id"]


def waiting(connection):
    """The ids of the messages that have arrived and were not read."""
    queue = connection._queue
    return {json.loads(queue.get_nowait().payload)["object"]["id"] for _ in range(queue.qsize())}


async def allowed(connection, topic, qos=1):
    return (await connection.subscribe(topic, qos=qos))[0].value <= 2


async def test_a_ven_hears_its_own_events_through_an_external_broker(pair, http, bl, ids):
    c1 = Party(http, pair[0].url, pair[0].token("c1"))
    offer = (await c1.get("/notifiers")).shows(200).json["MQTT"]
    assert offer["URIS"] == [pair[1].url]
    names = (await c1.get(f"{TOPICS}vens/{ids['c1']}/events")).shows(200).json["topics"]
    async with client(pair, "c1") as listening:
        await listening.subscribe(names["ALL"], qos=1)
        await bl.made("/events", {"programID": ids["P"], "targets": ["for-c2"]})
        event = await bl.made("/events", {"programID": ids["P"], "targets": ["for-c1"]})
        assert await heard(listening) == event["id"]


async def test_topics_of_others_are_refused(pair, ids):
    async with client(pair, "c1") as c1:
        for topic in (f"vens/{ids['c2']}/events/+", "bl/events/+", "vens/+/events/+", "#", "+/events/+", "$SYS/#"):
            assert not await allowed(c1, topic)
        for topic in (f"vens/{ids['c1']}/events/+", "programs/+", f"programs/{ids['P']}/events/create"):
            assert await allowed(c1, topic)
    async with client(pair, "bl") as bl:
        assert await allowed(bl, "bl/#")
        assert await allowed(bl, f"vens/{ids['c1']}/#")


async def test_only_a_client_with_its_own_token_gets_in(pair):
    server, _ = pair
    for user, token in (
        ("c1", server.token("c2")),
        ("c1", "nonsense"),
        ("c1", ""),
        (OWN_USER, "guess"),
        (OWN_USER, server.token("bl")),
        ("", ""),
    ):
        with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed|Bad user name"):
            async with client(pair, user, token):
                pass


async def test_clients_may_not_publish(pair, bl, ids):
    async with client(pair, "bl") as listening:
        await listening.subscribe("bl/events/+", qos=1)
        for user in ("c1", "bl"):
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(pair, user) as writer:
                    await writer.publish("bl/events/create", '{"object": {"id": "forged"}}', qos=1, timeout=2)
        event = await bl.made("/events", {"programID": ids["P"]})
        assert await heard(listening) == event["id"]


async def test_a_grant_that_is_withdrawn_and_a_client_that_is_revoked_mean_silence(pair, bl, ids):
    server, _ = pair
    name = fresh("short-lived")
    server.add_client(name, "VEN")
    body = BL_VEN | {"clientID": name, "venName": name, "targets": [name]}
    ven = await bl.made("/vens", body)
    async with client(pair, name) as doomed, client(pair, "c1") as c1:
        await doomed.subscribe([(f"vens/{ven['id']}/events/+", 1), (f"programs/{ids['P']}/events/+", 1)])
        await c1.subscribe(f"programs/{ids['P']}/events/+", qos=1)
        (await bl.put(f"/vens/{ven['id']}", body | {"targets": []})).shows(200)
        await bl.made("/events", {"programID": ids["P"], "targets": [name]})
        untargeted = await bl.made("/events", {"programID": ids["P"]})
        assert await heard(doomed) == untargeted["id"]
        assert await heard(c1) == untargeted["id"]
        assert server.cli("client", "revoke", name).returncode == 0
        unheard = await bl.made("/events", {"programID": ids["P"]})
        while await heard(c1) != unheard["id"]:
            pass
        await doomed.unsubscribe("programs/none")
        assert unheard["id"] not in waiting(doomed)


async def test_an_mqtt_identifier_in_use_is_not_given_to_another_client(pair):
    name = fresh("charger")
    async with client(pair, "c1", identifier=name):
        pass
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with client(pair, "c2", identifier=name):
            pass
    async with client(pair, "c1", identifier=name):
        pass


async def test_what_happens_while_the_broker_restarts_is_published_afterwards(launch, tmp_path, http):
    vtn_port = free_port()
    with ExternalBroker(tmp_path / "broker", asking(vtn_port)) as broker:
        async with Gate(broker.port).standing() as gate:
            url = f"mqtt://{HOST}:{gate.port}"
            settings = {**HOOKED, "server.port": str(vtn_port), "mqtt.url": url, "mqtt.advertise": f'["{broker.url}"]'}
            with launch(settings) as server:
                bl = Party(http, server.url, server.token("bl"))
                program = await bl.made("/programs", {"programName": fresh("p")})
                async with client((server, broker), "bl") as before:
                    await before.subscribe("bl/events/+", qos=1)
                    event = await bl.made("/events", {"programID": program["id"]})
                    assert await heard(before) == event["id"]
                    gate.shut()
                    broker.stop()
                made = [(await bl.made("/events", {"programID": program["id"]}))["id"] for _ in range(10)]
                broker.start()
                async with client((server, broker), "bl") as after:
                    await after.subscribe("bl/events/+", qos=1)
                    gate.open = True
                    told = await heard(after)
                    if told == event["id"]:  # at least once: the broker was stopped before it had acknowledged it
                        told = await heard(after)
                    assert [told, *[await heard(after) for _ in range(9)]] == made


def test_wrong_credentials_for_an_external_broker_are_said_in_one_sentence(template, tmp_path):
    with ExternalBroker(tmp_path / "broker", knowing(tmp_path / "broker", evtn=OWN_PASSWORD)) as broker:
        settings = {**EXTERNAL, "mqtt.url": broker.url, "server.port": "0", "mqtt.password": "wrong"}
        done = run_cli("serve", var=tmp_path / "var", settings=settings)
    assert done.returncode == 2
    complaint = done.stderr.strip().splitlines()[-1]
    assert f"127.0.0.1:{broker.port} refuses mqtt.username and mqtt.password" in complaint
    assert "Traceback" not in done.stderr
    assert "wrong" not in done.stderr


def test_an_external_broker_that_is_not_there_is_said_in_one_sentence(tmp_path):
    port = free_port()
    for settings in (EXTERNAL, HOOKED):
        chosen = {**settings, "mqtt.url": f"mqtt://{HOST}:{port}", "server.port": "0"}
        done = run_cli("serve", var=tmp_path / "var", settings=chosen)
        assert done.returncode == 2
        assert f"the MQTT broker at {HOST}:{port} cannot be used" in done.stderr.strip().splitlines()[-1]


# --- the questions themselves ---


@pytest.fixture
def ask(http, pair):
    """Post a question as a broker does; the status and the answer."""

    async def post(path, question, password=HOOK_PASSWORD, **more):
        head = basic(password) if password is not None else {}
        async with http.post(f"{pair[0].root}{path}", headers=head, **({"json": question} | more)) as answer:
            return answer.status, await answer.json(content_type=None)

    return post


async def test_emqx_is_answered_in_its_own_words(pair, ask, ids):
    token = pair[0].token("c1")
    login = {"username": "c1", "password": token, "clientid": fresh("id")}
    status, answer = await ask("/mqtt/emqx/authn", login)
    assert (status, answer["result"], answer["is_superuser"]) == (200, "allow", False)
    assert time.time() < answer["expire_at"] <= time.time() + 3600
    assert await ask("/mqtt/emqx/authn", login | {"password": "x"}) == (200, {"result": "deny", "is_superuser": False})
    for topic, action, result in (
        (f"vens/{ids['c1']}/events/+", "subscribe", "allow"),
        (f"vens/{ids['c2']}/events/+", "subscribe", "deny"),
        ("programs/create", "publish", "deny"),
        ("programs/create", "all", "deny"),
    ):
        question = {"username": "c1", "clientid": login["clientid"], "topic": topic, "action": action}
        status, answer = await ask("/mqtt/emqx/authz", question)
        assert (status, answer["result"]) == (200, result), topic


async def test_the_vtns_own_user_may_publish_on_its_topics_and_do_nothing_else(ask):
    assert (await ask("/mqtt/mosquitto/user", {"username": OWN_USER, "password": OWN_PASSWORD}))[0] == 200
    assert (await ask("/mqtt/mosquitto/superuser", {"username": OWN_USER}))[0] == 403
    for topic, acc, status in (("bl/events/create", 2, 200), ("$SYS/x", 2, 403), ("bl/#", 2, 403), ("bl/#", 4, 403)):
        question = {"username": OWN_USER, "clientid": "x", "topic": topic, "acc": acc}
        assert (await ask("/mqtt/mosquitto/acl", question))[0] == status, topic


@pytest.mark.parametrize("path", ["mosquitto/user", "mosquitto/superuser", "mosquitto/acl", "emqx/authn", "emqx/authz"])
async def test_nobody_is_answered_without_the_hook_password(ask, path):
    question = {"username": OWN_USER, "password": OWN_PASSWORD, "topic": "bl/x", "acc": 2, "action": "publish"}
    for password in (None, "", "guess", OWN_PASSWORD):
        status, answer = await ask(f"/mqtt/{path}", question, password)
        assert (status, answer["result"], answer["ok"]) == (401, "deny", False)


@pytest.mark.parametrize(
    "more",
    [
        {"data": b"not json", "json": None},
        {"data": b"[1]", "json": None},
        {"data": b"{" * 15_000, "json": None},
        {"json": {"username": "c1", "password": "x" * 20_000}},
        {"json": {"username": ["c1"], "password": {}, "topic": None, "acc": []}},
        {"json": {"username": "\ud800", "password": "\ud800", "topic": "\ud800", "acc": 4}},
    ],
)
async def test_a_question_that_is_none_is_a_refusal(ask, more):
    for path in ("/mqtt/mosquitto/user", "/mqtt/mosquitto/acl"):
        assert (await ask(path, None, **more))[0] == 403
    for path in ("/mqtt/emqx/authn", "/mqtt/emqx/authz"):
        assert await ask(path, None, **more) == (200, {"result": "deny", "is_superuser": False})


async def test_without_a_hook_password_there_is_nothing_to_ask(vtn, http):
    async with http.post(f"{vtn.root}/mqtt/mosquitto/user", json={}, headers=basic("")) as answer:
        assert answer.status == 404
