"""Key files of this installation: whole or not there, readable by this user only. What a key is for, others know."""

import os
from collections.abc import Callable
from pathlib import Path

from vtn.privatefiles import close, private_folder


def held(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a key file, made on first use; whoever comes second keeps the key of the first."""
    if not path.exists():
        _write(path, make())
    close(path)
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    private_folder(path.parent)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
