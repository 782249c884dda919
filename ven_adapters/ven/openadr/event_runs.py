"""One event's intervals that follow upon each other, as the one stretch of time that a driver knows as "the event"."""

import dataclasses
from collections.abc import Iterable

from ven_adapters.ven.openadr.zone_requests import GridRequest


@dataclasses.dataclass(frozen=True, slots=True)
class EventRun:
    """From when until when an event asks without a break (epoch seconds), and by which payload type it begins."""

    event_id: str
    kind: str
    start_s: float
    end_s: float

    def overlaps(self, other: "EventRun") -> bool:
        """Whether two are of the same event and share some time."""
        return self.event_id == other.event_id and self.start_s < other.end_s and other.start_s < self.end_s


def runs_of(loads: Iterable[GridRequest]) -> list[EventRun]:
    """The runs of every event among a zone's asks, those that begin first in front."""
    runs: dict[str, list[EventRun]] = {}
    for ask in sorted(loads, key=lambda one: (one.start_s, one.end_s, one.interval_id)):
        mine = runs.setdefault(ask.event_id, [])
        if mine and ask.start_s <= mine[-1].end_s:
            mine[-1] = dataclasses.replace(mine[-1], end_s=max(mine[-1].end_s, ask.end_s))
        else:
            mine.append(EventRun(ask.event_id, ask.payload_type, ask.start_s, ask.end_s))
    return sorted((run for mine in runs.values() for run in mine), key=lambda run: (run.start_s, run.event_id))
