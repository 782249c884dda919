"""What batteries gave: by their counters, between counters by their power, and by power alone where there is none."""

import math
from datetime import UTC, datetime, time, timedelta

import pytest

from ven_adapters.contract import Capability, DischargeControl, Reading, Snapshot
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.fleet.discharge_energy import EVENTS_KEPT
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, Permission
from ven_adapters.ven.store.database import ExportRow, StoredState

NOW = datetime(2026, 7, 15, 20, tzinfo=UTC)
PAPERS = {
    "charging_consent": True,
    "discharge_consent": True,
    "permission": Permission("i", 7000, NOW + timedelta(days=30), "UL1741-SB"),
    "discharge_budget": DischargeBudget(12_000, 500_000, 50.0),
}


def fleet_state():
    made = FleetState(NOW.timestamp(), {}, 1)
    made.enrol([Enrolment("car", "bay", "s", "UTC", (time(7),) * 7, 80.0, 30.0, **PAPERS)], NOW)
    made.learn({"car": Capability("m", 60_000, 7_000, discharge=DischargeControl("EVSE", 7000))})
    return made


def sees(made, minute, power_w=None, counter_wh=None):
    """A reading of power or counter; what now counts as given in the event, Wh."""
    at = NOW + timedelta(minutes=minute)
    given = {"power_w": power_w, "energy_exported_wh": counter_wh}
    told = {name: Reading(float(value), at, at) for name, value in given.items() if value is not None}
    made.observe([Snapshot("car", **told)], at)
    return float(made.fleet.view().event_exported_kwh[0]) * 1000


def test_a_counter_is_believed():
    made = fleet_state()
    assert sees(made, 0, counter_wh=5_000) == 0
    assert sees(made, 5, counter_wh=5_400) == pytest.approx(400)


def test_between_two_counters_the_larger_power_of_both_ends_counts_until_the_counter_says_better():
    made = fleet_state()
    sees(made, 0, power_w=0, counter_wh=5_000)
    assert sees(made, 30, power_w=-6_000) == pytest.approx(3_000)
    assert sees(made, 60, power_w=0) == pytest.approx(6_000)
    assert sees(made, 60.5, counter_wh=7_500) == pytest.approx(2_500)


def test_without_a_counter_the_power_is_integrated_rather_too_much_than_too_little():
    made = fleet_state()
    assert sees(made, 0, power_w=0) == 0
    assert sees(made, 10, power_w=-6_000) == pytest.approx(1_000)
    assert sees(made, 20, power_w=-3_000) == pytest.approx(2_000)
    assert sees(made, 30, power_w=7_000) == pytest.approx(2_500)
    assert sees(made, 60, power_w=7_000) == pytest.approx(2_500)


def test_what_is_counted_is_as_fresh_as_the_newest_of_power_and_counter():
    made = fleet_state()
    assert made.fleet.view().exported_at_s[0] == float("-inf")
    sees(made, 3, power_w=0)
    assert made.fleet.view().exported_at_s[0] == (NOW + timedelta(minutes=3)).timestamp()
    sees(made, 4, counter_wh=1)
    assert made.fleet.view().exported_at_s[0] == (NOW + timedelta(minutes=4)).timestamp()


@pytest.mark.parametrize("counters", [(5_000, 5_400), (None, None)])
def test_a_restart_goes_on_from_what_was_counted(counters):
    made, again = fleet_state(), fleet_state()
    sees(made, 0, power_w=-2_400, counter_wh=counters[0])
    before_wh = sees(made, 10, power_w=-2_400, counter_wh=counters[1])
    (noted,) = made.exports.drain()
    assert noted.values["counter_wh"] == counters[1]
    again.restore(StoredState(exports=(ExportRow(**noted.values),)), NOW)
    assert float(again.fleet.view().event_exported_kwh[0]) * 1000 == pytest.approx(before_wh)
    assert before_wh == pytest.approx(400)


def test_another_event_finds_its_budget_whole():
    made = fleet_state()
    sees(made, 0, power_w=-6_000)
    sees(made, 10, power_w=-6_000)
    made.exports.begin_for("car", "another", NOW)
    view = made.fleet.view()
    assert (view.event_exported_kwh[0], view.year_exported_kwh[0]) == (0.0, pytest.approx(1.0))


def test_what_was_given_for_an_event_counts_again_when_the_event_goes_on_after_another_one():
    made = fleet_state()
    sees(made, 0, counter_wh=0)
    made.next_event("bay", "long", NOW)
    assert sees(made, 10, counter_wh=9_000) == pytest.approx(9_000)
    made.next_event("bay", "short", NOW)
    assert sees(made, 20, counter_wh=9_500) == pytest.approx(500)
    made.next_event("bay", "long", NOW)
    assert sees(made, 30, counter_wh=10_000) == pytest.approx(9_500)


def test_events_without_end_take_no_memory_without_end():
    made = fleet_state()
    sees(made, 0, counter_wh=0)
    for number in range(100):
        made.next_event("bay", f"e{number}", NOW)
    assert len(made.exports._before) <= EVENTS_KEPT


def test_a_count_that_is_no_number_changes_no_budget():
    made = fleet_state()
    sees(made, 0, counter_wh=4_000)
    sees(made, 5, counter_wh=math.nan, power_w=math.inf)
    assert sees(made, 10, counter_wh=5_000) == pytest.approx(1_000)
    assert [known.year_wh for known in made.exports.values()] == [pytest.approx(1_000)]


def test_a_counter_that_leaps_takes_no_years_budget_with_it():
    made = fleet_state()
    sees(made, 0, counter_wh=5_000)
    assert sees(made, 10, counter_wh=2**32 - 1, power_w=0) == 0
    sees(made, 20, counter_wh=5_100)
    assert sees(made, 30, counter_wh=5_500) == pytest.approx(400)
