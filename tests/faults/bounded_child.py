"""A top node that watches its own event loop. `python bounded_child.py` is `vtn serve` with a line of answer a line.

Each line on standard input is answered by one of JSON: the longest time since the last answer for which the loop came
back late (`held_s`), the most memory meanwhile (`most_bytes`), and how long a fixed piece of work takes at this moment
(`reference_s`), by which a slow machine is told from a held loop. A busy machine is told by the system: what threads of
this process wait for a processor is not the loop's doing and is taken off.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

import orjson
import uvloop

from vtn.app import running
from vtn.config import Settings
from vtn.settings import load

TICK_S = 0.004
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TEXT = b"[" + b",".join([b'{"id":0,"payloads":[{"type":"PRICE","values":[0.17]}]}'] * 6_000) + b"]"


class Watch:
    """How late the loop is, and how large the process."""

    def __init__(self) -> None:
        self.held_s = 0.0
        self.most_bytes = 0

    async def run(self) -> None:
        """Look often, for ever."""
        while True:
            began_s, waited_s = time.perf_counter(), waiting_s()
            await asyncio.sleep(TICK_S)
            late_s = time.perf_counter() - began_s - TICK_S - (waiting_s() - waited_s)
            self.held_s = max(self.held_s, late_s)
            self.most_bytes = max(self.most_bytes, memory_bytes())

    def told(self) -> str:
        """One line, and begin anew."""
        told = {"held_s": self.held_s, "most_bytes": self.most_bytes, "reference_s": reference_s()}
        self.held_s, self.most_bytes = 0.0, memory_bytes()
        return json.dumps(told)


def memory_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def waiting_s() -> float:
    """How long the threads of this process have been ready to run and had no processor, as far as the system tells."""
    waited_ns = 0
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            waited_ns += int((thread / "schedstat").read_text().split()[1])
    return waited_ns / 1e9


def reference_s() -> float:
    """How long a fixed piece of work takes on a processor of its own: as the loop would be held by a library."""
    began_s = time.thread_time()
    orjson.dumps(orjson.loads(TEXT))
    return time.thread_time() - began_s


async def main() -> None:
    """Serve until standard input ends."""
    watch = Watch()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with running(load(Settings, None, prefix="EVTN", environ=os.environ)) as url:
        sys.stdout.write(f"vtn is ready at {url}/openadr3/3.1.0\n")
        sys.stdout.flush()
        watching = asyncio.create_task(watch.run())
        while await reader.readline():
            await asyncio.sleep(5 * TICK_S)
            told = watch.told()
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()
            await asyncio.sleep(5 * TICK_S)
            watch.held_s = 0.0  # the reference held it
        watching.cancel()


if __name__ == "__main__":
    uvloop.run(main())
