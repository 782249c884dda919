"""How much a request body holds, judged before anything is done with it: JSON values, list by list, text by text.

The schema of OpenADR bounds names and ids only, so a body within its bound of bytes may still hold a million of
anything. What is too much is told by name and place. Nothing here recurses.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vtn.bounds import BodyBounds
from vtn.errors import Fault, FaultList, Rejected, TooLarge

TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
CONTAINERS = frozenset({dict, list})
LISTS: Mapping[str, str] = {
    "intervals": "intervals",
    "payloads": "payloads",
    "values": "payload_values",
    "targets": "targets",
    "resources": "resources",
    "payloadDescriptors": "descriptors",
    "reportDescriptors": "descriptors",
    "programDescriptions": "descriptors",
    "attributes": "attributes",
    "objectOperations": "operations",
    "objects": "operations",
    "operations": "operations",
}
"""The bound of each list that the standard names, wherever it stands."""

Place = tuple[Any, ...]
"""The place around and the step from there; empty at the root."""


def values_at_most(body: bytes) -> int:
    """No fewer JSON values than a text holds, at next to no cost: each but the first follows an opening or a comma."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") + 1


def refuse_too_many_values(body: bytes, bounds: BodyBounds) -> int:
    """TooLarge before a text with too many values is parsed; otherwise no fewer values than it holds."""
    most = values_at_most(body)
    if most > bounds.values:
        most = values_at_most(TEXTS.sub(b"", body))  # commas in texts were counted too
    if most > bounds.values:
        raise TooLarge(f"the body holds more than {bounds.values} JSON values")
    return most


def refuse_overlong(content: Any, size_bytes: int, values: int, bounds: BodyBounds) -> None:
    """Rejected when a list, an object or a text in a body is longer than its bound. A small body holds nothing long."""
    least = min(bounds.members, bounds.other_lists, *(getattr(bounds, name) for name in LISTS.values()))
    if values > least or size_bytes > bounds.text:
        faults = FaultList(bounds.faults)
        faults += _overlong(content, bounds)
        if faults:
            raise Rejected(faults)


def _overlong(content: Any, bounds: BodyBounds) -> Iterable[Fault]:
    lengths = {name: getattr(bounds, bound) for name, bound in LISTS.items()}
    waiting: list[tuple[Any, Place]] = [(content, ())]
    while waiting:
        node, place = waiting.pop()
        if type(node) is dict:
            if len(node) > bounds.members:
                yield Fault(_path(place), f"may have at most {bounds.members} members")
                continue
            children: Iterable[tuple[Any, Any]] = node.items()
        else:
            most = lengths.get(place[1], bounds.other_lists) if place else bounds.other_lists
            if len(node) > most:
                yield Fault(_path(place), f"may hold at most {most} items")
                continue
            children = enumerate(node)
        for step, child in children:
            if type(child) in CONTAINERS:
                waiting.append((child, (place, step)))
            elif type(child) is str and len(child) > bounds.text:
                yield Fault(_path((place, step)), f"may have at most {bounds.text} characters")


def _path(place: Place) -> str:
    steps: list[str] = []
    while place:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return f"${''.join(reversed(steps))}"


def weight(value: Any, enough: int) -> int:
    """How many JSON values a value holds, itself included; counting stops beyond `enough`."""
    count, waiting = 1, [value]
    while waiting and count <= enough:
        node = waiting.pop()
        if type(node) in CONTAINERS:
            children: Sequence[Any] = list(node.values()) if type(node) is dict else node
            count += len(children)
            waiting += [child for child in children if type(child) in CONTAINERS]
    return count
