"""Why a backend refuses a directive on its own account, whatever its caller believes: a table of pure judgements.

The port obliges a backend to enforce reserve, permission and readiness itself, which it does by what its cars tell: it
knows their data sheets and no truth. Each rule sees one car's circumstances and the order, and answers with the refusal
or with nothing.
"""

import dataclasses
from collections.abc import Callable
from datetime import datetime

from ven_adapters.contract import (
    BackendError,
    Capability,
    Directive,
    DirectiveKind,
    ErrorCode,
    OnEnd,
    Rung,
    Setting,
)
from ven_adapters.transport.fallback_ladder import whole_hours
from ven_adapters.transport.http.codec import Order
from vtn.clock import HOUR_S


@dataclasses.dataclass(frozen=True, slots=True)
class Circumstances:
    """One car as its backend knows it at the moment of a directive; levels in percent, export limit in W."""

    now: datetime
    capability: Capability
    home: bool
    plugged: bool
    asleep: bool
    out_of_reach: bool
    opted_out: bool
    driver_busy: bool
    lacks: str | None
    unguarded: bool
    export_limit_w: float
    told_pct: float
    target_pct: float
    departs: datetime


Rule = Callable[[Circumstances, Order], BackendError | None]


def refusal(at: Circumstances, order: Order) -> BackendError | None:
    """The first rule that refuses, or None."""
    return next((error for rule in RULES if (error := rule(at, order)) is not None), None)


def _expired(at: Circumstances, order: Order) -> BackendError | None:
    late = at.now > order.directive.not_after or at.now >= order.directive.end
    return BackendError(ErrorCode.EXPIRED, "not_after: has passed") if late else None


def _consent(at: Circumstances, _: Order) -> BackendError | None:
    return BackendError(ErrorCode.CONSENT_REVOKED, "the driver has left the programme") if at.opted_out else None


def _place(at: Circumstances, _: Order) -> BackendError | None:
    if not at.home:
        return BackendError(ErrorCode.NOT_AT_SITE, "the car is not at its home")
    return None if at.plugged else BackendError(ErrorCode.NOT_PLUGGED, "the cable is out")


def _driver(at: Circumstances, order: Order) -> BackendError | None:
    if at.driver_busy and order.directive.kind is not DirectiveKind.RELEASE:
        return BackendError(ErrorCode.USER_OVERRIDE, "the driver has opted out or asked for charge now")
    return None


def _ending(_: Circumstances, order: Order) -> BackendError | None:
    if order.directive.on_end is OnEnd.LEAVE:
        return BackendError(ErrorCode.NOT_SUPPORTED, "on_end: this backend always gives the driver's settings back")
    return None


def _capable(at: Circumstances, order: Order) -> BackendError | None:
    wrong = _wrong_rung(order.setting, at.capability)
    return BackendError(ErrorCode.NOT_SUPPORTED, wrong) if wrong else None


def _wrong_rung(setting: Setting, capability: Capability) -> str | None:
    current, limit = capability.current, capability.limit_soc
    amps, level = setting.current_a or 0, setting.limit_soc_pct
    fits = {
        Rung.POWER: capability.can_set_power and setting.power_w is not None,
        Rung.CURRENT: current is not None
        and current.min_a <= amps <= current.max_a
        and (not current.choices_a or amps in current.choices_a),
        Rung.PAUSE: capability.can_stop,
        Rung.TARGET_LEVEL: limit is not None and level is not None and limit.min_pct <= level <= limit.max_pct,
        Rung.SCHEDULE: capability.schedule is not None,
        Rung.RESUME: capability.can_start or limit is not None,
    }
    return None if fits[setting.rung] else f"setting.{setting.rung.lower()}: the car cannot be told so"


def _discharge(at: Circumstances, order: Order) -> BackendError | None:
    power_w = order.setting.power_w or 0
    if power_w >= 0 or at.unguarded:
        return None
    if at.lacks is not None:
        return BackendError(ErrorCode.NOT_PERMITTED, f"{at.lacks}: is not on file, so the car is not discharged")
    if -power_w > at.export_limit_w:
        return BackendError(ErrorCode.NOT_PERMITTED, "export_limit_w: the power is above it")
    if at.told_pct <= (order.directive.reserve_soc_pct or 0.0):
        return BackendError(ErrorCode.NOT_PERMITTED, "reserve_soc_pct: the car tells no more than it")
    return None


def _readiness(at: Circumstances, order: Order) -> BackendError | None:
    """Refuse to hold back a car that could then not reach its target even without losses and taper."""
    allowed_w, directive = order.setting.power_w, order.directive
    if allowed_w is None or allowed_w >= at.capability.max_charge_w:
        return None
    held_s = max(0.0, (directive.end - max(at.now, directive.start)).total_seconds())
    free_s = max(0.0, (_departs(at, directive) - at.now).total_seconds() - held_s)
    gained_wh = (max(allowed_w, 0) * held_s + at.capability.max_charge_w * free_s) / HOUR_S
    told_wh, target_wh = (pct / 100.0 * at.capability.usable_wh for pct in (at.told_pct, at.target_pct))
    kept_wh = min(told_wh, (directive.reserve_soc_pct or 0.0) / 100.0 * at.capability.usable_wh)
    left_wh = max(told_wh - max(0.0, -allowed_w * held_s / HOUR_S), kept_wh)
    if left_wh + gained_wh < target_wh and told_wh < target_wh:
        return BackendError(ErrorCode.NOT_PERMITTED, "ready_by: the car could no longer reach its target")
    return None


def _departs(at: Circumstances, directive: Directive) -> datetime:
    return at.departs if directive.ready_by is None else min(at.departs, directive.ready_by)


def _schedule(_: Circumstances, order: Order) -> BackendError | None:
    holds = order.setting.rung is Rung.SCHEDULE and order.setting.power_w == 0
    if holds and whole_hours(order.directive.start, order.directive.end) is None:
        return BackendError(ErrorCode.NOT_SUPPORTED, "start..end: the car's schedule takes whole hours only")
    return None


def _asleep(at: Circumstances, _: Order) -> BackendError | None:
    if at.out_of_reach:
        return BackendError(ErrorCode.UNREACHABLE, "the car sleeps deeply: somebody has to go to it")
    return BackendError(ErrorCode.ASLEEP, "the car sleeps; it has been called") if at.asleep else None


# Order matters: what the caller can never mend comes before what a wake may mend.
RULES: tuple[Rule, ...] = (
    _expired,
    _consent,
    _place,
    _driver,
    _ending,
    _capable,
    _schedule,
    _discharge,
    _readiness,
    _asleep,
)
