"""Ask a backend what is missing for its cars to be commanded and read, and meet the cars anew for whom that changes."""

import dataclasses
from collections.abc import Sequence

from ven_adapters.contract import ChecksSetup, SetupFault, VehicleBackend
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.setup_alarms import SetupAlarms
from ven_adapters.ven.openadr.notifications import WakeSignal
from ven_adapters.ven.vehicle_discovery import capabilities
from vtn.clock import Clock, sleep_for

LOOK_EVERY_S = 900.0


@dataclasses.dataclass(slots=True)
class SetupWatch:
    """`run` looks every quarter of an hour until cancelled; how often that costs a call is the backend's affair."""

    backend: VehicleBackend
    fleet_state: FleetState
    alarms: SetupAlarms
    clock: Clock
    wake_signal: WakeSignal

    async def run(self) -> None:
        """Until cancelled; a backend that cannot tell is not asked again."""
        backend = self.backend
        while isinstance(backend, ChecksSetup):
            await self._take(await backend.setup_faults())
            await sleep_for(self.clock, LOOK_EVERY_S)

    async def _take(self, told: Sequence[SetupFault]) -> None:
        """A car that takes commands from now on, or takes none any more, is asked anew what it can do."""
        enrolled = set(self.fleet_state.enrolled())
        found = [one for one in told if one.vehicle_ref is None or one.vehicle_ref in enrolled]
        turned, steps = self.alarms.take(found, self.clock.now())
        self.fleet_state.decisions.note(steps)
        known = {ref for ref in turned if ref in self.fleet_state.capabilities}
        if known:
            learnt, _ = await capabilities(self.backend, known)
            self.fleet_state.learn(learnt)
            self.wake_signal.ring()
