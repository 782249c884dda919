"""APScheduler behind "call me at T" and "call me every so often". Nothing else imports it. Times are real, UTC."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler

logging.getLogger("apscheduler").setLevel(logging.WARNING)


@dataclasses.dataclass(slots=True)
class Timers:
    """The timers of one event loop; an asynchronous context manager that stops them all at its end."""

    _scheduler: AsyncIOScheduler = dataclasses.field(
        default_factory=lambda: AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
    )

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._scheduler.shutdown(wait=False)

    def at(self, when: datetime, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` in the event loop at an instant, at once if it has passed; the answer takes the call back."""

        async def call() -> None:
            action()

        job = self._scheduler.add_job(call, "date", run_date=when)

        def take_back() -> None:
            if self._scheduler.get_job(job.id) is not None:
                job.remove()

        return take_back

    def every(self, period: timedelta, action: Callable[[], Awaitable[object]], *, first: datetime) -> None:
        """Await `action` at `first` and then every `period`; a call still running is not overtaken by the next."""

        async def call() -> None:
            await action()

        self._scheduler.add_job(call, "interval", seconds=period.total_seconds(), next_run_time=first)

    async def wait_until(self, when: datetime) -> None:
        """Return at an instant."""
        came = asyncio.Event()
        take_back = self.at(when, came.set)
        try:
            await came.wait()
        finally:
            take_back()
