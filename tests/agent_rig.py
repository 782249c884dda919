"""One real adapter between a real VTN process and a real simulated automaker's cloud, on one fast clock."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pacing import paced, standing_time

from ven_adapters.config import AdapterSettings
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.faults.fault_draws import Rates
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from ven_adapters.ven.agent import Agent
from ven_adapters.ven.run import ports_of
from vtn.client import Client
from vtn.clock import print_clock
from vtn.wire.enumerations import ObjectType

EVENING = datetime(2026, 7, 2, 3, 0, tzinfo=UTC)  # 20:00 on a Wednesday in California
SPEED, STANDING_SPEED = paced(240.0), 720.0
CARS = 60
PATIENCE_S = 90.0
PATIENT_POLL_S = 800.0 * STANDING_SPEED  # the longest that a setting allows is a week
TOKEN = "cloud-token"
SECRET = "webhook-secret"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def eventually(holds: Callable[[], object], within_s: float = PATIENCE_S):
    """Wait until something holds, and return it."""
    async with asyncio.timeout(within_s):
        while not (found := holds()):  # noqa: ASYNC110 - the adapter's own state, watched from outside
            await asyncio.sleep(0.01)
        return found


async def eventually_reads(read, within_s: float = PATIENCE_S):
    """Wait until a reading of the VTN is not empty, and return it."""
    async with asyncio.timeout(within_s):
        while not (found := await read()):  # noqa: ASYNC110 - another process' state, asked for
            await asyncio.sleep(0.05)
        return found


class Rig:
    """The parts, and what tests do with them."""

    def __init__(self, vtn, clock, folder: Path, cloud: Cloud, port: int) -> None:
        self.vtn = vtn
        self.clock = clock
        self.folder = folder
        self.cloud = cloud
        self.port = port
        self.utility = Client(vtn.url, "bl", vtn.secrets["bl"])
        self.agents: list[tuple[Agent, asyncio.Task]] = []
        self.settings = self._settings()
        self._program_id: str | None = None

    def given(self, **changes) -> dict:
        """The settings of an adapter as its file has them, with these instead of the usual ones."""
        return {
            "oem": self.cloud.fleet.brand,
            "client_name": f"adapter-{self.folder.name}",
            "vtn": {"url": self.vtn.url, "client_id": "c1", "client_secret": self.vtn.secrets["c1"]},
            "backend": {
                "url": f"http://127.0.0.1:{self.port}",
                "token": TOKEN,
                "webhook_secret": SECRET,
                "clock": print_clock(self.clock),
            },
            "enrolments": [str(self.folder / "cars.jsonl")],
            "wake": {"mode": "timer", "poll_s": 0.2, "first_retry_s": 0.1, "longest_retry_s": 0.3},
            "cycle_s": 120,
            "plans_per_s": 10,
            "clock": print_clock(self.clock),
            "var": str(self.folder),
            **changes,
        }

    def _settings(self, **changes) -> AdapterSettings:
        return AdapterSettings.model_validate_json(json.dumps(self.given(**changes)))

    def change(self, **changes) -> None:
        """Other settings for the agents that are started from now on."""
        self.settings = self._settings(**changes)

    async def start(self) -> Agent:
        """Start an adapter and wait until it is registered and knows its events."""
        agent = Agent(self.settings, self.clock, ports_of(self.settings))
        task = asyncio.create_task(agent.run())
        self.agents.append((agent, task))
        await eventually(
            lambda: (
                task.done() or (agent.vtn_polling.registered and agent.vtn_objects.polled and agent.statistics.cycles)
            )
        )
        if task.done():
            task.result()
        return agent

    async def stop(self) -> None:
        """Stop every adapter as SIGTERM would."""
        for agent, task in self.agents:
            agent.stop()
            await task
        self.agents.clear()

    async def program(self, **more) -> str:
        made = await self.utility.create(ObjectType.PROGRAM, {"programName": f"p-{time.time_ns()}", **more})
        return made["id"]

    async def usual_program(self) -> str:
        """The one program that events belong to unless the test says otherwise."""
        self._program_id = self._program_id or await self.program(programName="evening")
        return self._program_id

    async def event(self, payload_type, value, *, minutes=240, starts_in_s=0.0, program_id=None, **more):
        """An event of one interval; `more` overrides its parts."""
        start = self.clock.now() + timedelta(seconds=starts_in_s)
        content = {
            "programID": program_id or await self.usual_program(),
            "intervalPeriod": {"start": start.isoformat(), "duration": f"PT{minutes}M"},
            "intervals": [{"id": 0, "payloads": [{"type": payload_type, "values": [value]}]}],
            **more,
        }
        return await self.utility.create(ObjectType.EVENT, content)

    async def asked_reports(self, event) -> list[dict]:
        """The reports on an event that it asked for; those that are told unasked bear a name."""
        found = await self.utility.search(ObjectType.REPORT, eventID=event["id"])
        return [one for one in found if not one.get("reportName")]

    async def cancel(self, event) -> None:
        await self.utility.delete(ObjectType.EVENT, event["id"])

    async def close(self) -> None:
        await self.stop()
        await self.utility.close()


@contextlib.asynccontextmanager
async def rigged(
    launch, folder: Path, *, brand="bmw", cars=CARS, faults: Rates = NO_FAULTS, process=False, **server
) -> AsyncIterator[Rig]:
    """A VTN and a cloud with its cars, on one clock that starts now; adapters are started by the test."""
    alone = process or bool(server)
    settings = SimulatorSettings(brand, cars, 7, EVENING, TOKEN, nights=1, faults=faults, truth="as_told")
    write_enrolment(plan_fleet(settings), folder / "cars.jsonl")
    async with standing_time(when=not alone) as standing:
        clock = standing.clock(EVENING, SPEED if alone else STANDING_SPEED)
        with launch({"server.clock": print_clock(clock), **server}, process=process) as vtn:
            async with running(settings, clock) as live:
                rig = Rig(vtn, clock, folder, live.backend.cloud, live.port)
                try:
                    yield rig
                finally:
                    await rig.close()


def config_of(rig):
    """The rig's settings as an adapter's file."""
    settings = rig.settings
    text = f"""
oem = "{settings.oem}"
client_name = "{settings.client_name}"
enrolments = ["{settings.enrolments[0]}"]
clock = "{print_clock(rig.clock)}"
var = "{settings.var}"
[vtn]
url = "{settings.vtn.url}"
client_id = "c1"
client_secret = "s"
[backend]
url = "http://127.0.0.1:1"
"""
    path = rig.folder / "adapter.toml"
    path.write_text(text)
    return path
