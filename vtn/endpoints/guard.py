"""The guard of every operation: who is asking, may they, and what is answered when something is refused.

Order: 401, 403, then whatever the handler finds (ERR-14). A handler gets a `Caller` and returns an answer; a failure
that nobody foresaw is logged with the id that its problem document carries, and tells the client nothing more.
Everything that answers goes through `caught`, which gives the request its id, counts it and compresses its answer.
"""

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from vtn.auth.clients import Certificate, Registry, client_of, dies_at_s
from vtn.auth.limits import RefusalLimit
from vtn.auth.tokens import Principal, TokenService, in_person
from vtn.bounds import BodyBounds, CacheBounds
from vtn.config import Auth
from vtn.endpoints import request_id
from vtn.endpoints.cache_headers import PRIVATE_OF_TWO, PUBLIC_OF_TWO, CrossOrigin
from vtn.endpoints.content_coding import plain_body, takes_gzip
from vtn.endpoints.json_response import JsonAnswer
from vtn.endpoints.paging import QueryRules
from vtn.endpoints.problems import problem, refusal
from vtn.endpoints.status.request_counts import Tallies
from vtn.errors import Fault, Rejected, TooLarge, TooOften, TooSlow, Unauthenticated, Unavailable, VtnError
from vtn.listening.http import proven
from vtn.rules.scopes import ApiOperation, is_public_read, require, tells_where_to_listen
from vtn.service.compat30 import Compat30Service
from vtn.service.core import Core

log = logging.getLogger("vtn.http")
NO_PROOF = "an access token is needed: Authorization: Bearer <token>"
NOBODY = Principal("", is_bl=False, scopes=frozenset({"read_targets"}), expires_at_s=float("inf"))
PATIENCE_S = web.AppKey("patience_s", float)
UNCOUNTED = "other"
WRITES = frozenset({"POST", "PUT"})


@dataclasses.dataclass(frozen=True, slots=True)
class HttpContext:
    """What the endpoints share; `face301` serves OpenADR 3.0.1 from the same store.

    `public_topics`: whether the broker lets everyone in, so that whoever may listen may learn where.
    """

    core: Core
    tokens: TokenService
    registry: Registry
    query_rules: QueryRules
    problem_media_type: str = "application/json"
    auth: Auth = dataclasses.field(default_factory=Auth)
    gzip_from_bytes: int = 0
    patience_s: float = 30.0
    tallies: Tallies = dataclasses.field(default_factory=Tallies)
    face301: Compat30Service | None = None
    cross_origin: CrossOrigin = dataclasses.field(default_factory=CrossOrigin)
    public_topics: bool = False
    refusals: RefusalLimit = dataclasses.field(default_factory=lambda: RefusalLimit(BodyBounds().refusals_per_minute))
    answers_bytes: int = CacheBounds().answers_bytes

    def is_public(self, operation: ApiOperation) -> bool:
        """Whether nobody in particular may call it: public data, and where it is told of by a broker for everyone."""
        return self.auth.anonymous_read and (
            is_public_read(operation) or (self.public_topics and tells_where_to_listen(operation))
        )


@dataclasses.dataclass(slots=True)
class Caller:
    """One authorised request; not frozen, because that makes it three times as costly to make.

    `body_bytes` is how long its body was that had to be judged.
    """

    request: web.Request
    principal: Principal
    context: HttpContext
    body_bytes: int = 0

    @property
    def core(self) -> Core:
        """The use cases' parts."""
        return self.context.core


Handler = Callable[[Caller], Awaitable[web.StreamResponse]]
AiohttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(context: HttpContext, operation: ApiOperation, handler: Handler) -> AiohttpHandler:
    """The handler of an operation, behind authentication, authorisation and the catching of failures."""
    public = context.is_public(operation)
    held_to_few_refusals = _held_to_few_refusals(handler) if operation.method in WRITES else handler

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            principal = await authenticate(context, request, operation)
            if principal is not NOBODY:
                proven(request)
            require(operation, is_bl=principal.is_bl, scopes=principal.scopes)
            core = context.core
            if core.model.seq != core.store.shared_head():
                await core.model.current(core.store)
            answer = await held_to_few_refusals(Caller(request, principal, context))
        except VtnError as error:
            return refusal(error, media_type=context.problem_media_type)
        if public and isinstance(answer, JsonAnswer):
            origin = context.cross_origin.lines(request.headers.get("Origin"))
            answer.shared = (PUBLIC_OF_TWO if principal is NOBODY else PRIVATE_OF_TWO) + origin
        return answer

    return caught(context, handle, operation.name)


def _held_to_few_refusals(write: Handler) -> Handler:
    """A write of a client that has not had too many refused; what is refused of it counts, if it is the client's doing.

    A client that must wait is told so before its body is read.
    """

    async def handle(caller: Caller) -> web.StreamResponse:
        refusals, client_id = caller.context.refusals, caller.principal.client_id
        wait_s = refusals.wait_s(client_id, time.monotonic())
        if wait_s > 0:
            raise TooOften(f"too many of your writes were refused; try again in {math.ceil(wait_s)} s", wait_s)
        try:
            return await write(caller)
        except VtnError as error:
            if not isinstance(error, (TooOften, Unavailable)):
                refusals.refused(client_id, time.monotonic(), caller.body_bytes)
            raise

    return handle


def caught(context: HttpContext, handler: AiohttpHandler, name: str = UNCOUNTED) -> AiohttpHandler:
    """The handler, with unforeseen failures turned into a 500 that says nothing but its own id; counted by `name`."""
    note = context.tallies.of(name).note
    gzip_from = context.gzip_from_bytes or float("inf")

    async def handle(request: web.Request) -> web.StreamResponse:
        began_s = time.perf_counter()
        request_id.begin(request.headers)
        answer: web.StreamResponse
        try:
            answer = await handler(request)
        except Exception:
            answer = problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed", media_type=context.problem_media_type
            )
            log.exception("failed on %s %s: %s", request.method, request.path, answer.text)
        else:
            if type(answer) is JsonAnswer and answer.body is not None and len(answer.body) >= gzip_from:
                answer.varies = True
                accepted = request.headers.get("Accept-Encoding")
                if accepted and takes_gzip(accepted):
                    await answer.compress()
        note(answer.status, time.perf_counter() - began_s)
        return answer

    return handle


def credentials(header: str, scheme: str) -> str | None:
    """What follows the scheme in an Authorization header, whatever the scheme's case (RFC 9110, 11.1); None: another.

    `scheme` is given in lower case.
    """
    length = len(scheme)
    if header[:length].lower() != scheme or header[length : length + 1] not in {" ", ""}:
        return None
    return header[length:].strip()


async def authenticate(context: HttpContext, request: web.Request, operation: ApiOperation) -> Principal:
    """Who asks, as the registry knows it at this moment: by bearer token, by certificate, or nobody (AUTH-26)."""
    if context.registry.generation != context.core.store.client_generation():
        await context.registry.current()
    header = request.headers.get("Authorization")
    if header is None:
        return _tokenless(context, request, operation)
    token = credentials(header, "bearer")
    if token is None:
        raise Unauthenticated(NO_PROOF)
    principal = context.tokens.recall(token) or await context.tokens.admit(token)
    if context.auth.certificate_clients and _certified(context, request)[0] not in {None, principal.client_id}:
        raise Unauthenticated("the access token is not that of the client certificate's client")
    return principal


def _certified(context: HttpContext, request: web.Request) -> tuple[str | None, Certificate]:
    """The client that the connection's certificate is mapped to, and the certificate, which TLS has verified."""
    found: Certificate | None = request.transport.get_extra_info("peercert") if request.transport else None
    return client_of(found or {}, context.auth.certificate_clients), found or {}


def _tokenless(context: HttpContext, request: web.Request, operation: ApiOperation) -> Principal:
    """The client of a certificate; nobody, where nobody may read; Unauthenticated otherwise."""
    client_id, certificate = _certified(context, request)
    if client := context.registry.standing(client_id):
        return in_person(client, dies_at_s(certificate), time.time())
    if client_id is None and context.is_public(operation):
        return NOBODY
    raise Unauthenticated(NO_PROOF)


async def read_json(caller: Caller) -> bytes:
    """The body of a write, a JSON text as it says and not yet read; TooLarge beyond the configured bound."""
    request = caller.request
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise Rejected([Fault("header.Content-Type", "must be application/json")])
    body = await read_body(request)
    caller.body_bytes = len(body)
    return body


async def read_body(request: web.Request) -> bytes:
    """The body of a request without its coding, within the configured bounds of size and time."""
    patience_s = request.app[PATIENCE_S]
    try:
        async with asyncio.timeout(patience_s):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is larger than {request.client_max_size} bytes") from None
    except (TimeoutError, web.HTTPRequestTimeout):  # the connection's own clock is as patient
        raise TooSlow(f"the body did not arrive within {patience_s:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Rejected([Fault("$", "is broken off, or not framed as its headers say")]) from None
    return plain_body(body, request.headers.get("Content-Encoding", "").strip().lower(), request.client_max_size)


def json_answer(body: bytes | None, status: HTTPStatus = HTTPStatus.OK, etag: str | None = None) -> web.StreamResponse:
    """JSON bytes as an answer; None with the status 304."""
    return JsonAnswer(body, status, etag)
