"""One adapter at work: its parts, put together; started, kept up, and stopped.

A few tasks share one event loop: the VTN is polled (early when a notification wakes us), the backend's facts are taken
in, zones are planned, reports are posted, what changed is stored. Each goes on when another cannot: without the VTN we
carry out what we hold, without the backend we keep reading events. On a stop, directives are left to their own ends.
"""

import dataclasses
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from ven_adapters.config import AdapterSettings, opening
from ven_adapters.contract import VehicleBackend
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.enrolment_api.webhooks.notice_store import open_notices
from ven_adapters.registry import reading_price
from ven_adapters.ven.control.control_loop import ControlLoop, LoopSettings
from ven_adapters.ven.control.event_notices import EventNotices
from ven_adapters.ven.control.fact_intake import FactIntake
from ven_adapters.ven.control.participation import Participation, fleet_state_of
from ven_adapters.ven.control.recovery import recover
from ven_adapters.ven.control.setup_alarms import SetupAlarms
from ven_adapters.ven.control.zone_control import ControlSettings, ZoneController
from ven_adapters.ven.directives.dispatcher import CallContext, Dispatcher
from ven_adapters.ven.enrolment.driver_notices import store_notices
from ven_adapters.ven.enrolment.source import AgreementSource
from ven_adapters.ven.enrolment.sync import EnrolmentSync
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.fleet.event_burden import fairness_of
from ven_adapters.ven.openadr.event_faults import EventFaults
from ven_adapters.ven.openadr.notifications import WakeSignal
from ven_adapters.ven.openadr.programs import ProgramSelection
from ven_adapters.ven.openadr.vtn_objects import VtnObjects
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from ven_adapters.ven.reading import CarReading, read_settings_of
from ven_adapters.ven.reporting.kept_reports import KeptReports
from ven_adapters.ven.reporting.schedule import PostSettings, Reporter, ReporterNames
from ven_adapters.ven.setup_watch import SetupWatch
from ven_adapters.ven.store.database import AdapterStore
from ven_adapters.ven.store.group_commit import GroupCommit
from ven_adapters.ven.store.retention import forget
from ven_adapters.ven.supervisor import Supervisor, Work
from ven_adapters.ven.vehicle_discovery import VehicleDiscovery
from ven_adapters.ven.vtn_polling import EventMemory, VtnPolling
from vtn.client import Client
from vtn.clock import Clock

STOP_WITHIN_S = 5.0
LONGEST_OVERRIDE = timedelta(days=8)


@dataclasses.dataclass(frozen=True, slots=True)
class AgentPorts:
    """The outside of one adapter: the VTN, the automaker's backend, our own store, that of enrolments."""

    vtn: Client
    backend: VehicleBackend
    store: AdapterStore
    enrolments: EnrolmentStore | None = None


class Agent:
    """One automaker's VEN."""

    def __init__(self, settings: AdapterSettings, clock: Clock, ports: AgentPorts) -> None:
        self.settings, self.clock, self.ports = settings, clock, ports
        wake, seed = settings.wake.paced(clock), f"{settings.oem}/{settings.seed}"
        dice = random.Random(settings.seed)  # noqa: S311 - spreads retries, guards nothing
        remote = ports.backend if isinstance(ports.backend, RemoteBackend) else None
        self.wake, self.dice = wake, dice
        self.supervisor = Supervisor(wake, settings.seed)
        self.vtn_signal, self.wake_signal = WakeSignal(), WakeSignal()

        self.fleet_state = fleet_state_of(settings, clock.now())
        self.event_memory = EventMemory()
        self.vtn_objects = VtnObjects(
            ports.vtn, self.event_memory.first_read.get, self.event_memory.last_limits.get, settings.most_events
        )
        self.vtn_objects.nodes = frozenset(self.fleet_state.fleet.places.tree.names)
        self.participation = Participation(self.vtn_objects, self.fleet_state, ProgramSelection())
        self.event_faults = EventFaults()
        self.statistics = AdapterStatistics(settings.folder, self.fleet_state.registry.achieved)
        self.statistics.queue = remote.health if remote is not None else None
        self.statistics.fairness = lambda: fairness_of(self.fleet_state.fleet)
        self.setup_alarms = SetupAlarms()
        self.statistics.faults = self._alarms

        self.group_commit = GroupCommit(ports.store, self.fleet_state.pressing, self.wake_signal.ring)
        self.dispatcher = Dispatcher(
            CallContext(
                backend=ports.backend,
                clock=clock,
                registry=self.fleet_state.registry,
                capabilities=self.fleet_state.capabilities,
                snapshots=self.fleet_state.snapshots,
                at_once=settings.calls_at_once,
                seed=settings.seed,
                written=self.group_commit.written,
                discharged=self.fleet_state.exports,
                faults=self.fleet_state.faults,
                retry=wake,
            )
        )
        self.facts = FactIntake(
            self.fleet_state, self.dispatcher, self.wake_signal, self.statistics, clock, self.group_commit.written
        )
        agreements = AgreementSource(settings.enrolments, ports.enrolments, settings.shard)
        self.enrolment_sync = EnrolmentSync(agreements, self.fleet_state, clock, self.facts)

        plan_settings = PlanSettings(margin_s=settings.margin_s, wear_per_kwh=settings.wear_per_kwh)
        is_lost = partial(self.vtn_objects.is_lost, after_s=settings.vtn.lost_after_s)
        control_settings = ControlSettings(plan_settings, seed, settings.lead_s, is_lost)
        self.zone_controller = ZoneController(self.fleet_state, control_settings)
        self.event_notices = EventNotices(
            self.fleet_state, self.zone_controller, settings.patience.notice_lead_s, enabled=self._tells_drivers
        )
        watch = self.zone_controller.flexibility
        self.statistics.flexibility, self.statistics.bands = watch.now, watch.bands
        self.statistics.limits = self.zone_controller.limits.now
        self.control_loop = ControlLoop(
            self.participation,
            self.zone_controller,
            self.event_notices,
            self.dispatcher,
            self.statistics,
            self.event_faults,
            self.wake_signal,
            clock,
            LoopSettings(settings.cycle_s, wake.poll_s, settings.plans_per_s),
            remote.ready if remote is not None else None,
        )
        names = ReporterNames(settings.client_name, seed)
        self.reporter = Reporter(
            ports.vtn, self.participation, self.zone_controller, names, KeptReports(settings.folder)
        )
        self.discovery = VehicleDiscovery(
            ports.backend,
            self.fleet_state,
            self.enrolment_sync,
            wake,
            dice,
            self.wake_signal,
            self.vtn_signal,
        )
        self.reading = CarReading(
            ports.backend,
            self.participation,
            self.zone_controller,
            clock,
            self.wake_signal,
            read_settings_of(settings.reading, reading_price(settings.oem)),
            settings.reading.at_once,
        )
        self.statistics.readings = self.reading.figures
        self.setup_watch = SetupWatch(ports.backend, self.fleet_state, self.setup_alarms, clock, self.wake_signal)
        self.vtn_polling = VtnPolling(
            ports.vtn,
            settings,
            wake,
            clock,
            ports.store,
            dice,
            self.vtn_objects,
            self.event_memory,
            self.participation,
            self.event_faults,
            self.reporter,
            self.statistics,
            self.discovery,
            self.supervisor,
            self.vtn_signal,
            self.wake_signal,
        )

    @property
    def _tells_drivers(self) -> bool:
        """Whether the automaker's app takes notices of events, and there is a store that they go out from."""
        enrolling = self.settings.enrolling
        return self.ports.enrolments is not None and enrolling is not None and enrolling.webhook_url is not None

    def _alarms(self) -> Mapping[str, Any]:
        """Everything that stands and should be seen to."""
        told = self.setup_alarms.added_to(self.event_faults.plain())
        return self.zone_controller.limits.added_to(told, self.fleet_state.fleet.places)

    def stop(self) -> None:
        """Finish what is under way and return from `run`; directives run to their own ends."""
        self.supervisor.stop()

    async def run(self) -> None:
        """Work until `stop`. Raises Unreadable for enrolments that cannot be used, before anything is sent."""
        try:
            await self._open()
        except BaseException:
            self.statistics.abandon()
            await self.ports.store.close()
            raise
        try:
            await self.supervisor.run(self.works())
        finally:
            await self._close()

    def works(self) -> Mapping[str, Work]:
        """What goes on at the same time, by the name that its failures are logged under."""
        ports, clock, vtn_objects = self.ports, self.clock, self.vtn_objects
        kept = timedelta(days=self.settings.keep_days)
        posting = PostSettings(
            lambda: self.vtn_polling.registered is not None,
            self.settings.smallest_group,
            self.wake,
            self.dice,
            self.settings.flexibility_reports,
        )
        works: dict[str, Work] = {
            "polling the VTN": self.vtn_polling.run,
            "meeting cars": self.discovery.run,
            "reading cars": self.reading.run,
            "checking the set-up": self.setup_watch.run,
            "the backend's facts": lambda: self.facts.run(ports.backend, self.wake, self.dice),
            "recovery": lambda: recover(self.fleet_state, self.dispatcher, clock, self.wake.first_retry_s),
            "reporting": lambda: self.reporter.run(ports.store, clock, posting),
            "planning": self.control_loop.plan_zones,
            "carrying out": self.control_loop.carry_out,
            "storing": lambda: self.group_commit.run(self.fleet_state.drain),
            "retention": lambda: forget(
                ports.store, clock, kept, lambda: vtn_objects.events if vtn_objects.polled else None
            ),
        }
        if self.enrolment_sync.agreements.followed:
            works["following enrolments"] = self.enrolment_sync.run
        if (store := ports.enrolments) is not None and self._tells_drivers:
            works["telling drivers"] = lambda: store_notices(self.event_notices, store, clock, self.wake.first_retry_s)
        return works

    async def _open(self) -> None:
        news = await self.enrolment_sync.begin()
        with opening("store_url"):
            await self.ports.store.open()
        now = self.clock.now()
        stored = await self.ports.store.load(overridden_since=now - LONGEST_OVERRIDE)
        self.fleet_state.restore(stored, now)
        self.enrolment_sync.heed(news)
        self.reporter.paid(stored.reports)
        first = {row.payload_type: row.program_id for row in stored.first_programs}
        self.participation.selection.restore(first)
        self.event_memory.restore(stored)
        if self.ports.enrolments is not None and self._tells_drivers:
            with opening("enrolling.store_url"):
                self.event_notices.restore(await open_notices(self.ports.enrolments))

    async def _close(self) -> None:
        await self.group_commit.close()
        await self.dispatcher.settle(STOP_WITHIN_S)
        registry = self.fleet_state.registry
        self.statistics.take_sent(self.dispatcher.sent)
        self.statistics.note_reports(self.reporter.sent, self.reporter.refused)
        heard = self.vtn_signal.heard
        self.statistics.close(self.clock.now(), time.time(), registry.by_state, registry.confirmed, heard)
        while rows := self.fleet_state.drain():
            self.ports.store.note(rows)
        await self.ports.store.close()
        await self.enrolment_sync.agreements.close()
        await self.ports.backend.close()
        await self.ports.vtn.close()
