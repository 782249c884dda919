"""Tokens: short-lived, checked once, dead the moment their client is."""

import dataclasses
import time

import pytest
from frozen_wall import wall_at

from vtn.auth.tokens import TokenService, load_key
from vtn.errors import Unauthenticated
from vtn.storage.ports import ClientRecord, Role


@pytest.fixture
def issuing(tmp_path):
    return Issuing(tmp_path)


class Issuing:
    def __init__(self, folder) -> None:
        self.client = ClientRecord("c1", Role.VEN, ("read_targets",), "hash", "2026-01-01T00:00:00Z", valid_from_s=0.0)
        self.generation = 1
        key = load_key(folder / "key.pem")
        self.tokens = TokenService(key, 60, lambda name: self.client if name == "c1" else None, lambda: self.generation)

    def change_client(self, **fields):
        self.client = dataclasses.replace(self.client, **fields)
        self.generation += 1


def test_a_token_names_its_client_role_and_scopes(issuing):
    token, lifetime_s = issuing.tokens.issue(issuing.client, ("read_targets",))
    principal = issuing.tokens.check(token)
    assert (principal.client_id, principal.is_bl, principal.scopes) == ("c1", False, {"read_targets"})
    assert lifetime_s == 60


@pytest.mark.parametrize("broken", ["", "x", "a.b.c", "." * 5000])
def test_a_token_that_is_none_is_refused(issuing, broken):
    with pytest.raises(Unauthenticated):
        issuing.tokens.check(broken)


def test_a_token_of_another_issuer_is_refused(issuing, tmp_path):
    (tmp_path / "other").mkdir()
    foreign, _ = Issuing(tmp_path / "other").tokens.issue(issuing.client, ())
    with pytest.raises(Unauthenticated):
        issuing.tokens.check(foreign)


def test_a_token_dies_at_its_time_also_when_it_is_remembered(issuing):
    with wall_at("2026-11-22T00:00:00Z") as frozen:
        token, _ = issuing.tokens.issue(issuing.client, ())
        issuing.tokens.check(token)
        frozen.tick(61)
        with pytest.raises(Unauthenticated):
            issuing.tokens.check(token)


@pytest.mark.parametrize("change", [{"revoked": True}, {"valid_from_s": 1e12}])
def test_a_remembered_token_dies_with_its_client(issuing, change):
    token, _ = issuing.tokens.issue(issuing.client, ())
    issuing.tokens.check(token)
    issuing.change_client(**change)
    with pytest.raises(Unauthenticated):
        issuing.tokens.check(token)


def test_the_signing_key_is_readable_by_its_owner_only(tmp_path):
    load_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


def test_a_token_for_a_secret_that_was_rotated_away_while_it_was_checked_opens_nothing(issuing):
    before = issuing.client
    with wall_at("2026-11-22T00:00:00Z") as frozen:
        issuing.change_client(valid_from_s=time.time())
        frozen.tick(1)
        token, _ = issuing.tokens.issue(before, ("read_targets",))
        with pytest.raises(Unauthenticated):
            issuing.tokens.check(token)
