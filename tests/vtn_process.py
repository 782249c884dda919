"""A real `vtn serve` process on a free port with its own `var` folder, and clients that see nothing but its answers.

Black box: nothing here imports the server's rooms. Settings go in by environment variables, clients come from the
command line, and everything else is HTTP.
"""

import contextlib
import dataclasses
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import fork_server

PROGRAM = "vtn.__main__:main"
VTN = Path(sys.executable).with_name("vtn")
READY = "vtn is ready at "
PATIENCE_S = 120.0  # a bound, and no wait: a loaded machine takes half a minute to start a process
OFTEN = {"auth.tokens_per_minute": "6000", "auth.tokens_per_minute_and_address": "6000"}
QUIET = {"mqtt.mode": "off", "webhooks.allow_loopback": "true", **OFTEN}
V310, V311 = "/openadr3/3.1.0", "/openadr3/3.1.1"
Json = dict[str, Any]


def fresh(prefix: str = "x") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def environment(var: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process: the tester's own, without its EVTN settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVTN_")}
    own = {"server.var": str(var), **settings}
    return kept | {f"EVTN_{key.upper().replace('.', '__')}": value for key, value in own.items()}


def run_cli(
    *arguments: str, var: Path, settings: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One run of the command line `vtn`, to its end."""
    return fork_server.run(PROGRAM, *arguments, env=environment(var, settings or {}), cwd=cwd, timeout=4 * PATIENCE_S)


def add_client(var: Path, client_id: str, role: str, *options: str, settings: Mapping[str, str] | None = None) -> str:
    """Register a client by the command line and return its secret."""
    done = run_cli("client", "add", client_id, "--role", role, "--json", *options, var=var, settings=settings)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["secret"])


class Vtn:
    """One server. `secrets` maps clientIDs that tests act as to their secrets; `stop` and `kill` may be repeated."""

    def __init__(self, var: Path, settings: Mapping[str, str] | None = None, secrets: Json | None = None) -> None:
        self.var = var
        self.settings = {"server.port": "0", **QUIET, **(settings or {})}
        self.secrets: Json = dict(secrets or {})
        self.url = ""
        self._tokens: dict[str, str] = {}
        self._process: fork_server.Fork | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        return self.url.removesuffix(V310)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server has written to its standard error."""
        return (self.var / "stderr.log").read_text()

    def start(self) -> Self:
        """Start, and return when it answers."""
        self.var.mkdir(parents=True, exist_ok=True)
        with (self.var / "stderr.log").open("a") as errors:
            environ = environment(self.var, self.settings)
            self._process = fork_server.start(PROGRAM, "serve", env=environ, stdout=subprocess.PIPE, stderr=errors)
        self.url = self._wait_until_ready(time.monotonic() + PATIENCE_S)
        return self

    def _wait_until_ready(self, deadline: float) -> str:
        assert self._process
        assert self._process.stdout
        pipe, said = self._process.stdout.fileno(), ""  # not its buffer: `select` knows nothing of lines that lie there
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            more = os.read(pipe, 65_536).decode()
            said += more
            if ready := re.search(rf"^{READY}(\S+)\n", said, re.MULTILINE):
                return ready[1]
            if not more:
                break
        self.kill()
        raise AssertionError(f"vtn serve did not become ready:\n{self.log}")

    def stop(self) -> int | None:
        """Ask it to end, and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """End it as a power cut would."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait(PATIENCE_S)
        if process.stdout:
            process.stdout.close()
        return code

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, in a process of its own, on this server's folder and database."""
        return run_cli(*arguments, var=self.var, settings=self.settings)

    def add_client(self, client_id: str, role: str, *options: str) -> None:
        """Register one more client."""
        self.secrets[client_id] = add_client(self.var, client_id, role, *options, settings=self.settings)

    def token(self, client_id: str, *, scope: str = "", renew: bool = False) -> str:
        """An access token of a client; remembered unless narrowed or renewed."""
        if scope or renew or client_id not in self._tokens:
            form = {"grant_type": "client_credentials", "client_id": client_id, "scope": scope}
            form["client_secret"] = self.secrets[client_id]
            body = urllib.parse.urlencode({key: value for key, value in form.items() if value}).encode()
            request = urllib.request.Request(f"{self.url}/auth/token", body)  # noqa: S310 - our own server
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
                token = str(json.load(answer)["access_token"])
            if scope:
                return token
            self._tokens[client_id] = token
        return self._tokens[client_id]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.content)

    @property
    def ids(self) -> list[str]:
        """The ids of a list."""
        return [item["id"] for item in self.json]

    def paths(self) -> list[str]:
        """The places that a 400 complains about."""
        return [fault["path"] for fault in self.json.get("errors", ())]

    def shows(self, status: int) -> Self:
        """Itself, when the status is as claimed; errors must be problem documents (ERR-01, ERR-02)."""
        assert self.status == status, (self.status, self.content[:400])
        if status >= 400:
            problem = self.json
            assert problem["status"] == status
            assert problem["title"]
        return self


class Party:
    """One client of one server, speaking raw HTTP; without `token` it is nobody."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self._session = session
        self.url = url
        self.token = token

    def at(self, url: str) -> "Party":
        """The same client at another base URL."""
        return Party(self._session, url, self.token)

    def bearing(self, token: str | None) -> "Party":
        """Somebody with this token instead."""
        return Party(self._session, self.url, token)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """One request; `body` is rendered as JSON, `raw` is sent as it is."""
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = raw if body is None else json.dumps(body).encode()
        if data is not None:
            own["Content-Type"] = "application/json"
        async with self._session.request(
            method,
            self.url + path,
            data=data if data is None else io.BytesIO(data),
            params=list(query),
            headers={**own, **(headers or {})},
        ) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, *query: tuple[str, str]) -> Answer:
        """Read."""
        return await self.send("GET", path, query=query)

    async def post(self, path: str, body: Any) -> Answer:
        """Create."""
        return await self.send("POST", path, body=body)

    async def put(self, path: str, body: Any) -> Answer:
        """Replace."""
        return await self.send("PUT", path, body=body)

    async def delete(self, path: str) -> Answer:
        """Delete."""
        return await self.send("DELETE", path)

    async def made(self, path: str, body: Json) -> Json:
        """Create what must be accepted, and return it."""
        created: Json = (await self.post(path, body)).shows(201).json
        return created


def copy_of(template: Path, folder: Path) -> Path:
    """A `var` folder with the clients of the template, for a server of its own."""
    shutil.copytree(template, folder)
    return folder
