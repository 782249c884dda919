"""The keys that sign webhooks: one a client, all from one master key of this installation in a file.

What is signed and how is in `rules.signature`; this module only keeps the master key.
"""

import os
import secrets
from pathlib import Path

from vtn.errors import CannotStart
from vtn.rules.signature import client_key

MASTER_BYTES = 32


class WebhookKeys:
    """Keys from the master key in a file, made on first use and readable by this user only."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _make(path)
        self._master = path.read_bytes()
        if len(self._master) != MASTER_BYTES:
            raise CannotStart(f"{path} does not hold a key of {MASTER_BYTES} bytes")

    def of(self, client_id: str) -> str:
        """The key that this client's webhooks are signed with."""
        return client_key(self._master, client_id)


def _make(path: Path) -> None:
    """Write the file whole or not at all; whoever comes second keeps the key of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(MASTER_BYTES))
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
