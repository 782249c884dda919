"""The evening's pace: as fast as asked, and slowly while any program is at work.

At hundreds of times the speed of life a machine's tenth of a second is half a minute of the evening, and a fleet would
seem slow to follow because the machine that plays it is. So simulated time nearly stands while an adapter plans or
calls wait for their turn, and what is measured in simulated minutes does not depend on the machine.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from vtn.clock import ClockPace, open_gate, work_folder

WORKING_PACE = 10.0
LOOK_S = 0.01
FORGOTTEN_S = 30.0  # a mark that is older was left by a process that is gone


class EveningPace:
    """Opens the gate, and sets the clock's pace by who is at work; remembers it, to tell simulated instants later."""

    def __init__(self, gate: Path, speed: float) -> None:
        self._gate, self._speed = gate, speed
        self._working = work_folder(gate)
        self._paces: list[ClockPace] = []

    def begin(self, real_s: float) -> None:
        """Let the evening begin at this Unix time."""
        self._working.mkdir(exist_ok=True)
        self._set(ClockPace(real_s, 0.0, self._speed))

    async def keep(self) -> None:
        """Slow down and hurry on, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            pace = min(self._speed, WORKING_PACE) if self.at_work() else self._speed
            now_s = time.time()
            if pace != self._paces[-1].pace and now_s > self._paces[-1].real_s:
                self._set(ClockPace(now_s, self._paces[-1].passed_at(now_s), pace))

    def passed_s(self, real_s: float) -> float:
        """Simulated seconds from the evening's begin to a Unix time."""
        return _in_force(self._paces, real_s).passed_at(real_s)

    def _set(self, pace: ClockPace) -> None:
        self._paces.append(pace)
        open_gate(self._gate, pace)

    def at_work(self) -> bool:
        """Whether any process says so."""
        oldest_s = time.time() - FORGOTTEN_S
        return any(_written_s(mark) > oldest_s for mark in self._working.iterdir())


def _in_force(paces: Sequence[ClockPace], real_s: float) -> ClockPace:
    return next((pace for pace in reversed(paces) if pace.real_s <= real_s), paces[0])


def _written_s(mark: Path) -> float:
    """When a mark was written; minus infinity when it is gone meanwhile."""
    try:
        return mark.stat().st_mtime
    except OSError:
        return -float("inf")
