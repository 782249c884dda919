"""Cars of one zone in different programs: who is asked what, how a limit is shared, what stays when one is unread."""

import collections
import dataclasses
import itertools
import json

import pytest
from agent_cases import COURSE, enrolment, snapshot
from directive_cases import T0, at
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import Capability, DischargeControl
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.participation import Participation, fleet_state_of
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.openadr.event_faults import EventFaults
from ven_adapters.ven.openadr.payload_types import Dimension
from ven_adapters.ven.openadr.programs import ProgramNames, ProgramSelection
from ven_adapters.ven.openadr.understood_limits import UnderstoodLimits
from ven_adapters.ven.openadr.vtn_objects import LONGEST_VERSION, VtnObjects
from ven_adapters.ven.store.database import LimitRow
from vtn.wire.enumerations import ObjectType

STAMP = T0.isoformat()
CAN = Capability("m", 60_000, 7_000, can_set_power=True, discharge=DischargeControl("EVSE", 7_000))
LIMIT = "IMPORT_CAPACITY_LIMIT"


class Listing:
    """What a VTN lists."""

    def __init__(self, programs=(), events=()) -> None:
        self.programs, self.events = list(programs), list(events)

    async def search(self, kind, **_):
        return {ObjectType.PROGRAM: self.programs, ObjectType.EVENT: self.events}.get(kind, [])

    async def read(self, *_):
        return {}


def program(name, **more):
    return {"id": f"id-{name}", "programName": name, "createdDateTime": STAMP, "modificationDateTime": STAMP, **more}


def requests(name, kind, value, *, units=None, event_id=None, version=STAMP, **more):
    """An event of a program, for two hours."""
    described = [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": kind, "units": units}] if units else None
    return {
        "id": event_id or f"{name}-{kind}",
        "createdDateTime": STAMP,
        "modificationDateTime": version,
        "programID": f"id-{name}",
        "intervalPeriod": {"start": STAMP, "duration": "PT2H"},
        "payloadDescriptors": described,
        "intervals": [{"id": 0, "payloads": [{"type": kind, "values": [value]}]}],
        **more,
    }


def cars(programs_of, names=None):
    """A fleet's state of cars that draw 7 kW each, by the programs that their enrolments name."""
    made = FleetState(T0.timestamp(), {}, 1, names or ProgramNames())
    made.enrol([enrolment(ref, programs=programs) for ref, programs in programs_of.items()], T0)
    made.learn(dict.fromkeys(programs_of, CAN))
    made.observe([dataclasses.replace(snapshot(T0), vehicle_ref=ref) for ref in programs_of], T0)
    return made


async def taking_part(fleet_state, vtn):
    made = Participation(VtnObjects(vtn, lambda _: None), fleet_state, ProgramSelection())
    await made.vtn_objects.poll(None, T0, 0.0)
    made.take()
    return made


async def poll(part, at_s):
    await part.vtn_objects.poll(None, at(at_s), 0.0)
    part.take()


MIXED = {f"a{n}": ("A",) for n in range(6)} | {f"b{n}": ("A", "B") for n in range(2)}


def test_cars_of_one_zone_are_planned_by_their_programs_and_spoken_of_as_one_zone():
    fleet_state = cars(MIXED, ProgramNames(frozenset({"A"})))
    assert fleet_state.zones == ["bay", "bay [A, B]"]
    assert fleet_state.reported == ["bay"]
    assert fleet_state.capacity("bay").max_consumption_kw == pytest.approx(56)
    assert fleet_state.capacity("bay", ["bay [A, B]"]).max_consumption_kw == pytest.approx(14)


async def test_an_ask_is_for_the_cars_that_are_in_its_program():
    vtn = Listing([program("A"), program("B")], [requests("A", "PRICE", 0.11), requests("B", "SIMPLE", 3)])
    fleet_state = cars(MIXED)
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    asked = {zone: zone_controller.steer(zone, part.events_for(zone), at(1)).requests for zone in fleet_state.zones}
    assert (asked["bay [A]"].simple, asked["bay [A]"].price.values.tolist()) == (None, [0.11])
    assert asked["bay [A, B]"].simple.value == 3
    (unused,) = asked["bay [A]"].unused
    assert (unused.event_id, unused.payload_type) == ("B-SIMPLE", "SIMPLE")
    assert "none of those that these cars are enrolled in (A)" in unused.why


async def test_a_limit_of_the_zone_is_shared_by_the_cars_in_its_program_and_never_exceeded():
    vtn = Listing(
        [program("A"), program("B")], [requests("A", LIMIT, 28, units="kW"), requests("B", LIMIT, 7, event_id="small")]
    )
    fleet_state = cars(MIXED)
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    orders = {zone: zone_controller.steer(zone, part.events_for(zone), at(1)) for zone in fleet_state.zones}
    caps = {zone: one.requests.import_cap_kw.value for zone, one in orders.items()}
    assert caps == {"bay [A]": pytest.approx(21), "bay [A, B]": pytest.approx(7)}
    assert sum(one.plan.planned_kw for one in orders.values()) <= 28 + 1e-6


async def test_set_points_and_energies_are_shared_and_levels_and_prices_are_not():
    kinds = {"DISPATCH_SETPOINT": 16, "CHARGE_STATE_SETPOINT": 40, "SIMPLE": 2, "PRICE": 0.2}
    units = {"DISPATCH_SETPOINT": "kW", "CHARGE_STATE_SETPOINT": "kWh"}
    vtn = Listing([program("A")], [requests("A", kind, value, units=units.get(kind)) for kind, value in kinds.items()])
    fleet_state = cars(MIXED)
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    asked = [zone_controller.steer(zone, part.events_for(zone), at(1)).requests for zone in fleet_state.zones]
    assert [one.dispatch_kw.value for one in asked] == [12, 4]
    assert [one.charge_energy_kwh[0].value for one in asked] == [30, 10]
    assert [one.simple.value for one in asked] == [2, 2]
    assert [one.price.values.tolist() for one in asked] == [[0.2], [0.2]]


async def test_cars_that_no_one_enrolled_anywhere_do_not_follow_a_second_tariff():
    tariffs = [requests("A", "PRICE", 0.11), requests("B", "PRICE", 0.55)]
    vtn = Listing([program("A"), program("B", createdDateTime=at(1).isoformat())], tariffs)
    fleet_state = cars({"one": ()})
    part = await taking_part(fleet_state, vtn)
    asked = ZoneController(fleet_state, COURSE).steer("bay", part.events_for("bay"), at(2)).requests
    assert asked.price.values.tolist() == [0.11]
    (unused,) = asked.unused
    assert (unused.event_id, "no setting says that 'B' (id-B) is ours" in unused.why) == ("B-PRICE", True)
    told = [one for one in part.judged(at(2)) if one.unused]
    assert [one.event_id for one in told] == ["B-PRICE"]


async def test_the_parts_of_a_zone_that_are_in_an_events_program_are_known():
    vtn = Listing([program("A"), program("B"), program("C")], [requests(name, "SIMPLE", 1) for name in "ABC"])
    part = await taking_part(cars(MIXED), vtn)
    by_program = {read.event.program_id: part.parts(read.event, "bay") for read in part.vtn_objects.events.values()}
    assert by_program == {"id-A": ["bay [A]", "bay [A, B]"], "id-B": ["bay [A, B]"], "id-C": []}


@pytest.mark.parametrize(
    ("counts", "joined", "counted"),
    [
        ({"A": 20}, {"A"}, {"A"}),
        ({"A": 20, "B": 20}, {"A"}, {"A"}),
        ({"A": 20, "B": 20}, {"A", "B"}, {"A", "B"}),
        ({"A": 20, "A B": 3}, {"A", "A B"}, {"A", "A B"}),
        ({"A": 20, "A B": 3}, {"A B"}, set()),
        ({"A": 20, "A B": 3}, {"A"}, set()),
        ({"A": 6, "A B": 6}, {"A", "A B"}, {"A", "A B"}),
        ({"A": 20, "A B": 3, "B": 20}, {"A", "A B"}, {"A"}),
        ({"A": 20, "A B": 3, "B": 20}, {"A B", "B"}, {"A B", "B"}),
        ({"A": 3}, {"A"}, {"A"}),
    ],
)
def test_no_two_reports_differ_by_fewer_cars_than_the_smallest_group(counts, joined, counted):
    fleet_state = FleetState(T0.timestamp(), {}, 10)
    enrolled = [
        enrolment(f"{name}-{n}", programs=tuple(name.split())) for name, many in counts.items() for n in range(many)
    ]
    fleet_state.enrol(enrolled, T0)
    named = {name: f"bay [{', '.join(name.split())}]" for name in counts}
    assert set(fleet_state.counted_in("bay", {named[name] for name in joined})) == {named[name] for name in counted}


@given(st.dictionaries(st.sampled_from(["A", "B", "C", "A B", "B C", "A B C"]), st.integers(1, 15), min_size=1))
def test_whatever_programs_cars_are_in_reports_differ_by_nobody_or_by_enough(counts):
    fleet_state = FleetState(T0.timestamp(), {}, 10)
    fleet_state.enrol(
        [enrolment(f"{name}-{n}", programs=tuple(name.split())) for name, many in counts.items() for n in range(many)],
        T0,
    )
    cars = {part: len(fleet_state.fleet.zone_rows(part)) for part in fleet_state.zones}
    told = [
        set(fleet_state.counted_in("bay", {part for part in cars if fleet_state.parts[part].programs & {one}}))
        for one in "ABC"
    ]
    told = [parts for parts in told if sum(cars[part] for part in parts) >= 10]
    for first, second in itertools.permutations(told, 2):
        differ = sum(cars[part] for part in first - second)
        assert differ == 0 or differ >= 10


def test_what_settings_say_of_programs_and_limits_reaches_the_cars():
    told = {
        "oem": "bmw",
        "client_name": "bmw",
        "vtn": {"url": "http://127.0.0.1:9", "client_id": "c", "client_secret": "s"},
        "backend": {},
        "var": "var",
        "programs": ["everywhere"],
        "zones": {"bay": {"programs": ["ours"], "fallback_import_kw": 7}, "la": {}},
        "enrolling": {"programs": {"evening": {"kind": "V1G", "openadr": ["summer-evenings"]}, "own": {"kind": "V2G"}}},
    }
    fleet_state = fleet_state_of(AdapterSettings.model_validate_json(json.dumps(told)), T0)
    zones = {"one": ("bay", ()), "two": ("la", ()), "three": ("bay", ("evening", "own"))}
    fleet_state.enrol([enrolment(ref, zone=zone, programs=programs) for ref, (zone, programs) in zones.items()], T0)
    assert fleet_state.groups == {}
    assert {part: set(one.programs) for part, one in fleet_state.parts.items()} == {
        "bay": {"ours"},
        "la": {"everywhere"},
        "bay [own, summer-evenings]": {"own", "summer-evenings"},
    }
    assert fleet_state.limits.kept("bay")[("", Dimension.IMPORT_LIMIT_KW)] == 7
    assert fleet_state.limits.kept("la") == {}


async def test_names_that_no_program_of_the_vtn_has_are_told():
    part = await taking_part(cars(MIXED), Listing([program("A")]))
    assert part.unmet() == ["B"]


async def test_a_car_that_changes_its_programs_is_planned_with_others_from_then_on():
    fleet_state = cars({"one": ("A",), "two": ("A",)})
    fleet_state.amend([enrolment("two", programs=("B",))], (), at(1))
    assert {zone: len(fleet_state.fleet.zone_rows(zone)) for zone in fleet_state.zones} == {"bay [A]": 1, "bay [B]": 1}
    assert fleet_state.meter.known("bay [A]") == 1


# --- limits that are not understood ---------------------------------------------------------------------------------


async def test_a_limit_in_the_units_that_are_met_binds():
    fleet_state = cars({"one": (), "two": ()})
    part = await taking_part(fleet_state, Listing([program("A")], [requests("A", LIMIT, "10", units="kW")]))
    orders = ZoneController(fleet_state, COURSE).steer("bay", part.events_for("bay"), at(1))
    assert orders.requests.import_cap_kw.value == 10
    assert orders.plan.planned_kw <= 10


@pytest.mark.parametrize("change", [{"units": "kWh"}, {"kind": "import_capacity_limit"}, {"value": True}])
async def test_while_a_limit_is_not_understood_the_last_that_was_stays_in_force(change):
    vtn = Listing([program("A")], [requests("A", LIMIT, 5, units="KW", event_id="e")])
    fleet_state = cars({"one": (), "two": ()})
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    assert zone_controller.steer("bay", part.events_for("bay"), at(1)).requests.import_cap_kw.value == 5
    worse = {"kind": LIMIT, "value": 9000, "units": "KW"} | change
    vtn.events = [
        requests("A", worse["kind"], worse["value"], units=worse["units"], event_id="e", version="2030-01-01T00:00:00Z")
    ]
    await poll(part, 60)
    orders = zone_controller.steer("bay", part.events_for("bay"), at(61))
    assert (orders.requests.import_cap_kw.value, orders.requests.import_cap_kw.stands_in) == (5, True)
    assert orders.plan.planned_kw <= 5
    (unknown,) = orders.requests.unknown
    assert "5 kW, the last that was understood or what is set, stays in force" in unknown.why


async def test_without_an_earlier_limit_the_settings_count_and_without_those_none():
    vtn = Listing([program("A")], [requests("A", LIMIT, 5, units="kWh")])
    fleet_state = cars({"one": ()})
    part = await taking_part(fleet_state, vtn)
    assert (
        ZoneController(fleet_state, COURSE).steer("bay", part.events_for("bay"), at(1)).requests.import_cap_kw is None
    )
    fleet_state.limits.set_kw("bay", imports=4.0, exports=None)
    assert (
        ZoneController(fleet_state, COURSE).steer("bay", part.events_for("bay"), at(2)).requests.import_cap_kw.value
        == 4
    )


async def test_the_last_understood_limit_is_stored_when_it_changes_and_taken_up_again():
    vtn = Listing([program("A")], [requests("A", LIMIT, 5, units="KW")])
    fleet_state = cars({"one": ()})
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    for second in range(3):
        zone_controller.steer("bay", part.events_for("bay"), at(second + 1))
    (row,) = [LimitRow(**row.values) for row in fleet_state.drain() if getattr(row, "model", None) is LimitRow]
    assert (row.zone, row.program_id, row.kw) == ("bay", "id-A", 5)
    again = UnderstoodLimits()
    again.restore([row, LimitRow(zone="bay", program_id="id-A", dimension="unheard of", kw=1.0, at=row.at)])
    assert again.kept("bay") == fleet_state.limits.kept("bay") != {}


async def test_a_limit_that_stands_in_binds_cars_that_change_their_programs_too():
    vtn = Listing([program("A"), program("B")], [requests("A", LIMIT, 14, units="kW", event_id="e")])
    fleet_state = cars({f"car-{number}": ("A",) for number in range(4)})
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    zone_controller.steer("bay [A]", part.events_for("bay [A]"), at(1))
    vtn.events = [requests("A", LIMIT, 14, units="kWh", event_id="e", version="2030-01-01T00:00:00Z")]
    await poll(part, 60)
    fleet_state.amend([enrolment(f"car-{number}", programs=("A", "B")) for number in range(2)], (), at(61))
    orders = [zone_controller.steer(zone, part.events_for(zone), at(62)) for zone in fleet_state.zones]
    assert [one.requests.import_cap_kw.value for one in orders] == [7, 7]
    assert sum(one.plan.planned_kw for one in orders) <= 14


async def test_a_limit_that_stands_in_is_not_lifted_by_a_larger_one_of_the_same_program():
    first = requests("A", LIMIT, 5, units="kW", event_id="first", priority=0)
    other = requests("A", LIMIT, 50, units="kW", event_id="other", priority=9)
    vtn, fleet_state = Listing([program("A")], [first, other]), cars({"one": (), "two": ()})
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    zone_controller.steer("bay", part.events_for("bay"), at(1))
    vtn.events = [
        first | requests("A", LIMIT, 5, units="kWh", event_id="first", priority=0, version=at(9).isoformat()),
        other,
    ]
    await poll(part, 60)
    for second in range(61, 66):
        assert zone_controller.steer("bay", part.events_for("bay"), at(second)).requests.import_cap_kw.value == 5
    vtn.events = [other]
    vtn.read = _gone
    await poll(part, 90)
    assert zone_controller.steer("bay", part.events_for("bay"), at(91)).requests.import_cap_kw.value == 50


async def test_a_limit_that_settings_name_is_not_taken_for_one_that_was_understood():
    vtn = Listing([program("A")], [requests("A", LIMIT, 5, units="kWh")])
    fleet_state = cars({"one": ()})
    fleet_state.limits.set_kw("bay", imports=4.0, exports=None)
    part = await taking_part(fleet_state, vtn)
    assert (
        ZoneController(fleet_state, COURSE).steer("bay", part.events_for("bay"), at(1)).requests.import_cap_kw.value
        == 4
    )
    assert list(fleet_state.limits.drain()) == []


async def test_an_event_that_cannot_be_read_any_more_keeps_its_limit_and_is_told():
    payloads = [{"type": LIMIT, "values": [5]}, {"type": "SIMPLE", "values": [3]}]
    good = requests("A", LIMIT, 5, event_id="e", intervals=[{"id": 0, "payloads": payloads}])
    vtn, fleet_state = Listing([program("A")], [good]), cars({"one": (), "two": ()})
    part, zone_controller = await taking_part(fleet_state, vtn), ZoneController(fleet_state, COURSE)
    assert zone_controller.steer("bay", part.events_for("bay"), at(1)).requests.simple is not None
    vtn.events = [good | {"modificationDateTime": at(9).isoformat(), "intervals": "none"}]
    await poll(part, 60)
    asked = zone_controller.steer("bay", part.events_for("bay"), at(61)).requests
    assert (asked.simple, asked.import_cap_kw.value) == (None, 5)
    faults = EventFaults()
    faults.judge(part.judged(at(61)))
    assert faults.alarms[0].startswith("event e is not understood: cannot be read: intervals: ")
    vtn.events = []
    vtn.read = _gone
    await poll(part, 90)
    assert (part.vtn_objects.events, part.judged(at(91))) == ({}, [])


async def _gone(*_):
    from vtn.client import VtnRefused

    raise VtnRefused(404, {"title": "gone"})


async def test_an_event_that_is_over_raises_no_alarm_any_more():
    part = await taking_part(cars({"one": ()}), Listing([program("A")], [requests("A", LIMIT, "ten")]))
    assert [len(one.faults) for one in part.judged(at(7199))] == [1]
    assert part.judged(at(7201)) == []


async def test_an_event_is_judged_again_when_its_version_or_its_programs_descriptors_change():
    vtn = Listing([program("A")], [requests("A", LIMIT, 5)])
    part = await taking_part(cars({"one": ()}), vtn)
    assert [one.faults for one in part.judged(at(1))] == [()]
    described = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": LIMIT, "units": "kWh"}
    vtn.programs = [program("A", payloadDescriptors=[described])]
    await poll(part, 60)
    assert [len(one.faults) for one in part.judged(at(61))] == [1]


async def energy_reported(part, fleet_state, until_s):
    """KWh that a report of the first hour on an event of program A tells."""
    (event,) = [read.event for read in part.vtn_objects.events.values()]
    parts = fleet_state.counted_in("bay", part.parts(event, "bay"))
    return sum(fleet_state.meter.energy(one, T0.timestamp(), at(until_s).timestamp()).imported_kwh for one in parts)


async def test_what_a_zone_has_drawn_stays_reported_when_all_cars_of_a_part_change_their_programs():
    vtn, fleet_state = Listing([program("A"), program("B")], [requests("A", "PRICE", 0.1)]), cars(MIXED)
    part = await taking_part(fleet_state, vtn)
    fleet_state.observe([dataclasses.replace(snapshot(at(1800)), vehicle_ref=ref) for ref in MIXED], at(1800))
    assert await energy_reported(part, fleet_state, 1800) == pytest.approx(8 * 7 / 2)
    fleet_state.amend([enrolment(ref, programs=("A", "B")) for ref in MIXED if ref.startswith("a")], (), at(1801))
    assert fleet_state.zones == ["bay [A, B]"]
    fleet_state.observe([dataclasses.replace(snapshot(at(3600)), vehicle_ref=ref) for ref in MIXED], at(3600))
    assert await energy_reported(part, fleet_state, 3600) == pytest.approx(8 * 7)
    stored = collections.Counter()
    for zone, _, drawn, _ in fleet_state.meter.drain():
        stored[zone] += sum(drawn)
    assert stored == {"bay [A]": 0, "bay [A, B]": pytest.approx(8 * 7_000, abs=1)}


async def test_what_a_car_drew_in_a_zone_that_it_left_is_not_told_of_its_new_zone():
    fleet_state = cars({"one": ("A",), "two": ("A",)})
    fleet_state.observe([dataclasses.replace(snapshot(at(1800)), vehicle_ref=ref) for ref in ("one", "two")], at(1800))
    fleet_state.enrol([enrolment(ref, zone="elsewhere", programs=("A",)) for ref in ("one", "two")], at(1801))
    (zone,) = fleet_state.zones
    assert fleet_state.meter.energy(zone, T0.timestamp(), at(1800).timestamp()).imported_kwh == 0


async def test_what_a_vtn_said_of_events_that_are_gone_is_forgotten_whether_it_could_be_read_or_not():
    vtn = Listing([program("A")])
    vtn.read = _gone
    part = await taking_part(cars({"one": ()}), vtn)
    for number in range(4):
        good = requests("A", "SIMPLE", 1, event_id=f"good-{number}")
        vtn.events = [good, good | {"id": f"bad-{number}", "intervals": "none", "modificationDateTime": "x" * 10_000}]
        await poll(part, number)
        assert set(part.vtn_objects._raw) == {f"good-{number}", f"bad-{number}"} == set(part.vtn_objects.known)
        assert len(part.vtn_objects.unreadable[f"bad-{number}"].version) <= LONGEST_VERSION
