"""A whole adapter over a stage: the engine's `Agent` with the automaker's file, a top node, and a utility's client."""

import asyncio
import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.stage import CarTruth
from ven_adapters.adapter_checks.stages.top_node import ADAPTER, UTILITY, TopNode, opened_top_node
from ven_adapters.config import AdapterSettings
from ven_adapters.ven.agent import Agent, AgentPorts
from ven_adapters.ven.store.database import AdapterStore
from vtn.checking.verdict import Failed
from vtn.client import Client
from vtn.clock import Clock
from vtn.wire.enumerations import ObjectType

ZONE, LEVEL = "kit", 3
READY_HOURS = 12
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_S = 0.05  # real seconds between two looks, in which the adapter works
SPEED = 100.0  # about that many times as fast as real time a stage's time passes here
AGREED_AT = "2026-01-05T10:00:00Z"


@dataclasses.dataclass(frozen=True, slots=True)
class PacedClock:
    """A stage's clock as an adapter has it, which paces its own pauses by the `speed` of its clock."""

    inner: Clock
    speed: float
    naps: bool = True

    def now(self) -> datetime:
        """The present instant of the stage."""
        return self.inner.now()

    def real_seconds_until(self, at: datetime) -> float:
        """As the stage's clock has it."""
        return self.inner.real_seconds_until(at)


@dataclasses.dataclass(frozen=True, slots=True)
class WholeAdapter:
    """An adapter at work; `utility` is who asks it."""

    bench: Bench
    agent: Agent
    task: asyncio.Task[None]
    utility: Client

    async def asks(self, minutes: int) -> None:
        """The utility asks for the most, from now on."""
        program = await self.utility.create(ObjectType.PROGRAM, {"programName": "kit"})
        content = {
            "programID": program["id"],
            "intervalPeriod": {"start": self.bench.clock.now().isoformat(), "duration": f"PT{minutes}M"},
            "intervals": [{"id": 0, "payloads": [{"type": "SIMPLE", "values": [LEVEL]}]}],
        }
        await self.utility.create(ObjectType.EVENT, content)

    async def passes(self, holds: Callable[[], object], what: str, *, within_s: float, step_s: float) -> None:
        """Let simulated time go by until something holds; Failed when it never does, or the adapter ends."""
        until = self.bench.clock.now() + timedelta(seconds=within_s)
        while not holds():
            if self.task.done():
                raise Failed(f"the adapter ended by itself: {type(self.task.exception()).__name__}")
            if self.bench.clock.now() > until:
                raise Failed(f"{what} within {within_s / 60.0:.0f} minutes")
            await self.bench.stage.advance(step_s)
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def whole_adapter(bench: Bench) -> AsyncIterator[WholeAdapter]:
    """An adapter with the bench's file and all cars of its stage; the bench's own instance is closed before."""
    await bench.adapter.close()
    with tempfile.TemporaryDirectory(prefix="kit-") as name:
        folder = Path(name)
        async with opened_top_node(folder / "vtn", bench.clock) as top_node:
            settings = _settings(bench, folder, top_node)
            vtn, utility = (Client(top_node.url, who, top_node.secrets[who]) for who in (ADAPTER, UTILITY))
            ports = AgentPorts(vtn, bench.make(bench.settings), AdapterStore(settings.store()))
            agent = Agent(settings, PacedClock(bench.clock, SPEED), ports)
            task = asyncio.create_task(agent.run())
            try:
                whole = WholeAdapter(bench, agent, task, utility)
                await whole.passes(
                    lambda: agent.vtn_polling.registered, "the adapter registered nothing", within_s=7200, step_s=5.0
                )
                yield whole
            finally:
                agent.stop()
                await asyncio.gather(task, return_exceptions=True)
                await utility.close()


def _settings(bench: Bench, folder: Path, top_node: TopNode) -> AdapterSettings:
    """An adapter's settings file for this: it polls often, and takes a single car for a group."""
    cars = folder / "cars.jsonl"
    cars.write_bytes(b"".join(orjson.dumps(_enrolment(bench, ref)) + b"\n" for ref in bench.stage.refs))
    given = {
        "oem": "kit",
        "client_name": "kit",
        "vtn": {"url": top_node.url, "client_id": ADAPTER, "client_secret": top_node.secrets[ADAPTER]},
        "backend": {},
        "enrolments": [str(cars)],
        "wake": {"mode": "timer", "poll_s": 0.2, "first_retry_s": 0.1, "longest_retry_s": 0.3},
        "smallest_group": 1,
        "plans_per_s": 10,
        "var": str(folder),
    }
    return AdapterSettings.model_validate_json(orjson.dumps(given))


def _enrolment(bench: Bench, ref: str) -> dict[str, Any]:
    """A driver who agreed to be paused, and leaves in twelve hours."""
    truth: CarTruth = bench.stage.truth(ref)
    ready = f"{bench.clock.now() + timedelta(hours=READY_HOURS):%H:%M}"
    return {
        "vehicle_ref": ref,
        "zone": ZONE,
        "site_id": f"home-{ref}",
        "timezone": "UTC",
        "charging_consent": {"version": "kit", "agreed_at": AGREED_AT},
        "preferences": {
            "ready_by": dict.fromkeys(DAYS, ready),
            "target_soc_pct": truth.target_soc_pct,
            "reserve_soc_pct": truth.reserve_soc_pct,
        },
        "opted_out": False,
    }
