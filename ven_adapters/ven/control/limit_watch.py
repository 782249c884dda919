"""Limits of the grid as the last cycles kept them: which are broken by necessity, said when it begins and when it ends.

The log and alarms name transformers and feeders; a home is not named, because nothing here names a driver's home.
Reports read from here what an event's limits on nodes came to. No I/O beside the log.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ven_adapters.ven.fleet.grid.grid_tree import NodeKind
from ven_adapters.ven.fleet.grid.site_places import SitePlaces
from ven_adapters.ven.planning.flexibility.shortfall import Binding, Flexibility, Obstacle
from ven_adapters.ven.planning.limits.report import BrokenLimit, LimitsReport

MOST_SHOWN = 20
MOST_SAID = 5

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class LimitWatch:
    """`now`: by zone what its nodes' limits came to. Of a plan for an instant to come nothing is said."""

    now: dict[str, LimitsReport] = dataclasses.field(default_factory=dict)
    _at_s: dict[str, float] = dataclasses.field(default_factory=dict)
    _said: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def take(self, zone: str, found: LimitsReport | None, at_s: float, *, leads: bool) -> None:
        """What a cycle found."""
        if leads:
            return
        if found is None:
            self.now.pop(zone, None)
        else:
            self.now[zone], self._at_s[zone] = found, at_s
        broken = () if found is None else found.broken
        before, names = self._said.get(zone, frozenset()), frozenset(one.name for one in broken)
        self._said[zone] = names
        fresh = [one for one in broken if one.name not in before]
        for one in fresh[:MOST_SAID]:
            _log.error("ALARM: %s", in_words(one))
        if len(fresh) > MOST_SAID:
            _log.error("ALARM: %d more limits below zone %s are broken by necessity", len(fresh) - MOST_SAID, zone)
        if over := len(before - names):
            _log.info("zone %s: %d limits below it are kept again", zone, over)

    def added_to(self, told: Mapping[str, Any], places: SitePlaces) -> dict[str, Any]:
        """The adapter's account with these alarms beside its others."""
        mine = [in_words(one) for report in self.now.values() for one in report.broken]
        if places.strangers:
            named = ", ".join(places.unknown_nodes[:MOST_SHOWN])
            mine.append(f"grid_node of {places.strangers} enrolments: not in the grid file: {named}")
        if not mine:
            return dict(told)
        shown = [*told.get("alarms", ()), *mine][:MOST_SHOWN]
        return {**told, "alarms": shown, "alarms_in_all": told.get("alarms_in_all", 0) + len(mine)}

    def events(self) -> set[str]:
        """The events whose limits on nodes are broken now."""
        asks = (one.ask for report in self.now.values() for one in report.broken)
        return {ask.event_id for ask in asks if ask is not None}

    def of_event(self, zone: str, event_id: str) -> Flexibility | None:
        """What an event's limits on nodes below a zone lack, summed over those that are broken; None where none is."""
        report = self.now.get(zone)
        broken = [] if report is None else [one for one in report.broken if one.ask and one.ask.event_id == event_id]
        if not broken or broken[0].ask is None:
            return None
        planned_kw, limit_kw = sum(one.planned_kw for one in broken), sum(one.limit_kw for one in broken)
        ask = broken[0].ask
        return Flexibility(
            self._at_s[zone],
            limit_kw,
            planned_kw,
            planned_kw,
            planned_kw,
            planned_kw - limit_kw,
            tuple(_bindings(broken)),
            event_id,
            ask.interval_id,
            ask.end_s,
        )


def _bindings(broken: list[BrokenLimit]) -> Iterator[Binding]:
    stakes = sum(one.at_stake for one in broken)
    beyond_kw = sum(min(one.beyond_kw, one.over_kw) for one in broken)
    over_kw = sum(one.over_kw for one in broken)
    if stakes:
        yield Binding(Obstacle.DEPARTURE, stakes, max(0.0, over_kw - beyond_kw))
    if beyond_kw > 0 or not stakes:
        yield Binding(Obstacle.OTHER, 0, beyond_kw)


def in_words(one: BrokenLimit) -> str:
    """A broken limit as a sentence; a site is not named."""
    where = "a site" if one.kind == NodeKind.SITE else f"{one.kind} {one.name}"
    causes = []
    if one.at_stake:
        cars = f"{one.at_stake} {'car' if one.at_stake == 1 else 'cars'}"
        causes.append(f"{cars} would miss {'its departure' if one.at_stake == 1 else 'their departures'} otherwise")
    if one.beyond_kw > 0:
        causes.append(f"{one.beyond_kw:.1f} kW are drawn by cars that cannot be stopped or are not ours")
    why = "; ".join(causes) or "nothing else can be done"
    return f"the limit of {where} is broken by necessity: {one.planned_kw:.1f} kW of {one.limit_kw:.1f} kW: {why}"
