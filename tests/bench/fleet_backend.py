"""A simulated automaker's backend for the fleet bench; a process of its own, ended by SIGTERM.

Beside serving its cars over HTTP it writes what an adapter learns of them in its first days: enrolments, capabilities
and a first reading of every car, as the bytes that would have come over the wire.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

import uvloop

from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.transport.http.codec import dumps
from vtn.clock import parse_clock


async def serve(job: dict[str, object]) -> None:
    """Serve until told to stop; one line on standard output when everything is written and the port is open."""
    clock, folder = parse_clock(str(job["clock"])), Path(str(job["folder"]))
    zones = tuple(f"zone-{number:02d}" for number in range(int(str(job["zones"]))))
    cars, brand, token = int(str(job["cars"])), str(job["brand"]), str(job["token"])
    settings = SimulatorSettings(brand, cars, 7, clock.now(), token, nights=1, zones=zones, truth="as_told")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running(settings, clock) as live:
        cloud = live.backend.cloud
        write_enrolment(cloud.fleet, folder / "cars.jsonl")
        with (folder / "capabilities.jsonl").open("wb") as out:
            out.writelines(dumps(cloud.capability(car)) + b"\n" for car in range(cars))
        with (folder / "readings.jsonl").open("wb") as out:
            out.writelines(dumps(snapshot) + b"\n" for snapshot in live.backend.views.changed())
        sys.stdout.write(f"the backend is ready at http://127.0.0.1:{live.port}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.argv[1])))
