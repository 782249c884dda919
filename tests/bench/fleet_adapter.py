"""One adapter with a large fleet, for the bench: takes its cars in, plans, and sends an event's directives over HTTP.

It is the adapter's own `Agent` with its own store and HTTP session. What a VTN would have told it is put into its
copy of the VTN's objects, and what its backend would have told it over days comes from files; everything after that
is what runs in service. Prints one JSON object.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvloop
from stages import Place, Stages

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import Capability, DirectiveState, Snapshot
from ven_adapters.transport.http.codec import load, loads
from ven_adapters.ven import vehicle_discovery
from ven_adapters.ven.agent import Agent
from ven_adapters.ven.control import car_steps, zone_control
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.directives import registry
from ven_adapters.ven.enrolment.files import eligible, read_enrolments
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.openadr.vtn_objects import ReadEvent
from ven_adapters.ven.planning import plan
from ven_adapters.ven.run import ports_of
from vtn.clock import Clock, parse_clock
from vtn.wire.event import Event

AT_ONCE = 1_000
QUIET_CYCLES = 9
MEGA = 1024.0 * 1024.0
CYCLE: dict[str, tuple[Place, ...]] = {
    "columns gathered": ((FleetColumns, "view"),),
    "asks read": ((zone_control, "read_requests"),),
    "needs, guards, wishes": ((plan, "plan_inputs_of"),),
    "charging shared out": ((plan, "_charge_kw"),),
    "discharge shared out": ((plan, "_give_kw"),),
    "guards' last word": ((plan, "enforce"),),
    "the rest of the plan": ((zone_control, "plan"),),
    "who needs a look": ((car_steps, "_places"),),
    "zone figures": ((FleetState, "sample"),),
}
SEND: dict[str, tuple[Place, ...]] = {
    "planning": ((zone_control.ZoneController, "steer"),),
    "a car's next step": ((car_steps.StepSource, "step"),),
    "what cars hold": (
        (registry.DirectiveRegistry, "put"),
        (registry.DirectiveRegistry, "taken_up"),
        (registry.DirectiveRegistry, "outcome"),
    ),
    "rows for the store": ((FleetState, "drain"),),
}


def resident_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MEGA


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def in_lots(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, a thousand at a time."""
    with path.open("rb") as lines:
        while lot := list(itertools.islice(lines, AT_ONCE)):
            yield lot


def settings_of(job: dict[str, Any]) -> AdapterSettings:
    """An adapter's settings as a file would give them."""
    told = {
        "oem": job["brand"],
        "client_name": "bench",
        "vtn": {"url": "http://127.0.0.1:9", "client_id": "bench", "client_secret": "bench"},
        "backend": {
            "url": job["url"],
            "token": job["token"],
            "webhook_secret": "bench",
            "clock": job["clock"],
            "calls_burst": 10 * job["cars"],
        },
        "enrolments": [str(Path(job["folder"]) / "cars.jsonl")],
        "clock": job["clock"],
        "var": job["folder"],
    }
    return AdapterSettings.model_validate_json(json.dumps(told))


def take_in(agent: Agent, folder: Path, clock: Clock) -> dict[str, float]:
    """Enrol, learn and observe every car through the ports that are used in service; seconds of each."""
    began = time.perf_counter()
    agent.fleet_state.enrol(eligible(read_enrolments([folder / "cars.jsonl"])), clock.now())
    enrolled = time.perf_counter()
    for first, lot in enumerate(in_lots(folder / "capabilities.jsonl")):
        refs = map(agent.fleet_state.fleet.ref, range(first * AT_ONCE, first * AT_ONCE + len(lot)))
        found = [load(Capability, loads(line), received_at=clock.now()) for line in lot]
        agent.fleet_state.learn(dict(zip(refs, found, strict=True)))
    learnt = time.perf_counter()
    ingest_s = 0.0
    for lot in in_lots(folder / "readings.jsonl"):
        snapshots = [load(Snapshot, loads(line), received_at=clock.now()) for line in lot]
        before = time.perf_counter()
        agent.fleet_state.observe(snapshots, clock.now())
        ingest_s += time.perf_counter() - before
    return {"enrol_s": enrolled - began, "learn_s": learnt - enrolled, "ingest_s": ingest_s}


def event(clock: Clock, hours: float = 4.0) -> ReadEvent:
    """An emergency: every car that can wait is asked to."""
    now = clock.now()
    raw = {
        "id": "bench",
        "objectType": "EVENT",
        "createdDateTime": now.isoformat(),
        "modificationDateTime": now.isoformat(),
        "programID": "bench",
        "intervals": [
            {
                "id": 0,
                "intervalPeriod": {"start": now.isoformat(), "duration": f"PT{hours:.0f}H"},
                "payloads": [{"type": "SIMPLE", "values": [3]}],
            }
        ],
    }
    return ReadEvent(Event.model_validate(raw), now, time.time())


def measured(work: Callable[[], Any], times: int) -> list[float]:
    """Seconds of one core for each run of some work."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return found


def plan_all(agent: Agent, clock: Clock) -> int:
    """One planning cycle of every zone, from columns to the list of cars that need a step; how many those are."""
    now = clock.now()
    made = [
        agent.zone_controller.steer(zone, agent.participation.events_for(zone), now) for zone in agent.fleet_state.zones
    ]
    return sum(len(one.step_source.places) for one in made)


def cycles(agent: Agent, clock: Clock) -> dict[str, Any]:
    """Planning with an event in force that nobody was told of yet: each stage's time, and a sort to compare."""
    agent.vtn_objects.polled = True
    agent.vtn_objects.events["bench"] = event(clock)
    plan_all(agent, clock)
    stages = Stages()
    plain_s = measured(lambda: plan_all(agent, clock), QUIET_CYCLES)
    agent.reading.plan()
    reads_s = measured(agent.reading.plan, QUIET_CYCLES)
    with stages.watching(CYCLE):
        watched_s = sum(measured(lambda: plan_all(agent, clock), QUIET_CYCLES))
    keys = np.random.default_rng(1).random(len(agent.fleet_state.fleet))
    sort_s = statistics.median(measured(lambda: np.argsort(keys, kind="stable"), QUIET_CYCLES))
    return {"cycle_s": plain_s, "sort_s": sort_s, "cycle_shares": stages.shares(watched_s), "reads_s": reads_s}


@dataclasses.dataclass(frozen=True)
class Mark:
    """How far sending had come at an instant."""

    at_s: float
    accepted: int
    adapter_s: float
    backend_s: float

    @classmethod
    def now(cls, agent: Agent, backend_pid: int) -> "Mark":
        accepted = agent.fleet_state.registry.by_state[DirectiveState.ACCEPTED]
        return cls(time.perf_counter(), accepted, time.process_time(), cpu_s(backend_pid))


async def stretch(agent: Agent, seconds: float, backend_pid: int) -> tuple[Mark, Mark]:
    """Let the loops run for a while, or until nobody is left to be told."""
    first = Mark.now(agent, backend_pid)
    while time.perf_counter() < first.at_s + seconds and len(agent.control_loop.step_queue):  # noqa: ASYNC110 - watched from outside
        await asyncio.sleep(0.05)
    return first, Mark.now(agent, backend_pid)


async def send(agent: Agent, seconds: float, backend_pid: int) -> dict[str, Any]:
    """Let the adapter's own loops carry the event out: directives accepted per second, then where the time goes."""
    stages, by_state = Stages(), agent.fleet_state.registry.by_state
    names = ("planning", "carrying out", "storing")
    tasks = [asyncio.create_task(agent.works()[name]()) for name in names]
    while not by_state[DirectiveState.ACCEPTED]:  # noqa: ASYNC110 - watched from outside
        await asyncio.sleep(0.01)
    first, last = await stretch(agent, seconds, backend_pid)
    with stages.watching(SEND):
        watched = await stretch(agent, seconds / 4, backend_pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    accepted = max(1, last.accepted - first.accepted)
    return {
        "accepted": accepted,
        "accepted_per_s": accepted / (last.at_s - first.at_s),
        "adapter_us": (last.adapter_s - first.adapter_s) / accepted * 1e6,
        "backend_us": (last.backend_s - first.backend_s) / accepted * 1e6,
        "send_shares": stages.shares(max(watched[1].adapter_s - watched[0].adapter_s, 1e-9)),
        "states": {state.value: count for state, count in by_state.items() if count},
    }


async def main(job: dict[str, Any]) -> dict[str, Any]:
    """Everything, in the order of an adapter's day."""
    clock, folder = parse_clock(job["clock"]), Path(job["folder"])
    before_mb = resident_mb()
    agent = Agent(settings_of(job), clock, ports_of(settings_of(job)))
    await agent.ports.store.open()
    told: dict[str, Any] = take_in(agent, folder, clock) | {"imports_mb": before_mb}
    while rows := agent.fleet_state.drain():
        agent.ports.store.note(rows)
        await agent.ports.store.flush()
    vehicle_discovery.freeze_fleet()
    told |= {"cars": len(agent.fleet_state.fleet), "fleet_mb": resident_mb()} | cycles(agent, clock)
    told |= await send(agent, job["seconds"], job["backend_pid"]) | {"resident_mb": resident_mb()}
    told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with contextlib.suppress(TimeoutError):
        await agent.dispatcher.settle(5.0)
    await agent.ports.backend.close()
    return told


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(uvloop.run(main(json.loads(sys.argv[1])))).decode() + "\n")
