"""How much a request body holds, judged before anything is done with it: JSON values, list by list, text by text.

The schema of OpenADR bounds names and ids only, so a body within its bound of bytes may still hold a million of
anything. What is too much is told by name and place. Nothing here recurses.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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


class Measures:
    """The bounds of bodies, as they are looked up."""

    def __init__(self, bounds: BodyBounds) -> None:
        self.heavy_bytes = bounds.heavy_bytes
        self._bounds = bounds
        self._values, self._text = bounds.values, bounds.text
        self._lengths = {name: getattr(bounds, bound) for name, bound in LISTS.items()}
        self._least = min(bounds.members, bounds.other_lists, *self._lengths.values())

    def values_of(self, body: bytes) -> int:
        """No fewer JSON values than a text holds; TooLarge, before it is parsed, when those are too many."""
        most = values_at_most(body)
        if most > self._values:
            most = values_at_most(TEXTS.sub(b"", body))  # commas in texts were counted too
            if most > self._values:
                raise TooLarge(f"the body holds more than {self._values} JSON values")
        return most

    def judge(self, content: Any, size_bytes: int, values: int) -> None:
        """Rejected when a list, an object or a text is longer than its bound. A small body holds nothing long."""
        if values > self._least or size_bytes > self._text:
            faults = FaultList(self._bounds.faults)
            faults += self._overlong(content)
            if faults:
                raise Rejected(faults)

    def _overlong(self, content: Any) -> Iterator[Fault]:
        waiting: list[tuple[Any, Place]] = [(content, ())]
        while waiting:
            node, place = waiting.pop()
            if (fault := self._fault(node, place)) is not None:
                yield fault
                continue
            for step, child in node.items() if type(node) is dict else enumerate(node):
                if type(child) in CONTAINERS:
                    waiting.append((child, (place, step)))
                elif type(child) is str and len(child) > self._text:
                    yield Fault(_path((place, step)), f"may have at most {self._text} characters")

    def _fault(self, node: Any, place: Place) -> Fault | None:
        if type(node) is dict:
            most, words = self._bounds.members, "may have at most {} members"
        else:
            most = self._lengths.get(place[1], self._bounds.other_lists) if place else self._bounds.other_lists
            words = "may hold at most {} items"
        return Fault(_path(place), words.format(most)) if len(node) > most else None


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
