"""Start the tasks of one adapter, each by name, and start again whatever fails in a way that nobody foresaw.

One defect, or one answer that nobody expected, must not give up a fleet.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from ven_adapters.config import WakeSettings
from ven_adapters.ven.openadr.notifications import back_off_s
from vtn.tasks import cancel_tasks

Work = Callable[[], Awaitable[None]]

_log = logging.getLogger(__name__)


class Supervisor:
    """`run` until told to stop; `spawn` is the one way in which a task starts meanwhile."""

    def __init__(self, settings: WakeSettings, seed: int) -> None:
        self._settings = settings
        self._dice = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup | None = None

    def stop(self) -> None:
        """Have `run` return."""
        self._stopping.set()

    async def run(self, works: Mapping[str, Work]) -> None:
        """Keep all of these up until `stop`."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, work in works.items():
                self.spawn(name, work)
            await self._stopping.wait()
            await cancel_tasks(self._tasks)

    def spawn(self, name: str, work: Work) -> None:
        """Keep one more up; nothing happens before `run` has begun."""
        if self._group is not None:
            self._tasks.append(self._group.create_task(self.keep_up(name, work), name=name))

    async def keep_up(self, name: str, work: Work) -> None:
        """Do work until it is done; start it anew, after a pause that grows, when it fails."""
        failures = 0
        while True:
            began_s = time.monotonic()
            try:
                await work()
            except Exception:  # noqa: BLE001 - logged whole, and tried again
                _log.exception("%s failed and is started again", name)
            else:
                return
            failures = 1 if time.monotonic() - began_s > self._settings.longest_retry_s else failures + 1
            await asyncio.sleep(back_off_s(failures, self._settings, self._dice.random()))
