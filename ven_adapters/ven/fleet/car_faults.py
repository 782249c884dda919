"""A fault of one car costs that car one step, and no other car anything.

Loops over cars run each car's work inside `only(ref)`: whatever it raises is logged with the car's name and counted,
and the loop goes on. A car that fails at every cycle is logged whole once in a while and counted each time. It knows
nothing of what the work is.
"""

import collections
import logging
from types import TracebackType

REMEMBERED = 1_000
AGAIN_EVERY = 100

_log = logging.getLogger(__name__)


class CarFaults:
    """How often the work for each car failed; the cars that failed longest ago are forgotten beyond `REMEMBERED`."""

    def __init__(self) -> None:
        self.count = 0
        self._of: collections.OrderedDict[str, int] = collections.OrderedDict()

    def only(self, ref: str) -> "OneCar":
        """What the work for one car is done in: `with faults.only(ref): ...`."""
        return OneCar(self, ref)

    def note(self, ref: str, error: BaseException) -> None:
        """The work for a car failed."""
        self.count += 1
        seen = self._of.pop(ref, 0)
        self._of[ref] = seen + 1
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)
        if seen % AGAIN_EVERY == 0:
            _log.error("car %s failed and is passed over this time (%d before)", ref, seen, exc_info=error)


class OneCar:
    """A block that lets nothing but the end of the task out."""

    __slots__ = ("_faults", "_ref")

    def __init__(self, faults: CarFaults, ref: str) -> None:
        self._faults, self._ref = faults, ref

    def __enter__(self) -> None:
        """Begin the car's work."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Note an Exception and go on; cancellation and the like pass."""
        if not isinstance(error, Exception):
            return False
        self._faults.note(self._ref, error)
        return True
