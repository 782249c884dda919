"""What one planning cycle starts from: who can be moved and how far, what each car wishes, and what governs the zone.

The three sets of cars that follow from the guards: `forced` charge whatever is asked, `movable` may be stopped, `free`
may also be started. Pure; `plan` decides with it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, FleetView, Floats, Ints, Tri
from ven_adapters.ven.openadr.payload_types import LEVEL_SHARE
from ven_adapters.ven.openadr.zone_requests import GridRequest, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.car_power import usual_kw
from ven_adapters.ven.planning.charging_need import ChargingNeeds, PlanSettings, needs_of, together
from ven_adapters.ven.planning.enforcement import takes_kw
from ven_adapters.ven.planning.guardrails import Guard, PlanLimits, Reason, grid_limits_are_kept, narrow
from ven_adapters.ven.planning.limits.choice import by_laxity, given_room
from ven_adapters.ven.planning.limits.nodes import NOTHING_KW
from ven_adapters.ven.planning.limits.zone_nodes import in_time, nodes_of
from ven_adapters.ven.planning.night.night_batteries import SellingCars, gain_of, may_sell, selling_cars
from ven_adapters.ven.planning.night.night_problem import cost_of, edges_from, is_priced
from ven_adapters.ven.planning.night.planned_start import (
    EarlierCycles,
    PlannedStart,
    ZoneCars,
    cheapest_until,
    planned_start_of,
)
from ven_adapters.ven.planning.night.single_cars import settable
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

PROBE_S = 900.0
FAST_SHARE = 0.4  # of the hours at the pace of a car that was never seen


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What governs the cycle: kW of the zone, until when, and by which ask.

    `follow`: a set-point to be met from both sides; otherwise a ceiling over what cars wish, infinite when nothing is
    asked. `hard`: never to be exceeded, not even by half a car.
    """

    kw: float
    end_s: float
    reason: Reason = Reason.NONE
    ask: GridRequest | None = None
    follow: bool = False
    hard: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class PlanInputs:
    """Everything worked out before a plan is made; arrays have one entry per car.

    `trim_kw`: by how much the plan aims above a set-point, because the zone was measured below it, or below a limit.
    """

    situation: ZoneState
    requests: ZoneRequests
    limits: PlanLimits
    needs: ChargingNeeds
    start: PlannedStart
    full_kw: Floats
    forced: Bools
    movable: Bools
    free: Bools
    wanted: Bools
    uncontrolled_kw: float
    trim_kw: float = 0.0

    @property
    def floor_kw(self) -> float:
        """Load that no decision about charging can lower."""
        return self.uncontrolled_kw + float(self.full_kw[self.forced].sum())

    def in_room(self, chosen: Ints, most_kw: Floats) -> tuple[Floats, Bools]:
        """The most of each chosen car, least laxity first, as far as the nodes above them have room; 0 of others.

        And which of them are held by a node. A car that charges without a need that we know of, and is held to less
        than it could take, stays held to it.
        """
        nodes, situation = self.limits.nodes, dataclasses.replace(self.situation, needs=self.needs)
        held = np.zeros(len(most_kw), dtype=np.bool_)
        if nodes is None:
            return most_kw, held
        goes_on = situation.charging & ~self.needs.some
        could_kw = np.where(goes_on, np.fmax(most_kw, usual_kw(situation.view)), most_kw)
        given_kw = given_room(nodes, situation.view, could_kw, by_laxity(situation, chosen), None)
        held[chosen] = given_kw[chosen] < could_kw[chosen] - NOTHING_KW
        return np.minimum(given_kw, most_kw), held

    @property
    def unrestricted_kw(self) -> float:
        """Load if nothing limited the zone."""
        return self.floor_kw + float(self.full_kw[self.wanted].sum())


def plan_inputs_of(
    view: FleetView,
    requests: ZoneRequests,
    now_s: float,
    settings: PlanSettings,
    guards: Sequence[Guard],
    earlier: EarlierCycles,
) -> PlanInputs:
    """Needs, limits and planned starts at `now_s`, and what earlier cycles left."""
    window_end_s = _window_end_s(requests, now_s)
    if may_sell(requests):
        window_end_s = max(window_end_s, now_s + settings.dead_man_s)
    nodes = nodes_of(view, requests) if grid_limits_are_kept in guards else None
    own_needs = in_time(nodes, view, needs_of(view, now_s, settings), requests, now_s)
    situation = ZoneState(view, own_needs, now_s, window_end_s, settings, requests.emergency, nodes)
    alone = [guard for guard in guards if guard is not grid_limits_are_kept]
    limits = grid_limits_are_kept(_with_own_power(narrow(situation, alone), situation, earlier), situation)
    needs = _needs_asked(situation, requests)
    full_kw = takes_kw(limits, dataclasses.replace(situation, needs=needs))
    able = limits.touch & (full_kw > 0)
    forced = able & (limits.must_charge | (situation.charging & ~limits.can_pause))
    movable = able & ~forced
    free = movable & (limits.can_start | situation.charging)
    uncontrolled = (view.plugged == Tri.YES) & (view.at_home == Tri.YES) & ~limits.touch
    fixed_kw = np.where(uncontrolled, np.maximum(0.0, view.power_kw), 0.0)
    selling = _selling(situation, limits, forced, requests, guards)
    priced = is_priced(requests, now_s, settings) or selling is not None
    zone_cars = ZoneCars(
        situation, needs, full_kw, forced, free, fixed_kw, priced, selling, earlier.expected, limits.nodes
    )
    start = planned_start_of(zone_cars, requests, earlier.night)
    start = _probing(situation, needs, requests, start)
    wanted = start.wanted | (free & pre_charging(requests))
    uncontrolled_kw = float(view.power_kw[uncontrolled].sum())
    return PlanInputs(
        situation,
        requests,
        limits,
        needs,
        start,
        full_kw,
        forced,
        movable,
        free,
        wanted,
        uncontrolled_kw,
        earlier.trim_kw,
    )


def _probing(situation: ZoneState, needs: ChargingNeeds, requests: ZoneRequests, start: PlannedStart) -> PlannedStart:
    """Cars that just came charge until they show their pace, where their slow prior would cost a cheaper hour.

    Nobody knows yet how fast they are; a few minutes are worth hours of a start that is early only because the worst
    must be believed. Only what can be stopped and started again, and unless an event holds it.
    """
    view, now_s = situation.view, situation.now_s
    came = (now_s >= view.plugged_since_s) & (now_s - view.plugged_since_s < PROBE_S)
    came &= view.unseen & view.can_stop & view.can_resume & view.can_start & ~start.wanted
    if not came.any() or (requests.price is None and requests.ghg is None):
        return start
    latest_s = np.nan_to_num(needs.latest_start_s, nan=now_s, posinf=now_s + situation.settings.horizon_s)
    unhurried_s = latest_s + (1.0 - FAST_SHARE) * np.nan_to_num(needs.hours) * HOUR_S
    edges_s = edges_from(now_s, now_s + situation.settings.horizon_s)
    cost = cost_of(requests, (edges_s[1:] + edges_s[:-1]) / 2, situation.settings)
    slow, fast = (cheapest_until(cost, edges_s, until_s) for until_s in (latest_s, unhurried_s))
    probes = came & (fast < slow)
    return dataclasses.replace(start, wanted=start.wanted | probes, start_s=np.where(probes, now_s, start.start_s))


def _with_own_power(limits: PlanLimits, situation: ZoneState, earlier: EarlierCycles) -> PlanLimits:
    """Single cars whose power is set need no rule against short pauses before their latest start."""
    if earlier.night is None or earlier.night.own is None:
        return limits
    waits = situation.now_s < situation.needs.latest_start_s
    eased = limits.must_charge & (limits.why == Reason.READY_BY) & waits & settable(situation.view)
    why = np.where(eased, int(Reason.NONE), limits.why)
    return dataclasses.replace(limits, must_charge=limits.must_charge & ~eased, why=why)


def _selling(
    situation: ZoneState, limits: PlanLimits, forced: Bools, requests: ZoneRequests, guards: Sequence[Guard]
) -> SellingCars | None:
    """The cars that may give for a price; None where that does not pay in any hour that is known."""
    edges_s = edges_from(situation.now_s, situation.now_s + situation.settings.horizon_s)
    if not may_sell(requests) or not gain_of(requests, edges_s, situation.settings).any():
        return None
    return selling_cars(situation, limits, forced, guards)


def pre_charging(requests: ZoneRequests) -> bool:
    """True when an alert asks cars to be filled now."""
    return requests.ruling is RulingDimension.ALERT and requests.pre_charge is not None


def target_of(cycle: PlanInputs) -> Target:
    """The ruling ask as kW of the zone, inside the capacities, which always bind."""
    target, requests = _ruled(cycle), cycle.requests
    cap = requests.import_cap_kw
    if cap is not None and target.kw > cap.value + min(0.0, cycle.trim_kw):
        end_s = min(cap.end_s, target.end_s) if target.ask is not None else cap.end_s
        kw = cap.value + min(0.0, cycle.trim_kw)
        target = Target(kw, end_s, Reason.IMPORT_CAP, cap, follow=target.follow, hard=True)
    if requests.export_cap_kw is not None:
        target = dataclasses.replace(target, kw=max(target.kw, -requests.export_cap_kw.value))
    return target


def grid_target_pct(view: FleetView, requests: ZoneRequests) -> Floats:
    """The level to charge to: the driver's, or the grid's where it asks for more."""
    shares = [share for share, _ in _charge_states(view, requests)]
    return np.fmax(view.target_pct, 100 * max(shares, default=0.0))


def _ruled(cycle: PlanInputs) -> Target:
    requests, end_s = cycle.requests, _window_end_s(cycle.requests, cycle.situation.now_s)
    dispatch = requests.dispatch
    if requests.ruling is RulingDimension.DISPATCH and dispatch is not None:
        kw = _dispatch_kw(cycle, dispatch) + cycle.trim_kw
        return Target(kw, end_s, Reason.SET_POINT, dispatch, follow=True)
    level, reason = {
        RulingDimension.ALERT: (requests.alert, Reason.ALERT),
        RulingDimension.SIMPLE: (requests.simple, Reason.SIMPLE_LEVEL),
    }.get(requests.ruling, (None, Reason.NONE))
    if level is None or level.value == 0:
        return Target(math.inf, end_s)
    share = LEVEL_SHARE[int(level.value)]
    return Target(cycle.floor_kw + share * (cycle.unrestricted_kw - cycle.floor_kw), end_s, reason, level)


def _dispatch_kw(cycle: PlanInputs, dispatch: GridRequest) -> float:
    """The set-point; a relative one changes what the zone would draw unasked, so that it does not feed on itself."""
    if cycle.requests.relative_kw is not None:
        return cycle.unrestricted_kw + dispatch.value
    if cycle.requests.relative_share is not None:
        return cycle.unrestricted_kw * (1 + dispatch.value)
    return dispatch.value


def _window_end_s(requests: ZoneRequests, now_s: float) -> float:
    ruling = {
        RulingDimension.DISPATCH: requests.dispatch,
        RulingDimension.ALERT: requests.alert or requests.pre_charge,
        RulingDimension.SIMPLE: requests.simple,
    }
    ask = ruling.get(requests.ruling)
    return now_s if ask is None else ask.end_s


def _charge_states(view: FleetView, requests: ZoneRequests) -> list[tuple[float, float]]:
    """Share of capacity and deadline of each charge-state ask; an energy is shared alike over the zone's batteries."""
    usable_kwh = float(np.nansum(view.usable_kwh))
    shares = [(min(ask.value, 1.0), ask.end_s) for ask in requests.charge_states]
    energies = requests.charge_energy_kwh if usable_kwh > 0 else ()
    return shares + [(min(ask.value / usable_kwh, 1.0), ask.end_s) for ask in energies]


def _needs_asked(situation: ZoneState, requests: ZoneRequests) -> ChargingNeeds:
    """The driver's need, and on top of it whatever charge state the grid asks for by an earlier instant."""
    view, needs = situation.view, situation.needs
    for share, end_s in _charge_states(view, requests):
        target_pct = np.fmax(view.target_pct, 100 * share)
        deadline_s = np.fmin(view.departure_s, end_s)
        asked = needs_of(view, situation.now_s, situation.settings, target_pct=target_pct, deadline_s=deadline_s)
        needs = together(needs, asked)
    return needs
