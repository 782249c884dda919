"""Run a simulated public cloud until it is told to stop, with what its adapter needs to find it.

`state` is the adapter's folder: owners' grants are put there as if they had consented, and beside them `backend.toml`,
the table that its settings file needs.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.simulator.cars.fleets import SimulatedFleet, plan_fleet
from ven_adapters.simulator.public.commands import Commands
from ven_adapters.simulator.public.grants import App
from ven_adapters.simulator.public.vendors import APP, HOOK_SECRET, VENDORS, PublicCloud
from ven_adapters.simulator.serve import ledger_of, ticking
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.transport.grants.grants import Folder, store
from ven_adapters.transport.grants.oauth import Grant
from vtn.clock import Clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress
from vtn.privatefiles import write_private
from vtn.tasks import run_until_signalled

VOLTS = 230


@dataclasses.dataclass(frozen=True, slots=True)
class Neighbour:
    """The adapter that is to find this cloud: its private folder, and the port on which it takes webhooks, if any."""

    state: Path
    webhook_port: int | None = None


async def serve(
    settings: SimulatorSettings, clock: Clock, neighbour: Neighbour, *, say: Callable[[str], None] = print
) -> None:
    """Serve until told SIGTERM or SIGINT; one ready line to `say`; the ground truth at the end."""
    public = made(settings, clock)
    address = ListenAddress(settings.host, settings.port, "--port")
    async with listening(public.application(), address) as port:
        url = f"http://{settings.host}:{port}"
        introduce(public, url, neighbour)
        where = f"url={url} settings={neighbour.state / 'backend.toml'}"
        say(f"ready vendor={settings.brand} cars={settings.cars} {where}")
        await _live(public, clock)
    public.vendor_cloud.now()
    if settings.truth_dir is not None:
        public.vendor_cloud.cloud.ledger.write(settings.truth_dir)


async def _live(public: PublicCloud, clock: Clock) -> None:
    """Let the cars live until told to stop."""
    cars = asyncio.create_task(ticking(clock, public.tick))
    try:
        await run_until_signalled(cars)
    finally:
        cars.cancel()
        await asyncio.gather(cars, return_exceptions=True)
        await public.vendor_cloud.hooks.close()


def made(settings: SimulatorSettings, clock: Clock) -> PublicCloud:
    """The cloud of a vendor, its cars brought to the present. The settings' token is the application's secret."""
    fleet = _supplied(plan_fleet(settings), VENDORS[settings.brand].phases)
    cloud = Commands(fleet, settings.seed, settings.faults, ledger_of(settings, fleet))
    cloud.advance(clock.now())
    return PublicCloud(settings.brand, cloud, clock, App(APP.client_id, settings.token))


def introduce(public: PublicCloud, url: str, neighbour: Neighbour) -> None:
    """Put owners' grants and the adapter's table into its folder, and deliver webhooks to it."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    for owner in public.owners:
        grant = Grant("worn-out", long_ago, public.grants.refresh_token(owner))
        store(Folder(neighbour.state / "grants").file(owner), grant)
    given = public.settings(url) | {"state": str(neighbour.state)}
    if neighbour.webhook_port is not None and public.vendor.sign is not None:
        public.listen_at(neighbour.webhook_port)
        given |= {"webhook_secret": HOOK_SECRET, "webhook_port": neighbour.webhook_port}
    write_private(neighbour.state / "backend.toml", toml("backend", given).encode())


def toml(name: str, table: Mapping[str, Any]) -> str:
    """A table of plain values and tables of the same; text, numbers, lists and flags are written alike in JSON."""
    plain = [f"{_text(key)} = {_text(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    inner = [toml(f"{name}.{_text(key)}", value) for key, value in table.items() if isinstance(value, Mapping)]
    return "\n".join([f"[{name}]", *plain, "", *inner])


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _supplied(fleet: SimulatedFleet, phases: int) -> SimulatedFleet:
    """The same cars at supplies of so many phases, at about the power that they had."""
    if phases == 1:
        return fleet
    watts = float(phases * VOLTS)
    max_a = (fleet.max_charge_w / watts).round().astype(int).clip(min=6)
    return dataclasses.replace(fleet, max_a=max_a, voltage_v=fleet.voltage_v * 0 + VOLTS, max_charge_w=max_a * watts)
