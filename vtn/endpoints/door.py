"""The door of every operation: who is asking, may they, and what goes back when something is refused.

Order: 401, 403, then whatever the handler finds (ERR-14). A handler gets a `Caller` and returns an answer; a failure
that nobody foresaw is logged with the id that its problem document carries, and tells the client nothing more.
"""

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from vtn.auth.clients import Registry
from vtn.auth.tokens import Principal, TokenDesk
from vtn.endpoints.answers import JsonAnswer
from vtn.endpoints.paging import QueryRules
from vtn.endpoints.problems import problem, refusal
from vtn.errors import Fault, Rejected, TooLarge, Unauthenticated, VtnError
from vtn.rules.scopes import Operation, require
from vtn.service.core import Core
from vtn.wire import document

log = logging.getLogger("vtn.http")
BEARER = "Bearer "


@dataclasses.dataclass(frozen=True, slots=True)
class Hall:
    """What the endpoints share."""

    core: Core
    desk: TokenDesk
    registry: Registry
    query_rules: QueryRules
    problem_media_type: str = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """One authorised request."""

    request: web.Request
    principal: Principal
    hall: Hall

    @property
    def core(self) -> Core:
        """The use cases' parts."""
        return self.hall.core


Handler = Callable[[Caller], Awaitable[web.StreamResponse]]
AiohttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(hall: Hall, operation: Operation, handler: Handler) -> AiohttpHandler:
    """The handler of an operation, behind authentication, authorisation and the catching of failures."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            principal = await authenticate(hall, request)
            require(operation, is_bl=principal.is_bl, scopes=principal.scopes)
            core = hall.core
            if core.model.seq != core.store.shared_head():
                await core.model.current(core.store)
            return await handler(Caller(request, principal, hall))
        except VtnError as error:
            return refusal(error, media_type=hall.problem_media_type)

    return caught(hall, handle)


def caught(hall: Hall, handler: AiohttpHandler) -> AiohttpHandler:
    """The handler, with unforeseen failures turned into a 500 that says nothing but its own id."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception:
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", media_type=hall.problem_media_type)
            log.exception("failed on %s %s: %s", request.method, request.path, answer.text)
            return answer

    return handle


async def authenticate(hall: Hall, request: web.Request) -> Principal:
    """The client behind the request's bearer token, as the registry knows it at this moment."""
    header = request.headers.get("Authorization", "")
    if not header.startswith(BEARER):
        raise Unauthenticated("an access token is needed: Authorization: Bearer <token>")
    if hall.registry.generation != hall.core.store.client_generation():
        await hall.registry.current()
    return hall.desk.check(header.removeprefix(BEARER).strip())


async def read_json(request: web.Request) -> Any:
    """The JSON body of a write; Rejected when it is no JSON, TooLarge beyond the configured bound."""
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise Rejected([Fault("header.Content-Type", "must be application/json")])
    try:
        return document.parse(await read_body(request))
    except ValueError as error:
        raise Rejected([Fault("$", f"is not JSON: {error}")]) from None


async def read_body(request: web.Request) -> bytes:
    """The body of a request, within the configured bound."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is larger than {request.client_max_size} bytes") from None


def json_answer(body: bytes | None, status: HTTPStatus = HTTPStatus.OK, etag: str | None = None) -> web.StreamResponse:
    """JSON bytes as an answer; None with the status 304."""
    return JsonAnswer(body, status, etag)
