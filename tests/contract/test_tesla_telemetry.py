"""Teslas' Fleet Telemetry against a real MQTT broker over TLS: it saves calls, and calls fill its gaps."""

from datetime import timedelta

import pytest
from authority import Authority
from external_broker import ExternalBroker, knowing
from recorded import EVENING
from telemetry_rig import FIRST, PASSWORD, SECOND, USER, broker_at, telemetry_rig

from ven_adapters.contract import BackendError, ChargeState, ErrorCode, Known, Reachability, Rung, Setting, Validity
from ven_adapters.oems.tesla.telemetry import CAR_BURST
from ven_adapters.transport.readings.mqtt_readings import Pauses

BY_SCHEDULE_S = 900
CHARGES, STOPS = "DetailedChargeStateCharging", "DetailedChargeStateStopped"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    with broker_at(folder, Authority(folder)) as made:
        yield made


@pytest.fixture
async def rig(tmp_path, broker):
    async with telemetry_rig(tmp_path, broker) as made:
        await made.up()
        yield made


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def test_what_cars_stream_comes_as_readings_and_no_call_is_made(rig):
    await rig.stream(DetailedChargeState=CHARGES, BatteryLevel=61.4, ACChargingPower=7.2, ChargeLimitSoc=80)
    await rig.stream(Location={"latitude": 0.0, "longitude": 0.0}, ACChargingEnergyIn="3.5", TimeToFullCharge=1.5)
    snapshot = await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)
    assert (snapshot.charge_state.value, snapshot.plugged.value) == (ChargeState.CHARGING, Known.YES)
    assert (snapshot.soc_pct.value, snapshot.power_w.value, snapshot.limit_soc_pct.value) == (61.4, 7_200.0, 80)
    assert (snapshot.at_site.value, snapshot.energy_added_wh.value) == (Known.YES, 3_500.0)
    assert (snapshot.time_to_complete_s.value, snapshot.reachability.value) == (5_400.0, Reachability.ONLINE)
    assert snapshot.soc_pct.source == "tesla-telemetry"
    assert rig.reads() == []


async def test_a_value_is_taken_to_be_older_than_its_arrival_for_nobody_tells_when_the_car_saw_it(rig):
    await rig.stream(BatteryLevel=61.4)
    soc = rig.seen[-1].soc_pct
    assert soc.received_at - soc.observed_at == timedelta(seconds=2)


async def test_a_car_that_streams_is_read_by_no_call_though_nothing_changes(rig):
    for _ in range(20):
        await rig.stream(DetailedChargeState=STOPS)
        await rig.clock.advance(180)
        await rig.backend.snapshot("t-0", max_age_s=150)
    assert rig.reads() == []


async def test_who_wants_a_reading_made_now_gets_one_by_a_call(rig):
    await rig.stream(DetailedChargeState=STOPS)
    assert (await rig.backend.snapshot("t-0", max_age_s=0)).charge_state.value is ChargeState.CHARGING
    assert len(rig.reads()) == 1


async def test_a_missed_hour_is_healed_by_a_call(rig):
    await rig.stream(DetailedChargeState=STOPS, BatteryLevel=40)
    await rig.clock.advance(3_600)
    snapshot = await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)
    assert (snapshot.charge_state.value, snapshot.soc_pct.value) == (ChargeState.CHARGING, 48)
    assert len(rig.reads()) == 1


async def test_a_broker_that_is_lost_leaves_cars_to_calls_and_finds_us_again_when_it_comes_back(tmp_path):
    with broker_at(tmp_path / "broker", Authority(tmp_path)) as broker:
        async with telemetry_rig(tmp_path / "state", broker) as rig:
            await rig.up()
            await rig.stream(DetailedChargeState=STOPS)
            broker.stop()
            await rig.up(standing=False)
            await rig.clock.advance(120)
            assert (await rig.backend.snapshot("t-0", max_age_s=60)).charge_state.value is ChargeState.CHARGING
            assert len(rig.reads()) == 1
            broker.start()
            await rig.up()
            await rig.clock.advance(30)
            await rig.stream(DetailedChargeState=STOPS)
            assert (await rig.backend.snapshot("t-0", max_age_s=60)).charge_state.value is ChargeState.STOPPED
            assert len(rig.reads()) == 1


async def test_what_a_car_told_before_our_line_broke_is_not_joined_with_what_it_tells_after(tmp_path):
    with broker_at(tmp_path / "broker", Authority(tmp_path)) as broker:
        async with telemetry_rig(tmp_path / "state", broker) as rig:
            await rig.up()
            await rig.stream(DetailedChargeState=STOPS, ScheduledChargingPending=True)
            broker.stop()
            await rig.up(standing=False)
            broker.start()
            await rig.up()
            await rig.stream(DetailedChargeState=STOPS)
            assert rig.seen[-1].charge_state.value is ChargeState.STOPPED


async def test_a_broker_that_does_not_take_our_password_leaves_cars_to_calls(tmp_path, caplog):
    authority = Authority(tmp_path)
    pair = authority.issue("broker", server=True)
    plugins = knowing(tmp_path / "broker", somebody="else")
    with ExternalBroker(tmp_path / "broker", plugins, tls=(pair.pem, pair.key_file)) as broker:
        broker.ca = str(authority.file)  # type: ignore[attr-defined]
        async with telemetry_rig(tmp_path / "state", broker) as rig:
            rig.telemetry.stream._pauses = Pauses(first_s=600.0)
            await rig.until(lambda: "is interrupted" in caplog.text)
            assert (await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)).soc_pct.value == 48
    assert PASSWORD not in caplog.text


async def test_a_car_that_ends_its_connection_sleeps_and_is_not_called_by_schedule(rig):
    await rig.stream(DetailedChargeState=STOPS)
    await rig.connected()
    await rig.connected("DISCONNECTED")
    await rig.until(lambda: rig.seen[-1].reachability.value is Reachability.ASLEEP)
    await rig.clock.advance(3_600)
    error = await refused(rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S))
    assert (error.code, rig.reads()) == (ErrorCode.ASLEEP, [])
    assert (await rig.backend.snapshot("t-0", max_age_s=0)).charge_state.value is ChargeState.CHARGING


async def test_a_car_is_taken_to_sleep_for_some_hours_and_not_for_ever(rig):
    await rig.connected("DISCONNECTED")
    await rig.until(lambda: rig.seen)
    await rig.clock.advance(7 * 3_600)
    assert (await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)).soc_pct.value == 48


async def test_the_end_of_a_connection_that_another_followed_says_nothing(rig):
    await rig.connected(connection="c-2")
    await rig.stream(DetailedChargeState=STOPS)
    await rig.connected("DISCONNECTED", connection="c-1")
    await rig.stream(BatteryLevel=50)
    assert (await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)).charge_state.value is ChargeState.STOPPED
    assert rig.reads() == []


@pytest.mark.parametrize("off_s", [-3_600, 3_600])
async def test_a_connection_told_at_an_instant_that_is_not_about_now_is_counted_and_passed_over(rig, off_s):
    await rig.connected("DISCONNECTED", at=rig.clock.now() + timedelta(seconds=off_s))
    assert await rig.counted("a message of connectivity whose instant is not about now") == 1
    assert not rig.seen


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (("v/BatteryLevel", b"{"), "a message of 'v' is not of the documented shape"),
        (("v/BatteryLevel", b"x" * 5_000), "a message of more than 4096 bytes"),
        (("v/Odometer", 12.5), "the field 'Odometer' is not read"),
        (("v/BatteryLevel", "full"), "BatteryLevel: 'full' is no number"),
        (("v/BatteryLevel", "NaN"), "BatteryLevel: 'NaN' is no number"),
        (
            ("v/DetailedChargeState", "DetailedChargeStateHovering"),
            "DetailedChargeState: 'Hovering' is not a word that is known",
        ),
        (("connectivity", []), "a message of connectivity is not of the documented shape"),
        (("alerts/CP_a004/current", {"StartedAt": None}), "the alert 'CP_a004'"),
        (("errors/config_manager_error", {"Body": "x"}), "the error 'config_manager_error'"),
    ],
)
async def test_what_is_not_understood_is_counted_and_no_reading(rig, told, what):
    await rig.publish(told)
    assert await rig.counted(what) >= 1
    assert all(one.soc_pct is None and one.charge_state is None for one in rig.seen)
    await rig.publish(("v/BatteryLevel", 50))
    await rig.until(lambda: rig.seen and rig.seen[-1].soc_pct is not None)


async def test_a_value_that_the_car_marks_invalid_is_not_nothing(rig):
    await rig.stream(DetailedChargeState=CHARGES, ACChargingPower=7.2, BatteryLevel=61)
    await rig.stream(ACChargingPower=None, BatteryLevel=None, DetailedChargeState=None)
    snapshot = await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)
    assert (snapshot.power_w.value, snapshot.soc_pct.value) == (7_200.0, 61)
    assert snapshot.charge_state.value is ChargeState.CHARGING


async def test_a_sentinel_never_takes_the_place_of_a_level(rig):
    await rig.stream(DetailedChargeState=STOPS, BatteryLevel=61)
    await rig.stream(BatteryLevel=255)
    assert rig.seen[-1].soc_pct.validity is Validity.SENTINEL
    assert (await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)).soc_pct.value == 61


async def test_what_the_broker_had_kept_is_passed_over_for_nobody_knows_how_old_it_is(tmp_path, broker):
    async with telemetry_rig(tmp_path, broker) as rig:
        await rig.up()
        await rig.publish(("v/DetailedChargeState", STOPS), retain=True)
        await rig.until(lambda: rig.seen)
    async with telemetry_rig(tmp_path, broker) as rig:
        await rig.counted("a message that the broker had kept, of which nobody knows how old it is")
        assert not rig.seen
        await rig.publish(("v/DetailedChargeState", b""), retain=True)  # the broker forgets it


async def test_of_a_car_that_is_not_ours_nothing_is_kept_or_said(rig, caplog):
    caplog.set_level("DEBUG")
    await rig.publish(("v/BatteryLevel", 11), vin="SYNTHETICVIN09999")
    assert await rig.counted("a message of a car that is not ours") == 1
    assert (list(rig.seen), rig.telemetry.last_heard) == ([], {})
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith(("ven_adapters", "mqtt")))
    assert not [word for word in ("SYNTHETICVIN", PASSWORD, USER) if word in ours]


async def test_a_car_that_floods_is_bounded_and_the_others_are_heard(rig):
    await rig.publish(*[("v/BatteryLevel", n % 100) for n in range(int(CAR_BURST) + 50)])
    assert await rig.counted("more messages of one car than all of its fields bring") > 0
    await rig.stream(vin=SECOND, BatteryLevel=44)
    assert (rig.seen[-1].vehicle_ref, rig.seen[-1].soc_pct.value) == ("t-1", 44)


async def test_a_driver_who_takes_over_is_found_by_a_call_for_that_is_not_streamed(rig):
    cars = rig.backend._cars._cars
    await rig.stream(DetailedChargeState=CHARGES)
    await cars.tell("t-0", Setting(Rung.PAUSE, 0))
    await rig.stream(DetailedChargeState=STOPS)
    assert rig.reads() == []
    rig.cloud.override, rig.car().charging = True, True
    await rig.clock.advance(600)
    await rig.stream(DetailedChargeState=CHARGES)
    await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)
    assert (cars.overridden("t-0"), len(rig.reads())) == (True, 1)
    await rig.stream(DetailedChargeState=CHARGES)
    await rig.backend.snapshot("t-0", max_age_s=BY_SCHEDULE_S)
    assert len(rig.reads()) == 1


async def test_a_new_life_of_the_adapter_knows_cars_before_the_first_call_for_their_data(tmp_path, broker):
    async with telemetry_rig(tmp_path, broker, vehicles=False) as rig:
        await rig.up()
        await rig.stream(DetailedChargeState=STOPS)
        assert rig.seen[-1].vehicle_ref.startswith("tesla-")
        assert (FIRST not in rig.seen[-1].vehicle_ref, rig.reads()) == (True, [])
        assert rig.clock.now() >= EVENING
