"""What the VTN holds for us, as last read: programs, events, our ven and its resources. Polling is the only truth.

Unchanged lists cost a 304. An event that is no longer listed is asked for by its id: still there, it has run out or
its window was shortened to cancel it (User Guide 7.9), and it is kept as it reads now for the restart that follows it;
gone, it was deleted, and what it held back is let go. The first poll also reads events that have run out, because
reports on them may still be owed. An event whose new version cannot be read asks nothing any more, but for the limits
of the version before it, which stay until they end.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pydantic

from ven_adapters.ven.openadr.last_limits import limits_only
from ven_adapters.ven.openadr.programs import ListedProgram
from ven_adapters.ven.openadr.zone_requests import LOOK_BACK, HeldEvent
from vtn.client import Client, VtnRefused
from vtn.rules.timeline import lifespan_end
from vtn.wire.enumerations import ObjectType
from vtn.wire.event import Event
from vtn.wire.interval import END_OF_TIME
from vtn.wire.program import Program
from vtn.wire.values import EventPayloadDescriptor

Json = dict[str, Any]
KEPT = LOOK_BACK + timedelta(hours=1)
MOST_FAULTS = 3
AT_ONCE, LONGEST_VERSION = 200, 400
MOST_EVENTS = 1_000
MOST_LISTED, MOST_LISTED_BYTES = 10_000, 64 * 1_048_576

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event as we first read this version of it; `real_s` is the Unix time of that."""

    event: Event
    read_at: datetime
    real_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """A version of an event that is no event of the standard: its first faults, each with its field."""

    version: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class VtnChanges:
    """What one poll brought."""

    fresh: tuple[ReadEvent, ...] = ()
    deleted: tuple[ReadEvent, ...] = ()
    moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.fresh or self.deleted or self.moved)


class VtnObjects:
    """Our copy of the VTN's objects.

    `first_read` gives the durable instant of an event version read before, `last_limits` the limits of an event as it
    was last read, when that was before we started. `nodes`: the names of the grid file's nodes. Of more than
    `most_events` that are listed, those that begin first count, and `left_out` says how many do not.
    """

    def __init__(
        self,
        vtn: Client,
        first_read: Callable[[str], datetime | None],
        last_limits: Callable[[str], Event | None] = lambda _: None,
        most_events: int = MOST_EVENTS,
    ) -> None:
        self._vtn = vtn
        self._most_events = most_events
        self._first_read = first_read
        self._last_limits = last_limits
        self._descriptors: dict[str, tuple[EventPayloadDescriptor, ...]] = {}
        self._raw: dict[str, Json] = {}
        self.polled = False
        self.heard_at: datetime | None = None
        self.nodes: frozenset[str] = frozenset()
        self.left_out = 0
        self.events: dict[str, ReadEvent] = {}
        self.programs: dict[str, ListedProgram] = {}
        self.unreadable: dict[str, UnreadableEvent] = {}
        self.ven_targets: frozenset[str] = frozenset()
        self.resource_targets: Mapping[str, frozenset[str]] = {}

    async def poll(self, ven_id: str | None, now: datetime, real_s: float) -> VtnChanges:
        """Read everything; VtnRefused or VtnUnreachable leaves the copy as it was."""
        bounds = {"most": MOST_LISTED, "most_bytes": MOST_LISTED_BYTES}
        programs = await self._vtn.search(ObjectType.PROGRAM, **bounds)
        active = {"active": True} if self.polled else {}
        events = await self._vtn.search(ObjectType.EVENT, **bounds, **active)
        grants = await self._grants(ven_id) if ven_id is not None else (frozenset[str](), {})
        listed = {raw["id"]: raw for raw in sorted(events, key=_begin)[: self._most_events]}
        beyond = {raw["id"] for raw in events} - listed.keys()
        unlisted = [found for key, found in self.events.items() if key not in listed and self._may_last(found, now)]
        there = {one.event.id: None if one.event.id in beyond else await self._reread(one.event.id) for one in unlisted}
        deleted = tuple(one for one in unlisted if there[one.event.id] is None)
        known = {key: raw for key, raw in there.items() if raw is not None and raw is not self._raw[key]}
        ran_out = {key: raw for key, raw in known.items() if raw.get("id") == key and raw != self._raw[key]}
        self.left_out = len(beyond)
        described = {raw["id"]: self._described(raw) for raw in programs}
        listed_programs = {raw["id"]: ListedProgram.of(raw) for raw in programs}
        parsed = await self._parsed(listed | ran_out)
        moved = grants != (self.ven_targets, self.resource_targets) or described != self._descriptors
        moved |= listed_programs != self.programs
        self._descriptors, self.programs = described, listed_programs
        self.ven_targets, self.resource_targets = grants
        fresh, unreadable = self._take(parsed, now, real_s)
        self.unreadable = {key: one for key, one in self.unreadable.items() if key in listed}
        for found in deleted:
            self._forget(found.event.id)
        self._drop_old(listed, now)
        kept = listed.keys() | (self.events.keys() - known.keys())
        self._raw = {key: raw for key, raw in self._raw.items() if key in kept}
        self.polled, self.heard_at = True, now
        return VtnChanges(tuple(fresh), (*deleted, *unreadable), moved)

    def is_lost(self, at: datetime, *, after_s: float) -> bool:
        """Whether the VTN was read last, or we began without it, longer than `after_s` before an instant."""
        return self.heard_at is not None and at - self.heard_at >= timedelta(seconds=after_s)

    def go_without(self, limits: Iterable[Event], since: datetime) -> None:
        """Nothing could be read since we started, at `since`: limits that an earlier run read count until they end."""
        self.heard_at = since
        for event in limits:
            self.events.setdefault(event.id, self._read(event, since, 0.0))

    async def _grants(self, ven_id: str) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
        ven = await self._vtn.read(ObjectType.VEN, ven_id)
        resources = await self._vtn.search(ObjectType.RESOURCE, venID=ven_id)
        named = [found for found in resources if isinstance(found.get("resourceName"), str)]
        return _targets(ven), {found["resourceName"]: _targets(found) for found in named}

    def _may_last(self, found: ReadEvent, now: datetime) -> bool:
        """Whether the event would still be in force for us had it not left the list."""
        return found.event.id in self._raw and lifespan_end(found.event) > now - KEPT

    async def _reread(self, event_id: str) -> Json | None:
        """An event that left the list as it reads now; None when it was deleted, and what is held when nobody can say.

        One that could be read is not expected in the list any more, and not asked for again.
        """
        try:
            return await self._vtn.read(ObjectType.EVENT, event_id)
        except VtnRefused as refused:
            if refused.status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
                return None
            _log.warning("whether event %s still exists could not be learnt: %s", event_id, refused)
            return self._raw[event_id]

    async def _parsed(self, listed: Mapping[str, Json]) -> list[tuple[str, Json, Event | UnreadableEvent]]:
        """What is new in the list, a few at a time: of very many, others' work goes on in between."""
        found: list[tuple[str, Json, Event | UnreadableEvent]] = []
        for number, (key, raw) in enumerate(listed.items()):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._raw.get(key) == raw:
                continue
            try:
                found.append((key, raw, Event.model_validate(raw)))
            except pydantic.ValidationError as error:
                told = f"{key}@{raw.get('modificationDateTime')}"[:LONGEST_VERSION]
                found.append((key, raw, UnreadableEvent(told, _first_faults(error))))
        return found

    def _take(
        self, parsed: Iterable[tuple[str, Json, Event | UnreadableEvent]], now: datetime, real_s: float
    ) -> tuple[list[ReadEvent], list[ReadEvent]]:
        """What is new, and what was replaced by a version that cannot be read: what it asked is asked no more."""
        fresh, unreadable = [], []
        for key, raw, event in parsed:
            self._raw[key] = raw
            self.unreadable.pop(key, None)
            if isinstance(event, UnreadableEvent):
                self.unreadable[key] = event
                unreadable += self._keep_limits(key, now, real_s)
                continue
            self.events[key] = self._read(event, now, real_s)
            fresh.append(self.events[key])
        return fresh, unreadable

    def _read(self, event: Event, now: datetime, real_s: float) -> ReadEvent:
        return ReadEvent(event, self._first_read(version(event)) or now, real_s)

    def _keep_limits(self, key: str, now: datetime, real_s: float) -> list[ReadEvent]:
        """Of a version that was replaced by one that cannot be read: its limits stay, all else is asked no more."""
        before = self.events.pop(key, None)
        if before is None and (last := self._last_limits(key)) is not None:
            before = self._read(last, now, real_s)
        if before is not None and (limits := limits_only(before.event)) is not None:
            self.events[key] = dataclasses.replace(before, event=limits)
        return [] if before is None else [before]

    def _described(self, raw: Json) -> tuple[EventPayloadDescriptor, ...]:
        """The event payload descriptors of a program; one that cannot be read says so once, and describes nothing."""
        try:
            program = Program.model_validate(raw)
        except pydantic.ValidationError as error:
            if raw["id"] not in self._descriptors:
                _log.warning(
                    "program %s cannot be read, nor what it says of units: %s", raw["id"], _first_faults(error)
                )
            return ()
        return tuple(one for one in program.payload_descriptors or () if isinstance(one, EventPayloadDescriptor))

    @property
    def known(self) -> Collection[str]:
        """The ids of all events that are there, whether they can be read or not."""
        return self.events.keys() | self.unreadable.keys()

    def descriptors(self, program_id: str) -> tuple[EventPayloadDescriptor, ...]:
        """What a program says of event payload types."""
        return self._descriptors.get(program_id, ())

    def _forget(self, event_id: str) -> None:
        self._raw.pop(event_id, None)
        self.unreadable.pop(event_id, None)
        self.events.pop(event_id, None)

    def _drop_old(self, listed: Mapping[str, Json], now: datetime) -> None:
        for key, found in list(self.events.items()):
            end = lifespan_end(found.event)
            if key not in listed and (END_OF_TIME if end == END_OF_TIME else end + KEPT) < now:
                self._forget(key)

    def events_for(self, zone: str) -> list[HeldEvent]:
        """The events that a zone may see: untargeted, granted to our ven, or granted to the zone's resource.

        Beside them those that name nodes of the grid, which lie below zones.
        """
        seen = []
        for found in self.events.values():
            nodes, of_zone = self.nodes_of(found.event.targets), self._sees(zone, found.event.targets)
            if nodes or of_zone:
                told = self.descriptors(found.event.program_id)
                seen.append(HeldEvent(found.event, found.read_at, told, nodes=nodes, of_zone=of_zone))
        return seen

    def nodes_of(self, targets: Sequence[str] | None) -> tuple[str, ...]:
        """The nodes of the grid, out of `nodes`, that targets name."""
        return tuple(one for one in targets or () if one in self.nodes) if self.nodes else ()

    def names_nodes_alone(self, targets: Sequence[str] | None) -> bool:
        """Whether targets name nodes of the grid, and neither our ven nor any zone by another name."""
        granted = self.ven_targets.union(*self.resource_targets.values()) - self.nodes
        return bool(self.nodes_of(targets)) and granted.isdisjoint(targets or ())

    def zones_of(self, targets: Sequence[str] | None, zones: Sequence[str]) -> list[str]:
        """The zones, out of some, that targets mean."""
        return [zone for zone in zones if self._sees(zone, targets)]

    def _sees(self, zone: str, targets: Sequence[str] | None) -> bool:
        """No targets mean everyone; else any overlap with the grants of ven and resource (readings TR-02, TR-03).

        A grant that names a node of the grid lets us hear of that node; it does not make it the whole zone's affair.
        """
        granted = (self.ven_targets | self.resource_targets.get(zone, frozenset())) - self.nodes
        return not targets or not granted.isdisjoint(targets)


def version(event: Event) -> str:
    """One version of an event: a "now" that is sent anew starts anew."""
    return f"{event.id}@{event.modification_date_time}"


def _begin(raw: Json) -> str:
    """When an event begins, as a text to sort by: "now" before all others, and without a period that of its intervals.

    Instants of other zones than UTC sort by their own clock, which is near enough to say whose turn comes first.
    """
    periods = [raw, *(raw["intervals"] if isinstance(raw.get("intervals"), list) else ())]
    inner = [one.get("intervalPeriod") for one in periods if isinstance(one, dict)]
    starts = [one.get("start") for one in inner if isinstance(one, dict)]
    return min((one for one in starts if isinstance(one, str)), default="")


def _targets(found: Json) -> frozenset[str]:
    targets = found.get("targets")
    return frozenset(one for one in targets if isinstance(one, str)) if isinstance(targets, list) else frozenset()


def _first_faults(error: pydantic.ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False, include_context=False)[:MOST_FAULTS]
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults)
