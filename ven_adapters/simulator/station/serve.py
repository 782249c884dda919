"""Run simulated charging stations that connect to a central system, until they are told to stop.

`state` gets `backend.toml`, the table with which the adapter is their central system.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.faults.absent_faults import ABSENT
from ven_adapters.simulator.faults.fault_draws import draw
from ven_adapters.simulator.public.serve import toml
from ven_adapters.simulator.serve import ledger_of, ticking
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.station.points import ChargingPoints
from ven_adapters.simulator.station.station import Access, SimulatedStation
from vtn.clock import Clock
from vtn.privatefiles import write_private
from vtn.tasks import run_until_signalled

BRAND = "nissan"  # the only cars here of which some feed the grid
LIVED = frozenset({"unplugged", "override", "opt_out", "asleep"})  # faults that come with the fleet's own fates


async def serve(
    settings: SimulatorSettings, clock: Clock, url: str, state: Path, *, say: Callable[[str], None] = print
) -> None:
    """Connect stations CP-1, CP-2 ... to `url`, the settings' token being their password, until told to stop."""
    points, stations = made(settings, clock, url)
    given = table(points, stations, settings, url) | {"state": str(state)}
    write_private(state / "backend.toml", toml("backend", given).encode())
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(station.run()) for station in stations]
    tasks.append(asyncio.create_task(ticking(clock, lambda: tick(points, stations, clock))))
    try:
        say(f"ready stations={len(stations)} url={url} settings={state / 'backend.toml'}")
        await run_until_signalled(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if settings.truth_dir is not None:
            points.ledger.write(settings.truth_dir)


def made(
    settings: SimulatorSettings, clock: Clock, url: str, version: str = "2.1"
) -> tuple[ChargingPoints, list[SimulatedStation]]:
    """Cars at their stations, brought to the present, with the faults that were drawn for them."""
    fleet = plan_fleet(settings)
    points = ChargingPoints(fleet, settings.seed, ledger_of(settings, fleet))
    points.live(clock.now())
    points.advance(clock.now())
    for name, rate in settings.faults.items():
        if name not in LIVED and name not in ABSENT["ocpp"]:
            struck = [ref for ref in fleet.refs if draw(settings.seed, name, ref) < rate]
            points.arm(name, struck)
    access = Access(url, settings.token, version=version)
    stations = [SimulatedStation(f"CP-{car + 1}", points, car, clock, access) for car in range(len(fleet.refs))]
    points.plug_moved = lambda car: stations[car].plugged()
    points.chose = lambda car, on: stations[car].pressed(on=on)
    return points, stations


def tick(points: ChargingPoints, stations: list[SimulatedStation], clock: Clock) -> None:
    """Bring the cars to the present, and let every station say what is due."""
    now = clock.now()
    points.live(now)
    for station in stations:
        station.tick(now)


def table(
    points: ChargingPoints, stations: list[SimulatedStation], settings: SimulatorSettings, url: str
) -> dict[str, Any]:
    """The `[backend]` table of the adapter for these stations and their cars."""
    fleet, address = points.fleet, urlsplit(url)
    cars = {
        ref: {
            "station": stations[car].name,
            "usable_wh": int(fleet.usable_wh[car]),
            "max_charge_w": int(fleet.max_charge_w[car]),
            "max_discharge_w": int(fleet.max_discharge_w[car]),
            "voltage_v": int(fleet.voltage_v[car]),
        }
        for car, ref in enumerate(fleet.refs)
    }
    passwords = {station.name: {"password": settings.token} for station in stations}
    return {"host": address.hostname, "port": address.port or 9310, "stations": passwords, "vehicles": cars}
