"""Read the VTN, early when a notification wakes us: register there, take up what changed, listen."""

import asyncio
import dataclasses
import logging
import random
import time
from datetime import datetime, timedelta

from ven_adapters.config import AdapterSettings, WakeSettings
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.openadr.event_faults import EventFaults
from ven_adapters.ven.openadr.last_limits import LastLimits
from ven_adapters.ven.openadr.notifications import NotificationSource, WakeSignal, back_off_s, listen
from ven_adapters.ven.openadr.registration import Registered, register
from ven_adapters.ven.openadr.vtn_objects import VtnChanges, VtnObjects, version
from ven_adapters.ven.reporting.schedule import Reporter
from ven_adapters.ven.store.database import (
    AdapterStore,
    EventReadRow,
    FirstProgramRow,
    RowValues,
    StoredState,
    print_at,
)
from ven_adapters.ven.supervisor import Supervisor
from ven_adapters.ven.vehicle_discovery import VehicleDiscovery
from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.clock import Clock

EVENTS_AT_ONCE = 200
MOST_VERSIONS = 100_000
LONGEST_LABEL = 128

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class EventMemory:
    """What is remembered of events through restarts: when each version was first read, and the limits that it set."""

    first_read: dict[str, datetime] = dataclasses.field(default_factory=dict)
    last_limits: LastLimits = dataclasses.field(default_factory=LastLimits)

    def restore(self, stored: StoredState) -> None:
        """What an earlier run remembered."""
        self.first_read.update(stored.events)
        self.last_limits.restore(stored.event_limits)

    def forget_versions(self, live: set[str]) -> None:
        """Once there are very many versions, those of events that are gone are forgotten."""
        if len(self.first_read) > MOST_VERSIONS:
            for gone in self.first_read.keys() - live:
                del self.first_read[gone]


@dataclasses.dataclass(slots=True)
class VtnPolling:
    """`run` until cancelled. Polling is the truth; a VTN that is away is tried again, and what is held goes on."""

    vtn: Client
    settings: AdapterSettings
    wake: WakeSettings
    clock: Clock
    store: AdapterStore
    dice: random.Random
    vtn_objects: VtnObjects
    memory: EventMemory
    participation: Participation
    event_faults: EventFaults
    reporter: Reporter
    statistics: AdapterStatistics
    discovery: VehicleDiscovery
    supervisor: Supervisor
    vtn_signal: WakeSignal
    wake_signal: WakeSignal
    registered: Registered | None = None
    _lost: bool = False

    async def run(self) -> None:
        """Poll, and listen once we are registered."""
        failures, began = 0, self.clock.now()
        while True:
            self.vtn_signal.take()
            wait_s = self.wake.poll_s
            try:
                await self._register()
                ven_id = self.registered.ven_id if self.registered is not None else None
                changes = await self.vtn_objects.poll(ven_id, self.clock.now(), time.time())
                failures = 0
                self._found()
                await self._take_up(changes)
            except (VtnRefused, VtnUnreachable) as error:
                failures += 1
                wait_s = back_off_s(failures, self.wake, self.dice.random())
                _log.warning("the VTN could not be read: %s", error)
                self._miss(began)
            await self.vtn_signal.wait(wait_s)

    def _miss(self, began: datetime) -> None:
        """The VTN could not be read; when it is lost, limits are held without it."""
        now, heard_at = self.clock.now(), self.vtn_objects.heard_at or began
        if self._lost or now - heard_at < timedelta(seconds=self.settings.vtn.lost_after_s):
            return
        self._lost = True
        if self.vtn_objects.heard_at is None:
            self.vtn_objects.go_without(self.memory.last_limits.all(), began)
        _log.error("ALARM: the VTN is lost since %s; default limits hold where none that it sent does", heard_at)
        self.wake_signal.ring()

    def _found(self) -> None:
        if self._lost:
            self._lost = False
            _log.info("the VTN can be read again")
            self.wake_signal.ring()

    async def _register(self) -> None:
        """Register what changed; the first time, start to listen."""
        wanted = self.discovery.unannounced
        if wanted is None:
            return
        first = self.registered is None
        registered = await register(self.vtn, self.settings.client_name, wanted)
        self.registered, self.discovery.unannounced, self.discovery.announced = registered, None, True
        zones = ", ".join(wanted) or "no zone that is large enough"
        _log.info("registered as ven %s with %s", registered.ven_id, zones)
        if first:
            label = f"{self.settings.client_name} {self.settings.part}"[-LONGEST_LABEL:]
            source = NotificationSource(self.vtn, registered.ven_id, label, self.settings.vtn.ca)
            self.supervisor.spawn(
                "notifications", lambda: listen(source, self.wake, self.vtn_signal, self.settings.seed)
            )

    async def _take_up(self, changes: VtnChanges) -> None:
        """Note what was read; anything new is a reason to plan. Of very much, others' work goes on in between."""
        now, note, memory = self.clock.now(), self.store.note, self.memory
        first = self.participation.take().items()
        note(FirstProgramRow(payload_type=kind, program_id=one, at=print_at(now)) for kind, one in first)
        for start in range(0, len(changes.fresh), EVENTS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            fresh = changes.fresh[start : start + EVENTS_AT_ONCE]
            for read in fresh:
                named = version(read.event)
                self.statistics.read(read.event.id, read.event.modification_date_time, read.real_s)
                memory.first_read[named] = read.read_at
                note([RowValues(EventReadRow, {"version": named, "read_at": print_at(read.read_at)})])
            note(memory.last_limits.take((read.event for read in fresh), now))
        if changes.deleted:
            memory.last_limits.forget(self.vtn_objects.known)
        memory.forget_versions({version(read.event) for read in self.vtn_objects.events.values()})
        for _ in self.participation.judge():
            await asyncio.sleep(0)
        findings = self.participation.findings(now)
        self.event_faults.judge(findings, self.participation.unmet(), self.vtn_objects.left_out)
        self.reporter.tell(self.event_faults.reports())
        if changes:
            self.reporter.plan(now)
            self.wake_signal.ring()
