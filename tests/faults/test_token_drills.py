"""What an attacker would try with tokens: all refused, on HTTP and at the broker, and nothing of it in the log."""

import base64
import dataclasses
import hmac
import json
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp
import aiomqtt
import openid
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from openid import keycloak
from vtn_process import Party, Vtn, add_client, fresh

PARTNER = "partner"
LONGEST_HEADER = 8190


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def raw(header: bytes, claims: bytes) -> str:
    return f"{segment(header)}.{segment(claims)}.AAAA"


@dataclasses.dataclass
class Drill:
    """The server, its own signing key (which only its operator can read), and its trusted provider."""

    vtn: Vtn
    provider: openid.Provider
    evil: openid.Provider

    @property
    def own_key(self) -> OKPKey:
        return OKPKey.import_key((self.vtn.var / "keys" / "tokens.pem").read_bytes())

    @property
    def rsa(self) -> RSAKey:
        return self.provider.keys[self.provider.newest]

    def own(self, key=None, algorithm="Ed25519", header=None, **change) -> str:
        """A token like our own."""
        now_s = time.time()  # as our own are: the client may have been added in this very second
        claims = {"iss": "evtn", "sub": "c1", "iat": now_s, "exp": int(now_s) + 60, "scope": "read_targets", **change}
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return jwt.encode({"alg": algorithm, **(header or {})}, claims, key or self.own_key, registry=registry)

    def theirs(self, key=None, client=PARTNER, header=None, **change) -> str:
        """A token like the provider's."""
        return self.provider.sign(keycloak(client, scope="read_targets", **change), key=key, **(header or {}))

    def unsigned(self, token: str, algorithm: str) -> str:
        claims = token.split(".")[1]
        return f"{segment(json.dumps({'alg': algorithm}).encode())}.{claims}."


def confused(token: str, secret: bytes) -> str:
    """The token's claims under HS256, with what everybody may know for a secret; libraries refuse to make it."""
    header, claims, _ = token.split(".")
    named = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    text = f"{segment(json.dumps({**named, 'alg': 'HS256'}).encode())}.{claims}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), 'sha256'))}"


def with_header(drill: Drill, **header) -> str:
    """Signed by the attacker's own key, which the header offers."""
    key = drill.evil.keys[drill.evil.newest]
    return drill.theirs(key, header={"alg": "ES256", "kid": drill.evil.newest, **header})


def stolen_signature(drill: Drill) -> str:
    good, wanted = drill.theirs().split("."), drill.theirs(client="bl").split(".")
    return ".".join((*wanted[:2], good[2]))


def revoked(drill: Drill) -> str:
    name = fresh("revoked")
    drill.vtn.add_client(name, "VEN", "--external")
    assert drill.vtn.cli("client", "revoke", name).returncode == 0
    return drill.theirs(client=name)


def own_revoked(drill: Drill) -> str:
    name = fresh("revoked")
    drill.vtn.add_client(name, "VEN")
    token = drill.vtn.token(name)
    assert drill.vtn.cli("client", "revoke", name).returncode == 0
    return token


ED, RSA, EC = OKPKey.generate_key("Ed25519"), openid.rsa(), ECKey.generate_key("P-256")
DRILLS: dict[str, Callable[[Drill], str]] = {
    # ours
    "ours, another key": lambda d: d.own(ED),
    "ours, another issuer": lambda d: d.own(iss="someone"),
    "ours, alg none": lambda d: d.unsigned(d.own(), "none"),
    "ours, alg NONE": lambda d: d.unsigned(d.own(), "NONE"),
    "ours, no alg": lambda d: d.unsigned(d.own(), ""),
    "ours, HS256 by the public PEM": lambda d: confused(d.own(), d.own_key.as_pem(private=False)),
    "ours, HS256 by the public point": lambda d: confused(d.own(), d.own_key.public_key.public_bytes_raw()),
    "ours, RS256": lambda d: d.own(RSA, "RS256"),
    "ours, the key in its header": lambda d: d.own(ED, header={"jwk": ED.as_dict(private=False)}),
    "ours, expired": lambda d: d.own(exp=int(time.time()) - 1),
    "ours, for ever": lambda d: d.own(exp=None),
    "ours, from the future": lambda d: d.own(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "ours, not yet": lambda d: d.own(nbf=int(time.time()) + 3600),
    "ours, of a client that is none": lambda d: d.own(sub="stranger"),
    "ours, of nobody": lambda d: d.own(sub=""),
    "ours, of a list": lambda d: d.own(sub=["c1"]),
    "ours, revoked": own_revoked,
    "ours, signed by the provider": lambda d: d.own(d.rsa, "RS256"),
    # theirs
    "theirs, another key": lambda d: d.theirs(RSA),
    "theirs, signed by us": lambda d: d.theirs(d.own_key, header={"alg": "Ed25519"}),
    "theirs, of another issuer": lambda d: d.theirs(iss="https://evil.example.org"),
    "theirs, of a like issuer": lambda d: d.theirs(iss=openid.KEYCLOAK + "/"),
    "theirs, of issuers": lambda d: d.theirs(iss=[openid.KEYCLOAK]),
    "theirs, alg none": lambda d: d.unsigned(d.theirs(), "none"),
    "theirs, alg rs256": lambda d: d.unsigned(d.theirs(), "rs256"),
    "theirs, HS256 by the public PEM": lambda d: confused(d.theirs(), d.rsa.as_pem(private=False)),
    "theirs, HS256 by the public DER": lambda d: confused(d.theirs(), d.rsa.as_der(private=False)),
    "theirs, HS256 by nothing": lambda d: confused(d.theirs(), b"\0" * 32),
    "theirs, an algorithm that is not allowed": lambda d: d.theirs(header={"alg": "PS256"}),
    "theirs, the key in its header": lambda d: with_header(
        d, jwk=d.evil.keys[d.evil.newest].as_dict(private=False), kid=d.provider.newest
    ),
    "theirs, the key at a URL": lambda d: with_header(d, jku=d.evil.url),
    "theirs, the key at another URL": lambda d: with_header(d, x5u=d.evil.url),
    "theirs, the key in a file": lambda d: with_header(d, kid="../../../../dev/null"),
    "theirs, the key in a database": lambda d: with_header(d, kid="' UNION SELECT 'x"),
    "theirs, the key of another kind": lambda d: d.theirs(EC, header={"alg": "ES256"}),
    "theirs, a key id that is none": lambda _: raw(b'{"alg":"RS256","kid":{"a":1}}', b"{}"),
    "theirs, a demand that is unknown": lambda d: d.theirs(header={"crit": ["b64"], "b64": True}),
    "theirs, another's signature": stolen_signature,
    "theirs, no signature": lambda d: d.theirs().rpartition(".")[0] + ".",
    "theirs, an ID token": lambda d: d.theirs(typ="ID"),
    "theirs, a logout token": lambda d: d.theirs(header={"typ": "logout+jwt"}),
    "theirs, for another audience": lambda d: d.theirs(aud="another"),
    "theirs, bound to a key": lambda d: d.theirs(cnf={"jkt": "x"}),
    "theirs, expired": lambda d: d.theirs(exp=int(time.time()) - 60),
    "theirs, for ever": lambda d: d.theirs(exp=1e18),
    "theirs, until a word": lambda d: d.theirs(exp="9999999999"),
    "theirs, from the future": lambda d: d.theirs(iat=int(time.time()) + 60),
    "theirs, not yet": lambda d: d.theirs(nbf=int(time.time()) + 60),
    "theirs, of a client that is none": lambda d: d.theirs(client="stranger"),
    "theirs, of a client with a secret of ours": lambda d: d.theirs(client="c1"),
    "theirs, of our utility": lambda d: d.theirs(client="bl"),
    "theirs, revoked": revoked,
    # nobody's
    "garbage": lambda _: "garbage",
    "three dots": lambda _: "...",
    "letters": lambda _: "a.b.c",
    "an umlaut": lambda _: "é.ü.ß",
    "five parts": lambda d: d.theirs() + ".AAAA.AAAA",
    "claims that are a list": lambda _: raw(b'{"alg":"RS256"}', b"[1]"),
    "claims without end": lambda _: raw(b'{"alg":"RS256"}', b"[" * 3000),
    "a header without end": lambda _: raw(b"[" * 3000, b"{}"),
    "as long as a header may be": lambda _: "x" * (LONGEST_HEADER - 30),
}
AT_THE_BROKER = [
    "ours, another key",
    "ours, alg none",
    "ours, expired",
    "ours, revoked",
    "theirs, another key",
    "theirs, HS256 by the public PEM",
    "theirs, the key at a URL",
    "theirs, expired",
    "theirs, of another issuer",
    "theirs, of a client that is none",
    "theirs, revoked",
    "garbage",
    "claims without end",
]


@pytest.fixture(scope="module")
def drill(tmp_path_factory):
    var = tmp_path_factory.mktemp("drill") / "var"
    secrets = {name: add_client(var, name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}
    add_client(var, PARTNER, "VEN", "--external")
    with openid.Provider(openid.rsa, alg="RS256", use="sig") as provider, openid.Provider() as evil:
        trusted = {"issuer": openid.KEYCLOAK, "jwks_url": provider.url, "audience": "evtn", "shortest_refresh_s": 3600}
        issuers = openid.as_setting({**trusted, "algorithms": ["RS256", "ES256"]})
        settings = {"auth.issuers": issuers, "mqtt.mode": "bundled", "mqtt.port": "0"}
        with Vtn(var, settings, secrets) as vtn:
            yield Drill(vtn, provider, evil)


@pytest.fixture
async def nobody(drill):
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Party(session, drill.vtn.url, None)


async def test_genuine_tokens_are_taken_else_the_drills_prove_nothing(drill, nobody):
    for token in (drill.own(), drill.theirs(), drill.vtn.token("c1")):
        (await nobody.bearing(token).get("/programs")).shows(200)


@pytest.mark.parametrize("name", DRILLS)
async def test_a_bad_token_opens_nothing_auth_19(drill, nobody, name):
    answer = (await nobody.bearing(DRILLS[name](drill)).get("/programs")).shows(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_token_beyond_any_header_is_refused_before_anybody_reads_it(nobody):
    answer = await nobody.bearing("x" * 100_000).get("/programs")
    assert answer.status == 400


async def test_scopes_beyond_the_registration_open_nothing_auth_20_21(drill, nobody):
    everything = "read_all read_bl write_programs write_events"
    for token in (drill.own(scope=everything), drill.provider.sign(keycloak(PARTNER, scope=everything))):
        (await nobody.bearing(token).post("/programs", {"programName": "x"})).shows(403)
        (await nobody.bearing(token).post("/events", {})).shows(403)


async def test_nothing_an_attacker_names_is_fetched_or_logged_sec_11(drill, nobody):
    for make in DRILLS.values():
        token = make(drill)
        (await nobody.bearing(token).get("/programs")).shows(401)
        longest = max(token.split("."), key=len)
        assert len(longest) < 40 or longest not in drill.vtn.log
    assert drill.evil.fetches == 0
    assert drill.provider.fetches == 1
    assert "failed on" not in drill.vtn.log


# --- as passwords at the broker ---------------------------------------------------------------------------------------


@pytest.fixture
async def broker(drill, nobody):
    offered = (await nobody.bearing(drill.vtn.token("bl")).get("/notifiers")).shows(200).json
    address = urlsplit(offered["MQTT"]["URIS"][0])
    return lambda user, password: aiomqtt.Client(
        address.hostname, address.port, username=user, password=password, timeout=10
    )


async def test_the_broker_takes_genuine_tokens_of_ours_and_of_the_provider(drill, broker):
    """The provider's is one that this server has never seen, so that it is verified for the broker alone."""
    for user, token in (("c1", drill.own()), (PARTNER, drill.theirs(jti=fresh()))):
        async with broker(user, token) as client:
            await client.subscribe("OpenADR/3.1.0/programs/#")


@pytest.mark.parametrize("name", AT_THE_BROKER)
async def test_the_broker_refuses_what_the_api_refuses(drill, broker, name):
    token = DRILLS[name](drill)
    for user in ("c1", PARTNER):
        with pytest.raises(aiomqtt.MqttError):
            async with broker(user, token):
                pass


async def test_a_token_of_one_client_does_not_let_another_in(drill, broker):
    for user, token in (("bl", drill.own()), ("c1", drill.theirs()), (PARTNER, drill.own()), ("", drill.theirs())):
        with pytest.raises(aiomqtt.MqttError):
            async with broker(user, token):
                pass
