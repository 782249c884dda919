"""`/auth/server` and `/auth/token`: the client credentials grant of RFC 6749, form encoded only (AUTH-01..17).

Error bodies satisfy both the problem schema and RFC 6749 (AUTH-14, TR-48).
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from vtn.auth.clients import secret_matches
from vtn.endpoints.door import AiohttpHandler, Hall, json_answer
from vtn.endpoints.problems import problem, refusal
from vtn.errors import VtnError
from vtn.rules.scopes import grantable
from vtn.wire import document

FORM = "application/x-www-form-urlencoded"
LONGEST_FIELD = 4096
FIELDS = ("grant_type", "client_id", "client_secret", "scope")
CONCURRENT_CHECKS = 2


class OAuthError(Exception):
    """A refused token request, in RFC 6749's words."""

    def __init__(self, error: str, description: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


def auth_server(token_url: str) -> AiohttpHandler:
    """Where tokens come from."""
    body = document.render({"tokenURL": token_url})

    async def handle(_request: web.Request) -> web.StreamResponse:
        return json_answer(body)

    return handle


def auth_token(hall: Hall) -> AiohttpHandler:
    """Tokens for client credentials; at most two slow secret checks run at a time, so others are still served."""
    checks = asyncio.Semaphore(CONCURRENT_CHECKS)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _grant(hall, await _credentials(request), checks)
        except OAuthError as refused:
            return _refused(refused, hall.problem_media_type)
        except VtnError as error:
            return refusal(error, media_type=hall.problem_media_type)

    return handle


async def _grant(hall: Hall, form: Mapping[str, str], checks: asyncio.Semaphore) -> web.Response:
    await hall.registry.current()
    client = hall.registry.standing(form["client_id"])
    async with checks:
        matches = await asyncio.to_thread(secret_matches, form["client_secret"], client)
    if client is None or not matches:
        raise OAuthError("invalid_client", "unknown client or wrong secret", HTTPStatus.UNAUTHORIZED)
    granted, refused = grantable(form.get("scope", "").split(), client.scopes)
    if refused:
        raise OAuthError("invalid_scope", f"this client may not have the scope {refused[0][:128]!r}")
    scopes = granted or client.scopes
    token, lifetime_s = hall.desk.issue(client, scopes)
    answer: dict[str, Any] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime_s,
        "scope": " ".join(scopes),
    }
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(body=document.render(answer), headers=headers)


async def _credentials(request: web.Request) -> dict[str, str]:
    if request.content_type != FORM:
        raise OAuthError("invalid_request", f"header.Content-Type: must be {FORM}")
    try:
        form = await request.post()
    except (web.HTTPRequestEntityTooLarge, ValueError, LookupError):
        raise OAuthError("invalid_request", "the form is too large or is not a form") from None
    fields: dict[str, str] = {}
    for name in FIELDS:
        values = form.getall(name, [])
        if len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise OAuthError("invalid_request", f"{name}: is repeated")
        if values:
            fields[name] = str(values[0])
    return _complete(fields | _basic(request.headers.get("Authorization")))


def _basic(header: str | None) -> dict[str, str]:
    """Client credentials from HTTP Basic (RFC 6749, 2.3.1), which the client may use instead of form fields."""
    if header is None or not header.startswith("Basic "):
        return {}
    try:
        text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
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


def _refused(refused: OAuthError, media_type: str) -> web.Response:
    extra = {"error": refused.error, "error_description": refused.description}
    return problem(refused.status, refused.description, media_type=media_type, extra=extra)
