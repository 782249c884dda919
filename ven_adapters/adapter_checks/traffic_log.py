"""What a run of the kit overhears: log lines, texts of errors, printed objects; searched for what may not be told."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ven_adapters.transport.http.problems import VIN

MOST_LINES = 200_000
SECRET_KEYS = ("token", "client_secret", "webhook_secret", "pseudonym_secret", "password")


class Overheard(logging.Handler):
    """Everything that was said, line by line, each with where it was said."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str]] = []
        self._plain = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """A log line, with its traceback."""
        self.note(f"log {record.name}", self._plain.format(record))

    def note(self, where: str, text: str) -> None:
        """A text that was met elsewhere."""
        if len(self.lines) < MOST_LINES:
            self.lines.append((where, text))

    def leaks(self, secrets: Iterable[str]) -> list[str]:
        """Where a secret, or what looks like a VIN, was said; the secrets themselves are not repeated."""
        words = tuple(word for word in secrets if word)
        found = [
            f"{where}: {blot(text, words)}"
            for where, text in self.lines
            if any(word in text for word in words) or VIN.search(text)
        ]
        return list(dict.fromkeys(found))


def secrets_in(settings: Mapping[str, Any]) -> list[str]:
    """The secrets that an adapter's settings hold, which nothing may repeat."""
    return [str(settings[key]) for key in SECRET_KEYS if settings.get(key)]


def blot(text: str, secrets: Iterable[str], most: int = 200) -> str:
    """A text with everything secret blotted out, cut to a readable length."""
    for word in secrets:
        text = text.replace(word, "[secret]") if word else text
    return VIN.sub("[VIN]", text)[:most]


@contextlib.contextmanager
def overhearing() -> Iterator[Overheard]:
    """Hear all logging at every level for the length of the block."""
    heard, root = Overheard(), logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        root.setLevel(level)
