"""`/notifiers` and the topic endpoints under each authentication method, with clients that do what they are told."""

import asyncio
import json
import ssl
from urllib.parse import urlsplit

import aiomqtt
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from vtn_process import PATIENCE_S, Party, fresh, run_cli

BL_VEN = {"objectType": "BL_VEN_REQUEST"}
BUNDLED = {"mqtt.mode": "bundled", "mqtt.port": "0"}
SHARED = ("programs", "programs/{P}", "programs/{P}/events")
BL_ONLY = ("events", "reports", "subscriptions", "vens", "resources")
OWN = ("vens/{V}", "vens/{V}/events", "vens/{V}/programs", "vens/{V}/resources")
TOPICS = "/notifiers/mqtt/topics/"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    assert run_cli("certs", "--folder", str(folder), "--host", "127.0.0.1", var=folder).returncode == 0
    return {"mqtt.certificate": str(folder / "server.pem"), "mqtt.private_key": str(folder / "server.key")}


@pytest.fixture(scope="module")
def by_token(launch, certificates):
    with launch({**BUNDLED, **certificates}) as server:
        yield server


@pytest.fixture(scope="module")
def by_certificate(launch, certificates):
    with launch({**BUNDLED, **certificates, "mqtt.authentication": "CERTIFICATE"}) as server:
        yield server


@pytest.fixture(scope="module")
def anonymous(launch):
    with launch({**BUNDLED, "mqtt.authentication": "ANONYMOUS"}) as server:
        yield server


@pytest.fixture
def parties(http):
    """The parties of a server, by clientID."""
    return lambda server: {name: Party(http, server.url, server.token(name)) for name in ("bl", "c1", "c2")}


async def furnished(bl):
    """An untargeted program, a program for c1 only, and c1's ven, made anew for this test; their ids."""
    for ven in (await bl.get("/vens")).json:
        await bl.delete(f"/vens/{ven['id']}")
    open_to_all = await bl.made("/programs", {"programName": fresh("open")})
    targeted = await bl.made("/programs", {"programName": fresh("targeted"), "targets": ["g1"]})
    ven = await bl.made("/vens", BL_VEN | {"clientID": "c1", "venName": fresh("v"), "targets": ["g1"]})
    return {"P": open_to_all["id"], "T": targeted["id"], "V": ven["id"]}


async def binding(party):
    return (await party.get("/notifiers")).shows(200).json["MQTT"]


def reached(offer, tmp_path=None, **more):
    """A connection as the binding says, and by nothing else that the client knows."""
    uri, proof = urlsplit(offer["URIS"][0]), offer["authentication"]
    if uri.scheme == "mqtts" and "tls_context" not in more:
        more["tls_context"] = ssl.create_default_context(cadata=proof["caCert"])
        (tmp_path / "own.pem").write_text(proof["clientCert"] + proof["clientKey"])
        more["tls_context"].load_cert_chain(tmp_path / "own.pem")
    return aiomqtt.Client(uri.hostname, uri.port, timeout=10, **more)


async def topics(party, endpoint):
    return (await party.get(TOPICS + endpoint)).shows(200).json["topics"]


async def heard(connection, *, besides=()):
    """The next object that is told of; `besides` may still be on their way from before the subscription."""
    async with asyncio.timeout(PATIENCE_S):
        async for message in connection.messages:
            if (told := json.loads(message.payload)["object"]["id"]) not in besides:
                return told
    raise AssertionError("the connection ended")


async def test_with_tokens_every_caller_is_told_the_same_and_all_twelve_endpoints_answer(by_token, parties):
    who = parties(by_token)
    offer = {name: await binding(party) for name, party in who.items()}
    assert offer["bl"] == offer["c1"] == offer["c2"]
    assert offer["c1"]["authentication"] == {"method": "OAUTH2_BEARER_TOKEN", "username": "{clientID}"}
    assert [urlsplit(uri).scheme for uri in offer["c1"]["URIS"]] == ["mqtts"]
    ids = await furnished(who["bl"])
    for endpoint in (*SHARED, *BL_ONLY, *OWN):
        assert await topics(who["bl"], endpoint.format(**ids))
    for endpoint in (*SHARED, *OWN):
        assert await topics(who["c1"], endpoint.format(**ids))


async def test_a_client_hears_by_mqtts_what_it_was_told_to_listen_to(by_token, parties, certificates):
    who = parties(by_token)
    ids = await furnished(who["bl"])
    offer, trust = await binding(who["c1"]), ssl.create_default_context(cafile=certificates["mqtt.certificate"])
    names = await topics(who["c1"], f"vens/{ids['V']}/events")
    login = {"username": "c1", "password": by_token.token("c1"), "tls_context": trust}
    async with reached(offer, **login) as c1:
        await c1.subscribe(names["ALL"], qos=1)
        event = await who["bl"].made("/events", {"programID": ids["T"]})
        assert await heard(c1) == event["id"]


async def test_a_certificate_and_its_key_go_to_their_client_only_and_are_never_stored(by_certificate, parties):
    who = parties(by_certificate)
    answers = {name: (await party.get("/notifiers")).shows(200) for name, party in who.items()}
    for name, answer in answers.items():
        assert answer.headers["Cache-Control"] == "no-store"
        proof = answer.json["MQTT"]["authentication"]
        assert sorted(proof) == ["caCert", "clientCert", "clientKey", "method"]
        subject = x509.load_pem_x509_certificate(proof["clientCert"].encode()).subject
        assert [one.value for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [name]
    assert len({answer.json["MQTT"]["authentication"]["clientKey"] for answer in answers.values()}) == 3


async def test_a_client_hears_with_its_certificate_alone(by_certificate, parties, tmp_path):
    who = parties(by_certificate)
    ids = await furnished(who["bl"])
    names = await topics(who["c1"], f"vens/{ids['V']}/events")
    async with reached(await binding(who["c1"]), tmp_path) as c1:
        assert (await c1.subscribe(names["ALL"], qos=1))[0].value <= 2
        assert (await c1.subscribe("bl/events/+", qos=1))[0].value == 0x80
        event = await who["bl"].made("/events", {"programID": ids["T"]})
        assert await heard(c1) == event["id"]


async def test_a_rotated_secret_ends_the_certificates_of_before(by_certificate, parties, tmp_path):
    who = parties(by_certificate)
    old = await binding(who["c2"])
    async with reached(old, tmp_path):
        pass
    done = by_certificate.cli("client", "rotate", "c2", "--json")
    by_certificate.secrets["c2"] = json.loads(done.stdout)["secret"]
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with reached(old, tmp_path):
            pass
    by_certificate.token("c2", renew=True)
    async with reached(await binding(parties(by_certificate)["c2"]), tmp_path):
        pass


async def test_anonymously_only_what_everyone_may_hear_has_topics_for_business_logic_too(anonymous, parties):
    who = parties(anonymous)
    ids = await furnished(who["bl"])
    for party in (who["bl"], who["c1"]):
        assert (await binding(party))["authentication"] == {"method": "ANONYMOUS"}
        for endpoint in SHARED:
            names = await topics(party, endpoint.format(**ids))
            assert names["UPDATE"] == f"{endpoint.format(**ids)}/update"
        for endpoint in ("programs/{T}", "programs/{T}/events", *OWN):
            (await party.get(TOPICS + endpoint.format(**ids))).shows(404)
    for endpoint in BL_ONLY:
        (await who["bl"].get(TOPICS + endpoint)).shows(404)
        (await who["c1"].get(TOPICS + endpoint)).shows(403)


async def test_anonymously_a_client_hears_the_untargeted_and_nothing_of_the_rest(anonymous, parties):
    who = parties(anonymous)
    ids = await furnished(who["bl"])
    async with reached(await binding(who["c1"])) as anybody:
        await anybody.subscribe((await topics(who["c1"], "programs"))["ALL"], qos=1)
        await anybody.subscribe((await topics(who["c1"], f"programs/{ids['P']}/events"))["ALL"], qos=1)
        await who["bl"].made("/programs", {"programName": fresh("hidden"), "targets": ["g1"]})
        await who["bl"].made("/events", {"programID": ids["P"], "targets": ["g1"]})
        event = await who["bl"].made("/events", {"programID": ids["P"]})
        assert await heard(anybody, besides=ids.values()) == event["id"]


async def test_without_a_broker_there_is_no_mqtt_key_and_no_topic(vtn, bl):
    assert (await bl.get("/notifiers")).shows(200).json == {"WEBHOOK": True}
    for endpoint in ("programs", "events", "vens"):
        (await bl.get(TOPICS + endpoint)).shows(404)


async def test_topics_of_programs_reports_and_subscriptions_are_not_of_the_standard(by_token, parties):
    who = parties(by_token)
    ids = await furnished(who["bl"])
    for endpoint in ("reports", "subscriptions"):
        (await who["bl"].get(f"{TOPICS}programs/{ids['P']}/{endpoint}")).shows(404)


@pytest.mark.parametrize(("path", "status"), [("programs/not*an*id", 400), ("programs/unknown", 404), ("vens/no", 404)])
async def test_ids_in_topic_paths_are_checked_like_those_of_reads(by_token, parties, path, status):
    (await parties(by_token)["bl"].get(TOPICS + path)).shows(status)
