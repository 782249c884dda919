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
