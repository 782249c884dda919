"""Rows for the store's tests."""

import dataclasses
from datetime import UTC, datetime, timedelta

from ven_adapters.contract import (
    Certainty,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    OnCommLoss,
    Origin,
    Rung,
    Setting,
)
from ven_adapters.ven.directives.lifecycle import DirectiveRecord, DriverSettings
from ven_adapters.ven.store.database import ChoiceRow, EventReadRow, print_at

T0 = datetime(2026, 7, 15, 23, 0, tzinfo=UTC)


def choice(ref, what, *, until=None):
    return ChoiceRow(vehicle_ref=ref, choice=what, at=print_at(T0), until=until)


def read_event(version, at=T0):
    return EventReadRow(version=version, read_at=print_at(at))


def held(directive_id, **changes):
    """A held directive with every field filled."""
    directive = Directive(
        directive_id,
        f"key-{directive_id}",
        "car-1",
        DirectiveKind.SETPOINT,
        T0,
        T0 + timedelta(hours=1),
        T0 + timedelta(minutes=59),
        power_w=-5000,
        revision=7,
        supersedes="d-0",
        site_id="home",
        reserve_soc_pct=30.0,
        target_soc_pct=80.0,
        ready_by=T0 + timedelta(hours=9),
        max_energy_wh=4000,
        on_comm_loss=OnCommLoss.STOP,
        origin=Origin("p-1", "e-1", 3, 1),
    )
    full = DirectiveRecord(
        directive,
        zone="bay",
        urgent=True,
        certainty=Certainty.ACCEPTED,
        changed_at=T0,
        sent_at=T0,
        setting=Setting(Rung.POWER, -5000),
        attempts=2,
        sends_again=1,
        retry_at=T0,
        in_doubt=True,
        confirmed_at=T0,
        contradicted_at=T0,
        unplugged_at=T0,
        evidence="power_w=-5000",
        error=ErrorCode.RATE_LIMITED,
        before=DriverSettings(80.0, 16.0, ChargeState.CHARGING),
    )
    return dataclasses.replace(full, state=changes.pop("state", DirectiveState.REQUESTED), **changes)
