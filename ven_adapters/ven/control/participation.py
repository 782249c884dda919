"""Which events count for which cars: what the VTN shows to a zone, less the programs that its cars are not in.

Cars of one zone may be in different programs. Those that are in the same ones are planned together, and what an event
asks of the zone in kW or kWh falls to the parts of the zone that are in its program, each by what its cars can do.
Stands between the copy of the VTN's objects of the VTN and the fleet's state; does no I/O.
"""

import collections
import dataclasses
import functools
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from ven_adapters.config import AdapterSettings, PatienceCaps
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.fleet.event_patience import PatienceTerms
from ven_adapters.ven.fleet.fleet import EventCaps
from ven_adapters.ven.fleet.grid.grid_file import read_grid
from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.openadr.event_faults import EventFault, EventFindings, beyond_nodes, faults_of
from ven_adapters.ven.openadr.programs import ProgramNames, ProgramSelection
from ven_adapters.ven.openadr.vtn_objects import VtnObjects, version
from ven_adapters.ven.openadr.zone_requests import HeldEvent
from vtn.rules.timeline import lifespan_end
from vtn.wire.event import Event

AT_ONCE = 200


@dataclasses.dataclass(frozen=True, slots=True)
class _JudgedEvent:
    """What was found in an event, on what it rests, and when the event is over."""

    basis: tuple[object, ...]
    end: datetime
    findings: EventFindings


@dataclasses.dataclass(slots=True)
class Participation:
    """Asked anew whenever it matters, so that a change of enrolment counts at once."""

    vtn_objects: VtnObjects
    fleet_state: FleetState
    selection: ProgramSelection
    _known: dict[str, _JudgedEvent] = dataclasses.field(default_factory=dict)

    def take(self) -> dict[str, str]:
        """Take up what a poll brought; the payload types that now count from another program, to be remembered."""
        events = [read.event for read in self.vtn_objects.events.values()]
        return self.selection.take(self.vtn_objects.programs.values(), events)

    def events_for(self, part: str) -> list[HeldEvent]:
        """The events that a part of a zone may see, each with what of it counts for its cars, and how much."""
        mine = self.fleet_state.parts[part]
        beside = self.fleet_state.parts_of(mine.zone)
        shares_of = functools.cache(functools.partial(self._shares, part))
        found = []
        for one in self.vtn_objects.events_for(mine.zone):
            unused = self.selection.unused(mine.programs, one.event)
            if not one.of_zone:
                found.append(one)
            elif len(beside) > 1:
                draws, feeds = shares_of(frozenset(self._in_program(beside, one.event)) | {part})
                found.append(dataclasses.replace(one, unused=unused, import_share=draws, export_share=feeds))
            else:
                found.append(dataclasses.replace(one, unused=unused) if unused else one)
        return found

    def parts(self, event: Event, zone: str) -> list[str]:
        """The parts of a zone whose cars are in an event's program."""
        return self._in_program(self.fleet_state.parts_of(zone), event)

    def judged(self, now: datetime) -> list[EventFindings]:
        """Every event that is not over: what is not understood of it, and what of it is for none of our cars."""
        collections.deque(self.judge(), maxlen=0)
        return self.findings(now)

    def judge(self) -> Iterator[None]:
        """Judge every event. Of very many it pauses now and then, so that others' work goes on in between."""
        known, fresh = self._known, dict[str, _JudgedEvent]()
        names = {self.fleet_state.parts[part].programs for part in self.fleet_state.zones}
        for number, read in enumerate(tuple(self.vtn_objects.events.values()), start=1):
            if read.event.id not in self.vtn_objects.unreadable:
                fresh[read.event.id] = self._judge(read.event, names, known.get(read.event.id))
            if number % AT_ONCE == 0:
                yield
        self._known = fresh

    def findings(self, now: datetime) -> list[EventFindings]:
        """What was found of events that are not over, and of those that cannot be read."""
        unreadable = [
            EventFindings(event_id, told.version, (EventFault(0, "", told.why, binds=True),))
            for event_id, told in self.vtn_objects.unreadable.items()
        ]
        return [*(one.findings for one in self._known.values() if one.end > now), *unreadable]

    def unmet(self) -> list[str]:
        """The program names that cars are enrolled in and no program of the VTN has."""
        names = {name for part in self.fleet_state.zones for name in self.fleet_state.parts[part].programs}
        return self.selection.unmet(names)

    def _judge(self, event: Event, names: Collection[frozenset[str]], known: _JudgedEvent | None) -> _JudgedEvent:
        """What was found before, as long as nothing that it rests on has changed."""
        by_part = [self.selection.unused(one, event) for one in names] or [{}]
        unused = {kind: why for kind, why in by_part[0].items() if all(kind in one for one in by_part)}
        program = self.vtn_objects.descriptors(event.program_id)
        basis = version(event), program, unused
        if known is not None and known.basis == basis:
            return known
        faults, reasons = faults_of(event, program, unused), tuple(dict.fromkeys(unused.values()))
        if self.vtn_objects.names_nodes_alone(event.targets):
            faults = (*faults, *beyond_nodes(event))
        return _JudgedEvent(basis, lifespan_end(event), EventFindings(event.id, version(event), faults, reasons))

    def _in_program(self, parts: Sequence[str], event: Event) -> list[str]:
        return [
            part for part in parts if self.selection.takes_part(self.fleet_state.parts[part].programs, event.program_id)
        ]

    def _shares(self, part: str, parts: Collection[str]) -> tuple[float, float]:
        """This part's share of what its zone is asked to draw, and to feed."""
        if len(parts) == 1:
            return 1.0, 1.0
        parts = sorted(parts)
        able = {one: self.fleet_state.capacity("", [one]) for one in parts}
        cars = {one: float(len(self.fleet_state.fleet.zone_rows(one))) for one in parts}
        draws = _share({one: can.max_consumption_kw for one, can in able.items()}, part, cars)
        return draws, _share({one: can.max_export_kw for one, can in able.items()}, part, cars)


def _share(weights: dict[str, float], part: str, otherwise: dict[str, float]) -> float:
    weights = weights if sum(weights.values()) > 0 else otherwise
    return weights[part] / sum(weights.values())


def fleet_state_of(settings: AdapterSettings, now: datetime) -> FleetState:
    """The cars' place, with what settings say of their zones and programs."""
    schemes = {} if settings.enrolling is None else settings.enrolling.programs
    names = ProgramNames(
        frozenset(settings.programs),
        {name: frozenset(zone.programs) for name, zone in settings.zones.items()},
        {name: frozenset(rules.openadr) for name, rules in schemes.items()},
    )
    parents = {name: zone.parent for name, zone in settings.zones.items()}
    fleet_state = FleetState(
        now.timestamp(),
        parents,
        settings.smallest_group,
        names,
        old_after_s=settings.reading.old_after_s,
        patience=_terms_of(settings),
    )
    if settings.grid is not None:
        fleet_state.fleet.hang_from(tree_of(read_grid(settings.grid)))
    for name, zone in settings.zones.items():
        fleet_state.limits.set_kw(name, imports=zone.fallback_import_kw, exports=zone.fallback_export_kw)
    return fleet_state


def _terms_of(settings: AdapterSettings) -> PatienceTerms:
    schemes = {} if settings.enrolling is None else settings.enrolling.programs
    patience = settings.patience
    by_program = {name: _caps_of(rules.patience) for name, rules in schemes.items()}
    return PatienceTerms(_caps_of(patience), by_program, patience.override_share, patience.overrides_of)


def _caps_of(caps: PatienceCaps) -> EventCaps:
    return EventCaps(caps.events_per_day, caps.hours_per_week, caps.hours_per_season, caps.consecutive_days)
