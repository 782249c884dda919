"""The fleet's columns: what is applied, what is ignored, and departures through clock changes."""

import math
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from ven_adapters.contract import (
    Capability,
    ChargeState,
    CurrentControl,
    DischargeControl,
    DriverChoice,
    Known,
    LimitSocControl,
    Reading,
    Snapshot,
    Validity,
)
from ven_adapters.ven.fleet.columns import Charge, Control, Tri
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, FleetColumns, Permission, next_departure, unit_hash
from ven_adapters.ven.planning.car_power import achieved_kw

NOW = datetime(2026, 7, 15, 20, tzinfo=UTC)
WEEK = (time(7, 30),) * 5 + (None, time(9))
CAR = Capability("Leaf", usable_wh=39_000, max_charge_w=6_600)


def enrolment(ref="a", **changed):
    facts = {
        "vehicle_ref": ref,
        "zone": "bay",
        "site_id": "home",
        "timezone": "America/Los_Angeles",
        "ready_by": WEEK,
        "target_soc_pct": 80.0,
        "reserve_soc_pct": 30.0,
        "charging_consent": True,
    }
    return Enrolment(**facts | changed)


def reading(value, *, at=NOW, validity=Validity.OK):
    return Reading(value, at, at + timedelta(seconds=5), validity=validity)


def fleet(*enrolments):
    made = FleetColumns()
    made.enrol(enrolments or [enrolment()])
    return made


def one(made):
    view = made.view()
    assert len(view) == 1
    return {name: getattr(view, name)[0] for name in view.__slots__}


def test_a_car_just_enrolled_is_of_unknown_place_and_level():
    row = one(fleet())
    assert (row["plugged"], row["at_home"], row["charge_state"]) == (Tri.UNKNOWN, Tri.UNKNOWN, Charge.UNKNOWN)
    assert math.isnan(row["soc_pct"])
    assert not row["discharge_consent"]
    assert row["export_limit_kw"] == 0


def test_permission_and_budget_become_columns():
    permission = Permission("IC-1", 7000, NOW + timedelta(days=9))
    made = fleet(
        enrolment(discharge_consent=True, permission=permission, discharge_budget=DischargeBudget(12_000, 600_000))
    )
    row = one(made)
    assert (row["export_limit_kw"], row["event_budget_kwh"], row["year_budget_kwh"]) == (7, 12, 600)
    assert row["interconnected"]
    assert row["permission_until_s"] == (NOW + timedelta(days=9)).timestamp()


def test_cars_of_one_interconnection_agreement_share_its_export_limit():
    papers = {
        "discharge_consent": True,
        "permission": Permission("IC-1", 7000, NOW + timedelta(days=9)),
        "discharge_budget": DischargeBudget(12_000, 600_000, 50.0),
    }
    alone = enrolment("c", **papers | {"permission": Permission("IC-2", 5000, NOW + timedelta(days=9))})
    made = fleet(enrolment("a", **papers), enrolment("b", **papers), alone, enrolment("d"))
    assert made.view().export_limit_kw.tolist() == [3.5, 3.5, 5.0, 0.0]
    made.retire(["b"])
    assert made.view().export_limit_kw[0] == 7.0
    made.enrol([enrolment("b", **papers | {"discharge_consent": False})])
    assert made.view().export_limit_kw[0] == 7.0
    made.enrol([enrolment("b", **papers)])
    assert made.view().export_limit_kw.tolist() == [3.5, 3.5, 5.0, 0.0]


def test_what_was_permitted_and_is_no_more_is_gone():
    made = fleet(enrolment(permission=Permission("IC-1", 7000, NOW), discharge_consent=True))
    made.enrol([enrolment()])
    row = one(made)
    assert (row["export_limit_kw"], row["interconnected"], row["discharge_consent"]) == (0, False, False)


def test_newer_readings_count_and_older_or_unusable_ones_do_not():
    made = fleet()
    made.observe([Snapshot("a", soc_pct=reading(60.0), plugged=reading(Known.YES), power_w=reading(7000.0))])
    made.observe([Snapshot("a", soc_pct=reading(50.0, at=NOW - timedelta(minutes=1)))])
    made.observe([Snapshot("a", soc_pct=reading(255.0, at=NOW + timedelta(minutes=1), validity=Validity.SENTINEL))])
    made.observe([Snapshot("a", power_w=reading(9.0, at=NOW + timedelta(minutes=1), validity=Validity.STALE))])
    made.observe([Snapshot("stranger", soc_pct=reading(10.0))])
    row = one(made)
    assert (row["soc_pct"], row["plugged"], row["power_kw"], row["soc_at_s"]) == (60.0, Tri.YES, 7.0, NOW.timestamp())


def test_plugged_since_is_when_the_plug_was_first_seen():
    made = fleet()
    for minutes, known in ((0, Known.YES), (5, Known.YES), (10, Known.NO), (15, Known.YES), (20, Known.YES)):
        made.observe([Snapshot("a", plugged=reading(known, at=NOW + timedelta(minutes=minutes)))])
    assert one(made)["plugged_since_s"] == (NOW + timedelta(minutes=15)).timestamp()


def test_a_level_in_whole_percent_is_followed_between_its_steps_while_the_battery_gives():
    made = fleet()
    made.learn({"a": CAR})
    doubts = []
    for minute, level, watts in (
        (0, 70.0, -3_000.0),
        (1, 70.0, -3_000.0),
        (9, 70.0, 0.0),
        (10, 69.5, 0.0),
        (20, 69.0, 0.0),
    ):
        at = NOW + timedelta(minutes=minute)
        made.observe([Snapshot("a", soc_pct=reading(level, at=at), power_w=reading(watts, at=at))])
        doubts.append(float(one(made)["doubt_pct"]))
    spent_pct = 3 / 60 / 0.92 / 39 * 100
    assert doubts == pytest.approx([0.0, spent_pct, 0.2, 0.0, 0.0])


def plug(made, minute, known, **more):
    """One reading of the cable, and whether it counts as in."""
    made.observe([Snapshot("a", plugged=reading(known, at=NOW + timedelta(minutes=minute)), **more)])
    return one(made)["plugged"]


def test_a_plug_flag_that_flickers_once_is_no_departure():
    made = fleet()
    assert plug(made, 0, Known.YES) == Tri.YES
    assert plug(made, 1, Known.NO) == Tri.YES
    assert plug(made, 2, Known.YES) == Tri.YES
    made.refresh(NOW + timedelta(minutes=30))
    assert (one(made)["plugged"], one(made)["plugged_since_s"]) == (Tri.YES, NOW.timestamp())


def test_a_cable_that_is_out_in_two_readings_a_minute_apart_is_out():
    made = fleet()
    plug(made, 0, Known.YES)
    assert plug(made, 1, Known.NO) == Tri.YES
    assert plug(made, 1.5, Known.NO) == Tri.YES
    assert plug(made, 2, Known.NO) == Tri.NO


def test_a_cable_that_the_charge_state_says_is_out_is_out_at_once():
    made = fleet()
    plug(made, 0, Known.YES)
    state = reading(ChargeState.UNPLUGGED, at=NOW + timedelta(minutes=1))
    assert plug(made, 1, Known.NO, charge_state=state) == Tri.NO


def test_a_cable_seen_out_by_a_car_that_fell_silent_is_out_after_five_minutes():
    made = fleet()
    plug(made, 0, Known.YES)
    plug(made, 1, Known.NO)
    made.refresh(NOW + timedelta(minutes=5))
    assert one(made)["plugged"] == Tri.YES
    made.refresh(NOW + timedelta(minutes=6))
    assert one(made)["plugged"] == Tri.NO


def test_every_charge_state_has_a_number():
    made = fleet()
    for minute, state in enumerate(ChargeState):
        made.observe([Snapshot("a", charge_state=reading(state, at=NOW + timedelta(minutes=minute)))])
        assert Charge(one(made)["charge_state"]).name == state.name


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        (CAR, {"control": Control.ON_OFF, "can_stop": True, "can_start": True, "max_discharge_kw": 0}),
        (
            Capability("A", 60_000, 7_200, current=CurrentControl(6, 30, 2)),
            {"control": Control.STEPS, "floor_kw": 1.44, "step_kw": 0.48},
        ),
        (
            Capability("A", 60_000, 7_200, current=CurrentControl(8, 30, choices_a=(30, 8, 16))),
            {"control": Control.LEVELS, "floor_kw": 1.92},
        ),
        (Capability("A", 60_000, 7_200, can_set_power=True), {"control": Control.STEPS, "step_kw": 0.001}),
        (
            Capability("A", 60_000, 7_200, can_start=False, can_stop=False, limit_soc=LimitSocControl(50, 100, 10)),
            {"control": Control.TARGET_LEVEL, "level_floor_pct": 50, "can_stop": True, "can_start": True},
        ),
        (Capability("A", 60_000, 7_200, can_resume_after_stop=False), {"can_resume": False}),
        (
            Capability("A", 60_000, 7_200, discharge=DischargeControl("EVSE", 6_000, 1_000)),
            {"max_discharge_kw": 6, "min_discharge_kw": 1},
        ),
    ],
)
def test_a_capability_becomes_columns(capability, expected):
    made = fleet()
    made.learn({"a": capability})
    row = one(made)
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_listed_currents_are_listed_powers():
    made = fleet()
    made.learn({"a": Capability("A", 60_000, 7_200, current=CurrentControl(8, 30, choices_a=(30, 8, 16)))})
    levels_kw = made.view().levels_kw[0]
    assert levels_kw[~np.isnan(levels_kw)] == pytest.approx([1.92, 3.84, 7.2])


def test_every_current_that_a_car_lists_is_used_however_many_there_are_and_whoever_else_lists_fewer():
    listed_a = (6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 32)
    made = fleet(enrolment("a"), enrolment("b"), enrolment("c"))
    made.learn({"b": Capability("B", 60_000, 7_200, current=CurrentControl(8, 30, choices_a=(30, 8, 16)))})
    made.learn({"a": Capability("A", 60_000, 7_680, current=CurrentControl(6, 32, choices_a=listed_a))})
    made.enrol([enrolment("d"), *(enrolment(f"more-{number}") for number in range(100))])
    made.learn({"d": Capability("B", 60_000, 7_200, current=CurrentControl(8, 30, choices_a=(30, 8, 16)))})
    view = made.view()
    for ref, amps in (("a", listed_a), ("b", (8, 16, 30)), ("c", ()), ("d", (8, 16, 30)), ("more-99", ())):
        levels_kw = view.levels_kw[made.row(ref)]
        assert levels_kw[~np.isnan(levels_kw)] == pytest.approx([0.24 * one for one in amps])
    assert view.floor_kw[made.row("a")] == pytest.approx(1.44)
    drawn_kw = achieved_kw(view, np.full(len(view), 2.0), view.max_charge_kw)
    assert drawn_kw[[made.row(ref) for ref in "abd"]] == pytest.approx([1.92, 1.92, 1.92])
    drawn_kw = achieved_kw(view, np.full(len(view), 1.5), view.max_charge_kw)
    assert drawn_kw[[made.row(ref) for ref in "abd"]] == pytest.approx([1.44, 0.0, 0.0])


def test_a_list_without_a_current_that_charges_leaves_a_start_and_a_stop():
    made = fleet()
    made.learn({"a": Capability("A", 60_000, 7_200, current=CurrentControl(6, 30, choices_a=(0, 40)))})
    assert one(made)["control"] == Control.ON_OFF


def test_rows_are_stable_while_the_fleet_grows():
    made = fleet(*(enrolment(f"car-{n}", zone=f"z{n % 3}") for n in range(100)))
    row = made.row("car-42")
    made.observe([Snapshot("car-42", soc_pct=reading(42.0))])
    made.enrol([enrolment(f"more-{n}") for n in range(200)])
    assert made.row("car-42") == row
    assert made.view().soc_pct[row] == 42.0
    assert made.ref(row) == "car-42"
    assert made.view().row.tolist() == list(range(300))


def test_a_zone_has_its_own_enrolled_cars_only():
    made = fleet(enrolment("a"), enrolment("b", zone="hill"), enrolment("c"))
    made.retire(["c"])
    assert [made.ref(row) for row in made.zone("bay").row] == ["a"]
    assert len(made.zone("nowhere")) == 0


def test_a_view_is_a_copy():
    made = fleet()
    view = made.view()
    made.observe([Snapshot("a", soc_pct=reading(60.0))])
    assert math.isnan(view.soc_pct[0])


def test_drivers_choices_are_applied_until_they_end():
    made, until = fleet(), NOW + timedelta(hours=2)
    made.choose("a", DriverChoice.OPT_OUT, until=until)
    made.choose("a", DriverChoice.BOOST, until=None)
    assert (one(made)["opted_out_until_s"], one(made)["boost_until_s"]) == (until.timestamp(), math.inf)
    made.choose("a", DriverChoice.OPT_IN, until=None)
    assert one(made)["opted_out_until_s"] == -math.inf


def test_exports_and_toggles_are_noted():
    made = fleet()
    made.note_export(np.array([0]), np.array([3.5]), np.array([40.0]), np.array([5.0]))
    made.note_toggle(0, NOW, on=True)
    row = one(made)
    assert (row["event_exported_kwh"], row["year_exported_kwh"]) == (3.5, 40.0)
    assert (row["last_toggle_s"], row["told_on"]) == (NOW.timestamp(), True)


@pytest.mark.parametrize(
    ("now", "departure"),
    [
        ("2026-07-15T13:00:00+00:00", "2026-07-15T14:30:00+00:00"),
        ("2026-07-15T14:30:00+00:00", "2026-07-16T14:30:00+00:00"),
        ("2026-07-17T15:00:00+00:00", "2026-07-19T16:00:00+00:00"),
        ("2026-03-07T20:00:00+00:00", "2026-03-08T16:00:00+00:00"),
        ("2026-10-31T20:00:00+00:00", "2026-11-01T17:00:00+00:00"),
    ],
)
def test_the_next_departure_is_local_wall_time(now, departure):
    found = next_departure("America/Los_Angeles", WEEK, datetime.fromisoformat(now))
    assert found == datetime.fromisoformat(departure)


def test_a_wall_time_that_comes_twice_is_the_first_and_one_that_is_skipped_is_still_met():
    daily = (time(1, 30),) * 7
    autumn = next_departure("America/Los_Angeles", daily, datetime(2026, 11, 1, 7, tzinfo=UTC))
    assert autumn == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
    skipped = next_departure("America/Los_Angeles", (time(2, 30),) * 7, datetime(2026, 3, 8, 8, tzinfo=UTC))
    assert skipped == datetime(2026, 3, 8, 10, 30, tzinfo=UTC)


def test_a_driver_without_departures_has_none():
    made = fleet(enrolment(ready_by=(None,) * 7))
    made.refresh(NOW)
    assert one(made)["departure_s"] == math.inf


def test_departures_move_on_when_they_have_passed():
    made = fleet(enrolment("a"), enrolment("b", timezone="America/New_York"))
    made.refresh(NOW)
    assert made.view().departure_s.tolist() == [
        datetime(2026, 7, 16, 14, 30, tzinfo=UTC).timestamp(),
        datetime(2026, 7, 16, 11, 30, tzinfo=UTC).timestamp(),
    ]
    made.refresh(datetime(2026, 7, 16, 12, tzinfo=UTC))
    assert made.view().departure_s[1] == datetime(2026, 7, 17, 11, 30, tzinfo=UTC).timestamp()


def test_a_changed_rhythm_takes_effect():
    made = fleet()
    made.refresh(NOW)
    made.enrol([enrolment(ready_by=(time(6),) * 7)])
    made.refresh(NOW)
    assert one(made)["departure_s"] == datetime(2026, 7, 16, 13, tzinfo=UTC).timestamp()


def test_names_are_spread_evenly_and_for_ever():
    numbers = np.array([unit_hash(f"car-{n}") for n in range(2000)])
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert np.histogram(numbers, bins=10, range=(0, 1))[0].min() > 150
    assert unit_hash("car-1") == unit_hash("car-1")
