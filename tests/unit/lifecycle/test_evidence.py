"""What a reading proves: the same for the engine, the windows and OCPP, however the clocks of cars and clouds run."""

import dataclasses
from datetime import timedelta

import pytest
from directive_cases import accepted, at, directive, paused, seen
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.contract import (
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    Known,
    Reading,
    Rung,
    Setting,
    Snapshot,
    Validity,
)
from ven_adapters.lifecycle.evidence import (
    CLOCKS_AGREE,
    LATEST_NEWS,
    TOLERANCE_W,
    ExpectedEffect,
    cable_back,
    cable_out,
    is_newer,
    newer,
    slack_w,
)
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.ocpp21.profiles.profile_records import ProfileRecord, advance
from ven_adapters.transport.ocpp21.stations.charging_points import RegisteredPoint, Station, new_point
from ven_adapters.transport.windows.windows import KeptWindow, WindowVerdict, judge
from ven_adapters.ven.directives import lifecycle

S = DirectiveState
RESUME = Setting(Rung.RESUME, 7_000)


def told(observed_s, heard_s, **values):
    """A snapshot of `car`: every value observed and received at these seconds."""
    return Snapshot("car", **{name: Reading(value, at(observed_s), at(heard_s)) for name, value in values.items()})


def engine_confirms(snapshot, kind=DirectiveKind.CURTAIL, setting=None):
    return (
        lifecycle.apply_telemetry(accepted(kind, at_s=1, setting=setting or paused()), snapshot, at(120)).state
        is S.IN_FORCE
    )


def windows_confirm(snapshot, kind=DirectiveKind.CURTAIL, setting=None):
    window = KeptWindow(directive(kind), setting or paused(), sent_at=at(1))
    return judge(window, snapshot)[0] is WindowVerdict.CONFIRMED


def ocpp_confirms(snapshot, kind=DirectiveKind.CURTAIL, setting=None):
    record = ProfileRecord(directive(kind), setting or paused(), "tx", 1, at(1))
    record.move(S.ACCEPTED, Trigger.ACK)
    point = dataclasses.replace(
        new_point(RegisteredPoint(ref="car", station="CP", usable_wh=1, max_charge_w=11_000)),
        transaction="tx",
        snapshot=snapshot,
    )
    advance(record, point, Station(connected=True, connected_at=at(0)), at(4_000 - 600))
    return record.state is S.IN_FORCE


USERS = pytest.mark.parametrize("confirms", [engine_confirms, windows_confirm, ocpp_confirms])


@USERS
@pytest.mark.parametrize(
    ("observed_s", "heard_s", "counts"),
    [
        (1, 1, False),
        (2, 2, True),
        (60, 2, True),
        (62, 1, False),
        (300, 2, False),
        (590, 2, False),
        (2, 3_300, True),
        (2, 3_303, False),
    ],
    ids=["of-the-send", "newer", "59-s-ahead", "61-s-ahead", "5-min-ahead", "10-min-ahead", "55-min-late", "later"],
)
def test_a_reading_by_a_clock_that_is_ahead_or_of_another_zone_confirms_nothing(confirms, observed_s, heard_s, counts):
    pausing = told(observed_s, heard_s, power_w=0.0, charge_state=ChargeState.STOPPED, plugged=Known.YES)
    assert confirms(pausing) is counts


def test_a_clock_that_is_ahead_contradicts_no_window_and_pulls_no_cable():
    window = KeptWindow(directive(), paused(), sent_at=at(0))
    ahead = told(400, 100, charge_state=ChargeState.CHARGING, power_w=7_000.0)
    assert judge(window, ahead) == (WindowVerdict.NOTHING, None)
    assert judge(window, told(400, 100, charge_state=ChargeState.UNPLUGGED, plugged=Known.NO))[0] is (
        WindowVerdict.NOTHING
    )


@given(st.integers(-7_200, 7_200), st.integers(-7_200, 7_200))
def test_what_counts_was_observed_after_the_send_and_by_a_clock_that_can_be_right(observed_s, heard_s):
    counts = is_newer(at(observed_s), at(heard_s), at(0))
    late = timedelta(seconds=heard_s - observed_s)
    assert counts is (observed_s > 0 and -CLOCKS_AGREE <= late <= LATEST_NEWS)


@pytest.mark.parametrize("validity", [Validity.STALE, Validity.SENTINEL])
def test_a_reading_that_is_not_ok_or_no_number_is_not_newer(validity):
    assert newer(Reading(0.0, at(10), at(10), validity=validity), at(0)) is None
    assert newer(Reading(float("nan"), at(10), at(10)), at(0)) is None


def test_the_meter_of_a_backend_whose_clock_is_ahead_or_late_proves_nothing():
    for observed_s, state in ((20, S.IN_FORCE), (90, S.ACCEPTED)):
        status = DirectiveStatus("d-1", "car", S.IN_FORCE, Certainty.METERED, at(observed_s))
        assert lifecycle.apply_status(accepted(), status, at(21)).state is state
    late = DirectiveStatus("d-1", "car", S.IN_FORCE, Certainty.METERED, at(20))
    assert lifecycle.apply_status(accepted(end_s=7_200), late, at(3_600)).state is S.ACCEPTED


def test_what_a_clock_ahead_tells_of_our_own_doing_is_not_taken_for_the_drivers_wish():
    before = lifecycle.DriverSettings(80.0, 16.0, ChargeState.CHARGING)
    left = lifecycle.SettingsLeft(before, at(3_600))
    ours = told(3_900, 3_590, limit_soc_pct=50.0, limit_current_a=6.0, charge_state=ChargeState.STOPPED)
    assert lifecycle.settings_before(ours, left) == before


# --- the effect -------------------------------------------------------------------------------------------------------


@USERS
@pytest.mark.parametrize(
    ("kind", "setting", "power_w", "fits"),
    [
        (DirectiveKind.CURTAIL, None, TOLERANCE_W, True),
        (DirectiveKind.CURTAIL, None, TOLERANCE_W + 1, False),
        (DirectiveKind.CURTAIL, None, -TOLERANCE_W - 1, False),
        (DirectiveKind.CHARGE, RESUME, TOLERANCE_W, False),
        (DirectiveKind.CHARGE, RESUME, TOLERANCE_W + 1, True),
    ],
)
def test_a_pause_and_a_start_are_told_apart_at_250_w(confirms, kind, setting, power_w, fits):
    state = ChargeState.CHARGING if kind is DirectiveKind.CHARGE else ChargeState.STOPPED
    assert confirms(told(60, 60, power_w=power_w, charge_state=state, plugged=Known.YES), kind, setting) is fits


@pytest.mark.parametrize(("asked_w", "slack"), [(0.0, 250.0), (3_000.0, 250.0), (10_000.0, 800.0), (-10_000.0, 800.0)])
def test_the_tolerance_is_250_w_or_8_percent(asked_w, slack):
    assert slack_w(asked_w) == slack
    assert ExpectedEffect(asked_w).fits_power(asked_w + slack) is (asked_w >= 0 or asked_w + slack < -TOLERANCE_W)
    assert not ExpectedEffect(asked_w).fits_power(asked_w + slack + 1) or asked_w < 0
    assert not ExpectedEffect(asked_w).fits_power(min(asked_w, 0.0) - slack - 1)


def test_a_car_that_exports_under_a_cap_does_not_keep_it_however_large_the_cap():
    assert not ExpectedEffect(11_000.0).fits_power(-300.0)


@pytest.mark.parametrize(
    ("power_w", "fits", "opposes"), [(49.0, False, True), (200.0, False, False), (251.0, True, False)]
)
def test_a_car_that_should_charge_and_draws_a_little_neither_does_nor_does_not(power_w, fits, opposes):
    effect = ExpectedEffect(None)
    assert (effect.fits_power(power_w), effect.opposes_power(power_w)) == (fits, opposes)
    window = KeptWindow(directive(DirectiveKind.CHARGE), RESUME, sent_at=at(0))
    verdict = judge(window, told(90, 90, charge_state=ChargeState.CHARGING, power_w=power_w))[0]
    assert (verdict is WindowVerdict.CONFIRMED, verdict is WindowVerdict.CONTRADICTED) == (fits, opposes)


@pytest.mark.parametrize(("power_w", "fits"), [(0.0, True), (11_000.0, True), (-249.0, True), (-3_000.0, False)])
def test_a_release_is_in_force_whatever_the_driver_lets_the_car_draw(power_w, fits):
    assert ExpectedEffect.of(directive(DirectiveKind.RELEASE), RESUME).fits_power(power_w) is fits


@pytest.mark.parametrize("state", [ChargeState.DISCHARGING, ChargeState.FAULT])
def test_a_window_takes_no_car_that_discharges_or_is_at_fault_for_paused(state):
    window = KeptWindow(directive(), paused(), sent_at=at(0))
    expected = WindowVerdict.CONTRADICTED if state is ChargeState.DISCHARGING else WindowVerdict.NOTHING
    assert judge(window, told(90, 90, charge_state=state))[0] is expected


# --- the cable --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "first_s", "sure"),
    [
        (ChargeState.STOPPED, None, False),
        (ChargeState.STOPPED, 31, False),
        (ChargeState.STOPPED, 30, True),
        (ChargeState.UNPLUGGED, None, True),
    ],
)
def test_a_cable_is_out_when_the_charging_state_says_so_too_or_it_is_a_minute_later(state, first_s, sure):
    reading = told(90, 90, plugged=Known.NO, charge_state=state)
    first_at = None if first_s is None else at(first_s)
    assert cable_out(reading, at(0), first_at).sure is sure
    window = KeptWindow(directive(), paused(), sent_at=at(0), unplugged_at=first_at)
    assert judge(window, reading)[0] is (WindowVerdict.UNPLUGGED if sure else WindowVerdict.MAYBE_UNPLUGGED)
    held = dataclasses.replace(accepted(), unplugged_at=first_at)
    assert (lifecycle.apply_telemetry(held, reading, at(91)).state is S.INTERRUPTED) is sure


@pytest.mark.parametrize(("plugged", "back"), [(None, False), (Known.UNKNOWN, False), (Known.YES, True)])
def test_a_car_that_was_off_its_cable_confirms_nothing_until_it_is_seen_plugged_in(plugged, back):
    values = {"charge_state": ChargeState.STOPPED} | ({} if plugged is None else {"plugged": plugged})
    reading = told(90, 90, **values)
    assert cable_back(reading, at(60)) is back
    window = KeptWindow(directive(), paused(), sent_at=at(0), unplugged_at=at(60))
    assert (judge(window, reading)[0] is WindowVerdict.CONFIRMED) is back
    held = dataclasses.replace(accepted(), unplugged_at=at(60))
    assert (lifecycle.apply_telemetry(held, reading, at(91)).state is S.IN_FORCE) is back


def test_a_cable_that_was_never_seen_out_is_not_out():
    assert cable_out(seen(90, plugged=True), at(0), None) is None
    assert cable_out(seen(90, power_w=0.0), at(0), None) is None
