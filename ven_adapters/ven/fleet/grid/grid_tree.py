"""The grid above the cars: sites, transformers and feeders, each with what may be drawn and fed through it.

A tree as columns: one number per node, its parent's number, its limits. Nodes of the grid file come first, in its
order; then the sites that have limits of their own. Nothing is netted: one car's feed makes no room for another's
draw, for nobody measures at the node. Pure; knows nothing of files, of OpenADR or of plans.
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Floats, Ints

NO_NODE = -1
MOST_LEVELS = 8
"""Nodes on the way from a site up to where the tree ends."""


class NodeKind(enum.StrEnum):
    """What a node is."""

    SITE = "site"
    TRANSFORMER = "transformer"
    FEEDER = "feeder"


@dataclasses.dataclass(frozen=True, slots=True)
class GridNode:
    """One node of the grid file: kW that may be drawn and fed through it, magnitudes; None where nothing limits.

    `default_import_kw`, `default_export_kw`: what holds while the VTN is lost and no limit that it sent is in force.
    """

    name: str
    kind: NodeKind
    parent: str | None = None
    import_limit_kw: float | None = None
    export_limit_kw: float | None = None
    default_import_kw: float | None = None
    default_export_kw: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GridTree:
    """Nodes as columns. `parent`: NO_NODE at the top. Limits in kW, infinite without; defaults likewise.

    `above` (levels, nodes): a node's ancestors and itself by their distance from the top, the farthest first, so that
    a node stands in one level only; NO_NODE elsewhere.
    """

    names: tuple[str, ...]
    kinds: tuple[NodeKind, ...]
    parent: Ints
    import_kw: Floats
    export_kw: Floats
    default_import_kw: Floats
    default_export_kw: Floats
    above: Ints

    def __len__(self) -> int:
        return len(self.names)

    def path(self, node: int) -> tuple[str, ...]:
        """The names from a node up to the top."""
        found = []
        while node != NO_NODE:
            found.append(self.names[node])
            node = int(self.parent[node])
        return tuple(found)


def tree_of(nodes: Sequence[GridNode]) -> GridTree:
    """The tree of a grid file whose parents are all there and in no circle."""
    number = {node.name: place for place, node in enumerate(nodes)}
    parent = np.array([NO_NODE if one.parent is None else number[one.parent] for one in nodes], dtype=np.int64)
    return GridTree(
        names=tuple(one.name for one in nodes),
        kinds=tuple(one.kind for one in nodes),
        parent=parent,
        import_kw=_kw(one.import_limit_kw for one in nodes),
        export_kw=_kw(one.export_limit_kw for one in nodes),
        default_import_kw=_kw(one.default_import_kw for one in nodes),
        default_export_kw=_kw(one.default_export_kw for one in nodes),
        above=_above(parent),
    )


def _kw(limits: Iterable[float | None]) -> Floats:
    return np.array([np.inf if kw is None else kw for kw in limits], dtype=np.float64)


def _above(parent: Ints) -> Ints:
    """(levels, nodes) ancestors by distance from the top, the farthest level first."""
    chains, node = [], np.arange(len(parent))
    while (node != NO_NODE).any():
        chains.append(node)
        node = np.where(node != NO_NODE, parent[node], NO_NODE)
    chain = np.array(chains, dtype=np.int64).reshape(len(chains), len(parent))
    depth = (chain != NO_NODE).sum(axis=0)
    above = np.full_like(chain, NO_NODE)
    for step, ones in enumerate(chain):
        there = np.flatnonzero(ones != NO_NODE)
        above[depth[there] - 1 - step, there] = ones[there]
    return above[::-1]


NO_TREE = tree_of(())


@dataclasses.dataclass(frozen=True, slots=True)
class SiteClaims:
    """What enrolments say of sites, one entry per car: the site's number, NO_NODE where the car is not enrolled.

    `node`: of the grid file, NO_NODE where none is named; `import_kw`, `export_kw`: limits of the site, infinite
    without; `papers_kw`: the export limit of the agreement under which the car may feed the grid, infinite without.
    """

    site: Ints
    node: Ints
    import_kw: Floats
    export_kw: Floats
    papers_kw: Floats


def with_sites(grid: GridTree, names: Sequence[str], in_file: Ints, claims: SiteClaims) -> tuple[GridTree, Ints]:
    """The tree with the sites that are limited, and per car the node that it hangs from; NO_NODE without any.

    Of several cars at a site the smallest limit counts, and the node that comes first in the grid file. An agreement's
    export limit is that of the home, so it binds a site from which several cars may feed. `in_file`: per site its own
    node of the grid file, NO_NODE for most.
    """
    cars = np.flatnonzero(claims.site != NO_NODE)
    site, sites = claims.site[cars], len(names)
    import_kw, export_kw, papers_kw = (
        _least(site, kw[cars], sites) for kw in (claims.import_kw, claims.export_kw, claims.papers_kw)
    )
    feeding = np.bincount(site[np.isfinite(claims.papers_kw[cars])], minlength=sites)
    export_kw = np.minimum(export_kw, np.where(feeding > 1, papers_kw, np.inf))
    parent = _first(site, claims.node[cars], sites)
    limited = np.isfinite(import_kw) | np.isfinite(export_kw)
    made = _joined(grid, names, np.flatnonzero(limited & (in_file == NO_NODE)), parent, import_kw, export_kw)
    known = np.flatnonzero(limited & (in_file != NO_NODE))
    np.minimum.at(made.import_kw, in_file[known], import_kw[known])
    np.minimum.at(made.export_kw, in_file[known], export_kw[known])
    leaf_of_site = np.where(in_file != NO_NODE, in_file, parent)
    leaf_of_site[limited & (in_file == NO_NODE)] = np.arange(len(grid), len(made))
    leaf = np.full(len(claims.site), NO_NODE)
    leaf[cars] = leaf_of_site[site]
    return made, leaf


def _least(site: Ints, kw: Floats, sites: int) -> Floats:
    least = np.full(sites, np.inf)
    np.minimum.at(least, site, kw)
    return least


def _first(site: Ints, node: Ints, sites: int) -> Ints:
    first, named = np.full(sites, np.iinfo(np.int64).max), node != NO_NODE
    np.minimum.at(first, site[named], node[named])
    return np.where(first == np.iinfo(np.int64).max, NO_NODE, first)


def _joined(
    grid: GridTree, names: Sequence[str], sites: Ints, parent: Ints, import_kw: Floats, export_kw: Floats
) -> GridTree:
    """The grid file's nodes, copied, and these sites behind them."""
    endless = np.full(len(sites), np.inf)
    parents = np.concatenate([grid.parent, parent[sites]])
    return GridTree(
        (*grid.names, *(names[place] for place in sites.tolist())),
        (*grid.kinds, *(NodeKind.SITE for _ in range(len(sites)))),
        parents,
        np.concatenate([grid.import_kw, import_kw[sites]]),
        np.concatenate([grid.export_kw, export_kw[sites]]),
        np.concatenate([grid.default_import_kw, endless]),
        np.concatenate([grid.default_export_kw, endless]),
        _above(parents),
    )
