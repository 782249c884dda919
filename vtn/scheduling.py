"""Waiting for a while and doing something every so often. Durations are monotonic, whatever the clock on the wall does.

What must outlast a restart is written down as an instant, and an instant of a clock that has been set back lies in the
future for too long. So a stored instant is turned into a duration once, with `left_s`, which knows how long it can have
been meant to be; and whoever waits for an instant of the wall itself looks at it anew (`clock.sleep_until`).
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self

_log = logging.getLogger(__name__)


def retry_delay_s(attempt: int, first_s: float, longest_s: float, chance: random.Random) -> float:
    """How long to wait after the attempt-th failure (from 1): exponential back-off with full jitter."""
    return chance.uniform(0.0, min(longest_s, first_s * 2.0 ** min(attempt - 1, 60)))


def left_s(until_s: float, now_s: float, longest_s: float) -> float:
    """How long is left of a wait that was written down as an instant, and was never longer than `longest_s`."""
    return min(max(0.0, until_s - now_s), longest_s)


@dataclasses.dataclass(slots=True)
class Timers:
    """What one event loop does every so often; an asynchronous context manager that stops it at its end."""

    _tasks: list[asyncio.Task[None]] = dataclasses.field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def every(self, period: timedelta, action: Callable[[], Awaitable[object]], *, first: timedelta) -> None:
        """Await `action` after `first` and then with `period` between calls; one that fails is logged."""

        async def go() -> None:
            await asyncio.sleep(first.total_seconds())
            while True:
                try:
                    await action()
                except Exception:  # noqa: BLE001 - the next call may succeed
                    _log.exception("what is done every %s failed", period)
                await asyncio.sleep(period.total_seconds())

        self._tasks.append(asyncio.create_task(go()))
