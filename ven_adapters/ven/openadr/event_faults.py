"""What of the VTN's events is not understood, or not for our cars: told once per version of an event, and to be seen.

An event is judged whole as soon as it is read, however far ahead its intervals are. A payload that binds (an order, a
limit, a level, an alert, a price) and is not understood raises an alarm, which stands until the event is over, changed
or gone, and a report to whoever sent it (`reporting.reports`). No I/O beside the log.
"""

import collections
import dataclasses
import itertools
import logging
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ven_adapters.ven.openadr.payload_types import PayloadValue, binds, canonical, described, limit_of, meaning
from ven_adapters.ven.openadr.zone_requests import UnusedPayload
from vtn.rules.timeline import PACKED
from vtn.wire.enumerations import AGGREGATED_REPORT, EventPayload
from vtn.wire.event import Event
from vtn.wire.values import EventPayloadDescriptor, ValuesMap

NOT_UNDERSTOOD = "x-EVTN-NOT-UNDERSTOOD"
"""The private report payload type that says so; its values are texts that name a field and its rule."""

NODE_RULE = "targets: name nodes of the grid, of which only limits on capacity are acted on"
_OF_NODES = frozenset({EventPayload.IMPORT_CAPACITY_RESERVATION, EventPayload.EXPORT_CAPACITY_RESERVATION})
MOST_FAULTS = 20
MOST_JUDGED = 20_000
MOST_EVENTS = 10_000
MOST_CHARACTERS = 400
MOST_SHOWN = 20

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class EventFault:
    """One payload that is not understood: where, and the rule with its field before the colon.

    Without a payload type it is the event as a whole that cannot be read.
    """

    interval_id: int
    payload_type: str
    rule: str
    binds: bool

    def __str__(self) -> str:
        place = f"interval {self.interval_id}, {self.payload_type}" if self.payload_type else "cannot be read"
        return f"{place}: {self.rule}"[:MOST_CHARACTERS]


@dataclasses.dataclass(frozen=True, slots=True)
class EventFindings:
    """One version of an event: what is not understood of it, and what of it is not for any of our cars."""

    event_id: str
    version: str
    faults: tuple[EventFault, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def alarming(self) -> bool:
        """Whether its sender counts on something that nobody does."""
        return any(fault.binds for fault in self.faults)


def faults_of(
    event: Event, program: Sequence[EventPayloadDescriptor], unused: Mapping[str, str]
) -> tuple[EventFault, ...]:
    """Every payload that is not understood, once per type and rule, at most MOST_FAULTS; not those that are unused.

    Of a very long event the beginning is judged here, and the rest by the cycles that come to it.
    """
    found: dict[tuple[str, str], EventFault] = {}
    kinds = {payload.type for interval in event.intervals or () for payload in interval.payloads}
    contexts = {kind: described(kind, event.payload_descriptors or (), program) for kind in kinds}
    for interval_id, kind, values in itertools.islice(_every_value(event, unused), MOST_JUDGED):
        meant = meaning(kind, values, contexts[kind])
        if not isinstance(meant, PayloadValue) and len(found) < MOST_FAULTS:
            found.setdefault((kind, meant), EventFault(interval_id, kind, meant, binds(kind)))
    return tuple(found.values())


def beyond_nodes(event: Event) -> tuple[EventFault, ...]:
    """What an event asks of nodes of the grid that only whole zones can be asked: anything but capacity limits."""
    kinds = dict.fromkeys(payload.type for interval in event.intervals or () for payload in interval.payloads)
    beyond = [kind for kind in kinds if limit_of(kind) is None and canonical(kind) not in _OF_NODES]
    return tuple(EventFault(0, kind, NODE_RULE, binds(kind)) for kind in beyond)[:MOST_FAULTS]


def _every_value(event: Event, unused: Container[str]) -> Iterator[tuple[int, str, Sequence[Any]]]:
    for interval in event.intervals or ():
        for payload in interval.payloads:
            if payload.type not in unused:
                yield from ((interval.id, payload.type, values) for values in _each(payload))


def _each(payload: ValuesMap) -> Iterable[Sequence[Any]]:
    """The values that count one after another; n of a packed type split their interval."""
    if payload.type in PACKED and payload.values:
        return ((value,) for value in payload.values)
    return (payload.values,)


class EventFaults:
    """What stands now, and how often what was met. `judge` after every poll, `unknown` after every cycle."""

    def __init__(self) -> None:
        self._standing: dict[str, EventFindings] = {}
        self._told: collections.OrderedDict[object, None] = collections.OrderedDict()
        self._missing: tuple[str, ...] = ()
        self._left_out = 0
        self.counts: collections.Counter[str] = collections.Counter()

    def judge(self, judged: Iterable[EventFindings], missing: Iterable[str] = (), left_out: int = 0) -> None:
        """Take up the events that count now, all of them; say what is new.

        `missing`: program names that no VTN has; `left_out`: how many events are listed beyond those that count.
        """
        if left_out and not self._left_out:
            _log.error("ALARM: %s", _too_many(left_out))
            self.counts["left_out_too_many"] += 1
        self._left_out = left_out
        before, self._standing = self._standing, {one.event_id: one for one in judged if one.faults or one.unused}
        for one in self._standing.values():
            if before.get(one.event_id) != one and self._is_new((one.version, one.faults, one.unused)):
                self._say(one)
        before_missing, self._missing = self._missing, tuple(missing)
        for name in set(self._missing) - set(before_missing):
            _log.error("ALARM: cars are enrolled in program %r, and the VTN shows us none of that name", name)
            self.counts["programs_missing"] += 1

    def unknown(self, found: Iterable[UnusedPayload]) -> None:
        """What a cycle did not understand and `judge` cannot see, because it lies between two events."""
        for one in found:
            standing = self._standing.get(one.event_id)
            seen = standing is not None and any(fault.payload_type == one.payload_type for fault in standing.faults)
            if not seen and self._is_new((one.event_id, one.payload_type, one.why)):
                _log.warning("event %s: %s is not acted on: %s", one.event_id, one.payload_type, one.why)
                self.counts["left_out"] += 1

    def reports(self) -> list[EventFindings]:
        """The events whose senders are to be told, while they stand."""
        return [one for one in self._standing.values() if one.alarming]

    @property
    def alarms(self) -> list[str]:
        """Everything that stands and should be seen to."""
        events = [f"event {one.event_id} is not understood: {one.faults[0]}" for one in self.reports()]
        missing = [f"no program of the VTN is called {name!r}" for name in self._missing]
        return [*([_too_many(self._left_out)] if self._left_out else ()), *missing, *events]

    def plain(self) -> dict[str, Any]:
        """For a line of progress and the summary; nothing while nothing was met."""
        alarms = self.alarms
        told = {"alarms": alarms[:MOST_SHOWN], "alarms_in_all": len(alarms), "told_of_events": dict(self.counts)}
        return told if self.counts else {}

    def _say(self, one: EventFindings) -> None:
        if one.faults:
            level, alarm = (logging.ERROR, "ALARM: ") if one.alarming else (logging.WARNING, "")
            faults = "; ".join(map(str, one.faults))
            _log.log(level, "%sevent %s is not understood: %s", alarm, one.event_id, faults)
            self.counts["not_understood_binding" if one.alarming else "not_understood"] += 1
        if one.unused:
            _log.warning("event %s is not acted on: %s", one.event_id, "; ".join(one.unused))
            self.counts["of_other_programs"] += 1

    def _is_new(self, what: object) -> bool:
        if what in self._told:
            return False
        self._told[what] = None
        if len(self._told) > MOST_EVENTS:
            self._told.popitem(last=False)
        return True


def _too_many(left_out: int) -> str:
    return f"the VTN lists {left_out} events more than are acted on (most_events): those that begin last are left out"


def report_key(judged: EventFindings) -> str:
    """What is remembered of such a report: one for each version of an event."""
    return f"{judged.version}/not-understood"


def report_body(judged: EventFindings, client_name: str) -> dict[str, Any]:
    """The report to the sender: per interval the texts; it says nothing about cars."""
    texts: dict[int, list[str]] = {}
    for fault in judged.faults:
        texts.setdefault(fault.interval_id, []).append(str(fault))
    intervals = [
        {"id": number, "payloads": [{"type": NOT_UNDERSTOOD, "values": found}]} for number, found in texts.items()
    ]
    return {
        "eventID": judged.event_id,
        "clientName": client_name,
        "reportName": "not understood",
        "payloadDescriptors": [{"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": NOT_UNDERSTOOD}],
        "resources": [{"resourceName": AGGREGATED_REPORT, "intervals": intervals}],
    }
