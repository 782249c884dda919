import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import (
    BackendError,
    Capability,
    CurrentControl,
    Directive,
    DirectiveKind,
    DischargeControl,
    ErrorCode,
    LimitSocControl,
    OnCommLoss,
    Reading,
    Rung,
    ScheduleControl,
    Setting,
    Snapshot,
    Validity,
)
from ven_adapters.oems import bmw, ford, honda, nissan
from ven_adapters.simulator.cars.car_models import CONTROLS
from ven_adapters.transport.fallback_ladder import amps_at_most, target_at_least, whole_hours

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
CURTAIL, CAP, CHARGE, SETPOINT, RELEASE = DirectiveKind

I4 = Capability("i4", 81_000, 10_800, current=CurrentControl(6, 45, choices_a=(6, 10, 16, 32)))
I4_NO_LIST = dataclasses.replace(I4, current=None)
OLD_BMW = dataclasses.replace(I4_NO_LIST, can_start=False, can_stop=False)
OLD_BMW_TARGET = dataclasses.replace(OLD_BMW, limit_soc=LimitSocControl(20.0, 100.0, 5.0))
MACH_E = Capability("Mach-E", 91_000, 10_560, current=CurrentControl(6, 44))
MACH_E_TIMES = Capability(
    "Mach-E", 91_000, 10_560, can_start=False, can_stop=False, schedule=ScheduleControl(whole_hours=True)
)
FORD_TARGETS = LimitSocControl(50.0, 100.0, 1.0, choices_pct=(50.0, 60.0, 70.0, *map(float, range(80, 101))))
MACH_E_TARGET = dataclasses.replace(MACH_E_TIMES, schedule=None, limit_soc=FORD_TARGETS)
MACH_E_FIVE = dataclasses.replace(MACH_E, current=CurrentControl(5, 44))
THREE_PHASE = dataclasses.replace(MACH_E, phases=3, voltage_v=230, max_charge_w=11_040, current=CurrentControl(6, 16))
PROLOGUE = Capability(
    "Prologue", 85_000, 11_520, can_start=False, can_stop=False, limit_soc=LimitSocControl(50.0, 100.0, 10.0, 50.0)
)
LEAF = Capability("LEAF", 39_000, 6_480, can_stop=False)
LEAF_POINT = Capability("LEAF", 39_000, 6_480, current=CurrentControl(6, 27))
LEAF_V2G = Capability("LEAF", 39_000, 7_200, can_set_power=True, discharge=DischargeControl("EVSE", 7_000, 500))
ARIYA = Capability("Ariya", 63_000, 7_200, can_resume_after_stop=False)


def ask(kind, power_w=None, *, on_comm_loss=OnCommLoss.RELEASE, target=None, start=NOON, minutes=60):
    end = start + timedelta(minutes=minutes)
    return Directive("d", "k", "v", kind, start, end, end, power_w, target_soc_pct=target, on_comm_loss=on_comm_loss)


def level(soc_pct, validity=Validity.OK):
    return Snapshot("v", soc_pct=Reading(soc_pct, NOON, NOON, validity=validity))


STOP = OnCommLoss.STOP
PAUSE = Setting(Rung.PAUSE, 0)
HALF = level(50.0)
NOT_SUPPORTED, NOT_PERMITTED = ErrorCode.NOT_SUPPORTED, ErrorCode.NOT_PERMITTED

TABLE = [
    (bmw, ask(CURTAIL), I4, HALF, PAUSE),
    (bmw, ask(CAP, 7_679), I4, HALF, Setting(Rung.CURRENT, 3_840, 16)),
    (bmw, ask(CAP, 7_680), I4, HALF, Setting(Rung.CURRENT, 7_680, 32)),
    (bmw, ask(SETPOINT, 2_000), I4, HALF, Setting(Rung.CURRENT, 1_440, 6)),
    (bmw, ask(CAP, 1_439), I4, HALF, PAUSE),
    (bmw, ask(CAP, 0), I4, HALF, PAUSE),
    (bmw, ask(CAP, 3_500), I4_NO_LIST, HALF, PAUSE),
    (bmw, ask(CAP, 10_800), I4, HALF, Setting(Rung.RESUME, 10_800)),
    (bmw, ask(CHARGE), I4, HALF, Setting(Rung.RESUME, 10_800)),
    (bmw, ask(RELEASE), I4, HALF, Setting(Rung.RESUME, 10_800)),
    (bmw, ask(SETPOINT, -1_000, on_comm_loss=STOP), I4, HALF, NOT_SUPPORTED),
    (bmw, ask(CURTAIL), OLD_BMW, HALF, NOT_SUPPORTED),
    (bmw, ask(CHARGE), OLD_BMW, HALF, NOT_SUPPORTED),
    (bmw, ask(CURTAIL), OLD_BMW_TARGET, level(21.0), Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=20.0)),
    (bmw, ask(CURTAIL), OLD_BMW_TARGET, level(19.0), NOT_SUPPORTED),
    (bmw, ask(CHARGE, target=82.0), OLD_BMW_TARGET, HALF, Setting(Rung.TARGET_LEVEL, 10_800, limit_soc_pct=85.0)),
    (ford, ask(CURTAIL), MACH_E_TARGET, level(55.0), Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=50.0)),
    (ford, ask(CHARGE, target=62.0), MACH_E_TARGET, HALF, Setting(Rung.TARGET_LEVEL, 10_560, limit_soc_pct=70.0)),
    (ford, ask(CHARGE, target=75.0), MACH_E_TARGET, HALF, Setting(Rung.TARGET_LEVEL, 10_560, limit_soc_pct=80.0)),
    (ford, ask(CHARGE, target=83.0), MACH_E_TARGET, HALF, Setting(Rung.TARGET_LEVEL, 10_560, limit_soc_pct=83.0)),
    (ford, ask(CAP, 1_300), MACH_E_FIVE, HALF, PAUSE),
    (ford, ask(CURTAIL), MACH_E, HALF, PAUSE),
    (ford, ask(CAP, 3_599), MACH_E, HALF, Setting(Rung.CURRENT, 3_360, 14)),
    (ford, ask(CAP, 1_439), MACH_E, HALF, PAUSE),
    (ford, ask(SETPOINT, 1_440), MACH_E, HALF, Setting(Rung.CURRENT, 1_440, 6)),
    (ford, ask(CAP, 7_000), THREE_PHASE, HALF, Setting(Rung.CURRENT, 6_900, 10)),
    (ford, ask(CAP, 4_000), THREE_PHASE, HALF, PAUSE),
    (ford, ask(CHARGE), MACH_E, HALF, Setting(Rung.RESUME, 10_560)),
    (ford, ask(CURTAIL), MACH_E_TIMES, HALF, Setting(Rung.SCHEDULE, 0)),
    (ford, ask(CAP, 3_000), MACH_E_TIMES, HALF, Setting(Rung.SCHEDULE, 0)),
    (ford, ask(CURTAIL, start=NOON + timedelta(minutes=30)), MACH_E_TIMES, HALF, NOT_SUPPORTED),
    (ford, ask(RELEASE), MACH_E_TIMES, HALF, Setting(Rung.SCHEDULE, 10_560)),
    (ford, ask(SETPOINT, -9_600, on_comm_loss=STOP), MACH_E, HALF, NOT_SUPPORTED),
    (honda, ask(CURTAIL), PROLOGUE, level(50.0), Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=50.0)),
    (honda, ask(CURTAIL), PROLOGUE, level(49.9), NOT_SUPPORTED),
    (honda, ask(CURTAIL), PROLOGUE, Snapshot("v"), NOT_SUPPORTED),
    (honda, ask(CURTAIL), PROLOGUE, level(255.0, Validity.SENTINEL), NOT_SUPPORTED),
    (honda, ask(CAP, 7_000), PROLOGUE, level(60.0), Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=50.0)),
    (honda, ask(CAP, 11_520), PROLOGUE, HALF, Setting(Rung.RESUME, 11_520)),
    (honda, ask(CHARGE, target=80.0), PROLOGUE, HALF, Setting(Rung.TARGET_LEVEL, 11_520, limit_soc_pct=80.0)),
    (honda, ask(RELEASE, target=83.0), PROLOGUE, HALF, Setting(Rung.TARGET_LEVEL, 11_520, limit_soc_pct=90.0)),
    (honda, ask(RELEASE, target=20.0), PROLOGUE, HALF, Setting(Rung.TARGET_LEVEL, 11_520, limit_soc_pct=50.0)),
    (honda, ask(RELEASE), PROLOGUE, HALF, Setting(Rung.RESUME, 11_520)),
    (honda, ask(SETPOINT, -1_000, on_comm_loss=STOP), PROLOGUE, HALF, NOT_SUPPORTED),
    (nissan, ask(CURTAIL), LEAF, HALF, NOT_SUPPORTED),
    (nissan, ask(CAP, 3_000), LEAF, HALF, NOT_SUPPORTED),
    (nissan, ask(CHARGE), LEAF, HALF, Setting(Rung.RESUME, 6_480)),
    (nissan, ask(CURTAIL), LEAF_POINT, HALF, PAUSE),
    (nissan, ask(CAP, 3_000), LEAF_POINT, HALF, Setting(Rung.CURRENT, 2_880, 12)),
    (nissan, ask(SETPOINT, -1_000, on_comm_loss=STOP), LEAF_POINT, HALF, NOT_SUPPORTED),
    (nissan, ask(SETPOINT, 2_345), LEAF_V2G, HALF, Setting(Rung.POWER, 2_345)),
    (nissan, ask(SETPOINT, -5_000, on_comm_loss=STOP), LEAF_V2G, HALF, Setting(Rung.POWER, -5_000)),
    (nissan, ask(SETPOINT, -9_000, on_comm_loss=STOP), LEAF_V2G, HALF, Setting(Rung.POWER, -7_000)),
    (nissan, ask(SETPOINT, -499, on_comm_loss=STOP), LEAF_V2G, HALF, PAUSE),
    (nissan, ask(SETPOINT, -5_000), LEAF_V2G, HALF, NOT_PERMITTED),
    (nissan, ask(CURTAIL, target=80.0), ARIYA, level(79.0), NOT_PERMITTED),
    (nissan, ask(CURTAIL, target=80.0), ARIYA, Snapshot("v"), NOT_PERMITTED),
    (nissan, ask(CURTAIL), ARIYA, level(79.0), NOT_PERMITTED),
    (nissan, ask(CAP, 3_000, target=80.0), ARIYA, level(79.0), NOT_PERMITTED),
    (nissan, ask(CURTAIL, target=80.0), ARIYA, level(80.0), PAUSE),
    (nissan, ask(RELEASE, target=80.0), ARIYA, level(20.0), Setting(Rung.RESUME, 7_200)),
]


@pytest.mark.parametrize(("brand", "directive", "capability", "snapshot", "expected"), TABLE)
def test_a_brand_takes_the_best_rung_that_its_car_has(brand, directive, capability, snapshot, expected):
    got = brand.achieve(directive, capability, snapshot)
    assert (got.code if isinstance(got, BackendError) else got) == expected


@given(
    st.sampled_from([(bmw, I4), (ford, MACH_E), (ford, THREE_PHASE), (honda, PROLOGUE), (nissan, LEAF_POINT)]),
    st.sampled_from([CAP, SETPOINT]),
    st.integers(0, 12_000),
    st.floats(0, 100),
)
@settings(max_examples=200)
def test_no_setting_draws_more_than_was_asked(pair, kind, power_w, soc_pct):
    brand, capability = pair
    got = brand.achieve(ask(kind, power_w), capability, level(soc_pct))
    if isinstance(got, Setting) and got.power_w is not None:
        assert got.power_w <= max(power_w, 0) or got.power_w == capability.max_charge_w <= power_w


@given(st.integers(0, 60_000), st.integers(1, 3), st.sampled_from([120, 230, 240]), st.integers(1, 4))
@settings(max_examples=200)
def test_amperes_are_the_floor_of_power_over_volts_and_phases(power_w, phases, voltage_v, step_a):
    car = Capability("x", 1, 1, phases=phases, voltage_v=voltage_v, current=CurrentControl(6, 48, step_a))
    amps = amps_at_most(power_w, car)
    if amps is None:
        assert power_w < 6 * voltage_v * phases
    else:
        assert amps * voltage_v * phases <= power_w
        assert 6 <= amps <= 48
        assert (amps - 6) % step_a == 0


@given(st.integers(0, 2_000), st.integers(1, 2_000))
@settings(max_examples=100)
def test_whole_hours_lie_inside_the_window(after_min, long_min):
    start = NOON + timedelta(minutes=after_min)
    end = start + timedelta(minutes=long_min)
    found = whole_hours(start, end)
    if found is None:
        assert long_min < 120
    else:
        assert start <= found[0] < found[1] <= end
        assert {instant.minute for instant in found} == {0}


@given(st.sampled_from(sorted(name for name, one in CONTROLS.items() if one.limit_soc)), st.floats(0, 100))
def test_a_target_is_one_that_the_car_takes_and_not_below_the_drivers(name, level_pct):
    control = CONTROLS[name].limit_soc
    target_pct = target_at_least(level_pct, control)
    assert control.min_pct <= target_pct <= control.max_pct
    assert target_pct >= level_pct
    if control.choices_pct:
        assert target_pct in control.choices_pct
    else:
        assert (target_pct - control.min_pct) % control.step_pct == 0
