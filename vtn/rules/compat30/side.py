"""What the 3.0.1 face must remember of an object that 3.1 has no room for, as the JSON text of `Record.side`.

Target types per target (3.1 targets are bare strings); whether an event's timing was written on 3.0.1, or the name of a
ven or resource by Business Logic there; of a subscription the version of its subscriber and whether it names operations
by HTTP words. A 3.1 client is never shown any of it; a 3.1 write keeps what still applies.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vtn.wire import document

V301 = "3.0.1"
Types = Mapping[str, tuple[str, ...]]
NO_TYPES: Types = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """Types by target, in the order they were given; `version` of what else is remembered, None for 3.1."""

    types: Types = dataclasses.field(default_factory=dict)
    version: str | None = None
    http_words: bool = False


NOTHING = Side()


def read(text: str | None) -> Side:
    """A record's side data; nothing at all when it has none."""
    if text is None:
        return NOTHING
    held = document.parse(text.encode())
    types = {target: tuple(names) for target, names in held.get("types", {}).items()}
    return Side(types, held.get("version"), held.get("words") == "HTTP")


def write(side: Side) -> str | None:
    """The text of side data; None when there is nothing to remember."""
    held: dict[str, Any] = {}
    if side.types:
        held["types"] = side.types
    if side.version:
        held["version"] = side.version
    if side.http_words:
        held["words"] = "HTTP"
    return document.render(held).decode() if held else None


def still_applying(side: Side, content: Mapping[str, Any]) -> Side:
    """Side data without the types of targets that an object no longer mentions."""
    held = set(_mentioned(content))
    return dataclasses.replace(side, types={one: names for one, names in side.types.items() if one in held})


def _mentioned(content: Mapping[str, Any]) -> Iterator[str]:
    """The targets of an object and of the reports that it asks for; extensions of other shapes mention none."""
    requests = content.get("reportDescriptors")
    for holder in (content, *(requests if isinstance(requests, list) else ())):
        targets = holder.get("targets") if isinstance(holder, dict) else None
        yield from (target for target in targets if isinstance(target, str)) if isinstance(targets, list) else ()


def of_the_types(through: Collection[str], wanted: str, types: Types, *, every: bool) -> bool:
    """Whether targets that matched are of the type asked for; a target whose type nobody gave may be of any type."""
    fits = (wanted in types.get(target, (wanted,)) for target in through)
    return all(fits) if every else any(fits)
