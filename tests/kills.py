"""Programs that are killed while they hold cars, and not started again: no driver is late who need not be.

`python tests/kills.py` has an evening with a whole adapter for every vendor, or for those that are named: the adapter
as one program, or as a planner with an executor that calls the cars. At random moments it kills the adapter, the
executor, or executor and planner, lets the night pass, and prints what the vendor's own truth says of the departures.
The exit code is 0 when nobody was late though charging at once would have made it.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import enum
import random
import sys
import tempfile
import time
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fork_server
from agent_rig import Rig
from guard_rig import end_guards
from pacing import paced
from queue_parts import nats_server
from rich.console import Console
from rich.table import Table
from vendor_rig import VENDORS, VendorRig, vendor_rig, write_settings
from vtn_thread import launcher, template_of

from ven_adapters.guard.child import LOG
from vtn.clock import HOUR_S, print_clock

EVENING = datetime(2026, 7, 2, 3, 0, tzinfo=UTC)  # 20:00 on a Wednesday in California
MORNING = EVENING + timedelta(hours=16)
EVENT_MINUTES = 6 * 60
CARS, SPEED, PATIENCE_S = 16, 300.0, 120.0
WITHIN_H, RETURN_H = 1.5, 1.0
ROOT = Path(__file__).resolve().parents[1]
QUEUE = {"ack_wait_s": 4.0, "call_s": 6.0}


class Killed(enum.StrEnum):
    """Which programs are killed; `executor` leaves the planner alive."""

    ADAPTER = "adapter"
    EXECUTOR = "executor"
    BOTH = "executor and planner"


@dataclasses.dataclass(frozen=True)
class KillResult:
    """One kill: how many cars were held at that moment, for how long the longest, and how the cars left."""

    vendor: str
    killed: Killed
    seed: int
    at: datetime
    held: int
    returned_minutes: float
    departures: int
    late: int


class Programs:
    """The programs of one adapter, each with its own settings file."""

    def __init__(self, rig: Rig, vendor: VendorRig, guard: str) -> None:
        self._rig, self._vendor, self._guard = rig, vendor, guard
        self._running: list[fork_server.AsyncFork] = []
        self._configs: list[Path] = []

    async def adapter(self) -> fork_server.AsyncFork:
        """One program that plans and calls the cars."""
        given = self._rig.given(oem=self._vendor.row.oem, backend=self._vendor.table, guard={"mode": self._guard})
        return await self._program("run", "adapter", given)

    async def planner(self, queue: dict) -> fork_server.AsyncFork:
        """A program that plans, and knows no vendor."""
        given = self._rig.given(oem=self._vendor.row.oem, queue=queue)
        del given["backend"]
        return await self._program("run", "planner", given)

    async def executor(self, queue: dict) -> fork_server.AsyncFork:
        """A program that calls the cars."""
        given = {"oem": self._vendor.row.oem, "clock": print_clock(self._vendor.clock), "queue": queue}
        given |= {"backend": self._vendor.table, "guard": {"mode": self._guard}}
        return await self._program("execute", "executor", given)

    async def _program(self, what: str, name: str, given: dict) -> fork_server.AsyncFork:
        config = write_settings(self._vendor.folder / f"{name}.toml", given)
        words = (what, self._vendor.row.oem, "--config", str(config))
        with (self._vendor.folder / f"{name}.log").open("ab") as log:
            made = await fork_server.begin("ven_adapters", *words, log=log)
        self._running.append(made)
        self._configs.append(config)
        return made

    def ended(self) -> list[int]:
        """The exit codes of programs that ended by themselves."""
        return [one.returncode for one in self._running if one.returncode is not None]

    async def close(self) -> None:
        """End what is still running, the guards too."""
        for one in self._running:
            await one.close()
        for config in self._configs:
            end_guards(config)


async def play_kill(
    launch: typing.Callable[..., typing.Any],
    vendor: str,
    killed: Killed,
    seed: int,
    folder: Path,
    *,
    cars: int = CARS,
    speed: float = SPEED,
    within_h: float = WITHIN_H,
    guard: str = "child",
) -> KillResult:
    """One evening: the programs hold cars, some are killed within so many hours, the night passes."""
    everybody = {"away_probability": 0.0, "plug_in_probability": 1.0}
    more = {"cars": cars, "seed": seed, "starts_real_s": time.time()} | everybody
    async with contextlib.AsyncExitStack() as stack:
        side = await stack.enter_async_context(vendor_rig(vendor, folder, EVENING, speed, **more))
        vtn = stack.enter_context(launch({"server.clock": print_clock(side.clock)}))
        rig = Rig(vtn, side.clock, folder, side.cloud, 0)
        stack.push_async_callback(rig.close)
        programs = Programs(rig, side, guard)
        stack.push_async_callback(programs.close)
        await rig.event("SIMPLE", 3, minutes=EVENT_MINUTES)
        doomed = await _started(programs, killed, stack, folder)
        await _until(lambda: side.held() or programs.ended())
        wait_h = random.Random(f"{vendor}/{killed}/{seed}").uniform(0.0, within_h)
        moment = side.clock.now() + timedelta(hours=wait_h)
        await _until(lambda: side.clock.now() >= moment or programs.ended(), within_h * HOUR_S / speed)
        assert not programs.ended(), _logs(folder)
        held, at = side.held(), side.clock.now()
        for one in doomed:
            one.kill()
            await one.wait()
        returned_minutes = await _returned(side, at) if side.row.public and guard != "off" else 0.0
        if side.row.version:
            await _until(lambda: all(point.offline_since is not None for point in side.cloud.points))  # type: ignore[attr-defined]
        side.advance(MORNING)
        truth = side.cloud.ledger.summary()
        counts = truth["departures"], truth["late_though_feasible"]
        return KillResult(vendor, killed, seed, at, len(held), returned_minutes, *counts)


async def _started(
    programs: Programs, killed: Killed, stack: contextlib.AsyncExitStack, folder: Path
) -> list[fork_server.AsyncFork]:
    """Start what there is; the programs that are to be killed."""
    if killed is Killed.ADAPTER:
        return [await programs.adapter()]
    server = stack.enter_context(nats_server(folder / "nats"))
    queue = {"url": server.url, **QUEUE}
    executor, planner = await programs.executor(queue), await programs.planner(queue)
    return [executor] if killed is Killed.EXECUTOR else [executor, planner]


async def _returned(side: VendorRig, since: datetime) -> float:
    """Wait until every car is given back; after how many simulated minutes that was."""
    try:
        await _until(lambda: not side.held(), RETURN_H * HOUR_S / side.clock.speed)
    except TimeoutError:
        raise AssertionError(f"{side.held()} are held by nobody: {(side.state / LOG).read_text()[-3000:]}") from None
    return (side.clock.now() - since).total_seconds() / 60.0


async def _until(met: typing.Callable[[], object], usual_s: float = 0.0) -> None:
    async with asyncio.timeout(usual_s + PATIENCE_S):
        while not met():  # noqa: ASYNC110 - processes tell nobody what they did
            await asyncio.sleep(0.05)


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in folder.glob("*.log"))


def table(results: typing.Iterable[KillResult]) -> Table:
    """A row for each vendor and kind of kill."""
    heads = ("vendor", "killed", "moments", "cars held", "longest until given back, min", "departures", "late")
    made = Table(*heads, title="programs killed and not started again")
    groups: dict[tuple[str, Killed], list[KillResult]] = {}
    for one in results:
        groups.setdefault((one.vendor, one.killed), []).append(one)
    for (vendor, killed), ones in groups.items():
        held = f"{min(one.held for one in ones)} to {max(one.held for one in ones)}"
        longest = f"{max(one.returned_minutes for one in ones):.0f}" if VENDORS[vendor].public else "own end"
        sums = sum(one.departures for one in ones), sum(one.late for one in ones)
        made.add_row(vendor, killed, str(len(ones)), held, longest, *map(str, sums))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vendors", nargs="*", help=f"of {', '.join(VENDORS)}; all without any")
    parser.add_argument("--moments", type=int, default=12, help="random moments for each vendor and kind of kill")
    parser.add_argument("--killed", choices=[one.name.lower() for one in Killed], action="append", help="all without")
    parser.add_argument("--seed", type=int, default=1, help="the first; each moment has the next")
    parser.add_argument("--within-h", type=float, default=WITHIN_H, help="hours in which the moments lie")
    parser.add_argument("--cars", type=int, default=CARS)
    parser.add_argument("--speed", type=float, default=SPEED, help="of simulated time on an idle machine")
    given = parser.parse_args()
    unknown = sorted(set(given.vendors) - VENDORS.keys())
    if unknown:
        parser.error(f"{unknown[0]} is no vendor here")
    kinds = [Killed[name.upper()] for name in given.killed or [one.name for one in Killed]]
    results = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        launch = launcher(template_of(folder / "var"), folder / "vtn")
        for vendor in given.vendors or VENDORS:
            for killed in kinds:
                for seed in range(given.seed, given.seed + given.moments):
                    own = folder / f"{vendor}-{killed.name}-{seed}"
                    own.mkdir()
                    options = {"cars": given.cars, "speed": paced(given.speed), "within_h": given.within_h}
                    results.append(asyncio.run(play_kill(launch, vendor, killed, seed, own, **options)))
                    Console(stderr=True).print(str(results[-1]), soft_wrap=True)
    Console(width=120).print(table(results))
    return int(any(one.late or not one.departures for one in results))


if __name__ == "__main__":
    sys.exit(main())
