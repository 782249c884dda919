"""One adapter at work: read the VTN, steer every zone, call the backend, report; until it is told to stop.

A few tasks share one event loop: the VTN is polled (early when a notification wakes us), the backend's facts are taken
in, zones are steered, reports are posted, what changed is stored. Each goes on when another cannot: without the VTN we
carry out what we hold, without the backend we keep reading events. On a stop, directives are left to their own ends.
"""

import asyncio
import dataclasses
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ven_adapters.config import AdapterSettings, opening
from ven_adapters.contract import BackendError, BackendEvent, DriverChose, VehicleBackend
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven import vehicle_discovery
from ven_adapters.ven.control.car_steps import StepQueue, ZoneResult
from ven_adapters.ven.control.driver_choices import Effect
from ven_adapters.ven.control.participation import Participation, fleet_state_of
from ven_adapters.ven.control.recovery import catch_up, to_give_back
from ven_adapters.ven.control.zone_control import ControlSettings, ZoneController
from ven_adapters.ven.directives.dispatcher import CallContext, Dispatcher
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.directives.reconcile import Do, reconcile
from ven_adapters.ven.enrolment.source import AgreementSource
from ven_adapters.ven.enrolment.sync import EnrolmentSync
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.fleet.zones import Capacity
from ven_adapters.ven.openadr.event_faults import EventFaults
from ven_adapters.ven.openadr.last_limits import LastLimits
from ven_adapters.ven.openadr.notifications import NotificationSource, WakeSignal, back_off_s, listen
from ven_adapters.ven.openadr.programs import ProgramSelection
from ven_adapters.ven.openadr.registration import Registered, register
from ven_adapters.ven.openadr.vtn_objects import VtnChanges, VtnObjects, version
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from ven_adapters.ven.reporting.schedule import Reporter, ReporterNames
from ven_adapters.ven.store.database import AdapterStore, EventReadRow, FirstProgramRow, RowValues, print_at
from ven_adapters.ven.store.group_commit import GroupCommit, NotWritten
from ven_adapters.ven.store.retention import forget
from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.clock import Clock
from vtn.tasks import cancel_tasks

FLUSH_EVERY_S = 1.0
STOP_WITHIN_S = 5.0
WATCH_EVERY_S = 5.0
SILENT_FOR_S = 60.0
REPORT_CHECK_S = 0.5
LEAVING_PATIENCE = 3
CARS_AT_ONCE, EVENTS_AT_ONCE = 500, 200
MOST_VERSIONS = 100_000
LONGEST_LABEL = 128
LONGEST_OVERRIDE = timedelta(days=8)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class AgentPorts:
    """The outside of one adapter: the VTN, the automaker's backend, our own store, that of enrolments."""

    vtn: Client
    backend: VehicleBackend
    store: AdapterStore
    book: EnrolmentStore | None = None


class Agent:
    """One automaker's VEN."""

    def __init__(self, settings: AdapterSettings, clock: Clock, ports: AgentPorts) -> None:
        self._settings = settings
        self._clock = clock
        self._ports = ports
        self._dice = random.Random(settings.seed)  # noqa: S311 - spreads retries, guards nothing
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup | None = None
        self._wake = settings.wake.paced(clock)
        self._deaf = 0
        self._first_read: dict[str, datetime] = {}
        self._files: dict[Path, float] = {}
        self._capacities: dict[str, Capacity] | None = None
        self._leaving: set[str] = set()
        self.vtn_signal, self.wake_signal = WakeSignal(), WakeSignal()
        self.step_queue, self._work = StepQueue(), asyncio.Event()
        self.registered: Registered | None = None
        self._queue = ports.backend if isinstance(ports.backend, RemoteBackend) else None
        self.fleet_state = fleet_state_of(settings, clock.now())
        self.account = AdapterStatistics(settings.folder, self.fleet_state.registry.achieved)
        self.account.queue = self._queue.health if self._queue is not None else None
        agreements = AgreementSource(settings.enrolments, ports.book, settings.shard)
        self.follower = EnrolmentSync(agreements, self.fleet_state, clock, self._take, self._follow)
        self._last_limits = LastLimits()
        self.vtn_objects = VtnObjects(ports.vtn, self._first_read.get, self._last_limits.get, settings.most_events)
        self.participation = Participation(self.vtn_objects, self.fleet_state, ProgramSelection())
        self.faults = EventFaults()
        self.account.faults = self.faults.plain
        seed = f"{settings.oem}/{settings.seed}"
        self.zone_controller = ZoneController(
            self.fleet_state, ControlSettings(PlanSettings(margin_s=settings.margin_s), seed, settings.lead_s)
        )
        self.group_commit = GroupCommit(ports.store, self.fleet_state.pressing, self.wake_signal.ring)
        self.dispatcher = Dispatcher(self._line())
        names = ReporterNames(settings.client_name, seed)
        self.reporter = Reporter(ports.vtn, self.participation, self.zone_controller, names)

    def _line(self) -> CallContext:
        return CallContext(
            backend=self._ports.backend,
            clock=self._clock,
            registry=self.fleet_state.registry,
            capabilities=self.fleet_state.capabilities,
            snapshots=self.fleet_state.snapshots,
            at_once=self._settings.calls_at_once,
            seed=self._settings.seed,
            sent=self._sent,
            settled=self._call_settled,
            leaving=self._leaving.__contains__,
            written=self.group_commit.written,
        )

    def stop(self) -> None:
        """Finish what is under way and return from `run`; directives run to their own ends."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Raises Unreadable for enrolments that cannot be used, before anything is sent."""
        try:
            await self._open()
        except BaseException:
            self.account.abandon()
            await self._ports.store.close()
            raise
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for name, work in self._loops().items():
                    self._spawn(name, work)
                await self._stopping.wait()
                await cancel_tasks(self._tasks)
        finally:
            await self._close()

    def _loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What goes on at the same time, by the name that its failures are logged under."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "following the VTN": self._follow_vtn,
            "meeting cars": self._meet_cars,
            "the backend's facts": self._take_facts,
            "catching up": self._catch_up,
            "reporting": self._report,
            "zone_controller": self._steer,
            "carrying out": self._carry_out,
            "storing": self._remember,
            "retention": self._forget,
        }
        return loops | ({"following enrolments": self.follower.run} if self.follower.agreements.followed else {})

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """The one way in which a task of this adapter starts, once `run` has begun."""
        if self._group is not None:
            self._tasks.append(self._group.create_task(self._keep_up(name, work), name=name))

    async def _keep_up(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work until it is done; start it anew when it fails in a way that nobody foresaw.

        One defect, or one answer that nobody expected, must not give up a fleet.
        """
        failures = 0
        while True:
            began_s = time.monotonic()
            try:
                await work()
            except Exception:  # noqa: BLE001 - logged whole, and tried again
                _log.exception("%s failed and is started again", name)
            else:
                return
            failures = 1 if time.monotonic() - began_s > self._wake.longest_retry_s else failures + 1
            await asyncio.sleep(back_off_s(failures, self._wake, self._dice.random()))

    async def _open(self) -> None:
        news = await self.follower.begin()
        self._files = self._stamps()
        with opening("store_url"):
            await self._ports.store.open()
        now = self._clock.now()
        remembered = await self._ports.store.load(overridden_since=now - LONGEST_OVERRIDE)
        self.fleet_state.restore(remembered, now)
        self.follower.heed(news)
        self.reporter.paid(remembered.reports)
        first = {row.payload_type: row.program_id for row in remembered.first_programs}
        self.participation.selection.restore(first)
        self._first_read.update(remembered.events)
        self._last_limits.restore(remembered.event_limits)

    async def _close(self) -> None:
        await self.group_commit.close()
        await self.dispatcher.settle(STOP_WITHIN_S)
        registry = self.fleet_state.registry
        self.account.close(self._clock.now(), time.time(), registry.by_state, registry.confirmed, self.vtn_signal.heard)
        while rows := self.fleet_state.drain():
            self._ports.store.note(rows)
        await self._ports.store.close()
        await self.follower.agreements.close()
        await self._ports.backend.close()
        await self._ports.vtn.close()

    async def _meet_cars(self) -> None:
        """Learn what cars can do, look at those that stay silent, and notice when the enrolments change."""
        patient_until_s = time.monotonic() + SILENT_FOR_S
        failures, missing = 0, await self._learn()
        vehicle_discovery.freeze_fleet()
        while True:
            failures = failures + 1 if missing else 0
            wait_s = back_off_s(failures, self._wake, self._dice.random()) if missing else WATCH_EVERY_S
            await asyncio.sleep(wait_s)
            changed = self._stamps() != self._files
            if changed:
                self._files = self._stamps()
                await self.follower.reread()
            if self.follower.met() or changed or missing:
                missing = await self._learn()
            if time.monotonic() > patient_until_s:
                patient_until_s = math.inf
                await self._look_at_silent()

    def _stamps(self) -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in self._settings.enrolments if path.exists()}

    async def _learn(self) -> bool:
        """Ask once for what is not known; whether a car is still missing. The others do not wait for it."""
        unknown = {ref for ref in self.fleet_state.enrolled() if ref not in self.fleet_state.capabilities}
        found, missing = await vehicle_discovery.capabilities(self._ports.backend, unknown)
        self.fleet_state.learn(found)
        if found or not unknown or self.registered is None:
            self._capacities = {zone: self.fleet_state.capacity(zone) for zone in self.fleet_state.reported}
            self.vtn_signal.ring()
            self.wake_signal.ring()
        return bool(missing)

    async def _look_at_silent(self) -> None:
        silent = [ref for ref in self.fleet_state.capabilities if ref not in self.fleet_state.snapshots]
        for first in range(0, len(silent), CARS_AT_ONCE):
            found, _ = await vehicle_discovery.readings(self._ports.backend, silent[first : first + CARS_AT_ONCE])
            if self.fleet_state.observe(found.values(), self._clock.now()):
                self.wake_signal.ring()

    async def _follow_vtn(self) -> None:
        failures, wake = 0, self._wake
        while True:
            self.vtn_signal.take()
            wait_s = wake.poll_s
            try:
                await self._introduce()
                ven_id = self.registered.ven_id if self.registered is not None else None
                news = await self.vtn_objects.poll(ven_id, self._clock.now(), time.time())
                failures = 0
                await self._heed(news)
            except (VtnRefused, VtnUnreachable) as error:
                failures += 1
                wait_s = back_off_s(failures, wake, self._dice.random())
                _log.warning("the VTN could not be read: %s", error)
            await self.vtn_signal.wait(wait_s)

    async def _introduce(self) -> None:
        """Register what changed; the first time, start to listen."""
        wanted = self._capacities
        if wanted is None:
            return
        first = self.registered is None
        registered = await register(self._ports.vtn, self._settings.client_name, wanted)
        self.registered, self._capacities = registered, None
        _log.info(
            "registered as ven %s with %s", registered.ven_id, ", ".join(wanted) or "no zone that is large enough"
        )
        if first:
            label = f"{self._settings.client_name} {self._settings.part}"[-LONGEST_LABEL:]
            listener = NotificationSource(self._ports.vtn, registered.ven_id, label, self._settings.vtn.ca)
            self._spawn("notifications", lambda: listen(listener, self._wake, self.vtn_signal, self._settings.seed))

    async def _heed(self, news: VtnChanges) -> None:
        """Note what was read; anything new is a reason to plan. Of very much, others' work goes on in between."""
        now, note = self._clock.now(), self._ports.store.note
        first = self.participation.take().items()
        note(FirstProgramRow(payload_type=kind, program_id=one, at=print_at(now)) for kind, one in first)
        for start in range(0, len(news.fresh), EVENTS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            fresh = news.fresh[start : start + EVENTS_AT_ONCE]
            for read in fresh:
                named = version(read.event)
                self.account.read(read.event.id, read.event.modification_date_time, read.real_s)
                self._first_read[named] = read.read_at
                note([RowValues(EventReadRow, {"version": named, "read_at": print_at(read.read_at)})])
            note(self._last_limits.take((read.event for read in fresh), now))
        if news.deleted:
            self._last_limits.forget(self.vtn_objects.known)
        if len(self._first_read) > MOST_VERSIONS:
            live = {version(read.event) for read in self.vtn_objects.events.values()}
            for gone in self._first_read.keys() - live:
                del self._first_read[gone]
        for _ in self.participation.judge():
            await asyncio.sleep(0)
        self.faults.judge(self.participation.findings(now), self.participation.unmet(), self.vtn_objects.left_out)
        self.reporter.tell(self.faults.reports())
        if news:
            self.reporter.plan(now)
            self.wake_signal.ring()

    async def _report(self) -> None:
        failures, wake = 0, self._wake
        while True:
            await asyncio.sleep(REPORT_CHECK_S)
            now = self._clock.now()
            due = self.reporter.next_at(now)
            if self.registered is None or due is None or due > now:
                continue
            try:
                self.account.reports_refused += await self.reporter.pay(now, self._settings.smallest_group)
            except VtnUnreachable as error:
                failures += 1
                _log.warning("reports wait for the VTN: %s", error)
                await asyncio.sleep(back_off_s(failures, wake, self._dice.random()))
                continue
            finally:  # what was posted is remembered, whatever became of the rest
                posted = self.reporter.told()
                self._ports.store.note(posted)
                self.account.reports_sent += len(posted)
            failures = 0

    async def _take_facts(self) -> None:
        while True:
            try:
                await vehicle_discovery.hear(self._ports.backend, self._take, self.group_commit.written)
            except (BackendError, NotWritten) as error:
                self._deaf += 1
                _log.warning("the backend's facts are interrupted: %s", error or type(error).__name__)
            await asyncio.sleep(back_off_s(max(1, self._deaf), self._wake, self._dice.random()))

    def _take(self, event: BackendEvent) -> None:
        self._deaf = 0
        effect = self.fleet_state.take(event, self._clock.now())
        if isinstance(event, DriverChose) and event.vehicle_ref in self.fleet_state.fleet:
            self.account.choices[event.choice.value] += 1
        self._follow(effect)

    def _follow(self, effect: Effect) -> None:
        for ref in effect.release:
            self._release(ref)
        if effect.plan:
            self.wake_signal.ring()

    def _release(self, ref: str) -> None:
        with self.fleet_state.faults.only(ref):
            self._give_back(ref)

    def _give_back(self, ref: str) -> None:
        """Give a car back to its driver at once, or as soon as the call that is under way has come back."""
        car = self.fleet_state.registry.car(ref)
        if car.held is None:
            self._leaving.discard(ref)
            return
        self._leaving.add(ref)
        if not car.calling:
            step = reconcile(None, car, None, self._clock.now(), willing=False)
            self.dispatcher.start(ref, step)
            if step.do is Do.NOTHING:
                self._call_settled(ref)

    def _call_settled(self, ref: str) -> None:
        """Whoever leaves is given back whole: what was replaced is cancelled too, and a failed call is tried again."""
        if ref in self._leaving and not self._stopping.is_set():
            wait_s = back_off_s(LEAVING_PATIENCE, self._wake, self._dice.random())
            asyncio.get_running_loop().call_later(wait_s, self._release, ref)

    def _sent(self, held: DirectiveRecord, real_s: float) -> None:
        directive = held.directive
        event_id = directive.origin.event_id if directive.origin is not None else None
        self.account.sent(event_id, real_s)
        if event_id is not None and (directive.power_w or 0) < 0:
            self.fleet_state.begin_export(directive.vehicle_ref, event_id, self._clock.now())

    async def _steer(self) -> None:
        while True:
            self.wake_signal.take()
            again_at = await self._cycle() if self.vtn_objects.polled and self.fleet_state.capabilities else None
            await asyncio.sleep(1 / self._settings.plans_per_s)
            wait_s = self._wake.poll_s if again_at is None else self._clock.real_seconds_until(again_at)
            await self.wake_signal.wait(wait_s)

    async def _cycle(self) -> datetime:
        """Plan every zone and take up what it decides; when to do so again, unless something wakes us.

        Between zones the loop goes on with what else is to be done: a large fleet's plan takes a part of a second.
        """
        now = self._clock.now()
        while self.fleet_state.registry.age(now, CARS_AT_ONCE):  # noqa: ASYNC110 - work in slices, no waiting
            await asyncio.sleep(0)
        all_orders = []
        for zone in self.fleet_state.zones:
            try:
                all_orders.append(self._order(zone, now))
            except Exception:  # noqa: BLE001 - logged whole; one zone's failure must not leave the others unplanned
                _log.exception("zone %s could not be planned", zone)
            await asyncio.sleep(0)
        self.account.cycles += 1
        self.account.line(
            now, time.time(), {one.zone: one.sample for one in all_orders}, self.fleet_state.registry.by_state
        )
        return self._next(all_orders, now)

    def _order(self, zone: str, now: datetime) -> ZoneResult:
        orders = self.zone_controller.steer(zone, self.participation.heard(zone), now)
        self.step_queue.put(orders.step_source)
        self._work.set()
        self.fleet_state.meter.note(zone, orders.sample)
        self.fleet_state.decisions.take(orders.requests, orders.plan, now)
        self.faults.unknown(orders.requests.unknown)
        for puzzle in orders.requests.unknown:
            self.account.puzzled(puzzle.event_id, puzzle.interval_id, puzzle.payload_type)
        return orders

    async def _carry_out(self) -> None:
        """Take cars' steps as fast as calls come back, so that each rests on what is known when its turn comes."""
        while True:
            await self._work.wait()
            self._work.clear()
            for turns in itertools.count(1):
                await self.dispatcher.room()
                if self._queue is not None:
                    await self._queue.ready()
                turn = self.step_queue.take()
                if turn is None:
                    break
                step_source, place = turn
                with self.fleet_state.faults.only(step_source.ref(place)):
                    if (step := step_source.step(place, self._clock.now())) is not None:
                        self.dispatcher.start(*step)
                if turns % CARS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _catch_up(self) -> None:
        """What an earlier life left: cars that are to be given back are, each once it is known what became of it."""
        fleet_state = self.fleet_state
        for ref in to_give_back(fleet_state, self._clock.now()):
            await self.dispatcher.room()
            self._release(ref)
        await catch_up(fleet_state.registry, self.dispatcher, self._clock, self._wake.first_retry_s, fleet_state.faults)
        await asyncio.Event().wait()

    def _next(self, all_orders: Sequence[ZoneResult], now: datetime) -> datetime:
        cycle_s = now.timestamp() + self._settings.cycle_s
        next_s = min((orders.look_again_s for orders in all_orders), default=cycle_s)
        return max(now + timedelta(seconds=1), datetime.fromtimestamp(min(next_s, cycle_s), UTC))

    async def _remember(self) -> None:
        """Store what changed; a store that is away is tried again and nothing is forgotten."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._ports.store.note(self.fleet_state.drain())
            await self.group_commit.flush()

    async def _forget(self) -> None:
        """Until the VTN was read, any event may still count; what an event that counts rests on is kept."""
        kept, vtn_objects = timedelta(days=self._settings.keep_days), self.vtn_objects
        await forget(self._ports.store, self._clock, kept, lambda: vtn_objects.events if vtn_objects.polled else None)
