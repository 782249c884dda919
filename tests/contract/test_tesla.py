"""What is Tesla's own: regions, wakes and their price, whole amperes, reasons, one writer for each owner's grant."""

import asyncio
import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from authority import Authority
from public_rigs import PATIENCE_S, consented, tesla_rig
from recorded import EVENING, recording

from ven_adapters.contract import (
    WAKES_UP_TO_S,
    BackendError,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    Rung,
)
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.oems.tesla.shapes import (
    SCHEDULE_ID,
    achieve,
    capability_of,
    judge,
    snapshot_of_vehicle_data,
    start_once,
)
from ven_adapters.transport.grants.grants import Folder, fetch
from ven_adapters.transport.settings import read_table
from ven_adapters.transport.vendor_session import VendorRefusal

CAP, CURTAIL = DirectiveKind.CAP, DirectiveKind.CURTAIL


@pytest.fixture
async def rig(tmp_path):
    async with tesla_rig(tmp_path) as made:
        yield made


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def test_a_cap_becomes_whole_amperes_rounded_down_and_says_what_it_achieves(rig):
    ack = await rig.submit(rig.directive("t-0", CAP, power_w=3_500))
    assert (ack.setting.rung, ack.setting.current_a, ack.setting.power_w) == (Rung.CURRENT, 14, 14 * 238)
    assert rig.cloud.sent("/set_charging_amps") == [{"charging_amps": 14}]


async def test_five_amperes_are_sent_twice(rig):
    await rig.submit(rig.directive("t-0", CAP, power_w=1_200))
    assert rig.cloud.sent("/set_charging_amps") == [{"charging_amps": 5}] * 2


async def test_a_power_below_five_amperes_is_a_pause(rig):
    ack = await rig.submit(rig.directive("t-0", CAP, power_w=1_100))
    assert (ack.setting.rung, rig.car().charging) == (Rung.PAUSE, False)


async def test_a_capped_car_gets_its_drivers_amperes_back(rig):
    directive = rig.directive("t-0", CAP, power_w=3_500)
    await rig.submit(directive)
    assert rig.car().amps == 14
    await rig.backend.cancel("t-0", directive.directive_id)
    assert (rig.car().amps, rig.car().charging) == (32, True)


async def test_a_cap_after_a_pause_lets_the_car_charge_again_at_the_lower_current(rig):
    await rig.submit(rig.directive("t-0", CURTAIL, minutes=180))
    await rig.submit(rig.directive("t-0", CAP, power_w=3_500))
    assert (rig.car().amps, rig.car().charging) == (14, True)


@pytest.mark.parametrize("name", ["command_not_charging", "command_complete", "start_500_is_charging"])
async def test_a_car_that_already_is_as_asked_is_a_success(rig, name):
    rig.cloud.fail("/command/charge_stop", name)
    assert (await rig.submit(rig.directive("t-0"))).state is DirectiveState.ACCEPTED


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("command_disconnected", ErrorCode.NOT_PLUGGED),
        ("command_no_power", ErrorCode.NO_POWER),
        ("asleep_408", ErrorCode.ASLEEP),
        ("unsigned_403", ErrorCode.NOT_SUPPORTED),
        ("internal_500", ErrorCode.OUTCOME_UNKNOWN),
        ("missing_response", ErrorCode.OUTCOME_UNKNOWN),
    ],
)
async def test_a_refusal_is_told_in_the_contracts_words(rig, name, code):
    rig.cloud.fail("/command/charge_stop", name)
    assert (await refused(rig.submit(rig.directive("t-0")))).code is code


async def test_a_sleeping_car_is_told_asleep_and_never_unplugged(rig):
    rig.car().asleep = True
    snapshot = await rig.backend.snapshot("t-0")
    assert (snapshot.plugged, snapshot.reachability.value) == (None, "ASLEEP")
    assert rig.cloud.sent("/wake_up") == []


async def test_a_car_is_woken_once_in_half_an_hour_at_most(rig):
    rig.car().asleep = True
    assert (await rig.backend.snapshot("t-0", max_age_s=0)).soc_pct.value == 48
    rig.car().asleep = True
    error = await refused(rig.backend.snapshot("t-0", max_age_s=0))
    assert (error.code, error.retry_after_s) == (ErrorCode.ASLEEP, 120.0)
    assert len(rig.cloud.sent("/wake_up")) == 1


async def test_a_reading_by_schedule_does_not_wake_a_car(rig):
    rig.car().asleep = True
    assert (await refused(rig.backend.snapshot("t-0", max_age_s=WAKES_UP_TO_S + 1))).code is ErrorCode.ASLEEP
    assert rig.cloud.sent("/wake_up") == []


def test_a_proxys_own_authority_is_trusted_beside_the_systems(tmp_path):
    authority, bad = Authority(tmp_path), tmp_path / "bad.pem"
    bad.write_text("no certificate")
    given = {
        "url": "https://proxy",
        "token_url": "https://x",
        "client_id": "us",
        "pseudonym_secret": "s",
        "state": tmp_path,
    }
    trusted = read_table(TeslaSettings, given | {"ca": str(authority.file)}).ca
    assert len(trusted.get_ca_certs()) >= 1
    with pytest.raises(BackendError) as caught:
        read_table(TeslaSettings, given | {"ca": str(bad)})
    assert caught.value.detail == "settings.ca: is no file of certificates"


async def test_the_months_money_stops_wakes_and_readings_before_it_stops_commands(tmp_path):
    async with tesla_rig(tmp_path, monthly_usd=0.012) as rig:
        capability, snapshot = await rig.backend.capabilities("t-0"), await rig.backend.snapshot("t-0")
        await rig.backend.snapshot("t-0", max_age_s=0)
        assert (await refused(rig.backend.snapshot("t-0", max_age_s=0))).code is ErrorCode.QUOTA_EXHAUSTED
        ack = await rig.backend.submit(rig.directive("t-0"), capability, snapshot)
        assert ack.state is DirectiveState.ACCEPTED


async def test_an_account_of_another_region_is_followed_there(rig):
    rig.cloud.fail("/api/1/vehicles", "wrong_region_421")
    assert [vehicle.ref async for vehicle in rig.backend.vehicles()] == ["t-0", "t-1"]
    assert ("GET", "/api/1/users/region") in rig.cloud.requests


async def test_one_owners_lost_grant_hides_his_cars_only(tmp_path):
    async with tesla_rig(tmp_path) as rig:
        Folder(tmp_path / "grants").file("owner-0").write_text("{}")
        assert [vehicle.ref async for vehicle in rig.backend.vehicles()] == ["t-0", "t-1"]


async def test_two_processes_spend_a_refresh_token_once(rig, tmp_path):
    twin = tesla.backend(rig.settings)
    try:
        await asyncio.gather(rig.backend.snapshot("t-0"), twin.snapshot("t-0"))
    finally:
        await twin.close()
    assert rig.cloud.refreshes == ["refresh_token-0"]
    assert fetch(tmp_path / "grants" / "owner-1.json").refresh_token == "refresh_token-1"


async def test_a_spent_grant_is_the_owners_matter_and_not_asked_for_again(rig):
    rig.cloud.fail("/token", "invalid_grant")
    consented(rig.settings["state"])
    assert [vehicle.ref async for vehicle in rig.backend.vehicles()] == []
    assert len(rig.cloud.refreshes) == 1


async def test_a_driver_who_cancels_managed_charging_is_left_alone(rig):
    directive = rig.directive("t-0")
    await rig.submit(directive)
    rig.cloud.override, rig.car().charging = True, True
    async with asyncio.timeout(PATIENCE_S):
        status = await rig.backend.status("t-0", directive.directive_id)
        while status.state is not DirectiveState.OVERRIDDEN:
            await rig.backend.snapshot("t-0", max_age_s=0)
            status = await rig.backend.status("t-0", directive.directive_id)
    assert (status.state, status.error) == (DirectiveState.OVERRIDDEN, ErrorCode.USER_OVERRIDE)
    assert len(rig.cloud.commands()) == 1


async def test_a_driver_who_takes_over_has_the_car_for_the_window_and_not_for_ever(rig):
    directive = rig.directive("t-0")
    await rig.submit(directive)
    rig.cloud.override, rig.car().charging = True, True
    await asyncio.sleep(0.1)
    await rig.backend.snapshot("t-0", max_age_s=0)
    events = rig.backend.events()
    async with asyncio.timeout(PATIENCE_S):
        chose = await anext(event async for event in events if isinstance(event, DriverChose))
    await events.aclose()
    assert (chose.vehicle_ref, chose.choice, chose.until) == ("t-0", DriverChoice.BOOST, directive.end)


async def test_a_cap_on_a_car_that_tells_two_phases_draws_no_more_than_asked(rig):
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    raw["charge_state"] |= {"charger_phases": 2, "charger_voltage": 230, "charger_actual_current": 16}
    raw["charge_state"] |= {"charger_power": 11, "charge_current_request_max": 16, "timestamp": 1_782_964_800_000}
    snapshot = snapshot_of_vehicle_data("t-0", raw, None, rig.clock.now())
    assert (snapshot.power_w.value, snapshot.phases.value) == (11_040.0, 3)
    cap = rig.directive("t-0", CAP, power_w=4_000)
    setting = achieve(cap, capability_of(raw), snapshot)
    assert (setting.current_a, setting.power_w) == (5, 3_450)


async def test_a_car_at_a_fast_charger_is_not_at_home(rig):
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    raw["charge_state"] |= {"fast_charger_present": True, "timestamp": 1_782_964_800_000}
    assert snapshot_of_vehicle_data("t-0", raw, (0.0, 0.0), rig.clock.now()).at_site.value is Known.NO


def test_the_power_comes_from_volts_and_amperes_and_not_from_whole_kilowatts():
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    raw["charge_state"]["timestamp"] = int(EVENING.timestamp() * 1000)
    snapshot = snapshot_of_vehicle_data("t-0", raw, None, EVENING)
    assert (snapshot.power_w.value, snapshot.energy_added_wh.value) == (238 * 32, 3_270)
    assert snapshot.time_to_complete_s.value == 205 * 60


def test_a_waiting_schedule_is_not_a_stop_of_ours():
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    raw["charge_state"] |= {"charging_state": "Stopped", "scheduled_charging_pending": True}
    raw["charge_state"]["timestamp"] = int(EVENING.timestamp() * 1000)
    assert snapshot_of_vehicle_data("t-0", raw, None, EVENING).charge_state.value is ChargeState.WAITING_SCHEDULE


def test_a_european_car_at_rest_is_taken_to_have_three_phases():
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    raw["vehicle_config"]["eu_vehicle"] = True
    raw["charge_state"] |= {"charger_phases": None, "charger_voltage": 2}
    capability = capability_of(raw)
    assert (capability.phases, capability.voltage_v) == (3, 230)


@pytest.mark.parametrize("status", [499, 503])
def test_a_command_that_cannot_have_happened_may_be_sent_again(status):
    error = judge(VendorRefusal(status, {}, None, writes=True))
    assert (error.retryable, error.may_have_happened) == (True, False)


PACIFIC = "America/Los_Angeles"


def names(rig):
    return [path.rsplit("/", 1)[1] for path in rig.cloud.commands()]


async def test_a_pause_is_given_its_end_by_the_cars_own_schedule_which_is_removed_when_it_ends_earlier(tmp_path):
    async with tesla_rig(tmp_path, time_zones={"t-0": PACIFIC}) as rig:
        directive = rig.directive("t-0", minutes=180)
        await rig.submit(directive)
        assert names(rig) == ["add_charge_schedule", "charge_stop"]
        (body,) = rig.cloud.sent("/add_charge_schedule")
        end = directive.end.astimezone(ZoneInfo(PACIFIC))
        assert 0 <= body["start_time"] - (60 * end.hour + end.minute) <= 1
        assert (body["one_time"], body["end_enabled"], body["lat"], body["lon"]) == (True, False, 0.0, 0.0)
        await rig.backend.cancel("t-0", directive.directive_id)
        assert names(rig)[2:] == ["charge_start", "remove_charge_schedule"]
        assert rig.cloud.sent("/remove_charge_schedule") == [{"id": SCHEDULE_ID}]


async def test_a_cap_and_a_car_whose_time_zone_is_not_known_have_no_schedule(tmp_path):
    async with tesla_rig(tmp_path, time_zones={"t-0": PACIFIC}) as rig:
        await rig.submit(rig.directive("t-0", CAP, power_w=3_500))
        assert names(rig) == ["set_charging_amps"]
    async with tesla_rig(tmp_path / "unknown") as rig:
        await rig.submit(rig.directive("t-0"))
        assert names(rig) == ["charge_stop"]


async def test_a_car_that_takes_no_schedule_is_paused_all_the_same(tmp_path):
    async with tesla_rig(tmp_path, time_zones={"t-0": PACIFIC}) as rig:
        rig.cloud.fail("/add_charge_schedule", "internal_500")
        await rig.submit(rig.directive("t-0"))
        assert not rig.car().charging


@pytest.mark.parametrize(
    ("at", "day", "minute"),
    [
        (datetime(2026, 7, 2, 7, 0, tzinfo=UTC), "Thursday", 0),
        (datetime(2026, 7, 2, 6, 59, 1, tzinfo=UTC), "Thursday", 0),
        (datetime(2026, 7, 2, 6, 59, tzinfo=UTC), "Wednesday", 24 * 60 - 1),
    ],
)
def test_a_schedule_starts_at_the_first_whole_minute_from_the_end_of_a_pause(at, day, minute):
    body = json.loads(start_once(at.astimezone(ZoneInfo(PACIFIC)), (37.0, -122.0)))
    assert (body["days_of_week"], body["start_time"]) == (day, minute)


def test_a_time_zone_that_does_not_exist_is_refused_by_its_key(tmp_path):
    given = {"url": "http://x", "token_url": "http://x", "client_id": "us", "pseudonym_secret": "hush"}
    with pytest.raises(BackendError, match=r"time_zones\.t-0"):
        tesla.backend(given | {"state": tmp_path, "time_zones": {"t-0": "Mars/Base"}})


async def test_many_who_ask_for_their_cars_at_once_list_them_once(rig):
    rig.backend._cars._cars._settings.names._natives.clear()
    rig.cloud.requests.clear()
    await asyncio.gather(*(rig.backend.capabilities("t-0") for _ in range(5)))
    assert rig.cloud.requests.count(("GET", "/api/1/vehicles")) == 1
