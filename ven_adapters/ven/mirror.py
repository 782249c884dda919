"""What the VTN holds for us, as last read: programs, events, our ven and its resources. Polling is the only truth.

Unchanged lists cost a 304. An event that is no longer listed is asked for by its id: still there, it has run out and is
kept for the restart that follows it; gone, it was deleted, and what it held back is let go. The first poll also reads
events that have run out, because reports on them may still be owed.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pydantic

from ven_adapters.ven.asks import LOOK_BACK, Heard
from vtn.client import Client, VtnRefused
from vtn.rules.timeline import lifespan_end
from vtn.wire.enumerations import ObjectType
from vtn.wire.event import Event
from vtn.wire.interval import END_OF_TIME
from vtn.wire.program import Program
from vtn.wire.values import EventPayloadDescriptor

Json = dict[str, Any]
KEPT = LOOK_BACK + timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """An event as we first read this version of it; `real_s` is the Unix time of that."""

    event: Event
    read_at: datetime
    real_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class News:
    """What one poll brought."""

    fresh: tuple[Read, ...] = ()
    deleted: tuple[Read, ...] = ()
    moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.fresh or self.deleted or self.moved)


class Mirror:
    """Our copy of the VTN's objects. `first_read` gives the durable instant of an event version read before."""

    def __init__(self, vtn: Client, first_read: Callable[[str], datetime | None]) -> None:
        self._vtn = vtn
        self._first_read = first_read
        self._descriptors: dict[str, tuple[EventPayloadDescriptor, ...]] = {}
        self._raw: dict[str, Json] = {}
        self.polled = False
        self.events: dict[str, Read] = {}
        self.ven_targets: frozenset[str] = frozenset()
        self.resource_targets: Mapping[str, frozenset[str]] = {}

    async def poll(self, ven_id: str | None, now: datetime, real_s: float) -> News:
        """Read everything; VtnRefused or VtnUnreachable leaves the copy as it was."""
        programs = await self._vtn.search(ObjectType.PROGRAM)
        events = await self._vtn.search(ObjectType.EVENT, **({"active": True} if self.polled else {}))
        grants = await self._grants(ven_id) if ven_id is not None else (frozenset[str](), {})
        listed = {raw["id"]: raw for raw in events}
        unlisted = [found for key, found in self.events.items() if key not in listed and self._may_last(found, now)]
        deleted = tuple([found for found in unlisted if not await self._exists(found.event.id)])
        described = {raw["id"]: _descriptors(raw) for raw in programs}
        moved = grants != (self.ven_targets, self.resource_targets) or described != self._descriptors
        self._descriptors = described
        self.ven_targets, self.resource_targets = grants
        fresh, unreadable = self._take(listed, now, real_s)
        for found in deleted:
            self._forget(found.event.id)
        self._drop_old(listed, now)
        self.polled = True
        return News(tuple(fresh), (*deleted, *unreadable), moved)

    async def _grants(self, ven_id: str) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
        ven = await self._vtn.read(ObjectType.VEN, ven_id)
        resources = await self._vtn.search(ObjectType.RESOURCE, venID=ven_id)
        named = [found for found in resources if isinstance(found.get("resourceName"), str)]
        return _targets(ven), {found["resourceName"]: _targets(found) for found in named}

    def _may_last(self, found: Read, now: datetime) -> bool:
        """Whether the event would still be in force for us had it not left the list."""
        return found.event.id in self._raw and lifespan_end(found.event) > now - KEPT

    async def _exists(self, event_id: str) -> bool:
        """An event that ran out is asked for once; after that it is no longer expected in the list."""
        try:
            await self._vtn.read(ObjectType.EVENT, event_id)
        except VtnRefused as refused:
            if refused.status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
                return False
            _log.warning("whether event %s still exists could not be learnt: %s", event_id, refused)
            return True
        self._raw.pop(event_id, None)
        return True

    def _take(self, listed: Mapping[str, Json], now: datetime, real_s: float) -> tuple[list[Read], list[Read]]:
        """What is new, and what was replaced by a version that cannot be read: what it asked is asked no more."""
        fresh, unreadable = [], []
        for key, raw in listed.items():
            if self._raw.get(key) == raw:
                continue
            self._raw[key] = raw
            try:
                event = Event.model_validate(raw)
            except pydantic.ValidationError as error:
                _log.warning("event %s cannot be read: %s", key, error.errors(include_url=False)[0]["msg"])
                unreadable += [self.events.pop(key)] if key in self.events else []
                continue
            self.events[key] = Read(event, self._first_read(version(event)) or now, real_s)
            fresh.append(self.events[key])
        return fresh, unreadable

    def _forget(self, event_id: str) -> None:
        self._raw.pop(event_id, None)
        self.events.pop(event_id, None)

    def _drop_old(self, listed: Mapping[str, Json], now: datetime) -> None:
        for key, found in list(self.events.items()):
            end = lifespan_end(found.event)
            if key not in listed and (END_OF_TIME if end == END_OF_TIME else end + KEPT) < now:
                self._forget(key)

    def heard(self, zone: str) -> list[Heard]:
        """The events that a zone may see: untargeted, granted to our ven, or granted to the zone's resource."""
        return [
            Heard(found.event, found.read_at, self._descriptors.get(found.event.program_id, ()))
            for found in self.events.values()
            if self._sees(zone, found.event.targets)
        ]

    def zones_of(self, targets: Sequence[str] | None, zones: Sequence[str]) -> list[str]:
        """The zones, out of some, that targets mean."""
        return [zone for zone in zones if self._sees(zone, targets)]

    def _sees(self, zone: str, targets: Sequence[str] | None) -> bool:
        """No targets mean everyone; else any overlap with the grants of ven and resource (readings TR-02, TR-03)."""
        granted = self.ven_targets | self.resource_targets.get(zone, frozenset())
        return not targets or not granted.isdisjoint(targets)


def version(event: Event) -> str:
    """One version of an event: a "now" that is sent anew starts anew."""
    return f"{event.id}@{event.modification_date_time}"


def _targets(found: Json) -> frozenset[str]:
    targets = found.get("targets")
    return frozenset(one for one in targets if isinstance(one, str)) if isinstance(targets, list) else frozenset()


def _descriptors(raw: Json) -> tuple[EventPayloadDescriptor, ...]:
    """The event payload descriptors of a program; a program that cannot be read has none."""
    try:
        program = Program.model_validate(raw)
    except pydantic.ValidationError:
        return ()
    return tuple(one for one in program.payload_descriptors or () if isinstance(one, EventPayloadDescriptor))
