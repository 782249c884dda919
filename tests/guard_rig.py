"""A simulated public cloud in this process; beside it, as processes, an adapter that holds its cars, and the guard."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sqlite3
import sys
import time
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fork_server
from aiohttp import web
from pacing import paced

from ven_adapters.guard.child import LOG
from ven_adapters.simulator.command import models_of
from ven_adapters.simulator.public import serve as clouds
from ven_adapters.simulator.public.vendor_cloud import Deal
from ven_adapters.simulator.serve import ticking
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.transport.windows.hold_leases import FILE, LeaseState, guard_is_alive
from vtn.clock import SimulatedClock, print_clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress

CHILD = Path(__file__).parent / "faults" / "guard_child.py"
EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)  # 21:00 on a Wednesday in California
PATIENCE_S = 120.0
CARS = 24
SLICE_S = 1200.0
LONGEST_HOLD = timedelta(hours=3)
SPARE = timedelta(minutes=45)
EFFICIENCY = 0.88


@dataclasses.dataclass
class GuardRig:
    """One vendor's cloud, its cars' truth, and the processes beside it."""

    public: typing.Any
    clock: SimulatedClock
    folder: Path
    refusing: bool = False
    held: int = 0
    processes: list = dataclasses.field(default_factory=list)
    adapters: list = dataclasses.field(default_factory=list)

    @property
    def state(self):
        return self.folder / "state"

    @property
    def config(self):
        return self.folder / "adapter.toml"

    @property
    def cloud(self):
        return self.public.vendor_cloud.cloud

    def commands(self):
        """When a command was taken, and by which car."""
        return [
            (one.at, one.ref)
            for one in self.public.vendor_cloud.calls
            if one.deal is Deal.COMMAND and one.status == 200
        ]

    def ends(self):
        """Until when a planner would hold cars: at most for some hours, and no car that would be late for it."""
        fleet, now = self.cloud.fleet, self.clock.now()
        world = self.cloud.world
        ends = {}
        for car, ref in enumerate(fleet.refs):
            need_wh = (fleet.target_pct[car] / 100.0 * fleet.usable_wh[car] - world.soc_wh[car]) / EFFICIENCY
            departs = fleet.midnight + timedelta(seconds=float(fleet.declared_s[0, car]))
            latest = departs - timedelta(hours=float(need_wh / fleet.max_charge_w[car])) - SPARE
            end = min(now + LONGEST_HOLD, latest)
            resumes = self.cloud.capability(car).can_resume_after_stop
            if resumes and world.plugged[car] and world.power_w[car] > 1_000 and end > now + SPARE:
                ends[ref] = end.isoformat()
        return ends

    def seconds_until(self, end):
        """How long an end of `ends` is away, in seconds of the shared clock."""
        return (datetime.fromisoformat(end) - self.clock.now()).total_seconds()

    async def process(self, *words):
        """A program of this project, whose log is `adapter.log`."""
        environ = {**os.environ, "PYTHONPATH": str(CHILD.parents[2])}
        with (self.folder / "adapter.log").open("ab") as log:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=log, env=environ)
        self.processes.append(process)
        return process

    async def adapter(self, ends=None, *, ready=True):
        """An adapter process; `ready`: it has held its cars, and `held` says how many."""
        wanted = self.folder / "ends.json"
        wanted.write_text(json.dumps(self.ends() if ends is None else ends))
        with (self.folder / "adapter.log").open("ab") as log:
            process = await fork_server.converse(str(CHILD), str(self.config), str(wanted), stderr=log)
        self.adapters.append(process)
        if ready:
            async with asyncio.timeout(PATIENCE_S):
                word, _, number = (await process.stdout.readline()).decode().partition(" ")
            assert word == "held", (self.folder / "adapter.log").read_text()
            self.held = int(number)
        return process

    async def guard_there(self):
        await self.until(lambda: guard_is_alive(self.state) and self.guard_pids())

    def guard_pids(self):
        """The processes of this rig's guards."""
        return [pid for pid, _ in guards_of(self.config)]

    def guard_words(self):
        """The command line of the guard."""
        return next(words for _, words in guards_of(self.config))

    def stopped(self, refs):
        """Those of the cars that do not charge although they are plugged in and not full."""
        self.cloud.advance(self.clock.now())
        world = self.cloud.world
        cars = [self.cloud.fleet.refs.index(ref) for ref in refs]
        return [
            self.cloud.fleet.refs[car]
            for car in cars
            if world.plugged[car] and world.power_w[car] <= 1.0 and not self.cloud.full(car)
        ]

    def leases(self):
        """The rows of the guard's store: car, state."""
        with contextlib.closing(sqlite3.connect(self.state / FILE)) as database:
            return database.execute("SELECT ref, state FROM holds ORDER BY ref").fetchall()

    def all_returned(self):
        return {state for _, state in self.leases()} == {LeaseState.RETURNED}

    async def until(self, met):
        async with asyncio.timeout(PATIENCE_S):
            while not met():  # noqa: ASYNC110 - processes tell nobody what they did
                await asyncio.sleep(0.1)

    def morning(self):
        """Let the night pass at once, as the cars now stand; what it came to."""
        self.cloud.advance(EVENING + timedelta(hours=14))
        return self.cloud.ledger.summary()

    def said(self):
        return (self.state / LOG).read_text()


def guards_of(config):
    """The guards that have this settings file on their command line: process and words."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text().split("\0")
            if "guard" in words and str(config) in words:
                yield int(path.parent.name), words


def end_guards(config):
    """End the guards that read this file."""
    for pid, _ in guards_of(config):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def guard_rig(vendor, folder, *, speed=200.0, seed=7, guard="child", **more):
    """A vendor's cloud with cars; every guard and adapter ends with the block."""
    clock = SimulatedClock(EVENING, time.time(), paced(speed))
    settings = SimulatorSettings(
        models_of(vendor),
        CARS,
        seed,
        EVENING,
        "a-secret-of-16-or-more",
        faults={},
        nights=1,
        opted_out_probability=0.0,
        away_probability=0.0,
        plug_in_probability=1.0,
        truth="as_told",
    )
    public = clouds.made(settings, clock)
    rig = GuardRig(public, clock, folder)
    app = public.application()
    app.middlewares.append(_refusing(rig))
    async with listening(app, ListenAddress("127.0.0.1", 0, "--port")) as port:
        clouds.introduce(public, f"http://127.0.0.1:{port}", clouds.Neighbour(rig.state))
        _write_config(rig, vendor, guard, more)
        cars = asyncio.create_task(ticking(clock, public.tick))
        try:
            yield rig
        finally:
            cars.cancel()
            await asyncio.gather(cars, return_exceptions=True)
            for adapter in rig.adapters:
                await adapter.close()
            for process in rig.processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            end_guards(rig.config)


def _refusing(rig):
    @web.middleware
    async def refuse(request, handler):
        if rig.refusing and request.method == "POST" and "token" not in request.path:
            return web.Response(status=503)
        return await handler(request)

    return refuse


def _write_config(rig, vendor, guard, more):
    backend = (rig.state / "backend.toml").read_text()
    extra = {"clock": print_clock(rig.clock), "answer_s": 20.0, "anywhere": True}
    lines = [f"{key} = {json.dumps(value)}" for key, value in extra.items()]
    backend = backend.replace("[backend]\n", "\n".join(["[backend]", *lines, ""]), 1)
    head = {"oem": vendor, "client_name": "guarded", "enrolments": [str(rig.folder / "cars.jsonl")]}
    head |= {"var": str(rig.folder / "var"), "clock": print_clock(rig.clock)}
    rig.config.write_text(
        "\n".join(f"{key} = {json.dumps(value)}" for key, value in head.items())
        + f'\n\n[vtn]\nurl = "http://127.0.0.1:9/"\nclient_id = "us"\nclient_secret = "hush"\n\n{backend}\n'
        + "".join(f"\n[{name}]\n" + clouds.toml(name, table).partition("\n")[2] for name, table in more.items())
        + f'\n[guard]\nmode = "{guard}"\n'
    )
