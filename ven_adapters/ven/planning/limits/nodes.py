"""The limited nodes above the cars of one plan, and power given out inside all of them at once.

Cars are served in an order. In a tree it comes to the same whether each car takes what all nodes above it have left,
one car after the other, or level after level from the sites upwards, each node in that order: who gets less because a
node is full shares every node below with later cars that get nothing from it either. So all nodes of a level are one
pass over arrays, however many there are. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Control, FleetView, Floats, Ints
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.planning.car_power import achieved_kw

ZONE = NO_NODE
"""In place of a node's number in the tree: the zone itself, above all cars."""
NOTHING_KW = 1e-6
ROUNDS = 4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LimitedNodes:
    """The nodes above some cars that have a limit. Powers are kW, magnitudes.

    `above` (levels, cars): which of the nodes each car is under, by level, the farthest from the top first; NO_NODE
    where none. `node`: their numbers in the grid's tree, ZONE for the zone. `import_kw`, `export_kw`: their limits, of
    the second what cars that are not ours do not feed already. `room_kw`: what of the first is left to cars that charge
    by choice. All infinite where nothing limits.
    """

    above: Ints
    node: Ints
    import_kw: Floats
    export_kw: Floats
    room_kw: Floats

    @property
    def is_zone(self) -> Bools:
        """Which of the nodes is the zone itself."""
        return np.asarray(self.node == ZONE)

    def loads(self, kw: Floats) -> Floats:
        """What cars draw or feed through each node."""
        found = np.zeros(len(self.node))
        for group in self.above:
            under = group != NO_NODE
            found += np.bincount(group[under], weights=kw[under], minlength=len(found))
        return found

    def least_over_path(self, values: Floats) -> Floats:
        """Per car the least of what the nodes above it have; infinite without any."""
        least = np.full(self.above.shape[1], np.inf)
        for group in self.above:
            under = group != NO_NODE
            least[under] = np.minimum(least[under], values[group[under]])
        return least

    def given_in_order(self, kw: Floats, order: Ints, room_kw: Floats) -> Floats:
        """What each car gets of what it asks, the first in order first; the last that gets anything may get a part."""
        given = kw.copy()
        given[order] = given_first(self.above[:, order], kw[order], room_kw)
        return given

    def binding(self, used_kw: Floats, kw: Floats, limit_kw: Floats) -> Ints:
        """Per car the node above it that leaves less room than `kw`, the fullest one; NO_NODE without any."""
        left_kw = np.maximum(limit_kw - used_kw, 0.0)
        least, found = kw - NOTHING_KW, np.full(len(kw), NO_NODE)
        for group in self.above:
            left = np.where(group != NO_NODE, left_kw[group], np.inf)
            found = np.where(left < least, group, found)
            least = np.minimum(least, left)
        return found


def given_first(above: Ints, kw: Floats, room_kw: Floats) -> Floats:
    """The same for cars that stand in their order already: what each gets of `kw`; `above` has their nodes by level."""
    given = kw
    for group in above:
        under = None if group.min(initial=0) >= 0 else np.flatnonzero(group >= 0)
        mine, asked = (group, given) if under is None else (group[under], given[under])
        placed, before_kw = before_in_group(mine, asked)
        got = np.empty_like(asked)
        got[placed] = np.minimum(np.maximum(room_kw[mine[placed]] - before_kw, 0.0), asked[placed])
        if under is None:
            given = got
        else:
            given = given.copy()
            given[under] = got
    return given


def before_in_group(group: Ints, kw: Floats) -> tuple[Ints, Floats]:
    """A stable order by group, and in it what comes before each in its group."""
    placed = by_number(group)
    sorted_group, sorted_kw = group[placed], kw[placed]
    before_kw = np.cumsum(sorted_kw) - sorted_kw
    begins = np.flatnonzero(sorted_group[1:] != sorted_group[:-1]) + 1
    firsts = np.zeros(len(group), dtype=np.int64)
    firsts[begins] = begins
    return placed, before_kw - before_kw[np.maximum.accumulate(firsts)]


def by_number(numbers: Ints) -> Ints:
    """A stable order of small numbers, 0 or more; sixteen bits at a time, which is a sort without comparisons."""
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    if len(numbers) and numbers.max() > np.iinfo(np.uint16).max:
        order = order[np.argsort((numbers >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def nodes_above(
    leaf: Ints, above: Ints, import_kw: Floats, export_kw: Floats, zone_kw: float = np.inf
) -> LimitedNodes | None:
    """The limited nodes above cars that hang from `leaf`; None where nothing limits them.

    `above`, `import_kw`, `export_kw`: of the whole tree. `zone_kw`: the zone's limit on import, infinite without.
    """
    limited = np.isfinite(import_kw) | np.isfinite(export_kw)
    hangs = leaf != NO_NODE
    levels: list[Ints] = []
    numbers: list[Ints] = []
    for ancestors in above if hangs.any() else ():
        mine = np.where(hangs, ancestors[leaf], NO_NODE)
        mine = np.where((mine != NO_NODE) & limited[mine], mine, NO_NODE)
        named, place = np.unique(mine, return_inverse=True)
        if not (named != NO_NODE).any():
            continue
        first = int(named[0] == NO_NODE)
        count = sum(len(one) for one in numbers)
        levels.append(np.where(place >= first, place - first + count, NO_NODE))
        numbers.append(named[first:])
    if np.isfinite(zone_kw):
        levels.append(np.full(len(leaf), sum(len(one) for one in numbers)))
        numbers.append(np.array([ZONE]))
    if not levels:
        return None
    node = np.concatenate(numbers)
    imports_kw, exports_kw = np.append(import_kw, zone_kw)[node], np.append(export_kw, np.inf)[node]
    return LimitedNodes(np.array(levels), node, imports_kw, exports_kw, imports_kw)


@dataclasses.dataclass(frozen=True, slots=True)
class Appetites:
    """Cars that ask for power, and what each takes at most, kW."""

    view: FleetView
    full_kw: Floats

    @property
    def least_kw(self) -> Floats:
        """Six amperes where a car's current can be set; all or nothing otherwise."""
        adjustable = (self.view.control == Control.STEPS) | (self.view.control == Control.LEVELS)
        return np.where(adjustable, np.minimum(np.maximum(self.view.floor_kw, NOTHING_KW), self.full_kw), self.full_kw)

    def in_steps(self, kw: Floats) -> Floats:
        """What each draws that is held to at most so much."""
        found = np.minimum(kw, self.full_kw)
        part = np.flatnonzero((found > 0) & (found < self.full_kw))
        if len(part):
            found[part] = achieved_kw(self.view, found[part], self.full_kw[part], part)
        return found


def room_given(nodes: LimitedNodes, asks: Floats, least_kw: Floats, order: Ints, room_kw: Floats) -> Floats:
    """What each of the ordered cars gets of what it asks, nobody less than `least_kw` unless nothing.

    A car whose least does not fit is passed over for later ones that do; a few rounds find them.
    """
    given_kw = np.zeros(len(asks))
    for _ in range(ROUNDS):
        left_kw = room_kw - nodes.loads(given_kw)
        waits = order[given_kw[order] <= 0]
        fits = nodes.least_over_path(left_kw)[waits] >= least_kw[waits] - NOTHING_KW
        waits = waits[fits & (asks[waits] > 0)]
        if not len(waits):
            break
        found = nodes.given_in_order(np.where(given_kw > 0, 0.0, asks), waits, left_kw)
        taken = waits[found[waits] >= least_kw[waits] - NOTHING_KW]
        given_kw[taken] = found[taken]
    return given_kw
