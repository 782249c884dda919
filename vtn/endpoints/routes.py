"""All routes of the top node, from the table of operations, under every base path of a version."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from vtn.endpoints import compat30, objects, requestid
from vtn.endpoints.documents import documents, published_facts
from vtn.endpoints.door import PATIENCE_S, AiohttpHandler, Hall, Handler, caught, guarded
from vtn.endpoints.notifiers import Notifiers, notifier_handlers
from vtn.endpoints.oauth import auth_server, auth_token
from vtn.endpoints.openapi import AUTH_SERVER, AUTH_TOKEN
from vtn.endpoints.problems import problem
from vtn.listening.http import expected
from vtn.rules.scopes import OPERATIONS

NO_HOOKS: Mapping[str, AiohttpHandler] = {}
BASE_PATHS = ("/openadr3/3.1.0", "/openadr3/3.1.1")


def build(
    hall: Hall,
    notifiers: Notifiers,
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
    app[PATIENCE_S] = hall.patience_s
    app.on_response_prepare.append(_with_request_id)
    handlers = {**objects.handlers(), **notifier_handlers(notifiers)}
    token = caught(hall, auth_token(hall), AUTH_TOKEN.name)
    for base in BASE_PATHS:
        server = auth_server(hall.auth.token_url or f"{root_url}{base}/auth/token")
        app.router.add_get(f"{base}/auth/server", caught(hall, server, AUTH_SERVER.name), expect_handler=expected)
        app.router.add_post(f"{base}/auth/token", token, expect_handler=expected)
        _add_operations(app, base, hall, handlers)
    if hall.face301 is not None:
        compat30.mount(app, hall, hall.face301, token)
    published = documents(published_facts(hall, root_url, BASE_PATHS), may_pack=hall.gzip_from_bytes > 0)
    _add_pages(app, hall, {**pages, **published})
    for path, hook in hooks.items():
        app.router.add_post(path, caught(hall, hook, "brokerHook"), expect_handler=expected)
    app.router.add_route("*", "/{anything:.*}", caught(hall, _no_such_thing(hall)), expect_handler=expected)
    return app


def _add_operations(app: web.Application, base: str, hall: Hall, handlers: Mapping[str, Handler]) -> None:
    for operation in OPERATIONS:
        handler = guarded(hall, operation, handlers[operation.name])
        app.router.add_route(operation.method, base + operation.path, handler, expect_handler=expected)


def _add_pages(app: web.Application, hall: Hall, pages: Mapping[str, AiohttpHandler]) -> None:
    for path, page in pages.items():
        app.router.add_get(path, caught(hall, page, path.rpartition("/")[2]), expect_handler=expected)


async def _with_request_id(_request: web.BaseRequest, answer: web.StreamResponse) -> None:
    answer.headers.setdefault(requestid.HEADER, requestid.current())


def _no_such_thing(hall: Hall) -> AiohttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        detail = f"nothing answers {request.method} here"
        return problem(HTTPStatus.NOT_FOUND, detail, media_type=hall.problem_media_type)

    return handle
