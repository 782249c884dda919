"""A clock for judging programs: it runs on slowly by itself and jumps when told, and nobody oversleeps a jump.

Whoever waits for an instant of this clock waits in naps of a few milliseconds of real time, so that a jump past the
instant is noticed at once, whichever library does the waiting.
"""

import asyncio
import time
from datetime import datetime, timedelta

NAP_S = 0.004
STEP_S = 60.0


class SteppedClock:
    """Time that stood at `start` when the clock was made, goes by `speed` times as fast as real time, and jumps."""

    naps = True

    def __init__(self, start: datetime, speed: float = 30.0) -> None:
        self._start, self._speed = start, speed
        self._began_s = time.monotonic()
        self._jumped = timedelta(0)

    def now(self) -> datetime:
        """The present instant, UTC."""
        return self._start + self._jumped + timedelta(seconds=(time.monotonic() - self._began_s) * self._speed)

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds of real time until `at`, at most one nap, never negative."""
        return min(NAP_S, max(0.0, (at - self.now()).total_seconds() / self._speed))

    async def advance(self, seconds: float) -> None:
        """Jump so far, in steps of a minute at most; after each everybody who waits gets a nap's time to act."""
        left_s = seconds
        while left_s > 0.0:
            self._jumped += timedelta(seconds=min(STEP_S, left_s))
            left_s -= STEP_S
            await asyncio.sleep(2.0 * NAP_S)
