"""The workbench of a check: one adapter under judgement, the stage behind it, and calls that keep its protocol.

Every call goes through `call`: it is bounded, simulated time goes by while the adapter waits, and whatever comes out
that is no `BackendError` fails the check, for the port promises nothing else. What is learned of an adapter is noted in
`heard`. Without a stage (a real test backend) there is no truth to ask and time is real.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from ven_adapters.adapter_checks.stage import CloudStage, Contact, ContactKind
from ven_adapters.adapter_checks.traffic_log import Overheard
from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    DirectiveKind,
    DirectiveStatus,
    Snapshot,
    VehicleBackend,
)
from vtn.checking.verdict import Failed, Skipped, expect
from vtn.clock import Clock, RealClock

T = TypeVar("T")
Make = Callable[[Mapping[str, Any]], VehicleBackend]

STUCK_S = 30.0  # real seconds after which a call that does not come back fails its check
LOOK_S = 0.03  # real seconds that a call gets before simulated time goes by for it
STEP_S = 5.0  # simulated seconds that go by at a time while a call waits
LATENCY_S = 120.0  # simulated seconds within which a command shows, on a sound day
MOST_EVENTS = 10_000
MOST_CARS = 10_000


class Bench:
    """One adapter, one check. `close` lets go of the adapter."""

    def __init__(
        self, make: Make, settings: Mapping[str, Any], *, stage: CloudStage | None, heard: Overheard, run: str
    ) -> None:
        self.make, self.settings, self.heard = make, settings, heard
        self._stage = stage
        self.clock: Clock = stage.clock if stage is not None else RealClock()
        self.adapter = make(settings)
        self.events: list[BackendEvent] = []
        self._listening: asyncio.Task[None] | None = None
        self._sent: list[Directive] = []
        self._numbers, self._run = itertools.count(1), run

    @property
    def staged(self) -> bool:
        """Whether there is a stage; without one nothing may be left behind at somebody's real backend."""
        return self._stage is not None

    @property
    def stage(self) -> CloudStage:
        """The stage; only checks that are `staged` ask."""
        if self._stage is None:
            raise Skipped("needs a stage with ground truth, which a real backend does not have")
        return self._stage

    # --- calls --------------------------------------------------------------------------------------------------------

    async def call(self, work: Awaitable[T], *, within_s: float | None = None) -> T:
        """What the port answers; Failed for a call that hangs, or raises anything but BackendError."""
        within_s = STUCK_S if within_s is None else within_s
        task, until_s = asyncio.ensure_future(work), time.monotonic() + within_s
        try:
            await asyncio.wait({task}, timeout=LOOK_S)
            while not task.done() and time.monotonic() < until_s:
                if self._stage is not None:
                    await self._stage.advance(STEP_S)
                await asyncio.wait({task}, timeout=LOOK_S / 10)
            if not task.done():
                raise Failed(f"a call did not come back within {within_s:g} s")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return self._outcome(task)

    def _outcome(self, task: "asyncio.Future[T]") -> T:
        error = task.exception()
        if error is None:
            return task.result()
        self.heard.note("error", f"{error} {error!r}")
        if isinstance(error, (BackendError, Failed, Skipped)):
            raise error
        raise Failed(f"the port raised {type(error).__name__}, and may raise nothing but BackendError") from error

    async def refusal(self, work: Awaitable[Any]) -> BackendError | None:
        """The error of a call; None when it succeeded."""
        try:
            await self.call(work)
        except BackendError as error:
            return error
        return None

    async def refused(self, work: Awaitable[Any], what: str) -> BackendError:
        """The error of a call that must not succeed."""
        error = await self.refusal(work)
        if error is None:
            raise Failed(f"{what} was taken, and should have been refused")
        return error

    async def refs(self) -> list[str]:
        """Every car that the adapter lists, up to ten thousand."""

        async def listed() -> list[str]:
            found: list[str] = []
            async for vehicle in self.adapter.vehicles():
                found.append(vehicle.ref)
                if len(found) >= MOST_CARS:
                    break
            return found

        return await self.call(listed())

    async def capability(self, ref: str) -> Capability:
        """What a car can do."""
        return await self.call(self.adapter.capabilities(ref))

    async def snapshot(self, ref: str, max_age_s: int | None = 0) -> Snapshot:
        """A reading, from the car itself unless an age is allowed."""
        return await self.call(self.adapter.snapshot(ref, max_age_s=max_age_s))

    async def submit(self, directive: Directive) -> Ack:
        """Submit as the engine does: with the capability and a reading of the car."""
        ref = directive.vehicle_ref
        capability, snapshot = await self.capability(ref), await self.snapshot(ref, None)
        self._sent.append(directive)
        return await self.call(self.adapter.submit(directive, capability, snapshot))

    async def status(self, directive: Directive) -> DirectiveStatus:
        """Where a directive stands, as the adapter says."""
        return await self.call(self.adapter.status(directive.vehicle_ref, directive.directive_id))

    async def cancel(self, directive: Directive) -> Ack:
        """End a directive."""
        return await self.call(self.adapter.cancel(directive.vehicle_ref, directive.directive_id))

    def directive(
        self,
        ref: str,
        kind: DirectiveKind = DirectiveKind.CURTAIL,
        *,
        minutes: float = 60,
        in_s: float = 0.0,
        **more: Any,
    ) -> Directive:
        """A directive of a key of its own, from now (or `in_s`) on."""
        number = f"{self._run}-{next(self._numbers)}"
        start = self.clock.now() + timedelta(seconds=in_s)
        end = start + timedelta(minutes=minutes)
        given: dict[str, Any] = {"not_after": end - timedelta(seconds=60), "target_soc_pct": 80.0} | more
        return Directive(f"kit-{number}", f"key-{number}", ref, kind, start, end, **given)

    # --- cars ---------------------------------------------------------------------------------------------------------

    async def car(self, wanted: Callable[[Capability], bool], what: str) -> tuple[str, Capability]:
        """The first car of the stage that can do this; Skipped when none can."""
        for ref in self.stage.refs:
            capability = await self.capability(ref)
            if wanted(capability):
                return ref, capability
        raise Skipped(f"no car here {what}")

    async def pausable(self) -> str:
        """A car that charges and can be paused and resumed."""
        ref, _ = await self.car(can_be_paused, "can be paused")
        return ref

    async def in_force(self, directive: Directive) -> DirectiveStatus:
        """Submit, and wait until the adapter says that it is in force; Failed when it never says so."""
        from ven_adapters.contract import DirectiveState

        await self.submit(directive)
        status = await self.settled(directive, lambda told: told.state is DirectiveState.IN_FORCE)
        expect(status.state is DirectiveState.IN_FORCE, f"{directive.kind} never came into force: it is {status.state}")
        return status

    async def settled(
        self, directive: Directive, wanted: Callable[[DirectiveStatus], bool], *, within_s: float = 600.0
    ) -> DirectiveStatus:
        """The status once it is as wanted, or the last one after so much simulated time."""
        status = await self.status(directive)
        for _ in range(int(within_s / 30.0)):
            if wanted(status):
                break
            await self.stage.advance(30.0)
            status = await self.status(directive)
        return status

    def contacts(self, *kinds: ContactKind, ref: str | None = None, since: int = 0) -> list[Contact]:
        """The calls of some kinds that reached the cloud, for a car, after the first `since`."""
        seen = self.stage.contacts()[since:]
        return [one for one in seen if (not kinds or one.kind in kinds) and ref in {None, one.ref}]

    # --- events -------------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take in what the adapter pushes, from now on."""
        self._listening = asyncio.create_task(self._listen(self.adapter.events()))

    async def _listen(self, source: AsyncIterator[BackendEvent]) -> None:
        async for event in source:
            self.events.append(event)
            if len(self.events) >= MOST_EVENTS:
                return

    async def heard_of(self, wanted: Callable[[BackendEvent], bool], *, within_s: float = 900.0) -> BackendEvent | None:
        """The first event that is as wanted, while so much simulated time goes by; None when there is none."""
        for _ in range(int(within_s / 30.0)):
            found = next((event for event in self.events if wanted(event)), None)
            if found is not None:
                return found
            self._still_listening()
            await self.stage.advance(30.0)
            await asyncio.sleep(LOOK_S / 3)
        return next((event for event in self.events if wanted(event)), None)

    def _still_listening(self) -> None:
        task = self._listening
        if task is None or not task.done():
            return
        error = task.exception()
        if isinstance(error, BackendError):
            raise Skipped(f"events: {error}") from error
        raise Failed(f"events() ended{'' if error is None else f' with {type(error).__name__}'}") from error

    # --- the end ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Take back what was sent, stop listening, let go of the adapter."""
        for directive in self._sent:
            await asyncio.gather(self._withdraw(directive), return_exceptions=True)
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await asyncio.wait_for(self.adapter.close(), STUCK_S)

    async def _withdraw(self, directive: Directive) -> None:
        async with asyncio.timeout(STUCK_S):
            await self.refusal(self.adapter.cancel(directive.vehicle_ref, directive.directive_id))

    def another(self, **changes: Any) -> "Bench":
        """The same adapter once more, with other settings; its user closes it."""
        given = {**self.settings, **changes}
        return Bench(self.make, given, stage=self._stage, heard=self.heard, run=f"{self._run}-{next(self._numbers)}")


def can_be_paused(capability: Capability) -> bool:
    """Whether a car can be stopped and started again, by command or by its target."""
    return (capability.can_stop and capability.can_resume_after_stop) or capability.limit_soc is not None


def copy_of(directive: Directive, **changes: Any) -> Directive:
    """The directive with something else in it."""
    return dataclasses.replace(directive, **changes)
