"""An issuer's keys: what is usable in a JWK set, and which key a token may name."""

import json

import openid
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey

from vtn.auth.keyset import NEEDS, choose, read_keys
from vtn.config import Issuer

RSA_KEY = openid.rsa()
KEYS = {
    "rsa": RSA_KEY,
    "p256": ECKey.generate_key("P-256"),
    "p384": ECKey.generate_key("P-384"),
    "ed": OKPKey.generate_key("Ed25519"),
}


def entry(name, /, **change):
    return {**KEYS[name].as_dict(private=False), "kid": name, **change}  # type: ignore[attr-defined]


def read(*entries):
    return read_keys(json.dumps({"keys": list(entries)}).encode())


ALL = read(*(entry(kid) for kid in KEYS))


@pytest.mark.parametrize(
    ("algorithm", "kid"),
    [
        *((name, "rsa") for name in ("RS256", "RS384", "RS512", "PS256")),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("Ed25519", "ed"),
        ("EdDSA", "ed"),
    ],
)
def test_an_algorithm_is_verified_by_a_key_of_its_kind_and_by_no_other(algorithm, kid):
    assert {name for name in KEYS if choose(ALL, name, algorithm)} == {kid}


def test_without_a_key_id_the_only_key_of_the_kind_is_meant():
    chosen = choose(ALL, None, "ES256")
    assert chosen
    assert chosen.kid == "p256"


def test_without_a_key_id_several_keys_of_the_kind_are_no_choice():
    other = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "another"}
    assert choose(read(entry("p256"), other), None, "ES256") is None


def test_an_unknown_key_id_is_nobodys():
    assert choose(ALL, "unknown", "RS256") is None


def test_a_key_for_one_algorithm_is_for_no_other():
    keys = read(entry("rsa", alg="RS256"), entry("ed", alg="EdDSA"))
    assert choose(keys, "rsa", "RS256")
    assert choose(keys, "rsa", "PS256") is None
    assert choose(keys, "ed", "Ed25519")


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": 3},
        {"key_ops": ["encrypt"]},
        {"key_ops": 5},
        {"kty": "unknown"},
        {"kty": ["RSA"]},
        {"kid": 5},
        {"n": "AQAB"},
        {"n": ""},
        {"n": None},
        {"e": "!"},
    ],
    ids=str,
)
def test_an_entry_that_is_no_signing_key_is_left_out_alone(change):
    keys = read(entry("rsa", **change), entry("p256"))
    assert [key.kid for key in keys] == ["p256"]


def test_shared_secrets_are_never_keys():
    secret = OctKey.generate_key(256).as_dict(private=True)
    assert [key.kid for key in read({**secret, "kid": "shared"}, entry("p256"))] == ["p256"]


def test_a_short_rsa_key_is_left_out():
    short = RSA_KEY.as_dict(private=False)["n"][:171]
    assert [key.kid for key in read(entry("rsa", n=short), entry("p256"))] == ["p256"]


def test_a_private_half_is_not_taken():
    whole = {**KEYS["p256"].as_dict(private=True), "kid": "p256"}  # type: ignore[attr-defined]
    (key,) = read(whole)
    assert not key.key.is_private


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [1, null]}', b"[" * 5000, b"\xff", b"<p>"],
    ids=lambda content: content[:20],
)
def test_what_is_no_key_set_is_said_to_be_none(content):
    with pytest.raises(ValueError, match=r"\w"):
        read_keys(content)


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
FIELDS = ("kty", "use", "kid", "alg", "key_ops", "n", "e", "crv", "x", "y", "d")


@given(st.sampled_from(sorted(KEYS)), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_no_entry_however_odd_spoils_the_others(kid, change):
    keys = read(entry(kid, **change), entry("p256", kid="good"))
    assert "good" in [key.kid for key in keys]


def test_every_allowed_algorithm_has_a_kind_of_key():
    annotation = Issuer.model_fields["algorithms"].annotation
    assert set(annotation.__args__[0].__args__) == set(NEEDS)
