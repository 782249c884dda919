"""Every shipped vendor as one kind of rig: its simulated cloud or stations, its adapter's `[backend]`, who called.

A row of `VENDORS` names the adapter and says how its vendor is simulated. A rig can lose the vendor's pushes for a
while, and can let a night pass at once.
"""

import asyncio
import contextlib
import dataclasses
import json
import typing
from datetime import datetime
from pathlib import Path

from agent_rig import free_port
from aiohttp import web

from ven_adapters.oems.tesla.shapes import COMMAND_PRICE, DATA_PRICE, WAKE_PRICE
from ven_adapters.simulator import serve as backends
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.backend.endpoints import application
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.public import serve as clouds
from ven_adapters.simulator.public.vendor_cloud import Deal
from ven_adapters.simulator.public.vendors import HOOK_SECRET
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.station import serve as stations
from ven_adapters.simulator.station.line import COMMANDS
from ven_adapters.transport.call_costs import MILLION
from vtn.clock import SimulatedClock, print_clock
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress
from vtn.tasks import cancel_tasks

SECRET = "a-secret-of-16-or-more"
ANSWER_S = 20.0
# What the vendor bills for one call, in millionths of a US dollar; a vendor that is not here bills none.
PRICES = {"tesla": {Deal.READ: DATA_PRICE, Deal.COMMAND: COMMAND_PRICE, Deal.WAKE: WAKE_PRICE}}


@dataclasses.dataclass(frozen=True)
class VendorRow:
    """One shipped vendor: the adapter's name, whose cars they are, and the version of OCPP its stations speak, if any.

    `public`: a cloud of single commands, which knows no end of a pause. `least_controllable`: the share of an evening's
    energy that can be held at all.
    """

    oem: str
    brand: str
    version: str = ""
    public: bool = False
    least_controllable: float = 0.3


VENDORS: dict[str, VendorRow] = {
    "tesla": VendorRow("tesla", "tesla", public=True),
    "smartcar": VendorRow("smartcar", "smartcar", public=True),
    "enode": VendorRow("enode", "enode", public=True),
    "ocpp-1.6": VendorRow("ocpp", "tesla", "1.6"),
    "ocpp-2.0.1": VendorRow("ocpp", "tesla", "2.0.1"),
    "ocpp-2.1": VendorRow("ocpp", "nissan", "2.1"),
    "bmw": VendorRow("bmw", "bmw"),
    "ford": VendorRow("ford", "ford"),
    "honda": VendorRow("honda", "honda"),
    "nissan": VendorRow("nissan", "nissan", least_controllable=0.1),  # most of its cars can be started, and not stopped
}


@dataclasses.dataclass(frozen=True)
class CarCall:
    """One call that reached the vendor for a car."""

    at: datetime
    ref: str
    deal: Deal


@dataclasses.dataclass
class VendorRig:
    """One vendor at work. `table` is its adapter's `[backend]`; `calls` what reached it; `pushes` whether it tells."""

    name: str
    row: VendorRow
    folder: Path
    clock: SimulatedClock
    cloud: Cloud
    table: dict[str, typing.Any]
    calls: typing.Callable[[], list[CarCall]]
    advance: typing.Callable[[datetime], None]
    pushes: bool = True
    answers: bool = True

    @property
    def enrolments(self) -> Path:
        return self.folder / "cars.jsonl"

    @property
    def state(self) -> Path:
        """The adapter's private folder."""
        return self.folder / "state"

    def now(self) -> datetime:
        """The present, with every car brought to it."""
        now = self.clock.now()
        self.advance(now)
        return now

    def usd(self, call: CarCall) -> float:
        return PRICES.get(self.row.oem, {}).get(call.deal, 0) / MILLION

    def held(self) -> list[str]:
        """The cars that something from outside keeps from charging now."""
        self.now()
        world, fleet = self.cloud.world, self.cloud.fleet
        limited = (world.limit_w < fleet.max_charge_w - 1.0) | (world.ceiling_wh < world.target_wh - 1.0)
        return [fleet.refs[car] for car in range(len(fleet.refs)) if limited[car] and world.plugged[car]]


def write_settings(path: Path, given: typing.Mapping[str, typing.Any]) -> Path:
    """Settings as the file of a program: plain values first, tables after them."""
    plain = {key: value for key, value in given.items() if not isinstance(value, dict)}
    tables = [clouds.toml(key, value) for key, value in given.items() if isinstance(value, dict)]
    path.write_text("\n".join([*(f"{key} = {json.dumps(value)}" for key, value in plain.items()), "", *tables]))
    return path


@contextlib.asynccontextmanager
async def vendor_rig(
    name: str,
    folder: Path,
    starts_at: datetime,
    speed: float,
    *,
    cars: int,
    seed: int = 7,
    starts_real_s: float,
    **more: typing.Any,
) -> typing.AsyncIterator[VendorRig]:
    """A vendor with its cars, on a clock that stood at `starts_at` at `starts_real_s`, without faults of its own."""
    row = VENDORS[name]
    clock = SimulatedClock(starts_at, starts_real_s, speed)
    given = {"faults": {}, "nights": 1, "opted_out_probability": 0.0, "truth": "as_told"} | more
    settings = SimulatorSettings(row.brand, cars, seed, starts_at, SECRET, **given)
    make = _stations if row.version else _public if row.public else _reference
    async with make(name, row, folder, settings, clock) as rig:
        write_enrolment(rig.cloud.fleet, rig.enrolments)
        yield rig


@contextlib.asynccontextmanager
async def _public(name, row, folder, settings, clock):
    public = clouds.made(settings, clock)
    cloud = public.vendor_cloud

    def calls():
        return [CarCall(one.at, one.ref, one.deal) for one in cloud.calls if one.ref is not None]

    rig = VendorRig(name, row, folder, clock, cloud.cloud, {}, calls, cloud.cloud.advance)
    app = public.application()
    app.middlewares.append(_refusing(rig))
    offer = cloud.hooks.offer
    cloud.hooks.offer = lambda body: offer(body) if rig.pushes else None
    async with listening(app, ListenAddress("127.0.0.1", 0, "--port")) as port:
        url = f"http://127.0.0.1:{port}"
        hook = free_port() if public.vendor.sign is not None else None
        clouds.introduce(public, url, clouds.Neighbour(rig.state, hook))
        rig.table = public.settings(url) | {"state": str(rig.state), "clock": print_clock(clock)}
        rig.table |= {"answer_s": ANSWER_S, "anywhere": True}
        rig.table |= {} if hook is None else {"webhook_secret": HOOK_SECRET, "webhook_port": hook}
        async with _living(clock, public.tick):
            yield rig
        await cloud.hooks.close()


@contextlib.asynccontextmanager
async def _reference(name, row, folder, settings, clock):
    backend = backends.build(settings, clock)
    seen: list[CarCall] = []
    rig = VendorRig(name, row, folder, clock, backend.cloud, {}, lambda: seen, backend.cloud.advance)
    app = application(backend)
    app.middlewares.append(_noting(seen, clock))
    app.middlewares.append(_refusing(rig))
    offer = backend.pusher.offer
    backend.pusher.offer = lambda events: offer(events) if rig.pushes else None
    async with listening(app, ListenAddress("127.0.0.1", 0, "--port")) as port:
        rig.table = {
            "url": f"http://127.0.0.1:{port}",
            "token": SECRET,
            "webhook_secret": SECRET,
            "clock": print_clock(clock),
        }
        async with _living(clock, lambda: backends.tick(backend)):
            yield rig
        await backend.pusher.close()


@contextlib.asynccontextmanager
async def _stations(name, row, folder, settings, clock):
    url = f"ws://127.0.0.1:{free_port()}"
    points, made = stations.made(settings, clock, url, row.version)

    def calls():
        return [
            CarCall(one.at, points.fleet.refs[one.car], Deal.COMMAND if one.action in COMMANDS else Deal.READ)
            for station in made
            for one in station.heard
        ]

    rig = VendorRig(name, row, folder, clock, points, {}, calls, points.live)
    rig.table = stations.table(points, made, settings, url)
    rig.table |= {"state": str(rig.state), "clock": print_clock(clock)}

    def tick():
        if rig.pushes:
            stations.tick(points, made, clock)
        else:  # a line that lives loses nothing but what is told without a question
            points.live(clock.now())

    running = [asyncio.create_task(station.run()) for station in made]
    async with _living(clock, tick):
        try:
            yield rig
        finally:
            await cancel_tasks(running)


@contextlib.asynccontextmanager
async def _living(clock, tick):
    cars = asyncio.create_task(backends.ticking(clock, tick))
    try:
        yield
    finally:
        await cancel_tasks([cars])


def _noting(seen, clock):
    @web.middleware
    async def note(request, handler):
        ref = request.match_info.get("ref")
        if ref is not None:
            command = "directive_id" in request.match_info and request.method != "GET"
            seen.append(CarCall(clock.now(), ref, Deal.COMMAND if command else Deal.READ))
        return await handler(request)

    return note


def _refusing(rig):
    @web.middleware
    async def refuse(request, handler):
        if not rig.answers:
            return web.Response(status=503)
        return await handler(request)

    return refuse
