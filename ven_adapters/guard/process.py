"""The guard: read the leases, and give back every car whose lease has run out, until its vendor says yes.

It plans nothing, holds nothing and calls no car whose lease is renewed. The automaker's file is made anew from the
settings whenever cars must be given back, so that a secret that was changed meanwhile is the one that is used.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ven_adapters.contract import BackendError, Setting, VehicleBackend
from ven_adapters.transport.windows.hold_leases import HoldLease, HoldLeases, guard_lock
from vtn.clock import Clock

LOOK_S, LEAST_LOOK_S = 20.0, 0.2
# For how long nobody may have renewed anything before a guard that was started as a child ends by itself.
GONE_S, LEAST_GONE_S = 1200.0, 10.0
FIRST_AGAIN_S, LONGEST_AGAIN_S, LEAST_AGAIN_S = 30.0, 600.0, 0.5
AT_ONCE = 16
LOCK_TRIES, LOCK_NAP_S = 20, 0.1

_log = logging.getLogger(__name__)


@runtime_checkable
class GuardedBackend(Protocol):
    """What the guard needs of a backend that keeps windows over single commands."""

    @property
    def guarded(self) -> Path | None:
        """The folder of its leases; None when none are written."""

    async def give_back(self, ref: str, settings: Iterable[Setting]) -> None:
        """Tell a car what ends its hold; BackendError unless the vendor agrees."""

    async def close(self) -> None:
        """Let go of connections."""


def folder_of(backend: VehicleBackend) -> Path | None:
    """Where a backend writes its leases; None for one whose holds end without a guard."""
    return backend.guarded if isinstance(backend, GuardedBackend) else None


class Guard:
    """Watches one folder of leases. `lingers`: goes on when no car is held and no keeper is alive."""

    def __init__(
        self, folder: Path, clock: Clock, make: Callable[[], GuardedBackend], *, lingers: bool = False
    ) -> None:
        self._folder, self._make, self._lingers = folder, make, lingers
        self._speed = float(getattr(clock, "speed", 1.0))
        self._leases = HoldLeases(folder)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._stopping = asyncio.Event()
        self._since_s = time.monotonic()
        self._under_way: set[str] = set()
        self._rounds: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Finish the calls that are under way and return from `run`; leases stay for the next guard."""
        self._stopping.set()

    async def run(self) -> None:
        """Guard until there is nothing to guard. Beside another guard: wait for its place, or end at once."""
        for _ in range(LOCK_TRIES):
            with guard_lock(self._folder) as ours:
                if ours:
                    await self._watch()
                    return
            await asyncio.sleep(LOCK_NAP_S)
        while self._lingers and not self._stopping.is_set():
            await self._nap()
            with guard_lock(self._folder) as ours:
                if ours:
                    await self._watch()
                    return
        _log.info("another guard is at work")

    async def _watch(self) -> None:
        _log.info("guarding %s", self._folder)
        try:
            self._leases.adopt()
            while not self._stopping.is_set():
                try:
                    if self._is_over():
                        _log.info("no car is held and nobody keeps any: the guard ends")
                        return
                    self._look()
                except OSError as error:
                    _log.warning("leases cannot be read: %s", error)
                await self._nap()
        finally:
            await asyncio.gather(*self._rounds, return_exceptions=True)
            self._leases.close()

    def _is_over(self) -> bool:
        """Whether no car is held, and since some time, which we have been here, nobody has renewed anything."""
        if self._lingers or self._leases.count() > 0:
            return False
        gone_s = min(self._leases.keeper_gone_s(), time.monotonic() - self._since_s)
        return gone_s > max(GONE_S / self._speed, LEAST_GONE_S)

    def _look(self) -> None:
        """Begin to give back every car whose lease has run out; one that takes long keeps no other waiting."""
        due = [lease for lease in self._leases.due() if lease.ref not in self._under_way]
        if due:
            _log.warning("%d cars are held by nobody who is alive; they are given back", len(due))
            self._under_way |= {lease.ref for lease in due}
            task = asyncio.create_task(self._round(due))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)

    async def _round(self, due: Sequence[HoldLease]) -> None:
        """Give cars back, each by what its own lease says."""
        try:
            backend = self._make()
            try:
                ends = await asyncio.gather(*(self._give_back(backend, lease) for lease in due), return_exceptions=True)
                for error in {str(end) for end in ends if isinstance(end, OSError)}:
                    _log.warning("what became of cars cannot be written down: %s", error)
            finally:
                await backend.close()
        except Exception:  # noqa: BLE001 - settings that cannot be read now may be read at the next look
            _log.exception("cars could not be given back")
        finally:
            self._under_way -= {lease.ref for lease in due}

    async def _give_back(self, backend: GuardedBackend, lease: HoldLease) -> None:
        async with self._room:
            if self._stopping.is_set() or not self._leases.claim(lease):
                return
            try:
                await backend.give_back(lease.ref, lease.give_back)
            except BackendError as error:
                wait_s = max(min(FIRST_AGAIN_S * 2**lease.tries, LONGEST_AGAIN_S), error.retry_after_s or 0.0)
                self._leases.refused(lease, max(wait_s / self._speed, LEAST_AGAIN_S))
                _log.warning("%s could not be given back and is tried again: %s", lease.ref, error.code)
            except Exception:  # noqa: BLE001 - a defect of an automaker's file must not leave the other cars held
                self._leases.refused(lease, max(LONGEST_AGAIN_S / self._speed, LEAST_AGAIN_S))
                _log.exception("%s could not be given back", lease.ref)
            else:
                self._leases.returned(lease)
                _log.info("%s was given back", lease.ref)

    async def _nap(self) -> None:
        try:
            async with asyncio.timeout(max(LOOK_S / self._speed, LEAST_LOOK_S)):
                await self._stopping.wait()
        except TimeoutError:
            return
