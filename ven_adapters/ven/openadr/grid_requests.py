"""What events ask, as records: one ask with its window, a quantity over the horizon, what nobody acts on.

`zone_requests` makes them from events. Knows nothing of cars.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime

import numpy as np

from ven_adapters.ven.fleet.columns import Floats
from ven_adapters.ven.openadr.payload_types import PayloadContext, described
from vtn.wire.event import Event
from vtn.wire.values import EventPayloadDescriptor


@dataclasses.dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event as this VEN holds it: when it was first read ("now" means that instant), and the program's descriptors.

    `program_descriptors` explain what the event itself leaves open. `unused`: the payload types that are not for these
    cars, and why. `import_share`, `export_share`: what falls to these cars of the kW and kWh that a zone is asked.
    `nodes`: of the grid, that its targets name; `of_zone`: whether it asks the zone itself anything.
    """

    event: Event
    read_at: datetime
    program_descriptors: tuple[EventPayloadDescriptor, ...] = ()
    unused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    import_share: float = 1.0
    export_share: float = 1.0
    nodes: tuple[str, ...] = ()
    of_zone: bool = True

    def described(self, payload_type: str) -> PayloadContext:
        """What the descriptors say of a type."""
        return described(payload_type, self.event.payload_descriptors or (), self.program_descriptors)


@dataclasses.dataclass(frozen=True, slots=True)
class GridRequest:
    """One thing asked from `start_s` to `end_s` (epoch seconds, half open), and by which event interval.

    `value` is in the unit that its place in `ZoneRequests` names, and `whole` what the zone is asked, of
    which it is these cars' part. `stands_in`: the limit itself was not understood, and an earlier one counts.
    """

    value: float
    start_s: float
    end_s: float
    program_id: str
    event_id: str
    interval_id: int
    priority: int | None = None
    payload_type: str = ""
    created_s: float = 0.0
    currency: str | None = None
    stands_in: bool = False
    whole: float = math.nan

    @property
    def rank(self) -> float:
        """The priority as a number to sort by: lower governs."""
        return math.inf if self.priority is None else self.priority


@dataclasses.dataclass(frozen=True, slots=True)
class RequestSeries:
    """A quantity over the horizon: value k holds from edge k to edge k+1; NaN where nothing was said."""

    edges_s: Floats
    values: Floats
    requests: tuple[GridRequest | None, ...]
    currency: str | None = None

    def at(self, instant_s: float) -> GridRequest | None:
        """The ask in force at an instant."""
        k = int(np.searchsorted(self.edges_s, instant_s, side="right")) - 1
        return self.requests[k] if 0 <= k < len(self.requests) else None


@dataclasses.dataclass(frozen=True, slots=True)
class UnusedPayload:
    """A payload that nobody acts on, and why: the field, a colon and the rule."""

    event_id: str
    interval_id: int
    payload_type: str
    why: str
    program_id: str = ""
