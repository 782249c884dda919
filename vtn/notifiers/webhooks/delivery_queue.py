"""What is owed, as it waits in memory: one line for each receiver of a subscription, in log order.

A receiver is a host: what goes to one host keeps its order, also across entries, and a receiver that is away holds up
no other. An entry that has been given another URL stays in its line until that is empty. This module waits for nothing.
"""

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence

from vtn.storage.ports import Delivery

Key = tuple[str, int, int]


def key_of(delivery: Delivery) -> Key:
    """What tells one delivery from another."""
    return delivery.subscription_id, delivery.seq, delivery.entry


@dataclasses.dataclass(slots=True, eq=False)
class OwedLine:
    """Deliveries to one receiver of a subscription.

    The first is not tried before `due_s` and was looked at last at `looked_s`, in monotonic seconds.
    """

    subscription_id: str
    host: str
    due_s: float
    looked_s: float
    queue: deque[Delivery] = dataclasses.field(default_factory=deque)
    entries: set[int] = dataclasses.field(default_factory=set)


class OwedLines:
    """Every line; at most `most` deliveries of a subscription wait in them.

    `excess` takes the oldest of what is beyond, but for what its line is busy with; whoever empties it tells of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[str, list[OwedLine]] = {}
        self._deadline_s: dict[Key, float] = {}
        self.excess: list[Delivery] = []

    def __iter__(self) -> Iterator[OwedLine]:
        return (line for lines in self._of.values() for line in lines)

    def holds(self, delivery: Delivery) -> bool:
        """Whether a delivery is here, or was taken and is not forgotten yet."""
        return key_of(delivery) in self._deadline_s

    def deadline_s(self, delivery: Delivery) -> float:
        """When a delivery is given up, in monotonic seconds."""
        return self._deadline_s[key_of(delivery)]

    def add(self, delivery: Delivery, deadline_s: float, due_s: float, now_s: float) -> OwedLine | None:
        """Let a delivery wait; its line, when that is new and nobody works on it."""
        self._deadline_s[key_of(delivery)] = deadline_s
        lines = self._of.setdefault(delivery.subscription_id, [])
        line = next((one for one in lines if delivery.entry in one.entries), None)
        line = line or next((one for one in lines if one.host == delivery.host), None)
        fresh = None
        if line is None:
            fresh = line = OwedLine(delivery.subscription_id, delivery.host, due_s, now_s)
            lines.append(line)
        line.entries.add(delivery.entry)
        line.queue.append(delivery)
        if sum(len(one.queue) for one in lines) > self._most:
            self._shed(max(lines, key=lambda one: len(one.queue)))
        return fresh

    def _shed(self, line: OwedLine) -> None:
        if len(line.queue) > 1:
            self.excess.append(line.queue[1])
            del line.queue[1]

    def cut(self, line: OwedLine, gone: Sequence[Delivery]) -> None:
        """Take deliveries out of a line."""
        keys = set(map(key_of, gone))
        rest = [delivery for delivery in line.queue if key_of(delivery) not in keys]
        line.queue.clear()
        line.queue.extend(rest)

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """These are settled."""
        for delivery in deliveries:
            self._deadline_s.pop(key_of(delivery), None)

    def close(self, line: OwedLine) -> None:
        """A line is empty and nobody works on it any more."""
        lines = self._of[line.subscription_id]
        lines.remove(line)
        if not lines:
            del self._of[line.subscription_id]
