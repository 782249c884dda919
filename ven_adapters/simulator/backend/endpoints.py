"""The reference HTTP contract's server side: bytes to the cloud's calls, refusals to problem documents.

`/v1` is the automaker's interface. `POST /truth` is the simulator's own, for loopback callers only: it writes the
ground truth and answers with its summary.
"""

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlsplit

from aiohttp import web

from ven_adapters.contract import FINAL_STATES, BackendError, ErrorCode, VehicleRef
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.backend.directive_records import KeyConflict
from ven_adapters.simulator.backend.push import Pusher
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.faults.call_faults import Visit
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.transport.http.codec import Order, Page, Subscriber, dumps, load, loads
from ven_adapters.transport.http.problems import CONTENT_TYPE, print_problem
from vtn.clock import Clock
from vtn.listening.http import proven, same_secret
from vtn.settings import is_loopback

MAX_BODY_BYTES = 64 * 1024
PAGE = 200
CONFLICT = 409
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """The parts that the endpoints serve."""

    settings: SimulatorSettings
    clock: Clock
    cloud: Cloud
    views: Views
    pusher: Pusher


BACKEND = web.AppKey("backend", Backend)


def application(backend: Backend) -> web.Application:
    """The whole interface as an aiohttp application."""
    app = web.Application(middlewares=[_problems, _authorised, _doorstep], client_max_size=MAX_BODY_BYTES)
    app[BACKEND] = backend
    directive = "/v1/vehicles/{ref}/directives/{directive_id}"
    app.router.add_get("/v1/vehicles", _vehicles)
    app.router.add_get("/v1/vehicles/{ref}/capabilities", _capabilities)
    app.router.add_get("/v1/vehicles/{ref}/snapshot", _snapshot)
    app.router.add_put(directive, _submit)
    app.router.add_delete(directive, _cancel)
    app.router.add_get(directive, _status)
    app.router.add_post("/v1/subscribers", _subscribe)
    app.router.add_post("/truth", _truth)
    return app


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BackendError as error:
        return _problem(error, status=CONFLICT if isinstance(error, KeyConflict) else None)
    except web.HTTPException as error:
        return _problem(BackendError(ErrorCode.INVALID_REQUEST, error.reason), status=error.status)


@web.middleware
async def _authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not same_secret(request.headers.get("Authorization"), f"Bearer {request.app[BACKEND].settings.token}"):
        raise BackendError(ErrorCode.REAUTH_REQUIRED, "the bearer token is missing or wrong")
    proven(request)
    return await handler(request)


@web.middleware
async def _doorstep(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Faults that a call for a car meets on its way: the answer is lost, or is another than the cloud's."""
    backend, ref = request.app[BACKEND], request.match_info.get("ref")
    if ref is None:
        return await handler(request)
    car, at_s = backend.cloud.car(ref), backend.cloud.world.seconds(backend.clock.now())
    answer = backend.cloud.fault_state.met(car, Visit(request.method, ref, at_s))
    if answer is None:
        return await handler(request)
    if answer.executes:
        with contextlib.suppress(BackendError):
            await handler(request)
    if answer.cut and request.transport is not None:
        request.transport.close()
    headers = {} if answer.retry_after_s is None else {"Retry-After": f"{answer.retry_after_s:.0f}"}
    return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers)


def _problem(error: BackendError, *, status: int | None = None, **more: object) -> web.Response:
    usual, body = print_problem(error, status=status, **more)
    headers = {} if error.retry_after_s is None else {"Retry-After": f"{error.retry_after_s:.0f}"}
    return web.Response(status=usual, body=body, content_type=CONTENT_TYPE, headers=headers)


def _json(value: object, *, status: int = 200, observed_at: datetime | None = None) -> web.Response:
    headers = {} if observed_at is None else {"Observed-At": observed_at.isoformat()}
    return web.Response(status=status, body=dumps(value), content_type="application/json", headers=headers)


async def _vehicles(request: web.Request) -> web.Response:
    refs = request.app[BACKEND].cloud.fleet.refs
    first = _whole(request, "page_token") or 0
    after = first + PAGE
    page = tuple(VehicleRef(ref) for ref in refs[first:after])
    return _json(Page(page, str(after) if after < len(refs) else None))


async def _capabilities(request: web.Request) -> web.Response:
    cloud = request.app[BACKEND].cloud
    return _json(cloud.capability(cloud.car(request.match_info["ref"])))


async def _snapshot(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    cloud, views, now = backend.cloud, backend.views, backend.clock.now()
    car, max_age_s = cloud.car(request.match_info["ref"]), _whole(request, "max_age_s")
    stale = max_age_s is not None and views.age_s(car, now) > max_age_s
    if stale:
        cloud.advance(now)
        cloud.read(car, now)
    snapshot = views.snapshot(car, fresh=stale)
    if stale and cloud.fault_state.out_of_reach(car):
        return _problem(BackendError(ErrorCode.UNREACHABLE, "the car cannot be called"), snapshot=snapshot)
    if stale and cloud.asleep[car]:
        asleep = BackendError(ErrorCode.ASLEEP, "the car sleeps; this is its last reading")
        return _problem(asleep, snapshot=snapshot)
    return _json(snapshot, observed_at=snapshot.soc_pct.observed_at if snapshot.soc_pct else None)


async def _submit(request: web.Request) -> web.Response:
    backend, body = request.app[BACKEND], await request.read()
    now = backend.clock.now()
    order = load(Order, loads(body), received_at=now)
    _same(request.match_info["ref"], order.directive.vehicle_ref, "vehicle_ref: differs from the path")
    _same(request.match_info["directive_id"], order.directive.directive_id, "directive_id: differs from the path")
    _same(request.headers.get("Idempotency-Key"), order.directive.key, "Idempotency-Key: differs from directive.key")
    ack = backend.cloud.submit(backend.cloud.car(order.directive.vehicle_ref), order, body, now)
    return _json(ack, status=200 if ack.state in FINAL_STATES else 202)


async def _cancel(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    car = backend.cloud.car(request.match_info["ref"])
    ack, done = backend.cloud.cancel(car, request.match_info["directive_id"], backend.clock.now())
    return _json(ack, status=200 if done else 202)


async def _status(request: web.Request) -> web.Response:
    cloud = request.app[BACKEND].cloud
    return _json(cloud.status(cloud.car(request.match_info["ref"]), request.match_info["directive_id"]))


async def _subscribe(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    subscriber = load(Subscriber, loads(await request.read()), received_at=backend.clock.now())
    if not is_loopback(urlsplit(subscriber.url).hostname):
        raise BackendError(ErrorCode.INVALID_REQUEST, "url: this simulator pushes to loopback addresses only")
    await backend.pusher.subscribe(subscriber)
    return _json({"url": subscriber.url}, status=201)


async def _truth(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    if not is_loopback(request.remote):
        raise BackendError(ErrorCode.NOT_PERMITTED, "the ground truth is told on loopback only")
    folder = backend.settings.truth_dir
    backend.cloud.advance(backend.clock.now())
    return _json(backend.cloud.ledger.summary() if folder is None else backend.cloud.ledger.write(folder))


def _same(given: str | None, expected: str, rule: str) -> None:
    if given != expected:
        raise BackendError(ErrorCode.INVALID_REQUEST, rule)


def _whole(request: web.Request, name: str) -> int | None:
    raw = request.query.get(name)
    if raw is None:
        return None
    if not (raw.isascii() and raw.isdigit()):
        raise BackendError(ErrorCode.INVALID_REQUEST, f"query.{name}: must be a whole number, 0 or more")
    return int(raw)
