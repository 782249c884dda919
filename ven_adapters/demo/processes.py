"""The demonstration's processes: each a real program with its own log, started in order and stopped by its own id."""

import asyncio
import dataclasses
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

READY_S = 300.0
STOP_S = 30.0
LAST_LINES = 12


class ProcessDied(Exception):
    """A program of the demonstration stopped by itself; the message holds the end of its log."""


@dataclasses.dataclass(slots=True)
class _Running:
    name: str
    process: asyncio.subprocess.Process
    log: Path


class Processes:
    """Started programs, all of which are stopped when the block is left."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, _Running] = {}

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(list(self._running))

    async def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start `python -m ARGUMENTS` with its output in a log file."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        self._running[name] = _Running(name, process, log)

    async def ready(self, name: str, word: str) -> str:
        """The first line of a program's log that holds `word`; ProcessDied when it ends or stays silent."""
        running = self._running[name]
        async with asyncio.timeout(READY_S):
            while True:
                for line in _lines(running.log):
                    if word in line:
                        return line
                self.check()
                await asyncio.sleep(0.05)

    def check(self) -> None:
        """ProcessDied when any program has stopped by itself."""
        for running in self._running.values():
            if running.process.returncode is not None:
                tail = "\n".join(_lines(running.log)[-LAST_LINES:])
                raise ProcessDied(f"{running.name} stopped with code {running.process.returncode}:\n{tail}")

    async def stop(self, names: Sequence[str]) -> None:
        """Ask programs to stop, wait for them together, and end those that do not."""
        stopping = [self._running.pop(name) for name in names if name in self._running]
        for running in stopping:
            if running.process.returncode is None:
                running.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(_ended(running.process) for running in stopping))


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


async def output_of(arguments: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """What `python -m ARGUMENTS` prints; ProcessDied with its complaint when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise ProcessDied(f"{' '.join(arguments)}: {complaint.decode(errors='replace')}")
    return out


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
