"""An evening with each shipped vendor through a whole adapter: a real VTN, the adapter's `Agent`, a vendor with cars.

`python tests/evenings.py` plays one for every vendor, or for those that are named, and prints what came of it by the
vendor's own truth. Cars come home all evening; from 18 to 21 h the grid asks for the most, and for an hour in the
middle the vendor tells nothing by itself. The exit code is 0 when every vendor keeps every measure.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import sys
import tempfile
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from agent_rig import Rig, eventually
from evening_truth import EveningTruth, Shed
from pacing import standing_time
from rich.console import Console
from rich.table import Table
from vendor_rig import VENDORS, VendorRig, vendor_rig
from vtn_thread import launcher, template_of

from ven_adapters.config import ReadingSettings
from ven_adapters.simulator.public.vendor_cloud import Deal
from ven_adapters.ven.fleet.read_schedule import DAYS_OF_A_MONTH
from vtn.clock import print_clock

NOON = datetime(2026, 7, 1, 19, 0, tzinfo=UTC)  # of a Wednesday in California
MORNING = NOON + timedelta(hours=24)
LEAST_SHED = 0.9
AFTER_MINUTES = 5
NIGHT_S = 10 * 3600.0
CARS, SPEED, WIDTH = 40, 240.0, 200
MEASURE = ReadingSettings()


@dataclasses.dataclass(frozen=True)
class EveningPlan:
    """The instants of one evening, hours after noon. `whole_night`: the adapter lives until the last car is given back.

    Without it, it is stopped after the event where windows end by themselves.
    """

    begins_h: float = 5.0
    event_h: tuple[float, float] = (6.0, 9.0)
    lost_h: tuple[float, float] = (7.0, 8.0)
    whole_night: bool = True

    def at(self, hours: float) -> datetime:
        return NOON + timedelta(hours=hours)


SHORT = EveningPlan(begins_h=5.75, event_h=(6.0, 7.5), lost_h=(6.25, 7.25), whole_night=False)


@dataclasses.dataclass(frozen=True)
class EveningResult:
    """What one evening came to. Calls and US dollars are of the dearest car; `oldest_s` of a car plugged in."""

    vendor: str
    cars: int
    arrived: int
    shed: Shed
    reads: int
    commands: float
    read_usd: float
    usd: float
    oldest_s: float
    departures: int
    late: int

    def broken(self) -> list[str]:
        """The measures that this evening does not keep."""
        kept = {
            "cars came home": self.arrived > 0,
            "enough could be held": self.shed.controllable_kwh
            >= VENDORS[self.vendor].least_controllable * self.shed.unmanaged_kwh,
            "shed of what could be held": self.shed.of_controllable >= LEAST_SHED,
            "readings of a car": self.reads <= MEASURE.calls_per_car_and_day,
            "money for a car's readings": self.read_usd <= MEASURE.usd_per_car_and_month / DAYS_OF_A_MONTH,
            "every car left": self.departures > 0,
            "late though feasible": self.late == 0,
        }
        return [name for name, good in kept.items() if not good]


async def play(
    launch: typing.Callable[..., typing.Any],
    vendor: str,
    folder: Path,
    *,
    cars: int = CARS,
    speed: float = SPEED,
    seed: int = 7,
    plan: EveningPlan | None = None,
) -> EveningResult:
    """One vendor's evening, and its night until every car has left."""
    plan = plan or EveningPlan()
    starts_at = plan.at(plan.begins_h)
    async with contextlib.AsyncExitStack() as stack:
        driven = await stack.enter_async_context(standing_time())
        more = {"cars": cars, "seed": seed, "starts_real_s": driven.time()}
        vendor_side = await stack.enter_async_context(vendor_rig(vendor, folder, starts_at, speed, **more))
        truth = EveningTruth(vendor_side.cloud, MORNING, at_stations=bool(vendor_side.row.version))
        with launch({"server.clock": print_clock(vendor_side.clock)}) as vtn:
            rig = Rig(vtn, vendor_side.clock, folder, vendor_side.cloud, 0)
            rig.change(oem=vendor_side.row.oem, backend=vendor_side.table, cycle_s=300)
            try:
                oldest_s = await _evening(rig, vendor_side, plan, cars)
            finally:
                await rig.close()
        vendor_side.advance(MORNING)
        return _result(vendor_side, truth, plan, cars, oldest_s)


async def _evening(rig: Rig, vendor: VendorRig, plan: EveningPlan, cars: int) -> float:
    """From the first look at the cars until the last is given back; how old the oldest reading became, in seconds."""
    first, last = (plan.at(hours) for hours in plan.event_h)
    minutes = (last - first).total_seconds() / 60.0
    starts_in_s = (first - rig.clock.now()).total_seconds()
    await rig.event("SIMPLE", 3, minutes=round(minutes), starts_in_s=starts_in_s)
    agent = await rig.start()
    oldest_s = 0.0
    while rig.clock.now() < last:
        now_h = (rig.clock.now() - NOON).total_seconds() / 3600.0
        vendor.pushes = not plan.lost_h[0] <= now_h < plan.lost_h[1]
        if rig.clock.now() >= first:
            oldest_s = max(oldest_s, _oldest_s(agent, vendor))
        await asyncio.sleep(0.05)
    vendor.pushes = True
    assert len(agent.fleet_state.capabilities) == cars
    await eventually(lambda: rig.clock.now() > last + timedelta(minutes=AFTER_MINUTES), 60.0)
    if plan.whole_night or vendor.row.public:
        await eventually(lambda: not vendor.held(), 60.0 + NIGHT_S / rig.clock.speed)
    return oldest_s


def _oldest_s(agent: typing.Any, vendor: VendorRig) -> float:
    """How old the oldest of the newest readings is, of the cars that are plugged in."""
    fleet_state, now_s = agent.fleet_state, vendor.now().timestamp()
    refs = vendor.cloud.fleet.refs
    rows = fleet_state.met_rows()
    newest_s = dict(zip((fleet_state.fleet.ref(row) for row in rows), fleet_state.newest_s(rows), strict=True))
    plugged = [ref for car, ref in enumerate(refs) if vendor.cloud.world.plugged[car] and ref in newest_s]
    return max((now_s - newest_s[ref] for ref in plugged), default=0.0)


def _result(vendor: VendorRig, truth: EveningTruth, plan: EveningPlan, cars: int, oldest_s: float) -> EveningResult:
    calls = [one for one in vendor.calls() if one.deal is not Deal.GRANT]
    reads = collections.Counter(one.ref for one in calls if one.deal is Deal.READ)
    usd: collections.Counter[str] = collections.Counter()
    read_usd: collections.Counter[str] = collections.Counter()
    for one in calls:
        usd[one.ref] += vendor.usd(one)
        if one.deal is Deal.READ:
            read_usd[one.ref] += vendor.usd(one)
    summary = vendor.cloud.ledger.summary()
    return EveningResult(
        vendor=vendor.name,
        cars=cars,
        arrived=truth.arrived,
        shed=truth.between(*(plan.at(hours) for hours in plan.event_h)),
        reads=max(reads.values(), default=0),
        commands=sum(one.deal is Deal.COMMAND for one in calls) / cars,
        read_usd=max(read_usd.values(), default=0.0),
        usd=max(usd.values(), default=0.0),
        oldest_s=oldest_s,
        departures=summary["departures"],
        late=summary["late_though_feasible"],
    )


HEADS = (
    "vendor",
    "cars",
    "came home",
    "unmanaged kWh",
    "controllable kWh",
    "shed %",
    "shed % of all",
    "reads per car",
    "commands per car",
    "USD per car",
    "oldest reading, min",
    "late",
    "departures",
    "not kept",
)


def table(results: typing.Iterable[EveningResult]) -> Table:
    """A row for each vendor; reads and US dollars are those of the car that had the most."""
    made = Table(*HEADS, title="an evening with each vendor")
    for one in results:
        shed = one.shed
        row = [one.vendor, one.cars, one.arrived, f"{shed.unmanaged_kwh:.1f}", f"{shed.controllable_kwh:.1f}"]
        row += [f"{100 * shed.of_controllable:.1f}", f"{100 * shed.of_all:.1f}", one.reads, f"{one.commands:.1f}"]
        row += [f"{one.usd:.3f}", f"{one.oldest_s / 60.0:.0f}", one.late, one.departures, ", ".join(one.broken())]
        made.add_row(*map(str, row))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vendors", nargs="*", help=f"of {', '.join(VENDORS)}; all without any")
    parser.add_argument("--cars", type=int, default=CARS)
    parser.add_argument("--speed", type=float, default=SPEED, help="of simulated time")
    parser.add_argument("--seed", type=int, default=7, help="draws the cars")
    parser.add_argument("--short", action="store_true", help="an hour and a half of an event, and no night")
    given = parser.parse_args()
    unknown = sorted(set(given.vendors) - VENDORS.keys())
    if unknown:
        parser.error(f"{unknown[0]} is no vendor here")
    results = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evenings-")))
        launch = launcher(template_of(folder / "var"), folder / "vtn")
        for vendor in given.vendors or VENDORS:
            (folder / vendor).mkdir()
            options = {"cars": given.cars, "speed": given.speed, "seed": given.seed}
            options |= {"plan": SHORT} if given.short else {}
            results.append(asyncio.run(play(launch, vendor, folder / vendor, **options)))
            said = f"{results[-1]} {', '.join(results[-1].broken()) or 'kept'}"
            Console(stderr=True).print(said, soft_wrap=True)
    Console(width=WIDTH).print(table(results))
    return int(any(one.broken() for one in results))


if __name__ == "__main__":
    sys.exit(main())
