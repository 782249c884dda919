"""A fault of one car costs one car, a fault of one report one report, and our own impatience is told as what it is."""

import asyncio
import dataclasses
import json
import logging
import time

import pytest
from agent_cases import agent, enrolment, event, fleet_state, snapshot
from directive_cases import T0, accepted, at, desire

from ven_adapters.config import WakeSettings
from ven_adapters.contract import (
    BackendError,
    Capability,
    DirectivesChanged,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Known,
    Reading,
    SnapshotsSeen,
)
from ven_adapters.ven.control.car_steps import StepSource
from ven_adapters.ven.directives import dispatcher
from ven_adapters.ven.directives.car_directives import CarDirectives, CommandBlock
from ven_adapters.ven.directives.directive_rows import row_of
from ven_adapters.ven.directives.reconcile import reconcile
from ven_adapters.ven.fleet.car_faults import AGAIN_EVERY, REMEMBERED, CarFaults
from ven_adapters.ven.openadr.vtn_objects import ReadEvent
from ven_adapters.ven.reporting.schedule import Owed
from vtn.clock import RealClock, SimulatedClock

CARS = [f"car-{number}" for number in range(6)]
ODD = CARS[0]


def poisoned(function, ref_of):
    """The function, but for one car, for which it fails in a way that nobody foresaw."""

    def wrapped(*given, **named):
        if ref_of(*given) == ODD:
            raise ZeroDivisionError(ODD)
        return function(*given, **named)

    return wrapped


async def several(folder):
    """An adapter with six cars that a zone is asked to hold back; its store is open."""
    made = agent(folder)
    made.fleet_state.enrol([enrolment(ref) for ref in CARS], T0)
    made.fleet_state.learn(dict.fromkeys(CARS, Capability("m", 60_000, 7_000)))
    made.fleet_state.observe([dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in CARS], T0)
    await made.ports.store.open()
    return made


async def close(made):
    await made.group_commit.close()
    await made.ports.store.close()
    made.statistics.close(T0, 0.0, {}, 0, ())


async def test_one_car_whose_step_fails_keeps_no_other_from_being_told(tmp_path, monkeypatch):
    made = await several(tmp_path)
    held_back = event("SIMPLE", [3], start=T0.isoformat())
    monkeypatch.setattr(made.vtn_objects, "events_for", lambda _zone: [held_back])
    monkeypatch.setattr(made.vtn_objects, "polled", True)
    monkeypatch.setattr(
        StepSource, "step", poisoned(StepSource.step, lambda step_source, place, _now: step_source.ref(place))
    )
    carrying = asyncio.create_task(made.supervisor.keep_up("carrying out", made.control_loop.carry_out))
    await made.control_loop.cycle()
    async with asyncio.timeout(60):
        while len(made.ports.backend.submitted) < len(CARS) - 1:  # noqa: ASYNC110 - the backend's own record
            await asyncio.sleep(0.01)
    carrying.cancel()
    assert {one.vehicle_ref for one in made.ports.backend.submitted} == set(CARS) - {ODD}
    assert made.fleet_state.faults.count >= 1
    await made.dispatcher.settle(2)
    await close(made)


def test_one_car_that_cannot_grow_older_leaves_the_others_their_time(monkeypatch):
    cars_of = fleet_state()
    for ref in CARS:
        cars_of.registry.put(ref, CarDirectives(accepted(vehicle_ref=ref, end_s=60, directive_id=ref, key=ref)))
    present = cars_of.registry.present
    monkeypatch.setattr(cars_of.registry, "present", poisoned(present, lambda ref, _now: ref))
    cars_of.registry.age(at(7200))
    assert [ref for ref in CARS if cars_of.registry.car(ref).held is None] == CARS[1:]
    assert cars_of.faults.count == 1


def test_one_reading_that_cannot_be_taken_costs_no_other_its_own(monkeypatch):
    cars_of = fleet_state()
    cars_of.enrol([enrolment(ref) for ref in CARS], T0)
    cars_of.learn(dict.fromkeys(CARS, Capability("m", 60_000, 7_000)))
    monkeypatch.setattr(cars_of.meter, "take", poisoned_batch(cars_of.meter.take))
    seen = SnapshotsSeen(tuple(dataclasses.replace(snapshot(T0, soc_pct=42.0), vehicle_ref=ref) for ref in CARS))
    cars_of.take(seen, T0)
    assert all(cars_of.knows(ref) for ref in CARS[1:])
    assert cars_of.faults.count == 1


def test_beside_a_reading_that_cannot_be_taken_a_cable_that_went_in_and_an_alarm_are_seen(monkeypatch):
    cars_of = fleet_state()
    cars_of.enrol([enrolment(ref) for ref in CARS], T0)
    cars_of.learn(dict.fromkeys(CARS, Capability("m", 60_000, 7_000)))
    for ref in CARS:
        refused = CommandBlock("event", DirectiveState.REJECTED, at(7200), until_replug=True)
        cars_of.registry.put(ref, CarDirectives(blocks=(refused,)))
    monkeypatch.setattr(cars_of.meter, "take", poisoned_batch(cars_of.meter.take))
    alarm = Reading(Known.YES, T0, T0)
    seen = [dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in CARS]
    seen[2] = dataclasses.replace(seen[2], der_alarm=alarm)
    assert cars_of.take(SnapshotsSeen(tuple(seen)), T0).plan
    assert [ref for ref in CARS if not cars_of.registry.car(ref).blocks][-5:] == CARS[1:]
    alarmed = dataclasses.replace(snapshot(at(60), der_alarm=Known.YES), vehicle_ref=CARS[3])
    ill = dataclasses.replace(snapshot(at(60)), vehicle_ref=ODD)
    assert cars_of.take(SnapshotsSeen((ill, alarmed)), at(60)).plan


def poisoned_batch(take):
    """`Meter.take`, but for batches with one car, for which it fails."""

    def odd(batch):
        if any(one.vehicle_ref == ODD for one in batch.snapshots):
            raise ZeroDivisionError
        take(batch)

    return odd


def test_one_state_that_cannot_be_taken_costs_no_other_its_own(monkeypatch):
    cars_of = fleet_state()
    for ref in CARS:
        cars_of.registry.put(ref, CarDirectives(accepted(vehicle_ref=ref, directive_id=ref, key=ref)))
    monkeypatch.setattr(
        cars_of.registry, "told", poisoned(cars_of.registry.told, lambda status, _now: status.vehicle_ref)
    )
    told = tuple(DirectiveStatus(ref, ref, DirectiveState.OVERRIDDEN, at(30)) for ref in CARS)
    assert cars_of.take(DirectivesChanged(told), at(31)).plan
    states = {ref: cars_of.registry.car(ref).held for ref in CARS}
    assert [ref for ref, held in states.items() if held is None or held.state is DirectiveState.OVERRIDDEN] == CARS[1:]


def test_one_stored_directive_that_cannot_be_read_keeps_no_other_from_being_taken_up():
    cars_of = fleet_state()
    rows = [row_of(accepted(vehicle_ref=ref, directive_id=ref, key=ref, end_s=3600)) for ref in CARS]
    rows[0].document = json.dumps({"a document": "of a later version"})
    cars_of.registry.restore(rows, [], T0)
    assert sorted(cars_of.registry.unread()) == CARS[1:]
    assert cars_of.faults.count == 1


async def test_one_report_that_cannot_be_made_keeps_back_no_other(tmp_path, monkeypatch):
    made = agent(tmp_path)
    read = ReadEvent(event("SIMPLE", [1]).event, T0, 0.0)
    made.reporter._owed = {key: Owed(key, key, at(number), read, ()) for number, key in enumerate("abc")}
    whole = made.reporter._body

    def odd(owed, *more):
        return 1 / 0 if owed.key == "a" else whole(owed, *more)

    monkeypatch.setattr(made.reporter, "_body", odd)
    monkeypatch.setattr(made.ports.vtn, "taken", 5)
    assert await made.reporter.pay(at(9), 1) == 1
    assert [row.key for row in made.reporter.told()] == ["b", "c"]
    made.statistics.close(T0, 0.0, {}, 0, ())


def test_a_car_that_fails_for_ever_is_logged_now_and_then_and_counted_each_time(caplog):
    faults = CarFaults()
    with caplog.at_level(logging.ERROR):
        for _ in range(AGAIN_EVERY + 1):
            with faults.only("car"):
                raise ValueError
    assert (faults.count, len(caplog.records)) == (AGAIN_EVERY + 1, 2)
    for number in range(2 * REMEMBERED):
        with faults.only(str(number)):
            raise ValueError
    assert len(faults._of) == REMEMBERED


async def test_the_end_of_a_task_is_no_fault_of_a_car():
    faults = CarFaults()
    with pytest.raises(asyncio.CancelledError), faults.only("car"):
        raise asyncio.CancelledError
    assert faults.count == 0


class Silent:
    """A backend that never answers, or whose file itself raises the same error at once."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once

    async def submit(self, *_):
        if self.at_once:
            raise TimeoutError
        await asyncio.Event().wait()

    status = cancel = snapshot = submit


@pytest.mark.parametrize("call", ["submit", "status", "cancel", "snapshot"])
async def test_our_own_patience_ending_is_silence_and_no_defect_of_the_backend(tmp_path, monkeypatch, caplog, call):
    made = await several(tmp_path)
    monkeypatch.setattr(dispatcher, "LONGEST_CALL_S", 0.05)
    with pytest.raises(BackendError) as told:
        await made.dispatcher._answer(getattr(Silent(at_once=False), call)())
    assert told.value.code is ErrorCode.OUTCOME_UNKNOWN
    assert "0.05 s" in str(told.value)
    assert not any(record.exc_info for record in caplog.records)
    with pytest.raises(TimeoutError):
        await made.dispatcher._answer(getattr(Silent(at_once=True), call)())
    await close(made)


async def test_a_command_that_nobody_answered_is_in_doubt_and_its_log_has_no_traceback(tmp_path, monkeypatch, caplog):
    made = await several(tmp_path)
    monkeypatch.setattr(dispatcher, "LONGEST_CALL_S", 0.05)
    monkeypatch.setattr(made.ports.backend, "submit", Silent(at_once=False).submit)
    made.dispatcher.start(ODD, reconcile(dataclasses.replace(desire(), vehicle_ref=ODD), CarDirectives(), None, T0))
    await made.dispatcher.settle(5)
    held = made.fleet_state.registry.car(ODD).held
    assert held is not None
    assert held.in_doubt
    assert not any(record.exc_info for record in caplog.records)
    await close(made)


def test_pauses_follow_the_clock_but_never_hurry_below_half_a_second():
    fast = SimulatedClock(T0, time.time(), 500.0)
    paced = WakeSettings(poll_s=3600.0, first_retry_s=0.1, longest_retry_s=60.0).paced(fast)
    assert (paced.poll_s, paced.first_retry_s, paced.longest_retry_s) == (7.2, 0.1, 0.5)
    assert WakeSettings().paced(RealClock()) == WakeSettings()
