"""What a zone will draw in the coming day, what of it could wait, and what its batteries could give.

Where the zone has a night (`night`), the load is that night's, with the cars that are expected home. Otherwise it is
of the cars that are plugged in now, as far as their drivers' needs reach: each from the moment it wishes, least
laxity first where a window that is known restricts the zone. What could wait is of cars that are plugged in. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, FleetView, Floats, Tri
from ven_adapters.ven.openadr.zone_requests import ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.discharge import sustained_below
from ven_adapters.ven.planning.guardrails import GUARDS, narrow
from ven_adapters.ven.planning.night.night_problem import sampled
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.targets import PlanInputs, plan_inputs_of
from ven_adapters.ven.planning.valley_filling import SLOT_H, SLOTS, Stays, keep_below, on_arrival_kw, stays_of
from vtn.clock import HOUR_S

SLOT_S = SLOT_H * HOUR_S
HELD_H = 1.0  # a car that charges and needs nothing that we know of goes on for an hour, as the meter takes it to have
MOST_KWH = 1e6


@dataclasses.dataclass(frozen=True, slots=True)
class Ahead:
    """A window to come: energy that will be drawn, load that could be shed, power and energy that could be fed back.

    `mean_kw`: the power at which the energy is drawn, over what is left of the window.
    """

    usage_kwh: float
    mean_kw: float
    shed_kw: float
    generation_kw: float
    stored_kwh: float


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """A zone's coming day from the cycle's instant on: load per quarter hour, in all and of cars that cannot wait."""

    cycle: PlanInputs
    stays: Stays
    load_kw: Floats
    fixed_kw: Floats

    def ahead(self, start_s: float, end_s: float) -> Ahead | None:
        """A window's figures, its part before now left out; None when it is empty or reaches beyond the coming day."""
        now_s = self.cycle.situation.now_s
        start_s = max(start_s, now_s)
        if not start_s < end_s <= now_s + SLOTS * SLOT_S:
            return None
        first, last, hours = (start_s - now_s) / SLOT_S, (end_s - now_s) / SLOT_S, (end_s - start_s) / HOUR_S
        share = np.clip(np.minimum(np.arange(SLOTS) + 1, last) - np.maximum(np.arange(SLOTS), first), 0.0, 1.0)
        usage_kwh = float(self.load_kw @ share) * SLOT_H
        must_kwh = float(self.fixed_kw @ share) * SLOT_H + _must_kwh(self.stays, first, last)
        limits = narrow(dataclasses.replace(self.cycle.situation, window_end_s=end_s))
        power_kw = np.where(limits.touch & ~limits.must_charge, limits.discharge_kw, 0.0)
        energy_kwh = np.where(power_kw > 0, np.minimum(limits.discharge_kwh, MOST_KWH), 0.0)
        give_kw = float(sustained_below(limits.nodes, power_kw, energy_kwh, hours).sum())
        return Ahead(
            usage_kwh, usage_kwh / hours, max(0.0, usage_kwh - must_kwh) / hours, give_kw, float(energy_kwh.sum())
        )


def outlook(
    view: FleetView,
    requests: ZoneRequests,
    now_s: float,
    settings: PlanSettings,
    earlier: EarlierCycles = EarlierCycles(),  # noqa: B008 - frozen
) -> Outlook:
    """The coming day of a zone's cars. `earlier`: what the zone's earlier cycles left."""
    cycle = plan_inputs_of(view, requests, now_s, settings, GUARDS, earlier)
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    stays = _stays(cycle, here & cycle.free, cycle.full_kw, bound=True)
    seen_kw = np.where(view.power_kw > 0, view.power_kw, cycle.full_kw)
    fixed = _stays(
        cycle, here & (cycle.forced | (~cycle.limits.touch & cycle.situation.charging)), seen_kw, bound=False
    )
    fixed_kw, wished_kw = on_arrival_kw(fixed, 1), on_arrival_kw(stays, 1)
    if cycle.start.night is not None:
        return Outlook(cycle, stays, cycle.start.night.load.drawn_kw(now_s, fixed_kw[0], SLOT_S), fixed_kw[0])
    room_kw = _room_kw(requests, now_s, wished_kw[0], fixed_kw[0])
    load_kw = keep_below(stays, room_kw[None, :])[0]
    return Outlook(cycle, stays, load_kw[0] + fixed_kw[0], fixed_kw[0])


def _stays(cycle: PlanInputs, chosen: Bools, kw: Floats, *, bound: bool) -> Stays:
    """The chosen cars in slots; those not `bound` by wish and departure charge at once until they need no more."""
    situation, needs = cycle.situation, cycle.needs
    goes_on_kwh = np.where(situation.charging, np.maximum(situation.view.power_kw, 0.0) * HELD_H, 0.0)
    energy_kwh = np.where(needs.some, needs.usual_kwh, goes_on_kwh)[chosen]
    start_h = (cycle.start.start_s - situation.now_s) / HOUR_S if bound else np.zeros(len(chosen))
    end_h = (needs.latest_start_s - situation.now_s) / HOUR_S + needs.hours
    end_h = np.nan_to_num(end_h, nan=np.inf, posinf=np.inf) if bound else np.full(len(chosen), np.inf)
    zone = np.zeros(len(energy_kwh), dtype=np.int64)
    start_h = np.nan_to_num(start_h[chosen])
    return stays_of(zone, start_h, end_h[chosen], energy_kwh, np.nan_to_num(kw[chosen]), situation.view.u[chosen])


def _room_kw(requests: ZoneRequests, now_s: float, wished_kw: Floats, fixed_kw: Floats) -> Floats:
    """What is left for cars that can wait, per slot: all they wish, less where a known window restricts the zone."""
    middle_s = now_s + (np.arange(SLOTS, dtype=np.float64) + 0.5) * SLOT_S
    kept_away = (
        np.zeros(SLOTS) if requests.restriction is None else np.nan_to_num(sampled(requests.restriction, middle_s))
    )
    room_kw = np.where(kept_away > 0, (1 - kept_away) * wished_kw, np.inf)
    cap = requests.import_cap_kw
    if cap is None:
        return room_kw
    return np.where(middle_s < cap.end_s, np.minimum(room_kw, np.maximum(0.0, cap.value - fixed_kw)), room_kw)


def _must_kwh(stays: Stays, first: float, last: float) -> float:
    """What must be drawn between two slots even if everything else is drawn before and after."""
    inside = np.clip(np.minimum(stays.depart, last) - first, 0.0, None)
    outside = np.minimum(first, stays.depart) + np.maximum(0.0, stays.depart - last)
    return float((np.clip(stays.need - outside, 0.0, inside) * stays.kw).sum()) * SLOT_H
