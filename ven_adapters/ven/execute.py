"""Run one executor from its settings until SIGTERM or SIGINT: what `ven-adapters execute` calls."""

import asyncio
import logging
import sys
from pathlib import Path

from ven_adapters.config import ExecutorSettings
from ven_adapters.guard.child import guarded
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.executor import Executor
from ven_adapters.ven.startup import backend_of, check_executor
from vtn.clock import Clock
from vtn.tasks import on_stop_signal

TELL_EVERY_S = 60.0

_log = logging.getLogger(__name__)


async def execute(settings: ExecutorSettings, clock: Clock, config: Path | None = None) -> None:
    """Carry out commands until told to stop; ConfigError when the settings cannot be used.

    `config` is the file of the settings, which the guard reads too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    check_executor(settings)
    backend = backend_of(settings.oem, settings.backend)
    executor = Executor(backend, QueueConnection(settings.queue, settings.oem, executes=True), clock)
    telling = asyncio.create_task(_tell(executor))
    try:
        with on_stop_signal(executor.stop):
            async with guarded(settings.guard, backend, settings.oem, config, executes=True):
                await executor.run()
    finally:
        telling.cancel()
        _log.info("executor %s ended: %s", executor.name, _counted(executor))


async def _tell(executor: Executor) -> None:
    """Say now and then what was done; nothing in it names a car."""
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        _log.info("executor %s: %s", executor.name, _counted(executor))


def _counted(executor: Executor) -> str:
    counts = {**executor.counts, "facts_passed_on": executor.listener.passed_on}
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
