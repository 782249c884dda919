"""All routes of the top node, from the table of operations, under every base path of a version."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from vtn.endpoints import objects
from vtn.endpoints.door import AiohttpHandler, Hall, Handler, caught, guarded
from vtn.endpoints.notifiers import Notifiers, notifier_handlers
from vtn.endpoints.oauth import auth_server, auth_token
from vtn.endpoints.problems import problem
from vtn.rules.scopes import OPERATIONS

BASE_PATHS = ("/openadr3/3.1.0", "/openadr3/3.1.1")


def build(hall: Hall, notifiers: Notifiers, *, root_url: str, max_body_bytes: int) -> web.Application:
    """The web application; `root_url` is how clients reach this server, without a trailing slash."""
    app = web.Application(client_max_size=max_body_bytes)
    handlers = {**objects.handlers(), **notifier_handlers(notifiers)}
    for base in BASE_PATHS:
        app.router.add_get(f"{base}/auth/server", auth_server(f"{root_url}{base}/auth/token"))
        app.router.add_post(f"{base}/auth/token", caught(hall, auth_token(hall)))
        _add_operations(app, base, hall, handlers)
    app.router.add_route("*", "/{anything:.*}", _no_such_thing(hall))
    return app


def _add_operations(app: web.Application, base: str, hall: Hall, handlers: Mapping[str, Handler]) -> None:
    for operation in OPERATIONS:
        handler = guarded(hall, operation, handlers[operation.name])
        app.router.add_route(operation.method, base + operation.path, handler)


def _no_such_thing(hall: Hall) -> AiohttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        detail = f"nothing answers {request.method} here"
        return problem(HTTPStatus.NOT_FOUND, detail, media_type=hall.problem_media_type)

    return handle
