"""Public interfaces that only read, beside a backend that commands: BMW CarData and FordConnect Query."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_rigs import consented, usual
from recorded import EVENING, ReadOnlyCloud, hurried, recording

from ven_adapters.contract import BackendError, ChargeState, ErrorCode, Known, Reading, Snapshot, Validity
from ven_adapters.oems import bmw, ford, ford_query
from ven_adapters.oems.bmw_cardata import CarData, CarDataSettings, judge, snapshot_of_telematic_data
from ven_adapters.oems.ford_query import FordQuery, FordQuerySettings
from ven_adapters.transport.call_quota import DayQuota
from ven_adapters.transport.readings.second_source import WithSource, newest
from ven_adapters.transport.settings import read_table
from ven_adapters.transport.vendor_session import VendorRefusal

SEEN = datetime(2026, 7, 2, 3, 50, tzinfo=UTC)


@contextlib.asynccontextmanager
async def source_of(make, vendor, state, vin, speed=1.0):
    clock = hurried(speed)
    async with ReadOnlyCloud(vendor, clock).open() as cloud:
        consented(state)
        settings = usual(cloud, clock, state) | {"vehicles": {vin: "car-1"}}
        model = CarDataSettings if vendor == "bmw" else FordQuerySettings
        source = make(read_table(model, settings | ({"container": "c-1"} if vendor == "bmw" else {})))
        try:
            yield source, cloud
        finally:
            await source.close()


class Stub:
    """A backend with one reading."""

    def __init__(self, snapshot) -> None:
        self.snapshot_of = snapshot

    async def snapshot(self, _ref, **_asked):
        if isinstance(self.snapshot_of, BackendError):
            raise self.snapshot_of
        return self.snapshot_of


async def test_cardata_is_read_in_the_contracts_units(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, _):
        snapshot = await source.read("car-1")
    assert (snapshot.soc_pct.value, snapshot.power_w.value, snapshot.limit_soc_pct.value) == (61, 10_400, 90)
    assert (snapshot.charge_state.value, snapshot.plugged.value) == (ChargeState.CHARGING, Known.YES)
    assert (snapshot.time_to_complete_s.value, snapshot.soc_pct.observed_at) == (5_700, SEEN)


async def test_cardata_is_asked_once_an_hour_at_most(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, cloud):
        for _ in range(5):
            await source.read("car-1")
        assert [path.rsplit("/", 1)[1] for _, path in cloud.requests] == ["mappings", "telematicData"]


async def read_without_memory(source, times):
    for _ in range(times):
        source._asked.clear()
        await source.read("car-1")


async def test_our_own_budget_keeps_an_account_below_fifty_calls_in_any_day_over_restarts_too(tmp_path):
    for _ in range(2):
        async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, cloud):
            with pytest.raises(BackendError) as caught:
                await read_without_memory(source, 60)
            asked, cloud.requests = len(cloud.requests), []
        assert caught.value.code in {ErrorCode.QUOTA_EXHAUSTED, ErrorCode.INVALID_REQUEST}
        assert asked in {40, 0}
    assert asked == 0


async def test_after_a_refusal_for_quota_nothing_is_asked_again(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, cloud):
        cloud.fail("telematicData", "quota_403")
        for _ in range(3):
            with pytest.raises(BackendError) as caught:
                await source.read("car-1")
            assert caught.value.code is ErrorCode.QUOTA_EXHAUSTED
        assert [path.rsplit("/", 1)[1] for _, path in cloud.requests] == ["mappings", "telematicData"]


@given(st.lists(st.integers(0, 40_000), max_size=60), st.integers(1, 9))
def test_no_day_sees_more_calls_than_the_quota_whenever_they_are_asked_for(gaps_s, most):
    now, quota, taken = EVENING, DayQuota(most, None, EVENING), []
    for gap_s in gaps_s:
        now += timedelta(seconds=gap_s)
        if sum(now - at < timedelta(days=1) for at in taken) < most:
            quota.pay(now)
            taken.append(now)
            continue
        with pytest.raises(BackendError) as caught:
            quota.pay(now)
        assert caught.value.retry_after_s == pytest.approx((taken[-most] + timedelta(days=1) - now).total_seconds())


def test_a_quota_that_cannot_be_read_counts_as_spent(tmp_path):
    file = tmp_path / "quota.json"
    file.write_bytes(b"{")
    quota = DayQuota(3, file, EVENING)
    with pytest.raises(BackendError):
        quota.pay(EVENING)
    quota.pay(EVENING + timedelta(days=1))


def test_a_quota_that_the_vendor_closed_opens_in_an_hour_although_the_clock_is_set_back():
    quota, year_ago = DayQuota(3, None, EVENING), EVENING - timedelta(days=365)
    quota.refused(EVENING)
    with pytest.raises(BackendError) as caught:
        quota.pay(year_ago)
    assert caught.value.retry_after_s == 3600
    quota.pay(year_ago + timedelta(hours=1))


async def test_an_owner_whose_grant_fails_hides_his_own_cars_only_and_is_asked_again(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, cloud):
        consented(tmp_path, "owner-0")
        cloud.fail("mappings", "forbidden_403")
        assert (await source.read("car-1")).soc_pct.value == 61
        cloud.failures.clear()
        with pytest.raises(BackendError):
            await source.read("car-2")
        assert [path.rsplit("/", 1)[1] for _, path in cloud.requests].count("mappings") == 3


def test_a_reading_older_than_a_day_is_marked_old_and_one_that_cannot_be_is_a_sentinel():
    told = recording("bmw", "telematic_data")["body"]["telematicData"]
    told["vehicle.body.chargingPort.status"]["timestamp"] = "2026-06-30T03:50:00Z"
    told["vehicle.drivetrain.batteryManagement.header"]["value"] = "255"
    found = snapshot_of_telematic_data("car-1", told, EVENING)
    assert (found.plugged.validity, found.soc_pct.validity) == (Validity.STALE, Validity.SENTINEL)
    assert found.power_w.validity is Validity.OK


def test_the_quota_of_cardata_is_no_loss_of_consent():
    codes = [
        judge(VendorRefusal(found["status"], found["body"], None, writes=False)).code
        for found in (recording("bmw", "quota_403"), recording("bmw", "forbidden_403"))
    ]
    assert codes == [ErrorCode.QUOTA_EXHAUSTED, ErrorCode.NOT_PERMITTED]


def test_what_is_no_number_is_left_out():
    told = recording("bmw", "telematic_data")["body"]["telematicData"]
    told["vehicle.drivetrain.batteryManagement.header"]["value"] = "unknown"
    assert snapshot_of_telematic_data("car-1", told, EVENING).soc_pct is None


SOC, DISPLAYED = (
    "vehicle.drivetrain.batteryManagement.header",
    "vehicle.powertrain.electric.battery.stateOfCharge.displayed",
)


@pytest.mark.parametrize(("header_min", "displayed_min", "expected"), [(5, 0, 61), (0, 5, 64)])
def test_the_level_of_charge_that_the_car_saw_last_counts(header_min, displayed_min, expected):
    def at(minutes, value):
        return {"value": value, "unit": "%", "timestamp": (SEEN + timedelta(minutes=minutes)).isoformat()}

    told = {SOC: at(header_min, "61"), DISPLAYED: at(displayed_min, 64)}
    assert snapshot_of_telematic_data("car-1", told, EVENING).soc_pct.value == expected


@pytest.mark.parametrize(("raw", "phases"), [("3-PHASES", 3), (1, 1), ("2", 2), ("OTHER", None), (None, None)])
def test_phases_are_read_however_they_are_written(raw, phases):
    told = {"vehicle.drivetrain.electricEngine.charging.phaseNumber": {"value": raw, "timestamp": SEEN.isoformat()}}
    found = snapshot_of_telematic_data("car-1", told, EVENING).phases
    assert (None if found is None else found.value) == phases


@pytest.mark.parametrize("raw", ["NaN", "inf", True, None, [], "full"])
def test_what_only_looks_like_a_number_is_left_out(raw):
    assert (
        snapshot_of_telematic_data("car-1", {SOC: {"value": raw, "timestamp": SEEN.isoformat()}}, EVENING).soc_pct
        is None
    )


@pytest.mark.parametrize("told", [[], 3, None, {SOC: 3}, {SOC: "x"}])
def test_a_reading_of_another_shape_is_the_vendors_trouble_and_no_crash(told):
    for read in (snapshot_of_telematic_data, ford_query.snapshot_of_metrics):
        shown = told if not isinstance(told, dict) else told | {"xevBatteryStateOfCharge": told[SOC]}
        with pytest.raises(BackendError) as caught:
            read("car-1", shown, EVENING)
        assert caught.value.code is ErrorCode.BACKEND_TRANSIENT


async def test_a_car_that_somebody_else_mainly_uses_is_not_read(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00005") as (source, _):
        with pytest.raises(BackendError) as caught:
            await source.read("car-1")
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_ford_is_read_in_the_contracts_units_and_once_a_minute(tmp_path):
    async with source_of(FordQuery, "ford", tmp_path, "SYNTHETICVIN00006") as (source, cloud):
        snapshot = await source.read("car-1")
        await source.read("car-1")
        assert [path for _, path in cloud.requests] == ["/v1/garage", "/v1/telemetry"]
    assert (snapshot.soc_pct.value, snapshot.time_to_complete_s.value) == (57.5, 8_400)
    assert (snapshot.charge_state.value, snapshot.soc_pct.observed_at) == (ChargeState.CHARGING, SEEN)


@pytest.mark.parametrize(
    ("plug", "shown", "plugged", "state"),
    [
        ("CHARGINGAC", None, Known.YES, ChargeState.CHARGING),
        ("COMPLETE", None, Known.YES, ChargeState.COMPLETE),
        ("CONNECTED", "IN_PROGRESS", Known.YES, ChargeState.CHARGING),
        ("CONNECTED", "SCHEDULED", Known.YES, ChargeState.WAITING_SCHEDULE),
        ("CONNECTED", "COMPLETED", Known.YES, ChargeState.COMPLETE),
        ("CONNECTED", "NOT_READY", Known.YES, ChargeState.STOPPED),
        ("DISCONNECTED", "COMPLETED", Known.NO, ChargeState.UNPLUGGED),
    ],
)
def test_fords_words_for_a_car_at_its_plug_are_understood(plug, shown, plugged, state):
    at = SEEN.isoformat()
    metrics = {"xevPlugChargerStatus": {"value": plug, "updateTime": at}}
    metrics |= {} if shown is None else {"xevBatteryChargeDisplayStatus": {"value": shown, "updateTime": at}}
    found = ford_query.snapshot_of_metrics("car-1", metrics, EVENING)
    assert (found.plugged.value, found.charge_state.value) == (plugged, state)


STATUS, BATTERY_STATUS = (f"vehicle.drivetrain.electricEngine.charging.{name}" for name in ("status", "hvStatus"))


@pytest.mark.parametrize(
    ("status", "battery", "battery_min", "state"),
    [
        (None, "CHARGING", 0, ChargeState.CHARGING),
        (None, "WAITING_FOR_CHARGING", 0, ChargeState.WAITING_SCHEDULE),
        (None, "FINISHED_FULLY_CHARGED", 0, ChargeState.COMPLETE),
        (None, "FINISHED_NOT_FULL", 0, ChargeState.STOPPED),
        ("CHARGINGACTIVE", "FINISHED_NOT_FULL", 5, ChargeState.STOPPED),
        ("CHARGINGACTIVE", "FINISHED_NOT_FULL", -5, ChargeState.CHARGING),
        ("CHARGINGPAUSED", "CHARGING", 0, ChargeState.STOPPED),
        ("CHARGINGACTIVE", "INVALID", 5, ChargeState.CHARGING),
    ],
)
def test_of_bmws_two_words_for_charging_the_newer_one_counts(status, battery, battery_min, state):
    told = {} if status is None else {STATUS: {"value": status, "timestamp": SEEN.isoformat()}}
    told[BATTERY_STATUS] = {"value": battery, "timestamp": (SEEN + timedelta(minutes=battery_min)).isoformat()}
    assert snapshot_of_telematic_data("car-1", told, EVENING).charge_state.value is state


async def test_the_newer_of_two_readings_counts_value_by_value():
    def at(minutes, value, validity=Validity.OK):
        seen = SEEN + timedelta(minutes=minutes)
        return Reading(value, seen, seen, validity=validity)

    ours = Snapshot("car-1", soc_pct=at(0, 50.0), power_w=at(5, 1.0), voltage_v=at(0, 240.0))
    theirs = Snapshot("car-1", soc_pct=at(1, 60.0), power_w=at(4, 2.0), voltage_v=at(9, -1.0, Validity.SENTINEL))
    found = newest(ours, theirs)
    assert (found.soc_pct.value, found.power_w.value, found.voltage_v.value) == (60.0, 1.0, 240.0)


async def test_a_source_that_fails_changes_nothing_and_one_that_reads_helps_a_silent_backend(tmp_path):
    async with source_of(CarData, "bmw", tmp_path, "SYNTHETICVIN00004") as (source, cloud):
        cloud.fail("telematicData", "forbidden_403")
        bare = Snapshot("car-1")
        assert await WithSource(Stub(bare), source).snapshot("car-1") == bare
        silent = Stub(BackendError(ErrorCode.UNREACHABLE, "x"))
        assert (await WithSource(silent, source).snapshot("car-1")).soc_pct.value == 61


@pytest.mark.parametrize(("make", "table"), [(bmw.backend, "cardata"), (ford.backend, "query")])
async def test_a_second_source_is_one_table_of_the_settings(tmp_path, make, table):
    source = {"url": "http://x", "token_url": "http://x", "client_id": "us", "pseudonym_secret": "s"}
    backend = make({"url": "http://x", "token": "t", table: source | {"state": str(tmp_path)}})
    await backend.close()
    assert isinstance(backend, WithSource)
    with pytest.raises(BackendError) as caught:
        make({"url": "http://x", "token": "t", table: source})
    assert caught.value.detail == f"settings.{table}.state: is required"
