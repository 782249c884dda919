"""Simulated OCPP charging stations as a stage: the adapter is their central system, and they connect to it."""

import asyncio
import contextlib
import math
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ven_adapters.adapter_checks.stage import LOST_ANSWERS, CarTruth, CommandEffect, Contact, ContactKind
from ven_adapters.adapter_checks.stages.vehicle_backend import EVENING, HOURS, free_port, truth_of
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.absent_faults import ABSENT
from ven_adapters.simulator.faults.table import BY_NAME
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.staged import still_fleet
from ven_adapters.simulator.station.line import COMMANDS
from ven_adapters.simulator.station.points import ChargingPoints
from ven_adapters.simulator.station.station import Access, SimulatedStation
from ven_adapters.simulator.stepped_clock import STEP_S, SteppedClock

CONTROLS = ("bidirectional", "charger", "bidirectional")
PASSWORD = "synthetic-secret-password"  # noqa: S105 - of stations that do not exist
TICK_S = 0.05
SETTLE_S = 2.0
OFFLINE_LIMIT_S = 300
ANSWER_S = 1.0
HANDSHAKE_S = 0.3
GREETINGS = frozenset({"GetVariables", "NotifyAllowedEnergyTransfer"})


@contextlib.asynccontextmanager
async def ocpp(seed: int) -> AsyncIterator["StationStage"]:
    """Three stations on loopback that look for their central system, and the stage that stands on them."""
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        stage = StationStage(seed, Path(folder))
        running = [asyncio.create_task(station.run()) for station in stage.stations]
        running.append(asyncio.create_task(stage.live()))
        try:
            yield stage
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


class StationStage:
    """A `CloudStage` over charging stations, one car each."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.clock = SteppedClock(EVENING)
        self._port, self._folder = free_port(), folder
        fleet = still_fleet(SimulatorSettings("ford", 0, seed, EVENING, ""), CONTROLS)
        ledger = GroundTruth(fleet, (EVENING - fleet.midnight).total_seconds(), HOURS)
        self._points = ChargingPoints(fleet, seed, ledger)
        self._points.live(self.clock.now())
        self._points.advance(self.clock.now())
        access = Access(f"ws://127.0.0.1:{self._port}", PASSWORD, handshake_s=HANDSHAKE_S)
        self.stations = [
            SimulatedStation(f"CP-{car + 1}", self._points, car, self.clock, access) for car in range(len(fleet.refs))
        ]
        self._points.plug_moved = lambda car: self.stations[car].plugged()
        self._points.chose = lambda car, on: self.stations[car].pressed(on=on)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the central system needs; its waits are short because the stations are next door."""
        names = [station.name for station in self.stations]
        return {
            "port": self._port,
            "answer_s": ANSWER_S,
            "offline_limit_s": OFFLINE_LIMIT_S,
            "stations": {name: {"password": PASSWORD} for name in names},
            "vehicles": {ref: self._place(car) for car, ref in enumerate(self.refs)},
            "clock": self.clock,
            "state": self._folder,
        }

    def _place(self, car: int) -> dict[str, Any]:
        fleet = self._points.fleet
        return {
            "station": self.stations[car].name,
            "usable_wh": int(fleet.usable_wh[car]),
            "max_charge_w": int(fleet.max_charge_w[car]),
            "max_discharge_w": int(fleet.max_discharge_w[car]),
            "voltage_v": int(fleet.voltage_v[car]),
        }

    @property
    def refs(self) -> tuple[str, ...]:
        """The cars."""
        return self._points.fleet.refs

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may never be told."""
        return (PASSWORD,)

    @property
    def cannot_play(self) -> Mapping[str, str]:
        """The faults that charging stations cannot have."""
        return ABSENT["ocpp"]

    def truth(self, ref: str) -> CarTruth:
        """What the physics says of a car now."""
        now = self.clock.now()
        self._points.live(now)
        return truth_of(self._points, ref, now)

    def ledger(self, ref: str) -> Sequence[CommandEffect]:
        """Every profile that was taken or taken away."""
        car = self._points.car(ref)
        return tuple(CommandEffect(one.at, one.what) for one in self._points.taken if one.car == car)

    def contacts(self) -> Sequence[Contact]:
        """Every call of the central system, oldest first."""
        heard = sorted((one for station in self.stations for one in station.heard), key=lambda one: one.at)
        return tuple(Contact(one.at, _kind(one.action), self.refs[one.car], one.status) for one in heard)

    def arm(self, fault: str, ref: str | None = None) -> None:
        """Play a fault from now on."""
        name, _, form = fault.partition("/")
        BY_NAME[name]
        if name in self.cannot_play:
            raise ValueError(f"{name}: {self.cannot_play[name]}")
        self._points.live(self.clock.now())
        self._points.arm(name, self.refs if ref is None else (ref,), LOST_ANSWERS.index(fault) if form else None)
        self._points.live(self.clock.now())

    def disarm(self) -> None:
        """Play no fault any more."""
        self._points.disarm()

    async def restore(self, ref: str) -> None:
        """Put a car right, and let its station say so; what an adapter before wrote down is nobody's now."""
        (self._folder / "profiles.jsonl").unlink(missing_ok=True)
        self._points.live(self.clock.now())
        self._points.restore(ref)
        await self._tick(STEP_S)

    async def advance(self, seconds: float) -> None:
        """Let time go by, minute by minute; each minute ends when no station has anything left to say."""
        for number in range(math.ceil(seconds / STEP_S)):
            await self._tick(min(STEP_S, seconds - number * STEP_S))

    async def cut(self) -> bool:
        """Break every station's line; they come back by themselves."""
        for station in self.stations:
            station.cut()
        return True

    async def repeat(self) -> bool:
        """A station says nothing twice that was answered."""
        return False

    async def live(self) -> None:
        """The cars' and stations' own tick between jumps."""
        while True:
            await asyncio.sleep(TICK_S)
            self._say()

    def _say(self) -> None:
        now = self.clock.now()
        self._points.live(now)
        for station in self.stations:
            station.tick(now)

    async def _tick(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self._say()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not all(station.settled for station in self.stations):  # noqa: ASYNC110 - it rings no bell
                    await asyncio.sleep(0.001)


def _kind(action: str) -> ContactKind:
    """What a call is for; a connection begins with greetings that read no car."""
    if action in COMMANDS:
        return ContactKind.COMMAND
    return ContactKind.SUBSCRIBE if action in GREETINGS else ContactKind.READ
