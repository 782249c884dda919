"""A bridge as a program: it says when it is ready, and ends at SIGTERM, at SIGINT, or when one of its tasks fails."""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vtn.tasks import on_stop_signal

T = TypeVar("T")
FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"


async def run_bridge(
    bridge: contextlib.AbstractAsyncContextManager[T],
    ready: Callable[[T], str],
    tasks: Callable[[T], Sequence[asyncio.Task[Any]]],
) -> None:
    """Run a bridge until it is stopped; what a task of it fails with is raised."""
    logging.basicConfig(level=logging.INFO, format=FORM, stream=sys.stderr)
    os.umask(0o077)  # whatever is made from here on is for this user alone
    stop = asyncio.Event()
    with on_stop_signal(stop.set):
        async with bridge as running:
            sys.stdout.write(f"{ready(running)}\n")
            sys.stdout.flush()
            _collect_rarely()
            stopping = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait({stopping, *tasks(running)}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            for task in done - {stopping}:
                task.result()


def _collect_rarely() -> None:
    """The search for cycles, of which there are few, goes through the objects of two thousand connections each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
