"""What limits came to in one plan: which node holds which car, which are full, and which are broken and why. Pure.

A limit that is broken is broken by necessity: by departures that would be missed otherwise, by cars that cannot be
stopped or are not ours to stop. Each is said with its figures; nothing here decides anything.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, Tri
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.openadr.zone_requests import GridRequest, ZoneRequests
from ven_adapters.ven.planning.car_power import drawn_kw
from ven_adapters.ven.planning.limits.forced_share import ForcedShare
from ven_adapters.ven.planning.limits.nodes import ZONE, LimitedNodes
from ven_adapters.ven.planning.zone_state import ZoneState

LEAST_OVER_KW = 0.05
NEAR_KW = 0.05
MOST_NAMED = 200


@dataclasses.dataclass(frozen=True, slots=True)
class BrokenLimit:
    """A node through which more is planned than its limit, kW; how many cars' departures are at stake there.

    `beyond_kw`: drawn there by cars that cannot be stopped or that are not ours to stop. `ask`: of the event whose
    limit it is; None where it is the grid's own.
    """

    name: str
    kind: str
    limit_kw: float
    planned_kw: float
    at_stake: int
    beyond_kw: float
    ask: GridRequest | None = None

    @property
    def over_kw(self) -> float:
        """How much more is planned."""
        return self.planned_kw - self.limit_kw


@dataclasses.dataclass(frozen=True, slots=True)
class LimitsReport:
    """The nodes below one zone that are limited, those that hold cars, how many cars, and those that are broken.

    `over_kw`: the sum of what is planned above limits. Of very many the worst are named.
    """

    nodes: int
    full: int
    held_cars: int
    broken_nodes: int
    over_kw: float
    broken: tuple[BrokenLimit, ...] = ()


def limited_by(nodes: LimitedNodes | None, situation: ZoneState, kw: Floats, held: Bools, most_give_kw: Floats) -> Ints:
    """Per car the number in the tree of the node that holds it: from drawing more, or from feeding more.

    `held`: the cars that draw less because of a node. `most_give_kw`: what each could feed if no node limited it.
    """
    found = np.full(len(kw), NO_NODE)
    if nodes is None:
        return found
    full_kw = np.nan_to_num(_free_kw(situation))
    draws = nodes.binding(nodes.loads(_drawn_kw(situation, kw)), full_kw - np.maximum(kw, 0.0), nodes.import_kw)
    fed_kw = np.maximum(-kw, 0.0)
    more_kw = np.where(most_give_kw > fed_kw + NEAR_KW, NEAR_KW, 0.0)
    feeds = nodes.binding(nodes.loads(fed_kw), more_kw, nodes.export_kw)
    place = np.where(held, draws, np.where(more_kw > 0, feeds, NO_NODE))
    return np.where(place == NO_NODE, NO_NODE, nodes.node[place])


def limits_report(
    nodes: LimitedNodes | None,
    share: ForcedShare | None,
    situation: ZoneState,
    requests: ZoneRequests,
    kw: Floats,
    by_node: Ints,
) -> LimitsReport | None:
    """What the limits of the nodes below a zone came to; None without any."""
    grid = requests.grid
    if nodes is None or share is None or grid is None or nodes.is_zone.all():
        return None
    planned_kw = nodes.loads(_drawn_kw(situation, kw))
    over = np.flatnonzero((planned_kw > nodes.import_kw + LEAST_OVER_KW) & ~nodes.is_zone)
    worst = over[np.argsort(nodes.import_kw[over] - planned_kw[over], kind="stable")][:MOST_NAMED]
    stakes = nodes.loads(share.at_stake.astype(np.float64))
    beyond_kw = nodes.loads(np.where(share.beyond, _drawn_kw(situation, kw), 0.0))
    broken = [
        BrokenLimit(
            grid.tree.names[number],
            grid.tree.kinds[number].value,
            float(nodes.import_kw[place]),
            float(planned_kw[place]),
            int(stakes[place]),
            float(beyond_kw[place]),
            None
            if (asked := grid.asked.get(number)) is None
            else _governing(asked.imports, grid.tree.import_kw[number]),
        )
        for place, number in ((one, int(nodes.node[one])) for one in worst.tolist())
    ]
    held = by_node[by_node != NO_NODE]
    return LimitsReport(
        int((nodes.node != ZONE).sum()),
        len(np.unique(held)),
        len(held),
        len(over),
        float((planned_kw[over] - nodes.import_kw[over]).sum()),
        tuple(broken),
    )


def asks_of(requests: ZoneRequests, by_node: Ints) -> tuple[Sequence[GridRequest], Ints]:
    """The events whose limits hold cars, and per car which of them; NO_NODE where the limit is the grid's own."""
    grid, found = requests.grid, np.full(len(by_node), NO_NODE)
    asks: list[GridRequest] = []
    if grid is None or not grid.asked:
        return asks, found
    for number in np.unique(by_node[by_node != NO_NODE]).tolist():
        asked = grid.asked.get(number)
        ask = None if asked is None else asked.imports or asked.exports
        if ask is not None:
            if ask not in asks:
                asks.append(ask)
            found[by_node == number] = asks.index(ask)
    return asks, found


def _governing(ask: GridRequest | None, set_kw: float) -> GridRequest | None:
    return ask if ask is not None and ask.value <= set_kw else None


def _free_kw(situation: ZoneState) -> Floats:
    """What each car would draw if nothing limited it."""
    view = situation.view
    return drawn_kw(view, view.max_charge_kw, situation.charging, situation.needs.some)


def _drawn_kw(situation: ZoneState, kw: Floats) -> Floats:
    """What is drawn at the plugs below: as planned, and of cars that are told nothing what they were seen to draw."""
    view = situation.view
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    return np.where(here, np.maximum(0.0, np.nan_to_num(kw)), 0.0)
