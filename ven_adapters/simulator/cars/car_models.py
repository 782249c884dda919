"""Car models per brand, and how each kind of car takes commands: data, from reference figures of the makers.

Usable watt-hours and the AC current in amperes at 240 V are those of the North American models; weights are this
project's guess at a mixed fleet. `control` names a row of CONTROLS.
"""

import dataclasses
from collections.abc import Mapping

from ven_adapters.contract import (
    Capability,
    CurrentControl,
    DischargeControl,
    LimitSocControl,
    ScheduleControl,
)

MIN_CURRENT_A = 6
MIN_DISCHARGE_W = 500
BMW_CURRENTS_A = (6, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40, 45, 48)


@dataclasses.dataclass(frozen=True, slots=True)
class CarModel:
    """One model: usable energy, greatest AC current at 240 V, its share of the brand's fleet, its control."""

    name: str
    usable_wh: int
    ac_max_a: int
    weight: float
    control: str
    chademo: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CommandAbility:
    """What a kind of car can be told, apart from its numbers."""

    can_start: bool = True
    can_stop: bool = True
    can_resume: bool = True
    can_set_power: bool = False
    amps: str = ""
    limit_soc: LimitSocControl | None = None
    schedule: ScheduleControl | None = None
    discharges: bool = False


BMW_TARGETS = LimitSocControl(20.0, 100.0, 5.0)
FORD_TARGETS = LimitSocControl(50.0, 100.0, 1.0, choices_pct=(50.0, 60.0, 70.0, *map(float, range(80, 101))))

CONTROLS: Mapping[str, CommandAbility] = {
    "amp_list": CommandAbility(amps="list", limit_soc=BMW_TARGETS),
    "amp_range": CommandAbility(amps="range", limit_soc=FORD_TARGETS),
    "schedule_only": CommandAbility(can_start=False, can_stop=False, schedule=ScheduleControl(whole_hours=True)),
    "target_only": CommandAbility(can_start=False, can_stop=False, limit_soc=LimitSocControl(50.0, 100.0, 1.0, 50.0)),
    "start_only": CommandAbility(can_stop=False),
    "charger": CommandAbility(amps="range"),
    "bidirectional": CommandAbility(can_set_power=True, discharges=True),
    "stop_once": CommandAbility(can_resume=False),
}
CONTROL_NAMES = tuple(CONTROLS)

MODELS: Mapping[str, tuple[CarModel, ...]] = {
    "bmw": (
        CarModel("i4 eDrive35", 67_000, 45, 0.20, "amp_list"),
        CarModel("i4 eDrive40", 81_000, 45, 0.25, "amp_list"),
        CarModel("i5 eDrive40", 81_000, 45, 0.20, "amp_list"),
        CarModel("i7 xDrive60", 102_000, 45, 0.10, "amp_list"),
        CarModel("iX xDrive45", 95_000, 45, 0.10, "amp_list"),
        CarModel("iX xDrive50", 105_000, 45, 0.15, "amp_list"),
    ),
    "ford": (
        CarModel("Mustang Mach-E SR", 72_000, 44, 0.25, "amp_range"),
        CarModel("Mustang Mach-E ER", 91_000, 44, 0.31, "amp_range"),
        CarModel("Mustang Mach-E SR (schedule only)", 72_000, 44, 0.04, "schedule_only"),
        CarModel("F-150 Lightning SR", 98_000, 47, 0.20, "amp_range"),
        CarModel("F-150 Lightning ER", 131_000, 80, 0.20, "amp_range"),
    ),
    "honda": (
        CarModel("Honda Prologue", 85_000, 48, 0.70, "target_only"),
        CarModel("Acura ZDX", 102_000, 48, 0.30, "target_only"),
    ),
    "nissan": (
        CarModel("LEAF 40", 39_000, 27, 0.28, "start_only", chademo=True),
        CarModel("LEAF 62", 59_000, 27, 0.27, "start_only", chademo=True),
        CarModel("LEAF 2026 52", 50_000, 30, 0.05, "start_only"),
        CarModel("Ariya 63", 63_000, 30, 0.20, "stop_once"),
        CarModel("Ariya 87", 87_000, 30, 0.20, "stop_once"),
    ),
    "tesla": (
        CarModel("model3", 79_000, 48, 0.40, "amp_range"),
        CarModel("modely", 79_000, 48, 0.50, "amp_range"),
        CarModel("models", 98_000, 48, 0.10, "amp_range"),
    ),
    "smartcar": (
        CarModel("Synthetic One", 77_000, 40, 0.60, "charger"),
        CarModel("Synthetic Two", 58_000, 32, 0.40, "charger"),
    ),
    "enode": (
        CarModel("Synthetic One", 75_000, 48, 0.60, "charger"),
        CarModel("Synthetic Two", 60_000, 32, 0.40, "charger"),
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """One car's own figures, as its capability tells them."""

    max_a: int
    voltage_v: int
    max_discharge_w: int


def capability(model: CarModel, control: CommandAbility, numbers: Numbers) -> Capability:
    """What a car of this model, so controlled, says it can do."""
    return Capability(
        model=model.name,
        usable_wh=model.usable_wh,
        max_charge_w=numbers.max_a * numbers.voltage_v,
        voltage_v=numbers.voltage_v,
        can_start=control.can_start,
        can_stop=control.can_stop,
        can_resume_after_stop=control.can_resume,
        can_set_power=control.can_set_power,
        limit_soc=control.limit_soc,
        current=_currents(control.amps, numbers.max_a),
        schedule=control.schedule,
        discharge=DischargeControl("EVSE", numbers.max_discharge_w, MIN_DISCHARGE_W) if control.discharges else None,
    )


def _currents(kind: str, max_a: int) -> CurrentControl | None:
    if not kind:
        return None
    choices = tuple(amps for amps in BMW_CURRENTS_A if amps <= max_a) if kind == "list" else ()
    return CurrentControl(MIN_CURRENT_A, max_a, choices_a=choices)
