"""One zone, one cycle: from the fleet's columns and what is asked of the zone to one desire per car.

Limits first: the guards say how far each car may be moved (`targets`); then the wish, then the ceiling or set-point by
laxity and time-to-go, then `enforcement` once more. Pure NumPy, deterministic, indifferent to the order of rows. Knows
nothing of OpenADR objects or automakers.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Charge, FleetView, Floats, Ints
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.openadr.zone_requests import GridRequest, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.discharge import (
    DischargeCars,
    give_for_price,
    give_in_steps,
    in_whole_watts,
    sustained_kw,
)
from ven_adapters.ven.planning.enforcement import DesireKind, PlanDraft, enforce
from ven_adapters.ven.planning.guardrails import GUARDS, Guard, Reason, patience_is_kept
from ven_adapters.ven.planning.laxity import LaxityOrder, fill
from ven_adapters.ven.planning.limits.choice import HELD_S, begins_s, by_laxity, feeding_kw
from ven_adapters.ven.planning.limits.report import asks_of, limited_by, limits_report
from ven_adapters.ven.planning.night.night_batteries import may_sell
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.patience import Decide, plan_with_patience
from ven_adapters.ven.planning.targets import (
    PlanInputs,
    Target,
    grid_target_pct,
    plan_inputs_of,
    pre_charging,
    target_of,
)
from ven_adapters.ven.planning.zone_plan import PER_CAR, ZonePlan, changed
from vtn.clock import HOUR_S

__all__ = ["DEFAULTS", "DesireKind", "PlanSettings", "Reason", "ZonePlan", "changed", "plan"]

DEFAULTS = PlanSettings()
NO_CYCLES = EarlierCycles()
UNASKED_SLACK_S = 1e12
LONGEST_WAIT_S = 4 * HOUR_S  # for room below a node, told at once; it is renewed
_EVENTS = (Reason.SET_POINT, Reason.IMPORT_CAP, Reason.SIMPLE_LEVEL, Reason.ALERT)


def plan(
    view: FleetView,
    requests: ZoneRequests,
    now_s: float,
    settings: PlanSettings = DEFAULTS,
    guards: Sequence[Guard] = GUARDS,
    earlier: EarlierCycles = NO_CYCLES,
) -> ZonePlan:
    """What every car of the zone should do from `now_s` on, one entry per row of `view`.

    `earlier`: what the zone's earlier cycles left.
    """

    def decide(cars: FleetView, asked: ZoneRequests) -> ZonePlan:
        return _decide(plan_inputs_of(cars, asked, now_s, settings, guards, earlier))

    heed = plan_with_patience if patience_is_kept in guards else _asking_all
    if (view.u[1:] >= view.u[:-1]).all():
        return heed(view, requests, decide)
    order = np.argsort(view.u, kind="stable")
    ordered = heed(view.take(order), requests, decide)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return dataclasses.replace(ordered, **{name: getattr(ordered, name)[place] for name in PER_CAR})


def _asking_all(view: FleetView, requests: ZoneRequests, decide: Decide) -> ZonePlan:
    return decide(view, requests)


def _decide(cycle: PlanInputs) -> ZonePlan:
    target = target_of(cycle)
    charge_kw, limited = _charge_kw(cycle, target)
    give_kw, most_kw, most_give_kw = _give_kw(cycle, target)
    draft = _draft(cycle, target, charge_kw, give_kw, limited)
    draft = _sold(cycle, target, draft, charge_kw)
    final = enforce(draft, cycle.limits, dataclasses.replace(cycle.situation, needs=cycle.needs))
    return _plan_of(cycle, target, final, float(most_kw.sum()), most_give_kw)


def _charge_kw(cycle: PlanInputs, target: Target) -> tuple[Floats, Bools]:
    """KW of every car that is charged by choice, and whom a node above it keeps from more."""
    chosen = np.flatnonzero(cycle.free if target.follow else cycle.wanted)
    kw = np.zeros(len(cycle.full_kw))
    most_kw = cycle.full_kw if target.follow else np.minimum(cycle.full_kw, cycle.start.most_kw)
    most_kw, limited = cycle.in_room(chosen, most_kw)
    if target.kw == math.inf:
        kw[chosen] = most_kw[chosen]
        return kw, limited
    slack_s = np.nan_to_num(cycle.needs.slack_s[chosen], posinf=UNASKED_SLACK_S)
    view = cycle.situation.view.take(chosen)
    stack = LaxityOrder(view, most_kw[chosen], slack_s, cycle.situation.charging[chosen])
    hysteresis_s = cycle.situation.settings.hysteresis_s
    kw[chosen] = fill(stack, target.kw - cycle.floor_kw, hard=target.hard, hysteresis_s=hysteresis_s)
    return kw, limited & (kw >= most_kw)


def _give_kw(cycle: PlanInputs, target: Target) -> tuple[Floats, Floats, Floats]:
    """KW that every car gives (magnitudes, whole watts), and the most that each could hold until the set-point ends.

    Last what that would be if no node limited it.
    """
    limits, view = cycle.limits, cycle.situation.view
    stuck = cycle.forced | (cycle.situation.charging & ~limits.can_pause)
    able = limits.touch & ~stuck & (limits.discharge_kw > 0) & target.follow
    hours = max(target.end_s - cycle.situation.now_s, 60.0) / HOUR_S
    power_kw = np.where(able, limits.discharge_kw, 0.0)
    energy_kwh = np.where(able, limits.discharge_kwh, 0.0)
    alone_kw = sustained_kw(power_kw, energy_kwh, hours)
    if limits.nodes is not None:
        power_kw = feeding_kw(limits.nodes, power_kw, alone_kw)
    giving = np.asarray(view.charge_state == Charge.DISCHARGING)
    cars = DischargeCars(power_kw, energy_kwh, view.min_discharge_kw, giving, view.burden_kwh, view.u)
    most_kw = sustained_kw(power_kw, energy_kwh, hours)
    given_kw = give_in_steps(cars, cycle.floor_kw - target.kw, hours)
    return in_whole_watts(given_kw, most_kw), most_kw, alone_kw


def _draft(cycle: PlanInputs, target: Target, charge_kw: Floats, give_kw: Floats, limited: Bools) -> PlanDraft:
    """Every car's desire, before the guards' last word; later lines overrule earlier ones."""
    view, now_s = cycle.situation.view, np.full(len(cycle.full_kw), cycle.situation.now_s)
    nothing = np.zeros(len(cycle.full_kw), dtype=np.int64)
    draft = PlanDraft(nothing, view.power_kw, now_s, now_s, nothing)
    # A car that charges and tells its target ends by itself; told levels round up, so it is not stopped short of it.
    ends = cycle.situation.charging & ~cycle.needs.some
    waits = cycle.movable & ~cycle.wanted & (cycle.start.start_s > now_s) & ~ends
    why_waits = np.where(cycle.start.no_room, int(Reason.GRID_LIMIT), int(_wait_reason(cycle.requests)))
    draft = draft.where(waits, DesireKind.CURTAIL, 0.0, cycle.start.start_s, why_waits)
    if target.kw < math.inf:
        held_back = cycle.movable if target.follow else cycle.movable & ~waits
        draft = draft.where(held_back, DesireKind.CURTAIL, 0.0, _restart_s(cycle, target), target.reason)
    runs = (charge_kw > 0) | cycle.forced
    kind = DesireKind.NONE if cycle.requests.quiet else DesireKind.CHARGE
    draft = draft.where(runs, kind, cycle.full_kw, _run_end_s(cycle, target), _run_reason(cycle, target))
    partial = np.asarray((charge_kw > 0) & (charge_kw < cycle.full_kw - 1e-9))
    shaped = np.asarray(partial & (charge_kw >= cycle.start.most_kw - 1e-9) & (not target.follow))
    slot_end_s = now_s + cycle.situation.settings.slot_s
    draft = draft.where(shaped, DesireKind.CAP, charge_kw, slot_end_s, _wait_reason(cycle.requests))
    draft = draft.where(partial & ~shaped, DesireKind.CAP, charge_kw, target.end_s, target.reason)
    draft = _held_by_nodes(cycle, draft, charge_kw, limited)
    return draft.where(give_kw > 0, DesireKind.SETPOINT, -give_kw, target.end_s, target.reason)


def _sold(cycle: PlanInputs, target: Target, draft: PlanDraft, charge_kw: Floats) -> PlanDraft:
    """The draft with what batteries give for a price, as the night has it; while a set-point governs, nothing."""
    limits, view, night = cycle.limits, cycle.situation.view, cycle.start.night
    now_s, cap = cycle.situation.now_s, cycle.requests.export_cap_kw
    if target.follow or night is None or night.sales is None or not may_sell(cycle.requests):
        return draft
    sales = night.sales.now(view.row, night.load.edges_s, now_s)
    if sales is None:
        return draft
    able = limits.touch & ~cycle.forced & (limits.can_pause | ~cycle.situation.charging) & (limits.discharge_kw > 0)
    power_kw, energy_kwh = (np.where(able, most, 0.0) for most in (limits.discharge_kw, limits.discharge_kwh))
    giving = np.asarray(view.charge_state == Charge.DISCHARGING)
    cars = DischargeCars(power_kw, energy_kwh, view.min_discharge_kw, giving, view.burden_kwh, view.u)
    room_kw = math.inf if cap is None else cap.value + cycle.floor_kw + float(charge_kw.sum())
    give_kw = give_for_price(cars, sales, room_kw, now_s)
    if limits.nodes is not None:
        give_kw = feeding_kw(limits.nodes, give_kw, give_kw)
    return draft.where(give_kw > 0, DesireKind.SETPOINT, -give_kw, np.maximum(sales.end_s, now_s), Reason.EXPORT_PRICE)


def _held_by_nodes(cycle: PlanInputs, draft: PlanDraft, charge_kw: Floats, limited: Bools) -> PlanDraft:
    """Whom the limit of a node holds: to a part of its power, or until those before it are done."""
    nodes, now_s = cycle.limits.nodes, cycle.situation.now_s
    if nodes is None or not limited.any():
        return draft
    order = by_laxity(cycle.situation, np.flatnonzero(cycle.free & (cycle.full_kw > 0)))
    begin_s = np.minimum(begins_s(nodes, cycle.needs.kwh, order, now_s), now_s + LONGEST_WAIT_S)
    draft = draft.where(limited & (charge_kw <= 0), DesireKind.CURTAIL, 0.0, begin_s, Reason.GRID_LIMIT)
    return draft.where(limited & (charge_kw > 0), DesireKind.CAP, charge_kw, now_s + HELD_S, Reason.GRID_LIMIT)


def _wait_reason(requests: ZoneRequests) -> Reason:
    return Reason.RECOVERY if requests.price is None and requests.ghg is None else Reason.PRICE


def _restart_s(cycle: PlanInputs, target: Target) -> Floats:
    """When a car held back may go on: as the night has it once the window has ended, so that restarts are spread."""
    return np.maximum(cycle.start.start_s, target.end_s)


def _run_reason(cycle: PlanInputs, target: Target) -> Ints:
    """Why a car charges: it must, a set-point wants it, or its own wish; beyond the driver's need, the grid's."""
    requests = cycle.requests
    wished = (
        Reason.PRE_CHARGE if pre_charging(requests) else Reason.PRICE if requests.price or requests.ghg else Reason.NONE
    )
    reason = np.full(len(cycle.full_kw), int(target.reason or wished))
    if not target.follow:
        for_grid = ~cycle.situation.needs.some & cycle.needs.some
        reason = np.where(for_grid, int(Reason.CHARGE_STATE), reason)
    return np.where(cycle.forced, cycle.limits.why, reason)


def _run_end_s(cycle: PlanInputs, target: Target) -> Floats:
    """A car that charges does so until the set-point ends, or until it has what it needs."""
    now_s = cycle.situation.now_s
    if target.follow:
        return np.full(len(cycle.full_kw), target.end_s)
    return now_s + np.maximum(np.nan_to_num(cycle.needs.hours) * HOUR_S, cycle.situation.settings.slot_s)


def _plan_of(cycle: PlanInputs, target: Target, final: PlanDraft, most_kw: float, most_give_kw: Floats) -> ZonePlan:
    limits, view, cap = cycle.limits, cycle.situation.view, cycle.requests.export_cap_kw
    planned_kw = cycle.uncontrolled_kw + float(final.kw[limits.touch].sum())
    gap_kw = planned_kw - target.kw if target.kw < math.inf else 0.0
    trims_kw = {Reason.SET_POINT: cycle.trim_kw, Reason.IMPORT_CAP: min(0.0, cycle.trim_kw)}
    asked_kw = target.kw - trims_kw.get(target.reason, 0.0)
    least_kw = cycle.floor_kw - most_kw
    gives = (final.kind == DesireKind.SETPOINT) & (final.kw < 0)
    held = (final.reason == Reason.GRID_LIMIT) & limits.touch
    by_node = limited_by(limits.nodes, cycle.situation, final.kw, held, most_give_kw)
    origins, origin = _origins(cycle, target, final.reason, by_node)
    return ZonePlan(
        row=view.row,
        kind=final.kind,
        power_w=np.where(gives | (final.kind == DesireKind.CAP), np.rint(final.kw * 1000), 0).astype(np.int64),
        expected_kw=final.kw,
        start_s=final.start_s,
        end_s=final.end_s,
        latest_s=limits.until_s
        if limits.share is None
        else np.where(limits.share.held, limits.share.until_s, limits.until_s),
        target_pct=grid_target_pct(view, cycle.requests),
        energy_wh=(np.where(gives, np.minimum(limits.discharge_kwh, 1e6), 0.0) * 1000).astype(np.int64),
        origin=origin,
        reason=final.reason,
        refusal=limits.refusal,
        burden_kw=_burden_kw(cycle, final),
        origins=origins,
        unrestricted_kw=cycle.unrestricted_kw,
        uncontrolled_kw=cycle.uncontrolled_kw,
        feasible_min_kw=least_kw if cap is None else max(least_kw, min(cycle.floor_kw, -cap.value)),
        feasible_max_kw=cycle.floor_kw
        + float(cycle.in_room(np.flatnonzero(cycle.free), cycle.full_kw)[0][cycle.free].sum()),
        planned_kw=planned_kw,
        asked_kw=asked_kw if target.kw < math.inf else None,
        shortfall_kw=gap_kw if target.follow else max(0.0, gap_kw),
        night=cycle.start.night,
        limited_by=by_node,
        limits=limits_report(limits.nodes, limits.share, cycle.situation, cycle.requests, final.kw, by_node),
    )


def _burden_kw(cycle: PlanInputs, final: PlanDraft) -> Floats:
    """How far an event holds each car below what it would draw unasked."""
    wished_kw = np.where(cycle.wanted, cycle.full_kw, 0.0)
    asked = np.isin(final.reason, _EVENTS) & cycle.limits.touch
    return np.where(asked, np.maximum(0.0, wished_kw - final.kw), 0.0)


def _origins(cycle: PlanInputs, target: Target, reason: Ints, by_node: Ints) -> tuple[tuple[GridRequest, ...], Ints]:
    """The asks that decided, and per car which of them: -1 for what guards or drivers decided."""
    requests, now_s = cycle.requests, cycle.situation.now_s
    levels = (*requests.charge_states, *requests.charge_energy_kwh)
    cost, paid = requests.price or requests.ghg, requests.export_price
    decided = {
        target.reason: target.ask,
        Reason.PRE_CHARGE: requests.pre_charge,
        Reason.PRICE: cost.at(now_s) if cost is not None else None,
        Reason.EXPORT_PRICE: paid.at(now_s) if paid is not None else None,
        Reason.CHARGE_STATE: levels[0] if levels else None,
    }
    named = {int(code): ask for code, ask in decided.items() if ask is not None}
    index = np.full(len(Reason), -1)
    index[list(named)] = np.arange(len(named))
    asks, of_node = asks_of(cycle.requests, np.where(reason == Reason.GRID_LIMIT, by_node, NO_NODE))
    origin = np.where(of_node >= 0, of_node + len(named), index[reason])
    return (*named.values(), *asks), origin
