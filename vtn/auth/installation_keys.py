"""The keys of this installation, each in a file: one seals callback tokens at rest, one signs webhooks.

The standard leaves signing to the VTN (Definition, Webhooks, additional guidelines; HOOK-07). A receiver imports
`verify` or does the same in a few lines of any language: HMAC-SHA256, keyed by the client's webhook key as text, over
the timestamp, a full stop and the body, in hexadecimal. Nothing here reads a clock.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from vtn.errors import CannotStart
from vtn.privatefiles import read_or_make

MARK = "sealed:"
MASTER_BYTES = 32
HEADER = "EVTN-Signature"
TOLERANCE_S = 300.0

_SIGNED = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})", re.ASCII)


class Seal:
    """Seals and opens short texts with the key in a file, made on first use and readable by this user only."""

    def __init__(self, path: Path) -> None:
        try:
            self._fernet = Fernet(read_or_make(path, Fernet.generate_key))
        except ValueError:
            raise CannotStart(f"{path} does not hold a sealing key") from None

    def close(self, text: str) -> str:
        """Encrypt a text."""
        return MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, text: str) -> str:
        """Decrypt what `close` made; a text without the mark is returned as it is."""
        if not text.startswith(MARK):
            return text
        try:
            return self._fernet.decrypt(text.removeprefix(MARK).encode()).decode()
        except InvalidToken:
            raise CannotStart("a sealed secret cannot be opened: the sealing key has been replaced") from None


class WebhookKeys:
    """Keys from the master key in a file, made on first use and readable by this user only."""

    def __init__(self, path: Path) -> None:
        self._master = read_or_make(path, lambda: secrets.token_bytes(MASTER_BYTES))
        if len(self._master) != MASTER_BYTES:
            raise CannotStart(f"{path} does not hold a key of {MASTER_BYTES} bytes")

    def of(self, client_id: str) -> str:
        """The key that this client's webhooks are signed with."""
        return client_key(self._master, client_id)


def client_key(master: bytes, client_id: str) -> str:
    """The webhook key of a client, 64 hexadecimal digits: derived, so that nothing has to be stored for a client."""
    return hmac.new(master, b"webhook:" + client_id.encode(), hashlib.sha256).hexdigest()


def signature(key: str, body: bytes, at_s: int) -> str:
    """The value of the header `EVTN-Signature` for a body that is sent at a Unix time, whole seconds."""
    return f"t={at_s},v1={_digest(key, str(at_s), body)}"


def verify(key: str, header: str, body: bytes, *, now_s: float, tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether a body came from the VTN that shares `key`, and was signed at most `tolerance_s` from now.

    `header` is the value of `EVTN-Signature` as received ("" when there is none), `body` the raw bytes before any
    parsing, `now_s` the receiver's Unix time. The comparison takes equally long for every wrong signature. Within the
    tolerance a message can be repeated by whoever recorded it; each names its object and that object's last change.
    """
    signed = _SIGNED.fullmatch(header)
    if signed is None or abs(now_s - int(signed[1])) > tolerance_s:
        return False
    return hmac.compare_digest(_digest(key, signed[1], body), signed[2])


def _digest(key: str, at: str, body: bytes) -> str:
    return hmac.new(key.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
