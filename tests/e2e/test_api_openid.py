"""Clients that bring tokens of external OpenID providers: who they are, what they may, and how keys come and go."""

import asyncio
import dataclasses
import json

import openid
import pytest
from openid import cognito, entra_v1, entra_v2, keycloak
from vtn_process import Party, Vtn, fresh, run_cli

PARTNER = "0b7e52c1-partner"
KEYCLOAK_ROLES = ["scope", "resource_access.evtn.roles"]
SOON_S, LATE_S = 0.05, 3600.0
OTHER_ISSUER = "https://other.example.org"
ALGORITHMS = ["RS256", "ES256"]
EVERY_SHAPE = pytest.mark.parametrize("shape", [keycloak, entra_v1, entra_v2, cognito], ids=lambda one: one.__name__)


def issuer(name, provider, **more):
    return {"issuer": name, "jwks_url": provider.url, "shortest_refresh_s": LATE_S, "algorithms": ALGORITHMS, **more}


@dataclasses.dataclass
class World:
    """One server, and a provider for each of its issuers."""

    vtn: Vtn
    providers: dict[str, openid.Provider]

    def sign(self, claims, **header):
        return self.providers[claims["iss"]].sign(claims, **header)


def trusted(providers):
    return openid.as_setting(
        issuer(openid.KEYCLOAK, providers[openid.KEYCLOAK], audience="evtn", scope_claims=KEYCLOAK_ROLES),
        issuer(openid.ENTRA_V1, providers[openid.ENTRA_V1], audience=openid.API),
        issuer(openid.ENTRA_V2, providers[openid.ENTRA_V2], audience="9a8b7c6d-api"),
        issuer(openid.COGNITO, providers[openid.COGNITO], scope_prefix=openid.RESOURCE_SERVER),
        issuer(OTHER_ISSUER, providers[OTHER_ISSUER], shortest_refresh_s=SOON_S),
    )


@pytest.fixture(scope="module")
def world(launch):
    providers = {
        openid.KEYCLOAK: openid.Provider(openid.rsa, alg="RS256", use="sig"),
        openid.ENTRA_V1: openid.Provider(openid.rsa, use="sig"),
        openid.ENTRA_V2: openid.Provider(openid.rsa, use="sig"),
        openid.COGNITO: openid.Provider(openid.rsa, alg="RS256", use="sig"),
        OTHER_ISSUER: openid.Provider(),
    }
    for provider in providers.values():
        provider.start()
    with launch({"auth.issuers": trusted(providers)}) as server:
        server.add_client(PARTNER, "VEN", "--external")
        yield World(server, providers)
    for provider in providers.values():
        provider.stop()


@pytest.fixture
def anybody(http, world):
    return Party(http, world.vtn.url, None)


@EVERY_SHAPE
async def test_a_token_of_every_provider_opens_what_it_says(world, anybody, shape):
    partner = anybody.bearing(world.sign(shape(PARTNER, "read_targets", "write_vens")))
    (await partner.get("/programs")).shows(200)
    (await partner.post("/vens", {})).shows(400)
    (await partner.get("/vens")).shows(403)


@EVERY_SHAPE
async def test_a_token_gives_no_more_than_the_registration(world, anybody, shape):
    partner = anybody.bearing(world.sign(shape(PARTNER, "read_all", "read_bl", "write_programs", "write_events")))
    for method, path in (("POST", "/programs"), ("POST", "/events"), ("GET", "/vens"), ("GET", "/programs")):
        (await partner.send(method, path)).shows(403)


async def test_an_external_client_may_be_business_logic(world, anybody):
    name = fresh("utility")
    world.vtn.add_client(name, "BL", "--external")
    utility = anybody.bearing(world.sign(keycloak(name, "write_programs", "read_all")))
    (await utility.post("/programs", {"programName": fresh("program")})).shows(201)
    (await utility.get("/vens")).shows(200)


async def test_a_client_that_is_not_registered_is_nobody(world, anybody):
    (await anybody.bearing(world.sign(keycloak("stranger", "read_targets"))).get("/programs")).shows(401)


async def test_a_client_with_a_secret_of_ours_is_not_taken_over_by_a_provider(world, anybody):
    for name in ("bl", "c1"):
        (await anybody.bearing(world.sign(keycloak(name, "read_targets"))).get("/programs")).shows(401)


async def test_a_client_of_one_issuer_is_not_taken_over_by_another(world, anybody):
    name = fresh("bound")
    world.vtn.add_client(name, "VEN", "--issuer", openid.COGNITO)
    (await anybody.bearing(world.sign(cognito(name, "read_targets"))).get("/programs")).shows(200)
    (await anybody.bearing(world.sign(keycloak(name, "read_targets"))).get("/programs")).shows(401)


async def test_revocation_works_on_the_next_request_and_rotation_gives_no_secret(world, anybody):
    name = fresh("leaving")
    world.vtn.add_client(name, "VEN", "--external")
    leaving = anybody.bearing(world.sign(keycloak(name, "read_targets")))
    (await leaving.get("/programs")).shows(200)
    assert world.vtn.cli("client", "revoke", name).returncode == 0
    (await leaving.get("/programs")).shows(401)
    refused = world.vtn.cli("client", "rotate", name, "--json")
    assert refused.returncode != 0
    assert f"vtn client add {name} --role VEN --external" in " ".join(refused.stderr.split())
    world.vtn.add_client(name, "VEN", "--external")
    (await leaving.get("/programs")).shows(401)
    later = anybody.bearing(world.sign(keycloak(name, "read_targets", iat=openid.times()["iat"] + 5)))
    (await later.get("/programs")).shows(200)
    again = json.loads(world.vtn.cli("client", "rotate", name, "--json").stdout)
    assert again == {"clientID": name, "secret": None}
    much_later = keycloak(name, "read_targets", iat=openid.times()["iat"] + 10)
    (await anybody.bearing(world.sign(much_later)).get("/programs")).shows(200)


async def test_an_external_client_gets_no_token_of_ours(world, anybody):
    for secret in ("None", "external:", ""):
        body = f"grant_type=client_credentials&client_id={PARTNER}&client_secret={secret}".encode()
        answer = await anybody.send(
            "POST", "/auth/token", raw=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status == (401 if secret else 400)


async def test_our_own_tokens_work_beside_theirs(world, anybody):
    (await anybody.bearing(world.vtn.token("c1")).get("/programs")).shows(200)


async def test_keys_are_rotated_without_a_restart_and_old_keys_die(world, anybody):
    provider = world.providers[OTHER_ISSUER]
    claims = keycloak(PARTNER, iss=OTHER_ISSUER, scope="read_targets")
    old = anybody.bearing(provider.sign(claims))
    (await old.get("/programs")).shows(200)
    provider.add()
    both = anybody.bearing(provider.sign(claims))
    await until(both, 200)
    (await old.get("/programs")).shows(200)
    provider.keys = {provider.newest: provider.keys[provider.newest]}
    provider.add()
    await until(anybody.bearing(provider.sign(claims)), 200)
    (await old.get("/programs")).shows(401)
    (await both.get("/programs")).shows(200)


async def until(party, status):
    """Return when a read is answered so: an issuer's keys are looked at again only after a while."""
    async with asyncio.timeout(60):
        while (await party.get("/programs")).status != status:
            pass


async def test_a_flood_of_unknown_keys_asks_the_provider_once(world, anybody):
    provider = world.providers[openid.COGNITO]
    (await anybody.bearing(world.sign(cognito(PARTNER, "read_targets"))).get("/programs")).shows(200)
    assert provider.fetches == 1
    key = openid.rsa()
    tokens = [provider.sign(cognito("c1", "read_targets"), key=key, kid=f"unknown-{number}") for number in range(200)]
    answers = await asyncio.gather(*(anybody.bearing(token).get("/programs") for token in tokens))
    assert {answer.status for answer in answers} == {401}
    assert provider.fetches == 1


async def test_known_keys_work_while_the_provider_is_down(world, anybody):
    provider = world.providers[openid.ENTRA_V1]
    (await anybody.bearing(world.sign(entra_v1(PARTNER, "read_targets"))).get("/programs")).shows(200)
    provider.stop()
    try:
        (await anybody.bearing(world.sign(entra_v1(PARTNER, "read_targets"))).get("/programs")).shows(200)
        provider.add()
        (await anybody.bearing(world.sign(entra_v1(PARTNER, "read_targets"))).get("/programs")).shows(401)
    finally:
        provider.start()


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b""),
        (302, {"Location": "{elsewhere}"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b'{"keys": [' + b" " * 300_000 + b"]}"),
    ],
    ids=["an error", "a redirect", "no keys", "too much"],
)
async def test_a_provider_that_answers_nonsense_is_waited_for(launch, http, answer):
    """The server starts all the same, says so in its log, and takes the keys when they come."""
    with openid.Provider() as provider, openid.Provider() as elsewhere:
        elsewhere.keys = provider.keys
        status, headers, body = answer
        provider.answer = (status, {key: value.format(elsewhere=elsewhere.url) for key, value in headers.items()}, body)
        setting = openid.as_setting(issuer(openid.KEYCLOAK, provider, shortest_refresh_s=SOON_S))
        with launch({"auth.issuers": setting}) as server:
            server.add_client(PARTNER, "VEN", "--external")
            partner = Party(http, server.url, provider.sign(keycloak(PARTNER, scope="read_targets")))
            (await partner.get("/programs")).shows(401)
            provider.answer = None
            await until(partner, 200)
            assert "were not renewed" in server.log
        assert elsewhere.fetches == 0


# --- no tokens of our own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foreign(launch):
    with openid.Provider() as provider:
        settings = {
            "auth.own_tokens": "false",
            "auth.token_url": "https://login.example.org/token",
            "auth.issuers": openid.as_setting(issuer(openid.KEYCLOAK, provider)),
        }
        with launch(settings) as server:
            server.add_client(PARTNER, "VEN", "--external")
            yield World(server, {openid.KEYCLOAK: provider})


async def test_without_own_tokens_the_token_endpoint_says_where_to_go_auth_03_05(foreign, http):
    nobody = Party(http, foreign.vtn.url, None)
    assert (await nobody.get("/auth/server")).shows(200).json == {"tokenURL": "https://login.example.org/token"}
    answer = await nobody.send("POST", "/auth/token", raw=b"grant_type=client_credentials")
    assert "https://login.example.org/token" in answer.shows(501).json["detail"]
    assert answer.json["error"]


async def test_without_own_tokens_only_theirs_count(foreign, vtn, http):
    nobody = Party(http, foreign.vtn.url, None)
    (await nobody.bearing(foreign.sign(keycloak(PARTNER, scope="read_targets"))).get("/programs")).shows(200)
    (await nobody.bearing(vtn.token("c1")).get("/programs")).shows(401)


async def test_a_token_url_alone_changes_only_what_clients_are_told(launch, http):
    with launch({"auth.token_url": "https://login.example.org/token"}) as server:
        nobody = Party(http, server.url, None)
        assert (await nobody.get("/auth/server")).json == {"tokenURL": "https://login.example.org/token"}
        (await nobody.bearing(server.token("c1")).get("/programs")).shows(200)


# --- registration -----------------------------------------------------------------------------------------------------


def test_the_list_says_whose_tokens_a_client_brings(world):
    name = fresh("bound")
    world.vtn.add_client(name, "VEN", "--issuer", openid.ENTRA_V2)
    rows = {row["clientID"]: row["tokens"] for row in json.loads(world.vtn.cli("client", "list", "--json").stdout)}
    assert (rows["c1"], rows[PARTNER], rows[name]) == ("own", "any external issuer", openid.ENTRA_V2)


def test_an_issuer_that_is_not_configured_is_refused(tmp_path):
    done = run_cli("client", "add", "x", "--role", "VEN", "--issuer", "https://nobody.example.org", var=tmp_path)
    assert done.returncode == 1
    assert "issuer" in done.stderr


def test_an_external_client_is_shown_no_secret(world):
    done = world.vtn.cli("client", "add", fresh("shown"), "--role", "VEN", "--external")
    assert done.returncode == 0
    assert "secret" not in done.stdout
