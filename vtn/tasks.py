"""End tasks for certain, and programs when they are told to.

Libraries lose cancellations, and one that is lost keeps a program from ending.
`asyncio.wait_for` of Python 3.11 returns a result instead of raising when its future is done in the same turn in which
it is cancelled (python/cpython#86296); nats-py and aiomqtt wait with it. So whoever ends a task asks again until it is
over.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

AGAIN_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_stop_signal(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` in the event loop at each SIGTERM or SIGINT, for the length of a block."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def run_until_signalled(*tasks: asyncio.Task[Any]) -> None:
    """Return at SIGTERM or SIGINT, or when the first of `tasks` is over; none of them is cancelled here."""
    stop = asyncio.Event()
    stopping = asyncio.create_task(stop.wait())
    try:
        with on_stop_signal(stop.set):
            await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()


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
