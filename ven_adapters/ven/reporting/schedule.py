"""Post the reports that events ask for, each once, when it is due, and again later while the VTN is away.

What is due follows from `rules.timeline`; what it says from `reports`; that it was sent is remembered durably. They
count the cars that are in the event's program. Who sent an event that is not understood is told so, unasked, and who
asks for load what can be done (`flexibility_reports`). What late readings move is corrected once, and an event that was
cancelled while it was in force still gets what was measured until then (`measured`).
"""

import asyncio
import dataclasses
import functools
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from ven_adapters.config import WakeSettings
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.openadr.event_faults import EventFindings, report_body, report_key
from ven_adapters.ven.openadr.notifications import back_off_s
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, version
from ven_adapters.ven.planning.flexibility.forecast import Outlook
from ven_adapters.ven.reporting.flexibility_reports import FlexibilityReports, UnaskedReport
from ven_adapters.ven.reporting.kept_reports import KeptReports
from ven_adapters.ven.reporting.measured import (
    CORRECTED_AFTER,
    Told,
    energies_in,
    measured_energy,
    needs_correction,
    others,
    until_its_end,
    was_ended,
)
from ven_adapters.ven.reporting.reports import FORECASTS, KINDS, Request, Wanted, ZoneFigures, body, together
from ven_adapters.ven.store.database import AdapterStore, SentReportRow, print_at
from vtn.client import Client, VtnRefused, VtnUnreachable, VtnUnusable
from vtn.clock import HOUR_S, Clock
from vtn.rules.timeline import DueReport, Window, due_reports, is_ad_hoc
from vtn.wire.enumerations import ObjectType
from vtn.wire.values import ReportDescriptor

HORIZON = timedelta(hours=24)
LATEST = timedelta(hours=24)
MOST_BUSY = 3
MOST_UNASKED = 200
CHECK_EVERY_S = 0.5
LATE_AFTER = timedelta(minutes=15)
MOST_POSTED = 500
ENDED, CORRECTED, LATE = "ended", "corrected", "LATE"
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Owed:
    """Everything that one event wants at one instant; `ended`: what it still owes because it was ended."""

    key: str
    event_id: str
    at: datetime
    read: ReadEvent
    wanted: tuple[Wanted, ...]
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class PostedReport:
    """A report that was posted, the energies that it told, and when it is looked at again."""

    owed: Owed
    told: Told
    again_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class ReporterNames:
    """What reports carry of us: the client's name; the seed fixes when random starts are due."""

    client: str
    seed: str


@dataclasses.dataclass(frozen=True, slots=True)
class PostSettings:
    """Whether we are registered; the smallest group that may be spoken of; the pauses while the VTN is away.

    `says_unasked`: whether it is told unasked what zones can do and lack.
    """

    is_registered: Callable[[], bool]
    smallest_group: int
    wake: WakeSettings
    dice: random.Random
    says_unasked: bool = True


class Reporter:
    """What is owed, and what was paid. `plan` after every change of events, `pay` whenever something is due.

    `sent`, `refused`: how many reports were posted, and how many the VTN would not have.
    """

    def __init__(
        self,
        vtn: Client,
        participation: Participation,
        zone_controller: ZoneController,
        names: ReporterNames,
        kept: KeptReports | None = None,
    ) -> None:
        self._vtn = vtn
        self._kept = kept
        self._participation = participation
        self._fleet_state = participation.fleet_state
        self._vtn_objects = participation.vtn_objects
        self._zone_controller = zone_controller
        self._names = names
        self._paid: set[str] = set()
        self.sent = 0
        self.refused = 0
        self._untold: list[SentReportRow] = []
        self._owed: dict[str, Owed] = {}
        self._reads: dict[str, ReadEvent] = {}
        self._posted: dict[str, PostedReport] = {}
        self._faulty: dict[str, EventFindings] = {}
        self._unasked: dict[str, UnaskedReport] = {}
        self._flexibility = FlexibilityReports(participation, zone_controller, names.client, names.seed)
        self._planned_until: datetime | None = None

    def paid(self, keys: Iterable[str]) -> None:
        """Reports that an earlier run has sent."""
        self._paid.update(keys)

    def plan(self, now: datetime) -> None:
        """Work out what is owed in the next day; what an earlier plan owed stays owed unless its event was deleted.

        An event that was ended while it was in force owes what was measured of it until now.
        """
        events = self._vtn_objects.events
        ended = [owed for pair in others(self._reads, events) for owed in self._ended(*pair, now)]
        self._reads = dict(events)
        fresh = {owed.key: owed for read in self._vtn_objects.events.values() for owed in self._owed_by(read, now)}
        kept = {
            key: owed
            for key, owed in self._owed.items()
            if owed.ended or (owed.event_id in self._vtn_objects.events and owed.at <= now)
        }
        kept |= {owed.key: owed for owed in ended}
        self._owed = {key: owed for key, owed in (fresh | kept).items() if key not in self._paid}
        self._planned_until = now + HORIZON / 2
        self._flexibility.plan(now)

    def collect(self, now: datetime, smallest_group: int) -> None:
        """Take up what falls due unasked. While the VTN is away the newest few are kept, and the oldest go."""
        try:
            for one in self._flexibility.due(now, smallest_group, self._paid):
                self._unasked[one.key] = one
        except Exception:  # noqa: BLE001 - logged whole; asked reports go on
            _log.exception("what zones can do could not be told")
        while len(self._unasked) > MOST_UNASKED:
            del self._unasked[next(iter(self._unasked))]

    def _ended(self, before: ReadEvent, after: ReadEvent | None, now: datetime) -> list[Owed]:
        """The last report on an event that was cancelled, shortened to now, or deleted."""
        try:
            if not was_ended(before, after, now, self._names.seed):
                return []
            wanted = until_its_end(before, now, self._names.seed)
        except Exception:  # noqa: BLE001 - logged whole
            _log.exception("what is still owed on event %s could not be worked out", before.event.id)
            return []
        key = f"{version(before.event)}/{ENDED}"
        return [Owed(key, before.event.id, now, before, wanted, ended=True)] if wanted else []

    def _owed_by(self, read: ReadEvent, now: datetime) -> list[Owed]:
        """What one event wants; an event that asks in a way that nobody foresaw costs the others nothing."""
        try:
            return owed_by(read, now, self._names.seed)
        except Exception:  # noqa: BLE001 - logged whole
            _log.exception("what reports event %s asks for could not be worked out", read.event.id)
            return []

    def tell(self, findings: Iterable[EventFindings]) -> None:
        """The events whose senders are to be told that they are not understood, all of them; each is told once."""
        self._faulty = {key: one for one in findings if (key := report_key(one)) not in self._paid}

    def next_at(self, now: datetime) -> datetime | None:
        """When something is due next."""
        if self._planned_until is not None and now > self._planned_until:
            self.plan(now)
        if self._faulty or self._unasked:
            return now
        dues = (*(owed.at for owed in self._owed.values()), *(one.again_at for one in self._posted.values()))
        return min(dues, default=None)

    def told(self) -> list[SentReportRow]:
        """Rows for the store: what was posted since this was last asked."""
        rows, self._untold = self._untold, []
        return rows

    async def run(self, store: AdapterStore, clock: Clock, settings: PostSettings) -> None:
        """Post whatever falls due, from our registration at the VTN on; what was posted is remembered in the store."""
        failures = 0
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            now = clock.now()
            if settings.says_unasked and settings.is_registered():
                self.collect(now, settings.smallest_group)
            due = self.next_at(now)
            if not settings.is_registered() or due is None or due > now:
                continue
            try:
                self.refused += await self.pay(now, settings.smallest_group)
            except VtnUnreachable as error:
                failures += 1
                _log.warning("reports wait for the VTN: %s", error)
                await asyncio.sleep(back_off_s(failures, settings.wake, settings.dice.random()))
                continue
            finally:  # what was posted is remembered, whatever became of the rest
                posted = self.told()
                store.note(posted)
                self.sent += len(posted)
            failures = 0

    async def pay(self, now: datetime, smallest_group: int) -> int:
        """Post what is due; how many the VTN refused for good.

        VtnUnreachable when it is away, or too busy for some of them: those stay due, for a day at most.
        """
        refused, busy = 0, list[VtnRefused]()
        for owed in sorted(self._owed.values(), key=lambda owed: owed.at):
            if owed.at > now or len(busy) == MOST_BUSY:
                break
            try:
                content = self._body(owed, now, smallest_group)
                refused += 0 if content is None else await self._post_owed(owed, content, now)
            except VtnUnreachable:
                raise
            except VtnRefused as error:
                if now - owed.at < LATEST:
                    busy.append(error)
                    continue
                refused += self._given_up(owed.key, owed.event_id, error)
            except Exception:  # noqa: BLE001 - logged whole; one report that cannot be made keeps back no other
                _log.exception("a report on event %s could not be made", owed.event_id)
                refused += 1
                self._paid.add(owed.key)
            self._owed.pop(owed.key, None)
        refused += await self._pay_faulty(now, busy) + await self._pay_unasked(now, busy)
        refused += await self._correct(now, smallest_group, busy)
        if busy:
            raise VtnUnreachable(f"it is busy: {busy[0]}")
        return refused

    async def _post_owed(self, owed: Owed, content: dict[str, object], now: datetime) -> int:
        """Post what an event asked for; 1 when the VTN refused it. Of an event that is gone it is kept here."""
        refused = await self._post(owed.key, owed.event_id, content, now)
        if refused and owed.ended and self._kept is not None:
            self._kept.keep(content, now, "the VTN has no such event any more")
        told = {} if refused or owed.ended else energies_in(content)
        if told:
            self._posted[owed.key] = PostedReport(owed, told, now + CORRECTED_AFTER)
            if len(self._posted) > MOST_POSTED:
                del self._posted[next(iter(self._posted))]
        return refused

    async def _correct(self, now: datetime, smallest_group: int, busy: list[VtnRefused]) -> int:
        """Post again, once, what readings that came late have moved; how many reports were refused for good."""
        refused = 0
        for key, one in list(self._posted.items()):
            if one.again_at > now or len(busy) == MOST_BUSY:
                continue
            content = None
            if one.owed.event_id in self._vtn_objects.events:
                content = self._body(one.owed, now, smallest_group, name=CORRECTED)
            if content is not None and needs_correction(one.told, energies_in(content)):
                try:
                    refused += await self._post(f"{key}/{CORRECTED}", one.owed.event_id, content, now)
                except VtnRefused as error:
                    busy.append(error)
                    continue
            self._posted.pop(key, None)
        return refused

    async def _pay_faulty(self, now: datetime, busy: list[VtnRefused]) -> int:
        """Tell the senders of events that are not understood; how many reports were refused for good."""
        refused = 0
        for key, one in list(self._faulty.items()):
            if len(busy) == MOST_BUSY:
                break
            try:
                refused += await self._post(key, one.event_id, report_body(one, self._names.client), now)
            except VtnRefused as error:
                busy.append(error)
            else:
                self._faulty.pop(key, None)
        return refused

    async def _pay_unasked(self, now: datetime, busy: list[VtnRefused]) -> int:
        """Tell what nobody asked for in so many words; how many reports were refused for good."""
        refused = 0
        for key, one in list(self._unasked.items()):
            if len(busy) == MOST_BUSY:
                break
            if one.event_id in self._vtn_objects.events:
                try:
                    refused += await self._post(key, one.event_id, one.body, now)
                except VtnRefused as error:
                    busy.append(error)
                    continue
            self._unasked.pop(key, None)
        return refused

    async def _post(self, key: str, event_id: str, content: Mapping[str, object], now: datetime) -> int:
        """Send one report, once and for all; 1 when the VTN refused it.

        VtnUnreachable passes through, and VtnRefused when the VTN is too busy. What it took and answered oddly, it has.
        """
        try:
            report_id = (await self._vtn.create(ObjectType.REPORT, content))["id"]
        except VtnUnusable as error:
            _log.warning("a report on event %s was answered oddly: %s", event_id, error)
            report_id = ""
        except VtnRefused as error:
            if error.status in _BUSY or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return self._given_up(key, event_id, error)
        self._untold.append(SentReportRow(key=key, event_id=event_id, report_id=report_id, at=print_at(now)))
        self._paid.add(key)
        return 0

    def _given_up(self, key: str, event_id: str, error: VtnRefused) -> int:
        _log.warning("the VTN refused a report on event %s: %s", event_id, error)
        self._paid.add(key)
        return 1

    def _body(
        self, owed: Owed, now: datetime, smallest_group: int, name: str | None = None
    ) -> dict[str, object] | None:
        """What is reported; None to a program that none of the cars is in, of which nothing is said."""
        event = owed.read.event
        seen = self._vtn_objects.zones_of(event.targets, self._fleet_state.reported)
        joined = {zone: self._participation.parts(event, zone) for zone in seen}
        zones = [zone for zone in seen if joined[zone]]
        if seen and not zones:
            return None
        parts = {zone: self._fleet_state.counted_in(zone, joined[zone]) for zone in zones}
        exporting = frozenset(zone for zone in zones if self._fleet_state.capacity(zone, parts[zone]).max_export_kw > 0)
        placed = [
            dataclasses.replace(one, zones=self._vtn_objects.zones_of(one.descriptor.targets, zones))
            for one in owed.wanted
        ]
        late = now - owed.at > LATE_AFTER and name is None
        remarks = (name.upper(),) if name is not None else (LATE,) if late else ()
        name = ENDED if owed.ended else name
        request = Request(owed.event_id, self._names.client, exporting, placed, smallest_group, remarks, name)
        outlook_of = functools.cache(
            lambda part: self._zone_controller.outlook(part, self._participation.events_for(part), now)
        )

        def figures(zone: str, window: Window) -> ZoneFigures:
            return together([self._figures(now, outlook_of, part, window) for part in parts[zone]])

        return body(request, figures)

    def _figures(self, now: datetime, outlook_of: Callable[[str], Outlook], zone: str, window: Window) -> ZoneFigures:
        meter, start_s, end_s = self._fleet_state.meter, window.start.timestamp(), window.end.timestamp()
        energy, estimated = measured_energy(self._fleet_state, zone, start_s, end_s)
        ahead = outlook_of(zone).ahead(start_s, end_s) if window.end > now else None
        hours = (end_s - start_s) / HOUR_S
        return ZoneFigures(meter.known(zone), energy, meter.sample(zone, end_s), hours, ahead, estimated)


def owed_by(read: ReadEvent, now: datetime, seed: str) -> list[Owed]:
    """What one event wants from a day ago until a day ahead, one report per instant."""
    event, by_instant = read.event, dict[datetime, list[Wanted]]()
    for descriptor in event.report_descriptors or ():
        for due in _dues(read, descriptor, now, seed):
            by_instant.setdefault(due.at, []).append(Wanted(descriptor, due))
    return [
        Owed(f"{event.id}/{print_at(at)}/{_content(wanted)}", event.id, at, read, tuple(wanted))
        for at, wanted in by_instant.items()
    ]


def _content(wanted: Sequence[Wanted]) -> str:
    """Which reports of which descriptors: a changed event that asks for others owes them anew."""
    return ",".join(f"{one.descriptor.payload_type}:{one.due.number}" for one in wanted)


def _dues(read: ReadEvent, descriptor: ReportDescriptor, now: datetime, seed: str) -> list[DueReport]:
    if is_ad_hoc(read.event, descriptor):
        return [_at_once(read)]
    if descriptor.payload_type in FORECASTS.keys() - KINDS.keys():  # at an interval's end nothing of it is to come
        descriptor = descriptor.model_copy(update={"historical": False})
    return due_reports(
        read.event,
        descriptor,
        read_at=read.read_at,
        since=max(read.read_at, now - LATEST),
        until=now + HORIZON,
        seed=seed,
    )


def _at_once(read: ReadEvent) -> DueReport:
    """Whoever leaves the time to us gets one report when we have read the request, about that instant."""
    at = read.read_at
    window = Window(at, at, 0, 0, (), read.event.id, read.event.program_id, read.event.priority)
    return DueReport(at, 0, (window,))
