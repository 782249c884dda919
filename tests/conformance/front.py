"""A front: an HTTP server before one of ours, which answers as another VTN may, or as a faulty one does.

What a front does is a list of variants. Each sees every request before it is passed on (`ask`: it may change it, or
answer it itself) and every answer before it is given (`tell`: it may change it).
"""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from ours import served, settings_for
from yarl import URL

from vtn.conformance.runner import Plan

BASE = "/openadr3/3.1.0"
COLLECTIONS = ("programs", "events", "reports", "subscriptions", "vens", "resources")
DROPPED = {"content-length", "transfer-encoding", "content-encoding", "connection", "host", "accept-encoding"}


@dataclasses.dataclass(slots=True)
class FrontRequest:
    """A request: `path` is below the base path; `role` is `bl` or `ven` by the token, or nothing; `body` is JSON."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    content: bytes
    role: str = ""
    body: Any = None

    @property
    def collection(self) -> str:
        """The collection that is asked for, or one of whose objects is; nothing elsewhere."""
        first = self.path.strip("/").partition("/")[0]
        return first if first in COLLECTIONS else ""

    @property
    def is_list(self) -> bool:
        """Whether a list is read."""
        return self.method == "GET" and self.path.strip("/") in COLLECTIONS

    @property
    def is_write(self) -> bool:
        """Whether an object is created or replaced."""
        return self.method in {"POST", "PUT"} and bool(self.collection)


@dataclasses.dataclass(slots=True)
class FrontAnswer:
    """An answer; `body` is its JSON, if it is any."""

    status: int
    headers: dict[str, str]
    body: Any = None
    content: bytes = b""

    @property
    def is_object(self) -> bool:
        """Whether objects of the API were asked for and given."""
        return self.status in {200, 201} and isinstance(self.body, (dict, list))


def problem(status: int, detail: str = "refused") -> FrontAnswer:
    """A problem document."""
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return FrontAnswer(status, {"Content-Type": "application/json"}, body)


class ServerVariant:
    """One way in which a VTN differs from ours. `settings` are what ours is given for it, `base` where it is served."""

    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    base = BASE

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Change our VTN itself, where no front can: the notifications that it sends."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Change a request, or answer it."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Change an answer."""


def every_part(value: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every object in a JSON value, the outer ones first."""
    if isinstance(value, dict):
        change(value)
        for part in value.values():
            every_part(part, change)
    if isinstance(value, list):
        for part in value:
            every_part(part, change)


@dataclasses.dataclass(slots=True)
class Front:
    """The front before a VTN at `upstream` (its root URL), with these variants."""

    upstream: str
    variants: tuple[ServerVariant, ...]
    session: aiohttp.ClientSession
    base: str = BASE
    url: str = ""
    roles: dict[str, str] = dataclasses.field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """Pass a request on, as the variants want it."""
        if not request.path.startswith(f"{self.base}/"):
            return self._rendered(problem(404))
        token = request.headers.get("Authorization", "")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        path = request.rel_url.raw_path.removeprefix(self.base)
        query = request.rel_url.raw_query_string
        asked = FrontRequest(request.method, path, query, headers, await request.read(), self.roles.get(token, ""))
        with contextlib.suppress(ValueError, RecursionError):
            asked.body = json.loads(asked.content) if asked.content and not path.startswith("/auth") else None
        before = json.dumps(asked.body)
        told = next((found for one in self.variants if (found := one.ask(asked)) is not None), None)
        if told is None:
            if json.dumps(asked.body) != before:
                asked.content = json.dumps(asked.body).encode()
            told = await self._passed_on(asked)
        for one in self.variants:
            one.tell(asked, told)
        return self._rendered(told)

    async def _passed_on(self, asked: FrontRequest) -> FrontAnswer:
        target = URL(self.upstream + BASE + asked.path + (f"?{asked.query}" if asked.query else ""), encoded=True)
        how = {"headers": asked.headers, "data": asked.content or None, "allow_redirects": False}
        async with self.session.request(asked.method, target, **how) as response:
            content = await response.read()
            told = FrontAnswer(response.status, dict(response.headers), content=content)
        with contextlib.suppress(ValueError):
            told.body = json.loads(content) if content else None
        if asked.path == "/auth/server" and isinstance(told.body, dict):
            told.body["tokenURL"] = f"{self.url}{self.base}/auth/token"
        if asked.path == "/auth/token" and told.status == 200:
            client = parse_qs(asked.content.decode()).get("client_id", [""])[0]
            self.roles[f"Bearer {told.body['access_token']}"] = "bl" if client == "bl" else "ven"
        return told

    def _rendered(self, told: FrontAnswer) -> web.Response:
        headers = {name: value for name, value in told.headers.items() if name.lower() not in DROPPED}
        content = told.content if told.body is None else json.dumps(told.body).encode()
        return web.Response(status=told.status, headers=headers, body=content)


@contextlib.asynccontextmanager
async def served_with(
    variants: tuple[ServerVariant, ...], var: Path, *, only: tuple[str, ...] = ()
) -> AsyncIterator[Plan]:
    """Our VTN behind a front with these variants, and the plan of a run against it."""
    changes: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for one in variants:
            one.patch(patch)
            for section, values in one.settings.items():
                changes[section] = {**changes.get(section, {}), **values}
        async with served(settings_for(var, changes), only=only) as plan, fronted(plan, variants) as front:
            yield front


@contextlib.asynccontextmanager
async def fronted(plan: Plan, variants: tuple[ServerVariant, ...]) -> AsyncIterator[Plan]:
    """The plan of a run against a front with these variants, before the VTN of a plan."""
    parts = urlsplit(plan.url)
    base = next((one.base for one in variants if one.base != BASE), BASE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as session:
        front = Front(f"{parts.scheme}://{parts.netloc}", variants, session, base)
        app = web.Application(client_max_size=64 * 1_048_576)
        app.router.add_route("*", "/{path:.*}", front.answer)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, max_line_size=65_536, max_field_size=65_536)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield dataclasses.replace(plan, url=front.url + base)
        finally:
            await runner.cleanup()
