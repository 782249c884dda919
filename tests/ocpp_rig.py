"""A central system and charging stations in this process, for the tests of OCPP."""

import asyncio
import contextlib
import dataclasses
import json
from datetime import UTC, datetime, timedelta

from ocpp_station import Station
from ocpp_station16 import Station16
from pacing import standing_time

from ven_adapters.contract import Directive, DirectiveKind, DirectivesChanged, DriverChose, OnCommLoss, SnapshotsSeen
from ven_adapters.oems import ocpp
from vtn.clock import SimulatedClock
from vtn.tasks import cancel_tasks

EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
SPEED = 240.0
PATIENCE_S = 90.0
PASSWORD = "a-password-of-16+"
OFFLINE_LIMIT_S = 120
CAR = "car-1"


def place(**more):
    return {
        "station": "CP-1",
        "usable_wh": 60_000,
        "max_charge_w": 11_000,
        "max_discharge_w": 9_600,
        "phases": 3,
        "voltage_v": 230,
    } | more


def settings(**more):
    return {
        "port": 0,
        "answer_s": 1.0,
        "offline_limit_s": OFFLINE_LIMIT_S,
        "stations": {"CP-1": {"password": PASSWORD}},
        "vehicles": {CAR: place()},
    } | more


@dataclasses.dataclass
class Peer:
    """A station: what it is told to do, and what it says."""

    said: list = dataclasses.field(default_factory=list)
    orders: asyncio.Queue = dataclasses.field(default_factory=asyncio.Queue)
    lines: asyncio.Queue = dataclasses.field(default_factory=asyncio.Queue)

    async def heard(self, key):
        """The next line that has this key."""
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.lines.get():
                self.said.append(json.loads(line))
                if key in self.said[-1]:
                    return self.said[-1][key]
        raise AssertionError(f"the station ended without {key}: {self.said[-3:]}")

    async def do(self, what, **more):
        self.orders.put_nowait(json.dumps({"do": what} | more))

    async def state(self):
        await self.do("tell")
        return await self.heard("state")


@contextlib.asynccontextmanager
async def station(url, clock, *, standing=True, **given):
    """A station that connects by itself; it ends with the block, as in a power cut."""
    given = {"id": "CP-1", "password": PASSWORD, "url": url, "clock": clock} | given
    given = {key: value for key, value in given.items() if value is not None}
    made, peer = (Station16 if given.get("version") == "1.6" else Station)(given), Peer()
    async with standing_time(when=standing):
        task = asyncio.create_task(made.run(peer.orders, peer.lines.put_nowait))
        task.add_done_callback(lambda _: peer.lines.put_nowait(""))
        try:
            yield peer
        finally:
            made.vanish()
            await cancel_tasks([task])


@dataclasses.dataclass
class Rig:
    """The central system, its clock, the station and what was pushed."""

    backend: ocpp.OcppBackend
    clock: SimulatedClock
    url: str
    peer: Peer
    pushed: list = dataclasses.field(default_factory=list)
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    number: int = 0

    def directive(self, kind=DirectiveKind.CAP, power_w=None, *, minutes=60, starts_in_s=0.0, **more):
        self.number += 1
        start = self.clock.now() + timedelta(seconds=starts_in_s)
        end = start + timedelta(minutes=minutes)
        given = {"directive_id": f"d-{self.number}", "key": f"k-{self.number}", "not_after": end} | more
        return Directive(vehicle_ref=CAR, kind=kind, start=start, end=end, power_w=power_w, **given)

    def discharge(self, power_w=-7_000, **more):
        given = {"reserve_soc_pct": 30.0, "on_comm_loss": OnCommLoss.STOP} | more
        return self.directive(DirectiveKind.SETPOINT, power_w, **given)

    async def submit(self, directive):
        capability = await self.backend.capabilities(CAR)
        return await self.backend.submit(directive, capability, await self.backend.snapshot(CAR))

    async def until(self, wanted):
        """The first pushed item, from the beginning, of which this is true."""
        seen = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while seen < len(self.pushed):
                    seen += 1
                    if wanted(self.pushed[seen - 1]):
                        return self.pushed[seen - 1]
                self.news.clear()
                await self.news.wait()

    async def reaches(self, directive, *states):
        """The status in which a directive first stands in one of these states."""
        name = directive.directive_id
        return await self.until(lambda one: getattr(one, "directive_id", None) == name and one.state in states)

    async def measures(self, fits, since=None):
        """A snapshot, observed after `since`, whose power fits."""
        return await self.until(
            lambda one: (
                getattr(one, "power_w", None) is not None
                and fits(one.power_w.value)
                and (since is None or one.power_w.observed_at > since)
            )
        )

    async def listen(self):
        async for event in self.backend.events():
            self.pushed.extend(items(event))
            self.news.set()


def items(event):
    if isinstance(event, SnapshotsSeen):
        return event.snapshots
    if isinstance(event, DirectivesChanged):
        return event.statuses
    return (event,) if isinstance(event, DriverChose) else ()


@contextlib.asynccontextmanager
async def central(clock=None, *, speed=SPEED, standing=True, **more):
    """A central system without a station."""
    async with contextlib.AsyncExitStack() as stack:
        driven = await stack.enter_async_context(standing_time(when=standing))
        yield await stack.enter_async_context(_central(clock or driven.clock(EVENING, speed), **more))


@contextlib.asynccontextmanager
async def _central(clock, **more):
    backend = ocpp.backend(settings(clock=clock, **more))
    scheme = "wss" if more.get("security_profile", 1) > 1 else "ws"
    rig = Rig(backend, clock, f"{scheme}://localhost:{await backend.port()}", None)  # type: ignore[attr-defined]
    listening = asyncio.ensure_future(rig.listen())
    try:
        yield rig
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        await backend.close()


@contextlib.asynccontextmanager
async def plugged_in(central_settings=None, **given):
    """A central system and a station with a car that charges and has said what it can do."""
    async with central(**(central_settings or {})) as rig, station(rig.url, rig.clock, **given) as peer:
        rig.peer = peer
        await peer.heard("online")
        if given.get("plugged", True):
            await rig.measures(lambda power_w: power_w > 0)
        yield rig
