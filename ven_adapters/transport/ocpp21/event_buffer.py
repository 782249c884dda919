"""What the backend pushes, waiting for its one reader: the newest snapshot per car, the newest status per directive.

A reader that is slow misses what was overtaken, and nothing grows beyond one of each.
"""

import asyncio
import collections

from ven_adapters.contract import (
    BackendEvent,
    DirectivesChanged,
    DirectiveStatus,
    DriverChose,
    Snapshot,
    SnapshotsSeen,
)

WAITING_STATUSES = 10_000
WAITING_CHOICES = 1_000


class Outbox:
    """Filled from the event loop, emptied by `batch`."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._statuses: collections.OrderedDict[str, DirectiveStatus] = collections.OrderedDict()
        self._choices: collections.deque[DriverChose] = collections.deque(maxlen=WAITING_CHOICES)
        self._filled = asyncio.Event()

    def snapshot(self, snapshot: Snapshot) -> None:
        """A car's newest reading."""
        self._snapshots[snapshot.vehicle_ref] = snapshot
        self._filled.set()

    def status(self, status: DirectiveStatus) -> None:
        """A directive's newest state."""
        self._statuses[status.directive_id] = status
        if len(self._statuses) > WAITING_STATUSES:
            self._statuses.popitem(last=False)
        self._filled.set()

    def choice(self, choice: DriverChose) -> None:
        """A driver decided."""
        self._choices.append(choice)
        self._filled.set()

    async def batch(self) -> list[BackendEvent]:
        """Everything that waits; waits itself until there is something."""
        await self._filled.wait()
        self._filled.clear()
        out: list[BackendEvent] = [*self._choices]
        if self._snapshots:
            out.append(SnapshotsSeen(tuple(self._snapshots.values())))
        if self._statuses:
            out.append(DirectivesChanged(tuple(self._statuses.values())))
        self._choices.clear()
        self._snapshots.clear()
        self._statuses.clear()
        return out
