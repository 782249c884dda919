"""Charging points over OCPP 2.1: a real station process on the `ocpp` library against our central system."""

import asyncio
import contextlib
import dataclasses
from datetime import timedelta

import pytest
from ocpp_rig import CAR, OFFLINE_LIMIT_S, PATIENCE_S, central, place, plugged_in, settings, station

from ven_adapters.contract import (
    BackendError,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    OnCommLoss,
    Reachability,
    Rung,
    Validity,
)
from ven_adapters.oems import ocpp
from vtn.clock import sleep_until

S = DirectiveState
NAN = (
    '[2,"x","MeterValues",{"evseId":1,"meterValue":[{"timestamp":"2026-07-02T04:00:00Z",'
    '"sampledValue":[{"value":NaN,"measurand":"Power.Active.Import"}]}]}]'
)


@pytest.fixture
async def rig():
    async with plugged_in() as made:
        yield made


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def levels_left(rig, most):
    """The levels of the profiles that a station holds, once there are no more than so many."""
    async with asyncio.timeout(PATIENCE_S):
        while len(held := (await rig.peer.state())["profiles"]) > most:
            continue
    return [one["stack_level"] for one in held]


async def test_a_capability_names_any_power_and_the_discharge_of_owner_and_car(rig):
    await rig.until(lambda one: getattr(one, "limit_soc_pct", None) is not None)
    capability = await rig.backend.capabilities(CAR)
    assert (capability.can_set_power, capability.max_charge_w) == (True, 11_000)
    assert (capability.discharge.max_discharge_w, capability.discharge.min_discharge_w) == (9_600, 500)


async def test_meter_values_become_a_snapshot_with_the_stations_own_instants(rig):
    snapshot = await rig.measures(lambda power_w: power_w == 11_000)
    assert snapshot.power_w.source == "meter"
    assert snapshot.plugged.value is Known.YES
    assert 59 < snapshot.soc_pct.value < 91
    assert snapshot.power_w.observed_at <= snapshot.power_w.received_at


async def test_a_snapshot_older_than_asked_is_taken_anew(rig):
    before = rig.clock.now()
    snapshot = await rig.backend.snapshot(CAR, max_age_s=1)
    assert snapshot.power_w.observed_at > before - timedelta(seconds=5)


async def test_a_cap_is_a_profile_in_watts_and_the_meter_proves_it(rig):
    directive = rig.directive(power_w=1_400)
    ack = await rig.submit(directive)
    assert (ack.state, ack.setting.rung, ack.setting.power_w) == (S.ACCEPTED, Rung.POWER, 1_400)
    status = await rig.reaches(directive, S.IN_FORCE)
    assert status.certainty is Certainty.METERED
    assert status.observed_at > directive.start
    (profile,) = (await rig.peer.state())["profiles"]
    assert profile["charging_profile_purpose"] == "TxProfile"
    assert profile["charging_schedule"][0]["charging_schedule_period"][0]["limit"] == 1_400


async def test_a_pause_is_a_limit_of_nothing_and_shows_as_ours(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    snapshot = await rig.until(
        lambda one: (
            getattr(one, "charge_state", None) is not None and one.charge_state.value is ChargeState.PAUSED_BY_DIRECTIVE
        )
    )
    assert snapshot.power_w.value == 0


async def test_a_discharge_carries_a_negative_set_point_and_all_three_dead_men(rig):
    directive = rig.discharge(-7_000)
    await rig.submit(directive)
    await rig.measures(lambda power_w: power_w == -7_000)
    status = await rig.reaches(directive, S.IN_FORCE)
    assert status.certainty is Certainty.METERED
    (profile,) = (await rig.peer.state())["profiles"]
    schedule = profile["charging_schedule"][0]
    period = schedule["charging_schedule_period"][0]
    assert (period["operation_mode"], period["setpoint"], period["discharge_limit"]) == (
        "CentralSetpoint",
        -7_000,
        -9_600,
    )
    assert (profile["max_offline_duration"], profile["invalid_after_offline_duration"]) == (OFFLINE_LIMIT_S, True)
    assert profile["valid_to"].startswith(directive.end.isoformat()[:19])
    assert 3_590 <= schedule["duration"] <= 3_600


async def test_a_discharge_goes_idle_at_the_stations_own_hand_when_its_energy_is_spent(rig):
    directive = rig.discharge(-6_000, max_energy_wh=500)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.until(
        lambda one: (
            getattr(one, "energy_exported_wh", None) is not None
            and one.energy_exported_wh.value > 400
            and one.power_w.value == 0
        )
    )
    assert (await rig.peer.state())["exported_wh"] == pytest.approx(500, abs=30)


async def test_bidirectional_transfer_is_allowed_before_the_first_discharge(rig):
    await rig.submit(rig.discharge())
    assert (await rig.peer.state())["allowed"] == ["AC_BPT", "AC_three_phase"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"on_comm_loss": OnCommLoss.RELEASE}, "on_comm_loss"),
        ({"reserve_soc_pct": None}, "reserve_soc_pct"),
        ({"max_energy_wh": 0}, "spare_wh"),
    ],
    ids=["dead-man", "reserve", "energy"],
)
async def test_a_discharge_that_lacks_something_is_refused_and_names_it(rig, change, named):
    error = await refused(rig.submit(rig.discharge(**change)))
    assert (error.code, named in error.detail) == (ErrorCode.NOT_PERMITTED, True)
    assert (await rig.peer.state())["sets"] == []


@pytest.mark.parametrize(
    ("needs", "named"),
    [
        ({"v2x_charging_parameters": None}, "v2xChargingParameters"),
        ({"control_mode": "ScheduledControl"}, "controlMode"),
        ({"departure_time": "2026-07-02T04:30:00Z"}, "departureTime"),
        ({"v2x_charging_parameters": {"evMinV2XEnergyRequest": 500.0}}, "spare_wh"),
    ],
    ids=["no-v2x", "own-schedule", "departs", "energy-band"],
)
async def test_a_car_that_does_not_allow_a_discharge_is_not_discharged(needs, named):
    async with plugged_in(needs=needs) as rig:
        error = await refused(rig.submit(rig.discharge(minutes=60)))
        assert (error.code, named in error.detail) == (ErrorCode.NOT_PERMITTED, True)


async def test_a_station_without_v2x_has_no_discharge():
    async with plugged_in(v2x=False) as rig:
        assert (await rig.backend.capabilities(CAR)).discharge is None
        assert (await refused(rig.submit(rig.discharge()))).code is ErrorCode.NOT_SUPPORTED


async def test_an_evse_that_speaks_for_itself_has_its_discharge():
    async with plugged_in({"vehicles": {CAR: place(evse=2)}}, v2x_by_evse=True, evse=2) as rig:
        assert (await known(rig)).discharge is not None
        directive = rig.discharge()
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)


async def known(rig):
    """What the car can do, once its station has said so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(BackendError):
                return await rig.backend.capabilities(CAR)
            await asyncio.sleep(0)


async def test_a_der_alarm_stops_a_discharge_and_forbids_another(rig):
    directive = rig.discharge()
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("alarm")
    status = await rig.reaches(directive, S.FAILED)
    assert (status.error, "UnderVoltage" in status.detail) == (ErrorCode.NOT_PERMITTED, True)
    assert (await rig.backend.snapshot(CAR)).der_alarm.value is Known.YES
    await rig.measures(lambda power_w: power_w >= 0, since=status.observed_at)
    assert (await refused(rig.submit(rig.discharge()))).code is ErrorCode.NOT_PERMITTED


async def test_a_discharge_that_a_der_control_holds_back_is_not_delivered_meanwhile(rig):
    directive = rig.discharge()
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("control", started=True, most_w=2_000)
    status = await rig.reaches(directive, S.INTERRUPTED)
    assert (status.error, "DER control" in status.detail) == (ErrorCode.NOT_PERMITTED, True)
    await rig.peer.do("control", started=False)
    await rig.measures(lambda power_w: power_w == -7_000, since=rig.clock.now())
    status = await rig.backend.status(CAR, directive.directive_id)
    assert (status.state, status.error) == (S.IN_FORCE, None)


async def test_a_der_alarm_stops_a_discharge_though_the_disk_is_full(tmp_path, monkeypatch):
    async with plugged_in({"state": str(tmp_path)}) as rig:
        directive = rig.discharge()
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        await rig.peer.do("alarm")
        status = await rig.reaches(directive, S.FAILED)
        await rig.measures(lambda power_w: power_w >= 0, since=rig.clock.now())
        assert status.error is ErrorCode.NOT_PERMITTED
        assert (await rig.backend.snapshot(CAR)).der_alarm.value is Known.YES
        with pytest.raises((BackendError, OSError)):
            await rig.submit(rig.directive(power_w=2_000))
        monkeypatch.undo()


async def test_a_stop_that_the_station_did_not_hear_is_said_again(rig):
    directive = rig.discharge()
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("deaf", action="ClearChargingProfile")
    await rig.peer.do("alarm")
    await rig.reaches(directive, S.FAILED)
    failed_at = rig.clock.now()
    await rig.measures(lambda power_w: power_w >= 0, since=failed_at)


async def test_when_no_higher_level_is_left_the_others_go_first():
    async with plugged_in(highest_level="2") as rig:
        older = [rig.directive(power_w=power_w, starts_in_s=1_200) for power_w in (5_000, 4_000)]
        for directive in older:
            await rig.submit(directive)
        newest = rig.directive(power_w=2_000)
        await rig.submit(newest)
        await rig.reaches(newest, S.IN_FORCE)
        assert [one["stack_level"] for one in (await rig.peer.state())["profiles"]] == [1]
        states = [(await rig.backend.status(CAR, one.directive_id)).state for one in older]
        assert states == [S.SUPERSEDED, S.SUPERSEDED]


async def test_a_car_that_takes_back_its_leave_is_discharged_no_longer(rig):
    directive = rig.discharge()
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("needs", control_mode="ScheduledControl")
    status = await rig.reaches(directive, S.FAILED)
    assert "controlMode" in status.detail
    await rig.measures(lambda power_w: power_w >= 0, since=status.observed_at)


async def test_a_driver_who_asks_for_priority_charging_overrides_and_is_left_alone(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("prior", activated=True)
    status = await rig.reaches(directive, S.OVERRIDDEN)
    assert status.error is ErrorCode.USER_OVERRIDE
    chose = await rig.until(lambda one: isinstance(one, DriverChose))
    assert (chose.vehicle_ref, chose.choice) == (CAR, DriverChoice.BOOST)
    await rig.measures(lambda power_w: power_w == 11_000, since=status.observed_at)
    assert (await refused(rig.submit(rig.directive(DirectiveKind.CURTAIL)))).code is ErrorCode.USER_OVERRIDE


async def test_the_same_key_and_body_is_the_same_directive_and_sent_once(rig):
    directive = rig.directive(power_w=3_000)
    first, again = await rig.submit(directive), await rig.submit(directive)
    # The station may have obeyed in between.
    assert dataclasses.replace(again, state=first.state) == first
    assert len((await rig.peer.state())["sets"]) == 1


async def test_the_same_key_with_another_body_is_a_conflict(rig):
    directive = rig.directive(power_w=3_000)
    await rig.submit(directive)
    error = await refused(rig.submit(dataclasses.replace(directive, power_w=2_000)))
    assert (error.code, "key" in error.detail) == (ErrorCode.INVALID_REQUEST, True)


async def test_nothing_is_sent_after_its_not_after(rig):
    late = rig.directive(power_w=3_000, not_after=rig.clock.now() - timedelta(seconds=1))
    assert (await refused(rig.submit(late))).code is ErrorCode.EXPIRED
    assert (await rig.peer.state())["sets"] == []


async def test_an_answer_that_does_not_come_is_an_unknown_outcome_and_is_read_before_a_retry(rig):
    await rig.backend.capabilities(CAR)
    await rig.submit(rig.directive(power_w=5_000, minutes=3))
    directive = rig.directive(power_w=3_000)
    await rig.peer.do("mute", action="SetChargingProfile")
    await rig.peer.state()
    error = await refused(rig.submit(directive))
    assert (error.code, error.may_have_happened) == (ErrorCode.OUTCOME_UNKNOWN, True)
    ack = await rig.submit(directive)
    assert ack.state in (S.ACCEPTED, S.IN_FORCE)  # the meter may have shown it by then
    limits = [one["charging_schedule"][0]["charging_schedule_period"][0] for one in (await rig.peer.state())["sets"]]
    assert [one["limit"] for one in limits] == [5_000, 3_000]


async def test_a_command_that_never_arrived_is_unknown_to_status_and_may_be_sent_again(rig):
    await rig.submit(rig.directive(power_w=5_000, minutes=3))
    directive = rig.directive(power_w=3_000)
    await rig.peer.do("deaf", action="SetChargingProfile")
    await rig.peer.state()
    assert (await refused(rig.submit(directive))).code is ErrorCode.OUTCOME_UNKNOWN
    error = await refused(rig.backend.status(CAR, directive.directive_id))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert (await rig.submit(directive)).state is S.ACCEPTED


async def test_an_acceptance_that_comes_after_not_after_is_taken_back(rig):
    older = rig.directive(power_w=9_000)
    await rig.submit(older)
    await rig.peer.do("mute", action="SetChargingProfile")
    await rig.peer.state()
    directive = rig.directive(power_w=3_000, not_after=rig.clock.now() + timedelta(seconds=90))
    assert (await refused(rig.submit(directive))).code is ErrorCode.OUTCOME_UNKNOWN
    await rig.measures(lambda power_w: power_w == 3_000)
    await sleep_until(rig.clock, directive.not_after + timedelta(seconds=1))
    await rig.peer.do("unmute")
    status = await rig.reaches(directive, S.EXPIRED)
    assert status.error is ErrorCode.EXPIRED
    await rig.measures(lambda power_w: power_w == 9_000, since=directive.not_after)
    assert (await rig.backend.status(CAR, older.directive_id)).state is S.IN_FORCE


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("TxNotFound", ErrorCode.NOT_PLUGGED),
        ("UnsupportedRateUnit", ErrorCode.NOT_SUPPORTED),
        ("RateLimitExceeded", ErrorCode.RATE_LIMITED),
        ("InternalError", ErrorCode.BACKEND_TRANSIENT),
        ("InvalidSchedule", ErrorCode.INVALID_REQUEST),
        ("VendorMood", ErrorCode.REJECTED_BY_VEHICLE),
    ],
)
async def test_a_rejection_is_told_in_the_contracts_words(rig, reason, code):
    for _ in range(2 if reason == "UnsupportedRateUnit" else 1):  # the other unit is tried, too
        await rig.peer.do("refuse", reason=reason)
    await rig.peer.state()
    assert (await refused(rig.submit(rig.directive(power_w=3_000)))).code is code


@pytest.mark.parametrize("said", ["A", "A,W"], ids=["says-it", "refuses-watts"])
async def test_a_station_that_takes_amperes_alone_is_capped_and_paused_in_them(said):
    async with plugged_in(rate_unit=said, taken_units=["A"]) as rig:
        cap = rig.directive(power_w=5_000)
        ack = await rig.submit(cap)
        assert (ack.setting.rung, ack.setting.current_a, ack.setting.power_w) == (Rung.CURRENT, 7, 4_830)
        assert (await rig.reaches(cap, S.IN_FORCE)).certainty is Certainty.METERED
        await rig.measures(lambda power_w: power_w == 4_830)
        capability = await rig.backend.capabilities(CAR)
        assert (capability.can_set_power, capability.current.max_a) == (False, 15)
        pause = rig.directive(DirectiveKind.CURTAIL)
        await rig.submit(pause)
        await rig.reaches(pause, S.IN_FORCE)
        schedules = [one["charging_schedule"][0] for one in (await rig.peer.state())["sets"]]
        told = [(one["charging_rate_unit"], one["charging_schedule_period"][0]["limit"]) for one in schedules]
        assert told == [("A", 7.0), ("A", 0.0)]


async def test_a_station_whose_clock_is_out_is_told_of_and_proves_nothing_until_it_is_right(rig):
    await rig.peer.do("clock", ahead_s=7_200)
    await rig.peer.state()
    await rig.until(lambda one: getattr(one, "power_w", None) is not None and one.power_w.validity is not Validity.OK)
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.until(lambda one: getattr(one, "power_w", None) is not None and one.power_w.value == 0)
    status = await rig.backend.status(CAR, directive.directive_id)
    assert (status.state, status.certainty) == (S.ACCEPTED, Certainty.ACCEPTED)
    assert status.detail == "the station's clock is 2 h ahead"
    await rig.peer.do("clock", ahead_s=0)
    assert (await rig.reaches(directive, S.IN_FORCE)).certainty is Certainty.METERED


async def test_a_release_takes_every_profile_away_and_the_car_charges_again(rig):
    older = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(older)
    await rig.reaches(older, S.IN_FORCE)
    release = rig.directive(DirectiveKind.RELEASE)
    await rig.submit(release)
    await rig.reaches(older, S.SUPERSEDED)
    await rig.reaches(release, S.IN_FORCE)
    assert (await rig.peer.state())["profiles"] == []


async def test_a_cancelled_directive_is_cleared_at_the_station(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    assert (await rig.backend.cancel(CAR, directive.directive_id)).state is S.CANCELLED
    assert (await rig.peer.state())["profiles"] == []
    assert (await rig.backend.status(CAR, directive.directive_id)).state is S.CANCELLED


async def test_a_newer_directive_stands_above_the_older_until_that_is_gone(rig):
    older, newer = rig.directive(power_w=5_000), rig.directive(power_w=2_000)
    await rig.submit(older)
    await rig.reaches(older, S.IN_FORCE)
    await rig.submit(newer)
    await rig.reaches(older, S.SUPERSEDED)
    await rig.reaches(newer, S.IN_FORCE)
    state = await rig.peer.state()
    assert [one["stack_level"] for one in state["sets"]] == [1, 2]
    assert max(power_w for _, power_w in state["truth"][2:]) <= 5_000


async def test_a_directive_ends_by_itself_and_is_released(rig):
    directive = rig.directive(DirectiveKind.CURTAIL, minutes=4)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    status = await rig.reaches(directive, S.RELEASED)
    assert status.certainty is Certainty.METERED
    await rig.measures(lambda power_w: power_w == 11_000, since=directive.end)


async def test_a_directive_that_begins_later_leaves_the_car_alone_until_then(rig):
    directive = rig.directive(DirectiveKind.CURTAIL, starts_in_s=240)
    await rig.submit(directive)
    status = await rig.reaches(directive, S.IN_FORCE)
    assert status.observed_at > directive.start
    zero = next(at for at, power_w in (await rig.peer.state())["truth"][1:] if power_w == 0)
    assert zero >= directive.start.isoformat()[:19]


async def test_an_unplugged_car_interrupts_and_takes_nothing_new(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.peer.do("unplug")
    status = await rig.reaches(directive, S.INTERRUPTED)
    assert status.error is ErrorCode.NOT_PLUGGED
    snapshot = await rig.backend.snapshot(CAR)
    assert (snapshot.plugged.value, snapshot.charge_state.value) == (Known.NO, ChargeState.UNPLUGGED)
    assert (await refused(rig.submit(rig.directive(power_w=3_000)))).code is ErrorCode.NOT_PLUGGED
    await rig.peer.do("plug")
    assert (await rig.reaches(directive, S.FAILED)).error is ErrorCode.NOT_PLUGGED


async def test_what_an_earlier_life_sent_is_found_and_ended_by_a_later_one(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    port = await rig.backend.port()
    await rig.backend.close()
    async with central(clock=rig.clock, port=port) as second:
        second.peer, second.number = rig.peer, 10
        await rig.peer.heard("online")
        await second.measures(lambda power_w: power_w == 0)
        assert (await second.backend.status(CAR, directive.directive_id)).state is S.ACCEPTED
        newer = second.directive(power_w=2_000)
        await second.submit(newer)
        await second.reaches(newer, S.IN_FORCE)
        assert await levels_left(rig, 1) == [2]
        assert (await refused(second.backend.cancel(CAR, "nobody's"))).code is ErrorCode.INVALID_REQUEST


async def test_a_station_out_of_touch_takes_nothing_and_says_so(rig):
    await rig.peer.do("cut")
    await rig.until(
        lambda one: getattr(one, "reachability", None) is not None and one.reachability.value is Reachability.OFFLINE
    )
    error = await refused(rig.submit(rig.directive(power_w=3_000)))
    assert (error.code, error.retryable, error.may_have_happened) == (ErrorCode.BACKEND_TRANSIENT, True, False)
    assert (await refused(rig.backend.snapshot(CAR, max_age_s=0))).code is ErrorCode.UNREACHABLE


async def test_a_frame_beyond_the_size_bound_ends_that_line_and_no_other(rig):
    await rig.peer.do("raw", text='[2,"x","Heartbeat",{"a":"' + "b" * 70_000 + '"}]')
    await rig.peer.heard("offline")
    await rig.peer.heard("online")
    directive = rig.directive(power_w=2_000)
    await rig.submit(directive)


@pytest.mark.parametrize(
    "text",
    [
        '[2,"x","../SetChargingProfile",{}]',
        '[2,"x","Heartbeat",{"extra":1}]',
        '[2,"x","Heartbeat",7]',
        '[2,"x","StatusNotification",{"timestamp":"noon","connectorStatus":"Available","evseId":1,"connectorId":1}]',
        '[2,"x","NotifyEVChargingNeeds",{"evseId":1,"timestamp":"noon","chargingNeeds":{"requestedEnergyTransfer":"DC"}}]',
        NAN,
        '[3,"unasked",{}]',
        '[4,"unasked","InternalError","",{}]',
        "not json",
        "[]",
        '{"a":1}',
        '[2,7,"Heartbeat",{}]',
        '[2,"x",["Heartbeat"],{}]',
        '[2,"x","Heartbeat"]',
        '[5,"x","InternalError","",{}]',
        '[6,"x","NotifyPeriodicEventStream",{}]',
        "[" * 5_000,
    ],
    ids=[
        *("unknown", "extra", "no-object", "bad-time", "bad-needs-time", "nan", "unasked-result", "unasked-error"),
        *("no-json", "empty", "object", "number-id", "list-action", "short", "result-error", "send", "deep"),
    ],
)
async def test_what_breaks_a_rule_changes_nothing_and_the_line_stays(rig, text):
    await rig.peer.do("raw", text=text)
    snapshot = await rig.backend.snapshot(CAR, max_age_s=0)
    assert snapshot.plugged.value is Known.YES
    assert snapshot.power_w.value == 11_000
    assert not [one for one in rig.peer.said if "offline" in one]


@pytest.mark.parametrize(
    "given",
    [
        {"password": "another-password-"},
        {"password": None},
        {"password": ""},
        {"id": "CP-2"},
        {"id": "CP-2", "password": ""},
        {"user": "CP-2"},
    ],
    ids=["wrong", "none", "empty", "unknown", "unknown-empty", "other-user"],
)
async def test_a_station_that_is_not_ours_stays_out(given):
    async with central() as rig, station(rig.url, rig.clock, **given) as peer:
        assert await peer.heard("refused") == 401


async def test_no_more_stations_than_the_limit_are_connected():
    both = {"CP-1": {"password": "a-password-of-16+"}, "CP-2": {"password": "a-password-of-16+"}}
    async with (
        central(stations=both, listening={"connections": 1}) as rig,
        station(rig.url, rig.clock) as first,
    ):
        await first.heard("online")
        async with station(rig.url, rig.clock, id="CP-2") as second:
            assert await second.heard("failed")


async def test_a_station_that_connects_again_replaces_its_older_line(rig):
    async with station(rig.url, rig.clock) as twin:
        await twin.heard("online")
        await rig.peer.heard("offline")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"host": "0.0.0.0"}, "security_profile: 1 sends passwords in the clear"),  # noqa: S104 - it is refused
        ({"security_profile": 4}, "security_profile: must be"),
        ({"security_profile": 2}, "certificate: is required"),
        ({"security_profile": 2, "certificate": "/none", "private_key": "/none"}, "certificate or private_key"),
        ({"stations": {"CP-1": {"password": "short"}}}, "stations.CP-1.password: must have 16"),
        ({"stations": {"CP/1": {"password": "a-password-of-16+"}}}, "stations.CP/1: must match"),
        ({"vehicles": {CAR: place(station="CP-9")}}, "vehicles.car-1.station: is not one"),
        ({"vehicles": {CAR: place(), "car-2": place()}}, "vehicles.car-2.evse: is taken"),
        ({"vehicles": {CAR: place(max_charge_w=-1)}}, "vehicles.car-1.max_charge_w: must be greater"),
        ({"vehicles": {CAR: {"station": "CP-1"}}}, "vehicles.car-1.usable_wh: is required"),
        ({"offline_limit_s": 0}, "offline_limit_s: must be greater"),
        ({"prot": 1}, "prot: is not a setting"),
        ({"clock": "noon"}, "clock: a clock is"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(change, complaint):
    with pytest.raises(BackendError, match=complaint) as caught:
        ocpp.backend(settings(**change))
    assert "a-password" not in str(caught.value)


def test_passwords_show_in_no_representation():
    backend = ocpp.backend(settings())
    assert "a-password" not in repr(backend._settings)  # type: ignore[attr-defined]


async def test_events_end_with_their_reader(rig):
    source = rig.backend.events()
    task = asyncio.ensure_future(anext(source))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
        await task
    await source.aclose()
    assert (await rig.backend.snapshot(CAR)).plugged.value is Known.YES
