"""End tasks for certain. Libraries lose cancellations, and one that is lost keeps a program from ending.

`asyncio.wait_for` of Python 3.11 returns a result instead of raising when its future is done in the same turn in which
it is cancelled (python/cpython#86296); nats-py and aiomqtt wait with it. So whoever ends a task asks again until it is
over.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 1.0


async def cancel_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again and again, and return when all are over; what they end with is for their owner to look at.

    Being cancelled oneself meanwhile ends nothing early: it is raised when the tasks are over.
    """
    pending = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
        except asyncio.CancelledError as error:
            cancelled = error
            pending = {task for task in pending if not task.done()}
    if cancelled is not None:
        raise cancelled
