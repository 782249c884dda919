"""Start the guard beside a process that keeps windows, see that one is there, and leave it behind.

The guard gets a session of its own, and what it says goes to a file in its folder: neither a `kill -9` of its parent,
nor a closed terminal, nor a pipe that nobody reads, ends it.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ven_adapters.config import GuardSettings
from ven_adapters.contract import VehicleBackend
from ven_adapters.guard.process import folder_of
from ven_adapters.transport.windows.hold_leases import guard_is_alive
from vtn.privatefiles import private_file, private_folder
from vtn.tasks import cancel_tasks

LOG = "guard.log"
MOST_LOG_BYTES = 1_000_000
LOOK_S, LONGEST_LOOK_S = 1.0, 60.0

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def guarded(
    settings: GuardSettings, backend: VehicleBackend, oem: str, config: Path | None, *, executes: bool = False
) -> AsyncIterator[None]:
    """Have a guard beside the block, where the backend needs one and the settings do not forbid it.

    It is not stopped at the end: cars may be held still. It ends by itself.
    """
    folder = folder_of(backend)
    if folder is None or settings.mode == "service":
        yield
        return
    if settings.mode == "off" or config is None:
        _log.warning("nobody gives held cars back when this process dies: [guard] has mode %s", settings.mode)
        yield
        return
    command = [sys.executable, "-m", "ven_adapters", "guard", oem, "--config", str(config)]
    keeping = asyncio.create_task(_keep([*command, "--executor"] if executes else command, private_folder(folder)))
    try:
        yield
    finally:
        await cancel_tasks([keeping])


async def _keep(command: Sequence[str], folder: Path) -> None:
    """Start a guard whenever there is none; one that keeps ending is started more and more rarely."""
    child: subprocess.Popen[bytes] | None = None
    wait_s = LOOK_S
    while True:
        if child is not None and child.poll() is not None:
            _log.info("the guard ended with %d; see %s", child.returncode, folder / LOG)
            child = None
            wait_s = min(2 * wait_s, LONGEST_LOOK_S)
        elif guard_is_alive(folder):
            wait_s = LOOK_S
        elif child is None:
            try:
                child = _start(command, folder)
            except OSError as error:
                _log.error("the guard cannot be started: %s", error)
                wait_s = min(2 * wait_s, LONGEST_LOOK_S)
        await asyncio.sleep(wait_s)


def _start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    log = folder / LOG
    if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
        log.replace(log.with_name(f"{LOG}.1"))
    with os.fdopen(os.open(private_file(log), os.O_WRONLY | os.O_APPEND), "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - our own program
    _log.info("started the guard, process %d", child.pid)
    return child
