"""Simulated public clouds as stages: Tesla, Smartcar and Enode, each over real HTTP with grants and webhooks."""

import asyncio
import contextlib
import dataclasses
import math
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ven_adapters.adapter_checks.stage import LOST_ANSWERS, CarTruth, CommandEffect, Contact, ContactKind
from ven_adapters.adapter_checks.stages.vehicle_backend import EVENING, HOURS, free_port, truth_of
from ven_adapters.simulator.cars.fleets import SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.absent_faults import ABSENT
from ven_adapters.simulator.faults.table import BY_NAME
from ven_adapters.simulator.public.commands import StagedCommands
from ven_adapters.simulator.public.grants import MARK
from ven_adapters.simulator.public.vendor_cloud import HOME, ticking
from ven_adapters.simulator.public.vendors import HOOK_SECRET, VENDORS, PublicCloud
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.staged import still_fleet
from ven_adapters.simulator.stepped_clock import STEP_S, SteppedClock
from ven_adapters.transport.grants.grants import Folder, store
from ven_adapters.transport.grants.oauth import Grant
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress

CONTROLS = ("charger", "charger", "charger")
SETTLE_S = 2.0
TICK_S = 0.05
CLOSING_S = 0.5
# Enode's cars have three phases, because it tells none and its adapter has to take the most.
THREE_PHASE_A, PHASE_V = 16, 230


def tesla(seed: int) -> contextlib.AbstractAsyncContextManager["PublicStage"]:
    """Tesla's Fleet API as a stage."""
    return opened("tesla", seed)


def smartcar(seed: int) -> contextlib.AbstractAsyncContextManager["PublicStage"]:
    """Smartcar as a stage."""
    return opened("smartcar", seed)


def enode(seed: int) -> contextlib.AbstractAsyncContextManager["PublicStage"]:
    """Enode as a stage."""
    return opened("enode", seed)


@contextlib.asynccontextmanager
async def opened(name: str, seed: int) -> AsyncIterator["PublicStage"]:
    """A vendor's cloud that listens on loopback, and the stage that stands on it."""
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        stage = PublicStage(name, seed, Path(folder))
        options = HttpOptions(shutdown_s=CLOSING_S)
        async with listening(stage.cloud.application(), ListenAddress("127.0.0.1", 0), options) as port:
            stage.url = f"http://127.0.0.1:{port}"
            stage.cloud.listen_at(stage.webhook_port)
            alive = asyncio.create_task(ticking(stage.cloud.vendor_cloud, stage.cloud.protocol, TICK_S))
            try:
                yield stage
            finally:
                alive.cancel()
                await asyncio.gather(alive, return_exceptions=True)
                await stage.cloud.vendor_cloud.hooks.close()


class PublicStage:
    """A `CloudStage` over one simulated public cloud."""

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self.clock = SteppedClock(EVENING)
        self.url, self._folder = "", folder
        self.webhook_port = free_port()
        fleet = _fleet(name, seed)
        self._cars = StagedCommands(
            fleet, seed, GroundTruth(fleet, (EVENING - fleet.midnight).total_seconds(), HOURS), lambda _: None
        )
        self.cloud = PublicCloud(name, self._cars, self.clock)
        self._cars.advance(self.clock.now())
        for owner in self.cloud.owners:
            token = self.cloud.grants.refresh_token(owner)
            long_ago = datetime.now(UTC) - timedelta(hours=1)
            store(Folder(folder / "grants").file(owner), Grant(f"{MARK}-worn-out", long_ago, token))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the adapter needs; time-outs are short because the cloud is next door."""
        hook = {"webhook_secret": HOOK_SECRET, "webhook_port": self.webhook_port} if self.cloud.vendor.sign else {}
        rest = {"state": self._folder, "clock": self.clock, "answer_s": 20.0, "seed": 1}
        return {**self.cloud.settings(self.url), **rest, **hook}

    @property
    def refs(self) -> tuple[str, ...]:
        """The cars."""
        return self._cars.fleet.refs

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may never be told: every token and secret holds one word."""
        return MARK, *self.cloud.vendor_cloud.natives, *(str(degrees) for degrees in HOME)

    @property
    def cannot_play(self) -> Mapping[str, str]:
        """The faults that this vendor's interface cannot have."""
        return ABSENT[self.cloud.name]

    def truth(self, ref: str) -> CarTruth:
        """What the physics says of a car now."""
        return truth_of(self._cars, ref, self.clock.now())

    def ledger(self, ref: str) -> Sequence[CommandEffect]:
        """Every command that was taken for a car."""
        car = self._cars.car(ref)
        return tuple(CommandEffect(at, kind.value) for one, at, kind, _ in self._cars.effects if one == car)

    def contacts(self) -> Sequence[Contact]:
        """Every call that came."""
        return tuple(
            Contact(one.at, ContactKind(one.deal.value), one.ref, one.status, one.at_once)
            for one in self.cloud.vendor_cloud.calls
        )

    def arm(self, fault: str, ref: str | None = None) -> None:
        """Play a fault from now on."""
        name, _, form = fault.partition("/")
        BY_NAME[name]
        if name in self.cannot_play:
            raise ValueError(f"{name}: {self.cannot_play[name]}")
        self._cars.advance(self.clock.now())
        self._cars.arm(name, self.refs if ref is None else (ref,), LOST_ANSWERS.index(fault) if form else None)

    def disarm(self) -> None:
        """Play no fault any more."""
        self._cars.disarm()

    async def restore(self, ref: str) -> None:
        """Put a car right, and let everybody see it; what an adapter before wrote down of windows is nobody's now."""
        (self._folder / "windows.jsonl").unlink(missing_ok=True)
        self._cars.advance(self.clock.now())
        self._cars.restore(ref)
        await self._tick(STEP_S)

    async def advance(self, seconds: float) -> None:
        """Let time go by, minute by minute; each minute ends when nobody is being answered any more."""
        for number in range(math.ceil(seconds / STEP_S)):
            await self._tick(min(STEP_S, seconds - number * STEP_S))

    async def cut(self) -> bool:
        """A webhook is an address and no line; there is nothing to cut."""
        return False

    async def repeat(self) -> bool:
        """Deliver the last webhook again."""
        return await self.cloud.vendor_cloud.hooks.repeat()

    async def _tick(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.cloud.tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while self.cloud.vendor_cloud.answering:  # noqa: ASYNC110 - a counter rings no bell
                    await asyncio.sleep(0.001)


def _fleet(name: str, seed: int) -> SimulatedFleet:
    fleet = still_fleet(SimulatorSettings(name, 0, seed, EVENING, ""), CONTROLS)
    phases = VENDORS[name].phases
    if phases == 1:
        return fleet
    cars = len(fleet.refs)
    most_w = np.full(cars, float(THREE_PHASE_A * PHASE_V * phases))
    return dataclasses.replace(
        fleet, max_a=np.full(cars, THREE_PHASE_A), voltage_v=np.full(cars, PHASE_V), max_charge_w=most_w
    )
