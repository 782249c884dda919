"""From a plan to single cars: who needs a look, in which order, and what happens to those who decide meanwhile."""

import dataclasses
from datetime import timedelta

import numpy as np
from agent_cases import COURSE, enrolment, event, snapshot
from directive_cases import T0, accepted, at

from ven_adapters.contract import Capability, ChargeState, DirectiveKind, DirectiveState, DriverChoice
from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.ven.control.car_steps import StepQueue
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.reconcile import Do
from ven_adapters.ven.store.database import BurdenRow, StoredState

REFS = ("one", "two", "three")


def fleet_state(refs=REFS, **more):
    made = FleetState(T0.timestamp(), {}, 1)
    made.enrol([enrolment(ref, **more) for ref in refs], T0)
    made.learn({ref: Capability("m", 60_000, 7_000) for ref in refs})
    made.observe([dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in refs], T0)
    return made


def pause():
    return event("SIMPLE", [3], start=T0.isoformat(), duration="PT2H")


def named(steps):
    return sorted(ref for ref, _ in steps)


def test_a_car_whose_driver_decided_after_the_plan_is_not_asked_by_it():
    cars = fleet_state()
    orders = ZoneController(cars, COURSE).steer("bay", [pause()], T0)
    cars.fleet.choose("two", DriverChoice.OPT_OUT, until=None)
    assert named(orders.steps) == ["one", "three"]


def test_who_must_charge_comes_before_who_is_paused():
    cars = fleet_state()
    low = snapshot(at(1), soc_pct=10.0, power_w=0.0, state=ChargeState.STOPPED)
    cars.observe([dataclasses.replace(low, vehicle_ref="three")], at(1))
    orders = ZoneController(cars, COURSE).steer("bay", [pause()], at(2))
    first, *rest = list(orders.steps)
    assert (first[0], first[1].target.directive.kind) == ("three", DirectiveKind.CHARGE)
    assert {step.target.directive.kind for _, step in rest} == {DirectiveKind.CURTAIL}


def test_a_car_that_charges_as_its_driver_wishes_needs_no_look():
    orders = ZoneController(fleet_state(), COURSE).steer("bay", [], T0)
    assert len(orders.step_source.places) == 0


def test_a_directive_that_was_not_taken_yet_is_looked_at_although_nothing_new_is_wanted():
    cars, zone_controller = fleet_state(), None
    zone_controller = ZoneController(cars, COURSE)
    first = dict(zone_controller.steer("bay", [pause()], T0).steps)
    for ref, step in first.items():
        cars.registry.put(ref, dataclasses.replace(step.car, calling=False), step.ended)
    again = zone_controller.steer("bay", [pause()], at(10))
    assert sorted(cars.fleet.ref(int(again.plan.row[place])) for place in again.step_source.places) == sorted(REFS)
    assert {step.do for _, step in again.steps} == {Do.SUBMIT}


def test_what_time_ended_is_over_before_a_car_is_judged():
    cars = fleet_state(("car",))
    held = accepted(vehicle_ref="car", end_s=100)
    cars.registry.put(
        "car", CarDirectives(dataclasses.replace(held, state=DirectiveState.IN_FORCE, confirmed_once=True))
    )
    step_source = ZoneController(cars, COURSE).steer("bay", [pause()], at(50)).step_source
    step_source.step(int(step_source.places[0]) if len(step_source.places) else 0, at(200))
    assert cars.registry.by_state[DirectiveState.RELEASED] == 1


def test_zones_take_turns_and_a_newer_decision_replaces_what_is_left():
    cars = FleetState(T0.timestamp(), {}, 1)
    refs = [f"{zone}{number}" for zone in "ab" for number in range(3)]
    cars.enrol([enrolment(ref, zone=ref[0]) for ref in refs], T0)
    cars.learn({ref: Capability("m", 60_000, 7_000) for ref in refs})
    cars.observe([dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in refs], T0)
    zone_controller, step_queue = ZoneController(cars, COURSE), StepQueue()
    for zone in "ab":
        step_queue.put(zone_controller.steer(zone, [pause()], T0).step_source)
    assert len(step_queue) == 6
    assert [step_queue.take()[0].decision.zone for _ in range(4)] == ["a", "b", "a", "b"]
    newer = zone_controller.steer("a", [], at(1)).step_source
    step_queue.put(newer)
    assert [step_source.decision.zone for step_source, _ in iter(step_queue.take, None)] == ["b"]
    assert step_queue.take() is None


def test_what_an_event_withholds_is_borne_and_a_new_season_begins_with_nothing():
    cars = fleet_state()
    zone_controller = ZoneController(cars, COURSE)
    for minutes in (0, 30, 60):
        zone_controller.steer("bay", [pause()], T0 + timedelta(minutes=minutes))
    assert cars.fleet.view().burden_kwh.tolist() == [7.0, 7.0, 7.0]
    zone_controller.steer("bay", [], T0 + timedelta(hours=2))
    zone_controller.steer("bay", [], T0 + timedelta(days=120))
    assert cars.fleet.view().burden_kwh.tolist() == [0.0, 0.0, 0.0]


def test_what_was_borne_this_season_is_known_after_a_restart_and_what_was_borne_before_it_is_not():
    cars = fleet_state()
    zone_controller = ZoneController(cars, COURSE)
    for minutes in (0, 30, 60):
        zone_controller.steer("bay", [pause()], T0 + timedelta(minutes=minutes))
    rows = [BurdenRow(**row.values) for row in cars.drain() if getattr(row, "model", None) is BurdenRow]
    assert sorted((row.vehicle_ref, row.kwh) for row in rows) == [(ref, 7.0) for ref in sorted(REFS)]
    assert not [row for row in cars.drain() if getattr(row, "model", None) is BurdenRow]
    for later, borne in ((timedelta(days=1), 7.0), (timedelta(days=120), 0.0)):
        again = fleet_state()
        again.restore(StoredState(burdens=tuple(rows)), T0 + later)
        assert again.fleet.view().burden_kwh.tolist() == [borne] * 3


def test_seasons_are_summer_and_winter():
    days = [T0.replace(month=month) for month in (1, 4, 5, 10, 11)]
    assert [season_of(day) for day in days] == [
        "2025 winter",
        "2025 winter",
        "2026 summer",
        "2026 summer",
        "2026 winter",
    ]


def test_the_order_in_which_cars_and_zones_come_changes_no_cars_plan():
    refs = [f"car-{number}" for number in range(30)]
    told = {}
    for turn, zones in ((refs, ("bay", "hill")), (refs[::-1], ("hill", "bay"))):
        cars = FleetState(T0.timestamp(), {}, 1)
        cars.enrol([enrolment(ref, zone="bay" if int(ref[4:]) % 3 else "hill") for ref in turn], T0)
        cars.learn({ref: Capability("m", 60_000, 7_000) for ref in turn})
        levels = {ref: 40.0 + int(ref[4:]) for ref in turn}
        cars.observe([dataclasses.replace(snapshot(T0, soc_pct=levels[r]), vehicle_ref=r) for r in turn], T0)
        zone_controller, requests = (
            ZoneController(cars, COURSE),
            [event("DISPATCH_SETPOINT", [35.0], start=T0.isoformat())],
        )
        plans = [zone_controller.steer(zone, requests, T0).plan for zone in zones]
        told[turn[0]] = {
            cars.fleet.ref(int(row)): (kind, kw, end_s)
            for made in plans
            for row, kind, kw, end_s in zip(made.row, made.kind, made.expected_kw, made.end_s, strict=True)
        }
    first, second = told.values()
    assert first == second


def test_time_is_let_pass_in_slices_for_the_cars_that_it_changes():
    cars = fleet_state()
    for ref in REFS:
        held = accepted(vehicle_ref=ref, end_s=100, directive_id=ref, key=ref)
        cars.registry.put(
            ref, CarDirectives(dataclasses.replace(held, state=DirectiveState.IN_FORCE, confirmed_once=True))
        )
    assert not cars.registry.age(at(99), 1)
    assert cars.registry.age(at(101), 2)
    assert not cars.registry.age(at(101), 2)
    assert cars.registry.by_state[DirectiveState.RELEASED] == 3
    assert np.array_equal(cars.told.holding(np.arange(3)), [False, False, False])


def test_a_car_that_crawls_although_it_was_told_to_charge_is_looked_at_and_told_again():
    cars = fleet_state(("car",))
    row = cars.fleet.find("car")
    told = accepted(DirectiveKind.CHARGE, vehicle_ref="car", end_s=7_200)
    held = dataclasses.replace(told, state=DirectiveState.IN_FORCE, confirmed_once=True)
    cars.registry.put("car", CarDirectives(held))
    cars.fleet.note_toggle(row, T0, on=True)
    must = event("CHARGE_STATE_SETPOINT", [0.99], start=T0.isoformat(), duration="PT2H")
    controller = ZoneController(cars, COURSE)

    def sent_at(after_s, power_w):
        told = snapshot(at(after_s), power_w=power_w, state=ChargeState.CHARGING)
        cars.observe([dataclasses.replace(told, vehicle_ref="car")], at(after_s))
        return [step.do for _, step in controller.steer("bay", [must], at(after_s + 1)).steps]

    assert sent_at(950, 6_800.0) == []
    assert sent_at(1_000, 1_440.0) == [Do.SUBMIT]


def test_a_car_that_must_charge_and_is_never_seen_to_is_told_again_whatever_its_clock_says():
    cars = fleet_state(("car",), reserve_soc_pct=60.0)  # at 50 %: below its reserve, so it must charge
    told = accepted(DirectiveKind.CHARGE, vehicle_ref="car", end_s=7_200)
    cars.registry.put("car", CarDirectives(told))
    controller = ZoneController(cars, COURSE)

    def steps_at(after_s):
        return [step.do for _, step in controller.steer("bay", [pause()], at(after_s)).steps]

    assert steps_at(1_500) == []
    assert steps_at(1_900) == [Do.SUBMIT]
    proven = dataclasses.replace(told, state=DirectiveState.IN_FORCE, confirmed_once=True)
    cars.registry.put("car", CarDirectives(proven))
    assert steps_at(2_000) == []
