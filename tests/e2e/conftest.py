"""Servers and clients for the end-to-end tests. A module that wants a server of its own overrides `vtn`.

Registered clients, made once and copied into every server's folder: `bl` (Business Logic) and the
VENs `c1`, `c2`, `c3`.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from vtn_process import Party, Vtn, fresh
from vtn_thread import launcher, template_of


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A `var` folder with a database, four clients, and their secrets in a file."""
    return template_of(tmp_path_factory.mktemp("template") / "var")


@pytest.fixture(scope="session")
def launch(template, tmp_path_factory) -> Callable[..., Vtn]:
    """Make a server with the four clients, not yet started: `with launch(setting=...) as vtn`; see `launcher`."""
    return launcher(template, tmp_path_factory.mktemp("vtn"))


@pytest.fixture(scope="session")
def vtn(launch) -> Iterator[Vtn]:
    """The server that most tests share; they use names of their own."""
    with launch() as server:
        yield server


@pytest.fixture(scope="session")
def postgres(postgres_server) -> Iterator[str]:
    """The URL of an empty database in a real PostgreSQL server."""
    name = fresh("evtn").replace("-", "_")
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield postgres_server.get_uri(database=name)
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
async def http():
    """A connection pool for one test."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
def nobody(http, vtn) -> Party:
    """Somebody without a token."""
    return Party(http, vtn.url, None)


@pytest.fixture
def bl(http, vtn) -> Party:
    """Business Logic."""
    return Party(http, vtn.url, vtn.token("bl"))


@pytest.fixture
def c1(http, vtn) -> Party:
    """The first VEN."""
    return Party(http, vtn.url, vtn.token("c1"))


@pytest.fixture
def c2(http, vtn) -> Party:
    """The second VEN."""
    return Party(http, vtn.url, vtn.token("c2"))


@pytest.fixture
def c3(http, vtn) -> Party:
    """The third VEN, which never has a ven."""
    return Party(http, vtn.url, vtn.token("c3"))


@pytest.fixture
async def program(bl):
    """An untargeted program of this test."""
    return await bl.made("/programs", {"programName": fresh("program")})


@dataclasses.dataclass
class Receiver:
    """A callback receiver: `seen` what was posted, `challenges` their queries; `echoing` False answers wrongly."""

    url: str = ""
    echoing: bool = True
    challenges: list[dict[str, str]] = dataclasses.field(default_factory=list)
    headers: list[dict[str, str]] = dataclasses.field(default_factory=list)
    seen: "asyncio.Queue[dict]" = dataclasses.field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.Response:
        """Echo a challenge, or take a notification."""
        if request.method == "GET":
            self.challenges.append(dict(request.query))
            self.headers.append(dict(request.headers))
            return web.Response(text=request.query["echo"] if self.echoing else "something else")
        await self.seen.put(await request.json())
        return web.Response()


@pytest.fixture
async def receiver():
    """A real receiver on this machine, for the length of a test."""
    taker = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", taker.handle)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    taker.url = f"http://127.0.0.1:{port}/hook"
    with contextlib.suppress(asyncio.CancelledError):
        yield taker
    await runner.cleanup()
