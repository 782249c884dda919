"""What is told unasked of what zones can do, and when: bands, nominations, and shortfalls with what binds.

For each event that asks for load: the feasible band when it is first read, a day before it begins and when it begins;
the nomination a day, an hour and a quarter of an hour before it begins; a shortfall within the cycle that finds it,
when it changes enough to matter, and when it is over. Each is told once; nothing is told every cycle.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.openadr.payload_types import LOADS, canonical
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, version
from ven_adapters.ven.openadr.zone_requests import LOOK_BACK
from ven_adapters.ven.planning.flexibility.feasible_band import HeldBand
from ven_adapters.ven.planning.flexibility.nomination import EventSpan, ZoneNomination
from ven_adapters.ven.planning.flexibility.shortfall import Flexibility, is_news, together
from ven_adapters.ven.reporting.flexibility_bodies import added, band_body, nomination_body, shortfall_body
from ven_adapters.ven.store.database import print_at
from vtn.rules.timeline import Window, windows
from vtn.wire.enumerations import EventPayload
from vtn.wire.interval import END_OF_TIME

Json = dict[str, Any]

DAY = timedelta(hours=24)
BEFORE = {"T-24h": DAY, "T-60min": timedelta(minutes=60), "T-15min": timedelta(minutes=15)}
READ, BEGIN, DAY_BEFORE = "read", "start", "T-24h"
APART = timedelta(minutes=5)
STALE = timedelta(minutes=30)
MOST_INTERVALS = 96
MOST_EVENTS = 200
MOST_AT_ONCE = 5
SET_POINT = EventPayload.DISPATCH_SETPOINT

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class UnaskedReport:
    """A report that nobody asked for in so many words: what is remembered of it, and the body."""

    key: str
    event_id: str
    body: Json


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """A band or a nomination of one version of an event, and when it is due."""

    at: datetime
    key: str
    label: str
    is_band: bool
    read: ReadEvent
    start: datetime


@dataclasses.dataclass(slots=True)
class ToldShortfall:
    """What was told of an event's shortfall last, by zone, and when."""

    zones: dict[str, Flexibility]
    at: datetime


class FlexibilityReports:
    """`plan` after every change of events, `due` whenever reports are posted."""

    def __init__(
        self, participation: Participation, zone_controller: ZoneController, client_name: str, seed: str
    ) -> None:
        self._participation = participation
        self._fleet_state = participation.fleet_state
        self._vtn_objects = participation.vtn_objects
        self._zone_controller = zone_controller
        self._client_name = client_name
        self._seed = seed
        self._announced: set[str] = set()
        self._waiting: list[Announcement] = []
        self._told: dict[str, ToldShortfall] = {}
        self._edition = -1

    def plan(self, now: datetime) -> None:
        """What is to be announced of the events that are there; what was announced is not announced again."""
        alone = self._vtn_objects.names_nodes_alone
        odd = {found.event_id for found in self._participation.findings(now) if found.alarming}
        reads = [
            read for read in self._vtn_objects.events.values() if read.event.id not in odd and _asks_for_load(read)
        ]
        of_zones = [read for read in reads if not alone(read.event.targets)]
        waiting = [one for read in of_zones[:MOST_EVENTS] for one in announcements(read, now, self._seed)]
        self._waiting = sorted((one for one in waiting if one.key not in self._announced), key=lambda one: one.at)
        live = {read.event.id for read in reads}
        self._told = {event_id: told for event_id, told in self._told.items() if event_id in live}
        self._announced = {key for key in self._announced if key.split("@", 1)[0] in live}

    def due(self, now: datetime, smallest_group: int, sent: set[str]) -> Iterator[UnaskedReport]:
        """What falls due, a few at a time. `sent`: the keys of reports that an earlier run has posted."""
        watch = self._zone_controller.flexibility
        for _ in range(MOST_AT_ONCE if watch.edition else 0):
            if not self._waiting or self._waiting[0].at > now:
                break
            one = self._waiting.pop(0)
            self._announced.add(one.key)
            if one.key in sent or now - one.at > STALE:
                continue
            body = self._announcement(one, now, smallest_group)
            if body is not None:
                yield UnaskedReport(one.key, one.read.event.id, body)
        if watch.edition != self._edition:
            self._edition = watch.edition
            yield from self._shortfalls(now, smallest_group)

    def _shortfalls(self, now: datetime, smallest_group: int) -> Iterator[UnaskedReport]:
        short = {one.event_id for one in self._zone_controller.flexibility.now.values() if one.is_short}
        short |= self._zone_controller.limits.events()
        for event_id in [*short, *(self._told.keys() - short)]:
            read = self._vtn_objects.events.get(event_id)
            if read is None:
                self._told.pop(event_id, None)
                continue
            report = self._shortfall(read, now, smallest_group)
            if report is not None:
                yield report

    def _shortfall(self, read: ReadEvent, now: datetime, smallest_group: int) -> UnaskedReport | None:
        """What an event's zones lack, when it is news; changes are told five minutes apart at the least."""
        event_id, told = read.event.id, self._told.get(read.event.id)
        before = {} if told is None else told.zones
        found = {}
        for zone, parts in self._counted(read, smallest_group).items():
            mine = [self._zone_controller.flexibility.now.get(part) for part in parts]
            asked = [one for one in mine if one is not None and one.event_id == event_id]
            below = (self._zone_controller.limits.of_event(part, event_id) for part in parts)
            asked += [one for one in below if one is not None]
            if asked:
                found[zone] = together(asked)
        for zone in before.keys() - found.keys():
            found[zone] = dataclasses.replace(before[zone], shortfall_kw=0.0, bindings=())
        news = {zone: one for zone, one in found.items() if is_news(before.get(zone), one)}
        begun = any((zone not in before or not before[zone].is_short) or not one.is_short for zone, one in news.items())
        if not news or (told is not None and not begun and now - told.at < APART):
            return None
        said = {zone: one for zone, one in found.items() if one.is_short or zone in news}
        kept = {zone: one for zone, one in found.items() if one.is_short}
        self._told[event_id] = ToldShortfall(kept, now)
        if not kept:
            del self._told[event_id]
        body = shortfall_body(event_id, self._client_name, said, now, smallest_group)
        return UnaskedReport(f"{version(read.event)}/shortfall/{print_at(now)}", event_id, body)

    def _announcement(self, one: Announcement, now: datetime, smallest_group: int) -> Json | None:
        """A band or a nomination; None when the event asks nothing of any zone that may be spoken of."""
        zones = self._counted(one.read, smallest_group)
        event = one.read.event
        if not zones or event.id not in self._vtn_objects.events:
            return None
        if one.is_band:
            return self._band(one, zones, now)
        found = _intervals(one.read, one.start, self._seed)
        if not found:
            return None
        chance = int.from_bytes(hashlib.sha256(one.key.encode()).digest()[:8])
        nominated = {zone: self._nominated(parts, found, now, chance) for zone, parts in zones.items()}
        return nomination_body(event.id, self._client_name, one.label, found, nominated)

    def _nominated(
        self, parts: Sequence[str], found: Sequence[Window], now: datetime, chance: int
    ) -> list[ZoneNomination]:
        """A zone's nominations: the sums of its parts', which are no more than those of all its cars together."""
        feeding = [one for one in found if _asks_for_feed(one)] or found
        spans = [EventSpan(one.start.timestamp(), one.end.timestamp(), feeds=one in feeding) for one in found]
        events_for = self._participation.events_for
        made = [self._zone_controller.nominate(part, events_for(part), now, spans, chance) for part in parts]
        names = [field.name for field in dataclasses.fields(ZoneNomination)]
        return [
            ZoneNomination(*(sum(getattr(one, name) for one in each) for name in names))
            for each in zip(*made, strict=True)
        ]

    def _band(self, one: Announcement, zones: Mapping[str, Sequence[str]], now: datetime) -> Json | None:
        found = _intervals(one.read, max(now, one.start), self._seed)
        bands: dict[str, Sequence[HeldBand | None]] = {}
        for zone, parts in zones.items():
            each = [
                self._zone_controller.held_band(
                    part,
                    self._participation.events_for(part),
                    now,
                    one.start.timestamp(),
                    [window.end.timestamp() for window in found],
                )
                for part in parts
            ]
            bands[zone] = added(each)
        known = any(held is not None for band in bands.values() for held in band)
        return band_body(one.read.event.id, self._client_name, found, bands) if known else None

    def _counted(self, read: ReadEvent, smallest_group: int) -> dict[str, list[str]]:
        """The zones that an event asks, each with the parts that may be spoken of together."""
        found = {}
        zones = self._vtn_objects.zones_of(read.event.targets, self._fleet_state.reported)
        if self._vtn_objects.names_nodes_alone(read.event.targets):
            zones = self._fleet_state.reported
        for zone in zones:
            parts = self._fleet_state.counted_in(zone, self._participation.parts(read.event, zone))
            if sum(len(self._fleet_state.fleet.zone_rows(part)) for part in parts) >= smallest_group:
                found[zone] = parts
        return found


def _asks_for_load(read: ReadEvent) -> bool:
    return any(canonical(one.type) in LOADS for interval in read.event.intervals or () for one in interval.payloads)


def announcements(read: ReadEvent, now: datetime, seed: str) -> list[Announcement]:
    """What is to be announced of an event: of what was due before it was read, or long ago, only the last.

    A band further ahead than a day says nothing, and so is announced a day before.
    """
    first = next(iter(windows(read.event, read_at=read.read_at, since=now, until=END_OF_TIME, seed=seed)), None)
    if first is None:
        return []
    begun = windows(read.event, read_at=read.read_at, since=now - LOOK_BACK, until=END_OF_TIME, seed=seed)
    start = next(begun).start
    named = version(read.event)

    def made(label: str, at: datetime, *, is_band: bool) -> Announcement:
        return Announcement(at, f"{named}/{'band' if is_band else 'nomination'}/{label}", label, is_band, read, start)

    since = read.read_at
    bands = [made(DAY_BEFORE, start - DAY, is_band=True)] if start - DAY > since else [made(READ, since, is_band=True)]
    bands += [made(BEGIN, start, is_band=True)] if start - since > STALE else []
    noms = [made(label, start - before, is_band=False) for label, before in BEFORE.items()]
    missed = [one for one in noms if one.at <= since]
    late = [dataclasses.replace(missed[-1], at=since)] if missed and since < start else []
    return [*bands, *late, *(one for one in noms if one.at > since)]


def _intervals(read: ReadEvent, since: datetime, seed: str) -> list[Window]:
    """The event's intervals that are not over, those of packed values as one, from `since` for a day and more."""
    found: dict[int, Window] = {}
    every = windows(read.event, read_at=read.read_at, since=since, until=since + 2 * DAY, seed=seed)
    for window in islice(every, 8 * MOST_INTERVALS):
        before = found.get(window.position)
        found[window.position] = window if before is None else dataclasses.replace(before, end=window.end)
    return list(found.values())[:MOST_INTERVALS]


def _asks_for_feed(window: Window) -> bool:
    """Whether an interval's set-point is below zero."""
    return any(
        canonical(one.type) == SET_POINT and one.values and float(one.values[0]) < 0.0 for one in window.payloads
    )
