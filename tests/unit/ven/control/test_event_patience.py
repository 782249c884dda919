"""Cars are asked no more often than their drivers agreed to: what counts, when it ends, what outlives a restart."""

from datetime import timedelta

import pytest
from patience_cases import Steered, capped, later, pause

from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.ven.control.zone_control import ASKED_LAST_KWH
from ven_adapters.ven.fleet.event_patience import PatienceTerms
from ven_adapters.ven.fleet.fleet import EventCaps


def test_the_second_event_of_a_day_finds_a_car_free_that_agreed_to_one_and_the_next_days_does_not():
    zone = Steered(terms=capped(events_per_day=1))
    zone.events = [pause("noon", later(hours=12), 1), pause("evening", later(hours=18), 1)]
    zone.events += [pause("tomorrow", later(hours=36), 1)]
    assert zone.held(later(hours=12)) == ["car"]
    zone.at(later(hours=13))
    assert zone.held(later(hours=18)) == []
    assert zone.held(later(hours=36)) == ["car"]


def test_an_event_that_others_interrupt_is_finished_by_a_car_that_is_in_it():
    zone = Steered(terms=capped(events_per_day=1))
    zone.events = [pause("long", later(hours=12), 4)]
    assert zone.held(later(hours=12)) == ["car"]
    short = pause("short", later(hours=13), 1, level=2)
    first = short.event.model_copy(update={"priority": 0})
    zone.events.append(type(short)(first, short.read_at))
    assert zone.held(later(hours=13)) == []
    assert zone.held(later(hours=14)) == ["car"]


def test_a_cap_on_hours_ends_a_hold_at_once_and_the_next_cycle_is_due_then():
    zone = Steered(terms=capped(hours_per_week=2))
    zone.events = [pause("noon", later(hours=12), 4)]
    result = zone.at(later(hours=12))
    assert result.plan.end_s[0] == later(hours=14).timestamp()
    assert zone.at(later(hours=13)).look_again_s == later(hours=14).timestamp()
    assert zone.held(later(hours=13, minutes=59)) == ["car"]
    assert zone.held(later(hours=14)) == []
    zone.events = [pause("sunday", later(days=4, hours=12), 1), pause("monday", later(days=5, hours=12), 1)]
    assert zone.held(later(days=4, hours=12)) == []
    assert zone.held(later(days=5, hours=12)) == ["car"]


def test_hours_of_a_season_are_over_with_the_season():
    zone = Steered(terms=capped(hours_per_season=1))
    zone.events = [
        pause("one", later(hours=12), 1),
        pause("two", later(days=30), 1),
        pause("three", later(days=120), 1),
    ]
    assert zone.held(later(hours=12)) == ["car"]
    zone.at(later(hours=13))
    assert zone.held(later(days=30)) == []
    assert zone.held(later(days=120)) == ["car"]


def test_after_so_many_days_in_a_row_a_car_has_a_day_off():
    zone = Steered(terms=capped(consecutive_days=2))
    zone.events = [pause(f"day-{day}", later(days=day, hours=12), 1) for day in range(6)]
    assert [bool(zone.held(later(days=day, hours=12))) for day in range(6)] == [True, True, False, True, True, False]


def test_a_hold_ends_at_local_midnight_before_a_day_that_would_be_one_too_many():
    zone = Steered(terms=capped(consecutive_days=1), timezone="America/Los_Angeles")
    zone.events = [pause("night", later(hours=6), 4)]  # from 23:00 to 03:00 in California
    assert zone.at(later(hours=6)).plan.end_s[0] == later(hours=7).timestamp()
    assert zone.held(later(hours=7)) == []


def test_days_are_those_of_the_home():
    events = [pause("afternoon", later(hours=23), 0.5), pause("evening", later(hours=25), 0.5)]
    held = {}
    for timezone in ("UTC", "America/Los_Angeles"):
        zone = Steered(terms=capped(events_per_day=1), timezone=timezone)
        zone.events = events
        held[timezone] = [bool(zone.held(at)) for at in (later(hours=23), later(hours=24), later(hours=25))]
    assert held == {"UTC": [True, False, True], "America/Los_Angeles": [True, False, False]}


def test_a_grid_emergency_neither_counts_nor_is_refused():
    zone = Steered(terms=capped(events_per_day=1, hours_per_week=1))
    zone.events = [pause(f"e{n}", later(hours=10 + n), 1, kind="ALERT_GRID_EMERGENCY") for n in range(4)]
    assert [bool(zone.held(later(hours=10 + n))) for n in range(4)] == [True] * 4
    zone.events = [pause("evening", later(hours=18), 1)]
    assert zone.held(later(hours=18)) == ["car"]
    zone.events = [pause("late", later(hours=20), 1, kind="ALERT_GRID_EMERGENCY")]
    zone.at(later(hours=19))
    assert zone.held(later(hours=20)) == ["car"]


def test_a_limit_on_import_is_no_event():
    zone = Steered(terms=capped(events_per_day=1))
    zone.events = [pause("limit", later(hours=8), 2, level=0, kind="IMPORT_CAPACITY_LIMIT")]
    assert zone.at(later(hours=8)).plan.expected_kw.tolist() == [0.0]
    zone.at(later(hours=9))
    zone.events = [pause("noon", later(hours=12), 1)]
    assert zone.held(later(hours=12)) == ["car"]


def test_who_takes_no_part_in_an_event_is_not_asked_by_it():
    zone = Steered(terms=capped(events_per_day=1))
    zone.events = [pause("noon", later(hours=12), 1), pause("evening", later(hours=18), 1)]
    zone.cars.leave_out("car", "noon", later(hours=13), later(hours=11))
    zone.at(later(hours=12))
    zone.at(later(hours=13))
    assert zone.cars.fleet.view().burden_kwh.tolist() == [0.0]
    assert zone.held(later(hours=18)) == ["car"]


def test_an_enrolment_goes_before_its_programmes_and_they_before_the_settings():
    programmes = {
        "soft": EventCaps(events_per_day=1, hours_per_week=8),
        "hard": EventCaps(hours_per_week=5, consecutive_days=3),
    }
    terms = PatienceTerms(EventCaps(events_per_day=2, hours_per_season=40), programmes)
    car = Steered(terms=terms, programs=("soft", "hard")).cars.fleet.enrolment("car")
    assert terms.caps_of(car) == EventCaps(1, 5, 40, 3)
    mine = Steered(programs=("soft", "hard"), patience=EventCaps(hours_per_week=2)).cars.fleet.enrolment("car")
    assert terms.caps_of(mine) == EventCaps(1, 2, 40, 3)
    assert PatienceTerms().caps_of(car) == EventCaps()


@pytest.mark.parametrize(("caps", "free_after_h"), [({"events_per_day": 1}, 6), ({"hours_per_week": 1}, 1)])
def test_what_was_asked_is_known_after_a_restart(caps, free_after_h):
    zone = Steered(terms=capped(**caps))
    zone.events = [pause("noon", later(hours=12), 1), pause("evening", later(hours=12 + free_after_h), 1)]
    assert zone.held(later(hours=12)) == ["car"]
    zone.at(later(hours=13))
    zone.begin(later(hours=13), zone.stored())
    assert zone.held(later(hours=12 + free_after_h)) == []


def test_an_event_that_the_adapter_died_in_went_on_for_its_cars():
    zone = Steered(terms=capped(hours_per_week=3))
    zone.events = [pause("noon", later(hours=12), 2), pause("evening", later(hours=18), 4)]
    assert zone.held(later(hours=12)) == ["car"]
    stored = zone.stored()
    zone.begin(later(hours=17), stored)
    assert zone.at(later(hours=18)).plan.end_s[0] == later(hours=19).timestamp()


def test_what_goes_on_is_stored_when_it_begins_and_ends_and_not_each_cycle():
    zone = Steered()
    zone.events = [pause("noon", later(hours=12), 1)]
    zone.at(later(hours=11))
    zone.stored()
    counts = []
    for minutes in range(0, 65, 5):
        zone.at(later(hours=12, minutes=minutes))
        counts.append(len(zone.stored()))
    assert counts == [1, *[0] * 11, 1]


def test_what_is_planned_ahead_leaves_room_for_what_goes_on_until_then():
    zone = Steered(terms=capped(hours_per_week=1))
    first, second = pause("one", later(hours=12), 1), pause("two", later(hours=13), 1)
    zone.events = [first, second]
    zone.at(later(hours=12))
    ahead = zone.at(later(hours=12, minutes=56))
    assert ahead.step_source.decision.leads
    assert ahead.plan.burden_kw.tolist() == [0.0]


def overriding(zone, day, ref, choice=DriverChoice.OPT_OUT):
    """A day's event, which one car's driver would not have."""
    key, start = f"day-{day}", later(days=day, hours=12)
    zone.events = [pause(key, start, 1)]
    zone.at(start)
    zone.cars.take(DriverChose(ref, choice, start), start + timedelta(minutes=10))
    zone.cars.take(DriverChose(ref, DriverChoice.OPT_IN, start), start + timedelta(minutes=20))
    zone.at(start + timedelta(hours=1))
    zone.cars.patience.finish(key, zone.cars.fleet.zone_rows("bay"))


def often(zone):
    rows = zone.cars.fleet.zone_rows("bay")
    return [zone.cars.fleet.ref(row) for row in rows[zone.cars.patience.often_overrides(rows)].tolist()]


@pytest.mark.parametrize("ref", ["one", "two"])
def test_whoever_overrides_often_is_asked_last(ref):
    zone = Steered("one", "two", terms=PatienceTerms(override_share=0.5, overrides_of=2))
    overriding(zone, 0, ref)
    assert often(zone) == []
    overriding(zone, 1, ref)
    assert often(zone) == [ref]
    zone.begin(later(days=2), zone.stored())
    assert often(zone) == [ref]
    zone.events = [pause("half", later(days=2), 1, level=7.0, kind="DISPATCH_SETPOINT")]
    assert zone.held(later(days=2)) == [{"one": "two", "two": "one"}[ref]]
    assert zone.cars.fleet.view().burden_kwh.max() < ASKED_LAST_KWH


def test_events_that_are_kept_make_up_for_those_that_were_not():
    zone = Steered("one", "two", terms=PatienceTerms(override_share=0.5, overrides_of=2))
    for day, ref in enumerate(["one", "one", "two"]):
        overriding(zone, day, ref)
    assert often(zone) == []
