"""What an external token's claims mean: whose it is, what it opens, and whether it is for us now."""

import openid
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openid import cognito, entra_v1, entra_v2, keycloak

from vtn.auth.claims import find, read
from vtn.config import Issuer
from vtn.errors import Unauthenticated
from vtn.rules.scopes import STANDARD_SCOPES

NOW_S = 1_800_000_000
JWKS = "https://login.example.org/certs"
TIMES = {"iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 300}
TRUSTED = {
    keycloak: Issuer(
        issuer=openid.KEYCLOAK, jwks_url=JWKS, audience="evtn", scope_claims=("scope", "resource_access.evtn.roles")
    ),
    entra_v1: Issuer(issuer=openid.ENTRA_V1, jwks_url=JWKS, audience=openid.API),
    entra_v2: Issuer(issuer=openid.ENTRA_V2, jwks_url=JWKS, audience="9a8b7c6d-api"),
    cognito: Issuer(issuer=openid.COGNITO, jwks_url=JWKS, scope_prefix=openid.RESOURCE_SERVER),
}
EVERY_PROVIDER = pytest.mark.parametrize("shape", TRUSTED, ids=lambda shape: shape.__name__)


def said(shape, *scopes, **change):
    claims = {name: value for name, value in {**shape("c1", *scopes), **TIMES, **change}.items() if value is not None}
    return read(claims, TRUSTED[shape], NOW_S)


@EVERY_PROVIDER
def test_every_provider_says_who_and_what_in_its_own_way(shape):
    claimed = said(shape, "read_targets", "write_reports", "openid")
    assert (claimed.client_id, claimed.scopes) == ("c1", {"read_targets", "write_reports"})


@EVERY_PROVIDER
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://elsewhere.example.org"},
        {"iss": None},
        {"iss": ["x"]},
        {"exp": NOW_S - 31},
        {"exp": None},
        {"exp": "2030-01-01"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": -1},
        {"iat": NOW_S + 31},
        {"iat": None},
        {"iat": float("nan")},
        {"nbf": NOW_S + 31},
        {"nbf": "soon"},
        {"token_use": "id"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"cnf": {"jkt": "x"}},
    ],
    ids=str,
)
def test_what_is_not_for_us_now_is_refused(shape, change):
    with pytest.raises(Unauthenticated):
        said(shape, "read_targets", **change)


@EVERY_PROVIDER
@pytest.mark.parametrize("change", [{"exp": NOW_S - 29}, {"iat": NOW_S + 29}, {"nbf": NOW_S + 29}], ids=str)
def test_clocks_may_differ_by_the_leeway(shape, change):
    assert said(shape, **change).client_id == "c1"


def test_a_token_dies_with_the_leeway():
    assert said(keycloak).expires_s == NOW_S + 300 + 30


@pytest.mark.parametrize("audience", ["someone-else", ["a", "b"], None, 5, [["evtn"]], {"evtn": 1}], ids=str)
def test_a_token_for_another_audience_is_refused(audience):
    with pytest.raises(Unauthenticated):
        said(keycloak, aud=audience)


@pytest.mark.parametrize(("audience", "holds"), [("c1", True), ("c2", False)])
def test_cognito_access_tokens_have_their_client_for_an_audience(audience, holds):
    claims = {**cognito("c1"), **TIMES}
    trusted = TRUSTED[cognito].model_copy(update={"audience": audience})
    if holds:
        assert read(claims, trusted, NOW_S).client_id == "c1"
    else:
        with pytest.raises(Unauthenticated, match="audience"):
            read(claims, trusted, NOW_S)


def test_other_tokens_have_no_client_for_an_audience():
    with pytest.raises(Unauthenticated, match="audience"):
        read({**keycloak("evtn"), **TIMES, "aud": "x", "client_id": "evtn"}, TRUSTED[keycloak], NOW_S)


@pytest.mark.parametrize("client", [None, "", 7, ["c1"]], ids=str)
def test_a_token_that_names_no_client_is_refused(client):
    with pytest.raises(Unauthenticated, match="no client"):
        said(keycloak, azp=client, client_id=client, sub=client)


def test_a_scope_without_the_prefix_opens_nothing():
    assert said(cognito, scope="read_targets https://api.example.org/write_vens").scopes == {"write_vens"}


@pytest.mark.parametrize("value", ["read_targets  write_vens_ven", ["read_targets", "write_vens", 3, None]], ids=str)
def test_scopes_come_as_words_or_as_a_list_in_any_known_spelling(value):
    assert said(entra_v2, roles=value).scopes == {"read_targets", "write_vens"}


@pytest.mark.parametrize("value", [None, 5, {"read_targets": True}, [["read_targets"]], True], ids=str)
def test_scopes_in_no_known_form_open_nothing(value):
    assert said(entra_v2, roles=value).scopes == frozenset()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", 1),
        ("b.c", 2),
        ("d.e", 3),
        ("f.g.h", 4),
        ("https://x.example.org/roles", 5),
        ("i.j.k", 6),
        ("b", {"c": 2}),
        ("b.d", None),
        ("a.b", None),
        ("", None),
        (".", None),
        ("f.g", {"h": 4}),
        ("nothing.at.all", None),
    ],
)
def test_a_path_leads_to_its_claim_and_the_longest_name_wins(path, value):
    claims = {
        "a": 1,
        "b": {"c": 2},
        "d.e": 3,
        "d": {"e": "hidden"},
        "f.g": {"h": 4},
        "https://x.example.org/roles": 5,
        "i": {"j.k": 6},
    }
    assert find(claims, path) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("iss", "aud", "exp", "iat", "nbf", "sub", "azp", "scope", "roles", "realm_access", "token_use", "typ")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)))
def test_claims_of_any_shape_are_read_or_refused_and_never_open_what_is_not_standard(change):
    try:
        claimed = read({**keycloak("c1"), **TIMES, **change}, TRUSTED[keycloak], NOW_S)
    except Unauthenticated:
        return
    assert isinstance(claimed.client_id, str)
    assert claimed.scopes <= STANDARD_SCOPES
