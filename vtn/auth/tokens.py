"""Access tokens: Ed25519 JWTs of the VTN's own issuer, checked once and remembered until they die.

Token times are real time, also when the rest of the VTN runs on simulated time. A token names its client and its
scopes; the role and whether the client still stands come from the registry at every use, so revocation is immediate.
"""

import dataclasses
import math
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from vtn.errors import Unauthenticated
from vtn.storage.ports import Client, Role

ISSUER = "evtn"
ALGORITHM = "Ed25519"
REMEMBERED_TOKENS = 20_000
MAX_TOKEN_CHARS = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """The client behind a request; `expires_at_s` in real Unix seconds."""

    client_id: str
    is_bl: bool
    scopes: frozenset[str]
    expires_at_s: float


def load_key(path: Path) -> OKPKey:
    """The issuer's signing key; made on first use and readable by this user only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        key = OKPKey.generate_key("Ed25519", private=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.as_pem(private=True))
    return OKPKey.import_key(path.read_bytes())


class TokenDesk:
    """Issues and checks tokens. `registry` gives a client by id as it stands now, None when unknown."""

    def __init__(
        self, key: OKPKey, lifetime_s: int, registry: Callable[[str], Client | None], generation: Callable[[], int]
    ) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._registry = registry
        self._generation = generation
        self._remembered: dict[str, tuple[int, Principal]] = {}

    def issue(self, client: Client, scopes: tuple[str, ...]) -> tuple[str, int]:
        """A token for a client and its lifetime in seconds."""
        now_s = time.time()
        claims = {
            "iss": ISSUER,
            "sub": client.client_id,
            "iat": now_s,
            "exp": int(now_s) + self._lifetime_s,
            "jti": secrets.token_urlsafe(12),
            "scope": " ".join(scopes),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM]), self._lifetime_s

    def check(self, token: str) -> Principal:
        """The client behind a token, or Unauthenticated."""
        generation = self._generation()
        remembered = self._remembered.get(token)
        if remembered and remembered[0] == generation and time.time() < remembered[1].expires_at_s:
            return remembered[1]
        principal = self._verify(token)
        if len(self._remembered) >= REMEMBERED_TOKENS:
            self._remembered.clear()
        self._remembered[token] = (generation, principal)
        return principal

    def _verify(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated("the access token is too long")
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": ISSUER},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                leeway=0,
                now=lambda: math.ceil(time.time()),
            ).validate(claims)
        except (JoseError, ValueError, TypeError):
            raise Unauthenticated("the access token is malformed, unknown or expired") from None
        return self._principal(claims)

    def _principal(self, claims: dict[str, object]) -> Principal:
        client_id, issued_s, expires_s = claims["sub"], claims["iat"], claims["exp"]
        if not (isinstance(client_id, str) and isinstance(issued_s, (int, float)) and isinstance(expires_s, int)):
            raise Unauthenticated("the access token is malformed")
        client = self._registry(client_id)
        if client is None or client.revoked or issued_s < client.valid_from_s:
            raise Unauthenticated("the access token has been revoked")
        scopes = frozenset(str(claims.get("scope", "")).split())
        return Principal(client_id, client.role is Role.BL, scopes, float(expires_s))
