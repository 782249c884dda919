"""External issuers' tokens: cut to the registration, remembered, and dead when client or key is gone."""

import time

import pytest
from frozen_wall import wall_at

from vtn.auth.claims import Claimed
from vtn.auth.clients import EXTERNAL
from vtn.auth.tokens import TokenService, load_key
from vtn.errors import Unauthenticated
from vtn.storage.ports import ClientRecord, Role

ISSUER = "https://login.example.org"
ALL_SCOPES = frozenset({"read_targets", "write_events", "write_vens"})


class Outside:
    """Verifies tokens of the form CLIENT/ANYTHING, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.issued_s = time.time()

    async def verify(self, token):
        self.asked += 1
        client_id, slash, _ = token.partition("/")
        if not slash:
            raise Unauthenticated("not of ours")
        return Claimed(ISSUER, client_id, ALL_SCOPES, self.issued_s, self.issued_s + 60)


class Office:
    def __init__(self, folder) -> None:
        self.outside = Outside()
        self.generation = 1
        self.clients = {}
        self.tokens = self.make(folder)
        self.put("c1", EXTERNAL)

    def make(self, folder, **more):
        key = load_key(folder / "key.pem")
        return TokenService(key, 60, self.clients.get, lambda: self.generation, outside=self.outside, **more)

    def put(self, name, secret_hash, **more):
        fields = {"valid_from_s": 0.0, **more}
        self.clients[name] = ClientRecord(
            name, Role.VEN, ("read_targets", "write_vens"), secret_hash, "2026-01-01T00:00:00Z", **fields
        )
        self.generation += 1


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path)


async def test_a_client_holds_what_both_its_token_and_its_registration_give(office):
    principal = await office.tokens.admit("c1/a")
    assert (principal.client_id, principal.is_bl, principal.scopes) == ("c1", False, {"read_targets", "write_vens"})


async def test_a_token_is_verified_once_and_then_known_without_waiting(office):
    first = await office.tokens.admit("c1/a")
    assert office.tokens.recall("c1/a") is office.tokens.check("c1/a") is first
    await office.tokens.admit("c1/a")
    assert office.outside.asked == 1


async def test_an_unknown_token_is_not_recalled(office):
    assert office.tokens.recall("c1/a") is None
    with pytest.raises(Unauthenticated):
        office.tokens.check("c1/a")


@pytest.mark.parametrize("proof", ["$argon2id$hash", EXTERNAL + "https://other.example.org", "", ISSUER])
async def test_tokens_speak_only_for_clients_registered_for_their_issuer(office, proof):
    office.put("c1", proof)
    with pytest.raises(Unauthenticated):
        await office.tokens.admit("c1/a")


@pytest.mark.parametrize("proof", [EXTERNAL, EXTERNAL + ISSUER])
async def test_a_client_may_be_registered_for_one_issuer_or_for_any(office, proof):
    office.put("c1", proof)
    assert (await office.tokens.admit("c1/a")).client_id == "c1"


@pytest.mark.parametrize("change", [{"revoked": True}, {"valid_from_s": 1e12}], ids=str)
async def test_a_remembered_token_dies_with_its_client(office, change):
    await office.tokens.admit("c1/a")
    office.put("c1", EXTERNAL, **change)
    with pytest.raises(Unauthenticated):
        await office.tokens.admit("c1/a")


async def test_a_remembered_token_dies_at_its_time(office):
    with wall_at("2026-11-22T00:00:00Z") as frozen:
        office.outside.issued_s = time.time()
        await office.tokens.admit("c1/a")
        frozen.tick(61)
        assert office.tokens.recall("c1/a") is None


async def test_a_withdrawn_key_has_every_token_checked_again(office):
    await office.tokens.admit("c1/a")
    office.tokens.forget()
    await office.tokens.admit("c1/a")
    assert office.outside.asked == 2


async def test_refused_tokens_are_not_remembered(office):
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await office.tokens.admit("garbage")
    assert office.outside.asked == 2


async def test_our_own_tokens_need_nobody_outside(office):
    office.put("own", "$argon2id$hash")
    token, _ = office.tokens.issue(office.clients["own"], ("read_targets",))
    assert (await office.tokens.admit(token)).client_id == "own"
    assert office.outside.asked == 0


async def test_our_own_tokens_can_be_turned_off(office, tmp_path):
    office.put("own", "$argon2id$hash")
    token, _ = office.tokens.issue(office.clients["own"], ("read_targets",))
    tokens = office.make(tmp_path, own_tokens=False)
    with pytest.raises(Unauthenticated):
        await tokens.admit(token)
    with pytest.raises(Unauthenticated):
        tokens.check(token)
