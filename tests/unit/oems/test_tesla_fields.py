"""The fields that Teslas stream: values that are missing, odd, or told as text; what one of them changes."""

from datetime import UTC, datetime, timedelta

import pytest

from ven_adapters.contract import ChargeState, Known
from ven_adapters.oems.tesla.fields import (
    AFFECTED,
    TRANSIT,
    WANTED,
    FieldValue,
    flag_in,
    number_in,
    snapshot_of_field,
)
from ven_adapters.oems.tesla.status import has_config, release, wanted_config

NOW = datetime(2026, 7, 2, 4, tzinfo=UTC)
HOME = (37.0, -122.0)


def told(name, *, ages=None, **fields):
    """The snapshot after a field's newest value; `ages` are seconds by which others are older."""
    held = {
        one: FieldValue(raw, NOW - TRANSIT - timedelta(seconds=(ages or {}).get(one, 0))) for one, raw in fields.items()
    }
    return snapshot_of_field("t-0", name, held, HOME, NOW)


def value(reading):
    return None if reading is None else reading.value


def test_every_field_that_is_asked_of_cars_is_read():
    assert WANTED.keys() == AFFECTED.keys()


@pytest.mark.parametrize(
    ("raw", "state", "plugged"),
    [
        ("DetailedChargeStateCharging", ChargeState.CHARGING, Known.YES),
        ("Charging", ChargeState.CHARGING, Known.YES),
        ("DetailedChargeStateStarting", ChargeState.CHARGING, Known.YES),
        ("DetailedChargeStateComplete", ChargeState.COMPLETE, Known.YES),
        ("DetailedChargeStateNoPower", ChargeState.NO_POWER, Known.YES),
        ("DetailedChargeStateDisconnected", ChargeState.UNPLUGGED, Known.NO),
        ("DetailedChargeStateUnknown", None, None),
        ("<invalid>", None, None),
        (None, None, None),
        (4, None, None),
    ],
)
def test_words_for_the_charging_state(raw, state, plugged):
    found = told("DetailedChargeState", DetailedChargeState=raw)
    assert (value(found.charge_state), value(found.plugged)) == (state, plugged)


def test_a_schedule_that_waits_is_no_stop_of_ours():
    state = {"DetailedChargeState": "DetailedChargeStateStopped", "ScheduledChargingPending": "true"}
    assert value(told("ScheduledChargingPending", **state).charge_state) is ChargeState.WAITING_SCHEDULE
    assert told("ScheduledChargingPending", ScheduledChargingPending=True).charge_state is None


@pytest.mark.parametrize(
    ("fields", "power_w"),
    [
        ({"ACChargingPower": 7.2, "DCChargingPower": 0.0}, 7_200),
        ({"ACChargingPower": 0.0, "DCChargingPower": 120.5}, 120_500),
        ({"ACChargingPower": "0.000", "DCChargingPower": 0}, 0),
        ({"ACChargingPower": 0.0, "DetailedChargeState": "DetailedChargeStateStopped"}, 0),
        ({"ACChargingPower": 0.0, "DetailedChargeState": "DetailedChargeStateCharging"}, None),
        ({"ACChargingPower": 0.0}, None),
        ({"ACChargingPower": None, "DCChargingPower": 0.0}, None),
        ({"ACChargingPower": "much"}, None),
    ],
)
def test_a_power_is_what_a_meter_shows_and_never_made_of_one_that_is_missing(fields, power_w):
    assert value(told("ACChargingPower", **fields).power_w) == power_w


@pytest.mark.parametrize(
    ("fields", "ages", "phases"),
    [
        ({"ChargerPhases": 2}, {}, 3),
        ({"ChargerPhases": 1, "ChargeAmps": 16, "ChargerVoltage": 230, "ACChargingPower": 11.0}, {}, 3),
        ({"ChargerPhases": 1, "ChargeAmps": 16, "ChargerVoltage": 230, "ACChargingPower": 11.0}, {"ChargeAmps": 60}, 1),
        ({"ChargerPhases": None}, {}, None),
        ({"ChargerPhases": 7}, {}, None),
    ],
)
def test_phases_are_judged_by_values_of_one_record_only(fields, ages, phases):
    assert value(told("ChargerPhases", ages=ages, **fields).phases) == phases


@pytest.mark.parametrize(
    ("fields", "at_site"),
    [
        ({"Location": {"latitude": 37.0001, "longitude": "-122.0"}}, Known.YES),
        ({"Location": {"latitude": 38.0, "longitude": -122.0}}, Known.NO),
        ({"Location": None}, None),
        ({"Location": "N37"}, None),
        ({"Location": {"latitude": 37.0, "longitude": -122.0}, "FastChargerPresent": True}, Known.NO),
    ],
)
def test_a_place_that_is_not_told_is_not_elsewhere(fields, at_site):
    assert value(told("Location", **fields).at_site) == at_site


@pytest.mark.parametrize("raw", [True, None, [], {}, "NaN", "inf", "", "1e999", float("inf"), b"1"])
def test_what_only_looks_like_a_number_is_none(raw):
    assert number_in(raw) is None


@pytest.mark.parametrize(("raw", "flag"), [(True, True), ("False", False), ("yes", None), (1, None), (None, None)])
def test_flags(raw, flag):
    assert flag_in(raw) is flag


@pytest.mark.parametrize(
    ("software", "number"),
    [
        ("2024.26.7 abc", (2024, 26)),
        ("2024.8", (2024, 8)),
        ("2024", None),
        ("", None),
        ("dev.26", None),
        ("2024.260", None),
    ],
)
def test_software_is_a_year_and_a_week(software, number):
    assert release(software) == number


@pytest.mark.parametrize("told_config", [None, [], {}, {"fields": []}, {"hostname": "h", "fields": {"Soc": 3}}])
def test_another_configuration_is_not_ours(told_config):
    assert not has_config(told_config, wanted_config("h", 443, ""))
