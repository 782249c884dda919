"""The conversions that go wrong in the field, each pinned by its values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import EVENING, recording

from ven_adapters.contract import ChargeState, Directive, DirectiveKind, Rung, Setting, Snapshot, Validity
from ven_adapters.oems import ford_query, smartcar_shapes
from ven_adapters.oems.tesla import shapes as tesla_shapes
from ven_adapters.transport.http.codec import load
from ven_adapters.transport.readings.vendor_readings import DAYS, finish_at, month_first
from ven_adapters.transport.windows.windows import KeptWindow, WindowVerdict, judge

CALIFORNIA = "America/Los_Angeles"
WEDNESDAY = datetime(2026, 7, 1, 12, tzinfo=UTC)  # five in the morning in California


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("07-04-2026 13:05:09", datetime(2026, 7, 4, 13, 5, 9, tzinfo=UTC)),
        ("12-01-2026 00:00:00", datetime(2026, 12, 1, tzinfo=UTC)),
        ("13-01-2026 00:00:00", None),
        ("2026-07-04T13:05:09Z", None),
        (None, None),
    ],
)
def test_ford_writes_the_month_first_and_means_utc(text, at):
    assert month_first(text) == at


@pytest.mark.parametrize("text", ["07-02-2026 03:50:00", "2026-07-02T03:50:00Z"])
def test_ford_is_understood_whichever_way_it_writes_an_instant(text):
    metrics = {"xevBatteryStateOfCharge": {"updateTime": text, "value": 57.5}}
    found = ford_query.snapshot_of_metrics("car-1", metrics, EVENING)
    assert (found.soc_pct.value, found.soc_pct.observed_at) == (57.5, datetime(2026, 7, 2, 3, 50, tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "hour", "at"),
    [
        ("Wednesday", 7, datetime(2026, 7, 1, 14, tzinfo=UTC)),
        ("wed", 4, datetime(2026, 7, 1, 11, tzinfo=UTC)),
        ("Thu", 7, datetime(2026, 7, 2, 14, tzinfo=UTC)),
        ("Tuesday", 23, datetime(2026, 7, 8, 6, tzinfo=UTC)),
        ("T", 7, None),
        ("Someday", 7, None),
        ("Thu", 25, None),
    ],
)
def test_honda_names_a_day_and_a_local_time(day, hour, at):
    assert finish_at(day, hour, 0, CALIFORNIA, WEDNESDAY) == at


def test_hondas_local_time_survives_both_clock_changes():
    spring, autumn = datetime(2026, 3, 7, 20, tzinfo=UTC), datetime(2026, 10, 31, 20, tzinfo=UTC)
    assert finish_at("sunday", 2, 30, CALIFORNIA, spring) == datetime(2026, 3, 8, 10, 30, tzinfo=UTC)
    assert finish_at("sunday", 1, 30, CALIFORNIA, autumn) == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


@given(st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 59), st.integers(0, 366 * 24 * 60))
def test_hondas_finish_is_on_that_day_within_a_week(day, hour, minute, later_min):
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=later_min)
    at = finish_at(day, hour, minute, "UTC", now)
    assert DAYS[at.weekday()] == day
    assert timedelta(days=-1) < at - now < timedelta(days=7)


@pytest.mark.parametrize("behind", [timedelta(minutes=30), timedelta(hours=7), timedelta(days=1)])
def test_nissans_stamps_from_before_a_send_are_kept_and_confirm_nothing(behind):
    sent_at = EVENING
    raw = {"value": "STOPPED", "observed_at": (sent_at - behind).isoformat()}
    found = load(Snapshot, {"vehicle_ref": "car-1", "charge_state": raw}, received_at=sent_at + timedelta(minutes=5))
    assert (found.charge_state.value, found.charge_state.validity) == (ChargeState.STOPPED, Validity.OK)
    assert found.charge_state.observed_at == sent_at - behind
    end = sent_at + timedelta(hours=1)
    directive = Directive("d", "k", "car-1", DirectiveKind.CURTAIL, sent_at, end, end)
    window = KeptWindow(directive, Setting(Rung.PAUSE, 0), sent_at=sent_at, told=True)
    assert judge(window, found) == (WindowVerdict.NOTHING, None)


def test_teslas_power_is_volts_times_amperes_times_phases_and_whole_kilowatts_only_without_them():
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    charge = raw["charge_state"]
    charge |= {"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 2, "charger_power": 11}
    assert tesla_shapes.snapshot_of_vehicle_data("t", raw, None, EVENING).power_w.value == pytest.approx(
        16 * 230 * tesla_shapes.phases_and_volts(raw)[0]
    )
    charge |= {"charger_actual_current": 0}
    assert tesla_shapes.snapshot_of_vehicle_data("t", raw, None, EVENING).power_w.value == 11_000


def test_smartcars_third_version_tells_percent_and_not_fractions():
    raw = recording("smartcar", "signals")["body"]
    for one in raw["data"]:
        one["meta"] = {"oemUpdatedAt": EVENING.isoformat()}
        if one["attributes"]["code"] == "tractionbattery-stateofcharge":
            one["attributes"]["body"]["value"] = 0.8
    found = smartcar_shapes.snapshot_of_signals("s", smartcar_shapes.signals_of(raw), EVENING)
    assert (found.soc_pct.value, found.soc_pct.validity) == (0.8, Validity.OK)
