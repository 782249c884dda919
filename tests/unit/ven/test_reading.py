"""Readings by schedule: bounded at once, one car's failure is its own, and what is old is no measurement."""

import asyncio
import time as time_of
from datetime import timedelta

from agent_cases import T0, agent, enrolment, fleet_state, snapshot

from ven_adapters.contract import BackendError, Capability, ErrorCode, Reachability, SnapshotsSeen
from vtn.clock import SimulatedClock

PATIENCE_S = 60.0
SPEED = 3_600.0
OLD = timedelta(minutes=21)


class Cars:
    """Cars that tell what they are asked, refuse, or keep their caller waiting."""

    def __init__(self, clock, refuses=None) -> None:
        self.clock, self.refuses = clock, refuses or {}
        self.asked, self.waiting, self.most_waiting = [], 0, 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def snapshot(self, ref, *, max_age_s=None):
        self.asked.append((ref, max_age_s))
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await self.answer.wait()
        finally:
            self.waiting -= 1
        if ref in self.refuses:
            raise self.refuses[ref]
        told = snapshot(self.clock.now())
        return told if ref == "car" else type(told)(ref, soc_pct=told.soc_pct, plugged=told.plugged)


def reading(folder, refs, refuses=None, at_once=32):
    """An agent's reading over so many cars, a minute of theirs in every 17 ms."""
    whole = agent(folder)
    whole.statistics.abandon()
    made = whole.reading
    made.clock = SimulatedClock(T0, time_of.time(), SPEED)
    made.backend, made.at_once = Cars(made.clock, refuses), at_once
    cars = made.participation.fleet_state
    cars.enrol([enrolment(ref) for ref in refs], T0)
    cars.learn(dict.fromkeys(refs, Capability("m", 60_000, 7_000)))
    return made


async def while_reading(made, holds):
    task = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - the reading's own state, watched from outside
                await asyncio.sleep(0.01)
            assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_cars_that_nothing_was_heard_of_are_read_and_taken_in(tmp_path):
    made = reading(tmp_path, ["car", "other"])
    cars = made.participation.fleet_state
    await while_reading(made, lambda: {"car", "other"} <= set(cars.snapshots))
    assert ("car", None) in made.backend.asked
    assert (made.figures()["never"], made.figures()["cars"]) == (0, 2)
    assert made.wake_signal.take()


async def test_no_more_cars_are_asked_at_once_than_may_be(tmp_path):
    refs = [f"car-{number}" for number in range(12)]
    made = reading(tmp_path, refs, at_once=3)
    made.backend.answer.clear()
    await while_reading(made, lambda: made.backend.waiting == 3)
    await while_reading(made, lambda: made.backend.answer.set() or len(made.backend.asked) >= 12)
    assert made.backend.most_waiting == 3


async def test_a_car_that_fails_is_asked_more_and_more_seldom_and_costs_the_others_nothing(tmp_path):
    refuses = {"lost": BackendError(ErrorCode.UNREACHABLE, "x"), "odd": ValueError("no backend may raise this")}
    made = reading(tmp_path, ["car", "lost", "odd"], refuses)
    await while_reading(made, lambda: [ref for ref, _ in made.backend.asked].count("car") >= 8)
    asked = [ref for ref, _ in made.backend.asked]
    assert 1 <= asked.count("lost") < asked.count("car")
    assert 1 <= asked.count("odd") < asked.count("car")
    assert made.figures()["failed"] >= 2


async def test_a_car_that_sleeps_is_known_to_sleep(tmp_path):
    made = reading(tmp_path, ["car"], {"car": BackendError(ErrorCode.ASLEEP, "x")})
    cars = made.participation.fleet_state
    await while_reading(made, lambda: "car" in cars.snapshots)
    assert cars.snapshots["car"].reachability.value is Reachability.ASLEEP
    assert made.figures()["failed"] == 0


def test_power_that_was_read_too_long_ago_is_not_measured():
    cars = fleet_state()
    cars.observe([snapshot(T0)], T0)
    fresh = cars.sample(cars.fleet.view(), T0.timestamp())
    old = cars.sample(cars.fleet.view(), (T0 + OLD).timestamp())
    assert (fresh.measured, fresh.power_kw) == (1, 7.0)
    assert (old.plugged, old.measured, old.power_kw) == (1, 0, 0.0)


def test_what_is_pushed_is_noted_as_such_and_what_is_read_is_not():
    cars = fleet_state()
    row, now_s = cars.fleet.row("car"), T0.timestamp()
    cars.observe([snapshot(T0)], T0)
    assert cars.reads._cars["pushed_s"][row] < now_s
    cars.take(SnapshotsSeen((snapshot(T0),)), T0)
    assert cars.reads._cars["pushed_s"][row] == now_s


async def test_readings_that_a_backend_takes_by_itself_count_against_the_budget_of_the_car(tmp_path):
    made = reading(tmp_path, ["car", "other"])
    looks = {"car": made.settings.readings_per_day, "a stranger": 3}
    made.backend.take_looks = lambda: {ref: looks.pop(ref) for ref in list(looks)}
    cars = made.participation.fleet_state
    await while_reading(made, lambda: "other" in cars.snapshots)
    assert [ref for ref, _ in made.backend.asked] == ["other"]
    assert made.figures()["asked"] == made.settings.readings_per_day + 1
