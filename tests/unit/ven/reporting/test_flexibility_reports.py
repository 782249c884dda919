"""When bands, nominations and shortfalls are told: each once, at its time, and a shortfall again only as news."""

import dataclasses
from datetime import timedelta

import pytest
from agent_cases import COURSE, enrolment, event, snapshot
from directive_cases import T0, at

from ven_adapters.contract import Capability, DischargeControl
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.openadr.programs import ProgramSelection
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, VtnObjects
from ven_adapters.ven.reporting.flexibility_reports import FlexibilityReports, announcements

HOUR = timedelta(hours=1)
REFS = tuple(f"car-{number}" for number in range(12))


def read(*, starts_in=timedelta(0), kind="DISPATCH_SETPOINT", values=(-1000,), duration="PT2H"):
    start = (T0 + starts_in).isoformat()
    return ReadEvent(event(kind, list(values), start=start, duration=duration).event, T0, 0.0)


def labels(one, now=T0):
    return [
        (made.label, "band" if made.is_band else "nomination", made.at - T0) for made in announcements(one, now, "s")
    ]


def test_an_event_that_begins_at_once_has_a_band_and_no_nomination():
    assert labels(read()) == [("read", "band", timedelta(0))]


def test_an_event_two_days_ahead_is_announced_a_day_an_hour_and_a_quarter_of_an_hour_before():
    found = labels(read(starts_in=48 * HOUR))
    assert found == [
        ("T-24h", "band", 24 * HOUR),
        ("start", "band", 48 * HOUR),
        ("T-24h", "nomination", 24 * HOUR),
        ("T-60min", "nomination", 47 * HOUR),
        ("T-15min", "nomination", 47 * HOUR + timedelta(minutes=45)),
    ]


def test_what_was_due_before_an_event_was_read_is_told_once_when_it_is_read():
    found = labels(read(starts_in=5 * HOUR))
    nominations = [(label, due) for label, kind, due in found if kind == "nomination"]
    assert nominations == [
        ("T-24h", timedelta(0)),
        ("T-60min", 4 * HOUR),
        ("T-15min", 4 * HOUR + timedelta(minutes=45)),
    ]


def test_an_event_that_is_over_is_not_announced():
    assert labels(read(), now=T0 + 3 * HOUR) == []


class Setting:
    """Twelve cars in one zone, the events of a VTN, and what is told of them."""

    def __init__(self, *reads, smallest=1) -> None:
        self.cars = FleetState(T0.timestamp(), {}, smallest)
        self.cars.enrol([enrolment(ref) for ref in REFS], T0)
        control = DischargeControl("EVSE", 7000)
        self.cars.learn(dict.fromkeys(REFS, Capability("m", 60_000, 7_000, can_set_power=True, discharge=control)))
        self.see(T0)
        objects = VtnObjects(None, lambda _: None)
        objects.events = {one.event.id: one for one in reads}
        self.smallest = smallest
        self.controller = ZoneController(self.cars, COURSE)
        self.participation = Participation(objects, self.cars, ProgramSelection())
        self.reports = FlexibilityReports(self.participation, self.controller, "bmw", "s")
        self.reports.plan(T0)

    def see(self, now, **more):
        self.cars.observe([dataclasses.replace(snapshot(now, **more), vehicle_ref=ref) for ref in REFS], now)

    def cycle(self, now):
        self.controller.steer("bay", self.participation.events_for("bay"), now)
        return [one.body["reportName"] for one in self.due(now)]

    def due(self, now, sent=frozenset()):
        return list(self.reports.due(now, self.smallest, set(sent)))


def test_a_shortfall_is_told_in_the_cycle_that_finds_it_and_not_in_those_after_it():
    rig = Setting(read())
    assert rig.cycle(at(1)) == ["band", "shortfall"]
    for second in range(61, 1200, 60):
        rig.see(at(second))
        assert rig.cycle(at(second)) == []


def test_a_shortfall_is_told_again_when_it_changes_and_when_it_is_over():
    rig = Setting(read(values=(-30,)))
    assert rig.cycle(at(1))[-1] == "shortfall"
    rig.see(at(900), soc_pct=20.0)  # below reserve: cars must charge
    assert rig.cycle(at(901)) == ["shortfall"]
    rig.see(at(1000), soc_pct=90.0, power_w=0.0)
    assert rig.cycle(at(1001)) == []  # within five minutes of the last
    assert rig.cycle(at(1300)) == ["shortfall"]
    assert rig.cycle(at(7300)) == ["shortfall over"]
    assert rig.cycle(at(7400)) == []


def test_changes_that_flap_are_told_five_minutes_apart_at_the_least():
    rig = Setting(read(values=(-30,)))
    told = list(rig.cycle(at(1)))
    for number, second in enumerate(range(60, 3600, 60)):
        rig.see(at(second), soc_pct=20.0 if number % 2 else 60.0)
        told += rig.cycle(at(second))
    assert 2 < told.count("shortfall") <= 3600 / 300 + 1


def test_a_band_that_an_earlier_run_told_is_not_told_again():
    rig, again = Setting(read()), Setting(read())
    for one in (rig, again):
        one.controller.steer("bay", one.participation.events_for("bay"), at(1))
    keys = {one.key for one in rig.due(at(2))}
    assert [one.body["reportName"] for one in again.due(at(3), keys)] == ["shortfall"]


def test_nothing_is_told_of_fewer_cars_than_the_smallest_group():
    rig = Setting(read(), smallest=13)
    assert rig.cycle(at(1)) == []


@pytest.mark.parametrize("kind", ["PRICE", "GHG", "CHARGE_STATE_SETPOINT", "X_PRIVATE"])
def test_what_asks_for_no_load_is_not_answered(kind):
    rig = Setting(read(kind=kind, values=(0.5,)))
    assert rig.cycle(at(1)) == []


def test_a_nomination_is_told_before_the_event_and_counts_cars_that_stay():
    rig = Setting(read(starts_in=HOUR, values=(-30,)))
    rig.controller.steer("bay", rig.participation.events_for("bay"), at(1))
    found = {one.body["reportName"]: one.body for one in rig.due(at(1))}
    assert set(found) == {"band", "nomination T-60min"}
    (shed_kw, feed_kw) = found["nomination T-60min"]["resources"][0]["intervals"][0]["payloads"][0]["values"]
    assert shed_kw > 0
    assert feed_kw >= 0
