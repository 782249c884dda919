"""How cars that must charge share the limits above them: each its least first, then the least laxity.

Only a departure that would be missed otherwise breaks a limit: a car whose last possible start has come, by its slow
pace and without any margin, draws all that it can. What cannot be stopped, or not so soon, draws its least and is
counted. Everybody else stays inside what is left: each first gets six amperes, where its current can be set, and then
the least laxity more. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, Tri
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.planning.limits.choice import by_laxity
from ven_adapters.ven.planning.limits.nodes import NOTHING_KW, Appetites, LimitedNodes, room_given
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

BEFORE_LAST_S = 600.0
"""So long before its last possible start a car's departure goes before any limit: two cycles."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ForcedShare:
    """Per car that must charge: the most kW that it may draw, whether that is less than it would, and until when.

    `kw`: infinite for cars that need not charge. `until_s`: the last possible start (epoch seconds), when its departure
    goes before the limit. `node`: which of the nodes holds it, NO_NODE for cars that none does. `at_stake`: its
    departure is missed unless it charges now. `beyond`: it cannot be stopped, or is not ours to stop.
    """

    kw: Floats
    held: Bools
    until_s: Floats
    node: Ints
    at_stake: Bools
    beyond: Bools


def last_start_s(situation: ZoneState) -> Floats:
    """From when on each car's departure is missed unless it charges all the time; infinite without a departure."""
    hours = np.where(situation.needs.some, np.nan_to_num(situation.needs.hours), 0.0)
    return np.asarray(situation.view.departure_s - hours * HOUR_S - BEFORE_LAST_S)


def shared(
    situation: ZoneState, nodes: LimitedNodes, full_kw: Floats, must: Bools, stuck: Bools, touch: Bools
) -> tuple[ForcedShare, LimitedNodes]:
    """The shares of cars that must charge or are `stuck`, and the nodes with what these leave to all others.

    `full_kw`: what each would draw. `touch`: the cars that may be told anything; of others at their plugs counts what
    they were seen to draw.
    """
    view = situation.view
    full_kw = np.where(touch, np.nan_to_num(full_kw), 0.0)
    beyond = ~touch & (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    seen_kw = np.where(beyond, np.nan_to_num(view.power_kw), 0.0)
    fixed_kw = np.maximum(0.0, seen_kw)
    asks = Appetites(view, full_kw)
    until_s = last_start_s(situation)
    at_stake = touch & must & situation.needs.some & (situation.now_s >= until_s)
    least_kw = asks.least_kw
    sure_kw = np.where(at_stake, full_kw, np.where(touch & stuck, least_kw, 0.0))
    rest = touch & (must | stuck) & ~at_stake & (full_kw > 0)
    room_kw = nodes.import_kw - nodes.loads(fixed_kw + sure_kw)
    order = by_laxity(situation, np.flatnonzero(rest), until_s)
    floors_kw = np.where(sure_kw > 0, sure_kw, room_given(nodes, least_kw, least_kw, order, room_kw))
    more_kw = np.where(floors_kw > 0, full_kw - floors_kw, 0.0)
    left_kw = nodes.import_kw - nodes.loads(fixed_kw + floors_kw)
    given_kw = floors_kw + nodes.given_in_order(more_kw, order, left_kw) * rest
    kw = np.where(rest, asks.in_steps(given_kw), sure_kw)
    held = rest & (kw < full_kw - NOTHING_KW)
    used_kw = nodes.loads(fixed_kw + kw)
    node = np.where(held, nodes.binding(used_kw, full_kw - kw, nodes.import_kw), NO_NODE)
    bound_kw = np.where(touch & (must | stuck), kw, np.inf)
    share = ForcedShare(bound_kw, held, until_s, node, at_stake, beyond | (touch & stuck & ~at_stake))
    room_kw = np.where(nodes.is_zone, np.inf, np.maximum(0.0, nodes.import_kw - used_kw))
    export_kw = np.maximum(0.0, nodes.export_kw - nodes.loads(np.maximum(0.0, -seen_kw)))
    return share, dataclasses.replace(nodes, room_kw=room_kw, export_kw=export_kw)
