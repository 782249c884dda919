"""Small grids above ordinary cars: nodes by name, cars by the node that they hang from, and what is asked of them."""

import dataclasses

import numpy as np
from planning_cases import HOUR, asked, cars

from ven_adapters.ven.fleet.columns import Tri
from ven_adapters.ven.fleet.grid.grid_tree import GridNode, NodeKind, tree_of
from ven_adapters.ven.openadr.grid_limits import limits_of

FEEDER, TRANSFORMER, SITE = NodeKind.FEEDER, NodeKind.TRANSFORMER, NodeKind.SITE


def node(name, parent=None, import_kw=None, export_kw=None, kind=TRANSFORMER, **defaults):
    return GridNode(name, kind, parent, import_kw, export_kw, **defaults)


def below(tree, names, **state):
    """Ordinary cars, each hanging from a node; None hangs from nothing."""
    number = {name: place for place, name in enumerate(tree.names)} | {None: -1}
    return cars(len(names), **state | {"node": [number[name] for name in names]})


def asked_below(tree, nodes=None, **fields):
    """What a zone is asked above a grid; `nodes`: by the node's name what events ask of it."""
    number = {name: place for place, name in enumerate(tree.names)}
    given = {number[name]: one for name, one in (nodes or {}).items()}
    return dataclasses.replace(asked(**fields), grid=limits_of(tree, given))


def one_transformer(import_kw=None, export_kw=None):
    return tree_of([node("T1", import_kw=import_kw, export_kw=export_kw)])


def sums(tree, view, kw):
    """What each node carries of signed kW: drawn, and fed, each by itself."""
    drawn, fed = np.zeros(len(tree)), np.zeros(len(tree))
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    for leaf, one in zip(view.node.tolist(), np.where(here, kw, 0.0).tolist(), strict=True):
        at = leaf
        while at >= 0:
            drawn[at] += max(one, 0.0)
            fed[at] += max(-one, 0.0)
            at = int(tree.parent[at])
    return drawn, fed


def last_possible_s(view, needs):
    """When a car must charge at the latest, by its slow pace and without any margin."""
    return view.departure_s - np.where(needs.some, np.nan_to_num(needs.hours), 0.0) * HOUR


SOON_S = 600.0
"""How long before that a departure goes before a limit."""
