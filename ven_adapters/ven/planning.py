"""One zone, one cycle: from the fleet's columns and what is asked of the zone to one desire per car.

Limits first: the guards say how far each car may be moved; then the wish (what the cars would do unasked), then the
ceiling or set-point, then `enforce` once more. Pure NumPy, deterministic, indifferent to the order of rows. Knows
nothing of OpenADR objects or automakers. Reference: vgi 4.1-4.4.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.asks import Ask, Ruling, ZoneAsks
from ven_adapters.ven.columns import Bools, Charge, Floats, FleetView, Ints
from ven_adapters.ven.enforcement import Draft, Kind, enforce, takes_kw
from ven_adapters.ven.guardrails import GUARDS, Guard, Limits, Reason, Situation, narrow
from ven_adapters.ven.meanings import LEVEL_SHARE
from ven_adapters.ven.mobility import Needs, PlanSettings, needs_of, together
from ven_adapters.ven.stack import Stack, fill
from ven_adapters.ven.v2g import give_in_steps, sustained_kw
from ven_adapters.ven.wish import Wish, wish_of

DEFAULTS = PlanSettings()


@dataclasses.dataclass(frozen=True, slots=True)
class ZonePlan:
    """One desire per car of the view, row for row, and what they add up to.

    `row`: the car's row in the fleet. `kind`, `reason`: codes of `enforcement.Kind` and `guardrails.Reason`. Kind NONE
    means no desire: whatever is held for the car is given back. `power_w`: signed watts for CAP and SETPOINT, else 0.
    `expected_kw`: what the car will really draw (+) or give (-). `start_s`, `end_s`: the window (epoch seconds).
    `target_pct`: the level to charge to, never below the driver's. `energy_wh`: most to give in a SETPOINT below zero.
    `origin`: index into `origins`, -1 when no event decided. `refusal`: `guardrails.Refusal`, why no discharge.

    Sums are kW of the whole zone, cars that nobody controls included. `unrestricted_kw`: what it would draw unasked.
    `asked_kw`: the set-point or the ceiling in force, None without. `shortfall_kw`: planned less asked, for a ceiling
    only when positive; one car's step is part of it.
    """

    row: Ints
    kind: Ints
    power_w: Ints
    expected_kw: Floats
    start_s: Floats
    end_s: Floats
    target_pct: Floats
    energy_wh: Ints
    origin: Ints
    reason: Ints
    refusal: Ints
    origins: tuple[Ask, ...]
    unrestricted_kw: float
    uncontrolled_kw: float
    feasible_min_kw: float
    feasible_max_kw: float
    planned_kw: float
    asked_kw: float | None
    shortfall_kw: float

    def __len__(self) -> int:
        return len(self.row)


def plan(
    view: FleetView,
    asks: ZoneAsks,
    now_s: float,
    settings: PlanSettings = DEFAULTS,
    guards: Sequence[Guard] = GUARDS,
) -> ZonePlan:
    """What every car of the zone should do from `now_s` on."""
    order = np.argsort(view.u, kind="stable")
    ordered = _plan(_Cycle.of(view.take(order), asks, now_s, settings, guards))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    columns = {name: getattr(ordered, name)[place] for name in PER_CAR}
    return dataclasses.replace(ordered, **columns)


PER_CAR = tuple(field.name for field in dataclasses.fields(ZonePlan)[:11])


@dataclasses.dataclass(frozen=True, slots=True)
class _Target:
    """What governs the cycle: a set-point to follow or a ceiling to keep, in kW of the zone, and for how long."""

    kw: float
    follow: bool
    hard: bool
    reason: Reason
    ask: Ask | None
    end_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Cycle:
    """Everything that one call to `plan` works out before it decides."""

    situation: Situation
    asks: ZoneAsks
    limits: Limits
    needs: Needs
    wish: Wish
    full_kw: Floats
    forced: Bools
    free: Bools
    wanted: Bools
    uncontrolled_kw: float

    @classmethod
    def of(
        cls, view: FleetView, asks: ZoneAsks, now_s: float, settings: PlanSettings, guards: Sequence[Guard]
    ) -> "_Cycle":
        """Needs, limits, wish, and who can be moved."""
        window_end_s = _end_s(asks, now_s)
        situation = Situation(view, needs_of(view, now_s, settings), now_s, window_end_s, settings)
        limits = narrow(situation, guards)
        needs = _needs_asked(situation, asks)
        wish = wish_of(situation, needs, asks, from_s=now_s, recovery_from_s=asks.recovery_from_s)
        full_kw = takes_kw(limits, dataclasses.replace(situation, needs=needs))
        able = limits.touch & (full_kw > 0)
        stuck = situation.charging & ~limits.can_pause
        forced = able & ((limits.must_charge & situation.needs.some) | stuck)
        free = able & ~forced & (limits.can_start | situation.charging)
        wanted = free & ((wish.start_s <= now_s) | _pre_charging(asks))
        present = (view.plugged == 1) & (view.at_home == 1)
        uncontrolled_kw = float(view.power_kw[present & ~limits.touch].sum())
        return cls(situation, asks, limits, needs, wish, full_kw, forced, free, wanted, uncontrolled_kw)

    @property
    def floor_kw(self) -> float:
        """Load that no charging decision can lower."""
        return self.uncontrolled_kw + float(self.full_kw[self.forced].sum())

    @property
    def unrestricted_kw(self) -> float:
        """Load if nothing limited the zone."""
        return self.floor_kw + float(self.full_kw[self.wanted].sum())


def _pre_charging(asks: ZoneAsks) -> bool:
    return asks.ruling is Ruling.ALERT and asks.pre_charge is not None


def _dispatch(asks: ZoneAsks) -> Ask | None:
    return asks.dispatch_kw or asks.relative_kw or asks.relative_share


def _end_s(asks: ZoneAsks, now_s: float) -> float:
    ruling = {Ruling.DISPATCH: _dispatch(asks), Ruling.ALERT: asks.alert or asks.pre_charge, Ruling.SIMPLE: asks.simple}
    ask = ruling.get(asks.ruling) or asks.import_cap_kw
    return now_s if ask is None else ask.end_s


def _needs_asked(situation: Situation, asks: ZoneAsks) -> Needs:
    """The driver's need, and on top of it whatever charge state the grid asks for by an earlier instant."""
    view, needs = situation.view, situation.needs
    usable_kwh = float(np.nansum(view.usable_kwh))
    levels = [(ask.value, ask.end_s) for ask in asks.charge_states]
    levels += [(ask.value / usable_kwh, ask.end_s) for ask in asks.charge_energy_kwh if usable_kwh > 0]
    for share, end_s in levels:
        target = np.fmax(view.target_pct, 100 * min(share, 1.0))
        deadline = np.fmin(view.departure_s, end_s)
        asked = needs_of(view, situation.now_s, situation.settings, target_pct=target, deadline_s=deadline)
        needs = together(needs, asked)
    return needs


def _target(cycle: _Cycle) -> _Target:
    """The ruling ask as a number of kW, inside the capacities, which always bind."""
    target = _ruled(cycle)
    asks = cycle.asks
    if asks.import_cap_kw is not None and target.kw > asks.import_cap_kw.value:
        cap, follow = asks.import_cap_kw, target.follow
        target = _Target(cap.value, follow, True, Reason.IMPORT_CAP, cap, cap.end_s)  # noqa: FBT003 - fields in order
    if asks.export_cap_kw is not None and target.kw < -asks.export_cap_kw.value:
        target = dataclasses.replace(target, kw=-asks.export_cap_kw.value)
    return target


def _ruled(cycle: _Cycle) -> _Target:
    asks, end_s = cycle.asks, _end_s(cycle.asks, cycle.situation.now_s)
    wanted_kw = cycle.unrestricted_kw - cycle.floor_kw
    if asks.ruling is Ruling.DISPATCH and (ask := _dispatch(asks)) is not None:
        relative = {id(asks.relative_kw): 1.0, id(asks.relative_share): cycle.unrestricted_kw}.get(id(ask))
        kw = ask.value if relative is None else cycle.unrestricted_kw + ask.value * relative
        return _Target(kw, True, False, Reason.SET_POINT, ask, end_s)  # noqa: FBT003 - fields in order
    for ruling, level, reason in (
        (Ruling.ALERT, asks.alert, Reason.ALERT),
        (Ruling.SIMPLE, asks.simple, Reason.SIMPLE_LEVEL),
    ):
        if asks.ruling is ruling and level is not None and level.value > 0:
            ceiling_kw = cycle.floor_kw + LEVEL_SHARE[int(level.value)] * wanted_kw
            return _Target(ceiling_kw, False, False, reason, level, end_s)  # noqa: FBT003 - fields in order
    return _Target(math.inf, False, False, Reason.NONE, None, end_s)  # noqa: FBT003 - fields in order


def _plan(cycle: _Cycle) -> ZonePlan:
    target = _target(cycle)
    charge_kw = _charge(cycle, target)
    give_kw, most_kw = _give(cycle, target)
    draft = _draft(cycle, target, charge_kw, give_kw)
    final = enforce(draft, cycle.limits, dataclasses.replace(cycle.situation, needs=cycle.needs))
    return _summed(cycle, target, final, float(most_kw.sum()))


def _charge(cycle: _Cycle, target: _Target) -> Floats:
    """kW of every car that is charged by choice."""
    chosen = np.flatnonzero(cycle.free if target.follow else cycle.wanted)
    kw = np.zeros(len(cycle.full_kw))
    if not target.follow and target.kw == math.inf:
        kw[chosen] = cycle.full_kw[chosen]
        return kw
    slack_s = np.nan_to_num(cycle.needs.slack_s[chosen], posinf=1e12)
    view = cycle.situation.view.take(chosen)
    stack = Stack(view, cycle.full_kw[chosen], slack_s, cycle.situation.charging[chosen])
    hysteresis_s = cycle.situation.settings.hysteresis_s
    kw[chosen] = fill(stack, target.kw - cycle.floor_kw, hard=target.hard, hysteresis_s=hysteresis_s)
    return kw


def _give(cycle: _Cycle, target: _Target) -> tuple[Floats, Floats]:
    """kW that every car gives (magnitudes), and the most that each could hold until the set-point ends."""
    limits, view = cycle.limits, cycle.situation.view
    able = limits.touch & ~cycle.forced & (limits.discharge_kw > 0) & (limits.discharge_kwh > 0)
    able &= cycle.asks.ruling is Ruling.DISPATCH
    hours = max(target.end_s - cycle.situation.now_s, 60.0) / 3600
    power_kw = np.where(able, limits.discharge_kw, 0.0)
    energy_kwh = np.where(able, limits.discharge_kwh, 0.0)
    given_kw = give_in_steps(
        power_kw,
        energy_kwh,
        view.min_discharge_kw,
        asked_kw=cycle.floor_kw - target.kw,
        hours=hours,
        giving=np.asarray(view.charge_state == Charge.DISCHARGING),
        u=view.u,
    )
    return np.floor(given_kw * 1000 + 1e-6) / 1000, sustained_kw(power_kw, energy_kwh, hours)


def _draft(cycle: _Cycle, target: _Target, charge_kw: Floats, give_kw: Floats) -> Draft:
    """Every car's desire, before the guards' last word."""
    situation, wish, count = cycle.situation, cycle.wish, len(cycle.full_kw)
    now_s = situation.now_s
    nothing = np.zeros(count, dtype=np.int64)
    draft = Draft(nothing, situation.view.power_kw, np.full(count, now_s), np.full(count, now_s), nothing)
    waits = cycle.free & (wish.start_s > now_s)
    draft = draft.where(waits, Kind.CURTAIL, 0.0, wish.start_s, _wait_reason(cycle.asks))
    held_back = (cycle.free if target.follow else cycle.wanted) & (charge_kw <= 0) & (target.kw < math.inf)
    draft = draft.where(held_back, Kind.CURTAIL, 0.0, _restart_s(cycle, target), target.reason)
    runs = cycle.limits.touch & ((charge_kw > 0) | cycle.forced)
    kind = Kind.NONE if cycle.asks.quiet else Kind.CHARGE
    draft = draft.where(runs, kind, cycle.full_kw, _run_end_s(cycle, target), _run_reason(cycle, target))
    partial = (charge_kw > 0) & (charge_kw < cycle.full_kw - 1e-9)
    draft = draft.where(partial, Kind.CAP, charge_kw, target.end_s, target.reason)
    return draft.where(give_kw > 0, Kind.SETPOINT, -give_kw, target.end_s, target.reason)


def _wait_reason(asks: ZoneAsks) -> Reason:
    return Reason.RECOVERY if asks.price is None and asks.ghg is None else Reason.PRICE


def _run_reason(cycle: _Cycle, target: _Target) -> Ints:
    """Why a car charges: because a set-point wants it, it is held running, or the wish says so."""
    asks = cycle.asks
    wished = Reason.PRE_CHARGE if _pre_charging(asks) else Reason.PRICE if asks.price or asks.ghg else Reason.NONE
    chosen = int(target.reason if target.reason is not Reason.NONE else wished)
    for_grid = ~cycle.situation.needs.some & cycle.needs.some
    reason = np.where(for_grid & (not target.follow), int(Reason.CHARGE_STATE), chosen)
    return np.where(cycle.forced, cycle.limits.why, reason)


def _run_end_s(cycle: _Cycle, target: _Target) -> Floats:
    """A car that charges does so until its block, or the set-point, ends."""
    now_s = cycle.situation.now_s
    if target.follow:
        return np.full(len(cycle.full_kw), target.end_s)
    hours_s = np.nan_to_num(cycle.needs.hours) * 3600
    return now_s + np.maximum(hours_s, cycle.situation.settings.slot_s)


def _restart_s(cycle: _Cycle, target: _Target) -> Floats:
    """When a car held back may go on: its own wish after the window ends, so that restarts are spread."""
    wish = wish_of(cycle.situation, cycle.needs, cycle.asks, from_s=target.end_s, recovery_from_s=target.end_s)
    return np.maximum(wish.start_s, target.end_s)


def _summed(cycle: _Cycle, target: _Target, final: Draft, most_kw: float) -> ZonePlan:
    limits, view = cycle.limits, cycle.situation.view
    touched_kw = float(final.kw[limits.touch].sum())
    planned_kw = cycle.uncontrolled_kw + touched_kw
    asked_kw = target.kw if target.kw < math.inf else None
    gap_kw = 0.0 if asked_kw is None else planned_kw - asked_kw
    least_kw = cycle.floor_kw - most_kw
    if cycle.asks.export_cap_kw is not None:
        least_kw = max(least_kw, min(cycle.floor_kw, -cycle.asks.export_cap_kw.value))
    origins, origin = _origins(cycle, target, final)
    powered = np.isin(final.kind, (Kind.CAP, Kind.SETPOINT))
    gives = (final.kind == Kind.SETPOINT) & (final.kw < 0)
    energy_wh = np.where(gives, np.minimum(limits.discharge_kwh, 1e6), 0.0) * 1000
    return ZonePlan(
        row=view.row,
        kind=final.kind,
        power_w=np.where(powered, np.rint(final.kw * 1000), 0).astype(np.int64),
        expected_kw=final.kw,
        start_s=final.start_s,
        end_s=final.end_s,
        target_pct=_target_pct(cycle),
        energy_wh=energy_wh.astype(np.int64),
        origin=origin,
        reason=final.reason,
        refusal=limits.refusal,
        origins=origins,
        unrestricted_kw=cycle.unrestricted_kw,
        uncontrolled_kw=cycle.uncontrolled_kw,
        feasible_min_kw=least_kw,
        feasible_max_kw=cycle.floor_kw + float(cycle.full_kw[cycle.free].sum()),
        planned_kw=planned_kw,
        asked_kw=asked_kw,
        shortfall_kw=gap_kw if target.follow else max(0.0, gap_kw),
    )
