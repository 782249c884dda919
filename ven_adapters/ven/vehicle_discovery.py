"""Get to know cars: what each can do."""

import asyncio
import dataclasses
import gc
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeVar

from ven_adapters.config import WakeSettings
from ven_adapters.contract import BackendError, Capability, ErrorCode, VehicleBackend
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.enrolment.sync import EnrolmentSync
from ven_adapters.ven.fleet.zones import Capacity
from ven_adapters.ven.openadr.notifications import WakeSignal, back_off_s

# Young objects before a first look, first looks before a second, second looks before a third.
COLLECTOR_THRESHOLDS = (20_000, 10, 100)
T = TypeVar("T")
AT_ONCE = 32
WATCH_EVERY_S = 5.0

# A car that its backend does not know, or may not speak of, will not be known a minute later.
_NEVER = frozenset({ErrorCode.INVALID_REQUEST, ErrorCode.NOT_PERMITTED, ErrorCode.CONSENT_REVOKED})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class VehicleDiscovery:
    """Learn what cars can do, and notice when the enrolments change.

    `unannounced`: what each zone can do, when the VTN has not been told yet; `announced` says that it was told once.
    """

    backend: VehicleBackend
    fleet_state: FleetState
    enrolment_sync: EnrolmentSync
    settings: WakeSettings
    dice: random.Random
    wake_signal: WakeSignal
    vtn_signal: WakeSignal
    unannounced: dict[str, Capacity] | None = None
    announced: bool = False

    async def run(self) -> None:
        """Until cancelled."""
        failures, missing = 0, await self._learn()
        freeze_fleet()
        while True:
            failures = failures + 1 if missing else 0
            wait_s = back_off_s(failures, self.settings, self.dice.random()) if missing else WATCH_EVERY_S
            await asyncio.sleep(wait_s)
            changed = await self.enrolment_sync.reread_changed_files()
            if self.enrolment_sync.met() or changed or missing:
                missing = await self._learn()

    async def _learn(self) -> bool:
        """Ask once for what is not known; whether a car is still missing. The others do not wait for it."""
        fleet_state = self.fleet_state
        unknown = {ref for ref in fleet_state.enrolled() if ref not in fleet_state.capabilities}
        found, missing = await capabilities(self.backend, unknown)
        fleet_state.learn(found)
        if found or not unknown or not self.announced:
            self.unannounced = {zone: fleet_state.capacity(zone) for zone in fleet_state.reported}
            self.vtn_signal.ring()
            self.wake_signal.ring()
        return bool(missing)


async def capabilities(backend: VehicleBackend, refs: Collection[str]) -> tuple[dict[str, Capability], set[str]]:
    """What cars can do, and the cars to ask again later."""
    return await _each(backend.capabilities, refs)


async def _each(ask: Callable[[str], Awaitable[T]], refs: Iterable[str]) -> tuple[dict[str, T], set[str]]:
    found: dict[str, T] = {}
    again: set[str] = set()
    queue = iter(refs)

    async def worker() -> None:
        for ref in queue:
            try:
                found[ref] = await ask(ref)
            except BackendError as error:
                if error.code not in _NEVER:
                    again.add(ref)
                else:
                    _log.warning("a car is left out: %s", error.code)
            except Exception:  # noqa: BLE001 - one car's failure, of whatever kind, must not keep the others from us
                _log.exception("a car could not be asked in a way that no backend may fail")
                again.add(ref)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return found, again


def freeze_fleet() -> None:
    """Call when the fleet has been taken in: what is here now is passed over from now on, and freed when it is let go.

    Calls to a backend make some hundred short-lived objects each; with the usual thresholds a quarter of the time at
    full rate goes into looking for cycles among a million objects that have none.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
