"""Waiting for a while, and what is done later. Durations are monotonic, whatever the clock on the wall does.

What must outlast a restart is written down as an instant, and an instant of a clock that has been set back lies in the
future for too long. So a stored instant is turned into a duration once, with `left_s`, which knows how long it can have
been meant to be; and whoever waits for an instant of the wall itself looks at it anew (`clock.sleep_until`).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, time, timedelta
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from vtn.limits import doubled_s

LOOK_EVERY_S = 30.0

_log = logging.getLogger(__name__)


def retry_delay_s(attempt: int, first_s: float, longest_s: float, chance: random.Random) -> float:
    """How long to wait after the attempt-th failure (from 1): exponential back-off with full jitter."""
    return chance.uniform(0.0, doubled_s(attempt, first_s, longest_s))


def left_s(until_s: float, now_s: float, longest_s: float) -> float:
    """How long is left of a wait that was written down as an instant, and was never longer than `longest_s`."""
    return min(max(0.0, until_s - now_s), longest_s)


class Timers:
    """What one event loop does later: once after a while, or each day at an hour of the wall; stopped at its end.

    Durations are monotonic. The hour of the wall is APScheduler's to find, and is looked at anew every half a minute:
    a clock that is set meanwhile makes the hour come when the wall says so.
    """

    def __init__(self, look_every_s: float = LOOK_EVERY_S) -> None:
        self._look_every_s = look_every_s
        self._tasks: list[asyncio.Task[None]] = []
        self._days = AsyncIOScheduler(timezone=UTC)

    async def __aenter__(self) -> Self:
        self._days.start()
        self._tasks.append(asyncio.create_task(self._look_at_the_wall()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._days.shutdown(wait=False)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def after(self, wait: timedelta, action: Callable[[], Awaitable[object]]) -> None:
        """Await `action` once, after a while; a failure is logged."""

        async def go() -> None:
            await asyncio.sleep(wait.total_seconds())
            await logged(action)

        self._tasks.append(asyncio.create_task(go()))

    def daily(self, at: time, action: Callable[[], Awaitable[object]]) -> None:
        """Await `action` each day at this hour, UTC; a call that fails is logged, one that is missed is made up for."""
        hour = CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=UTC)
        self._days.add_job(logged, hour, (action,), coalesce=True, misfire_grace_time=None, max_instances=1)

    async def _look_at_the_wall(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            self._days.wakeup()


async def logged(action: Callable[[], Awaitable[object]]) -> None:
    """Await `action`; what it fails with is logged, for the next call may succeed."""
    try:
        await action()
    except Exception:  # noqa: BLE001 - logged whole
        _log.exception("what was due failed; it is tried again at its next time")
