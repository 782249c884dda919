"""The least and the most that a zone can draw: for the coming day in quarter hours, and over the intervals of an event.

Of the cars that are plugged in now, as far as their drivers' needs reach. The coming day is the path on which every
car waits as long as it may from now on: `least_kw` is what is drawn even then, `most_kw` what could be drawn in that
quarter hour by cars that waited until it. An event's band is what can be *held* from the event's beginning until the
end of each interval, so that what is shed in its first hour and comes back in its second does not count twice. Pure.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import NEVER_S, Bools, Charge, FleetView, Floats, Ints, Tri
from ven_adapters.ven.openadr.zone_requests import RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.discharge import sustained_below
from ven_adapters.ven.planning.flexibility.forecast import HELD_H
from ven_adapters.ven.planning.guardrails import GUARDS, narrow
from ven_adapters.ven.planning.limits.choice import shared_kw
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.targets import PlanInputs, plan_inputs_of
from ven_adapters.ven.planning.valley_filling import SLOT_H, SLOTS, Stays, stays_of
from vtn.clock import HOUR_S

SLOT_S = SLOT_H * HOUR_S
READ_AGO_S = 60.0
NO_CYCLES = EarlierCycles()
_READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s", "exported_at_s")


@dataclasses.dataclass(frozen=True, slots=True)
class FeasibleBand:
    """kW per quarter hour of the coming day from `start_s` (epoch seconds) on; arrays of SLOTS values."""

    start_s: float
    least_kw: Floats
    most_kw: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class HeldBand:
    """The least and the most kW that can be held from an event's beginning until `end_s` (epoch seconds)."""

    end_s: float
    least_kw: float
    most_kw: float


def feasible_band(
    view: FleetView, requests: ZoneRequests, now_s: float, settings: PlanSettings, earlier: EarlierCycles = NO_CYCLES
) -> FeasibleBand:
    """The coming day of a zone. Batteries count as far as a set-point asks for them now, until it ends.

    `earlier`: what the zone's earlier cycles left, so that no night is planned anew for it.
    """
    cycle = plan_inputs_of(view, requests, now_s, settings, GUARDS, earlier)
    waiting, fixed_kw = _waiting(cycle), _fixed_kw(cycle)
    least_kw = fixed_kw + _between_kw(waiting.depart - waiting.need, waiting.depart, waiting.kw)
    most_kw = fixed_kw + _between_kw(np.zeros_like(waiting.depart), waiting.depart, waiting.kw)
    window_end_s, starts_s = cycle.situation.window_end_s, now_s + np.arange(SLOTS) * SLOT_S
    if requests.ruling is RulingDimension.DISPATCH and window_end_s > now_s:
        give_kw = _give_kw(cycle, (window_end_s - now_s) / HOUR_S)
        least_kw = np.where(starts_s < window_end_s, least_kw - give_kw, least_kw)
    capped = [_within(requests, *pair) for pair in zip(starts_s, least_kw, most_kw, strict=True)]
    return FeasibleBand(now_s, np.array([one[0] for one in capped]), np.array([one[1] for one in capped]))


def held_band(
    view: FleetView, requests: ZoneRequests, start_s: float, ends_s: Sequence[float], settings: PlanSettings
) -> list[HeldBand | None]:
    """The band at each of an event's interval ends; None for an end beyond a day after `start_s`, or before it.

    `view` is the fleet as it will be at `start_s` (`as_it_will_be`), `requests` what is asked then.
    """
    cycle = plan_inputs_of(view, requests, start_s, settings, GUARDS, NO_CYCLES)
    waiting, fixed_kw = _waiting(cycle), _fixed_kw(cycle)
    gives = requests.ruling is RulingDimension.DISPATCH
    return [_held(cycle, waiting, fixed_kw, end_s, gives=gives) for end_s in ends_s]


def _held(cycle: PlanInputs, waiting: Stays, fixed_kw: Floats, end_s: float, *, gives: bool) -> HeldBand | None:
    start_s = cycle.situation.now_s
    last = (end_s - start_s) / SLOT_S
    if not 0 < last <= SLOTS:
        return None
    hours = (end_s - start_s) / HOUR_S
    inside = np.minimum(waiting.depart, last)
    must = np.clip(waiting.need - np.maximum(0.0, waiting.depart - last), 0.0, inside)
    could = np.minimum(waiting.need, inside)
    fixed_kwh = float(fixed_kw @ np.clip(last - np.arange(SLOTS), 0.0, 1.0)) * SLOT_H
    least_kw = (fixed_kwh + float(must @ waiting.kw) * SLOT_H) / hours
    most_kw = (fixed_kwh + float(could @ waiting.kw) * SLOT_H) / hours
    if gives:
        least_kw -= _give_kw(cycle, hours)
    return HeldBand(end_s, *_within(cycle.requests, start_s, least_kw, most_kw))


def _within(requests: ZoneRequests, at_s: float, least_kw: float, most_kw: float) -> tuple[float, float]:
    """A band inside the limits in force; a limit that cannot be kept does not move what must be drawn."""
    exports, imports = requests.export_cap_kw, requests.import_cap_kw
    if exports is not None and at_s < exports.end_s:
        least_kw = max(least_kw, min(most_kw, -exports.value))
    if imports is not None and at_s < imports.end_s:
        most_kw = max(least_kw, min(most_kw, imports.value))
    return float(least_kw), float(most_kw)


def _here(view: FleetView) -> Bools:
    return np.asarray((view.plugged == Tri.YES) & (view.at_home == Tri.YES))


def _waiting(cycle: PlanInputs) -> Stays:
    """The cars that may be moved, from now until they must go, with the quarter hours that they need."""
    chosen = _here(cycle.situation.view) & cycle.free
    leave_s = cycle.needs.latest_start_s + cycle.needs.hours * HOUR_S
    leave_h = np.nan_to_num((leave_s - cycle.situation.now_s) / HOUR_S, nan=np.inf, posinf=np.inf)[chosen]
    goes_on_kwh = np.where(cycle.situation.charging, np.maximum(cycle.situation.view.power_kw, 0.0) * HELD_H, 0.0)
    energy_kwh = np.where(cycle.needs.some, cycle.needs.kwh, goes_on_kwh)[chosen]
    kw = np.nan_to_num(cycle.full_kw[chosen])
    if cycle.limits.nodes is not None:
        kw = shared_kw(cycle.limits.nodes, kw, energy_kwh, leave_h, np.flatnonzero(chosen))
    zone = np.zeros(len(kw), dtype=np.int64)
    return stays_of(zone, np.zeros(len(kw)), leave_h, energy_kwh, kw, cycle.situation.view.u[chosen])


def _fixed_kw(cycle: PlanInputs) -> Floats:
    """What draws whatever is asked, per quarter hour: from now until each car needs no more."""
    view = cycle.situation.view
    chosen = _here(view) & (cycle.forced | (~cycle.limits.touch & (view.power_kw > 0)))
    kw = np.nan_to_num(np.where(cycle.limits.touch, cycle.full_kw, view.power_kw)[chosen])
    kwh = np.where(cycle.needs.some, cycle.needs.kwh, np.maximum(view.power_kw, 0.0) * HELD_H)[chosen]
    slots = np.nan_to_num(kwh) / np.maximum(kw, 1e-6) / SLOT_H
    whole = np.minimum(np.floor(slots), SLOTS).astype(np.int64)
    rest_kw = np.bincount(whole, weights=(slots - np.floor(slots)) * kw, minlength=SLOTS + 1)
    return _between_kw(np.zeros_like(whole), whole, kw) + rest_kw[:SLOTS]


def _between_kw(first: Ints, end: Ints, kw: Floats) -> Floats:
    """The sum per quarter hour of powers that are each drawn from slot `first` until before slot `end`."""
    begins, ends = (np.bincount(at, weights=kw, minlength=SLOTS + 1) for at in (first, end))
    return np.asarray(np.cumsum(begins - ends)[:SLOTS])


def _give_kw(cycle: PlanInputs, hours: float) -> float:
    """What permitted batteries can hold for so many hours, energy above reserve and departure considered."""
    end_s = cycle.situation.now_s + hours * HOUR_S
    limits = narrow(dataclasses.replace(cycle.situation, window_end_s=end_s))
    able = limits.touch & ~cycle.forced & (cycle.limits.can_pause | ~cycle.situation.charging)
    power_kw = np.where(able, limits.discharge_kw, 0.0)
    energy_kwh = np.where(power_kw > 0, np.minimum(limits.discharge_kwh, 1e6), 0.0)
    return float(sustained_below(limits.nodes, power_kw, energy_kwh, hours).sum())


def as_it_will_be(cycle: PlanInputs, start_s: float) -> FleetView:
    """The fleet at a later instant if every car charges as the night has it until then and nobody comes.

    Who leaves before is gone. Levels rise by what is charged; readings count as just read, dwells as over.
    """
    situation, view, needs = cycle.situation, cycle.situation.view, cycle.needs
    if start_s <= situation.now_s:
        return view
    at_once = cycle.forced | cycle.wanted | np.isnan(cycle.start.start_s)
    begins_s = np.where(at_once, situation.now_s, cycle.start.start_s)
    hours = np.nan_to_num(needs.usual_hours)
    runs_h = np.clip((start_s - np.maximum(begins_s, situation.now_s)) / HOUR_S, 0.0, hours)
    runs_h = np.where(cycle.free | cycle.forced, runs_h, 0.0)
    share = np.where(hours > 0, np.clip(runs_h / np.maximum(hours, 1e-9), 0.0, 1.0), 0.0)
    goal_pct = np.fmax(view.target_pct, view.reserve_pct)
    soc_pct = view.soc_pct + share * np.maximum(0.0, np.nan_to_num(goal_pct - view.soc_pct))
    stays = _here(view) & (view.departure_s > start_s)
    managed = stays & cycle.limits.touch
    going = managed & (begins_s <= start_s) & (share < 1.0) & needs.some
    goes_on = stays & ~managed & (view.power_kw > 0) & (start_s - situation.now_s < HELD_H * HOUR_S)
    power_kw = np.where(going, cycle.full_kw, np.where(goes_on, view.power_kw, 0.0))
    state = np.where(power_kw > 0, int(Charge.CHARGING), int(Charge.STOPPED))
    read = {name: np.where(getattr(view, name) > NEVER_S, start_s - READ_AGO_S, NEVER_S) for name in _READ_AT}
    return dataclasses.replace(
        view,
        plugged=np.where(stays, view.plugged, int(Tri.NO)),
        soc_pct=soc_pct,
        power_kw=power_kw,
        charge_state=np.where(managed, state, view.charge_state),
        last_toggle_s=np.full(len(view), -math.inf),
        told_on=power_kw > 0,
        **read,
    )
