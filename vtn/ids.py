"""Identifiers that nobody can guess and that tell nobody how many there were; chance is drawn in blocks.

Each draw from the system's chance costs ten times as much as taking a piece of a block that was drawn before.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

BLOCK = 512
OBJECT_BYTES, UUID_BYTES = 10, 16
VARIANT = "89ab"


def pieces(size_bytes: int) -> Iterator[str]:
    """Endless chance, as hexadecimal pieces of so many bytes."""
    digits = 2 * size_bytes
    while True:
        drawn = secrets.token_hex(BLOCK * size_bytes)
        yield from [drawn[start : start + digits] for start in range(0, len(drawn), digits)]


def _uuid(digits: str) -> str:
    """A random UUID (RFC 9562, version 4) of 32 hexadecimal digits, of which 122 bits count."""
    variant = VARIANT[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def uuids() -> Callable[[], str]:
    """What gives a random UUID each time it is called."""
    return partial(next, map(_uuid, pieces(UUID_BYTES)))


class Ids:
    """Object ids that sort by birth and cannot be guessed."""

    def __init__(self) -> None:
        self._chance = pieces(OBJECT_BYTES)

    def __call__(self) -> str:
        """An id that was never used."""
        return f"{time.time_ns() // 1_000_000:012x}{next(self._chance)}"
