"""What the engine makes of field faults: clocks that run ahead, coarse powers, pages instead of answers."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from ven_adapters.contract import Ack, ChargeState, DirectiveKind, DirectiveState, ErrorCode, Origin, Reading, Snapshot
from ven_adapters.lifecycle.evidence import ExpectedEffect, newer, power_seen_w, shows_contrary, shows_effect
from ven_adapters.transport.http.problems import parse_problem
from ven_adapters.ven.directives.car_directives import CarDirectives, apply_outcome, apply_time, unblocked
from ven_adapters.ven.directives.lifecycle import apply_ack, apply_telemetry, mark_sent
from ven_adapters.ven.directives.reconcile import MAX_STOPS, Desire, Do, reconcile

NOW = datetime(2026, 7, 2, 4, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)


def seen(power_w, at=LATER, heard=LATER, **more):
    others = {name: Reading(value, at, heard) for name, value in more.items()}
    return Snapshot("car", power_w=Reading(power_w, at, heard), **others)


@pytest.mark.parametrize("ahead_s", [61, 300, 590])
def test_an_observation_from_the_future_proves_and_denies_nothing(ahead_s):
    ahead = seen(0.0, at=LATER + timedelta(seconds=ahead_s))
    assert shows_effect(ExpectedEffect(0.0), ahead, NOW) is None
    assert shows_contrary(ExpectedEffect(None), ahead, NOW) is None


def test_clocks_may_differ_by_a_minute():
    assert shows_effect(ExpectedEffect(0.0), seen(0.0, at=LATER + timedelta(seconds=59)), NOW) is not None


def test_a_coarse_power_is_derived_from_current_and_voltage():
    coarse = seen(2_000.0, current_a=7.0, voltage_v=240.0, phases=1)
    assert power_seen_w(coarse, NOW) == 1_680.0
    assert shows_effect(ExpectedEffect(1_680.0), coarse, NOW) is not None


def test_the_direction_is_that_of_the_power():
    assert power_seen_w(seen(-5_000.0, current_a=22.0, voltage_v=240.0, phases=1), NOW) == -5_280.0


def test_the_meter_wins_where_current_and_power_disagree():
    assert power_seen_w(seen(7_000.0, current_a=0.0, voltage_v=240.0, phases=1), NOW) == 7_000.0


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_page_for_humans_says_nothing_about_a_directive(status):
    assert parse_problem(status, b"<html>gone</html>", writes=True).code is ErrorCode.NOT_SUPPORTED


def test_a_problem_document_still_says_what_is_unknown():
    assert parse_problem(404, b'{"code": "INVALID_REQUEST"}').code is ErrorCode.INVALID_REQUEST


def stopped(times):
    """A car whose charging was stopped and resumed so often since it was plugged in."""
    car = CarDirectives()
    for number in range(times):
        now = NOW + timedelta(minutes=20 * number)
        step = reconcile(stop_at(now), car, None, now)
        if step.do is Do.NOTHING:
            return car, number
        ack = Ack(step.target.directive.directive_id, DirectiveState.ACCEPTED)
        car, _ = apply_outcome(step.car, apply_ack(mark_sent(step.car.held, now), ack, now), now)
        car, _ = apply_time(car, now + timedelta(minutes=10))
    return car, times


def stop_at(now):
    return Desire("car", "z", DirectiveKind.CURTAIL, None, now, now + timedelta(minutes=10), Origin("p", "e", 0))


def test_a_car_is_stopped_a_few_times_and_then_left_to_charge():
    car, number = stopped(12)
    assert number == car.stops == MAX_STOPS


def test_a_car_that_is_held_already_is_not_stopped_anew():
    step = reconcile(stop_at(NOW), CarDirectives(), None, NOW)
    ack = Ack(step.target.directive.directive_id, DirectiveState.ACCEPTED)
    car, _ = apply_outcome(step.car, apply_ack(mark_sent(step.car.held, NOW), ack, NOW), NOW)
    longer = dataclasses.replace(stop_at(NOW), end=NOW + timedelta(hours=2))
    again = reconcile(longer, car, None, NOW + timedelta(minutes=6))
    assert again.do is Do.SUBMIT
    ack = Ack(again.target.directive.directive_id, DirectiveState.ACCEPTED)
    car, _ = apply_outcome(again.car, apply_ack(mark_sent(again.car.held, LATER), ack, LATER), LATER)
    assert car.stops == 1


def test_plugging_in_again_forgets_the_stops():
    car, _ = stopped(3)
    assert (car.stops, unblocked(car, LATER, replugged=True).stops) == (3, 0)


def test_the_evidence_is_that_of_the_newest_confirmation():
    step = reconcile(dataclasses.replace(stop_at(NOW), kind=DirectiveKind.CHARGE), CarDirectives(), None, NOW)
    ack = Ack(step.target.directive.directive_id, DirectiveState.ACCEPTED)
    held = apply_telemetry(apply_ack(mark_sent(step.car.held, NOW), ack, NOW), seen(7_000.0), LATER)
    assert held.evidence == "power_w=7000"
    full_at = LATER + timedelta(minutes=5)
    full = seen(0.0, full_at, full_at, charge_state=ChargeState.COMPLETE)
    held = apply_telemetry(held, full, full_at)
    assert (held.state, held.evidence, held.confirmed_at) == (
        DirectiveState.IN_FORCE,
        "charge_state=COMPLETE",
        full_at,
    )


@pytest.mark.parametrize(("late_h", "counts"), [(0.0, True), (0.9, True), (1.0, False), (7.0, False)])
def test_news_that_came_as_late_as_a_wrong_time_zone_proves_nothing(late_h, counts):
    heard = NOW + timedelta(hours=late_h)
    assert (newer(Reading(0.0, NOW, heard), NOW - timedelta(minutes=1)) is not None) is counts
