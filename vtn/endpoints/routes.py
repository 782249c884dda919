"""All routes of the top node, from the table of operations, under every base path of a version."""

import functools
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from vtn.endpoints import compat30, objects, request_id
from vtn.endpoints.answer_cache import AnswerMemo
from vtn.endpoints.guard import PATIENCE_S, AiohttpHandler, Handler, HttpContext, caught, guarded
from vtn.endpoints.notifiers import NotifierEndpoints, notifier_handlers
from vtn.endpoints.oauth import auth_server, auth_token
from vtn.endpoints.openapi.document import AUTH_SERVER, AUTH_TOKEN
from vtn.endpoints.openapi.routes import documents, published_facts
from vtn.endpoints.problems import problem
from vtn.listening.http import expected
from vtn.rules.scopes import OPERATIONS

LONGEST_METHOD = 32
NO_HOOKS: Mapping[str, AiohttpHandler] = {}
BASE_PATHS = ("/openadr3/3.1.0", "/openadr3/3.1.1")


def build(
    context: HttpContext,
    notifiers: NotifierEndpoints,
    *,
    root_url: str,
    max_body_bytes: int,
    hooks: Mapping[str, AiohttpHandler] = NO_HOOKS,
    pages: Mapping[str, AiohttpHandler] = NO_HOOKS,
) -> web.Application:
    """The web application; `root_url` is how clients reach this server, without a trailing slash.

    `hooks` are what external brokers post their questions to, by path; `pages` what is read at the root, by path.
    """
    app = web.Application(client_max_size=max_body_bytes)
    app[PATIENCE_S] = context.patience_s
    app.on_response_prepare.append(_with_request_id)
    handlers = {**objects.handlers(AnswerMemo(context.answers_bytes)), **notifier_handlers(notifiers)}
    token = caught(context, auth_token(context), AUTH_TOKEN.name)
    for base in BASE_PATHS:
        server = auth_server(context.auth.token_url or f"{root_url}{base}/auth/token")
        _add(app, "GET", f"{base}/auth/server", caught(context, server, AUTH_SERVER.name))
        _add(app, "POST", f"{base}/auth/token", token)
        _add_operations(app, base, context, handlers)
    if context.face301 is not None:
        compat30.mount(functools.partial(_add, app), context, context.face301, token)
    facts = published_facts(context, root_url, BASE_PATHS)
    published = documents(facts, context.cross_origin, may_pack=context.gzip_from_bytes > 0)
    _add_pages(app, context, {**pages, **published})
    for path, hook in hooks.items():
        _add(app, "POST", path, caught(context, hook, "brokerHook"))
    _add_other_methods(app, context)
    app.router.add_route("*", "/{anything:.*}", caught(context, _no_such_thing(context)), expect_handler=expected)
    return app


def _add_operations(app: web.Application, base: str, context: HttpContext, handlers: Mapping[str, Handler]) -> None:
    for operation in OPERATIONS:
        handler = guarded(context, operation, handlers[operation.name])
        _add(app, operation.method, base + operation.path, handler)


def _add_pages(app: web.Application, context: HttpContext, pages: Mapping[str, AiohttpHandler]) -> None:
    for path, page in pages.items():
        _add(app, "GET", path, caught(context, page, path.rpartition("/")[2]))


def _add(app: web.Application, method: str, path: str, handler: AiohttpHandler) -> None:
    """A route; whatever answers GET answers HEAD."""
    for name in ("GET", "HEAD") if method == "GET" else (method,):
        app.router.add_route(name, path, handler, expect_handler=expected)


def _add_other_methods(app: web.Application, context: HttpContext) -> None:
    """Say of every known path which methods it has (RFC 9110, 9.3.7 and 15.5.6)."""
    known: dict[str, set[str]] = {}
    for resource in app.router.resources():
        known.setdefault(resource.canonical, set()).update(route.method for route in resource)
    for path, methods in known.items():
        handler = caught(context, _other_method(context, ", ".join(sorted({*methods, "OPTIONS"}))))
        app.router.add_route("*", path, handler, expect_handler=expected)


def _other_method(context: HttpContext, allow: str) -> AiohttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            asked = request.headers.get("Origin"), request.headers.get("Access-Control-Request-Method")
            headers = {"Allow": allow, "Cache-Control": "no-store", **context.cross_origin.preflight(*asked)}
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
        detail = f"this path answers {allow}, not {request.method[:LONGEST_METHOD]}"
        answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, media_type=context.problem_media_type)
        answer.headers["Allow"] = allow
        return answer

    return handle


async def _with_request_id(_request: web.BaseRequest, answer: web.StreamResponse) -> None:
    answer.headers.setdefault(request_id.HEADER, request_id.current())
    answer.headers.setdefault("Cache-Control", "no-store")


def _no_such_thing(context: HttpContext) -> AiohttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        detail = f"nothing answers {request.method[:LONGEST_METHOD]} here"
        return problem(HTTPStatus.NOT_FOUND, detail, media_type=context.problem_media_type)

    return handle
