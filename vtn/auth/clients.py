"""Registered clients: made by the operator, held in memory, re-read when any process on this host changes them."""

import dataclasses
import secrets
import time

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vtn.errors import Conflict, NotFound
from vtn.rules.scopes import BL_SCOPES, VEN_SCOPES
from vtn.storage.ports import Client, Role, Store

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_DECOY_HASH = _hasher.hash(secrets.token_urlsafe(32))


def hash_secret(secret: str) -> str:
    """An Argon2id hash of a client secret."""
    return _hasher.hash(secret)


def secret_matches(secret: str, client: Client | None) -> bool:
    """Whether the secret is this client's; as slow for an unknown client as for a wrong secret."""
    usable = client is not None and not client.revoked
    try:
        _hasher.verify(client.secret_hash if client and usable else _DECOY_HASH, secret)
    except (VerificationError, InvalidHashError):
        return False
    return usable


def new_secret() -> str:
    """A client secret with 256 bits of chance."""
    return secrets.token_urlsafe(32)


class Registry:
    """The clients of one top node, as this process knows them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clients: dict[str, Client] = {}
        self.generation = -1

    async def current(self) -> None:
        """Re-read when another process on this host has changed a client."""
        if self.generation != self._store.client_generation():
            self.generation, clients = await self._store.clients()
            self._clients = {client.client_id: client for client in clients}

    def seen(self) -> int:
        """Which generation of the clients this process holds."""
        return self.generation

    def get(self, client_id: str) -> Client | None:
        """A client by id, revoked ones too."""
        return self._clients.get(client_id)

    def every(self) -> list[Client]:
        """All clients, by id."""
        return [self._clients[client_id] for client_id in sorted(self._clients)]

    def standing(self, client_id: str | None) -> Client | None:
        """A client that may act; None when unknown or revoked."""
        client = self._clients.get(client_id or "")
        return client if client and not client.revoked else None

    async def add(self, client_id: str, role: Role, scopes: tuple[str, ...], *, at: str) -> str:
        """Register a client and return its secret, which is shown once and stored only as a hash."""
        await self.current()
        if client_id in self._clients:
            raise Conflict(f"a client named {client_id!r} exists")
        secret = new_secret()
        defaults = BL_SCOPES if role is Role.BL else VEN_SCOPES
        client = Client(client_id, role, scopes or defaults, hash_secret(secret), at, valid_from_s=time.time())
        await self._put(client)
        return secret

    async def rotate(self, client_id: str) -> str:
        """Give a client a new secret; the old one and every token issued before are dead at once."""
        client = await self._known(client_id)
        secret = new_secret()
        fresh = dataclasses.replace(client, secret_hash=hash_secret(secret), valid_from_s=time.time(), revoked=False)
        await self._put(fresh)
        return secret

    async def revoke(self, client_id: str) -> None:
        """Stop a client; its tokens are dead at once, its objects stay."""
        await self._put(dataclasses.replace(await self._known(client_id), revoked=True))

    async def _known(self, client_id: str) -> Client:
        await self.current()
        client = self._clients.get(client_id)
        if client is None:
            raise NotFound(f"no client named {client_id!r}; `vtn client list` shows them")
        return client

    async def _put(self, client: Client) -> None:
        await self._store.put_client(client)
        await self.current()
