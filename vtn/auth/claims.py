"""What the claims of an external token say: whether it is meant for us now, whose it is, and what it opens.

Pure: the signature has been verified before. A claim is named by its path, as `vtn.config.Issuer` explains; providers
differ in where they put things (Keycloak `azp` and `realm_access.roles`, Entra `appid` or `azp` and `roles`, Cognito
`client_id` and prefixed scopes), and the settings say where. Rules: RFC 7519 (4.1), RFC 8725, RFC 9068.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from vtn.config import Issuer
from vtn.errors import Unauthenticated
from vtn.rules.scopes import STANDARD_SCOPES, standard_scope

Claims = Mapping[str, Any]
LATEST_S = 253_402_300_800  # the year 10000: what is later is no date
BOUND_TO_A_KEY = "cnf"


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """What a good token says: the client, standard scopes, and when it was made and dies, in Unix seconds."""

    issuer: str
    client_id: str
    scopes: frozenset[str]
    issued_s: float
    expires_s: float


def read(claims: Claims, trusted: Issuer, now_s: float) -> Claimed:
    """What a verified token of this issuer says, at `now_s` in Unix seconds; Unauthenticated when it is not for us."""
    issued_s, expires_s = _time(claims, "iat"), _time(claims, "exp")
    starts_s = _time(claims, "nbf") if "nbf" in claims else issued_s
    leeway_s = trusted.leeway_s
    requirements = (
        (claims.get("iss") == trusted.issuer, "is of another issuer"),
        (_is_for(claims, trusted.audience), "is for another audience"),
        (_is_for_access(claims), "is no access token"),
        (BOUND_TO_A_KEY not in claims, "is bound to a key, which is not supported"),
        (now_s < expires_s + leeway_s, "has expired"),
        (max(starts_s, issued_s) <= now_s + leeway_s, "is from the future"),
    )
    for holds, words in requirements:
        if not holds:
            raise Unauthenticated(f"the access token {words}")
    return Claimed(
        trusted.issuer, _client_id(claims, trusted), _scopes(claims, trusted), issued_s, expires_s + leeway_s
    )


def find(claims: Any, path: str) -> Any:
    """The value at a path, None when there is none. Where names hold dots themselves, the longest that fits wins."""
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    head, dot, _ = path.rpartition(".")
    while dot:
        if head in claims:
            return find(claims[head], path[len(head) + 1 :])
        head, dot, _ = head.rpartition(".")
    return None


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < LATEST_S:
        raise Unauthenticated(f"the access token has no usable {name}")
    return float(value)


def _is_for(claims: Claims, audience: str | None) -> bool:
    """Whether a token is meant for this audience; Cognito's access tokens have no `aud` but a `client_id`."""
    if audience is None:
        return True
    stated = claims.get("aud")
    if stated is None and claims.get("token_use") == "access":
        stated = claims.get("client_id")
    return audience in (stated if isinstance(stated, list) else [stated])


def _is_for_access(claims: Claims) -> bool:
    """Whether a provider that marks its tokens (Cognito `token_use`, Keycloak `typ`) marks this one as for access."""
    use, kind = claims.get("token_use", "access"), claims.get("typ", "Bearer")
    return (use, kind) == ("access", "Bearer")


def _client_id(claims: Claims, trusted: Issuer) -> str:
    for path in trusted.client_id_claims:
        value = find(claims, path)
        if isinstance(value, str) and value:
            return value
    raise Unauthenticated("the access token names no client")


def _scopes(claims: Claims, trusted: Issuer) -> frozenset[str]:
    prefix = trusted.scope_prefix
    words = (word for path in trusted.scope_claims for word in _words(find(claims, path)))
    named = {standard_scope(word.removeprefix(prefix)) for word in words if word.startswith(prefix)}
    return frozenset(named & STANDARD_SCOPES)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (word for word in value if isinstance(word, str))
