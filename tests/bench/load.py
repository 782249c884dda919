"""A closed-loop HTTP load generator: N keep-alive connections, each with one request under way, in one process.

It reads one job (JSON) from standard input and writes one result (JSON) to standard output, so that it can be kept on a
core of its own. Answers are counted when they are complete by their Content-Length. It knows nothing of what it asks
for: nginx and the top node are loaded by the same code.
"""

import asyncio
import base64
import dataclasses
import json
import sys
import time
from typing import Any

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"Content-Length: "
READY_S = 20.0
DRAIN_S = 10.0


@dataclasses.dataclass(frozen=True)
class Job:
    """What to ask, of whom and for how long. `requests` are whole HTTP requests (base64), asked in turn."""

    port: int
    requests: list[str]
    seconds: float = 1.0
    connections: int = 64
    status: int = 200
    count: int | None = None


class Run:
    """What all connections share: the requests, the counters, and the end."""

    def __init__(self, job: Job) -> None:
        self.requests = [base64.b64decode(text) for text in job.requests]
        self.expected = str(job.status).encode()
        self.turn = 0
        self.last_turn = job.count
        self.asking = True
        self.answers = 0
        self.wrong: dict[str, int] = {}
        self.samples: set[bytes] = set()
        self.lost: str | None = None

    def next_request(self) -> bytes | None:
        """What to ask next; None at the end."""
        turn = self.turn
        if not self.asking or turn == self.last_turn:
            return None
        self.turn = turn + 1
        return self.requests[turn % len(self.requests)]


class Connection(asyncio.Protocol):
    """One keep-alive connection: ask, wait for the whole answer, ask again."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._part = b""
        self._transport: asyncio.Transport | None = None
        self._last = b""
        self.first = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, and ask again."""
        if self._part:
            data = self._part + data
        end = data.find(HEAD_END)
        if end < 0 or len(data) < end + 4 + _length(data, end):
            self._part = data
            return
        self._part = b""
        self._last = data
        run = self._run
        run.answers += 1
        if data[9:12] != run.expected:
            self._wrong(data)
        if not self.first.done():
            self.first.set_result(None)
            self._sample()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """An end that nobody asked for is a failure of the run."""
        for future in (self.first, self.done):
            if not future.done():
                self._run.lost = f"a connection was lost: {exc or 'closed by the server'}"
                future.set_result(None)

    def _ask(self) -> None:
        request = self._run.next_request()
        if request is not None and self._transport is not None:
            self._transport.write(request)
        elif not self.done.done():
            self._sample()
            self.done.set_result(None)

    def _wrong(self, data: bytes) -> None:
        line = data.partition(b"\r\n")[0].decode("latin-1")
        self._run.wrong[line] = self._run.wrong.get(line, 0) + 1

    def _sample(self) -> None:
        self._run.samples.add(self._last.partition(HEAD_END)[2])

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def _length(data: bytes, end: int) -> int:
    """The announced length of a body; 0 where none is announced, as in a 304."""
    at = data.find(LENGTH, 0, end)
    if at < 0:
        return 0
    at += len(LENGTH)
    return int(data[at : data.find(b"\r", at)])


async def measure(job: Job) -> dict[str, Any]:
    """Load the server and count; the time runs once every connection has had its first answer."""
    run = Run(job)
    loop = asyncio.get_running_loop()
    opening = [loop.create_connection(lambda: Connection(run), "127.0.0.1", job.port) for _ in range(job.connections)]
    connections = [connection for _, connection in await asyncio.gather(*opening)]
    try:
        async with asyncio.timeout(READY_S):
            await asyncio.gather(*(connection.first for connection in connections))
        before, began, cpu = run.answers, time.perf_counter(), time.process_time()
        if job.count is None:
            await asyncio.sleep(job.seconds)
        else:
            await asyncio.gather(*(connection.done for connection in connections))
        counted, elapsed, cpu = run.answers - before, time.perf_counter() - began, time.process_time() - cpu
        run.asking = False
        async with asyncio.timeout(DRAIN_S):
            await asyncio.gather(*(connection.done for connection in connections))
    finally:
        for connection in connections:
            connection.close()
    return {
        "rate": counted / elapsed,
        "answers": run.answers,
        "busy": cpu / elapsed,
        "wrong": run.wrong,
        "lost": run.lost,
        "samples": [base64.b64encode(sample).decode() for sample in run.samples],
    }


def main() -> None:
    """Do the job on standard input."""
    job = Job(**json.load(sys.stdin))
    json.dump(uvloop.run(measure(job)), sys.stdout)


if __name__ == "__main__":
    main()
