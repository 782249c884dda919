"""Access tokens, our own (Ed25519 JWTs) and those of external issuers: checked once and remembered until they die.

Token times are real time, also when the rest of the VTN runs on simulated time. A token names its client and its
scopes; the role and whether the client still stands come from the registry at every use, so revocation is immediate.
How an external token is verified stands in `issuers`; what it opens is cut here to what its client is registered for.
"""

import dataclasses
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from vtn.auth.claims import Claimed
from vtn.auth.clients import trusts
from vtn.errors import CannotStart, Unauthenticated
from vtn.limits import Recent
from vtn.privatefiles import read_or_make
from vtn.storage.ports import ClientRecord, Role

ISSUER = "evtn"
ALGORITHM = "Ed25519"
REMEMBERED_TOKENS, REMEMBERED_BYTES = 20_000, 16 * 1_048_576
OVERHEAD_BYTES = 100
MAX_TOKEN_CHARS = 4096
REVOKED = "the access token has been revoked"
GIVEN_FOR = "secret_since"
"""Names the secret that a token was given for: one rotated away while it was being checked opens nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """The client behind a request; `expires_at_s` in real Unix seconds."""

    client_id: str
    is_bl: bool
    scopes: frozenset[str]
    expires_at_s: float


class Outside(Protocol):
    """Whoever verifies the tokens that are not ours; `auth.issuers.Issuers` does."""

    async def verify(self, token: str) -> Claimed:
        """What a genuine token says; Unauthenticated otherwise."""
        ...


def principal_of(client: ClientRecord, scopes: frozenset[str], expires_at_s: float) -> Principal:
    """A registered client as somebody who asks."""
    return Principal(client.client_id, client.role is Role.BL, scopes, expires_at_s)


def in_person(client: ClientRecord, until_s: float, now_s: float) -> Principal:
    """A client that has shown a certificate and no token, with all its scopes; Unauthenticated once that has ended."""
    if now_s >= until_s:
        raise Unauthenticated("the client certificate has expired")
    return principal_of(client, frozenset(client.scopes), until_s)


def revoked(client: ClientRecord, issued_s: float) -> bool:
    """Whether a client's token of this age is dead: with its client, or since its client got a new secret."""
    return client.revoked or issued_s < client.valid_from_s


def load_key(path: Path) -> OKPKey:
    """The issuer's signing key; made on first use and readable by this user only."""
    content = read_or_make(path, lambda: OKPKey.generate_key("Ed25519", private=True).as_pem(private=True))
    try:
        return OKPKey.import_key(content)
    except (JoseError, ValueError):
        raise CannotStart(f"{path} does not hold a signing key; remove it and it is made anew") from None


class TokenService:
    """Issues and checks tokens. `registry` gives a client by id as it stands now, None when unknown.

    With `own_tokens` False the VTN's own tokens are refused; `outside` verifies all others, if anybody does.
    """

    def __init__(
        self,
        key: OKPKey,
        lifetime_s: int,
        registry: Callable[[str], ClientRecord | None],
        generation: Callable[[], int],
        *,
        outside: Outside | None = None,
        own_tokens: bool = True,
    ) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._registry = registry
        self._generation = generation
        self._outside = outside
        self._own_tokens = own_tokens
        self._remembered: Recent[str, tuple[int, Principal]] = Recent(REMEMBERED_TOKENS, REMEMBERED_BYTES)

    def remembering(self, most_bytes: int) -> Self:
        """Itself, with room for so many bytes of tokens that were checked."""
        self._remembered = Recent(REMEMBERED_TOKENS, most_bytes)
        return self

    def issue(self, client: ClientRecord, scopes: tuple[str, ...]) -> tuple[str, int]:
        """A token for a client and its lifetime in seconds."""
        now_s = time.time()
        claims = {
            "iss": ISSUER,
            "sub": client.client_id,
            "iat": now_s,
            "exp": int(now_s) + self._lifetime_s,
            "jti": secrets.token_urlsafe(12),
            GIVEN_FOR: client.valid_from_s,
            "scope": " ".join(scopes),
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM]), self._lifetime_s

    def recall(self, token: str) -> Principal | None:
        """The client behind a token that has been checked before and still holds; None when it must be checked."""
        remembered = self._remembered.get(token)
        if remembered and remembered[0] == self._generation() and time.time() < remembered[1].expires_at_s:
            return remembered[1]
        return None

    def check(self, token: str) -> Principal:
        """The client behind a remembered token or one of our own, or Unauthenticated; waits for nothing."""
        return self.recall(token) or self._remember(token, self._verify(token))

    async def admit(self, token: str) -> Principal:
        """The client behind any token, or Unauthenticated; an external issuer's keys may have to be fetched first."""
        if self._outside is None:
            return self.check(token)
        if remembered := self.recall(token):
            return remembered
        try:
            return self.check(token)
        except Unauthenticated:
            claimed = await self._outside.verify(token)
        return self._remember(token, self._admitted(claimed))

    def forget(self) -> None:
        """Have every token checked again at its next use: an issuer has withdrawn a key."""
        self._remembered.clear()

    def _remember(self, token: str, principal: Principal) -> Principal:
        scopes = sum(len(scope) + OVERHEAD_BYTES for scope in principal.scopes)
        weight = len(token) + len(principal.client_id) + scopes + OVERHEAD_BYTES
        self._remembered.keep(token, (self._generation(), principal), weight)
        return principal

    def _admitted(self, claimed: Claimed) -> Principal:
        """An external token's client, with the scopes that both the token and the registration give."""
        client = self._registry(claimed.client_id)
        if client is None or not trusts(client, claimed.issuer):
            raise Unauthenticated("the client of the access token is not registered here for its issuer")
        if revoked(client, claimed.issued_s):
            raise Unauthenticated(REVOKED)
        return principal_of(client, claimed.scopes.intersection(client.scopes), claimed.expires_s)

    def _verify(self, token: str) -> Principal:
        if not self._own_tokens:
            raise Unauthenticated("this VTN issues no access tokens")
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
        if client is None or revoked(client, issued_s):
            raise Unauthenticated(REVOKED)
        if claims.get(GIVEN_FOR, client.valid_from_s) != client.valid_from_s:
            raise Unauthenticated(REVOKED)
        return principal_of(client, frozenset(str(claims.get("scope", "")).split()), float(expires_s))
