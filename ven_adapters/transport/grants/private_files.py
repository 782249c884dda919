"""Files that nobody else may read: written whole or not at all, mode 0600, and one writer at a time.

Nothing here knows what a file holds.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from ven_adapters.contract import BackendError, ErrorCode
from vtn.privatefiles import private_folder

LOCK_NAP_S = 0.02


def write_private(path: Path, body: bytes) -> None:
    """Replace the file in one step; after a crash at any instant it holds the old bytes or the new, never a part."""
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """A rename lasts only once its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.asynccontextmanager
async def only_writer(path: Path, longest_s: float = 60.0) -> AsyncIterator[None]:
    """Hold the lock beside `path`, against other processes and other tasks; BACKEND_TRANSIENT when it stays taken.

    The kernel lets go of the lock when its holder dies, so no lock outlives a `kill -9`.
    """
    private_folder(path.parent)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            async with asyncio.timeout(longest_s):
                await _taken(descriptor)
        except TimeoutError:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "another process is renewing this grant") from None
        yield
    finally:
        os.close(descriptor)


async def _taken(descriptor: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOCK_NAP_S)
        else:
            return
