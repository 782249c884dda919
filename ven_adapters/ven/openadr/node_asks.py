"""What events ask of single nodes of the grid: capacity limits whose targets name a node of the grid file.

A node's limit is about the grid and not about a contract, so it counts for every car below the node, from every program
that the VTN shows us. The last limit that was understood stays while a later one is not, as for zones; while the VTN is
lost and no limit that it sent is in force, the node's default of the grid file holds. Knows nothing of cars.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from ven_adapters.ven.fleet.columns import Floats
from ven_adapters.ven.fleet.grid.grid_tree import GridTree
from ven_adapters.ven.openadr.grid_limits import AskedOfNode, GridLimits, limits_of
from ven_adapters.ven.openadr.grid_requests import HeldEvent
from ven_adapters.ven.openadr.payload_types import Dimension
from ven_adapters.ven.openadr.understood_limits import UnderstoodLimits
from ven_adapters.ven.openadr.zone_requests import DEFAULT_LIMIT, ZoneRequests, read_requests

REMEMBERED = 4
_PREFIX = "node "

Kept = Mapping[tuple[str, Dimension], float]


@dataclasses.dataclass(frozen=True, slots=True)
class NodeReading:
    """What was read for all nodes at an instant, and when anything of it changes (epoch seconds)."""

    limits: GridLimits
    next_change_s: float


class NodeAsks:
    """Reads nodes' events; the same events at the same instant are read once, however many zones ask."""

    def __init__(self, understood: UnderstoodLimits, seed: str) -> None:
        self._understood = understood
        self._seed = seed
        self._known: dict[tuple[object, ...], NodeReading] = {}

    def read(self, tree: GridTree, events: Sequence[HeldEvent], now: datetime, *, lost: bool = False) -> NodeReading:
        """What holds for every node of the tree at `now`; `lost`: the VTN is."""
        mine = tuple(one for one in events if one.nodes)
        versions = tuple((one.event.id, one.event.modification_date_time, one.nodes) for one in mine)
        key = (tree, versions, now, lost)
        known = self._known.get(key)
        if known is None:
            known = self._read(tree, mine, now, lost=lost)
            self._known[key] = known
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return known

    def _read(self, tree: GridTree, events: Sequence[HeldEvent], now: datetime, *, lost: bool) -> NodeReading:
        by_node: dict[str, list[HeldEvent]] = {}
        for one in events:
            for name in one.nodes:
                by_node.setdefault(name, []).append(one)
        number = {name: place for place, name in enumerate(tree.names) if name in by_node}
        asked, alike, next_s = {}, dict[object, ZoneRequests](), math.inf
        for name, several in by_node.items():
            place = number.get(name)
            if place is None:
                continue
            kept = self._kept(name, tree, place, lost=lost)
            print_of = (tuple(one.event.id for one in several), tuple(sorted(kept.items(), key=str)))
            found = alike.get(print_of)
            if found is None:
                whole = [dataclasses.replace(one, of_zone=True, unused={}) for one in several]
                found = alike[print_of] = read_requests(name, whole, now=now, seed=self._seed, kept=kept)
            self._understood.take(_PREFIX + name, found.limits, now)
            next_s = min(next_s, found.next_change_s)
            asked[place] = AskedOfNode(found.import_cap_kw, found.export_cap_kw, found.import_limits_kw)
        tree = with_defaults(tree, frozenset(asked)) if lost else tree
        return NodeReading(limits_of(tree, asked), next_s)

    def _kept(self, name: str, tree: GridTree, place: int, *, lost: bool) -> Kept:
        """What counts in place of a limit that is not understood, or that no VTN says any more."""
        defaults = {
            Dimension.IMPORT_SUBSCRIPTION_KW: tree.default_import_kw[place],
            Dimension.IMPORT_LIMIT_KW: tree.default_import_kw[place],
            Dimension.EXPORT_SUBSCRIPTION_KW: tree.default_export_kw[place],
            Dimension.EXPORT_LIMIT_KW: tree.default_export_kw[place],
        }
        programs = ("", DEFAULT_LIMIT) if lost else ("",)
        known = {(one, named): float(kw) for named, kw in defaults.items() if math.isfinite(kw) for one in programs}
        return known | dict(self._understood.kept(_PREFIX + name))


def with_defaults(tree: GridTree, told: frozenset[int]) -> GridTree:
    """The tree with defaults as limits, but for the nodes of which events that are held still say something."""
    others = np.ones(len(tree), dtype=np.bool_)
    others[list(told)] = False
    return dataclasses.replace(
        tree,
        import_kw=np.where(others, np.minimum(tree.import_kw, tree.default_import_kw), tree.import_kw),
        export_kw=np.where(others, np.minimum(tree.export_kw, tree.default_export_kw), tree.export_kw),
    )


def shared_out(limits: GridLimits, share: Floats | None) -> GridLimits:
    """The limits as they fall to the cars of one part of a fleet, where cars of other parts hang from a node, too."""
    return limits if share is None else limits_of(limits.tree, limits.asked, share)
