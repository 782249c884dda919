"""Identifiers that nobody can guess and that tell nobody how many there were; chance is drawn in blocks.

Each draw from the system's chance costs ten times as much as taking a piece of a block that was drawn before. Several
threads may take at once: large bodies become objects beside the event loop.
"""

import secrets
import time
from collections.abc import Callable

BLOCK = 512
OBJECT_BYTES, UUID_BYTES = 10, 16
VARIANT = "89ab"


class RandomPieces:
    """Endless chance, as hexadecimal pieces of so many bytes, each given once."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """The next piece; taking it from the list is one step, so no other thread gets it too."""
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                digits, drawn = 2 * self._size_bytes, secrets.token_hex(BLOCK * self._size_bytes)
                self._drawn += [drawn[start : start + digits] for start in range(0, len(drawn), digits)]


def _uuid(digits: str) -> str:
    """A random UUID (RFC 9562, version 4) of 32 hexadecimal digits, of which 122 bits count."""
    variant = VARIANT[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def uuids() -> Callable[[], str]:
    """What gives a random UUID each time it is called."""
    chance = RandomPieces(UUID_BYTES)
    return lambda: _uuid(chance())


class Ids:
    """Object ids that sort by birth and cannot be guessed."""

    def __init__(self) -> None:
        self._chance = RandomPieces(OBJECT_BYTES)

    def __call__(self) -> str:
        """An id that was never used."""
        return f"{time.time_ns() // 1_000_000:012x}{self._chance()}"
