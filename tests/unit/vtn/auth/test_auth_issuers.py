"""External issuers: their keys are fetched rarely and kept faithfully, and only their genuine tokens count."""

import asyncio
import json
import time

import openid
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey
from openid import keycloak

from vtn.auth.issuers import Issuers, NoKeys
from vtn.config import Issuer
from vtn.errors import Unauthenticated

ALGORITHMS = ("RS256", "ES256", "Ed25519", "EdDSA")


class Place:
    """An issuer, its keys behind a counted fetch, and a clock that is set by hand."""

    def __init__(self, **settings) -> None:
        self.provider = openid.Provider()
        self.looks = 0
        self.down = False
        self.now_s = 1000.0
        self.forgotten = 0
        defaults = {"issuer": openid.KEYCLOAK, "jwks_url": "https://x.example/certs", "algorithms": ALGORITHMS}
        self.trusted = Issuer(**{**defaults, "shortest_refresh_s": 30.0, **settings})
        self.issuers = Issuers([self.trusted], self._fetch, lambda: self.now_s)
        self.issuers.on_withdrawn(self._forget)

    def _forget(self):
        self.forgotten += 1

    async def _fetch(self, url):
        assert url == self.trusted.jwks_url
        self.looks += 1
        await asyncio.sleep(0)
        if self.down:
            raise NoKeys("is down")
        return self.provider.jwks()

    async def client(self, token):
        return (await self.issuers.verify(token)).client_id

    async def refused(self, token):
        with pytest.raises(Unauthenticated):
            await self.issuers.verify(token)


@pytest.fixture
def place():
    return Place()


async def test_a_genuine_token_names_its_client(place):
    assert await place.client(place.provider.sign(keycloak("c1"))) == "c1"


async def test_keys_are_fetched_once_for_many_tokens(place):
    tokens = [place.provider.sign(keycloak("c1")) for _ in range(20)]
    assert set(await asyncio.gather(*map(place.client, tokens))) == {"c1"}
    assert place.looks == 1


async def test_a_new_key_is_fetched_when_a_token_names_it(place):
    await place.client(place.provider.sign(keycloak("c1")))
    place.provider.add()
    place.now_s += 30
    assert await place.client(place.provider.sign(keycloak("c1"))) == "c1"
    assert place.looks == 2


async def test_a_flood_of_unknown_keys_causes_one_look_in_a_while(place):
    stranger = openid.Provider()
    for _ in range(4):
        tokens = [stranger.sign(keycloak("c1"), key=ECKey.generate_key("P-256"), kid=f"k{n}") for n in range(20)]
        await asyncio.gather(*map(place.refused, tokens))
        place.now_s += 15
    assert place.looks == 2


async def test_an_unknown_key_within_the_while_is_refused_without_a_look(place):
    await place.client(place.provider.sign(keycloak("c1")))
    place.provider.add()
    place.now_s += 29
    await place.refused(place.provider.sign(keycloak("c1")))
    assert place.looks == 1


@pytest.mark.parametrize("answer", [None, b"", b'{"keys": []}', b"<html>"])
async def test_known_keys_outlive_a_provider_that_is_down_or_talks_nonsense(place, answer):
    token = place.provider.sign(keycloak("c1"))
    await place.client(token)
    place.down = answer is None
    place.provider.jwks = lambda: answer
    place.now_s += 10_000
    await place.refused(place.provider.sign(keycloak("c1"), kid=place.provider.add()))
    assert place.looks == 2
    assert await place.client(token) == "c1"
    assert place.forgotten == 0


async def test_a_provider_that_comes_back_is_heard(place):
    place.down = True
    token = place.provider.sign(keycloak("c1"))
    await place.refused(token)
    place.down, place.now_s = False, place.now_s + 30
    assert await place.client(token) == "c1"


async def test_a_key_that_is_withdrawn_opens_nothing_and_is_told(place):
    old = place.provider.sign(keycloak("c1"))
    await place.client(old)
    del place.provider.keys[place.provider.newest]
    place.provider.add()
    place.now_s += 30
    await place.client(place.provider.sign(keycloak("c1")))
    assert place.forgotten == 1
    await place.refused(old)


async def test_a_token_without_a_key_id_is_verified_by_the_only_key_of_its_kind(place):
    assert await place.client(place.provider.sign(keycloak("c1"), kid=None)) == "c1"


@pytest.mark.parametrize("kind", ["at+jwt", "JWT", "application/at+jwt", None])
async def test_access_tokens_may_say_that_they_are_some(place, kind):
    assert await place.client(place.provider.sign(keycloak("c1"), typ=kind)) == "c1"


@pytest.mark.parametrize("header", [{"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"typ": "secevent+jwt"}], ids=str)
async def test_tokens_of_other_kinds_are_refused(place, header):
    await place.refused(place.provider.sign(keycloak("c1"), **header))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
async def test_edwards_curve_signatures_are_known_by_both_names(place, algorithm):
    place.provider.keys = {"ed": OKPKey.generate_key("Ed25519")}
    assert await place.client(place.provider.sign(keycloak("c1"), kid="ed", alg=algorithm)) == "c1"


async def test_an_algorithm_that_is_not_allowed_is_refused_though_the_key_fits():
    place = Place(algorithms=("RS256",))
    await place.refused(place.provider.sign(keycloak("c1")))


async def test_the_key_of_another_kind_verifies_nothing(place):
    """A token may not choose how its key is used: HS256 with the public key for a secret is the classic."""
    public = json.dumps(place.provider.keys[place.provider.newest].as_dict(private=False))
    secret = OctKey.import_key(public)
    await place.refused(place.provider.sign(keycloak("c1"), key=secret, alg="HS256"))


async def test_an_issuer_signs_for_nobody_but_itself(place):
    await place.refused(place.provider.sign(keycloak("c1", iss="https://other.example.org")))


async def test_one_issuers_key_does_not_sign_for_another():
    one, other = openid.Provider(), openid.Provider()
    sets = {"https://one.example/": one, "https://other.example/": other}
    trusted = [Issuer(issuer=url, jwks_url=url) for url in sets]

    async def fetch(url):
        return sets[url].jwks()

    issuers = Issuers(trusted, fetch, time.monotonic)
    token = one.sign(keycloak("c1", iss="https://other.example/"))
    with pytest.raises(Unauthenticated):
        await issuers.verify(token)


async def test_a_changed_token_is_refused(place):
    header, claims, signature = place.provider.sign(keycloak("c1")).split(".")
    other = place.provider.sign(keycloak("c2")).split(".")[1]
    for token in (f"{header}.{other}.{signature}", f"{header}.{claims}.{signature[:-8]}", f"{header}.{claims}."):
        await place.refused(token)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "..", "é.ü.ß", "\ud800", "x" * 9000, "." * 9000], ids=repr)
async def test_garbage_is_refused_without_a_look(place, token):
    await place.refused(token)
    assert place.looks == 0
