"""BMW and MINI.

BMW publishes no interface that controls charging. CarData, its public interface, only reads, and since 2025-09-29 the
app's own interface is closed to third parties. This file therefore speaks the project's reference HTTP contract to a
backend that BMW itself runs; what it knows of BMW is how its cars take a command:

- start and stop, from OS 8 on. A remote command ends EXECUTED, ERROR or IGNORED; IGNORED means that the car was so
  already, so its backend tells it as ALREADY_IN_STATE, which is a success;
- an AC current limit chosen from a list that the car gives (`acLimitValue`), so a power becomes the greatest listed
  current at or below it, and a pause when there is none;
- a charging target of 20 to 100 % in steps of 5, which holds a car that can be held by nothing else;
- no discharge in North America.
"""

import dataclasses
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
from ven_adapters.oems import bmw_cardata
from ven_adapters.oems.bmw_cardata import CarData, CarDataSettings
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.consent import ConsentConversation
from ven_adapters.transport.http.backend import HttpVehicleBackend
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.readings.second_source import WithSource
from ven_adapters.transport.settings import read_table


class BmwSettings(BackendSettings):
    """BMW's table `[backend]`; a table `cardata` in it adds CarData's readings."""

    cardata: CarDataSettings | None = None


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """BMW's backend."""
    read = read_table(BmwSettings, settings)
    made = HttpVehicleBackend(read, achieve)
    return made if read.cardata is None else WithSource(made, CarData(read.cardata.in_time_of(read)))


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner lets us read his car through CarData; BMW has no consent to commands that others may ask for."""
    return bmw_cardata.consent(read_table(CarDataSettings, settings, "cardata"), name)


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """The greatest listed current not above the asked power, else a pause, else the charging target."""
    listed = capability.current is not None and capability.current.choices_a
    return fallback_ladder.climb(
        directive, capability if listed else dataclasses.replace(capability, current=None), snapshot
    )
