"""Read the cars that are due by `fleet.read_schedule`: those of a backend that does not push, and those gone silent."""

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ven_adapters.config import ReadingSettings
from ven_adapters.contract import BackendError, ErrorCode, Reachability, Reading, ReadingPrice, Snapshot, VehicleBackend
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.fleet.columns import Bools, Ints
from ven_adapters.ven.fleet.read_schedule import ReadNeeds, ReadPlan, ReadSettings, ages, readings_within
from ven_adapters.ven.openadr.notifications import WakeSignal
from vtn.clock import HOUR_S, Clock

PLAN_EVERY_S, SHORTEST_PAUSE_S = 15.0, 0.1
REPLAN_AFTER_S = 15.0
OBSERVED_AT_ONCE = 50
# A zone that will be asked for something within this time has its arrivals looked for as if it were already.
AHEAD_S = HOUR_S

_log = logging.getLogger(__name__)


@runtime_checkable
class LookingBackend(Protocol):
    """A backend that reads cars by itself, to see whether they obey: those readings are paid like ours."""

    def take_looks(self) -> Mapping[str, int]:
        """How many of them the vendor was called for, by car, since this was last taken."""


def read_settings_of(settings: ReadingSettings, price: ReadingPrice) -> ReadSettings:
    """The section [reading] with a price of the automaker's: what the schedule goes by."""
    readings = readings_within(settings.calls_per_car_and_day, settings.usd_per_car_and_month, price)
    return ReadSettings(settings.often_s, settings.arriving_s, settings.plugged_s, settings.seldom_s, readings)


@dataclasses.dataclass(slots=True)
class CarReading:
    """`run` reads what is due until cancelled, at most `at_once` cars at a time.

    A failure costs its own car a longer wait and nothing else. What is read is observed in batches.
    """

    backend: VehicleBackend
    participation: Participation
    zone_controller: ZoneController
    clock: Clock
    wake_signal: WakeSignal
    settings: ReadSettings
    at_once: int
    _found: list[Snapshot] = dataclasses.field(default_factory=list)
    _under_way: set[int] = dataclasses.field(default_factory=set)

    async def run(self) -> None:
        """Until cancelled."""
        self._under_way.clear()
        room = asyncio.Semaphore(self.at_once)
        pause_s = max(PLAN_EVERY_S / float(getattr(self.clock, "speed", 1.0)), SHORTEST_PAUSE_S)
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(pause_s)
                until_s, plan = time.monotonic() + REPLAN_AFTER_S, self.plan()
                for row, max_age_s in zip(plan.row.tolist(), plan.max_age_s.tolist(), strict=True):
                    await room.acquire()
                    if time.monotonic() > until_s:  # what is most urgent may be another car by now
                        room.release()
                        break
                    if row in self._under_way:
                        room.release()
                        continue
                    self._under_way.add(row)
                    reading = group.create_task(self._read(row, None if math.isnan(max_age_s) else int(max_age_s)))
                    reading.add_done_callback(lambda _: room.release())

    def plan(self) -> ReadPlan:
        """The cars that are due now."""
        fleet_state, now = self.participation.fleet_state, self.clock.now()
        fleet, rows, now_s = fleet_state.fleet, fleet_state.met_rows(), now.timestamp()
        fleet.refresh(now)
        self._count_looks(now_s)
        needs = ReadNeeds(
            row=rows,
            u=fleet.read("u", rows),
            plugged=fleet.read("plugged", rows),
            charge_state=fleet.read("charge_state", rows),
            newest_s=fleet_state.newest_s(rows),
            asked=self._asked(rows),
            held=fleet_state.told.begun(rows, now_s),
            unconfirmed_s=fleet_state.told.unconfirmed_s(rows),
        )
        return fleet_state.reads.due(needs, now_s, self.settings)

    def _count_looks(self, now_s: float) -> None:
        """What the backend read by itself counts against its cars' budgets."""
        fleet_state = self.participation.fleet_state
        looks = self.backend.take_looks() if isinstance(self.backend, LookingBackend) else {}
        for ref, count in looks.items():
            row = fleet_state.fleet.find(ref)
            if row is not None:
                fleet_state.reads.note_looks(row, count, now_s)

    def figures(self) -> Mapping[str, Any]:
        """For the adapter's account: how old the newest readings are, and how many were asked for in all."""
        fleet_state, now_s = self.participation.fleet_state, self.clock.now().timestamp()
        rows, reads = fleet_state.met_rows(), fleet_state.reads
        counts = {"asked": reads.asked_in_all, "failed": reads.failed_in_all}
        budget = {"readings_per_car_and_day": self.settings.readings_per_day}
        return ages(fleet_state.newest_s(rows), now_s) | counts | budget

    def _asked(self, rows: Ints) -> Bools:
        """Of these cars, those whose zone is asked for something or soon will be."""
        fleet, now, events_for = self.participation.fleet_state.fleet, self.clock.now(), self.participation.events_for
        busy = [self.zone_controller.expects(zone, events_for(zone), now, AHEAD_S) for zone in fleet.zones]
        return np.asarray(np.array([*busy, False], dtype=np.bool_)[fleet.read("zone", rows)])

    async def _read(self, row: int, max_age_s: int | None) -> None:
        fleet_state = self.participation.fleet_state
        reads, ref = fleet_state.reads, fleet_state.fleet.ref(row)
        reads.note_asked(row, self.clock.now().timestamp())
        try:
            self._found.append(await self.backend.snapshot(ref, max_age_s=max_age_s))
            reads.note_answered(row)
        except BackendError as error:
            now = self.clock.now()
            if error.code is ErrorCode.ASLEEP:
                self._found.append(Snapshot(ref, reachability=Reading(Reachability.ASLEEP, now, now)))
                reads.note_answered(row, asleep=True)
            else:
                reads.note_failed(row, now.timestamp(), wait_s=error.retry_after_s or 0.0)
                _log.debug("a car could not be read: %s", error.code)
        except Exception:  # noqa: BLE001 - one car's failure, of whatever kind, must not keep the others from us
            _log.exception("a car could not be read in a way that no backend may fail")
            reads.note_failed(row, self.clock.now().timestamp())
        finally:
            self._under_way.discard(row)
        if len(self._found) >= OBSERVED_AT_ONCE or not self._under_way:
            self._observe()

    def _observe(self) -> None:
        found, self._found = self._found, []
        if found and self.participation.fleet_state.observe(found, self.clock.now()):
            self.wake_signal.ring()
