"""The fallback ladder's arithmetic: from a directive to what one car can really be told.

A power becomes a current, a current a pause, a pause a charge-level target or a schedule, and the rung taken is
reported with the power that it can achieve. Everything rounds towards less power. Brands choose rungs; sums live here.
"""

import math
from datetime import datetime, timedelta

from ven_adapters.contract import (
    BackendError,
    Capability,
    Directive,
    DirectiveKind,
    ErrorCode,
    LimitSocControl,
    OnCommLoss,
    Rung,
    Setting,
    Snapshot,
    Validity,
)
from ven_adapters.transport.readings.phases import phases_in_use

_HOUR = timedelta(hours=1)


def asked_w(directive: Directive, capability: Capability) -> int | None:
    """The signed power asked for; None when the car may charge as its driver set it."""
    if directive.kind is DirectiveKind.CURTAIL:
        return 0
    if directive.kind in (DirectiveKind.CHARGE, DirectiveKind.RELEASE) or directive.power_w is None:
        return None
    return None if directive.power_w >= capability.max_charge_w else directive.power_w


def amps_at_most(power_w: int, capability: Capability, snapshot: Snapshot | None = None) -> int | None:
    """The greatest current that the car takes and that stays at or below `power_w`; None when its least is too much.

    I = floor(P / (U * phases)) with the phase-neutral voltage, then down to the car's own step or list. The phases are
    the capability's, or more when the readings of `snapshot` show that more carry the current.
    """
    control = capability.current
    if control is None:
        return None
    amps = min(power_w // (capability.voltage_v * phases_in_use(capability, snapshot)), control.max_a)
    if control.choices_a:
        return max((choice for choice in control.choices_a if choice <= amps), default=None)
    if amps < control.min_a:
        return None
    return control.min_a + (amps - control.min_a) // control.step_a * control.step_a


def current(power_w: int, capability: Capability, snapshot: Snapshot | None = None) -> Setting | None:
    """The current rung with the power it achieves, or None when no current of the car is low enough."""
    amps = amps_at_most(power_w, capability, snapshot)
    if not amps:
        return None
    return Setting(Rung.CURRENT, amps * capability.voltage_v * phases_in_use(capability, snapshot), current_a=amps)


def whole_pct(setting: Setting) -> int:
    """The charge-level target of a setting in whole percent. Raises INVALID_REQUEST when the setting has none."""
    if setting.limit_soc_pct is None:
        raise BackendError(ErrorCode.INVALID_REQUEST, "setting.limit_soc_pct: is required for a charge-level target")
    return round(setting.limit_soc_pct)


def pause() -> Setting:
    """Stop charging."""
    return Setting(Rung.PAUSE, 0)


def resume(capability: Capability) -> Setting:
    """Charge as the driver set it."""
    return Setting(Rung.RESUME, capability.max_charge_w)


def known_soc_pct(snapshot: Snapshot) -> float | None:
    """The charge level, when the reading may be used at all; how old it may be is the caller's affair."""
    reading = snapshot.soc_pct
    return reading.value if reading is not None and reading.validity is not Validity.SENTINEL else None


def pause_by_target(capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """Lower the charge-level target to its floor: it pauses the car only when the level is already there."""
    control = capability.limit_soc
    if control is None:
        return BackendError(ErrorCode.NOT_SUPPORTED, "limit_soc: the car takes no charge-level target")
    floor_pct = target_at_least(max(control.min_pct, control.applies_from_pct), control)
    soc_pct = known_soc_pct(snapshot)
    if soc_pct is None or soc_pct < floor_pct:
        return BackendError(ErrorCode.NOT_SUPPORTED, f"soc_pct: a target of {floor_pct:g} % pauses only at or above it")
    return Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=floor_pct)


def target_for_driver(directive: Directive, capability: Capability) -> Setting:
    """Raise the charge-level target to the driver's own, rounded up to the car's step; without one, hand back."""
    control = capability.limit_soc
    if control is None or directive.target_soc_pct is None:
        return resume(capability)
    target_pct = target_at_least(directive.target_soc_pct, control)
    return Setting(Rung.TARGET_LEVEL, capability.max_charge_w, limit_soc_pct=target_pct)


def target_at_least(level_pct: float, control: LimitSocControl) -> float:
    """The lowest target that the car takes and that is not below a level; its highest when there is none."""
    if control.choices_pct:
        return min((choice for choice in control.choices_pct if choice >= level_pct), default=max(control.choices_pct))
    steps = math.ceil((level_pct - control.min_pct) / control.step_pct)
    return min(control.max_pct, max(control.min_pct, control.min_pct + steps * control.step_pct))


def whole_hours(start: datetime, end: datetime) -> tuple[datetime, datetime] | None:
    """The whole hours inside [start, end), or None.

    UTC hours are local hours wherever the offset is whole; every zone of the United States is such a place.
    """
    first = start.replace(minute=0, second=0, microsecond=0)
    first = first if first == start else first + _HOUR
    last = end.replace(minute=0, second=0, microsecond=0)
    return (first, last) if first < last else None


def pause_by_schedule(directive: Directive, capability: Capability) -> Setting | BackendError:
    """Keep the car from charging in the hours that its own schedule can express."""
    if capability.schedule is None:
        return BackendError(ErrorCode.NOT_SUPPORTED, "schedule: the car keeps no charging windows")
    if capability.schedule.whole_hours and whole_hours(directive.start, directive.end) is None:
        return BackendError(ErrorCode.NOT_SUPPORTED, "start..end: the car's schedule takes whole hours only")
    return Setting(Rung.SCHEDULE, 0)


def discharge(directive: Directive, capability: Capability) -> Setting | BackendError:
    """A signed set-point below zero, for a car and charging point that can, and only with STOP on a dead line."""
    control = capability.discharge
    if control is None:
        return BackendError(ErrorCode.NOT_SUPPORTED, "discharge: the car has no way to feed the grid")
    if directive.on_comm_loss is not OnCommLoss.STOP:
        return BackendError(ErrorCode.NOT_PERMITTED, "on_comm_loss: a discharge must STOP when the line goes dead")
    asked = -(directive.power_w or 0)
    if asked < control.min_discharge_w:
        return pause()
    return Setting(Rung.POWER, -min(asked, control.max_discharge_w))


def hand_back(directive: Directive, capability: Capability) -> Setting | BackendError:
    """Let the car charge as its driver set it: by a start, else by his target, else by clearing the schedule."""
    if capability.can_start:
        return resume(capability)
    if capability.limit_soc is not None:
        return target_for_driver(directive, capability)
    if capability.schedule is not None:
        return Setting(Rung.SCHEDULE, capability.max_charge_w)
    return BackendError(ErrorCode.NOT_SUPPORTED, "can_start: the car takes no remote start, no target and no schedule")


def hold(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """Keep the car from charging: by a stop, else by a target that it has reached, else by its schedule."""
    if capability.can_stop:
        return pause()
    if capability.limit_soc is not None:
        return pause_by_target(capability, snapshot)
    if capability.schedule is not None:
        return pause_by_schedule(directive, capability)
    return BackendError(ErrorCode.NOT_SUPPORTED, "can_stop: the car takes no remote stop, no target and no schedule")


def climb(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """The whole ladder for a car that cannot feed the grid: a current, else what holds it."""
    power_w = asked_w(directive, capability)
    if power_w is None:
        return hand_back(directive, capability)
    if power_w < 0:
        return no_discharge()
    return current(power_w, capability, snapshot) or hold(directive, capability, snapshot)


def no_discharge() -> BackendError:
    """The answer of a brand that has no discharge at all."""
    return BackendError(ErrorCode.NOT_SUPPORTED, "power_w: this brand cannot feed the grid")
