"""A real NATS server with JetStream for tests of the queue, and a real HTTP cloud that notices overlapping calls."""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import fork_server
from aiohttp import web

from ven_adapters import registry
from ven_adapters.config import QueueSettings
from ven_adapters.simulator.backend.endpoints import application
from ven_adapters.simulator.serve import build
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.executor import Executor
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from vtn.clock import SimulatedClock, print_clock
from vtn.notifiers.broker.process import server_program

EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
PATIENCE_S = 90.0
TOKEN = "a-token"
_numbers = itertools.count(1)


class NatsServer:
    """One server on one port; `kill` and `start` again find the same store, as after a crash."""

    def __init__(self, folder: Path, config: Path | None = None) -> None:
        self._config = config
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(server_program()), "-a", "127.0.0.1", "-p", str(self.port)]
        command += ["-c", str(self._config)] if self._config is not None else ["-js", "-sd", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        patient_until_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < patient_until_s

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2) as line:
            return line.recv(4) == b"INFO"
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def nats_server(folder: Path, config: Path | None = None):
    server = NatsServer(folder, config)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def queue_settings(server: NatsServer, **more) -> QueueSettings:
    """A queue of its own on the server, with short waits."""
    given = {"url": server.url, "stream": f"T{next(_numbers)}", "ack_wait_s": 4.0, "call_s": 6.0}
    return QueueSettings(**(given | more))


@dataclasses.dataclass(frozen=True)
class Call:
    """One call for a directive that reached the cloud."""

    ref: str
    method: str
    directive_id: str
    began_s: float
    ended_s: float
    status: int


class Ledger:
    """What reached the cloud, in order; `held` keeps calls waiting until it is set."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.busy: collections.Counter[str] = collections.Counter()
        self.overlaps: list[str] = []
        self.most_at_once = 0
        self.arrived = asyncio.Event()
        self.held: asyncio.Event | None = None
        self.takes_s = 0.0

    def of(self, ref: str, *methods: str) -> list[Call]:
        return [call for call in self.calls if call.ref == ref and (not methods or call.method in methods)]

    @web.middleware
    async def watch(self, request: web.Request, handler) -> web.StreamResponse:
        directive_id = request.match_info.get("directive_id")
        if directive_id is None:
            return await handler(request)
        ref, began_s = request.match_info["ref"], time.monotonic()
        self.busy[ref] += 1
        self.most_at_once = max(self.most_at_once, self.busy.total())
        if self.busy[ref] > 1:
            self.overlaps.append(ref)
        self.arrived.set()
        status = 0
        try:
            answer = await handler(request)
            status = answer.status
            if self.held is not None:
                await self.held.wait()
            await asyncio.sleep(self.takes_s)
            return answer
        finally:
            self.busy[ref] -= 1
            self.calls.append(Call(ref, request.method, directive_id, began_s, time.monotonic(), status))


@dataclasses.dataclass
class CloudRig:
    """A running cloud: where it is, its cars, what reached it."""

    url: str
    cloud: object
    ledger: Ledger
    clock: SimulatedClock


@contextlib.asynccontextmanager
async def watched_cloud(cars: int, *, clock=None, brand="bmw") -> AsyncIterator[CloudRig]:
    """The simulated cloud behind a ledger. Its cars stand still: no loop moves them, only calls do."""
    clock = clock or SimulatedClock(EVENING, time.time(), 1.0)
    given = {"faults": NO_FAULTS, "opted_out_probability": 0.0, "truth": "as_told"}
    settings = SimulatorSettings(brand, cars, 7, clock.now(), TOKEN, **given)
    backend, ledger = build(settings, clock), Ledger()
    app = application(backend)
    app.middlewares.append(ledger.watch)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield CloudRig(f"http://127.0.0.1:{runner.addresses[0][1]}", backend.cloud, ledger, clock)
    finally:
        if ledger.held is not None:
            ledger.held.set()
        await backend.pusher.close()
        await runner.cleanup()


def backend_of(url: str, clock, brand="bmw", **more):
    given = {"url": url, "token": TOKEN, "webhook_secret": "hush", "clock": clock, "seed": 1}
    return registry.factory(brand)(given | more)


@contextlib.asynccontextmanager
async def executing(backend, settings: QueueSettings, clock, oem="bmw") -> AsyncIterator[Executor]:
    """An executor at work in this process; stopped as SIGTERM would."""
    link = QueueConnection(settings, oem, executes=True)
    executor = Executor(backend, link, clock)
    task = asyncio.create_task(executor.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await link.ready()
        yield executor
    finally:
        executor.stop()
        async with asyncio.timeout(PATIENCE_S):
            await task


@contextlib.asynccontextmanager
async def planning(settings: QueueSettings, clock, oem="bmw", name="planner") -> AsyncIterator[RemoteBackend]:
    """A planner's end of the queue, connected."""
    link = QueueConnection(settings, oem)
    remote = RemoteBackend(link, clock, name)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await link.ready()
        yield remote
    finally:
        await remote.close()


async def eventually(holds, within_s: float = PATIENCE_S):
    """Wait until a condition holds, looking again and again."""
    async with asyncio.timeout(within_s):
        while not (found := holds()):  # noqa: ASYNC110 - looks at many things, none of them an event
            await asyncio.sleep(0.02)
    return found


class NobodyComes:
    """An executor's place in the queue while it takes no commands."""

    asked = 0

    async def some(self, _most):
        self.asked += 1
        if self.asked:
            raise OSError
        yield


@contextlib.contextmanager
def executor_process(folder: Path, url: str, settings: QueueSettings, clock):
    """`ven-adapters execute` as a program of its own; killed at the end if the test has not done so."""
    told = print_clock(clock)
    lines = [
        'oem = "bmw"',
        f'clock = "{told}"',
        "[backend]",
        f'url = "{url}"',
        f'token = "{TOKEN}"',
        'webhook_secret = "hush"',
        f'clock = "{told}"',
        "[queue]",
        f'stream = "{settings.stream}"',
        f"ack_wait_s = {settings.ack_wait_s}",
        f"call_s = {settings.call_s}",
    ]
    config = folder / f"executor-{next(_numbers)}.toml"
    config.write_text("\n".join(lines))
    words = ("execute", "bmw", "--config", str(config), "--executors", settings.url)
    with (folder / "executor.log").open("ab") as log:
        process = fork_server.start("ven_adapters", *words, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
