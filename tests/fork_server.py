"""Programs of this project as forks of a process that has imported them already: each starts in a tenth of the time.

What starts is a process like any other: its own memory, descriptors, signals, exit code and death. What it does not
have is a command line of its own in `/proc`, and an interpreter that read its environment. Claims about those start
one by `subprocess`, and so does whoever wants to know what a start costs.

The server is a process beside the tests, with one thread, so that a fork has all of it. It ends with the tests.
"""

import array
import asyncio
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[1]
VTN = ("vtn.__main__", "vtn.app", "vtn.conformance.runner", "vtn.auth.pki", "uvloop", "asyncpg", "sqlalchemy.dialects")
ADAPTERS = ("ven_adapters.ven.run", "ven_adapters.oems.ocpp", "ocpp.v201", "ocpp.v16", "ocpp.v21", "aiosqlite")
# What programs import anyway, before or while they run.
IMPORTS = {"vtn": VTN, "external_broker": ("amqtt.broker", "amqtt.contrib.http")}


class Fork:
    """A running program; used as `subprocess.Popen` is. `stdout` is there when it was asked for."""

    def __init__(self, line: socket.socket, pid: int, stdout: IO[str] | None) -> None:
        self.line, self.pid, self.stdout = line, pid, stdout
        self.returncode: int | None = None
        self._waits = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self.close()

    def close(self) -> None:
        """Read no more of it."""
        if self.stdout is not None:
            self.stdout.close()

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self._waits.acquire(blocking=False):  # else another thread waits, so it runs
            try:
                self._waited(0.0)
            finally:
                self._waits.release()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; `subprocess.TimeoutExpired` when that takes longer."""
        with self._waits:
            self._waited(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
        return self.returncode

    def _waited(self, timeout: float | None) -> None:
        if self.returncode is None and select.select([self.line], [], [], timeout)[0]:
            told = self.line.recv(16)
            assert told, "the fork server has gone"
            self.returncode = int(told)
            self.line.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class AsyncFork:
    """The same for a loop, used as `asyncio.subprocess.Process` is."""

    def __init__(self, fork: Fork) -> None:
        self._fork, self.pid = fork, fork.pid
        self._reading: list[asyncio.BaseTransport] = []
        self._writing: list[asyncio.BaseTransport] = []
        self._ended = asyncio.Event()
        self.stdin: asyncio.StreamWriter
        self.stdout: asyncio.StreamReader
        asyncio.get_running_loop().add_reader(fork.line, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fork.line)
        self._fork.wait()
        self._ended.set()
        for one in self._writing:  # what is read ends by itself
            one.close()

    @property
    def returncode(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._fork.returncode

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        await self._ended.wait()
        return self._fork.wait()

    async def communicate(self) -> tuple[bytes, None]:
        """All that it says, and its end."""
        said = await self.stdout.read()
        await self.wait()
        return said, None

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._fork.send_signal(number)

    async def reads(self, pipe: IO[bytes], limit: int) -> None:
        """Its output, to be read from this pipe."""
        loop = asyncio.get_running_loop()
        self.stdout = asyncio.StreamReader(limit, loop)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.stdout), pipe)
        self._reading.append(transport)

    async def writes(self, pipe: IO[bytes]) -> None:
        """Its input, to be written to this pipe."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self._writing.append(transport)

    async def close(self) -> None:
        """End it, and let go of what it was read by."""
        self.kill()
        await self.wait()
        for one in self._reading:
            one.close()


async def begin(program: str, *words: str, log: IO[Any], **how: Any) -> AsyncFork:
    """`start` for a loop; what it says goes to a log. `how` is `env` and `cwd`."""
    return AsyncFork(start(program, *words, stdout=log, stderr=log, **how))


async def converse(
    program: str, *words: str, stderr: IO[Any] | None = None, limit: int = 2**16, **how: Any
) -> AsyncFork:
    """The same, with its `stdin` and `stdout`."""
    (theirs, write), (read, says) = os.pipe(), os.pipe()
    with os.fdopen(theirs) as stdin, os.fdopen(says, "w") as stdout:
        made = AsyncFork(start(program, *words, stdin=stdin, stdout=stdout, stderr=stderr, **how))
    await made.reads(os.fdopen(read, "rb", 0), limit)
    await made.writes(os.fdopen(write, "wb", 0))
    return made


def start(
    program: str,
    *words: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | None = None,
) -> Fork:
    """Start a program: a console script's `module:function`, a module, or a file of Python.

    `stdout` may be `subprocess.PIPE`; all three are this process' own where nothing is given.
    """
    reading: IO[str] | None = None
    with contextlib.ExitStack() as stack:
        if stdout == subprocess.PIPE:
            ours, theirs = os.pipe()
            reading, stdout = os.fdopen(ours, "r"), stack.enter_context(os.fdopen(theirs, "w"))
        streams = [_number(given, number) for number, given in enumerate((stdin, stdout, stderr))]
        told = {"program": program, "words": words, "env": {**(os.environ if env is None else env)}}
        told["cwd"] = str(cwd or Path.cwd())
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(_address())
        body = json.dumps(told).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
        line.sendmsg([len(body).to_bytes(4)], [rights])
        line.sendall(body)
    return Fork(line, int.from_bytes(_exactly(line, 4)), reading)


def run(program: str, *words: str, timeout: float, **how: Any) -> subprocess.CompletedProcess[str]:
    """One run to its end, with what it printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = start(program, *words, stdout=out, stderr=errors, **how)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        for one in (out, errors):
            one.seek(0)
        return subprocess.CompletedProcess([program, *words], code, out.read(), errors.read())


def _number(given: IO[Any] | int | None, number: int) -> int:
    return number if given is None else given if isinstance(given, int) else given.fileno()


def _exactly(line: socket.socket, number: int) -> bytes:
    found = b""
    while len(found) < number:
        more = line.recv(number - len(found))
        assert more, "the fork server has gone"
        found += more
    return found


_running: dict[int, str] = {}


def _address() -> str:
    """Where the one server of this process listens."""
    if os.getpid() not in _running:
        folder = tempfile.TemporaryDirectory(prefix="forks-")
        address = str(Path(folder.name) / "line")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("EVTN_")}
        server = subprocess.Popen([sys.executable, __file__, address], stdin=subprocess.PIPE, cwd=ROOT, env=environ)
        until = time.monotonic() + 60.0
        while not Path(address).exists():
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)

        def end() -> None:
            assert server.stdin
            server.stdin.close()
            server.wait()
            folder.cleanup()

        atexit.register(end)
        _running[os.getpid()] = address
    return _running[os.getpid()]


class _Server:
    """Forks what it is told to, and tells everybody how their fork ended."""

    def __init__(self, address: str) -> None:
        self._lines: dict[int, socket.socket] = {}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(f"{address}.new")
        self._listening.listen(64)
        Path(f"{address}.new").rename(address)
        self._ended, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> dict[str, Any] | None:
        """Until the tests have ended; in a fork: what it is to be."""
        while True:
            ready, _, _ = select.select([0, self._listening, self._ended], [], [])
            if self._ended in ready:
                self._ended.recv(4096)
                for pid, code in _reaped():
                    with contextlib.suppress(OSError), self._lines.pop(pid) as line:
                        line.sendall(str(code).encode())
            if self._listening in ready and (told := self._forked(self._listening.accept()[0])):
                return told
            if 0 in ready:
                return None

    def _forked(self, line: socket.socket) -> dict[str, Any] | None:
        size, streams, _, _ = socket.recv_fds(line, 4, 3)
        told: dict[str, Any] = json.loads(_exactly(line, int.from_bytes(size)))
        for name in IMPORTS.get(Path(told["program"]).name.partition(".")[0], VTN + ADAPTERS):
            importlib.import_module(name)
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for mine in (line, self._listening, self._ended, self._wakes, *self._lines.values()):
                mine.detach()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            return told
        self._lines[pid] = line
        line.sendall(pid.to_bytes(4))
        for stream in streams:
            os.close(stream)
        return None


def _reaped() -> Iterator[tuple[int, int]]:
    """The forks that have ended, with their exit codes."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def _become(program: str, words: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
    """What a new interpreter would do with this command line."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    module, colon, function = program.partition(":")
    sys.argv = [module.partition(".")[0] if colon else program, *words]
    sys.path[:0] = [str(Path(program).parent) if program.endswith(".py") else cwd]
    sys.path[1:1] = [one for one in env.get("PYTHONPATH", "").split(os.pathsep) if one and one not in sys.path]
    if colon:
        getattr(importlib.import_module(module), function)()
    elif program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _ends(how: SystemExit) -> int:
    """The exit code that an interpreter ends with."""
    if how.code is None or isinstance(how.code, int):
        return how.code or 0
    sys.stderr.write(f"{how.code}\n")
    return 1


if __name__ == "__main__":
    if (told := _Server(sys.argv[1]).serve()) is not None:
        code = 0
        try:
            _become(**told)
        except SystemExit as how:
            code = _ends(how)
        except BaseException:  # noqa: BLE001 - whatever it is, it ends the program as it would end an interpreter
            traceback.print_exc()
            code = 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an interpreter that is taken to pieces would copy every page that it shares
