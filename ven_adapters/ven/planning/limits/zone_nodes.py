"""The limited nodes above a zone's cars, from what is asked of it; and what its cars need, seen through them. Pure."""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Control, FleetView, Floats, Tri
from ven_adapters.ven.openadr.zone_requests import ZoneRequests
from ven_adapters.ven.planning.car_power import usual_kw
from ven_adapters.ven.planning.charging_need import ChargingNeeds
from ven_adapters.ven.planning.limits.nodes import LimitedNodes, nodes_above
from ven_adapters.ven.planning.limits.start_times import MOST_SLOTS, SLOT_S, Deadlines, latest_starts_s
from vtn.clock import HOUR_S

GOES_ON_SLOTS = 8
"""For so long a car that nobody controls is taken to go on: two hours."""


def nodes_of(view: FleetView, requests: ZoneRequests) -> LimitedNodes | None:
    """The nodes above the cars that limit them now, and the zone's own limit on import; None without any."""
    grid, cap = requests.grid, requests.import_cap_kw
    zone_kw = np.inf if cap is None else cap.value
    if grid is None or not len(grid.tree):
        nothing = np.zeros((0, 0), dtype=np.int64), np.zeros(0), np.zeros(0)
        return nodes_above(np.full(len(view), -1), *nothing, zone_kw)
    return nodes_above(view.node, grid.tree.above, grid.import_kw, grid.export_kw, zone_kw)


def in_time(
    nodes: LimitedNodes | None, view: FleetView, needs: ChargingNeeds, requests: ZoneRequests, now_s: float
) -> ChargingNeeds:
    """The needs with each car's latest start so early that all cars below every node are done in time."""
    if nodes is None or requests.grid is None or nodes.is_zone.all():
        return needs
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    ours = view.enrolled & view.charging_consent & ~view.opted_out & (view.opted_out_until_s <= now_s)
    counts = here & ours & needs.some & ~np.isnan(needs.hours) & ~(view.boost_until_s > now_s)
    kw = np.nan_to_num(np.minimum(usual_kw(view), view.max_charge_kw))
    hours = np.where(counts, np.nan_to_num(needs.hours), 0.0)
    done_s = np.where(counts, needs.latest_start_s + hours * HOUR_S, np.inf)
    fixed_kw = nodes.loads(np.where(here & ~counts, np.maximum(0.0, np.nan_to_num(view.power_kw)), 0.0))
    room_kw = _room_kw(nodes, requests, now_s)
    room_kw[:GOES_ON_SLOTS] -= fixed_kw
    whole = (view.control != Control.STEPS) & (view.control != Control.LEVELS)
    cars = Deadlines(kw, hours, done_s, whole)
    starts_s = latest_starts_s(nodes, cars, now_s, np.maximum(room_kw, 0.0))
    latest_s = np.where(counts & np.isfinite(starts_s), np.fmin(needs.latest_start_s, starts_s), needs.latest_start_s)
    return dataclasses.replace(needs, latest_start_s=latest_s, slack_s=latest_s - now_s)


def _room_kw(nodes: LimitedNodes, requests: ZoneRequests, now_s: float) -> Floats:
    """(slots, nodes) what each node may carry; of an event's limits as far as they are known."""
    slots = MOST_SLOTS if requests.grid is not None and requests.grid.asked else GOES_ON_SLOTS + 1
    found = np.repeat(nodes.import_kw[None, :], slots, axis=0)
    if requests.grid is not None:
        mine = np.flatnonzero(~nodes.is_zone)
        at_s = now_s + (np.arange(slots, dtype=np.float64) + 0.5) * SLOT_S
        found[:, mine] = requests.grid.import_kw_at(at_s, nodes.node[mine])
    return found
