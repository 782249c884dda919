"""How many commands a second go through the queue: one planner, NATS, one executor, a backend that answers at once.

The backend costs nothing, so that what is measured is the queue; in process the same calls cost next to nothing. Run it
by itself: `python tests/bench/queue_rate.py`. Prints one JSON object; two processes beside the server, so that planner
and executor each have a core where there are two.
"""

import asyncio
import itertools
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop
from queue_parts import nats_server

from ven_adapters.config import QueueSettings
from ven_adapters.contract import (
    Ack,
    BackendEvent,
    Capability,
    Certainty,
    Directive,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    Rung,
    Setting,
    Snapshot,
    VehicleRef,
)
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.executor import Executor
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from vtn.clock import RealClock

COMMANDS = 6_000
AT_ONCE = 256
CAPABILITY = Capability("i4", 80_000, 11_000)


class AtOnce:
    """A backend that takes everything and remembers nothing."""

    async def submit(self, directive: Directive, _capability: Capability, _snapshot: Snapshot) -> Ack:
        return Ack(directive.directive_id, DirectiveState.ACCEPTED, Setting(Rung.PAUSE, 0))

    async def cancel(self, _ref: str, directive_id: str) -> Ack:
        return Ack(directive_id, DirectiveState.CANCELLED)

    async def status(self, ref: str, directive_id: str) -> DirectiveStatus:
        return DirectiveStatus(directive_id, ref, DirectiveState.ACCEPTED, Certainty.ACCEPTED)

    async def capabilities(self, _ref: str) -> Capability:
        return CAPABILITY

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        del max_age_s
        return Snapshot(ref)

    async def vehicles(self) -> AsyncIterator[VehicleRef]:
        for _ in ():
            yield VehicleRef("")

    async def events(self) -> AsyncIterator[BackendEvent]:
        await asyncio.Event().wait()
        for _ in ():
            yield _

    async def close(self) -> None:
        """Nothing to let go of."""


def settings(url: str) -> QueueSettings:
    return QueueSettings(url=url, at_once=AT_ONCE, all_at_once=4 * AT_ONCE)


async def execute(url: str) -> None:
    executor = Executor(AtOnce(), QueueConnection(settings(url), "bench", executes=True), RealClock())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, executor.stop)
    await executor.run()


async def rate_of(backend: RemoteBackend | AtOnce, commands: int = COMMANDS) -> float:
    """Submits a second, so many at once, each for another car."""
    now = RealClock().now()
    numbers = iter(range(commands))
    window = (now, now + timedelta(hours=1), now + timedelta(minutes=59))

    async def caller() -> None:
        for number in numbers:
            ref = f"car-{number}"
            directive = Directive(f"d-{number}", f"k-{number}", ref, DirectiveKind.CURTAIL, *window)
            await backend.submit(directive, CAPABILITY, Snapshot(ref))

    began_s = time.perf_counter()
    await asyncio.gather(*itertools.starmap(caller, [()] * AT_ONCE))
    return commands / (time.perf_counter() - began_s)


async def plan(url: str) -> dict[str, float]:
    link = QueueConnection(settings(url), "bench")
    remote = RemoteBackend(link, RealClock(), "bench")
    await link.ready()
    executor = await asyncio.create_subprocess_exec(sys.executable, __file__, "execute", url)
    try:
        await rate_of(remote, AT_ONCE)  # once the executor is there
        return {
            "commands": COMMANDS,
            "through_the_queue_per_s": round(await rate_of(remote)),
            "in_process_per_s": round(await rate_of(AtOnce())),
        }
    finally:
        await remote.close()
        executor.terminate()
        await executor.wait()


def main() -> None:
    if sys.argv[1:2] == ["execute"]:
        uvloop.run(execute(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder, nats_server(Path(folder)) as server:
        print(json.dumps(uvloop.run(plan(server.url)), indent=2))  # noqa: T201 - the bench's answer


if __name__ == "__main__":
    main()
