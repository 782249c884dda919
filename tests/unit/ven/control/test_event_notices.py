"""Drivers know of an event before it and after it: who is told, when, what, and once."""

import dataclasses
from datetime import timedelta

import pytest
from agent_cases import snapshot
from patience_cases import Steered, capped, later, pause

from ven_adapters.contract import ChargeState, DriverChoice, DriverChose, Known, Reading
from ven_adapters.enrolment_api.webhooks.notices import NoticeType, Readiness
from ven_adapters.ven.control import event_notices
from ven_adapters.ven.control.event_notices import EventNotices

AHEAD, OVER = NoticeType.EVENT_AHEAD, NoticeType.EVENT_OVER


class Told:
    """A zone whose drivers are told, and what they were told so far."""

    def __init__(self, zone, *, lead_s=3600.0, enabled=True, restored=()) -> None:
        self.zone = zone
        self.notices = EventNotices(zone.cars, zone.controller, lead_s, enabled=enabled)
        self.notices.restore(restored)

    def at(self, now):
        """A cycle: the notices that it makes."""
        self.notices.take("bay", self.zone.events, self.zone.at(now), now)
        made = self.notices.drain(1000)
        self.notices.stored(made)
        return list(made.values())


def brief(notices):
    return [(one.type, one.vehicle_ref, one.event_id) for one in notices]


def test_drivers_are_told_an_hour_ahead_and_after_it():
    told = Told(Steered(timezone="America/Los_Angeles"))
    told.zone.events = [pause("evening", later(hours=25), 3)]
    assert told.at(later(hours=23, minutes=55)) == []
    assert told.notices.next_s(later(hours=23, minutes=55).timestamp()) == later(hours=24).timestamp()
    (ahead,) = told.at(later(hours=24))
    assert (ahead.type, ahead.kind) == (AHEAD, "SIMPLE")
    assert (ahead.start, ahead.end) == (later(hours=25), later(hours=28))
    assert ahead.expected_kwh == pytest.approx(21.0)
    assert (ahead.opt_out.path, ahead.skip.path) == ("/v1/cars/car/opt-out", "/v1/cars/car/skip")
    assert ahead.opt_out.body == {"event_id": "evening", "until": later(hours=28).isoformat()}
    assert "from 18:00 to 21:00; opt out with POST /v1/cars/car/opt-out" in ahead.text
    assert [told.at(later(hours=hours)) for hours in (25, 26, 27)] == [[], [], []]
    (over,) = told.at(later(hours=28))
    assert (over.type, over.held_minutes, over.readiness) == (OVER, 180.0, Readiness.IN_TIME)
    assert over.moved_kwh == pytest.approx(21.0)
    assert over.notice_id != ahead.notice_id
    assert told.at(later(hours=29)) == []


def test_an_event_that_is_nearer_or_under_way_is_told_at_once():
    told = Told(Steered())
    told.zone.events = [pause("soon", later(hours=12), 1)]
    assert brief(told.at(later(hours=11, minutes=50))) == [(AHEAD, "car", "soon")]
    told.zone.events.append(pause("now", later(hours=15), 1))
    assert brief(told.at(later(hours=15, minutes=20)))[-1] == (AHEAD, "car", "now")


def test_an_event_that_is_longer_than_was_told_is_told_again_and_one_that_is_taken_back_is_over():
    told = Told(Steered())
    told.zone.events = [pause("one", later(hours=12), 1)]
    (first,) = told.at(later(hours=11))
    told.zone.events = [pause("one", later(hours=12), 2)]
    (second,) = told.at(later(hours=11, minutes=10))
    assert (first.end, second.end) == (later(hours=13), later(hours=14))
    assert first.notice_id != second.notice_id
    told.zone.events = []
    (over,) = told.at(later(hours=11, minutes=20))
    assert (over.type, over.held_minutes, over.moved_kwh) == (OVER, 0.0, 0.0)


def test_only_whoever_will_be_asked_is_told_and_whoever_is_asked_after_all_is_told_then():
    told = Told(Steered("one", "two", "three"))
    told.zone.events = [pause("half", later(hours=12), 2, level=14.0, kind="DISPATCH_SETPOINT")]
    (ahead,) = told.at(later(hours=11))
    told.at(later(hours=12))
    told.zone.cars.take(
        DriverChose(ahead.vehicle_ref, DriverChoice.BOOST, later(hours=12), later(hours=20)), later(hours=12)
    )
    (next_one,) = told.at(later(hours=12, minutes=30))
    assert next_one.type is AHEAD
    assert next_one.vehicle_ref != ahead.vehicle_ref


def test_a_car_that_is_away_is_told_for_it_may_be_at_its_plug_by_then():
    told = Told(Steered())
    told.zone.at(later(hours=9))
    out = dataclasses.replace(
        snapshot(later(hours=10), home=Known.NO, state=ChargeState.UNPLUGGED, power_w=0.0),
        plugged=Reading(Known.NO, later(hours=10), later(hours=10)),
    )
    told.zone.refs = ()
    told.zone.cars.observe([out], later(hours=10))
    told.zone.events = [pause("evening", later(hours=12), 1)]
    (ahead,) = told.at(later(hours=11))
    assert ahead.expected_kwh == pytest.approx(7.0)
    told.at(later(hours=12))
    (over,) = told.at(later(hours=13))
    assert over.held_minutes == 0.0


def test_whose_level_nobody_knows_is_told_without_a_figure():
    zone = Steered()
    zone.refs = ()
    told = Told(zone)
    zone.events = [pause("evening", later(hours=12), 1)]
    (ahead,) = told.at(later(hours=11))
    assert ahead.expected_kwh is None


def test_whose_patience_is_at_an_end_or_who_left_the_event_is_not_told():
    told = Told(Steered(terms=capped(events_per_day=1)))
    told.zone.events = [pause("noon", later(hours=12), 1), pause("evening", later(hours=18), 1)]
    assert [one.event_id for hours in (11, 12, 13, 17, 18, 19) for one in told.at(later(hours=hours))] == ["noon"] * 2
    out = Told(Steered())
    out.zone.events = [pause("noon", later(hours=12), 1)]
    out.zone.cars.leave_out("car", "noon", later(hours=13), later(hours=10))
    assert [one for hours in (11, 12, 13) for one in out.at(later(hours=hours))] == []


def test_intervals_without_a_break_are_one_event_and_a_break_makes_two():
    told = Told(Steered(), lead_s=600.0)
    first, second, third = (pause("day", later(hours=hours), 1) for hours in (12, 13, 16))
    parts = [*first.event.intervals, *second.event.intervals, *third.event.intervals]
    parts = [part.model_copy(update={"id": number}) for number, part in enumerate(parts)]
    told.zone.events = [dataclasses.replace(first, event=first.event.model_copy(update={"intervals": tuple(parts)}))]
    made = [one for half_hours in range(22, 36) for one in told.at(later(minutes=30 * half_hours))]
    assert [(one.type, one.start, one.end, one.held_minutes) for one in made] == [
        (AHEAD, later(hours=12), later(hours=14), None),
        (OVER, later(hours=12), later(hours=14), 120.0),
        (AHEAD, later(hours=16), later(hours=17), None),
        (OVER, later(hours=16), later(hours=17), 60.0),
    ]


def test_a_restarted_adapter_ends_what_an_earlier_one_began_to_tell_and_repeats_nothing():
    zone = Steered()
    told = Told(zone)
    zone.events = [pause("noon", later(hours=12), 2)]
    (ahead,) = told.at(later(hours=11))
    told.at(later(hours=12))
    zone.begin(later(hours=13), zone.stored())
    again = Told(zone, restored=[ahead])
    assert again.at(later(hours=13)) == []
    (over,) = again.at(later(hours=14))
    assert (over.event_id, over.held_minutes) == ("noon", 120.0)
    assert over.start == ahead.start


def test_an_event_that_ended_while_the_adapter_was_dead_is_over_at_its_restart():
    zone = Steered()
    told = Told(zone)
    zone.events = [pause("noon", later(hours=12), 1)]
    (ahead,) = told.at(later(hours=11))
    told.at(later(hours=12))
    zone.begin(later(hours=15), zone.stored())
    (over,) = Told(zone, restored=[ahead]).at(later(hours=15))
    assert (over.type, over.held_minutes) == (OVER, 60.0)


def test_without_an_app_that_takes_notices_none_are_made_and_events_are_finished():
    told = Told(Steered(), enabled=False)
    told.zone.events = [pause("noon", later(hours=12), 1)]
    made = [told.at(later(hours=12) + timedelta(minutes=20 * n)) for n in range(5)]
    assert made == [[]] * 5
    assert told.zone.cars.patience.unfinished == ()


def test_notices_that_nobody_stores_are_bounded(monkeypatch, caplog):
    monkeypatch.setattr(event_notices, "MOST_PENDING", 2)
    told = Told(Steered("one", "two", "three"))
    told.zone.events = [pause("noon", later(hours=12), 1)]
    told.notices.take("bay", told.zone.events, told.zone.at(later(hours=11)), later(hours=11))
    assert len(told.notices.pending) == 2
    assert "a notice to a driver is let go" in caplog.text
