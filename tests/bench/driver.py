"""Run the load generator in its own process, and refuse to count what was answered wrongly."""

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from servers import CannotMeasureError, on_core

GENERATOR = Path(__file__).with_name("load.py")
TIMEOUT_S = 90


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a run came to. `rate` per second; `answers` all that were received; `busy` the generator's share of a core.

    `samples` are the distinct bodies among the first and the last answers of every connection.
    """

    rate: float
    answers: int
    busy: float
    samples: frozenset[bytes]


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests to a port, asked in turn over `connections` keep-alive connections; each answer must have `status`."""

    port: int
    requests: Sequence[bytes]
    status: int = 200
    connections: int = 64

    def run(self, seconds: float, core: int | None) -> Answers:
        """Ask for some seconds."""
        return self._run(core, seconds=seconds)

    def once(self, core: int | None) -> Answers:
        """Ask each request once."""
        return self._run(core, count=len(self.requests))

    def _run(self, core: int | None, **extent: float) -> Answers:
        job = {
            "port": self.port,
            "requests": [base64.b64encode(request).decode() for request in self.requests],
            "status": self.status,
            "connections": min(self.connections, len(self.requests)) if "count" in extent else self.connections,
            **extent,
        }
        with on_core(core):
            command = [sys.executable, str(GENERATOR)]
            done = subprocess.run(
                command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        if done.returncode:
            raise CannotMeasureError(f"the load generator failed: {done.stderr[-500:]}")
        return _checked(json.loads(done.stdout), self.status)


def _checked(result: dict[str, object], status: int) -> Answers:
    if result["lost"] or result["wrong"]:
        raise CannotMeasureError(f"{status} was expected: {result['wrong']} {result['lost'] or ''} {result['samples']}")
    samples = frozenset(base64.b64decode(text) for text in result["samples"])  # type: ignore[attr-defined]
    return Answers(result["rate"], result["answers"], result["busy"], samples)
