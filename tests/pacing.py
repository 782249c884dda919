"""How fast simulated time may run in a test: slower on a machine that has other things to do.

A test in simulated time claims something about an order of events, and a processor that is away for a second lets
minutes pass in between. The speed is taken once, when a test session begins; what is waited for stays the same.

Where everybody who reads the clock is in this process, `standing_time` does better: time stands still while its loop
is busy, so that such an evening is as fast as the work that it makes, whatever else the machine does.
"""

import asyncio
import contextlib
import dataclasses
import os
import time
import types
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from vtn import clock
from vtn.tasks import cancel_tasks

SLOWEST = 4.0
BUSY = 2.0


def paced(speed: float) -> float:
    """The speed on an idle machine, or less: by how many processes want each processor."""
    return max(speed / min(max(_wanted(), 1.0), SLOWEST), min(speed, 1.0))


def skip_when_busy() -> None:
    """Skip what measures a whole program against fast time, on a machine that has twice as much to do as it can."""
    if (wanted := _wanted()) > BUSY:
        pytest.skip(f"{wanted:.1f} processes want each processor: fast time would measure the machine")


@dataclasses.dataclass
class StandingTime:
    """The time of day of a process: as it passes, but at most `MOST_S` of it from one turn of a loop to the next."""

    MOST_S = 0.012
    OFTEN_S = 0.003
    CREEPS = 0.001
    _begun: tuple[float, float] = dataclasses.field(default_factory=lambda: (time.time(), time.monotonic()))

    def time(self) -> float:
        """Unix time, less what was lost while the loop was busy; two looks at it are never the same."""
        shown_s, at_s = self._begun
        passed_s = time.monotonic() - at_s
        return shown_s + min(passed_s, self.MOST_S) + passed_s * self.CREEPS

    async def run(self) -> None:
        """Take note of the loop's turns."""
        while True:
            await asyncio.sleep(self.OFTEN_S)
            self._begun = self.time(), time.monotonic()

    def begin(self) -> None:
        """From here on clocks are driven by this time."""
        clock.time = types.SimpleNamespace(time=self.time, monotonic=time.monotonic)
        self._turns = asyncio.create_task(self.run())

    async def end(self) -> None:
        """From here on they are driven by the machine's own."""
        clock.time = time
        await cancel_tasks([self._turns])

    def clock(self, start: datetime, speed: float) -> clock.SimulatedClock:
        """A clock that shows `start` now."""
        return clock.SimulatedClock(start, clock.time.time(), speed)


@contextlib.asynccontextmanager
async def standing_time(*, when: bool = True) -> AsyncIterator[StandingTime]:
    """Simulated clocks of this process are driven by a time that stands still while this loop is busy.

    Blocks within one another, and side by side in one loop, share one such time.
    """
    standing = _in_use[0] if _in_use else StandingTime()
    if not when:
        yield standing
        return
    _in_use.append(standing)
    if len(_in_use) == 1:
        standing.begin()
    try:
        yield standing
    finally:
        _in_use.pop()
        if not _in_use:
            await standing.end()


_in_use: list[StandingTime] = []


def _wanted() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)
