"""The keys that sign webhooks: one a client, all from one master key of this installation in a file.

What is signed and how is in `rules.signature`; this module only keeps the master key.
"""

import secrets
from pathlib import Path

from vtn.auth.keyfiles import held
from vtn.errors import CannotStart
from vtn.rules.signature import client_key

MASTER_BYTES = 32


class WebhookKeys:
    """Keys from the master key in a file, made on first use and readable by this user only."""

    def __init__(self, path: Path) -> None:
        self._master = held(path, lambda: secrets.token_bytes(MASTER_BYTES))
        if len(self._master) != MASTER_BYTES:
            raise CannotStart(f"{path} does not hold a key of {MASTER_BYTES} bytes")

    def of(self, client_id: str) -> str:
        """The key that this client's webhooks are signed with."""
        return client_key(self._master, client_id)
