"""Take in what backends and drivers say, and do at once what follows: give cars back, plan anew."""

import asyncio
import dataclasses
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable

from ven_adapters.config import WakeSettings
from ven_adapters.contract import BackendError, BackendEvent, DriverChose, VehicleBackend, WriteDown
from ven_adapters.ven.control.driver_choices import Effect
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.directives.dispatcher import Dispatcher
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.openadr.notifications import WakeSignal, back_off_s
from ven_adapters.ven.store.group_commit import NotWritten
from vtn.clock import Clock

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class FactIntake:
    """`take` a fact, `apply` an effect; `run` takes in what a backend pushes, until cancelled.

    `written` returns when what was taken is durable: a driver's choice is answered for only then.
    """

    fleet_state: FleetState
    dispatcher: Dispatcher
    wake_signal: WakeSignal
    statistics: AdapterStatistics
    clock: Clock
    written: Callable[[], Awaitable[None]]
    failures: int = 0

    def take(self, event: BackendEvent) -> None:
        """A fact that was pushed, and what follows from it."""
        self.failures = 0
        effect = self.fleet_state.take(event, self.clock.now())
        if isinstance(event, DriverChose) and event.vehicle_ref in self.fleet_state.fleet:
            self.statistics.choices[event.choice.value] += 1
        self.apply(effect)

    def apply(self, effect: Effect) -> None:
        """Give cars back to their drivers, and have the zones planned anew."""
        for ref in effect.release:
            self.dispatcher.release(ref)
        if effect.plan:
            self.wake_signal.ring()

    async def run(self, backend: VehicleBackend, settings: WakeSettings, dice: random.Random) -> None:
        """Take in what a backend pushes; whenever it ends, ask for it again."""
        while True:
            try:
                await self._take_until_it_ends(backend)
            except (BackendError, NotWritten) as error:
                self.failures += 1
                _log.warning("the backend's facts are interrupted: %s", error or type(error).__name__)
            await asyncio.sleep(back_off_s(max(1, self.failures), settings, dice.random()))

    async def _take_until_it_ends(self, backend: VehicleBackend) -> None:
        events = backend.events()
        try:
            async for event in events:
                if isinstance(event, WriteDown):
                    await self.written()
                else:
                    self.take(event)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
