"""Directives, cars and readings for the tests of the life cycle and of the reconciler."""

from datetime import UTC, datetime, timedelta

from ven_adapters.contract import (
    Ack,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    Known,
    OnCommLoss,
    Origin,
    Reading,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.directives.reconcile import Desire

T0 = datetime(2026, 7, 15, 23, 0, tzinfo=UTC)
ORIGIN = Origin("program", "event", 0, 1)
_POWER = {DirectiveKind.CAP: 3500, DirectiveKind.SETPOINT: -5000}


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def directive(kind=DirectiveKind.CURTAIL, power_w=None, *, start_s=0, end_s=3600, **more):
    power_w = _POWER.get(kind) if power_w is None else power_w
    on_comm_loss = OnCommLoss.STOP if (power_w or 0) < 0 else OnCommLoss.RELEASE
    given = {"directive_id": "d-1", "key": "k-1", "vehicle_ref": "car", "origin": ORIGIN, "on_comm_loss": on_comm_loss}
    given |= more
    return Directive(kind=kind, power_w=power_w, start=at(start_s), end=at(end_s), not_after=at(end_s - 60), **given)


def sent(kind=DirectiveKind.CURTAIL, power_w=None, *, at_s=0, **more):
    return lifecycle.mark_sent(DirectiveRecord(directive(kind, power_w, **more)), at(at_s))


def accepted(kind=DirectiveKind.CURTAIL, power_w=None, *, at_s=0, setting=None, **more):
    held = sent(kind, power_w, at_s=at_s, **more)
    ack = Ack(held.directive.directive_id, DirectiveState.ACCEPTED, setting)
    return lifecycle.apply_ack(held, ack, at(at_s + 1))


def paused():
    return Setting(Rung.PAUSE, 0)


def reading(value, at_s):
    return Reading(value, at(at_s), at(at_s))


def seen(at_s, *, power_w=None, state=None, plugged=None):
    return Snapshot(
        "car",
        power_w=None if power_w is None else reading(power_w, at_s),
        charge_state=None if state is None else reading(state, at_s),
        plugged=None if plugged is None else reading(Known.YES if plugged else Known.NO, at_s),
    )


def unplugged(at_s):
    return seen(at_s, power_w=0.0, state=ChargeState.UNPLUGGED, plugged=False)


def desire(kind=DirectiveKind.CURTAIL, power_w=None, *, start_s=0, end_s=3600, origin=ORIGIN, **more):
    power_w = _POWER.get(kind) if power_w is None else power_w
    return Desire("car", "bay", kind, power_w, at(start_s), at(end_s), origin, **more)
