"""Registered clients: made by the operator, held in memory, re-read when any process on this host changes them."""

import dataclasses
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vtn.errors import Conflict, NotFound, Unauthenticated
from vtn.rules.scopes import BL_SCOPES, VEN_SCOPES
from vtn.storage.ports import ClientRecord, Role, Store

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_DECOY_HASH = _hasher.hash(secrets.token_urlsafe(32))
EXTERNAL = "external:"  # stands in place of a secret's hash, before the issuer whose tokens the client brings, if one
Certificate = Mapping[str, Any]
NAME_KINDS = frozenset({"DNS", "URI"})


def hash_secret(secret: str) -> str:
    """An Argon2id hash of a client secret."""
    return _hasher.hash(secret)


def secret_matches(secret: str, client: ClientRecord | None) -> bool:
    """Whether the secret is this client's; as slow for an unknown client as for a wrong secret."""
    usable = client is not None and not client.revoked and not external(client)
    try:
        _hasher.verify(client.secret_hash if client and usable else _DECOY_HASH, secret)
    except (VerificationError, InvalidHashError):
        return False
    return usable


def external(client: ClientRecord) -> bool:
    """Whether this client has no secret here but brings tokens of an external issuer."""
    return client.secret_hash.startswith(EXTERNAL)


def tokens_of(client: ClientRecord) -> str:
    """Whose tokens a client brings, in words."""
    if not external(client):
        return "own"
    return client.secret_hash.removeprefix(EXTERNAL) or "any external issuer"


def trusts(client: ClientRecord, issuer: str) -> bool:
    """Whether this issuer's tokens speak for the client: never for one with a secret, and for no other issuer's."""
    return client.secret_hash in {EXTERNAL, EXTERNAL + issuer}


def new_secret() -> str:
    """A client secret with 256 bits of chance."""
    return secrets.token_urlsafe(32)


class Registry:
    """The clients of one top node, as this process knows them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clients: dict[str, ClientRecord] = {}
        self.generation = -1

    async def current(self) -> None:
        """Re-read when another process on this host has changed a client."""
        if self.generation != self._store.client_generation():
            self.generation, clients = await self._store.clients()
            self._clients = {client.client_id: client for client in clients}

    def seen(self) -> int:
        """Which generation of the clients this process holds."""
        return self.generation

    def get(self, client_id: str) -> ClientRecord | None:
        """A client by id, revoked ones too."""
        return self._clients.get(client_id)

    def every(self) -> list[ClientRecord]:
        """All clients, by id."""
        return [self._clients[client_id] for client_id in sorted(self._clients)]

    def standing(self, client_id: str | None) -> ClientRecord | None:
        """A client that may act; None when unknown or revoked."""
        client = self._clients.get(client_id or "")
        return client if client and not client.revoked else None

    async def add(
        self, client_id: str, role: Role, scopes: tuple[str, ...], *, at: str, fixed_scopes: bool = False
    ) -> str:
        """Register a client and return its secret, which is shown once and stored only as a hash."""
        secret, now_s = new_secret(), time.time()
        proof = hash_secret(secret)
        await self._register(
            ClientRecord(client_id, role, scopes, proof, at, valid_from_s=now_s, fixed_scopes=fixed_scopes)
        )
        return secret

    async def add_external(
        self, client_id: str, role: Role, scopes: tuple[str, ...], *, issuer: str = "", at: str
    ) -> None:
        """Register a client that brings tokens of this issuer, or of any configured one; it may hold some already."""
        await self._register(ClientRecord(client_id, role, scopes, EXTERNAL + issuer, at, valid_from_s=0.0))

    async def _register(self, client: ClientRecord) -> None:
        """Store a client. One that was revoked is registered anew, in its role: its objects are still there."""
        defaults = BL_SCOPES if client.role is Role.BL else VEN_SCOPES
        fresh = dataclasses.replace(client, scopes=client.scopes or defaults)

        def registered(held: ClientRecord | None) -> ClientRecord:
            if held is None:
                return fresh
            if not held.revoked:
                raise Conflict(f"a client named {held.client_id!r} exists")
            if held.role is not fresh.role:
                words = (
                    f"a {held.role.value} client named {held.client_id!r} was revoked and its objects are still there"
                )
                raise Conflict(f"{words}: add it with --role {held.role.value}, or choose another name")
            return dataclasses.replace(fresh, valid_from_s=max(fresh.valid_from_s, time.time()))

        await self._revise(fresh.client_id, registered)

    async def rotate(self, client_id: str) -> str | None:
        """Give a client a new secret; the old one and every token issued before are dead at once.

        An external client has no secret to get (None), but its tokens die too. Conflict for a client that was revoked:
        a routine change of secrets lets nobody in who was put out.
        """
        secret = new_secret()
        proof = hash_secret(secret)

        def rotated(held: ClientRecord | None) -> ClientRecord:
            client = standing(held, client_id)
            kept = client.secret_hash if external(client) else proof
            return dataclasses.replace(client, secret_hash=kept, valid_from_s=time.time())

        await self._revise(client_id, rotated)
        return None if external(self._clients[client_id]) else secret

    async def revoke(self, client_id: str) -> None:
        """Stop a client; its tokens are dead at once, its objects stay. Once more changes nothing."""
        await self._revise(client_id, lambda held: dataclasses.replace(known(held, client_id), revoked=True))

    async def _revise(self, client_id: str, revise: Callable[[ClientRecord | None], ClientRecord]) -> None:
        await self._store.revise_client(client_id, revise)
        await self.current()


def known(client: ClientRecord | None, client_id: str) -> ClientRecord:
    """The client; NotFound when nobody registered it."""
    if client is None:
        raise NotFound(f"no client named {client_id!r}; `vtn client list` shows them")
    return client


def standing(client: ClientRecord | None, client_id: str) -> ClientRecord:
    """The client; NotFound when nobody registered it, Conflict when it was revoked."""
    found = known(client, client_id)
    if found.revoked:
        issuer = found.secret_hash.removeprefix(EXTERNAL)
        proof = (f" --issuer {issuer}" if issuer else " --external") if external(found) else ""
        again = f"`vtn client add {client_id} --role {found.role.value}{proof}`"
        raise Conflict(f"the client {client_id!r} was revoked; {again} lets it in again with its objects")
    return found


def names(certificate: Certificate) -> frozenset[str]:
    """The common names and the DNS and URI names of a certificate as `ssl.SSLSocket.getpeercert` gives it."""
    subject = certificate.get("subject", ())
    common = {value for part in subject for kind, value in part if kind == "commonName"}
    return frozenset(common | {value for kind, value in certificate.get("subjectAltName", ()) if kind in NAME_KINDS})


def client_of(certificate: Certificate, clients: Mapping[str, str]) -> str | None:
    """The clientID that a certificate's names are mapped to; None when there is none; Unauthenticated when several."""
    found = {clients[name] for name in names(certificate) if name in clients}
    if len(found) > 1:
        raise Unauthenticated("the client certificate names several clients")
    return next(iter(found), None)


def dies_at_s(certificate: Certificate) -> float:
    """When a certificate ends, in Unix seconds."""
    return float(ssl.cert_time_to_seconds(certificate["notAfter"]))
