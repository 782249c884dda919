"""Desired against held: what is sent, what is kept, what is taken back, and what never happens."""

import dataclasses
from datetime import timedelta

import pytest
from directive_cases import ORIGIN, accepted, at, desire, seen, unplugged
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import (
    Ack,
    BackendError,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    OnCommLoss,
    Reading,
    Snapshot,
)
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.car_directives import (
    CarDirectives,
    apply_outcome,
    apply_time,
    cancel_directive,
    direction,
    unblocked,
)
from ven_adapters.ven.directives.reconcile import MIN_DWELL_S, SENDS_PER_HOUR, Do, directive_key, reconcile

S = DirectiveState
K = DirectiveKind


def act(wanted, car, at_s=0, **more):
    return reconcile(wanted, car, None, at(at_s), **more)


def take(step, at_s=0, error=None):
    """The car after the backend's answer to a submit."""
    out = lifecycle.mark_sent(step.target, at(at_s))
    car = dataclasses.replace(step.car, held=out)
    answer = Ack(out.directive.directive_id, S.ACCEPTED)
    after = (
        lifecycle.apply_ack(out, answer, at(at_s))
        if error is None
        else lifecycle.apply_refusal(out, error, at(at_s), 0.5)
    )
    return apply_outcome(car, after, at(at_s))[0]


def holding(wanted=None, at_s=0):
    return take(act(wanted or desire(), CarDirectives(), at_s), at_s)


def test_a_car_that_holds_nothing_is_told_what_is_wanted():
    step = act(desire(K.CAP, 3500), CarDirectives())
    assert (step.do, step.car.calling) == (Do.SUBMIT, True)
    sent = step.target.directive
    assert (sent.kind, sent.power_w, sent.start, sent.end, sent.not_after) == (K.CAP, 3500, at(0), at(3600), at(3540))
    assert sent.key == directive_key(ORIGIN, "car", sent.revision)


def test_a_car_told_to_charge_that_crawls_is_told_again_twice_and_then_left_to_charge():
    wanted = desire(K.CHARGE, end_s=7 * 3600, crawls=True)
    car, sends, at_s = holding(wanted), 1, 0
    assert act(wanted, car, 899).do is Do.NOTHING
    assert act(dataclasses.replace(wanted, crawls=False), car, 3600).do is Do.NOTHING
    for at_s in range(60, 4 * 3600, 60):
        step = act(wanted, car, at_s)
        if step.do is Do.SUBMIT:
            car, sends = take(step, at_s), sends + 1
        assert car.held.state is not S.FAILED
    assert (sends, car.held.directive.kind) == (3, K.CHARGE)


def test_the_key_is_fixed_by_program_event_interval_vehicle_and_revision():
    keys = {
        directive_key(dataclasses.replace(ORIGIN, interval_id=i), ref, r)
        for i in (0, 1)
        for ref in "ab"
        for r in (1, 2)
    }
    assert len(keys) == 8
    assert directive_key(ORIGIN, "car", 1) == directive_key(ORIGIN, "car", 1)


def test_nothing_wanted_and_nothing_held_is_nothing_to_do():
    assert act(None, CarDirectives()).do is Do.NOTHING


def test_the_same_desire_is_not_sent_again():
    assert act(desire(), holding(), 300).do is Do.NOTHING


def test_a_small_difference_in_power_is_not_worth_a_command():
    car = holding(desire(K.CAP, 3500))
    assert act(desire(K.CAP, 3600), car, 300).do is Do.NOTHING
    assert act(desire(K.CAP, 5000), car, 300).do is Do.SUBMIT


def test_a_newer_desire_replaces_the_older_and_says_so():
    car = holding()
    step = act(desire(K.CHARGE), car, 400)
    assert step.target.directive.supersedes == car.held.directive.directive_id
    assert step.target.directive.revision > car.held.directive.revision
    after, changed = apply_outcome(
        dataclasses.replace(step.car, held=lifecycle.mark_sent(step.target, at(400))),
        lifecycle.apply_ack(lifecycle.mark_sent(step.target, at(400)), Ack("x", S.ACCEPTED), at(401)),
        at(401),
    )
    assert [held.state for held in changed] == [S.ACCEPTED, S.SUPERSEDED]
    assert after.older == ()


def test_a_replacement_that_starts_later_leaves_the_older_in_force_until_then():
    car = take(act(desire(K.CHARGE, start_s=900, end_s=7200), holding(), 600), 600)
    assert [held.state for held in car.older] == [S.ACCEPTED]
    car, ended = apply_time(car, at(900))
    assert (car.older, [held.state for held in ended]) == ((), [S.SUPERSEDED])


def test_a_replacement_that_is_refused_leaves_the_older_to_be_dealt_with():
    held = holding()
    car = take(act(desire(K.CHARGE), held, 400), 400, BackendError(ErrorCode.NOT_SUPPORTED, "x"))
    assert car.held.directive == held.held.directive
    assert act(desire(K.CHARGE), car, 500).do is Do.CANCEL


def test_what_is_no_longer_wanted_is_cancelled():
    car = holding()
    step = act(None, car, 100)
    assert (step.do, step.target) == (Do.CANCEL, car.held)
    after, changed = cancel_directive(step.car, step.target, at(101))
    assert (after.held, [held.state for held in changed]) == (None, [S.CANCELLED])


def test_what_never_left_is_dropped_without_a_call():
    waiting = take(act(desire(), CarDirectives()), 0, BackendError(ErrorCode.RATE_LIMITED, "x", retry_after_s=60.0))
    step = act(None, waiting, 10)
    assert (step.do, step.car.held, [held.state for held in step.ended]) == (Do.NOTHING, None, [S.CANCELLED])


def test_a_retry_waits_for_its_time_and_keeps_its_key():
    waiting = take(act(desire(), CarDirectives()), 0, BackendError(ErrorCode.RATE_LIMITED, "x", retry_after_s=60.0))
    assert act(desire(), waiting, 30).do is Do.NOTHING
    again = act(desire(), waiting, 120)
    assert (again.do, again.target.directive.key) == (Do.SUBMIT, waiting.held.directive.key)


def test_nothing_is_sent_after_its_last_instant():
    assert act(desire(end_s=600), CarDirectives(), 541).do is Do.NOTHING
    waiting = take(
        act(desire(end_s=600), CarDirectives()), 0, BackendError(ErrorCode.RATE_LIMITED, "x", retry_after_s=60.0)
    )
    assert act(desire(end_s=600), waiting, 541).do is Do.NOTHING


def test_an_unknown_outcome_is_read_before_anything_is_sent():
    doubtful = take(act(desire(), CarDirectives()), 0, BackendError(ErrorCode.OUTCOME_UNKNOWN, "x"))
    for wanted in (desire(), desire(K.CHARGE), None):
        assert act(wanted, doubtful, 600).do is Do.READ


def test_one_car_is_never_called_twice_at_once():
    busy = act(desire(), CarDirectives()).car
    assert all(act(wanted, busy, 900).do is Do.NOTHING for wanted in (desire(), desire(K.CHARGE), None))


def test_a_car_that_just_flipped_is_not_flipped_back_unless_mobility_demands():
    car = holding()
    assert act(desire(K.CHARGE), car, MIN_DWELL_S - 1).do is Do.NOTHING
    assert act(desire(K.CHARGE, urgent=True), car, MIN_DWELL_S - 1).do is Do.SUBMIT
    assert act(desire(K.CHARGE), car, MIN_DWELL_S).do is Do.SUBMIT


def test_a_car_given_back_is_not_stopped_again_at_once():
    car = holding()
    step = act(None, car, 400)
    freed, _ = cancel_directive(step.car, step.target, at(401))
    assert act(desire(), freed, 500).do is Do.NOTHING
    assert act(desire(), freed, 702).do is Do.SUBMIT


def test_a_driver_who_took_over_is_left_alone_for_that_event():
    car = holding(desire(ready_by=at(36000)))
    told = DirectiveStatus(car.held.directive.directive_id, "car", S.OVERRIDDEN, Certainty.BACKEND_REPORTED)
    overridden, _ = apply_outcome(car, lifecycle.apply_status(car.held, told, at(500)), at(500))
    for wanted in (desire(), desire(K.CHARGE), desire(start_s=3600, end_s=7200)):
        assert act(wanted, overridden, 600).do is Do.NOTHING
    other = dataclasses.replace(ORIGIN, event_id="other")
    assert act(desire(origin=other), overridden, 1200).do is Do.SUBMIT
    assert unblocked(overridden, at(36001)).blocks == ()


def test_a_refusal_for_good_is_not_repeated_within_its_window():
    refused = take(act(desire(), CarDirectives()), 0, BackendError(ErrorCode.NOT_PERMITTED, "x"))
    assert act(desire(), refused, 600).do is Do.NOTHING
    assert act(desire(K.CHARGE), refused, 600).do is Do.SUBMIT


def test_a_refusal_for_want_of_a_plug_ends_with_the_plug():
    refused = take(act(desire(), CarDirectives()), 0, BackendError(ErrorCode.NOT_PLUGGED, "x"))
    assert act(desire(), refused, 60).do is Do.NOTHING
    assert act(desire(), unblocked(refused, at(60), replugged=True), 60).do is Do.SUBMIT


def interrupted():
    car = holding()
    held = lifecycle.apply_telemetry(car.held, seen(20, power_w=0.0), at(21))
    return dataclasses.replace(car, held=lifecycle.apply_telemetry(held, unplugged(30), at(31)))


def test_what_a_pulled_cable_interrupted_waits_for_the_car_unless_its_driver_left():
    assert act(None, interrupted(), 60).do is Do.NOTHING
    assert act(None, interrupted(), 60, willing=False).do is Do.CANCEL


def contradicted(car, at_s):
    held = lifecycle.apply_telemetry(car.held, seen(at_s, power_w=7000.0), at(at_s))
    return dataclasses.replace(car, held=held)


def test_a_car_that_forgets_is_reminded_twice_and_then_taken_as_overridden():
    car, at_s = holding(), 0
    for _ in range(2):
        confirmed = lifecycle.apply_telemetry(car.held, seen(at_s + 20, power_w=0.0), at(at_s + 21))
        car = contradicted(dataclasses.replace(car, held=confirmed), at_s + 400)
        assert act(desire(), car, at_s + 500).do is Do.NOTHING
        step = act(desire(), car, at_s + 701)
        assert step.do is Do.SUBMIT
        at_s += 701
        car = take(step, at_s)
    confirmed = lifecycle.apply_telemetry(car.held, seen(at_s + 20, power_w=0.0), at(at_s + 21))
    car = contradicted(dataclasses.replace(car, held=confirmed), at_s + 40)
    last = act(desire(end_s=7200), car, at_s + 341)
    assert (last.do, last.ended[0].state) == (Do.CANCEL, S.OVERRIDDEN)


def test_a_car_that_never_obeys_is_told_twice_more_and_then_has_failed():
    car, at_s, states = holding(desire(end_s=36000)), 0, []
    for _ in range(3):
        car = contradicted(car, at_s + 60)
        step = act(desire(end_s=36000), car, at_s + 901)
        states.append((step.do, tuple(held.state for held in step.ended)))
        at_s += 901
        car = take(step, at_s) if step.do is Do.SUBMIT else step.car
    assert states == [(Do.SUBMIT, ()), (Do.SUBMIT, ()), (Do.CANCEL, (S.FAILED,))]


def test_a_cars_commands_per_hour_are_bounded_but_not_those_its_driver_needs():
    busy = CarDirectives(sends=tuple(at(s) for s in range(SENDS_PER_HOUR)))
    assert act(desire(), busy, 60).do is Do.NOTHING
    assert act(desire(K.CHARGE, urgent=True), busy, 60).do is Do.SUBMIT
    assert act(desire(end_s=7200), busy, 3700).do is Do.SUBMIT


def test_discharge_stops_on_a_dead_line_and_is_bounded_in_energy():
    sent = act(desire(K.SETPOINT, -5000, max_energy_wh=4000, reserve_soc_pct=30.0), CarDirectives()).target.directive
    assert (sent.on_comm_loss, sent.max_energy_wh, sent.reserve_soc_pct) == (OnCommLoss.STOP, 4000, 30.0)


def test_the_drivers_settings_are_kept_from_before_the_first_directive():
    before = Snapshot(
        "car",
        limit_soc_pct=Reading(80.0, at(-10), at(-10)),
        charge_state=Reading(ChargeState.CHARGING, at(-10), at(-10)),
    )
    step = reconcile(desire(), CarDirectives(), before, at(0))
    car = take(step)
    later = Snapshot("car", limit_soc_pct=Reading(50.0, at(300), at(300)))
    replaced = reconcile(desire(K.CHARGE), car, later, at(400)).target
    assert (replaced.before.limit_soc_pct, replaced.before.charge_state) == (80.0, ChargeState.CHARGING)


@pytest.mark.parametrize(
    ("kind", "power_w", "expected"),
    [
        (K.CHARGE, None, 1),
        (K.CURTAIL, None, 0),
        (K.CAP, 0, 0),
        (K.CAP, 1500, 1),
        (K.SETPOINT, -1, -1),
        (K.SETPOINT, 0, 0),
        (K.RELEASE, None, 1),
    ],
)
def test_opposite_commands_have_different_directions(kind, power_w, expected):
    assert direction(kind, power_w) == expected


desires = st.one_of(
    st.none(),
    st.builds(
        lambda kind, power_w, start_s, length_s, urgent: desire(
            kind,
            {K.CAP: power_w, K.SETPOINT: -power_w}.get(kind, 0) or None,
            start_s=start_s,
            end_s=start_s + length_s,
            urgent=urgent,
        ),
        st.sampled_from([K.CURTAIL, K.CAP, K.CHARGE, K.SETPOINT]),
        st.sampled_from([1500, 5000]),
        st.integers(0, 1800),
        st.integers(300, 7200),
        st.booleans(),
    ),
)
outcomes = st.sampled_from([None, None, ErrorCode.RATE_LIMITED, ErrorCode.OUTCOME_UNKNOWN, ErrorCode.NOT_PERMITTED])


@given(st.lists(st.tuples(desires, outcomes, st.integers(1, 900), st.booleans()), max_size=20))
@settings(max_examples=150)
def test_no_two_commands_are_ever_in_flight_and_no_flip_beats_the_dwell(moves):
    """Whatever is wanted, whatever comes back and however late: one call at a time, and rest between flips."""
    car, now_s, in_flight, flips = CarDirectives(), 0, None, []
    for wanted, outcome, wait_s, answers in moves:
        now_s += wait_s
        car, _ = apply_time(car, at(now_s))
        step = act(wanted, car, now_s)
        if in_flight is not None:
            assert step.do is Do.NOTHING
        elif step.do is not Do.NOTHING:
            in_flight = step
            if step.do is Do.SUBMIT:
                flips.append((now_s, step.target, car))
        car = step.car if in_flight is None or step.do is not Do.NOTHING else car
        if in_flight is not None and answers:
            car, in_flight = answer(car, in_flight, outcome, now_s), None
    for flipped_s, target, before in flips:
        if before.flipped_at is not None and at(flipped_s) - before.flipped_at < timedelta(seconds=MIN_DWELL_S):
            newest = [one for one in (*before.older, before.held) if one and one.state is not S.REQUESTED]
            now_doing = direction(newest[-1].directive.kind, newest[-1].directive.power_w) if newest else 1
            ends_a_discharge = now_doing < 0
            same = direction(target.directive.kind, target.directive.power_w) == now_doing
            assert target.urgent or same or ends_a_discharge


def answer(car, step, code, now_s):
    """What the backend makes of the call that is in flight."""
    if step.do is Do.CANCEL:
        return cancel_directive(car, step.target, at(now_s))[0]
    if car.held is None or car.held.directive.directive_id != step.target.directive.directive_id:
        return dataclasses.replace(car, calling=False)
    if step.do is Do.READ:
        return apply_outcome(car, lifecycle.mark_never_arrived(car.held, at(now_s)), at(now_s))[0]
    out = lifecycle.mark_sent(car.held, at(now_s))
    if code is None:
        after = lifecycle.apply_ack(out, Ack("x", S.ACCEPTED), at(now_s))
    else:
        after = lifecycle.apply_refusal(out, BackendError(code, "x"), at(now_s), 0.5)
    return apply_outcome(dataclasses.replace(car, held=out), after, at(now_s))[0]


def test_in_force_survives_a_renewal_of_the_window():
    held = accepted(end_s=600)
    car = CarDirectives(held=lifecycle.apply_telemetry(held, seen(20, power_w=0.0), at(21)))
    step = act(desire(end_s=3600), car, 400)
    assert (step.do, step.car.older[0].state) == (Do.SUBMIT, S.IN_FORCE)
