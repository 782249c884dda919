"""What holds for every node of the grid: the limits of the grid file and of enrolments, and what events ask of nodes.

The smaller of what is set and what is asked counts, for a set limit is the grid's own. Arrays over the nodes of a
`GridTree`; kW, magnitudes. Pure.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ven_adapters.ven.fleet.columns import Floats, Ints
from ven_adapters.ven.fleet.grid.grid_tree import GridTree
from ven_adapters.ven.openadr.grid_requests import GridRequest, RequestSeries


@dataclasses.dataclass(frozen=True, slots=True)
class AskedOfNode:
    """What events ask of one node now, and on import over the horizon."""

    imports: GridRequest | None = None
    exports: GridRequest | None = None
    import_series: RequestSeries | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GridLimits:
    """Per node of `tree` what may be drawn and fed now. `asked`: by node, where events ask anything.

    `share`: of the node's import, what falls to the cars that are planned, where others hang from it, too.
    """

    tree: GridTree
    import_kw: Floats
    export_kw: Floats
    asked: Mapping[int, AskedOfNode]
    share: Floats | None = None

    def import_kw_at(self, at_s: Floats, node: Ints) -> Floats:
        """(instants, nodes) what may be drawn through some nodes, by their numbers, at instants to come.

        Where events ask nothing it is what is set.
        """
        set_kw = self.tree.import_kw[node]
        found = np.repeat(set_kw[None, :], len(at_s), axis=0)
        for place, number in enumerate(node.tolist() if self.asked else ()):
            asked = self.asked.get(number)
            if asked is not None and asked.import_series is not None:
                found[:, place] = np.fmin(set_kw[place], _sampled(asked.import_series, at_s))
        return found if self.share is None else _part(found, self.share[node])

    @property
    def in_force(self) -> tuple[object, ...]:
        """What events ask of nodes, to tell whether it is still the same."""
        return tuple((node, one.imports, one.exports) for node, one in sorted(self.asked.items()))

    @property
    def is_asked(self) -> bool:
        """Whether an event limits any node now."""
        return any(one.imports is not None or one.exports is not None for one in self.asked.values())


def limits_of(tree: GridTree, asked: Mapping[int, AskedOfNode], share: Floats | None = None) -> GridLimits:
    """What holds now for a tree's nodes."""
    import_kw, export_kw = tree.import_kw.copy(), tree.export_kw.copy()
    for node, one in asked.items():
        if one.imports is not None:
            import_kw[node] = min(import_kw[node], one.imports.value)
        if one.exports is not None:
            export_kw[node] = min(export_kw[node], one.exports.value)
    if share is not None:
        import_kw, export_kw = _part(import_kw, share), _part(export_kw, share)
    return GridLimits(tree, import_kw, export_kw, asked, share)


def _part(kw: Floats, share: Floats) -> Floats:
    return np.multiply(kw, share, out=kw.copy(), where=np.isfinite(kw))


def _sampled(steps: RequestSeries, at_s: Floats) -> Floats:
    place = np.searchsorted(steps.edges_s, at_s, side="right") - 1
    inside = (place >= 0) & (place < len(steps.values))
    return np.where(inside, steps.values[np.clip(place, 0, len(steps.values) - 1)], np.nan)
