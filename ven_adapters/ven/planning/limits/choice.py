"""Cars that charge or feed by choice, inside the nodes above them: who gets room, how much, and from when on. Pure."""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, FleetView, Floats, Ints
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.planning.car_power import whole_w
from ven_adapters.ven.planning.limits.nodes import NOTHING_KW, Appetites, LimitedNodes, before_in_group, room_given
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

LAXITY_CLASS_S = 900.0
SOONEST_S = 300.0
HELD_S = 3750.0
"""How long a car is held by a limit at once, an hour and half a cycle; it is renewed, and ends by itself otherwise."""


def by_laxity(situation: ZoneState, cars: Ints, start_s: Floats | None = None) -> Ints:
    """Cars by least laxity in quarter hours, those that charge first within the hysteresis, then by their number.

    `start_s`: by which laxity is measured, the latest safe start where it is not given.
    """
    own_s = situation.needs.slack_s if start_s is None else start_s - situation.now_s
    slack_s = np.nan_to_num(own_s[cars], nan=0.0, posinf=1e12)
    charging = situation.charging[cars]
    laxity = np.floor((slack_s - situation.settings.hysteresis_s * charging) / LAXITY_CLASS_S)
    return cars[np.lexsort((situation.view.u[cars], ~charging, laxity))]


def given_room(nodes: LimitedNodes, view: FleetView, full_kw: Floats, order: Ints, taken_kw: Floats | None) -> Floats:
    """What each of the ordered cars may draw of its full power; `taken_kw`: what others take of the room already."""
    asks = Appetites(view, full_kw)
    room_kw = nodes.room_kw if taken_kw is None else nodes.room_kw - nodes.loads(taken_kw)
    return asks.in_steps(room_given(nodes, full_kw, asks.least_kw, order, np.maximum(0.0, room_kw)))


def begins_s(nodes: LimitedNodes, kwh: Floats, order: Ints, now_s: float) -> Floats:
    """When each of the ordered cars, the first in order first, is expected to find room; infinite where it never will.

    What those before it still need is drawn at the limit of the node. `kwh`: what each needs.
    """
    begin_h = np.zeros(len(kwh))
    need_kwh = np.nan_to_num(kwh)
    for group in nodes.above:
        under = order[group[order] != NO_NODE]
        placed, before_kwh = before_in_group(group[under], need_kwh[under])
        cars = under[placed]
        room_kw = np.maximum(nodes.room_kw[group[cars]], NOTHING_KW)
        begin_h[cars] = np.maximum(begin_h[cars], before_kwh / room_kw)
    return now_s + np.maximum(begin_h * HOUR_S, SOONEST_S)


def shared_kw(nodes: LimitedNodes, kw: Floats, kwh: Floats, hours: Floats, cars: Ints) -> Floats:
    """The power at which some cars' energy can be drawn when all of them charge at once below their nodes.

    One entry per car of `cars`. No less than what is needed to be done in so many hours: the fill finds the rest
    (`start_times`).
    """
    mine = dataclasses.replace(nodes, above=nodes.above[:, cars])
    limit_kw = np.where(nodes.is_zone, np.inf, nodes.room_kw)
    parts = np.minimum(1.0, limit_kw / np.maximum(mine.loads(kw), NOTHING_KW))
    part = np.minimum(1.0, mine.least_over_path(parts))
    least_kw = np.nan_to_num(kwh) / np.maximum(np.nan_to_num(hours, nan=0.0, posinf=np.inf), NOTHING_KW)
    return np.minimum(kw, np.maximum(kw * part, least_kw))


@dataclasses.dataclass(frozen=True, slots=True)
class RankedCars:
    """Cars in the order in which they may begin; `fits`: whom the nodes above have room for. `count`: of all cars."""

    cars: Ints
    fits: Bools
    count: int

    @property
    def able(self) -> Ints:
        """Those that there is room for, in the same order."""
        return self.cars[self.fits]

    @property
    def no_room(self) -> Bools:
        """Per car of all, whether it waits because there is none."""
        found = np.zeros(self.count, dtype=np.bool_)
        found[self.cars[~self.fits]] = True
        return found


def room_for(
    nodes: LimitedNodes | None, view: FleetView, full_kw: Floats, ranked: Ints, taken_kw: Floats
) -> RankedCars:
    """The ranked cars, and which of them the nodes above them have room for beside what is taken."""
    if nodes is None:
        return RankedCars(ranked, np.ones(len(ranked), dtype=np.bool_), len(view))
    return RankedCars(ranked, given_room(nodes, view, full_kw, ranked, taken_kw)[ranked] > 0, len(view))


def feeding_kw(nodes: LimitedNodes, power_kw: Floats, held_kw: Floats) -> Floats:
    """The most that each car may feed so that no node carries more than its limit when all of them do.

    Shared by what each can hold (`held_kw`), so that what one cannot give falls to another at the same node.
    """
    found, weight = power_kw.copy(), np.minimum(power_kw, held_kw)
    for group in nodes.above:
        under = np.flatnonzero(group != NO_NODE)
        mine, count = group[under], len(nodes.node)
        over = np.bincount(mine, weights=found[under], minlength=count) > nodes.export_kw + NOTHING_KW
        total_kw = np.bincount(mine, weights=weight[under], minlength=count)
        most_kw = np.where(over, nodes.export_kw, 0.0)[mine]
        shares_kw = weight[under] / np.maximum(total_kw[mine], NOTHING_KW) * most_kw
        found[under] = np.where(over[mine], np.minimum(found[under], shares_kw), found[under])
        weight = np.minimum(weight, found)
    return found


def within_rooms(nodes: LimitedNodes, situation: ZoneState, kw: Floats) -> Floats:
    """Signed kW of cars that are free, cut until every node above them carries no more than its limit."""
    drawn_kw, fed_kw = np.maximum(kw, 0.0), np.maximum(-kw, 0.0)
    if (nodes.loads(drawn_kw) > nodes.room_kw + NOTHING_KW).any():
        order = by_laxity(situation, np.flatnonzero(drawn_kw > 0))
        drawn_kw = given_room(nodes, situation.view, drawn_kw, order, None)
    if (nodes.loads(fed_kw) > nodes.export_kw + NOTHING_KW).any():
        fed_kw = whole_w(feeding_kw(nodes, fed_kw, fed_kw))
        fed_kw = np.where(fed_kw < situation.view.min_discharge_kw, 0.0, fed_kw)
    return drawn_kw - fed_kw


def limited(nodes: LimitedNodes, full_kw: Floats, given_kw: Floats, cars: Bools) -> Ints:
    """Per car the node that keeps it from more than it is given; NO_NODE where none does."""
    short = cars & (given_kw < full_kw - NOTHING_KW)
    used_kw = nodes.loads(given_kw)
    return np.where(short, nodes.binding(used_kw, full_kw - given_kw, nodes.room_kw), NO_NODE)
