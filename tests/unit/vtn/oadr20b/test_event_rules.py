"""What a list of events changes for the VEN that we are, and what an event of ours is for VENs of others."""

import dataclasses
from datetime import timedelta

import pytest
from oadr20b_cases import HOUR, NOON, event, signal

from vtn.oadr20b.codec.messages import Code
from vtn.oadr20b.downstream.projection import events_due, listed, mark_sent, project
from vtn.oadr20b.downstream.vens import ServedVen, VenProvision
from vtn.oadr20b.upstream.event_rules import HeldUpEvent, take_list

SETTLED = {"applied": True, "acked": True, "oa3_id": "x1"}


def taken(held, *events, faults=(), now=NOON, opt="optIn"):
    known = {one.event_id: one for one in held}
    return take_list("u1", known, events, faults, request_id="r2", own_ven="ven", opt=opt, now=now)


def held(one=None, **more):
    """An event that our VTN has and the utility knows of."""
    one = one or event()
    parts = {**SETTLED, **more}
    return HeldUpEvent(one.event_id, one.modification, NOON + HOUR, one, **parts)


def test_a_new_event_is_to_be_applied_and_answered():
    (one,) = taken([], event()).held
    assert (one.wanted, one.applied, one.acked, one.opt, one.code) == (True, False, False, "optIn", 200)


def test_a_policy_may_answer_opt_out():
    (one,) = taken([], event(), opt="optOut").held
    assert one.opt == "optOut"


def test_a_higher_modification_replaces_and_keeps_the_event_of_our_vtn():
    (one,) = taken([held()], event(signal(values=(2.0,)), modification=1)).held
    assert (one.modification, one.applied, one.acked, one.oa3_id) == (1, False, False, "x1")


def test_the_same_modification_is_answered_again_and_changes_nothing():
    (one,) = taken([held(opt="optOut")], event()).held
    assert (one.applied, one.acked, one.opt) == (True, False, "optOut")


def test_a_lower_modification_is_out_of_sequence_and_what_is_held_stays():
    changes = taken([held(event(modification=3))], event(modification=2))
    assert changes.held == ()
    (refused,) = changes.refused
    assert (refused.code, refused.modification) == (Code.OUT_OF_SEQUENCE, 2)


def test_what_is_missing_from_the_list_was_cancelled_without_a_word():
    (gone,) = taken([held()]).held
    assert (gone.cancelled, gone.applied, gone.acked) == (True, False, True)


def test_what_is_missing_because_it_ended_was_not_cancelled():
    assert taken([held()], now=NOON + HOUR).held == ()


def test_what_was_missing_and_is_back_is_there_again():
    (gone,) = taken([held()]).held
    (back,) = taken([dataclasses.replace(gone, applied=True, oa3_id=None)], event()).held
    assert (back.cancelled, back.applied) == (False, False)


def test_a_cancelled_event_is_taken_away_and_answered_once():
    (one,) = taken([held()], event(modification=1, status="cancelled")).held
    assert (one.cancelled, one.applied, one.acked) == (True, False, False)
    settled = dataclasses.replace(one, applied=True, acked=True, oa3_id=None)
    (again,) = taken([settled], event(modification=1, status="cancelled")).held
    assert (again.applied, again.acked) == (True, False)


def test_a_cancelled_event_that_was_never_seen_makes_nothing_and_is_answered():
    (one,) = taken([], event(status="cancelled")).held
    assert (one.applied, one.acked, one.wanted) == (True, False, False)


def test_an_event_that_was_cancelled_may_come_back_with_a_higher_modification():
    (one,) = taken([held(event(modification=1), cancelled=True, oa3_id=None)], event(modification=2)).held
    assert (one.wanted, one.applied) == (True, False)


def test_an_event_that_wants_no_answer_gets_none():
    (one,) = taken([], event(response_required="never")).held
    assert one.acked
    (again,) = taken([held(event(response_required="never"))], event(response_required="never")).held
    assert again.acked


def test_of_two_events_the_one_that_cannot_be_mapped_is_opted_out_of_and_the_other_stands():
    good, bad = taken([], event(event_id="good"), event(signal("BID_PRICE", "price"), event_id="bad")).held
    assert (good.code, good.opt, good.wanted) == (200, "optIn", True)
    assert (bad.code, bad.opt, bad.wanted, bad.applied) == (460, "optOut", False, True)


def test_an_event_that_changed_into_what_cannot_be_mapped_is_taken_out_of_our_vtn():
    (one,) = taken([held()], event(signal("BID_PRICE", "price"), modification=1)).held
    assert (one.wanted, one.applied, one.oa3_id) == (False, False, "x1")


def test_an_event_that_cannot_be_read_is_answered_454_and_is_not_missing():
    changes = taken([held()], faults=[("e1", 1, "no signal")])
    assert changes.held == ()
    (refused,) = changes.refused
    assert (refused.code, refused.opt, refused.modification) == (Code.INVALID_DATA, "optOut", 1)


def test_what_is_completed_is_left_to_end():
    assert taken([held()], event(status="completed")).held == ()


# --- events of ours for VENs of others --------------------------------------------------------------------------------


def fresh(one=None):
    one = one or event()
    return {one.event_id: ("x1", one)}


@pytest.fixture
def ven():
    return ServedVen(VenProvision("ven", "depot"))


def put(ven, changes):
    ven.events |= {one.event_id: one for one in changes}
    return changes


def test_a_modification_number_counts_what_the_ven_is_told_and_nothing_else(ven):
    (made,) = put(ven, project(ven.events, fresh(), NOON))
    assert made.modification == 0
    assert project(ven.events, fresh(), NOON) == []
    (changed,) = put(ven, project(ven.events, fresh(event(priority=1)), NOON))
    assert changed.modification == 1


def test_what_is_gone_is_cancelled_until_it_is_answered_or_over(ven):
    put(ven, project(ven.events, fresh(), NOON))
    (gone,) = put(ven, project(ven.events, {}, NOON))
    assert (gone.cancelled, gone.modification) == (True, 1)
    assert project(ven.events, {}, NOON) == []
    assert [one.status for one in listed(ven, NOON)] == ["cancelled"]
    put(ven, [dataclasses.replace(gone, acked=1)])
    assert listed(ven, NOON) == []


def test_what_ended_is_not_cancelled_and_not_told(ven):
    put(ven, project(ven.events, fresh(), NOON))
    assert project(ven.events, {}, NOON + HOUR) == []
    assert listed(ven, NOON + HOUR) == []
    assert project({}, fresh(), NOON + HOUR) == [], "an event that is over is none for a VEN that comes late"


def test_an_event_that_is_back_has_a_higher_number_than_its_cancellation(ven):
    put(ven, project(ven.events, fresh(), NOON))
    put(ven, project(ven.events, {}, NOON))
    (back,) = project(ven.events, fresh(), NOON)
    assert (back.cancelled, back.modification) == (False, 2)


def test_a_list_begins_with_what_is_active_then_by_priority_then_by_start(ven):
    later = event(signal(start=NOON + HOUR), event_id="later", priority=1)
    later = dataclasses.replace(later, start=NOON + HOUR)
    ones = [event(event_id="none"), event(event_id="second", priority=2), event(event_id="first", priority=1), later]
    put(ven, project(ven.events, {one.event_id: ("x", one) for one in ones}, NOON))
    assert [one.event_id for one in listed(ven, NOON)] == ["first", "second", "none", "later"]
    assert [one.event_id for one in listed(ven, NOON, 2)] == ["first", "second"]


def test_what_was_sent_is_due_again_when_it_changed_or_was_not_answered_in_time(ven):
    put(ven, project(ven.events, fresh(), NOON))
    assert events_due(ven, NOON, 0.0, 30.0)
    mark_sent(ven, listed(ven, NOON), 0.0)
    assert not events_due(ven, NOON, 29.0, 30.0)
    assert events_due(ven, NOON, 30.0, 30.0)
    put(ven, [dataclasses.replace(one, acked=0) for one in ven.events.values()])
    assert not events_due(ven, NOON, 3_000.0, 30.0)
    put(ven, project(ven.events, fresh(event(priority=1)), NOON))
    assert events_due(ven, NOON, 3_000.0, 30.0)


def test_an_event_that_wants_no_answer_is_sent_once(ven):
    put(ven, project(ven.events, fresh(event(response_required="never")), NOON))
    mark_sent(ven, listed(ven, NOON), 0.0)
    assert not events_due(ven, NOON, 3_000.0, 30.0)


def test_a_registration_is_cancelled_once_and_not_the_one_that_followed(ven):
    from vtn.oadr20b.downstream.vens import VenRegistration

    ven.registration = VenRegistration("reg", NOON)
    ven.provision = dataclasses.replace(ven.provision, cancelled_at=NOON + HOUR)
    assert ven.cancel_due
    ven.registration = VenRegistration("reg-2", NOON + 2 * HOUR)
    assert not ven.cancel_due
    ven.registration = VenRegistration(None, NOON + timedelta(0))
    assert not ven.cancel_due
