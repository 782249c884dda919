"""Keep a directive's window over an interface that only takes single commands: a `VehicleBackend` made of a `Cars`.

An automaker's file brings `Cars`: read a car, tell it one setting, choose the setting. The window, its confirmation and
the car's return are kept here, on disk, through restarts.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Known,
    Setting,
    SetupFault,
    Snapshot,
    SnapshotsSeen,
    VehicleRef,
    WriteDown,
)
from ven_adapters.transport.windows.command_backend import Careful, Cars, CommandPace
from ven_adapters.transport.windows.hold_leases import HoldLeases
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.window_keeper import DONE, WindowKeeper
from ven_adapters.transport.windows.window_store import WindowStore
from ven_adapters.transport.windows.windows import KeptWindow
from vtn.clock import Clock

# How old the evidence may be on which a directive is told to be in force to whoever asks.
RECENT_S = 10
# How often leases are renewed, in seconds of the shared clock, but in real time no oftener than that.
RENEW_S, LEAST_RENEW_S = 60.0, 0.25
_NEED_POWER = frozenset({DirectiveKind.CAP, DirectiveKind.SETPOINT})
_GIVES_BACK = frozenset({DirectiveKind.RELEASE, DirectiveKind.CHARGE})
# What says that a car is not held: it was given back already, or its cable is out.
_NOT_HELD = DONE | {ErrorCode.NOT_PLUGGED}

_log = logging.getLogger(__name__)


class KeptBackend:
    """The port over `Cars`. `events` has one consumer; the other calls may run side by side."""

    works_alone = True

    def __init__(
        self,
        cars: Cars,
        clock: Clock,
        journal: Journal[KeptWindow],
        pace: CommandPace | None = None,
        leases: HoldLeases | None = None,
    ) -> None:
        self._cars, self._clock, self._pace, self._leases = Careful(cars), clock, pace or CommandPace(), leases
        self._store = WindowStore(journal)
        self._keeper = WindowKeeper(self._cars, self._store, clock, self._pace, leases)
        self._renewing: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def guarded(self) -> Path | None:
        """The folder of the leases that a guard looks after; None when none are written."""
        return None if self._leases is None else self._leases.folder

    def take_looks(self) -> Mapping[str, int]:
        """How often the vendor was called for a reading that nobody asked of us, by car, since this was last taken."""
        looks = dict(self._keeper.looks)
        self._keeper.looks.clear()
        return looks

    def vehicles(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car."""
        self._open()
        return self._cars.refs()

    async def capabilities(self, ref: str) -> Capability:
        """What the car can do."""
        return await self._cars.capability(ref)

    async def setup_faults(self) -> Sequence[SetupFault]:
        """What is missing at the vendor's before cars can be commanded or read."""
        return await self._cars.setup_faults()

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """The newest reading; what it says of the car's directive is booked too."""
        self._open()
        snapshot = await self._cars.read(ref, max_age_s)
        self._keeper.observe(snapshot)
        return snapshot

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """Take a directive; one that has begun is sent before this returns."""
        self._open()
        if (window := self._store.seen(directive)) is not None:
            return window.ack()
        self._permit(directive, snapshot)
        setting = self._cars.achieve(directive, capability, snapshot)
        if isinstance(setting, BackendError):
            raise setting
        window = KeptWindow(directive, setting)
        try:
            await self._take(window, snapshot)
        except BackendError as error:
            if not error.may_have_happened:
                self._store.forget(directive)
            raise
        finally:
            if self._store.known(directive.directive_id):
                self._attend(directive.directive_id)
        return self._store.window(directive.directive_id).ack()

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """End a directive now; when the car cannot be given back at once it is tried again in the background."""
        self._window(vehicle_ref, directive_id)
        async with self._keeper.lock(vehicle_ref):
            window = self._window(vehicle_ref, directive_id)
            if not window.final:
                await self._keeper.finish(window, DirectiveState.CANCELLED)
        window = self._window(vehicle_ref, directive_id)
        self._drop(directive_id)
        if not window.final:
            self._attend(directive_id)
        return window.ack()

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """Where a directive stands; one whose call was lost, and one in force, is looked at first."""
        window = self._window(vehicle_ref, directive_id)
        if window.sent_at is not None and not window.told and not window.final:
            await self.snapshot(vehicle_ref, max_age_s=0)
        elif window.state is DirectiveState.IN_FORCE:
            with contextlib.suppress(BackendError):
                await self.snapshot(vehicle_ref, max_age_s=RECENT_S)
        return self._window(vehicle_ref, directive_id).status()

    async def events(self) -> AsyncIterator[BackendEvent]:
        """The vendor's pushes, and what became of directives."""
        self._open()
        pushes = asyncio.create_task(self._take_pushes())
        try:
            while True:
                event = await self._next(pushes)
                try:
                    yield event
                finally:
                    self._store.queue.task_done()
        finally:
            pushes.cancel()
            await asyncio.gather(pushes, return_exceptions=True)

    async def give_back(self, ref: str, settings: Iterable[Setting]) -> None:
        """For the guard, which keeps no windows: tell a car what ends its hold. BackendError unless the vendor agrees.

        A car that sleeps is woken, for the next try.
        """
        for setting in settings:
            try:
                await self._cars.tell(ref, setting)
            except BackendError as error:
                if error.code is ErrorCode.ASLEEP:
                    with contextlib.suppress(BackendError):
                        await self._cars.read(ref, 0)
                if error.code not in _NOT_HELD:
                    raise

    async def close(self) -> None:
        """Stop keeping; windows stay on disk and are taken up at the next start."""
        tasks = [*self._tasks.values(), *([self._renewing] if self._renewing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._store.close()
        if self._leases is not None:
            self._leases.close()
        await self._cars.close()

    def _open(self) -> None:
        """Take up the windows of the life before, once; leases first, by which the guard says what it has ended."""
        found = self._store.open(self._clock.now())
        if self._leases is not None and self._renewing is None:
            self._keeper.leases.renew()
            self._renewing = asyncio.create_task(self._renew())
        for directive_id in found:
            self._attend(directive_id)

    async def _renew(self) -> None:
        """Renew the leases for as long as we live, in real time: whatever the clock on the wall is set to."""
        every_s = max(RENEW_S / float(getattr(self._clock, "speed", 1.0)), LEAST_RENEW_S)
        while True:
            await asyncio.sleep(every_s)
            try:
                self._keeper.leases.renew()
            except Exception:  # noqa: BLE001 - a fault of ours in one round must not stop the next
                _log.exception("leases could not be renewed")

    def _permit(self, directive: Directive, snapshot: Snapshot) -> None:
        """The port's own refusals, before any call."""
        now = self._clock.now()
        if directive.power_w is None and directive.kind in _NEED_POWER:
            raise BackendError(ErrorCode.INVALID_REQUEST, f"power_w: is required by a {directive.kind}")
        if now > directive.not_after or now >= directive.end:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")
        if snapshot.plugged is not None and snapshot.plugged.value is Known.NO:
            raise BackendError(ErrorCode.NOT_PLUGGED, "the cable is out")
        at_site = Known.UNKNOWN if snapshot.at_site is None else snapshot.at_site.value
        unsure = at_site is Known.UNKNOWN and not self._pace.anywhere and directive.kind is not DirectiveKind.RELEASE
        if at_site is Known.NO or unsure:
            raise BackendError(ErrorCode.NOT_AT_SITE, "the car is not known to be at its home")
        if self._cars.overridden(directive.vehicle_ref) and directive.kind not in _GIVES_BACK:
            raise BackendError(ErrorCode.USER_OVERRIDE, "the driver has taken the car over")

    async def _take(self, window: KeptWindow, snapshot: Snapshot) -> None:
        async with self._keeper.lock(window.directive.vehicle_ref):
            if self._store.seen(window.directive) is not None:  # the same, taken while this one waited
                return
            self._store.begin(window)
            if window.directive.start <= self._clock.now():
                await self._keeper.send_first(window, snapshot)

    def _window(self, ref: str, directive_id: str) -> KeptWindow:
        self._open()
        window = self._store.window(directive_id)
        if window.directive.vehicle_ref != ref:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: the directive is another car's")
        return window

    def _attend(self, directive_id: str) -> None:
        if directive_id not in self._tasks:
            task = asyncio.create_task(self._keeper.live(directive_id))
            self._tasks[directive_id] = task
            task.add_done_callback(lambda done: self._done(directive_id, done))

    def _done(self, directive_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(directive_id) is task:
            del self._tasks[directive_id]

    def _drop(self, directive_id: str) -> None:
        task = self._tasks.pop(directive_id, None)
        if task is not None:
            task.cancel()

    async def _take_pushes(self) -> None:
        async for event in self._cars.pushes():
            for snapshot in event.snapshots if isinstance(event, SnapshotsSeen) else ():
                self._keeper.observe(snapshot)
            self._store.say(event)
            if isinstance(event, WriteDown):
                await self._store.queue.join()  # it is answered for once the next event is asked for, and not before

    async def _next(self, pushes: asyncio.Task[None]) -> BackendEvent:
        """The next event; a push line that broke raises, so that the caller listens anew."""
        event = asyncio.create_task(self._store.queue.get())
        try:
            await asyncio.wait((event, pushes), return_when=asyncio.FIRST_COMPLETED)
            if not event.done():
                pushes.result()
            return await event
        finally:
            event.cancel()
