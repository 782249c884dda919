"""The life of one directive: which steps exist, what confirms, what fails, what ends it."""

import dataclasses

import pytest
from directive_cases import accepted, at, paused, seen, sent, unplugged
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import (
    METER,
    BackendError,
    Capability,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Reading,
    Snapshot,
    Validity,
)
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.lifecycle import MAX_ATTEMPTS
from ven_adapters.ven.directives.reconcile import Do, reconcile
from vtn.clock import still_waits

S = DirectiveState


def test_an_acknowledgement_says_nothing_about_the_car():
    held = accepted()
    assert (held.state, held.certainty) == (S.ACCEPTED, Certainty.ACCEPTED)


def test_a_pause_is_in_force_once_newer_telemetry_shows_no_power():
    held = lifecycle.apply_telemetry(accepted(at_s=10), seen(20, power_w=0.0), at(21))
    assert (held.state, held.certainty, held.confirmed_at) == (S.IN_FORCE, Certainty.VEHICLE_OBSERVED, at(20))
    assert held.evidence == "power_w=0"


@pytest.mark.parametrize("observed_s", [0, 9, 10])
def test_telemetry_that_is_not_newer_than_the_send_confirms_nothing(observed_s):
    held = accepted(at_s=10)
    assert lifecycle.apply_telemetry(held, seen(observed_s, power_w=0.0), at(30)) is held


def test_telemetry_before_the_window_confirms_nothing():
    held = accepted(at_s=0, start_s=600)
    assert lifecycle.apply_telemetry(held, seen(300, power_w=0.0), at(301)) is held


@pytest.mark.parametrize("validity", [Validity.STALE, Validity.SENTINEL])
def test_readings_that_are_not_ok_confirm_nothing(validity):
    held = accepted()
    unsure = Snapshot("car", power_w=Reading(0.0, at(20), at(20), validity=validity))
    assert lifecycle.apply_telemetry(held, unsure, at(21)) is held


CONFIRMS = [
    (DirectiveKind.CURTAIL, None, paused(), 100.0, True),
    (DirectiveKind.CURTAIL, None, paused(), 3000.0, False),
    (DirectiveKind.CAP, 3500, None, 3400.0, True),
    (DirectiveKind.CAP, 3500, None, 3800.0, False),
    (DirectiveKind.CAP, 3500, paused(), 3400.0, False),
    (DirectiveKind.CAP, 3500, paused(), 0.0, True),
    (DirectiveKind.CHARGE, None, None, 7000.0, True),
    (DirectiveKind.CHARGE, None, None, 0.0, False),
    (DirectiveKind.SETPOINT, -5000, None, -4900.0, True),
    (DirectiveKind.SETPOINT, -5000, None, -6000.0, False),
    (DirectiveKind.SETPOINT, -5000, None, 0.0, False),
    (DirectiveKind.SETPOINT, 5000, None, 4900.0, True),
    (DirectiveKind.SETPOINT, 5000, None, 6000.0, False),
    (DirectiveKind.SETPOINT, 5000, None, 0.0, False),
    (DirectiveKind.SETPOINT, 5000, paused(), 0.0, True),
]


@pytest.mark.parametrize(("kind", "power_w", "setting", "measured_w", "confirms"), CONFIRMS)
def test_the_effect_is_what_the_chosen_rung_can_achieve(kind, power_w, setting, measured_w, confirms):
    held = lifecycle.apply_telemetry(accepted(kind, power_w, setting=setting), seen(30, power_w=measured_w), at(31))
    assert (held.state is S.IN_FORCE) is confirms
    assert (held.contradicted_at is not None) is not confirms


@pytest.mark.parametrize(("kind", "asked_w"), [(DirectiveKind.CURTAIL, None), (DirectiveKind.CAP, 2000)])
def test_a_car_that_calls_itself_full_while_power_flows_obeys_nothing(kind, asked_w):
    held = lifecycle.apply_telemetry(
        accepted(kind, asked_w), seen(30, power_w=7000.0, state=ChargeState.COMPLETE), at(31)
    )
    assert (held.state, held.contradicted_at) == (DirectiveState.ACCEPTED, at(30))


def test_a_full_car_obeys_a_pause_and_a_start_alike():
    for kind in (DirectiveKind.CURTAIL, DirectiveKind.CHARGE):
        held = lifecycle.apply_telemetry(accepted(kind), seen(30, power_w=0.0, state=ChargeState.COMPLETE), at(31))
        assert held.state is S.IN_FORCE


def test_a_pulled_cable_interrupts_when_a_second_source_agrees():
    held = lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21))
    assert lifecycle.apply_telemetry(held, unplugged(30), at(31)).state is S.INTERRUPTED


def test_a_flapping_plug_flag_interrupts_nothing_before_a_minute_has_passed():
    held = lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21))
    flapped = lifecycle.apply_telemetry(held, seen(30, plugged=False), at(31))
    assert flapped.state is S.IN_FORCE
    assert lifecycle.apply_telemetry(flapped, seen(80, plugged=False), at(81)).state is S.IN_FORCE
    assert lifecycle.apply_telemetry(flapped, seen(90, plugged=False), at(91)).state is S.INTERRUPTED


def test_a_replug_within_the_window_is_in_force_again_only_by_what_was_seen_after_it():
    held = lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21))
    held = lifecycle.apply_telemetry(held, unplugged(30), at(31))
    still_out = lifecycle.apply_telemetry(held, seen(29, power_w=0.0, plugged=True), at(32))
    assert still_out.state is S.INTERRUPTED
    back = lifecycle.apply_telemetry(still_out, seen(60, power_w=0.0, plugged=True), at(61))
    assert back.state is S.IN_FORCE


def test_the_backends_word_alone_never_puts_a_directive_in_force():
    status = DirectiveStatus("d-1", "car", S.IN_FORCE, Certainty.VEHICLE_OBSERVED, at(20))
    held = lifecycle.apply_status(accepted(), status, at(21))
    assert (held.state, held.certainty) == (S.ACCEPTED, Certainty.BACKEND_REPORTED)


@pytest.mark.parametrize("state", [S.ACCEPTED, S.IN_FORCE])
def test_an_override_that_the_backend_reports_ends_the_directive(state):
    held = accepted() if state is S.ACCEPTED else lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21))
    status = DirectiveStatus("d-1", "car", S.OVERRIDDEN, Certainty.BACKEND_REPORTED, at(30), ErrorCode.USER_OVERRIDE)
    ended = lifecycle.apply_status(held, status, at(31))
    assert (ended.state, ended.error) == (S.OVERRIDDEN, ErrorCode.USER_OVERRIDE)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_leads_to_retry_doubt_or_an_end(code):
    error = BackendError(code, "x")
    held = lifecycle.apply_refusal(sent(), error, at(1), 0.5)
    if code in (ErrorCode.ALREADY_IN_STATE, ErrorCode.LIMIT_REACHED):
        assert (held.state, held.certainty, held.evidence) == (S.IN_FORCE, Certainty.BACKEND_REPORTED, code.value)
    elif error.may_have_happened:
        assert (held.state, held.in_doubt) == (S.REQUESTED, True)
    elif error.retryable:
        assert (held.state, held.in_doubt) == (S.REQUESTED, False)
        assert held.retry_at > at(1)
    else:
        driver = code is ErrorCode.USER_OVERRIDE
        assert (held.state, held.error) == (S.OVERRIDDEN if driver else S.REJECTED, code)


def test_a_wait_is_over_when_the_clock_was_set_back_to_before_it():
    held = lifecycle.apply_refusal(sent(), BackendError(ErrorCode.OUTCOME_UNKNOWN, "x"), at(100), 0.5)
    doubted = lifecycle.keep_doubt(held, BackendError(ErrorCode.BACKEND_TRANSIENT, "x"), at(200), 0.5)
    for waiting, since_s in ((held, 100), (doubted, 200)):
        assert still_waits(waiting.changed_at, waiting.retry_at, at(since_s))
        assert not still_waits(waiting.changed_at, waiting.retry_at, at(since_s - 1))
        step = reconcile(None, CarDirectives(waiting), None, at(since_s - 3600))
        assert step.do is Do.READ


def test_a_wait_that_the_backend_names_is_never_cut_short():
    error = BackendError(ErrorCode.RATE_LIMITED, "x", retry_after_s=40.0)
    assert lifecycle.apply_refusal(sent(), error, at(1), 0.0).retry_at == at(41)


def test_the_retry_budget_is_spent_at_last():
    held = sent()
    for _ in range(MAX_ATTEMPTS - 1):
        held = lifecycle.mark_sent(
            lifecycle.apply_refusal(held, BackendError(ErrorCode.BACKEND_TRANSIENT, "x"), at(1), 0.1), at(2)
        )
    assert lifecycle.apply_refusal(held, BackendError(ErrorCode.BACKEND_TRANSIENT, "x"), at(3), 0.1).state is S.FAILED


def test_nothing_is_retried_after_its_last_instant():
    error = BackendError(ErrorCode.BACKEND_TRANSIENT, "x", retry_after_s=7200.0)
    assert lifecycle.apply_refusal(sent(), error, at(1), 0.0).state is S.EXPIRED


def test_a_doubt_is_settled_by_what_the_backend_knows():
    held = lifecycle.apply_refusal(sent(), BackendError(ErrorCode.OUTCOME_UNKNOWN, "x"), at(1), 0.5)
    known = lifecycle.apply_status(held, DirectiveStatus("d-1", "car", S.IN_FORCE, Certainty.BACKEND_REPORTED), at(5))
    assert (known.state, known.in_doubt) == (S.ACCEPTED, False)
    again = lifecycle.mark_never_arrived(held, at(5))
    assert (again.state, again.in_doubt, again.retry_at) == (S.REQUESTED, False, at(5))


ENDS = [
    (accepted(), S.EXPIRED),
    (lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21)), S.RELEASED),
    (
        lifecycle.apply_telemetry(
            lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21)), unplugged(30), at(31)
        ),
        S.RELEASED,
    ),
    (lifecycle.apply_telemetry(accepted(), unplugged(30), at(31)), S.FAILED),
]


@pytest.mark.parametrize(("held", "ends"), ENDS)
def test_the_end_of_the_window_ends_everything(held, ends):
    assert lifecycle.apply_time(held, at(3599)) is held
    assert lifecycle.apply_time(held, at(3600)).state is ends


def test_what_never_left_expires_at_its_last_instant_and_what_is_in_doubt_does_not():
    waiting = sent()
    doubted = lifecycle.apply_refusal(waiting, BackendError(ErrorCode.OUTCOME_UNKNOWN, "x"), at(1), 0.5)
    assert lifecycle.apply_time(waiting, at(3541)).state is S.EXPIRED
    assert lifecycle.apply_time(doubted, at(3541)).state is S.REQUESTED


@given(
    st.lists(
        st.tuples(
            st.integers(-100, 4000),
            st.sampled_from([0.0, 3000.0, 7000.0, -5000.0]),
            st.booleans(),
            st.sampled_from(list(ChargeState)),
        ),
        max_size=12,
    ),
    st.sampled_from([DirectiveKind.CURTAIL, DirectiveKind.CHARGE, DirectiveKind.CAP, DirectiveKind.SETPOINT]),
    st.integers(0, 2000),
    st.integers(-500, 2000),
)
@settings(max_examples=150)
def test_in_force_never_rests_on_telemetry_older_than_send_or_start(readings, kind, sent_s, start_s):
    held = accepted(kind, at_s=sent_s, start_s=start_s)
    for observed_s, power_w, plugged, state in readings:
        held = lifecycle.apply_telemetry(
            held, seen(observed_s, power_w=power_w, plugged=plugged, state=state), at(5000)
        )
        if held.confirmed_once:
            assert held.confirmed_at > max(held.sent_at, held.directive.start)


# --- how sure an effect is, wakes, conflicts, restarts ----------------------------------------------------------------


def metered(at_s, power_w):
    return Snapshot("car", power_w=Reading(power_w, at(at_s), at(at_s), METER))


def test_a_meters_reading_makes_an_effect_metered_and_no_lesser_reading_takes_that_back():
    held = lifecycle.apply_telemetry(accepted(), metered(20, 0.0), at(21))
    assert (held.state, held.certainty, held.source) == (S.IN_FORCE, Certainty.METERED, METER)
    later = lifecycle.apply_telemetry(held, seen(60, power_w=0.0), at(61))
    assert (later.certainty, later.confirmed_at, later.source) == (Certainty.METERED, at(20), METER)


def test_an_observed_effect_becomes_metered_with_the_first_meter_reading():
    held = lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21))
    held = lifecycle.apply_telemetry(held, metered(30, 0.0), at(31))
    assert (held.certainty, held.confirmed_at) == (Certainty.METERED, at(30))


def test_a_state_told_by_a_meter_is_no_measurement():
    told = Snapshot("car", charge_state=Reading(ChargeState.STOPPED, at(20), at(20), METER))
    assert lifecycle.apply_telemetry(accepted(), told, at(21)).certainty is Certainty.VEHICLE_OBSERVED


@pytest.mark.parametrize(
    ("observed_s", "state", "certainty"),
    [(20, S.IN_FORCE, Certainty.METERED), (0, S.ACCEPTED, Certainty.BACKEND_REPORTED)],
)
def test_a_metered_status_is_proof_only_when_the_meter_was_read_after_the_send(observed_s, state, certainty):
    status = DirectiveStatus("d-1", "car", S.IN_FORCE, Certainty.METERED, at(observed_s))
    held = lifecycle.apply_status(accepted(at_s=10), status, at(21))
    assert (held.state, held.certainty) == (state, certainty)


@pytest.mark.parametrize("claimed", [Certainty.ACCEPTED, Certainty.BACKEND_REPORTED, Certainty.VEHICLE_OBSERVED])
def test_a_clouds_word_never_counts_for_more_than_a_report(claimed):
    held = lifecycle.apply_status(accepted(), DirectiveStatus("d-1", "car", S.IN_FORCE, claimed, at(20)), at(21))
    assert (held.state, held.certainty) == (S.ACCEPTED, min(claimed, Certainty.BACKEND_REPORTED))


ASLEEP = BackendError(ErrorCode.ASLEEP, "x", retry_after_s=30.0)
WAKES, SLEEPS_ON = Capability("m", 1, 1), Capability("m", 1, 1, wake_supported=False)


def test_a_car_is_worth_waking_once_and_only_where_that_is_possible_and_in_time():
    held = lifecycle.apply_refusal(sent(), ASLEEP, at(1), 0.0)
    assert lifecycle.should_wake(held, WAKES)
    assert not lifecycle.should_wake(held, SLEEPS_ON)
    assert not lifecycle.should_wake(dataclasses.replace(held, woken_at=at(1)), WAKES)
    assert not lifecycle.should_wake(dataclasses.replace(held, retry_at=at(3541)), WAKES)
    other = lifecycle.apply_refusal(sent(), BackendError(ErrorCode.RATE_LIMITED, "x"), at(1), 0.0)
    assert not lifecycle.should_wake(other, WAKES)


def test_a_key_that_conflicts_when_sent_again_is_read_before_it_is_given_up():
    conflict = BackendError(ErrorCode.INVALID_REQUEST, "key: was used with another body")
    assert lifecycle.apply_refusal(sent(), conflict, at(1), 0.5).state is S.REJECTED
    again = lifecycle.mark_sent(lifecycle.apply_refusal(sent(), ASLEEP, at(1), 0.0), at(60))
    doubted = lifecycle.apply_refusal(again, conflict, at(61), 0.5)
    assert (doubted.state, doubted.in_doubt) == (S.REQUESTED, True)


def test_what_an_earlier_life_left_waits_past_its_end_for_its_backends_word():
    unread = dataclasses.replace(lifecycle.apply_telemetry(accepted(), seen(20, power_w=0.0), at(21)), unread=True)
    assert lifecycle.apply_time(unread, at(3700)) is unread
    status = DirectiveStatus("d-1", "car", S.OVERRIDDEN, Certainty.BACKEND_REPORTED, at(900), ErrorCode.USER_OVERRIDE)
    assert lifecycle.apply_status(unread, status, at(3700)).state is S.OVERRIDDEN
    silent = lifecycle.mark_never_arrived(unread, at(3700))
    assert lifecycle.apply_time(silent, at(3700)).state is S.RELEASED
    assert lifecycle.apply_time(unread, at(3600 + 900)).state is S.RELEASED


def test_settings_that_a_reading_shows_from_while_we_held_the_car_are_not_its_drivers():
    ours = Snapshot("car", limit_soc_pct=Reading(50.0, at(3500), at(3500)))
    drivers = Snapshot("car", limit_soc_pct=Reading(70.0, at(3700), at(3700)))
    left = lifecycle.SettingsLeft(lifecycle.DriverSettings(80.0, 16.0, ChargeState.CHARGING), at(3600))
    assert lifecycle.settings_before(ours, left) == left.before
    assert lifecycle.settings_before(drivers, left) == lifecycle.DriverSettings(70.0, 16.0, ChargeState.CHARGING)
    assert lifecycle.settings_before(ours).limit_soc_pct == 50.0


@pytest.mark.parametrize(("seen_s", "ends"), [(90, DirectiveState.FAILED), (3500, DirectiveState.RELEASED)])
def test_a_pause_that_a_car_had_long_left_at_its_end_did_not_end_well(seen_s, ends):
    held = lifecycle.apply_telemetry(accepted(), seen(60, power_w=0.0), at(61))
    held = lifecycle.apply_telemetry(held, seen(seen_s, power_w=7000.0), at(seen_s))
    assert lifecycle.apply_time(held, at(3600)).state is ends
