"""The same server in a thread of the tests' process: its own loop, a real port, a real database, and no process.

For claims about the protocol: it starts in a tenth of the time. Claims about the process (kills, umask, what lies in
its memory, the bundled broker beside it) need `Vtn`, which this class is in all else.

While it runs, nothing else in this process may open and close the file of its database but SQLite itself: POSIX takes
all locks of a process with the first descriptor that is closed, and then another process may write over it.
"""

import asyncio
import concurrent.futures
import contextvars
import itertools
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import uvloop
from typer.testing import CliRunner
from vtn_process import PATIENCE_S, V310, Json, Vtn, add_client, copy_of, environment

from vtn.__main__ import PREFIX
from vtn.__main__ import app as command_line
from vtn.app import running
from vtn.config import Settings
from vtn.endpoints import request_id
from vtn.settings import load

ROLES = {"bl": "BL", "c1": "VEN", "c2": "VEN", "c3": "VEN"}
FOLDER: contextvars.ContextVar[Path | None] = contextvars.ContextVar("folder", default=None)
LOG_FORM = "%(asctime)s %(levelname)s %(name)s %(request)s%(message)s"


def registered(var: Path, client_id: str, role: str, *options: str, settings: Mapping[str, str] | None = None) -> str:
    """`vtn client add` without a process, where no server runs yet; its secret, or "" for a client that has none."""
    arguments = ["client", "add", client_id, "--role", role, "--json", *options]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # the command runs a loop, which a test's thread may have
        environ = environment(var, settings or {})
        call = pool.submit(CliRunner().invoke, command_line, arguments, env=environ, catch_exceptions=False)
        done = call.result(PATIENCE_S)
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout).get("secret") or "")


class ThreadedVtn(Vtn):
    """One server in a thread. `stop` and `start` as of a process; `kill` is refused."""

    def __init__(self, var: Path, settings: Mapping[str, str] | None = None, secrets: Json | None = None) -> None:
        super().__init__(var, settings, secrets)
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start, and return when it answers."""
        self.var.mkdir(parents=True, exist_ok=True)
        ready: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        self.url = ready.result(PATIENCE_S) + V310
        return self

    def _run(self, ready: "concurrent.futures.Future[str]") -> None:
        handler = logging.FileHandler(self.var / "stderr.log")
        handler.setFormatter(logging.Formatter(LOG_FORM))
        handler.addFilter(lambda _: FOLDER.get() == self.var)
        handler.addFilter(request_id.Marked())
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)
        try:
            uvloop.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()

    async def _serve(self, ready: "concurrent.futures.Future[str]") -> None:
        FOLDER.set(self.var)
        self._loop = asyncio.get_running_loop()
        settings = load(Settings, None, prefix=PREFIX, environ=environment(self.var, self.settings))
        async with running(settings) as url:
            ready.set_result(url)
            await self._stopped.wait()

    def _end(self, how: signal.Signals) -> int | None:
        assert how is signal.SIGTERM, "a thread cannot be killed: launch(process=True)"
        thread, self._thread = self._thread, None
        if thread is None:
            return None
        self._loop.call_soon_threadsafe(self._stopped.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not stop"
        return 0

    @property
    def pid(self) -> int:
        """The process that it runs in."""
        return os.getpid()

    def add_client(self, client_id: str, role: str, *options: str) -> None:
        """Register one more client; beside a running server by a process."""
        add = registered if self._thread is None else add_client
        self.secrets[client_id] = add(self.var, client_id, role, *options, settings=self.settings)


def template_of(var: Path) -> Path:
    """A `var` folder with a database, the clients of `ROLES`, and their secrets in a file."""
    secrets = {client_id: registered(var, client_id, role) for client_id, role in ROLES.items()}
    (var / "secrets.json").write_text(json.dumps(secrets))
    return var


def launcher(template: Path, folder: Path) -> Callable[..., Vtn]:
    """What makes servers with the template's clients, each in a folder of its own below this one, not yet started.

    A server runs in a thread of this process; with `process=True`, or with a broker beside it, in one of its own.
    """
    numbers = itertools.count(1)

    def make(settings: dict[str, str] | None = None, *, process: bool = False) -> Vtn:
        var = copy_of(template, folder / str(next(numbers)) / "var")
        alone = process or (settings or {}).get("mqtt.mode", "off") != "off"
        return (Vtn if alone else ThreadedVtn)(var, settings, json.loads((var / "secrets.json").read_text()))

    return make
