"""Carry steps out: call the automaker's backend, a bounded number at once and one per car, and book what comes back.

Nothing leaves before it is written down that it will, so that whatever happens to this process its next life knows what
may have reached a car. One failure never stops another; every answer or silence ends as a fact about one directive.
"""

import asyncio
import collections
import contextlib
import dataclasses
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TypeVar

from ven_adapters.config import WakeSettings
from ven_adapters.contract import BackendError, Capability, ErrorCode, Known, Snapshot, Validity, VehicleBackend
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.directives.reconcile import Do, Step, reconcile
from ven_adapters.ven.directives.registry import DirectiveRegistry, lost
from ven_adapters.ven.fleet.car_faults import CarFaults
from ven_adapters.ven.fleet.discharge_energy import DischargedEnergy
from ven_adapters.ven.openadr.notifications import back_off_s
from ven_adapters.ven.store.group_commit import NotWritten
from vtn.clock import Clock, note_work

FRESH_S = 60
# Some clouds tell late how a command went; what is not told by then never will be.
LONGEST_CALL_S = 600.0
WAITING_FOR_EACH = 4
LEAVING_PATIENCE = 3
MOST_SENT = 100_000

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def _kept_in_memory() -> None:
    """For whoever keeps no store: nothing is waited for."""


@dataclasses.dataclass(slots=True)
class CallContext:
    """What it takes to call: the backend, what its cars can do and were last seen to do, and how many calls at once.

    `written` returns when everything that was booked is durable, and raises NotWritten when it could not be made so.
    `discharged`: where it is noted for which event a battery is asked to give. `retry`: the pauses between calls that
    give a car back.
    """

    backend: VehicleBackend
    clock: Clock
    registry: DirectiveRegistry
    capabilities: Mapping[str, Capability]
    snapshots: MutableMapping[str, Snapshot]
    at_once: int
    seed: int
    written: Callable[[], Awaitable[None]] = _kept_in_memory
    discharged: DischargedEnergy | None = None
    faults: CarFaults = dataclasses.field(default_factory=CarFaults)
    retry: WakeSettings = dataclasses.field(default_factory=WakeSettings)


class Dispatcher:
    """Steps in, calls out. `start` and `release` return at once; `settle` waits until every call has come back.

    `sent`: for statistics, which event's directives left and when (Unix seconds); whoever reads it empties it.
    """

    def __init__(self, context: CallContext) -> None:
        self._context = context
        self._gate = asyncio.Semaphore(context.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._dice = random.Random(context.seed)  # noqa: S311 - spreads retries, guards nothing
        self._leaving: set[str] = set()
        self._settling = False
        self.sent: collections.deque[tuple[str | None, float]] = collections.deque(maxlen=MOST_SENT)

    def release(self, ref: str) -> None:
        """Give a car back to its driver at once, or as soon as the call that is under way has come back."""
        with self._context.faults.only(ref):
            car = self._context.registry.car(ref)
            if car.held is None:
                self._leaving.discard(ref)
                return
            self._leaving.add(ref)
            if not car.calling:
                step = reconcile(None, car, None, self._context.clock.now(), willing=False)
                self.start(ref, step)
                if step.do is Do.NOTHING:
                    self._release_again(ref)

    def _release_again(self, ref: str) -> None:
        """Whoever leaves is given back whole: what was replaced is cancelled too, and a failed call is tried again."""
        if ref in self._leaving and not self._settling:
            wait_s = back_off_s(LEAVING_PATIENCE, self._context.retry, self._dice.random())
            asyncio.get_running_loop().call_later(wait_s, self.release, ref)

    def start(self, ref: str, step: Step) -> None:
        """Book a step and send what it asks for."""
        self._context.registry.put(ref, step.car, step.ended)
        if step.target is None or step.do is Do.NOTHING:
            return
        calls: Mapping[Do, Callable[[str, DirectiveRecord], Awaitable[None]]] = {
            Do.SUBMIT: self._submit,
            Do.CANCEL: self._cancel,
            Do.READ: self._read,
        }
        task = asyncio.create_task(self._guarded(calls[step.do], ref, step.target))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        note_work(self._context.clock, "calls that wait", under_way=self._queues)
        if len(self._tasks) >= WAITING_FOR_EACH * self._context.at_once:
            self._room.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        note_work(self._context.clock, "calls that wait", under_way=self._queues)

    @property
    def _queues(self) -> bool:
        """Whether calls wait for their turn."""
        return len(self._tasks) > self._context.at_once

    async def room(self) -> None:
        """Return when another call would not wait long for its turn."""
        await self._room.wait()

    @property
    def calling(self) -> int:
        """How many calls are under way or waiting."""
        return len(self._tasks)

    async def settle(self, longest_s: float) -> None:
        """Wait for calls that are under way; what takes longer is abandoned, and read after the next start."""
        self._settling = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=longest_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(
        self, call: Callable[[str, DirectiveRecord], Awaitable[None]], ref: str, target: DirectiveRecord
    ) -> None:
        try:
            await call(ref, target)
        except Exception:  # noqa: BLE001 - one car's failure, of whatever kind, must not stop the fleet
            _log.exception("a call failed in a way that no backend may fail")
            self._context.registry.call_failed(ref)
        self._release_again(ref)

    async def _answer(self, call: Awaitable[T]) -> T:
        """What a call gives within `LONGEST_CALL_S`; our own patience ending is told as silence, not as its defect."""
        try:
            async with asyncio.timeout(LONGEST_CALL_S) as patience:
                return await call
        except TimeoutError:
            if not patience.expired():
                raise
            detail = f"no answer within {LONGEST_CALL_S:g} s"
            _log.warning("a call was given up: %s", detail)
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, detail) from None

    async def _submit(self, ref: str, target: DirectiveRecord) -> None:
        context = self._context
        if ref in self._leaving:
            context.registry.call_failed(ref)
            return
        out = context.registry.taken_up(ref, target, context.clock.now())
        try:
            await context.written()
        except NotWritten:
            context.registry.unsent(ref, target, context.clock.now())
            return
        async with self._gate:
            if self._called_off(ref, out):
                context.registry.unsent(ref, target, context.clock.now())
                context.registry.present(ref, context.clock.now())
                return
            sleeping = await self._send(ref, out)
        if sleeping:
            await self._wake(ref, out.directive.directive_id)

    def _called_off(self, ref: str, out: DirectiveRecord) -> bool:
        """Whether it may not leave any more: its driver left, it is late or over, or an alarm forbids to discharge."""
        context, directive = self._context, out.directive
        held = context.registry.car(ref).held
        over = held is None or held.directive.directive_id != directive.directive_id
        if over or ref in self._leaving or context.clock.now() > directive.not_after:
            return True
        snapshot = context.snapshots.get(ref) if (directive.power_w or 0) < 0 else None
        alarm = None if snapshot is None else snapshot.der_alarm
        return alarm is not None and alarm.validity is Validity.OK and alarm.value is Known.YES

    async def _send(self, ref: str, out: DirectiveRecord) -> bool:
        """The call itself; whether its car sleeps and is worth waking."""
        context, directive = self._context, out.directive
        snapshot, capability = context.snapshots.get(ref) or Snapshot(ref), context.capabilities[ref]
        left_at, chance = context.clock.now(), self._dice.random()
        self._note_sent(ref, out)
        try:
            ack = await self._answer(context.backend.submit(directive, capability, snapshot))
            now = context.clock.now()
            step = functools.partial(lifecycle.apply_ack, ack=ack, now=now, left_at=left_at)
        except Exception as failure:  # noqa: BLE001 - whatever went wrong, the car may have been told
            now, error = context.clock.now(), _as_told(failure)
            step = functools.partial(lifecycle.apply_refusal, error=error, now=now, chance=chance, left_at=left_at)
        held = context.registry.outcome(ref, directive.directive_id, step, now)
        return held is not None and lifecycle.should_wake(held, capability)

    def _note_sent(self, ref: str, out: DirectiveRecord) -> None:
        """For whom it leaves; for another event than before, a battery's event budget is whole again."""
        context, origin = self._context, out.directive.origin
        event_id = origin.event_id if origin is not None else None
        self.sent.append((event_id, time.time()))
        if context.discharged is not None and event_id is not None and (out.directive.power_w or 0) < 0:
            context.discharged.begin_for(ref, event_id, context.clock.now())

    async def _wake(self, ref: str, directive_id: str) -> None:
        """Look at a sleeping car, which is what wakes it where its backend can: once per directive.

        That it was woken is written down before it is, so that no later life of this process wakes it for this again.
        """
        self._context.registry.woken(ref, directive_id, self._context.clock.now())
        with contextlib.suppress(NotWritten):
            await self._context.written()
            async with self._gate:
                await self._look(ref)

    async def _look(self, ref: str) -> None:
        try:
            self._context.snapshots[ref] = await self._answer(self._context.backend.snapshot(ref, max_age_s=FRESH_S))
        except BackendError as error:
            _log.debug("a sleeping car could not be looked at: %s", error.code)

    async def _cancel(self, ref: str, target: DirectiveRecord) -> None:
        """Give a car back. That it will be is written down first, but a store that is away keeps nobody's car."""
        context = self._context
        context.registry.ending(ref, target, context.clock.now())
        with contextlib.suppress(NotWritten):
            await context.written()
        async with self._gate:
            for directive_id in self._to_cancel(ref, target):
                try:
                    await self._answer(context.backend.cancel(ref, directive_id))
                except BackendError as error:
                    if not lost(error):
                        _log.warning("a directive could not be cancelled yet: %s", error.code)
                        context.registry.call_failed(ref)
                        return
        context.registry.cancelled(ref, target, context.clock.now())

    def _to_cancel(self, ref: str, target: DirectiveRecord) -> tuple[str, ...]:
        """A replacement that was never seen to work may have left what it replaced in force: that is cancelled too."""
        named, kept = target.directive, self._context.registry.car(ref).older
        replaced = named.supersedes
        if target.confirmed_once or replaced is None or any(one.directive.directive_id == replaced for one in kept):
            return (named.directive_id,)
        return (named.directive_id, replaced)

    async def _read(self, ref: str, target: DirectiveRecord) -> None:
        """Find out what became of a command that was in doubt, or that an earlier life of this process sent."""
        context, directive_id, chance = self._context, target.directive.directive_id, self._dice.random()
        async with self._gate:
            try:
                status = await self._answer(context.backend.status(ref, directive_id))
                now = context.clock.now()
                step = functools.partial(lifecycle.apply_status, status=status, now=now)
            except BackendError as error:
                now = context.clock.now()
                step = functools.partial(lifecycle.keep_doubt, error=error, now=now, chance=chance)
                if lost(error):
                    step = functools.partial(lifecycle.mark_never_arrived, now=now)
        context.registry.outcome(ref, directive_id, step, now)


def _as_told(failure: Exception) -> BackendError:
    """A failure in the contract's words; of one that the contract does not know, nobody can say what it did."""
    if isinstance(failure, BackendError):
        return failure
    _log.error("a call failed in a way that no backend may fail", exc_info=failure)
    return BackendError(ErrorCode.OUTCOME_UNKNOWN, "the backend's file failed")
