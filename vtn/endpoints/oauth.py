"""`/auth/server` and `/auth/token`: the client credentials grant of RFC 6749, form encoded only (AUTH-01..17).

Error bodies satisfy both the problem schema and RFC 6749 (AUTH-14, TR-48). A secret is slow to check on purpose, so
what is asked too often or too much at once is answered 429 before its secret is looked at (SEC-07).
"""

import asyncio
import base64
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from aiohttp import web

from vtn.auth.clients import secret_matches
from vtn.auth.limits import TokenLimits, address_name
from vtn.endpoints.cache_headers import DOCUMENT
from vtn.endpoints.guard import AiohttpHandler, HttpContext, credentials, read_body
from vtn.endpoints.json_response import JsonAnswer
from vtn.endpoints.problems import problem, refusal
from vtn.errors import Rejected, TooLarge, VtnError
from vtn.listening.http import proven
from vtn.rules.scopes import askable, grantable
from vtn.storage.ports import ClientRecord
from vtn.wire import document

FORM = "application/x-www-form-urlencoded"
LONGEST_FIELD = 4096
LONGEST_FORM = 65_536
MOST_FIELDS = 32
BASIC = 'Basic realm="access tokens", charset="UTF-8"'
FIELDS = ("grant_type", "client_id", "client_secret", "scope")
CONCURRENT_CHECKS = 2
LONGEST_QUEUE = 50


class OAuthError(Exception):
    """A refused token request, in RFC 6749's words; `wait_s` says when to come again."""

    def __init__(
        self,
        error: str,
        description: str,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        *,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.wait_s = wait_s


def auth_server(token_url: str) -> AiohttpHandler:
    """Where tokens come from."""
    body = document.render({"tokenURL": token_url})

    async def handle(_request: web.Request) -> web.StreamResponse:
        answer = JsonAnswer(body)
        answer.shared = DOCUMENT
        return answer

    return handle


def auth_token(context: HttpContext) -> AiohttpHandler:
    """Tokens for client credentials; make one handler a server, for its limits are its own."""
    endpoint = TokenEndpoint(context) if context.auth.own_tokens else None

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await (endpoint.serve(request) if endpoint else _elsewhere(context))
        except OAuthError as refused:
            return _refused(refused, context.problem_media_type, _challenge(refused, request))
        except VtnError as error:
            return refusal(error, media_type=context.problem_media_type)

    return handle


async def _elsewhere(context: HttpContext) -> web.Response:
    detail = f"this VTN issues no tokens; {context.auth.token_url} does"
    raise OAuthError("unsupported_grant_type", detail, HTTPStatus.NOT_IMPLEMENTED)


class SecretChecks:
    """Slow checks of secrets: two run at a time, so others are still served, and few may wait."""

    def __init__(self) -> None:
        self._running = asyncio.Semaphore(CONCURRENT_CHECKS)
        self._queue = 0

    async def matches(self, secret: str, client: ClientRecord | None) -> bool:
        """Whether the secret is this client's; OAuthError when too many wait."""
        if self._queue >= LONGEST_QUEUE:
            _in_time(1.0)
        self._queue += 1
        try:
            async with self._running:
                return await asyncio.to_thread(secret_matches, secret, client)
        finally:
            self._queue -= 1


class TokenEndpoint:
    """Where tokens are given out. Clients at the address that they come from queue apart from whoever else comes."""

    def __init__(self, context: HttpContext) -> None:
        self._context = context
        self._limits = TokenLimits(context.auth)
        self._of_clients, self._of_strangers = SecretChecks(), SecretChecks()

    async def serve(self, request: web.Request) -> web.Response:
        """A token, or an OAuthError that says why not."""
        address = address_name(request.remote)
        _in_time(self._limits.address_wait_s(address, time.monotonic()))
        form = await _credentials(request)
        _in_time(self._limits.client_wait_s(form["client_id"], address, time.monotonic()))
        await self._context.registry.current()
        client = self._context.registry.standing(form["client_id"])
        known = self._limits.at_home(form["client_id"], address)
        checks = self._of_clients if known else self._of_strangers
        if not await checks.matches(form["client_secret"], client) or client is None:
            raise OAuthError("invalid_client", "unknown client or wrong secret", HTTPStatus.UNAUTHORIZED)
        self._limits.proved(client.client_id, address)
        proven(request)
        return _granted(self._context, client, form)


def _in_time(wait_s: float) -> None:
    """Pass, or refuse who has to wait."""
    if wait_s > 0:
        detail = f"too many token requests; try again in {math.ceil(wait_s)} s"
        raise OAuthError("temporarily_unavailable", detail, HTTPStatus.TOO_MANY_REQUESTS, wait_s=wait_s)


def _granted(context: HttpContext, client: ClientRecord, form: Mapping[str, str]) -> web.Response:
    requested = form.get("scope", "").split()
    granted, refused = grantable(requested, askable(client.scopes))
    if refused and not client.fixed_scopes:
        raise OAuthError("invalid_scope", f"this client may not have the scope {refused[0][:128]!r}")
    scopes = client.scopes if client.fixed_scopes else granted or client.scopes
    token, lifetime_s = context.tokens.issue(client, scopes)
    answer: dict[str, Any] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime_s,
        # In the client's own spelling: OAuth libraries take another for a changed grant, and refuse it.
        "scope": " ".join(dict.fromkeys(requested) or scopes),
    }
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(body=document.render(answer), headers=headers)


async def _credentials(request: web.Request) -> dict[str, str]:
    if request.content_type != FORM:
        raise OAuthError("invalid_request", f"header.Content-Type: must be {FORM}")
    try:
        form = _form(await read_body(request))
    except (TooLarge, Rejected, ValueError):
        raise OAuthError("invalid_request", "the form is too large or is not a form") from None
    fields: dict[str, str] = {}
    for name in FIELDS:
        values = form.get(name, [])
        if len(values) > 1:
            raise OAuthError("invalid_request", f"{name}: is repeated")
        if values:
            fields[name] = values[0]
    return _complete(fields | _basic(request.headers.get("Authorization")))


def _form(body: bytes) -> dict[str, list[str]]:
    if len(body) > LONGEST_FORM:
        raise ValueError
    return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")


def _basic(header: str | None) -> dict[str, str]:
    """Client credentials from HTTP Basic (RFC 6749, 2.3.1), which the client may use instead of form fields."""
    pair = None if header is None else credentials(header, "basic")
    if pair is None:
        return {}
    try:
        text = base64.b64decode(pair, validate=True).decode()
    except ValueError:
        raise OAuthError("invalid_client", "header.Authorization: is not HTTP Basic", HTTPStatus.UNAUTHORIZED) from None
    client_id, _, secret = text.partition(":")
    return {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}


def _complete(fields: dict[str, str]) -> dict[str, str]:
    missing = [name for name in FIELDS[:3] if not fields.get(name)]
    if missing:
        raise OAuthError("invalid_request", f"{', '.join(missing)}: required")
    too_long = [name for name, value in fields.items() if len(value) > LONGEST_FIELD]
    if too_long:
        raise OAuthError("invalid_request", f"{', '.join(too_long)}: longer than {LONGEST_FIELD} characters")
    if fields["grant_type"] != "client_credentials":
        raise OAuthError("unsupported_grant_type", "grant_type: must be client_credentials")
    return fields


def _challenge(refused: OAuthError, request: web.Request) -> str | None:
    """The scheme that the client used, if its credentials came in the header; none for those in the form (5.2)."""
    in_header = credentials(request.headers.get("Authorization", ""), "basic") is not None
    return BASIC if in_header and refused.status is HTTPStatus.UNAUTHORIZED else None


def _refused(refused: OAuthError, media_type: str, challenge: str | None) -> web.Response:
    extra = {"error": refused.error, "error_description": refused.description}
    answer = problem(refused.status, refused.description, media_type=media_type, extra=extra, challenge=challenge)
    if refused.wait_s is not None:
        answer.headers["Retry-After"] = str(math.ceil(refused.wait_s))
    return answer
