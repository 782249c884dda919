"""The cars whose turn has not come yet, zone by zone: taken in turn from each zone, the most pressing of each first.

A zone's newer decision replaces what is left of its older one, so that nobody is told what is no longer wanted. No I/O.
"""

import collections

from ven_adapters.ven.control.car_steps import StepSource


class StepQueue:
    """What is still to be carried out."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[StepSource, collections.deque[int]]] = {}
        self._turns: collections.deque[str] = collections.deque()

    def put(self, step_source: StepSource) -> None:
        """Take up a zone's newest decision."""
        zone = step_source.decision.zone
        if zone not in self._left:
            self._turns.append(zone)
        self._left[zone] = step_source, collections.deque(step_source.places.tolist())

    def take(self) -> tuple[StepSource, int] | None:
        """The next car as its decision and its place there; None when all is done."""
        while self._turns:
            zone = self._turns.popleft()
            step_source, places = self._left[zone]
            if places:
                self._turns.append(zone)
                return step_source, places.popleft()
            del self._left[zone]
        return None

    def __len__(self) -> int:
        return sum(len(places) for _, places in self._left.values())
