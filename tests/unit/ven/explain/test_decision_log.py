"""Why cars are left alone and what zones are asked: each kept once, when it changes."""

import dataclasses
import json

from agent_cases import COURSE, enrolment, event, snapshot
from directive_cases import T0, at

from ven_adapters.contract import Capability, DischargeControl, DriverChoice, Known
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.explain.decision_log import DecisionLog
from ven_adapters.ven.planning.flexibility.shortfall import Obstacle
from ven_adapters.ven.store.database import HistoryRow, ZoneRow

REFS = ("one", "two", "three")
MANY = 2_500


def fleet_state(refs=REFS, **more):
    made = FleetState(T0.timestamp(), {}, 1)
    made.enrol([enrolment(ref, **more) for ref in refs], T0)
    control = DischargeControl("EVSE", 7000)
    made.learn(dict.fromkeys(refs, Capability("m", 60_000, 7_000, can_set_power=True, discharge=control)))
    made.observe([dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in refs], T0)
    return made


def decided(cars, zone_controller, heard, at_s):
    orders = zone_controller.steer("bay", heard, at(at_s))
    cars.decisions.take(orders.requests, orders.plan, at(at_s))
    return list(cars.decisions.drain())


def left_alone(rows):
    found = [(row.values["vehicle_ref"], json.loads(row.values["document"])) for row in rows if row.model is HistoryRow]
    return {ref: (told["reason"], told.get("refusal")) for ref, told in found}


def pause():
    return event("SIMPLE", [3], start=T0.isoformat(), duration="PT2H")


def test_a_car_that_is_left_alone_has_its_reason_kept_once():
    cars = fleet_state()
    cars.fleet.choose("two", DriverChoice.OPT_OUT, until=None)
    zone_controller = ZoneController(cars, COURSE)
    assert left_alone(decided(cars, zone_controller, [pause()], 1)) == {"two": ("OPTED_OUT", None)}
    assert left_alone(decided(cars, zone_controller, [pause()], 61)) == {}
    away = dataclasses.replace(snapshot(at(90), home=Known.NO), vehicle_ref="three")
    cars.observe([away], at(90))
    assert left_alone(decided(cars, zone_controller, [pause()], 121)) == {"three": ("AWAY", None)}


def test_that_nothing_is_asked_any_more_is_kept_too():
    cars = fleet_state()
    zone_controller = ZoneController(cars, COURSE)
    assert left_alone(decided(cars, zone_controller, [pause()], 1)) == {}
    over = left_alone(decided(cars, zone_controller, [], 7200 * 4))
    assert set(over) == set(REFS)
    assert left_alone(decided(cars, zone_controller, [], 7200 * 4 + 60)) == {}


def test_what_a_discharge_lacks_is_kept_while_one_is_asked():
    cars = fleet_state(permission=None)
    heard = [event("DISPATCH_SETPOINT", [-10.0], start=T0.isoformat(), duration="PT2H")]
    found = left_alone(decided(cars, ZoneController(cars, COURSE), heard, 1))
    assert {refusal for _, refusal in found.values()} == {"INTERCONNECTION"}
    assert left_alone(decided(fleet_state(permission=None), ZoneController(cars, COURSE), [pause()], 1)) == {}


def test_what_a_zone_is_asked_is_kept_when_it_changes():
    cars = fleet_state()
    zone_controller = ZoneController(cars, COURSE)
    quiet = [row for row in decided(cars, zone_controller, [], 0) if row.model is ZoneRow]
    asked = [row for row in decided(cars, zone_controller, [pause()], 1) if row.model is ZoneRow]
    same = [row for row in decided(cars, zone_controller, [pause()], 61) if row.model is ZoneRow]
    over = [row for row in decided(cars, zone_controller, [], 121) if row.model is ZoneRow]
    told = json.loads(asked[0].values["document"])
    assert (quiet, len(asked), same, len(over)) == ([], 1, [], 1)
    assert (told["ruling"], told["asks"][0]["event"], told["asks"][0]["value"]) == ("SIMPLE", "e1", 3.0)
    assert json.loads(over[0].values["document"])["asks"] == []


def test_a_whole_fleet_is_handed_over_in_parts_and_nobody_is_left_out():
    refs = [f"car-{number}" for number in range(MANY)]
    cars = fleet_state(refs, charging_consent=False)
    orders = ZoneController(cars, COURSE).steer("bay", [pause()], at(1))
    decisions = DecisionLog(cars.fleet)
    decisions.grow(MANY)
    decisions.take(orders.requests, orders.plan, at(1))
    parts = []
    while part := left_alone(decisions.drain(1_000)):
        parts.append(part)
    assert [len(part) for part in parts] == [1_000, 1_000, 500]
    assert set().union(*parts) == set(refs)


def test_what_a_zone_lacks_is_kept_when_it_is_news_and_not_every_cycle():
    cars = fleet_state()
    zone_controller = ZoneController(cars, COURSE)
    heard = [event("DISPATCH_SETPOINT", [-500], start=T0.isoformat(), duration="PT2H")]

    def kept(at_s):
        orders = zone_controller.steer("bay", heard, at(at_s))
        watch = zone_controller.flexibility
        cars.decisions.take(orders.requests, orders.plan, at(at_s), watch.now["bay"], watch.bands["bay"])
        rows = [row for row in cars.decisions.drain() if row.model is ZoneRow]
        return [json.loads(row.values["document"]) for row in rows]

    (first,) = kept(1)
    assert first["able"]["shortfall_kw"] > 400
    assert {one["obstacle"] for one in first["able"]["binds"]} <= {one.value for one in Obstacle}
    assert len(first["band"]["least_kw"]) == len(first["band"]["most_kw"]) == 96
    assert kept(61) == []
    cars.observe([dataclasses.replace(snapshot(at(90), soc_pct=20.0), vehicle_ref=ref) for ref in REFS], at(90))
    (again,) = kept(121)
    assert again["able"]["binds"][0]["obstacle"] == "RESERVE"
