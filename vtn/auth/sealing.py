"""Secrets that must be read again (callback tokens) are encrypted at rest with a key of this installation."""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from vtn.auth.keyfiles import held
from vtn.errors import CannotStart

MARK = "sealed:"


class Seal:
    """Seals and opens short texts with the key in a file, made on first use and readable by this user only."""

    def __init__(self, path: Path) -> None:
        try:
            self._fernet = Fernet(held(path, Fernet.generate_key))
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
