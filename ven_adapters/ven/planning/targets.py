"""What one planning cycle starts from: who can be moved and how far, what each car wishes, and what governs the zone.

The three sets of cars that follow from the guards: `forced` charge whatever is asked, `movable` may be stopped, `free`
may also be started. Pure; `planning` decides with it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, FleetView, Floats, Tri
from ven_adapters.ven.openadr.payload_types import LEVEL_SHARE
from ven_adapters.ven.openadr.zone_requests import Ask, Ruling, ZoneAsks
from ven_adapters.ven.planning.charging_need import Needs, PlanSettings, needs_of, together
from ven_adapters.ven.planning.enforcement import takes_kw
from ven_adapters.ven.planning.guardrails import Guard, Limits, Reason, narrow
from ven_adapters.ven.planning.preferred_start import Wish, wish_of
from ven_adapters.ven.planning.zone_state import Situation


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What governs the cycle: kW of the zone, until when, and by which ask.

    `follow`: a set-point to be met from both sides; otherwise a ceiling over what cars wish, infinite when nothing is
    asked. `hard`: never to be exceeded, not even by half a car.
    """

    kw: float
    end_s: float
    reason: Reason = Reason.NONE
    ask: Ask | None = None
    follow: bool = False
    hard: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Cycle:
    """Everything worked out before a plan is made; arrays have one entry per car."""

    situation: Situation
    asks: ZoneAsks
    limits: Limits
    needs: Needs
    wish: Wish
    full_kw: Floats
    forced: Bools
    movable: Bools
    free: Bools
    wanted: Bools
    uncontrolled_kw: float

    @property
    def floor_kw(self) -> float:
        """Load that no decision about charging can lower."""
        return self.uncontrolled_kw + float(self.full_kw[self.forced].sum())

    @property
    def unrestricted_kw(self) -> float:
        """Load if nothing limited the zone."""
        return self.floor_kw + float(self.full_kw[self.wanted].sum())


def cycle_of(view: FleetView, asks: ZoneAsks, now_s: float, settings: PlanSettings, guards: Sequence[Guard]) -> Cycle:
    """Needs, limits and wishes at `now_s`."""
    situation = Situation(view, needs_of(view, now_s, settings), now_s, _window_end_s(asks, now_s), settings)
    limits = narrow(situation, guards)
    needs = _needs_asked(situation, asks)
    wish = wish_of(situation, needs, asks, from_s=now_s, recovery_from_s=asks.recovery_from_s)
    full_kw = takes_kw(limits, dataclasses.replace(situation, needs=needs))
    able = limits.touch & (full_kw > 0)
    forced = able & (limits.must_charge | (situation.charging & ~limits.can_pause))
    movable = able & ~forced
    free = movable & (limits.can_start | situation.charging)
    wanted = free & ((wish.start_s <= now_s) | pre_charging(asks))
    uncontrolled = (view.plugged == Tri.YES) & (view.at_home == Tri.YES) & ~limits.touch
    uncontrolled_kw = float(view.power_kw[uncontrolled].sum())
    return Cycle(situation, asks, limits, needs, wish, full_kw, forced, movable, free, wanted, uncontrolled_kw)


def pre_charging(asks: ZoneAsks) -> bool:
    """True when an alert asks cars to be filled now."""
    return asks.ruling is Ruling.ALERT and asks.pre_charge is not None


def target_of(cycle: Cycle) -> Target:
    """The ruling ask as kW of the zone, inside the capacities, which always bind."""
    target, asks = _ruled(cycle), cycle.asks
    cap = asks.import_cap_kw
    if cap is not None and target.kw > cap.value:
        end_s = min(cap.end_s, target.end_s) if target.ask is not None else cap.end_s
        target = Target(cap.value, end_s, Reason.IMPORT_CAP, cap, follow=target.follow, hard=True)
    if asks.export_cap_kw is not None:
        target = dataclasses.replace(target, kw=max(target.kw, -asks.export_cap_kw.value))
    return target


def grid_target_pct(view: FleetView, asks: ZoneAsks) -> Floats:
    """The level to charge to: the driver's, or the grid's where it asks for more."""
    shares = [share for share, _ in _charge_states(view, asks)]
    return np.fmax(view.target_pct, 100 * max(shares, default=0.0))


def _ruled(cycle: Cycle) -> Target:
    asks, end_s = cycle.asks, _window_end_s(cycle.asks, cycle.situation.now_s)
    dispatch = _dispatch(asks)
    if asks.ruling is Ruling.DISPATCH and dispatch is not None:
        return Target(_dispatch_kw(cycle, dispatch), end_s, Reason.SET_POINT, dispatch, follow=True)
    level, reason = {
        Ruling.ALERT: (asks.alert, Reason.ALERT),
        Ruling.SIMPLE: (asks.simple, Reason.SIMPLE_LEVEL),
    }.get(asks.ruling, (None, Reason.NONE))
    if level is None or level.value == 0:
        return Target(math.inf, end_s)
    share = LEVEL_SHARE[int(level.value)]
    return Target(cycle.floor_kw + share * (cycle.unrestricted_kw - cycle.floor_kw), end_s, reason, level)


def _dispatch_kw(cycle: Cycle, dispatch: Ask) -> float:
    """The set-point; a relative one changes what the zone would draw unasked, so that it does not feed on itself."""
    if cycle.asks.relative_kw is not None:
        return cycle.unrestricted_kw + dispatch.value
    if cycle.asks.relative_share is not None:
        return cycle.unrestricted_kw * (1 + dispatch.value)
    return dispatch.value


def _dispatch(asks: ZoneAsks) -> Ask | None:
    return asks.dispatch_kw or asks.relative_kw or asks.relative_share


def _window_end_s(asks: ZoneAsks, now_s: float) -> float:
    ruling = {Ruling.DISPATCH: _dispatch(asks), Ruling.ALERT: asks.alert or asks.pre_charge, Ruling.SIMPLE: asks.simple}
    ask = ruling.get(asks.ruling)
    return now_s if ask is None else ask.end_s


def _charge_states(view: FleetView, asks: ZoneAsks) -> list[tuple[float, float]]:
    """Share of capacity and deadline of each charge-state ask; an energy is shared alike over the zone's batteries."""
    usable_kwh = float(np.nansum(view.usable_kwh))
    shares = [(min(ask.value, 1.0), ask.end_s) for ask in asks.charge_states]
    energies = asks.charge_energy_kwh if usable_kwh > 0 else ()
    return shares + [(min(ask.value / usable_kwh, 1.0), ask.end_s) for ask in energies]


def _needs_asked(situation: Situation, asks: ZoneAsks) -> Needs:
    """The driver's need, and on top of it whatever charge state the grid asks for by an earlier instant."""
    view, needs = situation.view, situation.needs
    for share, end_s in _charge_states(view, asks):
        target_pct = np.fmax(view.target_pct, 100 * share)
        deadline_s = np.fmin(view.departure_s, end_s)
        asked = needs_of(view, situation.now_s, situation.settings, target_pct=target_pct, deadline_s=deadline_s)
        needs = together(needs, asked)
    return needs
