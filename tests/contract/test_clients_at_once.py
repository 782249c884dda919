"""Clients that several processes change at once: what one of them decided, none of the others undoes unseen."""

import asyncio

import pytest
from stored import AT

from vtn.auth.clients import Registry
from vtn.errors import Conflict, NotFound
from vtn.storage.ports import Role


@pytest.fixture
async def registries(opened):
    return [Registry(await opened()) for _ in range(2)]


async def test_a_secret_that_is_changed_while_the_client_is_revoked_lets_nobody_in_again(registries):
    one, other = registries
    for n in range(12):
        name = f"client {n}"
        await one.add(name, Role.VEN, (), at=AT)
        await other.current()
        outcomes = await asyncio.gather(other.rotate(name), one.revoke(name), return_exceptions=True)
        await one.current()
        assert one.get(name).revoked
        assert isinstance(outcomes[0], str | Conflict)
        assert outcomes[1] is None


async def test_a_name_is_registered_once_however_many_try(registries):
    tries = (registries[n % 2].add("name", Role.VEN, (), at=AT) for n in range(6))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["Conflict"] * 5 + ["str"]


async def test_a_revoked_client_is_added_anew_in_its_role_and_its_old_tokens_stay_dead(registries):
    one, _ = registries
    await one.add_external("partner", Role.VEN, (), at=AT)
    assert one.get("partner").valid_from_s == 0.0
    await one.revoke("partner")
    with pytest.raises(Conflict, match="was revoked"):
        await one.rotate("partner")
    with pytest.raises(Conflict, match="--role VEN"):
        await one.add("partner", Role.BL, (), at=AT)
    await one.add_external("partner", Role.VEN, (), at=AT)
    assert one.standing("partner").valid_from_s > 1e9
    with pytest.raises(NotFound):
        await one.rotate("nobody")
