"""Nissan.

Nissan publishes no interface that controls charging, and car clouds of the Alliance only report discharge. This file
speaks the project's reference HTTP contract to a backend that Nissan itself runs, with the clouds of the charging
points that it has approved behind it; what it knows of Nissan is how its cars take a command:

- a LEAF can be started but not stopped by its own cloud. One whose charging point is controllable says so in its
  capability (`can_stop`, `current`, `can_set_power`), and only then it is paused or capped;
- a LEAF at a bidirectional charging point can feed the grid: a set-point below zero, with STOP on a dead line;
- an Ariya can be stopped once and then not be started until somebody replugs it (`can_resume_after_stop` is false), so
  an Ariya that still needs energy is never stopped: NOT_PERMITTED;
- an Ariya's readings are stamped half an hour to seven hours back. They keep that stamp: a reading from before a
  directive was sent can never confirm it, and what is not confirmed is not reported.
"""

from collections.abc import Mapping
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Capability,
    Directive,
    ErrorCode,
    Rung,
    Setting,
    Snapshot,
    VehicleBackend,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.http.backend import HttpVehicleBackend
from ven_adapters.transport.http.settings import backend_settings


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Nissan's backend; for the settings see `transport.http.settings`."""
    return HttpVehicleBackend(backend_settings(settings), achieve)


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """A signed power at a bidirectional point, a current at a controllable one, else a pause where that is safe."""
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability)
    if asked_w < 0:
        return fallback_ladder.discharge(directive, capability)
    if asked_w > 0 and capability.can_set_power:
        return Setting(Rung.POWER, asked_w)
    return fallback_ladder.current(asked_w, capability, snapshot) or _pause(directive, capability, snapshot)


def _pause(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    if not capability.can_stop:
        return BackendError(ErrorCode.NOT_SUPPORTED, "can_stop: this LEAF's charging point is not controllable")
    if not capability.can_resume_after_stop and _needs_energy(directive, snapshot):
        return BackendError(
            ErrorCode.NOT_PERMITTED, "can_resume_after_stop: an Ariya short of its target is not stopped"
        )
    return fallback_ladder.pause()


def _needs_energy(directive: Directive, snapshot: Snapshot) -> bool:
    """Unless both levels are known the car is taken to need energy: stranding it is the one thing that must not be."""
    soc_pct = fallback_ladder.known_soc_pct(snapshot)
    return soc_pct is None or directive.target_soc_pct is None or soc_pct < directive.target_soc_pct
