"""Cars that plug in shortly before a change do until then what is asked until then."""

import dataclasses
from datetime import timedelta

import pytest
from agent_cases import snapshot
from patience_cases import Steered, later, pause

from ven_adapters.contract import ChargeState, DirectiveKind, Known, Reading
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.planning.guardrails import Reason

NOON, ENDS = later(hours=12), later(hours=13)


def out(now, ref):
    """A car that is away from its plug."""
    gone = {"plugged": Reading(Known.NO, now, now), "power_w": Reading(0.0, now, now)}
    state = Reading(ChargeState.UNPLUGGED, now, now)
    return dataclasses.replace(snapshot(now), vehicle_ref=ref, charge_state=state, **gone)


def steered(now, zone, *, here, away=()):
    """One cycle in which some cars are at their plugs: what each is told."""
    seen = [dataclasses.replace(snapshot(now), vehicle_ref=ref) for ref in here] + [out(now, ref) for ref in away]
    zone.cars.observe(seen, now)
    result = zone.controller.steer("bay", zone.events, now)
    return result, {ref: step.target.directive for ref, step in result.steps if step.target is not None}


@pytest.fixture
def zone():
    made = Steered("early", "late")
    made.events = [pause("noon", NOON, 1)]
    steered(NOON - timedelta(minutes=30), made, here=["early"], away=["late"])
    return made


def test_who_comes_minutes_before_an_event_ends_is_held_until_it_ends(zone):
    steered(NOON, zone, here=["early"], away=["late"])
    steered(ENDS - timedelta(minutes=6), zone, here=["early"], away=["late"])
    result, told = steered(ENDS - timedelta(minutes=3), zone, here=["early", "late"])
    assert told["late"].kind is DirectiveKind.CURTAIL
    assert told["late"].start == ENDS - timedelta(minutes=3)
    assert told["late"].end == ENDS
    assert told["late"].origin.event_id == "noon"
    late = zone.cars.fleet.find("late")
    assert result.plan.reason[result.plan.row == late] == Reason.SIMPLE_LEVEL


def test_who_was_there_before_is_told_what_comes_next_and_no_more(zone):
    steered(NOON, zone, here=["early", "late"])
    steered(ENDS - timedelta(minutes=6), zone, here=["early", "late"])
    result, told = steered(ENDS - timedelta(minutes=3), zone, here=["early", "late"])
    assert instant(float(result.plan.start_s.min())) == ENDS
    assert all(one.start >= ENDS or one.kind is not DirectiveKind.CURTAIL for one in told.values())


def test_where_nothing_is_asked_now_a_newcomer_is_planned_for_what_begins(zone):
    steered(NOON - timedelta(minutes=6), zone, here=["early"], away=["late"])
    result, _ = steered(NOON - timedelta(minutes=3), zone, here=["early", "late"])
    assert instant(float(result.plan.start_s.min())) == NOON
