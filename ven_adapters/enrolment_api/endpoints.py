"""The HTTP interface for the automaker's app: bearer keys, bounded bodies, every fault at once, each POST once.

What the requests do stands in `operations`; this module knows requests and answers only. Bodies, refs and keys are
never logged.
"""

import asyncio
import dataclasses
import functools
import logging
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

import orjson
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.config import EnrollingSettings
from ven_adapters.enrolment_api import eligibility
from ven_adapters.enrolment_api.models import Enrol, Model, Problem, Question, Told, Verdicts
from ven_adapters.enrolment_api.openapi import document
from ven_adapters.enrolment_api.operation_table import ACTS, BY_NAME, EnrolmentOperation, parse, perform
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.problems import Refused, unknown_car
from ven_adapters.enrolment_api.responses import CarPage, CarView, Changes, History, JournalLine, Why
from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.enrolment_api.store import EnrolmentStore, EnrolmentWrite, digest
from ven_adapters.enrolment_api.tables import AnsweredRow
from ven_adapters.transport.http import signatures
from ven_adapters.transport.windows import precedence
from vtn.clock import Clock
from vtn.databases import parse_at
from vtn.limits import Limit
from vtn.listening.http import proven

MAX_BODY_BYTES = 64 * 1024
MOST_CARS = 500
ANSWERS_KEPT_S = 7 * 86_400
LONGEST_KEY = 128
LONGEST_NUMBER = 20
IDEMPOTENCY = "Idempotency-Key"
APP = web.RequestKey("app", str)

_log = logging.getLogger(__name__)
Explain = Callable[[str, datetime], Awaitable[str | None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BURST_S = 10.0
REMEMBERED = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Once:
    """What makes a write happen once: its key, and a digest of the request that came with it."""

    key: str
    request_sha256: str
    at_s: int


class EnrolmentEndpoints:
    """The handlers over one enrolment store and its operations."""

    def __init__(
        self,
        store: EnrolmentStore,
        operations: EnrolmentOperations,
        clock: Clock,
        enrolling: EnrollingSettings,
        explain: Explain | None = None,
    ) -> None:
        self._store = store
        self._operations = operations
        self._clock = clock
        self._app_secret = enrolling.app_secret
        self._explain = explain
        self._pace = RequestPace(enrolling.requests_per_s)
        self.changed = asyncio.Event()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_explained, self._known])
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_post("/v1/webhooks", self._webhook)
        app.router.add_post("/v1/eligibility", self._eligibility)
        app.router.add_post("/v1/cars", self._enrol)
        app.router.add_get("/v1/cars", self._page)
        app.router.add_get("/v1/cars/{vehicle_ref}", self._car)
        app.router.add_get("/v1/cars/{vehicle_ref}/consents", self._history)
        app.router.add_get("/v1/cars/{vehicle_ref}/changes", self._changes)
        app.router.add_get("/v1/cars/{vehicle_ref}/why", self._why)
        for act in ACTS:
            app.router.add_post(f"/v1/cars/{{vehicle_ref}}/{act.path}", self._handler(act))
        return app

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only the app's bearer key opens anything; the document is public and webhooks carry a signature instead."""
        if request.path not in {"/openapi.json", "/v1/webhooks"}:
            scheme, _, key = request.headers.get("Authorization", "").partition(" ")
            name = await self._store.key_name(key) if scheme.lower() == "bearer" and key else None
            if name is None:
                raise Refused(HTTPStatus.UNAUTHORIZED, "a bearer key of this adapter is required")
            proven(request)
            self._pace.pay(f"app/{name}", datetime.now(UTC))
            request[APP] = name
        return await handler(request)

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(body=orjson.dumps(document()))

    async def _eligibility(self, request: web.Request) -> web.Response:
        question: Question = parse(Question, await request.read())
        return _said(Verdicts(verdicts=eligibility.verdicts(self._operations.programs, question)))

    async def _page(self, request: web.Request) -> web.Response:
        limit = _count(request, "limit", "100", least=1, most=MOST_CARS)
        cars = await self._store.page(request.query.get("after", ""), limit)
        return _said(CarPage(cars=tuple(cars), next=cars[-1].vehicle_ref if len(cars) == limit else None))

    async def _car(self, request: web.Request) -> web.Response:
        ref = request.match_info["vehicle_ref"]
        agreement = await self._store.agreement(ref)
        if agreement is None:
            raise unknown_car(ref)
        now = self._clock.now()
        choices = await self._store.choices(ref, now)
        spent = await self._store.skips(ref, season_of(now.astimezone(ZoneInfo(agreement.timezone))))
        left = max(0, self._operations.skip_tokens - spent) if agreement.ended_at is None else 0
        return _said(CarView(agreement=agreement, choices=tuple(choices), skips_left=left))

    async def _history(self, request: web.Request) -> web.Response:
        ref = request.match_info["vehicle_ref"]
        if await self._store.agreement(ref) is None:
            raise unknown_car(ref)
        return _said(History(consents=tuple(await self._store.history(ref))))

    async def _changes(self, request: web.Request) -> web.Response:
        ref = request.match_info["vehicle_ref"]
        after = _count(request, "after", "0", least=0, most=2**62)
        limit = _count(request, "limit", "100", least=1, most=MOST_CARS)
        since = await self._since(ref)
        rows = await self._store.changes(ref, after, limit, since)
        told = [JournalLine(number=row.seq, type=row.what, at=parse_at(row.at), detail=row.detail) for row in rows]
        return _said(Changes(changes=tuple(told), next=told[-1].number if len(told) == limit else None))

    async def _why(self, request: web.Request) -> web.Response:
        ref, now = request.match_info["vehicle_ref"], self._clock.now()
        at = _instant(request, "at", now)
        if not await self._since(ref) <= at <= now:
            raise Refused(HTTPStatus.BAD_REQUEST, "at: must not be before the enrolment, and not to come")
        why = None if self._explain is None else await self._explain(ref, at)
        if why is None:
            raise Refused(HTTPStatus.NOT_FOUND, "at: nothing is stored that could explain it")
        return _said(Why(vehicle_ref=ref, at=at, why=why))

    async def _since(self, ref: str) -> datetime:
        """From when on a car's story is its present driver's; what was before is another's."""
        agreement = await self._store.agreement(ref)
        if agreement is None:
            raise unknown_car(ref)
        return agreement.enrolled_at

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _enrol(self, request: web.Request) -> web.Response:
        raw = await request.read()
        once = _once(request, raw)
        body: Enrol = parse(Enrol, raw)
        return await self._write(
            once, body.vehicle_ref, lambda write: self._operations.enrol(write, body), HTTPStatus.CREATED
        )

    def _handler(self, act: EnrolmentOperation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            return await self._act(act, request.match_info["vehicle_ref"], raw, _once(request, raw))

        return handle

    async def _act(
        self, act: EnrolmentOperation, ref: str, raw: bytes, once: Once | None, told_at: datetime | None = None
    ) -> web.Response:
        body = parse(act.body, raw)
        work = functools.partial(perform, act, self._operations, ref=ref, body=body)
        answer = await self._write(once, ref, work, act.status, told_at)
        if act.erases:
            await self._store.scrub()
        return answer

    async def _write(
        self,
        once: Once | None,
        ref: str,
        work: Callable[[EnrolmentWrite], Awaitable[Model]],
        status: HTTPStatus,
        told_at: datetime | None = None,
    ) -> web.Response:
        async with self._store.write(self._clock.now(), told_at) as write:
            known = await write.session.get(AnsweredRow, once.key) if once is not None else None
            if known is not None and once is not None:
                return _again(known, once)
            body = (await work(write)).model_dump_json()
            if once is not None:
                await write.keep_answer(
                    AnsweredRow(vehicle_ref=ref, status=int(status), body=body, **dataclasses.asdict(once)),
                    older_than_s=once.at_s - ANSWERS_KEPT_S,
                )
        self.changed.set()
        return web.Response(status=status, body=body.encode(), content_type="application/json")

    async def _webhook(self, request: web.Request) -> web.Response:
        """A signed decision of the automaker's backend; its event id makes it happen once, its instant orders it."""
        raw, headers = await request.read(), request.headers
        if self._app_secret is None:
            raise Refused(HTTPStatus.NOT_FOUND, "app_secret: is not set, so no webhook is taken")
        stamp, signature = headers.get(signatures.TIMESTAMP_HEADER), headers.get(signatures.SIGNATURE_HEADER)
        real_now_s = time.time()
        wrong = signatures.verify(self._app_secret, stamp, signature, raw, now_s=real_now_s)
        if wrong is not None:
            raise Refused(HTTPStatus.UNAUTHORIZED, wrong)
        proven(request)
        self._pace.pay("webhook", datetime.now(UTC))
        told: Told = parse(Told, raw)
        once = Once(f"webhook/{told.event_id}", digest(raw), int(real_now_s))
        signed_at = precedence.signed_at(int(stamp or 0), real_now_s, self._clock.now())
        decided_at = precedence.decided_at(told.at or signed_at, signed_at)
        return await self._act(BY_NAME[told.type], told.vehicle_ref, orjson.dumps(told.data), once, decided_at)


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal is a problem document."""
    if "\0" in f"{request.path}{request.query_string}":
        return _problem(Refused(HTTPStatus.BAD_REQUEST, "the address must not contain the character 0"))
    try:
        return await handler(request)
    except Refused as error:
        return _problem(error)
    except web.HTTPException as error:
        return _problem(Refused(HTTPStatus(error.status), error.reason))
    except (SQLAlchemyError, OSError) as error:
        _log.warning("the enrolment store is out of reach: %s", type(error).__name__)
        return _problem(Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the store is out of reach; try again"))


def refusal(status: HTTPStatus, detail: str) -> web.Response:
    """The same for what reaches no handler."""
    return _problem(Refused(status, detail))


def _problem(error: Refused) -> web.Response:
    told = Problem(title=error.status.phrase, status=error.status, detail=error.detail, errors=error.faults)
    headers = {"WWW-Authenticate": "Bearer"} if error.status is HTTPStatus.UNAUTHORIZED else {}
    headers |= {} if error.retry_after_s is None else {"Retry-After": str(math.ceil(error.retry_after_s))}
    body = told.model_dump_json().encode()
    return web.Response(status=error.status, body=body, content_type="application/problem+json", headers=headers)


def _said(answer: Model) -> web.Response:
    return web.Response(body=answer.model_dump_json().encode(), content_type="application/json")


def _count(request: web.Request, name: str, usual: str, *, least: int, most: int) -> int:
    """A whole number of the query."""
    given = request.query.get(name, usual)
    if given.isascii() and given.isdigit() and len(given) < LONGEST_NUMBER and least <= int(given) <= most:
        return int(given)
    raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: must be a whole number from {least} to {most}")


def _instant(request: web.Request, name: str, usual: datetime) -> datetime:
    """An instant of the query, with its offset."""
    given = request.query.get(name)
    try:
        at = usual if given is None else datetime.fromisoformat(given.replace(" ", "+"))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: must be an RFC 3339 date-time") from None
    raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: needs an offset, such as Z for UTC")


def _once(request: web.Request, raw: bytes) -> Once | None:
    """The request's idempotency key, apart for every app; None without one."""
    key = request.headers.get(IDEMPOTENCY)
    if key is None:
        return None
    if not (1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{IDEMPOTENCY}: must have 1 to {LONGEST_KEY} printable ASCII characters")
    return Once(f"{request[APP]}/{key}", digest(request.path.encode() + b"\0" + raw), int(time.time()))


def _again(known: AnsweredRow, once: Once) -> web.Response:
    """The answer that was given before; 409 when the same key comes with another request."""
    if known.request_sha256 != once.request_sha256:
        raise Refused(HTTPStatus.CONFLICT, f"{IDEMPOTENCY}: was used for another request")
    if not known.body:
        raise Refused(HTTPStatus.GONE, "what was answered then has been erased")
    return web.Response(status=known.status, body=known.body.encode(), content_type="application/json")


class RequestPace:
    """At most `per_s` requests a second of each caller, ten seconds' worth at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._limit = Limit(max(1.0, BURST_S * per_s), per_s, REMEMBERED)

    def pay(self, caller: str, now: datetime) -> None:
        """Count a request; 429 with the seconds to wait when the caller has none left."""
        if wait_s := self._limit.wait_s(caller, now.timestamp()):
            detail = f"requests_per_s: {self._per_s:g} a second are taken of one caller; slow down"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=wait_s)
