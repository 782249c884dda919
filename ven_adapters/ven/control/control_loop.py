"""Plan every zone whenever something calls for it, and carry out what single cars are to be told, in turn."""

import asyncio
import dataclasses
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from ven_adapters.ven.control.car_steps import StepQueue, ZoneResult
from ven_adapters.ven.control.event_notices import EventNotices
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.directives.dispatcher import Dispatcher
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.openadr.event_faults import EventFaults
from ven_adapters.ven.openadr.notifications import WakeSignal
from vtn.clock import Clock, note_work

CARS_AT_ONCE = 500

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class LoopSettings:
    """`cycle_s` counts in the clock's seconds; `poll_s` and `plans_per_s` in real ones."""

    cycle_s: float
    poll_s: float
    plans_per_s: float


@dataclasses.dataclass(slots=True)
class ControlLoop:
    """`plan_zones` and `carry_out` run side by side. `ready` returns when a call would be taken, wherever calls go."""

    participation: Participation
    zone_controller: ZoneController
    event_notices: EventNotices
    dispatcher: Dispatcher
    statistics: AdapterStatistics
    event_faults: EventFaults
    wake_signal: WakeSignal
    clock: Clock
    settings: LoopSettings
    ready: Callable[[], Awaitable[None]] | None = None
    step_queue: StepQueue = dataclasses.field(default_factory=StepQueue)
    _work: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def plan_zones(self) -> None:
        """From the first reading of the VTN on, or since it is lost: when woken, when a change is due, in time."""
        while True:
            self.wake_signal.take()
            heard = self.participation.vtn_objects.heard_at is not None
            known = heard and self.participation.fleet_state.capabilities
            note_work(self.clock, "planning", under_way=True)
            try:
                again_at = await self.cycle() if known else None
            finally:
                note_work(self.clock, "planning", under_way=False)
            await asyncio.sleep(1 / self.settings.plans_per_s)
            await self._rest_until(again_at)

    async def _rest_until(self, again_at: datetime | None) -> None:
        """Until it is time, by a clock that may go slower meanwhile, or something wakes us."""
        if again_at is None:
            await self.wake_signal.wait(self.settings.poll_s)
            return
        while not self.wake_signal.rung and (wait_s := self.clock.real_seconds_until(again_at)) > 0:
            await self.wake_signal.wait(wait_s)

    async def cycle(self) -> datetime:
        """Plan every zone and take up what it decides; when to do so again, unless something wakes us.

        Between zones the loop goes on with what else is to be done: a large fleet's plan takes a part of a second.
        """
        fleet_state, now = self.participation.fleet_state, self.clock.now()
        while fleet_state.registry.age(now, CARS_AT_ONCE):  # noqa: ASYNC110 - work in slices, no waiting
            await asyncio.sleep(0)
        fleet_state.habits.note_home(now.timestamp())
        results = []
        for zone in fleet_state.zones:
            try:
                results.append(self._plan_zone(zone, now))
            except Exception:  # noqa: BLE001 - logged whole; one zone's failure must not leave the others unplanned
                _log.exception("zone %s could not be planned", zone)
            await asyncio.sleep(0)
        self.statistics.cycles += 1
        self.statistics.take_sent(self.dispatcher.sent)
        samples = {one.zone: one.sample for one in results}
        self.statistics.line(now, time.time(), samples, fleet_state.registry.by_state)
        return self._next_at(results, now)

    def _plan_zone(self, zone: str, now: datetime) -> ZoneResult:
        fleet_state = self.participation.fleet_state
        events = self.participation.events_for(zone)
        result = self.zone_controller.steer(zone, events, now)
        self.step_queue.put(result.step_source)
        self._work.set()
        fleet_state.meter.note(zone, result.sample)
        self.event_notices.take(zone, events, result, now)
        watch = self.zone_controller.flexibility
        able, band = watch.now.get(zone), watch.bands.get(zone)
        fleet_state.decisions.take(result.requests, result.plan, now, able, band)
        self.event_faults.unknown(result.requests.unknown)
        for one in result.requests.unknown:
            self.statistics.puzzled(one.event_id, one.interval_id, one.payload_type)
        return result

    def _next_at(self, results: Sequence[ZoneResult], now: datetime) -> datetime:
        cycle_s = now.timestamp() + self.settings.cycle_s
        notice_s = self.event_notices.next_s(now.timestamp())
        next_s = min((one.look_again_s for one in results), default=cycle_s)
        next_s = min(next_s, notice_s)
        return max(now + timedelta(seconds=1), datetime.fromtimestamp(min(next_s, cycle_s), UTC))

    async def carry_out(self) -> None:
        """Take cars' steps as fast as calls come back, so that each rests on what is known when its turn comes."""
        faults = self.participation.fleet_state.faults
        while True:
            await self._work.wait()
            self._work.clear()
            note_work(self.clock, "carrying out", under_way=True)
            for turns in itertools.count(1):
                await self.dispatcher.room()
                if self.ready is not None:
                    await self.ready()
                turn = self.step_queue.take()
                if turn is None:
                    break
                source, place = turn
                with faults.only(source.ref(place)):
                    if (step := source.step(place, self.clock.now())) is not None:
                        self.dispatcher.start(*step)
                if turns % CARS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            note_work(self.clock, "carrying out", under_way=False)
