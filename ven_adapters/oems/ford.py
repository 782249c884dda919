"""Ford and Lincoln.

Ford publishes no interface that controls charging: FordConnect Query only reads, and the older FordConnect with its
start and stop is shut down. This file speaks the project's reference HTTP contract to a backend that Ford itself runs;
what it knows of Ford is how its cars take a command:

- start and stop;
- a current limit in whole amperes, 6 A the least;
- a charging target of 50, 60, 70 or 80 % and more, nothing between;
- preferred charge times that begin and end on the hour, local time, for cars that can do no more than that. A start
  while such a schedule stands would charge to 100 %, so a car with a schedule alone is handed back by clearing it;
- no remote discharge: Intelligent Backup Power is commanded by the home system.
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
from ven_adapters.oems import ford_query
from ven_adapters.oems.ford_query import FordQuery, FordQuerySettings
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.consent import ConsentConversation
from ven_adapters.transport.http.backend import HttpVehicleBackend
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.readings.second_source import WithSource
from ven_adapters.transport.settings import read_table

LEAST_A = 6


class FordSettings(BackendSettings):
    """Ford's table `[backend]`; a table `query` in it adds FordConnect Query's readings."""

    query: FordQuerySettings | None = None


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """Ford's backend."""
    read = read_table(FordSettings, settings)
    made = HttpVehicleBackend(read, achieve)
    return made if read.query is None else WithSource(made, FordQuery(read.query.in_time_of(read)))


def consent(settings: Mapping[str, Any], name: str) -> ConsentConversation:
    """An owner lets us read his car through FordConnect Query; there is no consent to commands to be asked for."""
    return ford_query.consent(read_table(FordQuerySettings, settings, "query"), name)


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """Whole amperes from 6 A, else a pause, else a charging target or the whole hours of a schedule."""
    current = capability.current
    if current is not None and current.min_a < LEAST_A:
        capability = dataclasses.replace(capability, current=dataclasses.replace(current, min_a=LEAST_A))
    return fallback_ladder.climb(directive, capability, snapshot)
