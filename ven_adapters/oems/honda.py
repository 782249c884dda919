"""Honda and Acura.

Honda publishes no interface of any kind to third parties. This file speaks the project's reference HTTP contract to a
backend that Honda itself runs; what it knows of Honda is how a Prologue or ZDX takes a command, the weakest of all:

- a target charge level of 50 to 100 %, and nothing else: no start, no stop, no current, no discharge;
- so charging pauses by lowering the target to 50 %, which works only when the car already holds 50 % or more. Below
  that the answer is NOT_SUPPORTED, and the planner must leave the car alone;
- charging resumes by giving back the driver's target;
- the end of charging is told as a weekday's name and a local time (`transport.readings.vendor_readings.finish_at`).
"""

from collections.abc import Mapping
from typing import Any

from ven_adapters.contract import (
    BackendError,
    Capability,
    Directive,
    Setting,
    Snapshot,
    VehicleBackend,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.http.backend import HttpVehicleBackend
from ven_adapters.transport.http.settings import backend_settings


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Honda's backend; for the settings see `transport.http.settings`."""
    return HttpVehicleBackend(backend_settings(settings), achieve)


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """The driver's target to charge, the least target to pause; any power below the car's most is a pause."""
    return fallback_ladder.climb(directive, capability, snapshot)
