"""A top node beside a stage: `vtn serve` as a program of its own with an empty database, and clients of both roles."""

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import orjson

from vtn.checking.verdict import Skipped
from vtn.clock import Clock, SimulatedClock, print_clock

UTILITY, ADAPTER = "kit-utility", "kit-adapter"
READY = "vtn is ready at "
READY_S, END_S = 60.0, 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class TopNode:
    """Where it answers, and its clients' secrets."""

    url: str
    secrets: Mapping[str, str] = dataclasses.field(repr=False)


@contextlib.asynccontextmanager
async def opened_top_node(folder: Path, clock: Clock) -> AsyncIterator[TopNode]:
    """A top node for the length of a block, at about the time of `clock`; Skipped when it does not start."""
    shown = print_clock(SimulatedClock(clock.now(), time.time(), 1.0))
    given = {"SERVER__VAR": str(folder), "SERVER__PORT": "0", "SERVER__CLOCK": shown, "MQTT__MODE": "off"}
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EVTN_")}
    environ |= {f"EVTN_{key}": value for key, value in given.items()}
    secrets = {name: await _client(environ, name, role) for name, role in ((UTILITY, "BL"), (ADAPTER, "VEN"))}
    process = await _started(environ, "serve", stdout=asyncio.subprocess.PIPE)
    try:
        yield TopNode(await _answers_at(process), secrets)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _client(environ: Mapping[str, str], name: str, role: str) -> str:
    process = await _started(environ, "client", "add", name, "--role", role, "--json", stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode != 0:
        raise Skipped("a top node cannot be set up here: vtn client add failed")
    return str(orjson.loads(told)["secret"])


async def _started(environ: Mapping[str, str], *words: str, stdout: int) -> asyncio.subprocess.Process:
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vtn", *words, env=environ, stdin=quiet, stdout=stdout, stderr=quiet
    )


async def _answers_at(process: asyncio.subprocess.Process) -> str:
    """The address that the program says it answers at."""
    if process.stdout is None:
        raise Skipped("a top node cannot be heard here")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            while line := (await process.stdout.readline()).decode():
                if line.startswith(READY):
                    return line.removeprefix(READY).strip()
    raise Skipped("a top node did not start here")
