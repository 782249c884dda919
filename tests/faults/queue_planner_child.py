"""A planner that hands in one directive and waits for its outcome, to be killed while it waits.

Run as a program with a JSON job: url, stream, directive, capability. Prints a line once the directive is in line.
"""

import asyncio
import sys
from datetime import UTC, datetime

import orjson

from ven_adapters.config import QueueSettings
from ven_adapters.contract import Capability, Directive, Snapshot
from ven_adapters.transport.http.codec import load
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from vtn.clock import parse_clock


async def main(job: dict[str, object]) -> None:
    heard = datetime.now(UTC)
    directive = load(Directive, job["directive"], received_at=heard)
    capability = load(Capability, job["capability"], received_at=heard)
    link = QueueConnection(QueueSettings.model_validate(job["queue"]), "bmw")
    remote = RemoteBackend(link, parse_clock(str(job["clock"])), "planner")
    await link.ready()
    call = asyncio.create_task(remote.submit(directive, capability, Snapshot(directive.vehicle_ref)))
    while not remote.counts["handed_in"]:  # noqa: ASYNC110 - a count, no event
        await asyncio.sleep(0.01)
    print("in line", flush=True)  # noqa: T201 - the test waits for this line
    await call


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))
