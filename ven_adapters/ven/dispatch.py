"""Carry steps out: call the automaker's backend, a bounded number at once and one per car, and book what comes back.

One failure never stops another; every answer or silence ends as a fact about one directive.
"""

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping

from ven_adapters.contract import BackendError, Capability, ErrorCode, Snapshot, VehicleBackend
from ven_adapters.ven import directives
from ven_adapters.ven.directives import Held
from ven_adapters.ven.reconcile import Do, Step
from ven_adapters.ven.roster import Roster, lost
from vtn.clock import Clock

FRESH_S = 60
WAITING_FOR_EACH = 2

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Line:
    """What it takes to call: the backend, what its cars can do and were last seen to do, and how many calls at once."""

    backend: VehicleBackend
    clock: Clock
    roster: Roster
    capabilities: Mapping[str, Capability]
    snapshots: MutableMapping[str, Snapshot]
    at_once: int
    seed: int
    sent: Callable[[Held, float], None]
    settled: Callable[[str], None]
    leaving: Callable[[str], bool]


class Dispatcher:
    """Steps in, calls out. `start` returns at once; `settle` waits until every call has come back."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._gate = asyncio.Semaphore(line.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._dice = random.Random(line.seed)  # noqa: S311 - spreads retries, guards nothing

    def start(self, ref: str, step: Step) -> None:
        """Book a step and send what it asks for."""
        self._line.roster.put(ref, step.car, step.ended)
        if step.target is None or step.do is Do.NOTHING:
            return
        calls: Mapping[Do, Callable[[str, Held], Awaitable[None]]] = {
            Do.SUBMIT: self._submit,
            Do.CANCEL: self._cancel,
            Do.READ: self._read,
        }
        task = asyncio.create_task(self._guarded(calls[step.do], ref, step.target))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if len(self._tasks) >= WAITING_FOR_EACH * self._line.at_once:
            self._room.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()

    async def room(self) -> None:
        """Return when another call would not wait long for its turn."""
        await self._room.wait()

    @property
    def calling(self) -> int:
        """How many calls are under way or waiting."""
        return len(self._tasks)

    async def settle(self, longest_s: float) -> None:
        """Wait for calls that are under way; what takes longer is abandoned, and read after the next start."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=longest_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(self, call: Callable[[str, Held], Awaitable[None]], ref: str, target: Held) -> None:
        async with self._gate:
            try:
                await call(ref, target)
            except Exception:  # noqa: BLE001 - one car's failure, of whatever kind, must not stop the fleet
                _log.exception("a call failed in a way that no backend may fail")
                self._line.roster.call_failed(ref)
        self._line.settled(ref)

    async def _submit(self, ref: str, target: Held) -> None:
        line = self._line
        if line.leaving(ref):
            line.roster.call_failed(ref)
            return
        out = line.roster.taken_up(ref, target, line.clock.now())
        directive = out.directive
        snapshot = line.snapshots.get(ref) or Snapshot(ref)
        line.sent(out, time.time())
        try:
            ack = await line.backend.submit(directive, line.capabilities[ref], snapshot)
        except BackendError as error:
            await self._refused(ref, directive.directive_id, error)
            return
        now = line.clock.now()
        line.roster.outcome(ref, directive.directive_id, lambda held: directives.acknowledged(held, ack, now), now)

    async def _refused(self, ref: str, directive_id: str, error: BackendError) -> None:
        """Book a refusal. A sleeping car is looked at once, which is what wakes it where the backend can."""
        line, chance = self._line, self._dice.random()
        now = line.clock.now()
        held = line.roster.outcome(ref, directive_id, lambda held: directives.refused(held, error, now, chance), now)
        if error.code is ErrorCode.ASLEEP and held is not None and held.attempts == 1 and not held.final:
            await self._look(ref)

    async def _look(self, ref: str) -> None:
        try:
            self._line.snapshots[ref] = await self._line.backend.snapshot(ref, max_age_s=FRESH_S)
        except BackendError as error:
            _log.debug("a sleeping car could not be looked at: %s", error.code)

    async def _cancel(self, ref: str, target: Held) -> None:
        line = self._line
        try:
            await line.backend.cancel(ref, target.directive.directive_id)
        except BackendError as error:
            if not lost(error):
                _log.warning("a directive could not be cancelled yet: %s", error.code)
                line.roster.call_failed(ref)
                return
        line.roster.cancelled(ref, target, line.clock.now())

    async def _read(self, ref: str, target: Held) -> None:
        """Find out whether a command that was in doubt arrived."""
        line, directive_id, chance = self._line, target.directive.directive_id, self._dice.random()
        try:
            status = await line.backend.status(ref, directive_id)
        except BackendError as caught:
            now, error = line.clock.now(), caught
            if lost(error):
                line.roster.outcome(ref, directive_id, lambda held: directives.never_arrived(held, now), now)
            else:
                line.roster.outcome(ref, directive_id, lambda held: directives.doubted(held, error, now, chance), now)
            return
        now = line.clock.now()
        line.roster.outcome(ref, directive_id, lambda held: directives.told(held, status, now), now)
