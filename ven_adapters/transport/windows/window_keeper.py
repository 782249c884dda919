"""See windows through: sent once, confirmed by newer telemetry only, told again at most twice, and the car given back.

One call to a car at a time, whoever asks. What a reading means is decided in `windows`; `window_store` remembers.
"""

import asyncio
import collections
import contextlib
import dataclasses
import logging
from datetime import timedelta
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Certainty,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.lifecycle.transitions import Trigger, state_at_end
from ven_adapters.transport.readings.vendor_readings import age_s
from ven_adapters.transport.windows.command_backend import Careful, CommandPace
from ven_adapters.transport.windows.hold_leases import HoldLeases
from ven_adapters.transport.windows.lease_keeper import LeaseKeeper
from ven_adapters.transport.windows.window_store import WindowStore
from ven_adapters.transport.windows.windows import (
    HOLDS,
    KeptWindow,
    WindowVerdict,
    judge,
    restoration,
    steps,
)
from vtn.clock import Clock, sleep_for, sleep_until

# Success by another name: the car already is as asked.
DONE = frozenset({ErrorCode.ALREADY_IN_STATE, ErrorCode.LIMIT_REACHED})

DOUBT = "the car was seen not to do as it was told"
TOO_LATE = "the car had not obeyed by not_after"

_log = logging.getLogger(__name__)


class WindowKeeper:
    """The work on every window of one vendor."""

    def __init__(
        self, cars: Careful, store: WindowStore, clock: Clock, pace: CommandPace, leases: HoldLeases | None
    ) -> None:
        self._cars, self._store, self._clock, self._pace = cars, store, clock, pace
        self.leases = LeaseKeeper(store, leases, clock, pace)
        self._locks: dict[str, asyncio.Lock] = {}
        self.looks: collections.Counter[str] = collections.Counter()

    def lock(self, ref: str) -> asyncio.Lock:
        """Held for every call that moves a car, so that opposite commands never overlap."""
        return self._locks.setdefault(ref, asyncio.Lock())

    async def live(self, directive_id: str) -> None:
        """See one window through to a final state."""
        try:
            window = self._store.window(directive_id)
            if window.sent_at is None and window.ending is None:
                await sleep_until(self._clock, window.directive.start)
                await self._begin(directive_id)
            await self._look_until_end(directive_id)
            await self._give_back(directive_id)
        except Exception:  # noqa: BLE001 - a fault of ours in one window must not pass in silence, nor end the others
            _log.exception("a directive could not be kept")
            self._store.move(self._store.window(directive_id), DirectiveState.FAILED, Trigger.FAILURE)

    async def send_first(self, window: KeptWindow, snapshot: Snapshot) -> None:
        """Tell the car, in place of what it was told before. A clean refusal leaves the older window in place."""
        self.leases.heed_guard(window.directive.vehicle_ref)
        older = self._store.holding(window.directive.vehicle_ref)
        before = await self._found(snapshot) if older is None else older.before
        window = dataclasses.replace(window, before=before)
        try:
            await self._send(window, older)
        except BackendError as error:
            if error.may_have_happened:
                self._replaces(older, window)
            raise
        self._replaces(older, window)

    async def finish(self, window: KeptWindow, state: DirectiveState | None) -> None:
        """Give the car back and close the window, as `state` or as its end finds it; later when no call arrives."""
        refusal: BackendError | None = None
        held = self._store.holding(window.directive.vehicle_ref)
        mine = held is not None and held.directive.directive_id == window.directive.directive_id
        try:
            for setting in restoration(window) if mine else ():
                await self._tell(window.directive.vehicle_ref, setting)
            if mine and window.ends_by_itself and self._clock.now() < window.directive.end:
                await self._cars.forget_end(window.directive.vehicle_ref)
        except BackendError as error:
            refusal = error
        window = self._store.window(window.directive.directive_id)  # a reading may have come meanwhile
        if window.final:
            return
        state = state or state_at_end(window.state, was_in_force=window.been_in_force)
        if refusal is not None:
            self._store.keep(dataclasses.replace(window, ending=state, error=refusal.code, detail=refusal.detail))
            return
        trigger = Trigger.CANCEL if state is DirectiveState.CANCELLED else Trigger.TIME
        self._store.move(window, state, trigger, error=None if state is DirectiveState.RELEASED else window.error)

    def observe(self, snapshot: Snapshot) -> None:
        """Book what a reading says of the window that holds the car."""
        window = self._store.holding(snapshot.vehicle_ref)
        if window is None or window.ending is not None:
            return
        verdict, at = judge(window, snapshot)
        if self._cars.overridden(snapshot.vehicle_ref) and verdict is not WindowVerdict.NOTHING:
            self._overridden(window)
        elif verdict is WindowVerdict.CONFIRMED:
            self._confirmed(window, snapshot)
        elif verdict is WindowVerdict.MAYBE_UNPLUGGED and window.unplugged_at is None:
            self._store.keep(dataclasses.replace(window, unplugged_at=at))
        elif verdict is WindowVerdict.UNPLUGGED and window.state is not DirectiveState.INTERRUPTED:
            facts = {"observed_at": at, "unplugged_at": window.unplugged_at or at, "error": ErrorCode.NOT_PLUGGED}
            self._store.move(window, DirectiveState.INTERRUPTED, Trigger.TELEMETRY, **facts)
        elif verdict is WindowVerdict.CONTRADICTED:
            self._contradicted(window)

    def _confirmed(self, window: KeptWindow, snapshot: Snapshot) -> None:
        if window.state is DirectiveState.IN_FORCE and window.unplugged_at is None and window.error is None:
            return
        self._store.move(
            window,
            DirectiveState.IN_FORCE,
            Trigger.TELEMETRY,
            certainty=Certainty.VEHICLE_OBSERVED,
            observed_at=judge(window, snapshot)[1],
            been_in_force=True,
            told=True,
            unplugged_at=None,
            error=None,
            detail=None,
        )

    def _contradicted(self, window: KeptWindow) -> None:
        """Told again at most twice; a car that obeyed before and does not any more has been taken over.

        One that had not obeyed by `not_after` may still do so, and is given back before it does.
        """
        if not window.been_in_force and self._clock.now() > window.directive.not_after:
            self._store.keep(dataclasses.replace(window, ending=DirectiveState.EXPIRED, detail=TOO_LATE))
            return
        if window.off_its_plug:  # plugged in again, which resets some cars
            window = dataclasses.replace(window, sends=1)
        if window.sends < self._pace.sends:
            told: dict[str, Any] = {"unplugged_at": None, "error": ErrorCode.REJECTED_BY_VEHICLE, "detail": DOUBT}
            if window.state is DirectiveState.IN_FORCE:  # what was true is not any more, and nobody may be told so
                self._store.move(window, DirectiveState.INTERRUPTED, Trigger.TELEMETRY, **told)
            else:
                self._store.keep(dataclasses.replace(window, **told))
        elif window.been_in_force:
            self._overridden(window)
        else:
            self._store.move(window, DirectiveState.FAILED, Trigger.FAILURE, error=ErrorCode.REJECTED_BY_VEHICLE)

    def _overridden(self, window: KeptWindow) -> None:
        self._store.move(window, DirectiveState.OVERRIDDEN, Trigger.DRIVER, error=ErrorCode.USER_OVERRIDE)
        chose = DriverChose(window.directive.vehicle_ref, DriverChoice.BOOST, self._clock.now(), window.directive.end)
        self._store.say(chose)  # for as long as we would have held the car: nobody else would ever end it

    async def _begin(self, directive_id: str) -> None:
        """The first send of a window that was taken before its start; what may be tried again is, until `not_after`."""
        wait_s = self._pace.first_look_s
        while True:
            window = self._store.window(directive_id)
            async with self.lock(window.directive.vehicle_ref):
                window = self._store.window(directive_id)
                if window.final or window.ending is not None:
                    return
                try:
                    self._in_time(window)
                    await self.send_first(window, Snapshot(window.directive.vehicle_ref))
                except BackendError as error:
                    if not self._again(window, error):
                        return
                    wait_s = max(wait_s, error.retry_after_s or 0.0)
                else:
                    return
            await self._nap(wait_s)
            await self._rouse(self._store.window(directive_id))

    def _again(self, window: KeptWindow, error: BackendError) -> bool:
        """Whether a first send that failed is tried again; otherwise the window is booked as what it came to."""
        if error.may_have_happened and self._store.window(window.directive.directive_id).sent_at is not None:
            return False
        if error.retryable:
            self._store.keep(dataclasses.replace(window, error=error.code, detail=error.detail))
            return True
        late = error.code is ErrorCode.EXPIRED
        state, trigger = (DirectiveState.EXPIRED, Trigger.TIME) if late else (DirectiveState.FAILED, Trigger.REFUSAL)
        self._store.move(window, state, trigger, error=error.code, detail=error.detail)
        return False

    async def _look_until_end(self, directive_id: str) -> None:
        """Read the car now and then: soon after a send, rarely once the window is in force."""
        wait_s = self._pace.first_look_s
        while not (window := self._store.window(directive_id)).final and window.ending is None:
            left_s = (window.directive.end - self._clock.now()).total_seconds()
            if left_s <= 0:
                return
            await self._nap(min(left_s, wait_s))
            if left_s > wait_s:
                await self._look(directive_id, wait_s)
            unsure = self._store.window(directive_id).unplugged_at is not None
            wait_s = self._pace.first_look_s * 2 if unsure else min(wait_s * 2, self._pace.longest_look_s)

    async def _look(self, directive_id: str, wait_s: float) -> None:
        """One reading; a car that was seen not to obey is told again, never after `not_after`."""
        ref = self._store.window(directive_id).directive.vehicle_ref
        with contextlib.suppress(BackendError):
            self.observe(await self._read(ref, int(wait_s)))
        async with self.lock(ref):
            window = self._store.window(directive_id)
            if window.final or window.ending is not None:
                return
            try:
                if window.owes:
                    await self._settle(window)
                if window.error is not ErrorCode.REJECTED_BY_VEHICLE:
                    return
                window = self._store.window(directive_id)
                self._in_time(window)
                await self._send(window, None)
            except BackendError as error:
                _log.info("a car could not be told again: %s", error.code)

    async def _read(self, ref: str, max_age_s: int) -> Snapshot:
        """A reading; `looks` counts those that the vendor was called for, answered or not."""
        asked_at = self._clock.now()
        snapshot: Snapshot | None = None
        try:
            snapshot = await self._cars.read(ref, max_age_s)
        finally:
            told = snapshot.charge_state if snapshot is not None else None
            self.looks[ref] += told is None or told.received_at >= asked_at
        return snapshot

    async def _give_back(self, directive_id: str) -> None:
        """The window's end: restore, and keep trying for some hours when the car cannot be reached."""
        give_up = self._clock.now() + timedelta(seconds=self._pace.give_back_s)
        wait_s = self._pace.first_look_s
        while True:
            async with self.lock(self._store.window(directive_id).directive.vehicle_ref):
                window = self._store.window(directive_id)
                if window.final:
                    return
                await self.finish(window, window.ending)
            window = self._store.window(directive_id)
            if not window.final and self._clock.now() >= give_up:
                self._store.move(window, DirectiveState.FAILED, Trigger.FAILURE)
            if window.final:
                return
            await self._nap(wait_s)
            wait_s = min(wait_s * 2, self._pace.longest_look_s)
            await self._rouse(window)

    async def _found(self, snapshot: Snapshot) -> Snapshot:
        """The car as its driver left it: what we were given while it is young, else a reading, if one can be had."""
        if age_s(snapshot, self._clock.now()) <= self._pace.found_s:
            return snapshot
        with contextlib.suppress(BackendError):
            return await self._read(snapshot.vehicle_ref, self._pace.found_s)
        return snapshot

    async def _rouse(self, window: KeptWindow) -> None:
        if window.error is ErrorCode.ASLEEP:
            with contextlib.suppress(BackendError):
                await self._read(window.directive.vehicle_ref, 0)

    async def _send(self, window: KeptWindow, older: KeptWindow | None) -> None:
        """Written down, then sent; nothing is sent when the car already stands so, or was never touched."""
        sent = dataclasses.replace(window, sent_at=self._clock.now(), sends=window.sends + 1, error=None, detail=None)
        self.leases.take(sent, older)
        try:
            self._store.begin(sent)
            sent = await self._set_end(sent, older)
            action = await self._tell_all(sent, steps(window, older))
            if older is not None and older.ends_by_itself and not sent.ends_by_itself:
                await self._cars.forget_end(sent.directive.vehicle_ref)
        except BackendError as error:
            if not error.may_have_happened:
                self.leases.take_as_before(sent)
            raise
        finally:
            self.leases.called(sent.directive.vehicle_ref)
        late = self._clock.now() > window.directive.not_after  # an answer may take minutes, and so does the car
        ending, detail = (DirectiveState.EXPIRED, TOO_LATE) if late else (sent.ending, sent.detail)
        self._store.keep(dataclasses.replace(sent, told=True, action=action, ending=ending, detail=detail))

    async def _tell_all(self, sent: KeptWindow, wanted: tuple[Setting, ...]) -> str | None:
        """One after the other; when a part was taken and the rest was not, the rest is owed, and nothing is refused."""
        action = None
        for done, setting in enumerate(wanted):
            try:
                action = await self._tell(sent.directive.vehicle_ref, setting) or action
            except BackendError as error:
                if not done:
                    raise
                self._store.keep(dataclasses.replace(sent, owes=wanted[done:]))
                detail = f"a part was taken, the rest is tried again: {error.detail}"
                raise BackendError(ErrorCode.OUTCOME_UNKNOWN, detail) from None
        return action

    async def _set_end(self, sent: KeptWindow, older: KeptWindow | None) -> KeptWindow:
        """Have the car end a hold by itself, where it can: before it is held, and anew when the end is another."""
        end = sent.directive.end
        if sent.directive.kind not in HOLDS or sent.setting.rung is Rung.RESUME:
            return sent
        known = sent if sent.sends > 1 else older
        if known is not None and known.ends_by_itself and known.setting == sent.setting and known.directive.end == end:
            return dataclasses.replace(sent, ends_by_itself=True)
        if not await self._cars.end_at(sent.directive.vehicle_ref, sent.setting, end):
            return dataclasses.replace(sent, ends_by_itself=False)
        return self._store.keep(dataclasses.replace(sent, ends_by_itself=True))

    async def _settle(self, window: KeptWindow) -> None:
        """What is owed is told; giving back is never too late."""
        for setting in window.owes:
            await self._tell(window.directive.vehicle_ref, setting)
        self._store.keep(dataclasses.replace(self._store.window(window.directive.directive_id), owes=()))

    async def _tell(self, ref: str, setting: Setting) -> str | None:
        try:
            return await self._cars.tell(ref, setting)
        except BackendError as error:
            if error.code in DONE:
                return None
            raise

    def _replaces(self, older: KeptWindow | None, window: KeptWindow) -> None:
        self._store.hold(window)
        if older is not None:
            self._store.move(older, DirectiveState.SUPERSEDED, Trigger.REPLACED)

    def _in_time(self, window: KeptWindow) -> None:
        if self._clock.now() > window.directive.not_after:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")

    async def _nap(self, wait_s: float) -> None:
        await sleep_for(self._clock, wait_s)
