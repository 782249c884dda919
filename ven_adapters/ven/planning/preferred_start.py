"""When every car would charge if nothing limited the zone: the cheapest block, or at once, or spread after an event.

With a price (or emissions) each car takes its cheapest contiguous block before its latest safe start. Without, it
charges at once, as the driver's own car would, except that after an event the restarts are spread inside each car's
own slack (delay = u * min(slack, W)), which randomizeStart cannot do.
"""

import dataclasses
import math

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats
from ven_adapters.ven.openadr.zone_requests import LOOK_BACK, RequestSeries, ZoneRequests
from ven_adapters.ven.planning.charging_blocks import choose
from ven_adapters.ven.planning.charging_need import ChargingNeeds
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

GOLDEN = 0.6180339887498949
DAY_S = 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class PreferredStart:
    """Per car: when it would start, epoch seconds (at or before the instant asked about: at once), and its end."""

    start_s: Floats
    end_s: Floats


def preferred_start_of(
    situation: ZoneState, needs: ChargingNeeds, requests: ZoneRequests, *, from_s: float, recovery_from_s: float
) -> PreferredStart:
    """The unrestricted wish at `from_s`. `recovery_from_s` NaN: no event has just ended."""
    cost = _cost(requests, from_s, situation)
    if cost is None:
        start_s = _restart_s(situation, needs, from_s, recovery_from_s)
    else:
        start_s = _cheapest_s(situation, needs, cost, from_s, recovery_from_s)
    start_s = np.fmin(start_s, np.maximum(from_s, needs.latest_start_s))
    return PreferredStart(start_s, start_s + needs.hours * HOUR_S)


def nightly_u(situation: ZoneState) -> Floats:
    """The car's own number, turned every day so that nobody is always the last."""
    days = np.nan_to_num(np.floor(situation.view.departure_s / DAY_S), posinf=0.0)
    return np.asarray((situation.view.u + GOLDEN * days) % 1.0)


def _restart_s(situation: ZoneState, needs: ChargingNeeds, from_s: float, recovery_from_s: float) -> Floats:
    if math.isnan(recovery_from_s):
        return np.full(len(situation.view), from_s)
    slack_s = np.clip(needs.latest_start_s - recovery_from_s, 0.0, situation.settings.recovery_s)
    start_s = recovery_from_s + nightly_u(situation) * slack_s
    held_back = ~_goes_on(situation, from_s) & (situation.view.plugged_since_s < recovery_from_s)
    return np.where(held_back, start_s, from_s)


def _goes_on(situation: ZoneState, from_s: float) -> Bools:
    """The cars that charge at the instant asked about; about a later one nothing is known."""
    return situation.charging & (from_s <= situation.now_s)


def _cheapest_s(
    situation: ZoneState, needs: ChargingNeeds, cost: Floats, from_s: float, recovery_from_s: float
) -> Floats:
    slot_s = situation.settings.slot_s
    base_s = _base_s(from_s, slot_s)
    now_slot = int((from_s - base_s) // slot_s)
    length = np.clip(np.ceil(np.nan_to_num(needs.hours) * HOUR_S / slot_s), 1, len(cost)).astype(np.int64)
    latest_s = np.clip(np.nan_to_num(needs.latest_start_s), from_s, base_s + (len(cost) - 1) * slot_s)
    latest = np.clip((latest_s - base_s) // slot_s, now_slot, np.maximum(now_slot, len(cost) - length)).astype(np.int64)
    since_s = np.fmax(np.maximum(situation.view.plugged_since_s, base_s), recovery_from_s)
    since = ((np.minimum(since_s, from_s) - base_s) // slot_s).astype(np.int64)
    blocks = choose(cost, now_slot, length, latest, since, nightly_u(situation))
    start_s = base_s + (now_slot + blocks.start) * slot_s
    return np.where(_goes_on(situation, from_s) & blocks.at_once, from_s, np.maximum(start_s, from_s))


def _base_s(from_s: float, slot_s: float) -> float:
    return math.floor((from_s - LOOK_BACK.total_seconds()) / slot_s) * slot_s


def _cost(requests: ZoneRequests, from_s: float, situation: ZoneState) -> Floats | None:
    """Cost per slot from LOOK_BACK before `from_s` on; None without price and emissions.

    What was not quoted counts as the dearest that was, so that nobody waits for a price that may never come. Slots
    that an event will restrict cost far more than any price.
    """
    if requests.price is None and requests.ghg is None:
        return None
    settings = situation.settings
    count = int((LOOK_BACK.total_seconds() + settings.horizon_s) // settings.slot_s) + 1
    middle_s: Floats = _base_s(from_s, settings.slot_s) + (np.arange(count, dtype=np.float64) + 0.5) * settings.slot_s
    cost = np.zeros(count)
    for steps, weight in ((requests.price, 1.0), (requests.ghg, settings.ghg_cost_per_kg / 1000)):
        if steps is not None:
            values = sampled(steps, middle_s)
            cost += weight * np.where(np.isnan(values), np.nanmax(steps.values), values)
    restricted = 0.0 if requests.restriction is None else np.nan_to_num(sampled(requests.restriction, middle_s))
    return np.asarray(cost + restricted * 10 * (1 + np.abs(cost).max()))


def sampled(steps: RequestSeries, at_s: Floats) -> Floats:
    """The value in force at each instant, NaN where nothing was said."""
    place = np.searchsorted(steps.edges_s, at_s, side="right") - 1
    inside = (place >= 0) & (place < len(steps.values))
    return np.where(inside, steps.values[np.clip(place, 0, len(steps.values) - 1)], np.nan)
