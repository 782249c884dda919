"""Post the reports that events ask for, each once, when it is due, and again later while the VTN is away.

What is due follows from `rules.timeline`; what it says from `reports`; that it was sent is remembered durably.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from ven_adapters.ven.forecast import Outlook
from ven_adapters.ven.garage import Garage
from ven_adapters.ven.mirror import Mirror, Read
from ven_adapters.ven.reports import Figures, Request, Wanted, body
from ven_adapters.ven.steering import Steering
from ven_adapters.ven.store import ReportRow, print_at
from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.rules.timeline import DueReport, Window, due_reports, is_ad_hoc
from vtn.wire.enumerations import ObjectType
from vtn.wire.values import ReportDescriptor

HORIZON = timedelta(hours=24)
LATEST = timedelta(hours=24)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Owed:
    """Everything that one event wants at one instant."""

    key: str
    event_id: str
    at: datetime
    read: Read
    wanted: tuple[Wanted, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """What reports carry of us: the client's name; the seed fixes when random starts are due."""

    client: str
    seed: str


class Reporter:
    """What is owed, and what was paid. `plan` after every change of events, `pay` whenever something is due."""

    def __init__(self, vtn: Client, garage: Garage, mirror: Mirror, steering: Steering, names: Names) -> None:
        self._vtn = vtn
        self._garage = garage
        self._mirror = mirror
        self._steering = steering
        self._names = names
        self._paid: set[str] = set()
        self._untold: list[ReportRow] = []
        self._owed: dict[str, Owed] = {}
        self._planned_until: datetime | None = None

    def paid(self, keys: Iterable[str]) -> None:
        """Reports that an earlier run has sent."""
        self._paid.update(keys)

    def plan(self, now: datetime) -> None:
        """Work out what is owed in the next day; what an earlier plan owed stays owed unless its event was deleted."""
        fresh = {owed.key: owed for read in self._mirror.events.values() for owed in self._owed_by(read, now)}
        kept = {
            key: owed for key, owed in self._owed.items() if owed.event_id in self._mirror.events and owed.at <= now
        }
        self._owed = {key: owed for key, owed in (fresh | kept).items() if key not in self._paid}
        self._planned_until = now + HORIZON / 2

    def _owed_by(self, read: Read, now: datetime) -> list[Owed]:
        """What one event wants; an event that asks in a way that nobody foresaw costs the others nothing."""
        try:
            return owed_by(read, now, self._names.seed)
        except Exception:  # noqa: BLE001 - logged whole
            _log.exception("what reports event %s asks for could not be worked out", read.event.id)
            return []

    def next_at(self, now: datetime) -> datetime | None:
        """When something is due next."""
        if self._planned_until is not None and now > self._planned_until:
            self.plan(now)
        return min((owed.at for owed in self._owed.values()), default=None)

    async def pay(self, now: datetime, smallest_group: int) -> tuple[list[ReportRow], int]:
        """Post what is due; the rows to remember, and how many the VTN refused for good.

        VtnUnreachable passes through; the rows of what was posted before it come with the next answer.
        """
        refused = 0
        for owed in sorted(self._owed.values(), key=lambda owed: owed.at):
            if owed.at > now:
                break
            try:
                posted = await self._vtn.create(ObjectType.REPORT, self._body(owed, now, smallest_group))
                row = ReportRow(key=owed.key, event_id=owed.event_id, report_id=posted["id"], at=print_at(now))
                self._untold.append(row)
            except VtnRefused as error:
                refused += 1
                _log.warning("the VTN refused a report on event %s: %s", owed.event_id, error)
            except VtnUnreachable:
                raise
            except Exception:  # noqa: BLE001 - logged whole; one report that cannot be made keeps back no other
                refused += 1
                _log.exception("a report on event %s could not be made", owed.event_id)
            self._paid.add(owed.key)
            self._owed.pop(owed.key, None)
        rows, self._untold = self._untold, []
        return rows, refused

    def _body(self, owed: Owed, now: datetime, smallest_group: int) -> dict[str, object]:
        zones = self._mirror.zones_of(owed.read.event.targets, self._garage.reported)
        exporting = frozenset(zone for zone in zones if self._garage.capacity(zone).max_export_kw > 0)
        placed = [
            dataclasses.replace(one, zones=self._mirror.zones_of(one.descriptor.targets, zones)) for one in owed.wanted
        ]
        request = Request(owed.event_id, self._names.client, exporting, placed, smallest_group)
        outlook_of = functools.cache(lambda zone: self._steering.outlook(zone, self._mirror.heard(zone), now))
        return body(request, functools.partial(self._figures, now, outlook_of))

    def _figures(self, now: datetime, outlook_of: Callable[[str], Outlook], zone: str, window: Window) -> Figures:
        meter, start_s, end_s = self._garage.meter, window.start.timestamp(), window.end.timestamp()
        energy, sample = meter.energy(zone, start_s, end_s), meter.sample(zone, end_s)
        ahead = outlook_of(zone).ahead(start_s, end_s) if window.end > now else None
        return Figures(meter.known(zone), energy, sample, (end_s - start_s) / 3600, ahead)


def owed_by(read: Read, now: datetime, seed: str) -> list[Owed]:
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


def _dues(read: Read, descriptor: ReportDescriptor, now: datetime, seed: str) -> list[DueReport]:
    if is_ad_hoc(read.event, descriptor):
        return [_at_once(read)]
    return due_reports(
        read.event,
        descriptor,
        read_at=read.read_at,
        since=max(read.read_at, now - LATEST),
        until=now + HORIZON,
        seed=seed,
    )


def _at_once(read: Read) -> DueReport:
    """Whoever leaves the time to us gets one report when we have read the request, about that instant."""
    at = read.read_at
    window = Window(at, at, 0, 0, (), read.event.id, read.event.program_id, read.event.priority)
    return DueReport(at, 0, (window,))
