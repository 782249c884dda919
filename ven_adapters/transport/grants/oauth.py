"""OAuth 2.0 as conversations: each flow yields what to ask and receives the answer, so no flow opens a socket.

Authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), client credentials (4.4), device code (RFC 8628) and
refresh (6). What runs them, and where a grant is kept, is `transport.grants`. Instants are real time: a token's
lifetime does not hurry with a demonstration's clock.
"""

import base64
import dataclasses
import hashlib
import math
import re
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from ven_adapters.contract import BackendError, ErrorCode

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
USUAL_LIFETIME_S = 3600.0
USUAL_INTERVAL_S = 5.0
USUAL_CODE_S = 900.0
SLOW_DOWN_S = 5.0
LONGEST_INTERVAL_S = 300.0
LONGEST_LIFETIME_S = 10 * 365 * 86_400.0
OK = 200
_WORD = re.compile(r"[a-z_]{1,40}")
SERVER_ERROR = 500


@dataclasses.dataclass(frozen=True, slots=True)
class OAuthRegistration:
    """Our registration at one authorisation server; `more` are form fields that it wants besides (an audience)."""

    token_url: str
    client_id: str
    client_secret: str | None = dataclasses.field(default=None, repr=False)
    authorize_url: str | None = None
    redirect_uri: str | None = None
    device_url: str | None = None
    more: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What an owner (or we ourselves) allowed; `spending` is set while a refresh token is on its way.

    `id_token` is kept because BMW's stream takes it for a password; `subject` is whose account it is, where told.
    """

    access_token: str = dataclasses.field(repr=False)
    expires_at: datetime
    refresh_token: str | None = dataclasses.field(default=None, repr=False)
    id_token: str | None = dataclasses.field(default=None, repr=False)
    scope: str | None = None
    subject: str | None = dataclasses.field(default=None, repr=False)
    spending: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TokenAsk:
    """POST this form, after `wait_s` seconds; `spends` marks a form whose single-use token must not be sent twice."""

    url: str
    form: Mapping[str, str] = dataclasses.field(repr=False)
    wait_s: float = 0.0
    spends: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """What the driver must type, and where."""

    user_code: str
    uri: str


@dataclasses.dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the authorisation server said, and when (UTC)."""

    status: int
    body: bytes = dataclasses.field(repr=False)
    at: datetime = dataclasses.field(default_factory=lambda: datetime.now(UTC))


Flow = Generator[TokenAsk, TokenAnswer, Grant]
DeviceFlow = Generator[TokenAsk | Prompt, TokenAnswer | None, Grant]


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def consent_url(
    client: OAuthRegistration,
    *,
    scope: str,
    state: str,
    verifier: str | None = None,
    more: Mapping[str, str] | None = None,
) -> str:
    """Where to send the driver's browser. `state` and `verifier` are chosen by the caller and kept for the return.

    Without a verifier the address carries no challenge: not every vendor knows PKCE. `more` are a vendor's own fields.
    """
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri or "",
        "scope": scope,
        "state": state,
    }
    query |= {} if verifier is None else {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    return f"{client.authorize_url}?{urlencode(query | dict(more or {}))}"


def redeem_code(client: OAuthRegistration, code: str, verifier: str | None = None) -> Flow:
    """Authorization code to grant."""
    form = {"grant_type": "authorization_code", "code": code}
    form |= {} if verifier is None else {"code_verifier": verifier}
    form |= {"redirect_uri": client.redirect_uri} if client.redirect_uri else {}
    return _grant((yield _ask(client, form)), None)


def client_credentials(client: OAuthRegistration, scope: str | None = None) -> Flow:
    """A grant to ourselves."""
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    return _grant((yield _ask(client, form)), None)


def refresh(client: OAuthRegistration, grant: Grant) -> Flow:
    """A new grant for an old one. A server that rotates refresh tokens answers with the next; others keep the old."""
    if grant.refresh_token is None:
        raise BackendError(ErrorCode.REAUTH_REQUIRED, "refresh_token: there is none; the driver must consent again")
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    answer = yield dataclasses.replace(_ask(client, form), spends=True)
    return _grant(answer, grant)


def device_code(client: OAuthRegistration, *, scope: str, verifier: str) -> DeviceFlow:
    """Ask for a code, show it, and poll until the driver has decided (RFC 8628 section 3.5)."""
    form = {"client_id": client.client_id, "response_type": "device_code", "scope": scope}
    form |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    asked = _heard((yield TokenAsk(client.device_url or "", form)))
    told = _document(asked)
    code, user_code = _text(told, "device_code"), _text(told, "user_code")
    uri = _text(told, "verification_uri_complete") or _text(told, "verification_uri")
    if asked.status != OK or code is None or user_code is None or not _is_page(uri):
        raise _refused(asked, told)
    yield Prompt(user_code, str(uri))
    form = {"grant_type": DEVICE_GRANT, "device_code": code, "code_verifier": verifier}
    wait_s = _seconds(told, "interval", USUAL_INTERVAL_S, LONGEST_INTERVAL_S)
    until = asked.at + timedelta(seconds=_seconds(told, "expires_in", USUAL_CODE_S, LONGEST_LIFETIME_S))
    while True:
        answer = _heard((yield dataclasses.replace(_ask(client, form), wait_s=wait_s)))
        error = _document(answer).get("error")
        if error not in ("authorization_pending", "slow_down"):
            return _grant(answer, None)
        if answer.at >= until:
            raise _expired()
        wait_s += SLOW_DOWN_S if error == "slow_down" else 0.0


def _ask(client: OAuthRegistration, form: Mapping[str, str]) -> TokenAsk:
    ours = {"client_id": client.client_id} | ({"client_secret": client.client_secret} if client.client_secret else {})
    return TokenAsk(client.token_url, {**form, **ours, **client.more})


def _heard(answer: TokenAnswer | None) -> TokenAnswer:
    if answer is None:
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the authorisation server's answer is missing")
    return answer


def _grant(answer: TokenAnswer, old: Grant | None) -> Grant:
    told = _document(answer)
    token = _text(told, "access_token")
    if answer.status != OK or token is None:
        raise _refused(answer, told)
    return Grant(
        token,
        answer.at + timedelta(seconds=_seconds(told, "expires_in", USUAL_LIFETIME_S, LONGEST_LIFETIME_S)),
        _text(told, "refresh_token") or (old.refresh_token if old else None),
        _text(told, "id_token") or (old.id_token if old else None),
        _text(told, "scope") or (old.scope if old else None),
        _text(told, "gcid") or (old.subject if old else None),
    )


def _document(answer: TokenAnswer) -> dict[str, Any]:
    try:
        raw = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return raw if isinstance(raw, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str | None:
    """A text that can stand in a header and on a terminal."""
    value = told.get(name)
    return value if isinstance(value, str) and value and value.isascii() and value.isprintable() else None


def _seconds(told: Mapping[str, Any], name: str, usual: float, most: float) -> float:
    """A span of time, bounded; the usual one for what is no number."""
    try:
        given = float(told.get(name, usual))
    except (TypeError, ValueError):
        return usual
    return min(most, max(0.0, given)) if math.isfinite(given) else usual


def _is_page(uri: str | None) -> bool:
    return uri is not None and uri.startswith(("https://", "http://"))


def _refused(answer: TokenAnswer, told: Mapping[str, Any]) -> BackendError:
    """A grant that is no more is the driver's decision; anything else is our own registration's trouble."""
    if answer.status >= SERVER_ERROR:
        return BackendError(ErrorCode.BACKEND_TRANSIENT, f"the authorisation server answered {answer.status}")
    error = _text(told, "error")
    if error == "expired_token":
        return _expired()
    if error in ("invalid_grant", "access_denied"):
        return BackendError(ErrorCode.CONSENT_REVOKED, f"{error}: the driver must consent again")
    said = f" ({error})" if error is not None and _WORD.fullmatch(error) else ""
    return BackendError(ErrorCode.REAUTH_REQUIRED, f"the authorisation server answered {answer.status}{said}, no token")


def _expired() -> BackendError:
    return BackendError(ErrorCode.REAUTH_REQUIRED, "the code was not confirmed in time; begin again")
