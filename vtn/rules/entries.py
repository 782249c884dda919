"""The entries of a subscription's objectOperations, told apart by numbers that they keep while it is rewritten.

What is owed to an entry names its number. A client writes entries without any name, so a rewrite is read like this: an
entry that is written as before is the same, wherever it stands; then one with the same callback URL; then one that
wishes for the same; then one at the same place. Whatever is left of the old is gone, and of the new is new. Numbers are
never used twice in a subscription. Credentials do not tell entries apart: they are changed on their own.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

STANDARD_PORTS = {"https": 443, "http": 80}

Entry = Mapping[str, Any]
Sign = Callable[[int, Entry], Hashable]


@dataclasses.dataclass(frozen=True, slots=True)
class Numbering:
    """The number of each entry, by position, and the one that the next new entry gets."""

    numbers: tuple[int, ...]
    following: int


def first_numbering(count: int) -> Numbering:
    """The numbers of entries that nobody has rewritten: their positions."""
    return Numbering(tuple(range(count)), count)


def _url(_position: int, entry: Entry) -> Hashable:
    return str(entry["callbackUrl"])


def _wish(_position: int, entry: Entry) -> Hashable:
    return frozenset(entry["objects"]), frozenset(entry["operations"])


def _as_before(position: int, entry: Entry) -> Hashable:
    return _url(position, entry), _wish(position, entry)


def _place(position: int, _entry: Entry) -> Hashable:
    return position


SIGNS: tuple[Sign, ...] = (_as_before, _url, _wish, _place)


def renumbered(before: Sequence[Entry], held: Numbering, after: Sequence[Entry]) -> Numbering:
    """The numbers of rewritten entries, given the entries before and their numbers."""
    left = dict(zip(held.numbers, enumerate(before), strict=True))
    found: dict[int, int] = {}
    for sign in SIGNS:
        waiting: dict[Hashable, list[int]] = {}
        for number, (position, entry) in left.items():
            waiting.setdefault(sign(position, entry), []).append(number)
        for position, entry in enumerate(after):
            alike = waiting.get(sign(position, entry))
            if alike and position not in found:
                found[position] = alike.pop(0)
                del left[found[position]]
    fresh = iter(range(held.following, held.following + len(after)))
    numbers = tuple(found[position] if position in found else next(fresh) for position in range(len(after)))
    return Numbering(numbers, held.following + len(after) - len(found))


def host_of(url: str) -> str:
    """The host and port that a callback URL leads to, in lower case: what breaks, recovers and is bounded together."""
    parts = urlsplit(url)
    try:
        port = parts.port or STANDARD_PORTS.get(parts.scheme.lower(), 0)
    except ValueError:  # it was stored before ports were looked at, and leads nowhere
        return parts.netloc.lower()
    return f"{(parts.hostname or '').lower()}:{port}"
