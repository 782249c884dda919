"""Stations that take their schedules in amperes: what a car can then be told, and that no more flows than was meant."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ven_adapters.contract import BackendError, Directive, DirectiveKind, ErrorCode, OnCommLoss, Reading, Rung
from ven_adapters.oems.ocpp import achieve
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.profiles import charging_profiles, v2x
from ven_adapters.transport.ocpp21.profiles.charging_profiles import ProfileWindow
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import CarNeeds, RegisteredPoint, Station

NOW = datetime(2026, 9, 1, 21, 0, tzinfo=UTC)
PLACE = RegisteredPoint(ref="car-1", station="CP-1", usable_wh=60_000, max_charge_w=11_000, phases=3, voltage_v=230)
AMPERES = Station(connected=True, v2x=False, rate_units=frozenset("A"))


def directive(power_w=None, kind=DirectiveKind.CAP, **more):
    end = NOW + timedelta(hours=1)
    return Directive("d-1", "k-1", "car-1", kind, NOW, end, end, power_w=power_w, **more)


def told(power_w, place=PLACE, station=AMPERES, kind=DirectiveKind.CAP, **changes):
    """The setting of a cap, and the one period of the profile that it becomes."""
    point = dataclasses.replace(charging_points.new_point(place), transaction="tx-1", **changes)
    asked = directive(power_w, kind)
    setting = achieve(asked, v2x.capability(point, station), point.snapshot)
    if isinstance(setting, BackendError):
        return setting, None
    phases, voltage_v = v2x.wiring(point)
    unit = v2x.rate_unit(station)
    window = ProfileWindow(asked, setting, place, "tx-1", 1, 300, unit=unit, phases=phases, voltage_v=voltage_v)
    payload = charging_profiles.set_profile(window, NOW)
    frames.check(frames.CALL, "SetChargingProfile", payload)
    (schedule,) = payload["chargingProfile"]["chargingSchedule"]
    (period,) = schedule["chargingSchedulePeriod"]
    return setting, {"unit": schedule["chargingRateUnit"]} | period


@pytest.mark.parametrize(
    ("text", "units"),
    [("A", {"A"}), ("W", {"W"}), ("A,W", {"A", "W"}), ("Current,Power", {"A", "W"}), ("kVA", set()), ("", set())],
)
def test_the_units_that_a_station_names_are_read(text, units):
    row = {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "RateUnit"}, "attributeValue": text}
    assert charging_points.variables(Station(), [row]).rate_units == units


@pytest.mark.parametrize(
    ("named", "refused", "unit"),
    [
        ("", "", "W"),
        ("W", "", "W"),
        ("AW", "", "W"),
        ("A", "", "A"),
        ("", "W", "A"),
        ("AW", "W", "A"),
        ("A", "A", "W"),
        ("", "AW", None),
    ],
)
def test_watts_where_the_station_takes_them_else_amperes(named, refused, unit):
    station = Station(rate_units=frozenset(named), refused_units=frozenset(refused))
    assert v2x.rate_unit(station) == unit


def test_a_cap_is_whole_amperes_of_each_phase_rounded_down():
    setting, period = told(5_000)
    assert (setting.rung, setting.current_a, setting.power_w) == (Rung.CURRENT, 7, 4_830)
    assert (period["unit"], period["limit"], period["numberPhases"]) == ("A", 7.0, 3)


@pytest.mark.parametrize("station", [AMPERES, Station(v2x=False)], ids=["amperes", "watts"])
def test_a_pause_is_nothing_in_either_unit(station):
    setting, period = told(None, station=station, kind=DirectiveKind.CURTAIL)
    assert (setting.rung, setting.power_w, period["limit"]) == (Rung.PAUSE, 0, 0)


def test_a_cap_below_the_least_current_of_a_charging_point_is_a_pause():
    setting, period = told(4_000)
    assert (setting.rung, period["limit"]) == (Rung.PAUSE, 0)


def test_direct_current_names_no_phases():
    direct = CarNeeds(NOW, direct_current=True)
    _, period = told(5_000, needs=direct)
    assert (period["limit"], "numberPhases" in period) == (21.0, False)


def test_a_station_that_refused_both_units_can_do_neither():
    refused = dataclasses.replace(AMPERES, refused_units=frozenset("AW"))
    error, _ = told(5_000, station=refused)
    assert error.code is ErrorCode.NOT_SUPPORTED
    assert not v2x.capability(charging_points.new_point(PLACE), refused).can_stop


@given(
    power_w=some.integers(1, 22_000),
    phases=some.sampled_from([1, 2, 3]),
    used=some.sampled_from([None, 1, 2, 3]),
    nominal_v=some.integers(110, 277),
    real_v=some.floats(100, 300),
)
def test_whatever_the_wiring_no_more_flows_than_was_meant(power_w, phases, used, nominal_v, real_v):
    """The station keeps each phase at the limit; the car uses the phases that were told, at the voltage that was."""
    place = PLACE.model_copy(update={"max_charge_w": 22_000, "phases": phases, "voltage_v": nominal_v})
    point = charging_points.new_point(place)
    snapshot = dataclasses.replace(point.snapshot, voltage_v=Reading(real_v, NOW, NOW, "meter"))
    setting, period = told(power_w, place, snapshot=snapshot, phases_used=used)
    if setting.rung is Rung.RESUME:
        return
    flows_w = period["limit"] * real_v * max(phases, used or 1)
    assert flows_w <= power_w + 1e-6
    assert setting.power_w <= power_w


def test_a_discharge_in_amperes_is_for_one_phase_alone():
    gives = {"v2x": True, "modes": frozenset({"CentralSetpoint"})}
    station = dataclasses.replace(AMPERES, **gives)
    single = PLACE.model_copy(update={"phases": 1, "max_discharge_w": 9_600})
    three = PLACE.model_copy(update={"max_discharge_w": 9_600})
    assert v2x.capability(charging_points.new_point(three), station).discharge is None
    assert v2x.capability(charging_points.new_point(single), station).discharge.max_discharge_w == 9_600
    asked = directive(-5_000, DirectiveKind.SETPOINT, reserve_soc_pct=30.0, on_comm_loss=OnCommLoss.STOP)
    point = charging_points.new_point(single)
    setting = achieve(asked, v2x.capability(point, station), point.snapshot)
    window = ProfileWindow(asked, setting, single, "tx-1", 1, 300, 60_000.0, unit="A", phases=1, voltage_v=230)
    payload = charging_profiles.set_profile(window, NOW)
    frames.check(frames.CALL, "SetChargingProfile", payload)
    period = payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]
    assert (period["setpoint"], period["dischargeLimit"], period["limit"]) == (-21.7, -41.7, 47.8)


def test_powers_of_a_car_told_by_phase_are_those_of_all_phases():
    v2x_told = {"maxDischargePower": 3_000.0, "maxDischargePower_L2": 3_000.0, "maxDischargePower_L3": 2_000.0}
    asked = {"requestedEnergyTransfer": "AC_BPT", "v2xChargingParameters": v2x_told | {"maxChargePower": 7_000.0}}
    body = {"evseId": 1, "chargingNeeds": asked}
    frames.check(frames.CALL, "NotifyEVChargingNeeds", body)
    needs = charging_points.needs(charging_points.new_point(PLACE), body, NOW).needs
    assert (needs.max_discharge_w, needs.max_charge_w, needs.min_discharge_w) == (8_000, 7_000, None)
