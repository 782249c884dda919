"""The one place that reads a clock: real time, or simulated time at N times speed for demonstrations.

Every process of a demonstration computes the same simulated instant from the same three numbers, so no process has to
tell another what time it is. Token lifetimes, retries and network time-outs stay on real time and do not come here.
"""

import asyncio
import contextlib
import dataclasses
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

HOUR_S = 3_600.0
LONGEST_NAP_S = 30.0
PRELUDE_S, STANDS_S = 600.0, 1.0
LOOK_S = 0.1
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


class GatedClock:
    """Simulated time that waits for everybody: it runs from `start` once the file `gate` says when it began.

    The file holds one number, the Unix time of that. Before, it shows the last minutes before `start` at the pace of
    real time (counted from `real_epoch_s`) and stands still just short of `start`, so that programs which are still
    starting miss nothing. `open_gate` makes the file.
    """

    naps = True

    def __init__(self, start: datetime, real_epoch_s: float, gate: Path, speed: float) -> None:
        self.start, self.real_epoch_s, self.gate, self.speed = start, real_epoch_s, gate, speed
        self._running: SimulatedClock | None = None
        self._look_at_s = -math.inf

    def now(self) -> datetime:
        """The present simulated instant, UTC."""
        running = self._running or self._look()
        if running is not None:
            return max(running.now(), self.start)
        waited_s = min(max(0.0, time.time() - self.real_epoch_s), PRELUDE_S - STANDS_S)
        return self.start - timedelta(seconds=PRELUDE_S - waited_s)

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds of real time until `at`; while the gate is shut, when to ask again."""
        running = self._running or self._look()
        return running.real_seconds_until(at) if running is not None else min(LOOK_S, self._left_s(at))

    def _left_s(self, at: datetime) -> float:
        return max(0.0, (at - self.now()).total_seconds())

    def _look(self) -> SimulatedClock | None:
        """The running clock, if the gate is open; the file is looked for a few times a second."""
        if time.monotonic() >= self._look_at_s:
            self._look_at_s = time.monotonic() + LOOK_S
            with contextlib.suppress(OSError, ValueError):
                self._running = SimulatedClock(self.start, float(self.gate.read_text()), self.speed)
        return self._running


def open_gate(gate: Path, real_start_s: float) -> None:
    """Have every clock that waits at this gate run from this Unix time on."""
    fresh = gate.with_name(f"{gate.name}.new")
    fresh.write_text(repr(real_start_s))
    fresh.replace(gate)


async def sleep_for(clock: Clock, wait_s: float) -> None:
    """Let so many of the clock's seconds pass; a clock on the wall that is set meanwhile makes it no longer or shorter.

    Of clocks that stand or jump when they are told (`naps`) what has passed is counted nap by nap.
    """
    last, left = clock.now(), timedelta(seconds=wait_s)
    if not getattr(clock, "naps", False):
        await asyncio.sleep(clock.real_seconds_until(last + left))
        return
    while (nap_s := clock.real_seconds_until(last + left)) > 0:
        await asyncio.sleep(nap_s)
        now = clock.now()
        left -= max(timedelta(0), now - last)
        last = now


def still_waits(since: datetime | None, until: datetime | None, now: datetime) -> bool:
    """Whether a wait that was written down goes on: from the instant of writing to its end, and at no other time.

    A clock that was set back to before the wait began says nothing of how much of it has passed; then it is over.
    """
    return until is not None and now < until and (since is None or now >= since)


async def sleep_until(clock: Clock, at: datetime) -> None:
    """Return when the clock shows `at`; waits in bounded naps so that a changed system clock is noticed."""
    while (wait_s := clock.real_seconds_until(at)) > 0:  # noqa: ASYNC110 - the clock is no event
        await asyncio.sleep(min(wait_s, LONGEST_NAP_S))


def parse_clock(text: str) -> Clock:
    """Read `real`, `START@REAL_START_S*SPEED` or `START@REAL_EPOCH_S:GATE*SPEED`, as `print_clock` writes them.

    ValueError names what is wrong.
    """
    if text == "real":
        return RealClock()
    start, at, rest = text.partition("@")
    real_start, star, speed = rest.rpartition("*")
    if not (at and star):
        raise ValueError(f"a clock is 'real' or START@REAL_START_S*SPEED, not {text!r}")
    instant = datetime.fromisoformat(start)
    if instant.tzinfo is None:
        raise ValueError(f"the clock's start needs a UTC offset: {start!r}")
    if not 0 < float(speed) <= MOST_SPEED:
        raise ValueError(f"the clock's speed must be above zero and at most {MOST_SPEED:g}: {speed!r}")
    real_s, gated, gate = real_start.partition(":")
    if not 0 <= float(real_s) <= LAST_REAL_START_S:
        raise ValueError(f"the clock's real start must be a Unix time: {real_s!r}")
    if gated:
        return GatedClock(instant.astimezone(UTC), float(real_s), Path(gate), float(speed))
    return SimulatedClock(instant.astimezone(UTC), float(real_s), float(speed))


def print_clock(clock: Clock) -> str:
    """Write a clock so that another process can share it."""
    if isinstance(clock, GatedClock):
        return f"{clock.start.isoformat()}@{clock.real_epoch_s!r}:{clock.gate}*{clock.speed!r}"
    if isinstance(clock, SimulatedClock):
        return f"{clock.start.isoformat()}@{clock.real_start_s!r}*{clock.speed!r}"
    return "real"
