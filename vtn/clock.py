"""The one place that reads a clock: real time, or simulated time at N times speed for demonstrations.

Every process of a demonstration computes the same simulated instant from the same three numbers, so no process has to
tell another what time it is. Token lifetimes, retries and network time-outs stay on real time and do not come here.
"""

import asyncio
import dataclasses
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

LONGEST_NAP_S = 3600.0
MOST_SPEED = 100_000.0
LAST_REAL_START_S = 32_503_680_000.0  # the year 3000


class Clock(Protocol):
    """What time it is, and a way to wait for a time."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds of real time until `at`, never negative."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RealClock:
    """Time as it passes."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC)

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds until `at`, never negative."""
        return max(0.0, (at - self.now()).total_seconds())


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatedClock:
    """Time that stood at `start` when the real clock (Unix time) showed `real_start_s`, at `speed` times its pace."""

    start: datetime
    real_start_s: float
    speed: float

    def now(self) -> datetime:
        """The present simulated instant, UTC."""
        return self.start + timedelta(seconds=(time.time() - self.real_start_s) * self.speed)

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds of real time until the simulated instant `at`, never negative."""
        return max(0.0, (at - self.now()).total_seconds() / self.speed)


async def sleep_until(clock: Clock, at: datetime) -> None:
    """Return when the clock shows `at`; waits in bounded naps so that a changed system clock is noticed."""
    while (wait_s := clock.real_seconds_until(at)) > 0:  # noqa: ASYNC110 - the clock is no event
        await asyncio.sleep(min(wait_s, LONGEST_NAP_S))


def parse_clock(text: str) -> Clock:
    """Read `real`, or `START@REAL_START_S*SPEED`, as `print_clock` writes it. ValueError names what is wrong."""
    if text == "real":
        return RealClock()
    start, at, rest = text.partition("@")
    real_start, star, speed = rest.partition("*")
    if not (at and star):
        raise ValueError(f"a clock is 'real' or START@REAL_START_S*SPEED, not {text!r}")
    instant = datetime.fromisoformat(start)
    if instant.tzinfo is None:
        raise ValueError(f"the clock's start needs a UTC offset: {start!r}")
    if not 0 < float(speed) <= MOST_SPEED:
        raise ValueError(f"the clock's speed must be above zero and at most {MOST_SPEED:g}: {speed!r}")
    if not 0 <= float(real_start) <= LAST_REAL_START_S:
        raise ValueError(f"the clock's real start must be a Unix time: {real_start!r}")
    return SimulatedClock(instant.astimezone(UTC), float(real_start), float(speed))


def print_clock(clock: Clock) -> str:
    """Write a clock so that another process can share it."""
    if isinstance(clock, SimulatedClock):
        return f"{clock.start.isoformat()}@{clock.real_start_s!r}*{clock.speed!r}"
    return "real"
