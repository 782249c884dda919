"""Charging profiles, meter values and the bounds of a discharge: pure, and checked against the published schemas."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ven_adapters.contract import (
    Certainty,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    OnCommLoss,
    Reading,
    Rung,
    Setting,
    Snapshot,
    Validity,
)
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.profiles import charging_profiles, v2x
from ven_adapters.transport.ocpp21.profiles.charging_profiles import ProfileWindow
from ven_adapters.transport.ocpp21.profiles.profile_records import KEPT_PER_CAR, ProfileRecord, ProfileRecords, advance
from ven_adapters.transport.ocpp21.stations import charging_points, meter_values
from ven_adapters.transport.ocpp21.stations.charging_points import CarNeeds, ChargingPoint, RegisteredPoint, Station
from ven_adapters.transport.ocpp21.stations.inverter_alarms import Alarms
from ven_adapters.transport.ocpp21.stations.meter_values import Circuit
from ven_adapters.transport.windows.journal import Journal

NOW = datetime(2026, 9, 1, 21, 0, tzinfo=UTC)
PLACE = RegisteredPoint(ref="car-1", station="CP-1", usable_wh=60_000, max_charge_w=11_000, max_discharge_w=9_600)
ABLE = Station(connected=True, v2x=True, modes=frozenset({"CentralSetpoint"}))
ALLOWS = CarNeeds(NOW, bidirectional=True)


def directive(power_w=-7_000, *, start=NOW, minutes=60, **more):
    given = {"reserve_soc_pct": 30.0, "on_comm_loss": OnCommLoss.STOP} | more
    end = start + timedelta(minutes=minutes)
    return Directive("d-1", "k-1", "car-1", DirectiveKind.SETPOINT, start, end, end, power_w=power_w, **given)


def point(soc_pct=60.0, at=NOW, needs=ALLOWS, exported_wh=0.0):
    snapshot = Snapshot(
        "car-1",
        soc_pct=Reading(soc_pct, at, at, "meter"),
        energy_exported_wh=Reading(exported_wh, at, at, "meter"),
    )
    return ChargingPoint(PLACE, snapshot, "tx-1", needs)


def profile(asked, setting, *, now=NOW, spare_wh=0.0, offline_limit_s=300):
    payload = charging_profiles.set_profile(
        ProfileWindow(asked, setting, PLACE, "tx-1", 1, offline_limit_s, spare_wh), now
    )
    frames.check(frames.CALL, "SetChargingProfile", payload)
    return payload["chargingProfile"]


@given(
    power_w=some.integers(-9_600, 11_000),
    minutes=some.integers(1, 1_440),
    late_s=some.floats(-3_600, 3_600),
    spare_wh=some.floats(0, 60_000),
)
def test_every_profile_keeps_the_schema_has_three_dead_men_and_ends_with_its_window(power_w, minutes, late_s, spare_wh):
    asked = directive(power_w, minutes=minutes)
    now = min(NOW + timedelta(seconds=late_s), asked.end - timedelta(seconds=1))
    made = profile(asked, Setting(Rung.POWER if power_w else Rung.PAUSE, power_w), now=now, spare_wh=spare_wh)
    (schedule,) = made["chargingSchedule"]
    start, valid_to = meter_values.instant(schedule["startSchedule"]), meter_values.instant(made["validTo"])
    assert (made["maxOfflineDuration"], made["invalidAfterOfflineDuration"]) == (300, True)
    assert valid_to == asked.end
    assert start + timedelta(seconds=schedule["duration"]) <= valid_to + timedelta(milliseconds=1)
    assert start >= max(now, asked.start) - timedelta(milliseconds=1)


@given(power_w=some.integers(-9_600, -1), minutes=some.integers(1, 600), spare_wh=some.floats(0, 60_000))
def test_no_discharge_profile_gives_more_than_may_be_taken(power_w, minutes, spare_wh):
    made = profile(directive(power_w, minutes=minutes), Setting(Rung.POWER, power_w), spare_wh=spare_wh)
    (schedule,) = made["chargingSchedule"]
    give, *idle = schedule["chargingSchedulePeriod"]
    lasts_s = idle[0]["startPeriod"] if idle else schedule["duration"]
    assert give["setpoint"] == power_w
    assert -power_w * lasts_s / 3_600 <= spare_wh + 1e-6
    assert all(set(one) == {"startPeriod", "operationMode"} and one["operationMode"] == "Idle" for one in idle)


@given(
    soc_pct=some.floats(0, 100),
    reserve_pct=some.floats(0, 100),
    budget_wh=some.none() | some.integers(0, 60_000),
    let_out_wh=some.none() | some.floats(0, 60_000),
    given_wh=some.floats(0, 60_000),
)
def test_what_may_be_taken_stays_above_the_reserve_and_within_each_bound(
    soc_pct, reserve_pct, budget_wh, let_out_wh, given_wh
):
    asked = directive(reserve_soc_pct=reserve_pct, max_energy_wh=budget_wh)
    needs = dataclasses.replace(ALLOWS, spare_wh=let_out_wh, exported_wh=0.0)
    spare_wh = v2x.spare_wh(asked, point(soc_pct, needs=needs, exported_wh=given_wh))
    assert 0 <= spare_wh / v2x.EFFICIENCY <= max(0.0, (soc_pct - reserve_pct) / 100 * PLACE.usable_wh) + 1e-6
    assert budget_wh is None or spare_wh <= budget_wh
    left_wh = math.inf if let_out_wh is None else let_out_wh - given_wh / v2x.EFFICIENCY  # in the battery
    assert spare_wh / v2x.EFFICIENCY <= max(0.0, left_wh) + 1e-6


@pytest.mark.parametrize(
    ("asked", "car", "station", "named"),
    [
        (directive(), point(), dataclasses.replace(ABLE, alarms=frozenset({"UnderVoltage"})), "der_alarm"),
        (directive(), point(needs=None), ABLE, "v2xChargingParameters"),
        (directive(), point(needs=dataclasses.replace(ALLOWS, own_schedule=True)), ABLE, "controlMode"),
        (directive(), point(needs=dataclasses.replace(ALLOWS, departure=NOW)), ABLE, "departureTime"),
        (directive(), point(soc_pct=30.0), ABLE, "reserve_soc_pct"),
        (directive(reserve_soc_pct=None), point(), ABLE, "reserve_soc_pct"),
        (directive(), point(at=NOW - timedelta(minutes=16)), ABLE, "soc_pct"),
        (directive(max_energy_wh=0), point(), ABLE, "spare_wh"),
    ],
    ids=["alarm", "needs", "schedule", "departure", "at-reserve", "no-reserve", "stale", "budget"],
)
def test_a_discharge_without_any_one_leave_is_refused_by_its_name(asked, car, station, named):
    assert v2x.refusal(asked, car, station, NOW).detail.startswith(named)


def test_a_discharge_with_every_leave_is_not_refused():
    assert v2x.refusal(directive(), point(), ABLE, NOW) is None


@pytest.mark.parametrize("station", [Station(), dataclasses.replace(ABLE, v2x=False), Station(v2x=True)])
def test_a_station_that_does_not_say_it_follows_set_points_has_no_discharge(station):
    assert v2x.capability(point(), station).discharge is None


def test_the_profiles_number_follows_from_the_directives_id():
    assert (
        charging_profiles.profile_id("d-1")
        == charging_profiles.profile_id("d-1")
        != charging_profiles.profile_id("d-2")
    )
    assert 0 <= charging_profiles.profile_id("d-1") < 2**31


@pytest.mark.parametrize(
    ("sample", "watts"),
    [
        ([{"value": 7.2, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}}], 7_200),
        ([{"value": 72, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W", "multiplier": 2}}], 7_200),
        ([{"value": 7_000, "measurand": "Power.Active.Export"}], None),
        (
            [
                {"value": 7_000, "measurand": "Power.Active.Export"},
                {"value": 0, "measurand": "Power.Active.Import"},
            ],
            -7_000,
        ),
        ([{"value": 1_000, "measurand": "Power.Active.Import", "phase": f"L{n}"} for n in (1, 2, 3)], 3_000),
        (
            [
                {"value": 1_000, "measurand": "Power.Active.Import", "phase": "L1"},
                {"value": 2_500, "measurand": "Power.Active.Import"},
            ],
            2_500,
        ),
        ([{"value": math.inf, "measurand": "Power.Active.Import"}], None),
        ([{"value": 5}], None),
    ],
    ids=["kilowatts", "multiplier", "export-alone", "export", "phases", "total-wins", "infinite", "energy-by-default"],
)
def test_meter_values_have_one_unit_and_one_sign(sample, watts):
    (found,), _ = meter_values.read([{"timestamp": "2026-09-01T21:00:00Z", "sampledValue": sample}], Circuit())
    assert found.power_w == watts


@pytest.mark.parametrize("soc", [255, -1, math.nan])
def test_a_charge_level_out_of_range_is_none(soc):
    sample = [{"value": soc, "measurand": "SoC"}]
    (found,), _ = meter_values.read([{"timestamp": "2026-09-01T21:00:00Z", "sampledValue": sample}], Circuit())
    assert found.soc_pct is None


def values(power_w, at):
    sample = [{"value": power_w, "measurand": "Power.Active.Import"}]
    return [{"timestamp": meter_values.stamp(at), "sampledValue": sample}]


def event(at, kind="Updated", transaction="tx-1", **more):
    info = {"transactionId": transaction, "chargingState": "Charging"}
    fixed = {"eventType": kind, "timestamp": meter_values.stamp(at), "triggerReason": "Trigger", "seqNo": 1}
    return fixed | {"transactionInfo": info} | more


def test_what_a_station_queued_never_overwrites_what_is_newer():
    fresh = charging_points.metered(charging_points.new_point(PLACE), values(5_000, NOW), NOW)
    after = charging_points.metered(fresh, values(1_000, NOW - timedelta(minutes=5)), NOW)
    assert after.snapshot.power_w.value == 5_000


def test_an_ended_transaction_is_not_revived_by_an_older_event():
    ended = charging_points.transaction(point(), event(NOW, "Ended"), NOW)
    assert charging_points.transaction(ended, event(NOW - timedelta(seconds=1)), NOW).transaction is None


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(hours=1)], ids=["1970", "future"])
def test_a_reading_of_an_unbelievable_instant_is_a_sentinel(at):
    after = charging_points.metered(charging_points.new_point(PLACE), values(5_000, at), NOW)
    assert after.snapshot.power_w.validity is Validity.SENTINEL


def test_a_transaction_that_anothers_token_began_is_no_car_of_ours():
    mine = charging_points.new_point(PLACE.model_copy(update={"id_token": "mine"}))
    token = {"idToken": {"idToken": "theirs", "type": "ISO14443"}}
    after = charging_points.transaction(mine, event(NOW, "Started", **token), NOW)
    later = charging_points.transaction(after, event(NOW + timedelta(seconds=1)), NOW + timedelta(seconds=1))
    assert (after.transaction, later.transaction) == (None, None)
    token = {"idToken": {"idToken": "mine", "type": "ISO14443"}}
    third = charging_points.transaction(later, event(NOW + timedelta(seconds=2), "Started", "tx-2", **token), NOW)
    assert third.transaction == "tx-2"


def test_an_alarm_is_remembered_until_its_station_takes_it_back(tmp_path):
    first = Alarms(tmp_path / "alarms.json")
    first.note("st-1", Station(alarms=frozenset({"UnderVoltage"}), alarmed_at=NOW))
    first.note("st-2", Station(alarms=frozenset({"UnderVoltage"}), alarmed_at=NOW))
    first.note("st-2", Station(alarms=frozenset(), alarmed_at=NOW))
    later = Alarms(tmp_path / "alarms.json")
    later.read({"st-1": None, "st-2": None, "st-3": None}, NOW)
    assert [later.station(name, NOW).alarms for name in ("st-1", "st-2", "st-3")] == [{"UnderVoltage"}, set(), set()]
    assert later.station("st-3", NOW).alarmed_at is None


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'[["st-1", [["x"], "noon"]]]'])
def test_a_record_of_alarms_that_cannot_be_read_is_an_alarm(tmp_path, body):
    (tmp_path / "alarms.json").write_bytes(body)
    alarms = Alarms(tmp_path / "alarms.json")
    alarms.read({"st-1": None}, NOW)
    assert alarms.station("st-1", NOW).alarms


def token(name):
    return {"idToken": {"idToken": name, "type": "ISO14443"}}


def with_a_stranger():
    """A charging point of ours at which another car charges."""
    mine = charging_points.new_point(PLACE.model_copy(update={"id_token": "mine"}))
    return charging_points.transaction(mine, event(NOW, "Started", **token("theirs")), NOW)


def test_what_anothers_car_shows_is_no_reading_of_ours():
    sample = [{"value": 90, "measurand": "SoC"}]
    after = charging_points.metered(
        with_a_stranger(), [{"timestamp": meter_values.stamp(NOW), "sampledValue": sample}], NOW
    )
    assert after.snapshot.soc_pct is None
    begun = event(NOW + timedelta(seconds=1), "Started", "tx-2", meterValue=values(5_000, NOW), **token("mine"))
    assert charging_points.transaction(after, begun, NOW).snapshot.power_w.value == 5_000


def test_what_anothers_car_lets_out_is_not_what_ours_does():
    told = {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "AC_BPT", "v2xChargingParameters": {}}}
    asked = charging_points.needs(with_a_stranger(), told, NOW)
    gone = charging_points.transaction(asked, event(NOW + timedelta(seconds=1), "Ended"), NOW)
    begun = event(NOW + timedelta(seconds=2), "Started", "tx-2", **token("mine"))
    assert charging_points.transaction(gone, begun, NOW).needs is None


def test_a_late_word_of_anothers_car_does_not_end_what_ours_does_now():
    begun = charging_points.transaction(with_a_stranger(), event(NOW, "Started", "tx-2", **token("mine")), NOW)
    late = event(NOW - timedelta(seconds=5), "Ended", "tx-1", **token("theirs"))
    assert charging_points.transaction(begun, late, NOW).transaction == "tx-2"


def test_a_clock_that_was_once_ahead_hides_no_end():
    begun = charging_points.transaction(point(), event(NOW + timedelta(days=9_000), "Started", "tx-2"), NOW)
    after = charging_points.transaction(
        begun, event(NOW + timedelta(hours=1), "Ended", "tx-2"), NOW + timedelta(hours=1)
    )
    assert after.transaction is None


def test_needs_are_forgotten_with_the_transaction_that_they_belong_to():
    told = {
        "evseId": 1,
        "timestamp": meter_values.stamp(NOW),
        "chargingNeeds": {"requestedEnergyTransfer": "AC_BPT"},
    }
    asked = charging_points.needs(point(needs=None), told | {"chargingNeeds": told["chargingNeeds"]}, NOW)
    assert asked.needs is not None
    assert charging_points.transaction(asked, event(NOW, transaction="tx-2"), NOW).needs is None


def test_a_report_and_an_answer_tell_the_same():
    rows = [
        {"component": {"name": name}, "variable": {"name": variable}, "attributeValue": value}
        for name, variable, value in (
            ("V2XChargingCtrlr", "Enabled", "TRUE"),
            ("V2XChargingCtrlr", "SupportedOperationModes", "Idle, CentralSetpoint"),
            ("SmartChargingCtrlr", "ProfileStackLevel", "3"),
        )
    ]
    told = charging_points.variables(Station(), rows)
    assert (told.v2x, told.modes, told.highest_level) == (True, {"Idle", "CentralSetpoint"}, 3)
    assert charging_points.variables(told, []) == told


@pytest.mark.parametrize("text", ["[" * 100_000, b"[]", '[2,"",  "Heartbeat",{}]', '[2,"' + "x" * 37 + '","A",{}]'])
def test_a_frame_that_is_none_is_bad(text):
    with pytest.raises(frames.BadFrame):
        frames.parse(text)


@given(some.text())
def test_no_text_breaks_the_reader_of_frames(text):
    try:
        frames.parse(text)
    except frames.BadFrame:
        return


def record(asked=None, power_w=-7_000):
    asked = asked or directive(power_w)
    made = ProfileRecord(asked, Setting(Rung.POWER, power_w), "tx-1", 1, NOW)
    made.move(DirectiveState.ACCEPTED, Trigger.ACK)
    return made


def at_power(power_w, at, validity=Validity.OK):
    made = point()
    power = Reading(float(power_w), at, at, "meter", validity)
    return dataclasses.replace(made, snapshot=dataclasses.replace(made.snapshot, power_w=power))


@pytest.mark.parametrize(
    ("car", "state", "certainty"),
    [
        (at_power(-7_000, NOW), DirectiveState.ACCEPTED, Certainty.ACCEPTED),
        (at_power(-7_000, NOW + timedelta(seconds=1)), DirectiveState.IN_FORCE, Certainty.METERED),
        (at_power(-7_000, NOW + timedelta(seconds=1), Validity.SENTINEL), DirectiveState.ACCEPTED, Certainty.ACCEPTED),
        (at_power(7_000, NOW + timedelta(seconds=1)), DirectiveState.ACCEPTED, Certainty.ACCEPTED),
        (at_power(0, NOW + timedelta(seconds=1)), DirectiveState.ACCEPTED, Certainty.ACCEPTED),
    ],
    ids=["as-old-as-the-send", "newer", "sentinel", "the-other-way", "nothing"],
)
def test_only_a_valid_meter_value_newer_than_the_send_puts_a_directive_in_force(car, state, certainty):
    made = record()
    advance(made, car, ABLE, NOW + timedelta(minutes=1))
    assert (made.state, made.certainty) == (state, certainty)


def test_a_discharge_that_a_der_control_curtails_is_not_in_force_until_its_end():
    curtailed = dataclasses.replace(ABLE, controls=frozenset({"c-1"}))
    made, states = record(), []
    steps = [
        (-7_000, ABLE),
        (-7_000, curtailed),
        (-2_000, curtailed),
        (-7_000, curtailed),
        (0, curtailed),
        (-7_000, ABLE),
    ]
    for second, (power_w, station) in enumerate(steps, 1):
        at = NOW + timedelta(seconds=second)
        advance(made, at_power(power_w, at), station, at)
        states.append(made.state)
    force, held_back = DirectiveState.IN_FORCE, DirectiveState.INTERRUPTED
    assert states == [force, force, held_back, force, held_back, force]


def test_a_der_control_says_nothing_of_a_cap():
    curtailed = dataclasses.replace(ABLE, controls=frozenset({"c-1"}))
    made = record(power_w=3_000)
    advance(made, at_power(3_000, NOW + timedelta(seconds=1)), curtailed, NOW + timedelta(seconds=1))
    assert made.state is DirectiveState.IN_FORCE


def test_a_discharge_is_taken_away_at_its_end_and_so_is_whatever_a_wrong_clock_would_end():
    over = NOW + timedelta(minutes=60)
    late = dataclasses.replace(ABLE, clock_offset_s=-7_200.0)
    for power_w, station, lingers in ((-7_000, ABLE, True), (3_000, ABLE, False), (3_000, late, True)):
        made = record(power_w=power_w)
        assert advance(made, at_power(power_w, NOW + timedelta(seconds=1)), station, over)
        assert made.lingers(over) is lingers
        assert not made.lingers(over + timedelta(hours=1))


@pytest.mark.parametrize("validity", [Validity.OK, Validity.STALE])
def test_a_discharge_stops_at_the_reserve_whether_the_reading_proves_anything_or_not(validity):
    car = point(soc_pct=29.0)
    doubted = dataclasses.replace(car.snapshot.soc_pct, validity=validity)
    car = dataclasses.replace(car, snapshot=dataclasses.replace(car.snapshot, soc_pct=doubted))
    assert v2x.stop(directive(), car, ABLE).code is ErrorCode.LIMIT_REACHED


def test_no_discharge_goes_on_at_a_station_whose_clock_is_out():
    told = v2x.stop(directive(), point(), dataclasses.replace(ABLE, clock_offset_s=-7_200.0))
    assert (told.code, "clock" in told.detail) == (ErrorCode.NOT_PERMITTED, True)
    assert v2x.stop(directive(), point(), ABLE) is None


def test_a_directive_that_was_never_seen_in_force_expires_at_its_end():
    made = record()
    assert advance(made, at_power(0, NOW + timedelta(seconds=1)), ABLE, made.directive.end)
    assert made.state is DirectiveState.EXPIRED


def test_what_is_in_doubt_is_no_better_known_for_a_meter_value():
    made = record()
    made.in_doubt = True
    assert not advance(made, at_power(-7_000, NOW + timedelta(seconds=1)), ABLE, NOW + timedelta(minutes=1))


def test_a_book_forgets_final_directives_first_and_live_ones_never():
    book, live = ProfileRecords(Journal(None, ProfileRecord)), record()
    book.add(live)
    for number in range(200):
        over = record(dataclasses.replace(directive(), directive_id=f"n-{number}", key=f"n-{number}"))
        over.move(DirectiveState.CANCELLED, Trigger.CANCEL)
        book.add(over)
    assert len(book.of("car-1")) <= KEPT_PER_CAR
    assert book.get("car-1", "d-1") is live
