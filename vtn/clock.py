"""The one place that reads a clock: real time, or simulated time at N times speed for demonstrations.

Every process of a demonstration computes the same simulated instant from the same three numbers, so no process has to
tell another what time it is. Token lifetimes, retries and network time-outs stay on real time and do not come here.
"""

import asyncio
import contextlib
import dataclasses
import os
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


@dataclasses.dataclass(frozen=True, slots=True)
class ClockPace:
    """From the real clock's `real_s` on (Unix time), `passed_s` simulated seconds after the start, at `pace`."""

    real_s: float
    passed_s: float
    pace: float

    def passed_at(self, real_s: float) -> float:
        """Simulated seconds since the start."""
        return self.passed_s + (real_s - self.real_s) * self.pace

    @classmethod
    def parse(cls, text: str, speed: float) -> "ClockPace":
        """What `__str__` wrote; one number alone is the start, at full speed. ValueError for anything else."""
        numbers = [float(word) for word in text.split()]
        if len(numbers) not in (1, 3):
            raise ValueError("a gate holds one number or three")
        return cls(*numbers) if len(numbers) > 1 else cls(numbers[0], 0.0, speed)

    def __str__(self) -> str:
        return f"{self.real_s!r} {self.passed_s!r} {self.pace!r}"


class GatedClock:
    """Simulated time that waits for everybody: it runs from `start` once the file `gate` says when it began.

    The file holds a `ClockPace`; whoever made it may write another one, and time goes slower or faster from then on, in
    every process. Before there is one, the clock shows the last minutes before `start` at the pace of real time
    (counted from `real_epoch_s`) and stands still just short of `start`, so that programs which are still starting miss
    nothing. `speed` is the greatest pace.
    """

    naps = True

    def __init__(self, start: datetime, real_epoch_s: float, gate: Path, speed: float) -> None:
        self.start, self.real_epoch_s, self.gate, self.speed = start, real_epoch_s, gate, speed
        self._written = (0, 0)
        self._pace: ClockPace | None = None
        self._latest_s = 0.0
        self._under_way: set[str] = set()

    def now(self) -> datetime:
        """The present simulated instant, UTC; never before one that was told."""
        pace = self._read()
        if pace is not None:
            self._latest_s = max(self._latest_s, pace.passed_at(time.time()))
            return self.start + timedelta(seconds=self._latest_s)
        waited_s = min(max(0.0, time.time() - self.real_epoch_s), PRELUDE_S - STANDS_S)
        return self.start - timedelta(seconds=PRELUDE_S - waited_s)

    def real_seconds_until(self, at: datetime) -> float:
        """Seconds of real time until `at` at the greatest pace; while the gate is shut, when to ask again.

        Whoever waits so long asks again, because time may go slower meanwhile.
        """
        if self._read() is None:
            return min(LOOK_S, self._left_s(at))
        return self._left_s(at) / self.speed

    def note_work(self, what: str, *, under_way: bool) -> None:
        """Say in a file beside the gate whether this process is at work, for whoever sets the pace."""
        before = bool(self._under_way)
        (self._under_way.add if under_way else self._under_way.discard)(what)
        if before != bool(self._under_way):
            mark = work_folder(self.gate) / str(os.getpid())
            with contextlib.suppress(OSError):
                mark.touch() if self._under_way else mark.unlink()

    def _left_s(self, at: datetime) -> float:
        return max(0.0, (at - self.now()).total_seconds())

    def _read(self) -> ClockPace | None:
        """The pace in force; the file is read when it is another one than before."""
        with contextlib.suppress(OSError, ValueError):
            found = self.gate.stat()
            written = (found.st_ino, found.st_mtime_ns)
            if written != self._written:
                self._pace = ClockPace.parse(self.gate.read_text(), self.speed)
                self._written = written
        return self._pace


def open_gate(gate: Path, began: ClockPace | float) -> None:
    """Have every clock that waits at this gate run: from this Unix time on at full speed, or at this pace."""
    fresh = gate.with_name(f"{gate.name}.new")
    fresh.write_text(str(began) if isinstance(began, ClockPace) else repr(began))
    fresh.replace(gate)


def work_folder(gate: Path) -> Path:
    """Where processes that share a gate say that they are at work: a file for each."""
    return gate.with_name(f"{gate.name}.working")


def note_work(clock: Clock, what: str, *, under_way: bool) -> None:
    """Tell a clock whose pace heeds it that work is under way, so that a slow machine is not a slow fleet."""
    note = getattr(clock, "note_work", None)
    if note is not None:
        note(what, under_way=under_way)


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
