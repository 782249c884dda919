"""What of a node's limit falls to each part of the fleet, where cars of several parts hang from it.

Parts are planned one after the other, so each is given its share beforehand: by what its cars at their plugs would draw
now. A share moves with the cars, from cycle to cycle. No I/O.
"""

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, Tri
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE, GridTree

LEAST_WEIGHT = 1e-3
"""Of what a car could draw: what it counts while it draws nothing, so that no part is left without a share."""


class NodeShares:
    """Shares of nodes that lie above cars of more than one part; who they are is found anew with every tree."""

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self._tree: GridTree | None = None
        self._spanning: Bools = np.zeros(0, dtype=np.bool_)

    def of(self, part: str) -> Floats | None:
        """Per node of the tree the share of a part's cars, 1 where it is alone; None where it is so everywhere."""
        tree = self._fleet.places.tree
        if tree is not self._tree:
            self._tree, self._spanning = tree, self._spanning_nodes(tree)
        if not self._spanning.any():
            return None
        rows = np.arange(len(self._fleet))
        leaf, weight = self._fleet.read("node", rows), self._weights(rows)
        mine = np.zeros(len(rows), dtype=np.bool_)
        mine[self._fleet.zone_rows(part)] = True
        whole, own = np.zeros(len(tree)), np.zeros(len(tree))
        for node, cars in _above(tree, leaf):
            whole += np.bincount(node, weights=weight[cars], minlength=len(tree))
            own += np.bincount(node, weights=np.where(mine, weight, 0.0)[cars], minlength=len(tree))
        share = np.divide(own, whole, out=np.ones(len(tree)), where=whole > 0)
        return np.where(self._spanning, share, 1.0)

    def _weights(self, rows: Ints) -> Floats:
        """KW that each car at its plug would draw; a trifle of its power otherwise, nothing where it is not ours."""
        read = self._fleet.read
        full_kw = np.nan_to_num(read("max_charge_kw", rows))
        here = (read("plugged", rows) == Tri.YES) & (read("at_home", rows) == Tri.YES)
        wants = ~(read("soc_pct", rows) >= read("target_pct", rows))
        draws_kw = np.where(wants, full_kw, np.maximum(0.0, np.nan_to_num(read("power_kw", rows))))
        return np.where(read("enrolled", rows), np.where(here, draws_kw, 0.0) + LEAST_WEIGHT * (full_kw + 1.0), 0.0)

    def _spanning_nodes(self, tree: GridTree) -> Bools:
        """The limited nodes above cars of more than one part."""
        rows = np.arange(len(self._fleet))
        rows = rows[self._fleet.read("enrolled", rows)]
        leaf, part = self._fleet.read("node", rows), self._fleet.read("zone", rows)
        first, last = np.full(len(tree), np.iinfo(np.int64).max), np.full(len(tree), NO_NODE)
        for node, cars in _above(tree, leaf):
            np.minimum.at(first, node, part[cars])
            np.maximum.at(last, node, part[cars])
        return np.asarray((last != NO_NODE) & (first != last))


def _above(tree: GridTree, leaf: Ints) -> list[tuple[Ints, Ints]]:
    """By level the nodes above cars, and which cars."""
    found = []
    for ancestors in tree.above:
        node = np.where(leaf != NO_NODE, ancestors[leaf], NO_NODE) if len(ancestors) else leaf * 0 + NO_NODE
        cars = np.flatnonzero(node != NO_NODE)
        found.append((node[cars], cars))
    return found
