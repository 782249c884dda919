"""How long held cars stay held when their keeper is no more: a lease for each window that holds its car, kept up.

Without a file of leases nothing is written, and nobody gives the cars of a dead keeper back.
"""

import contextlib
import logging

from ven_adapters.contract import BackendError
from ven_adapters.lifecycle.transitions import Trigger, state_at_end
from ven_adapters.transport.windows.command_backend import CommandPace
from ven_adapters.transport.windows.hold_leases import HoldLease, HoldLeases
from ven_adapters.transport.windows.window_store import WindowStore
from ven_adapters.transport.windows.windows import HOLDS, KeptWindow, dead_mans
from vtn.clock import Clock

BY_GUARD = "its keeper was away, and the guard has given the car back"
# So long past a window's end, in seconds of the shared clock, a keeper that lives has given the car back or renewed the
# lease. In real time no lease is shorter than `LEAST_S`, however fast the clock.
GRACE_S, LEAST_S = 180.0, 3.0

_log = logging.getLogger(__name__)


class LeaseKeeper:
    """The leases of the windows in one store."""

    def __init__(self, store: WindowStore, leases: HoldLeases | None, clock: Clock, pace: CommandPace) -> None:
        self._store, self._leases, self._clock, self._pace = store, leases, clock, pace
        self._unwritten = False
        self._calling: dict[str, tuple[KeptWindow, KeptWindow | None]] = {}
        store.on_final = self._drop

    def renew(self) -> None:
        """Renew the lease of every car that is held; windows whose cars the guard has given back are over."""
        if self._leases is None:
            return
        held = {window.directive.vehicle_ref: self._lease(window) for window in self._store.holding_any()}
        held |= {ref: self._lease(*calling) for ref, calling in self._calling.items()}
        try:
            given_back = self._leases.renew(lease for lease in held.values() if lease is not None)
        except OSError as error:
            if not self._unwritten:
                _log.warning("leases cannot be renewed: %s", error)
            self._unwritten = True
            return
        self._unwritten = False
        for directive_id in given_back:
            self._end_by_guard(directive_id)

    def take(self, sent: KeptWindow, older: KeptWindow | None) -> None:
        """On disk before the car is told; OSError when that cannot be, and then nobody may be told.

        A window that holds nothing has none: until it is told, the lease of what held the car before goes on.
        """
        lease = self._lease(sent, older) if sent.directive.kind in HOLDS else None
        if self._leases is not None and lease is not None:
            self._leases.take(lease)
            self._calling[lease.ref] = sent, older

    def called(self, ref: str) -> None:
        """The call for which a lease was taken is over: from now on it counts which window holds the car."""
        self._calling.pop(ref, None)

    def take_as_before(self, sent: KeptWindow) -> None:
        """A command was refused and cannot have happened: what held the car before holds it still."""
        held = self._store.holding(sent.directive.vehicle_ref)
        lease = None if held is None else self._lease(held)
        with contextlib.suppress(OSError, BackendError):  # the next renewal writes it
            if self._leases is not None and lease is not None:
                self._leases.take(lease)
            elif self._leases is not None:
                self._leases.drop(sent.directive.vehicle_ref, sent.directive.directive_id)

    def heed_guard(self, ref: str) -> None:
        """Before a car is told: whether the guard has given it back meanwhile."""
        if self._leases is not None and (directive_id := self._leases.given_back(ref)) is not None:
            self._end_by_guard(directive_id)

    def _lease(self, window: KeptWindow, older: KeptWindow | None = None) -> HoldLease | None:
        """A slice, or to the window's end where that is sooner or the car ends it by itself; in real seconds."""
        give_back = dead_mans(window, older)
        if not give_back:
            return None
        left_s = (window.directive.end - self._clock.now()).total_seconds() + GRACE_S
        most_s = left_s if window.ends_by_itself else min(left_s, self._pace.slice_s)
        lasts_s = max(most_s, GRACE_S) / float(getattr(self._clock, "speed", 1.0))
        directive = window.directive
        return HoldLease(directive.vehicle_ref, directive.directive_id, give_back, max(lasts_s, LEAST_S))

    def _drop(self, window: KeptWindow) -> None:
        if self._leases is not None and window.sent_at is not None:
            with contextlib.suppress(OSError):  # the next renewal drops it
                self._leases.drop(window.directive.vehicle_ref, window.directive.directive_id)

    def _end_by_guard(self, directive_id: str) -> None:
        if not self._store.known(directive_id) or (window := self._store.window(directive_id)).final:
            return
        state = state_at_end(window.state, was_in_force=window.been_in_force)
        self._store.move(window, state, Trigger.TIME, detail=BY_GUARD)
