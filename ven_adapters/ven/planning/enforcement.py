"""Any proposed draft, held inside the limits that the guards left: the last step of every plan."""

import dataclasses
import enum

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Charge, FleetView, Floats, Ints
from ven_adapters.ven.planning.car_power import achieved_kw, drawn_kw, usual_kw, whole_w
from ven_adapters.ven.planning.guardrails import PlanLimits, Reason
from ven_adapters.ven.planning.limits.choice import HELD_S, within_rooms
from ven_adapters.ven.planning.limits.nodes import NOTHING_KW
from ven_adapters.ven.planning.zone_state import ZoneState

LONGEST_S = 86400.0
CRAWLS_AFTER_S, CRAWLS_BELOW = 900.0, 0.5


class DesireKind(enum.IntEnum):
    """`contract.DirectiveKind` as a number; NONE means no desire: whatever is held for the car is given back."""

    NONE = 0
    CURTAIL = 1
    CAP = 2
    CHARGE = 3
    SETPOINT = 4


@dataclasses.dataclass(frozen=True, slots=True)
class PlanDraft:
    """A proposed desire per car: kind, signed kW that the car is expected to draw, window (epoch s), `Reason`."""

    kind: Ints
    kw: Floats
    start_s: Floats
    end_s: Floats
    reason: Ints

    def where(
        self, mask: Bools, kind: DesireKind, kw: Floats | float, end_s: Floats | float, reason: Ints | int
    ) -> "PlanDraft":
        """The draft with the masked cars changed; starts stay."""
        return PlanDraft(
            np.where(mask, int(kind), self.kind),
            np.where(mask, kw, self.kw),
            self.start_s,
            np.where(mask, end_s, self.end_s),
            np.where(mask, reason, self.reason),
        )


def enforce(draft: PlanDraft, limits: PlanLimits, situation: ZoneState) -> PlanDraft:
    """The nearest draft that breaks no limit. Windows that would outlast `until_s`, or a day, are cut.

    A day at most, because a car must not wait for an adapter that died; what is asked for longer is renewed.
    """
    full_kw = takes_kw(limits, situation)
    draft = _discharge_within(draft, limits, situation)
    draft = _charge_within(draft, limits, situation, full_kw)
    draft = _stay_running(draft, limits, situation, full_kw)
    draft = _stay_stopped(draft, limits, situation)
    bounded = np.isin(draft.kind, (DesireKind.CURTAIL, DesireKind.CAP, DesireKind.SETPOINT))
    draft = dataclasses.replace(draft, end_s=np.where(bounded, np.minimum(draft.end_s, limits.until_s), draft.end_s))
    draft = draft.where(bounded & (draft.end_s <= draft.start_s), DesireKind.NONE, full_kw, draft.start_s, limits.why)
    draft = _must_charge(draft, limits, situation, full_kw)
    draft = _within_nodes(draft, limits, situation)
    draft = dataclasses.replace(draft, end_s=np.minimum(draft.end_s, situation.now_s + LONGEST_S))
    return draft.where(~limits.touch, DesireKind.NONE, situation.view.power_kw, situation.now_s, limits.why)


def takes_kw(limits: PlanLimits, situation: ZoneState) -> Floats:
    """What a car draws when it charges freely, within its limits."""
    return drawn_kw(situation.view, limits.charge_kw, situation.charging, situation.needs.some)


def crawling(view: FleetView, now_s: float) -> Bools:
    """Cars told to charge a while ago that take far less than they usually do: the start had no effect.

    A start that was accepted without effect (field fault 2) after a limit that was taken for 6 A (field fault 11).
    """
    settled = view.told_on & (now_s - view.last_toggle_s >= CRAWLS_AFTER_S) & (view.power_at_s > view.last_toggle_s)
    slow = (view.power_kw > 0) & (view.power_kw < CRAWLS_BELOW * usual_kw(view))
    return np.asarray(settled & slow & (view.charge_state == Charge.CHARGING))


def _discharge_within(draft: PlanDraft, limits: PlanLimits, situation: ZoneState) -> PlanDraft:
    gives = (draft.kind == DesireKind.SETPOINT) & (draft.kw < 0)
    draft = dataclasses.replace(draft, end_s=np.where(gives, np.minimum(draft.end_s, limits.give_until_s), draft.end_s))
    hours = np.maximum(np.minimum(draft.end_s, limits.until_s) - draft.start_s, 1.0) / 3600
    most_kw = whole_w(np.minimum(limits.discharge_kw, limits.discharge_kwh / hours))
    most_kw = np.where(most_kw < situation.view.min_discharge_kw, 0.0, most_kw)
    kw = np.where(gives, np.maximum(draft.kw, -most_kw), draft.kw)
    draft = dataclasses.replace(draft, kw=kw)
    return draft.where(gives & (kw >= 0), DesireKind.CURTAIL, 0.0, draft.end_s, draft.reason)


def _charge_within(draft: PlanDraft, limits: PlanLimits, situation: ZoneState, full_kw: Floats) -> PlanDraft:
    capped = (draft.kind == DesireKind.CAP) | ((draft.kind == DesireKind.SETPOINT) & (draft.kw > 0))
    kw = achieved_kw(situation.view, np.minimum(draft.kw, limits.charge_kw), full_kw)
    draft = dataclasses.replace(draft, kw=np.where(capped, kw, np.minimum(draft.kw, limits.charge_kw)))
    return draft.where(capped & (kw <= 0) & (full_kw > 0), DesireKind.CURTAIL, 0.0, draft.end_s, draft.reason)


def _stay_running(draft: PlanDraft, limits: PlanLimits, situation: ZoneState, full_kw: Floats) -> PlanDraft:
    stops = (draft.kind == DesireKind.CURTAIL) | ((draft.kind == DesireKind.SETPOINT) & (draft.kw <= 0))
    stuck = stops & situation.charging & ~limits.can_pause
    return draft.where(stuck, DesireKind.NONE, full_kw, draft.start_s, limits.why)


def _stay_stopped(draft: PlanDraft, limits: PlanLimits, situation: ZoneState) -> PlanDraft:
    starts = np.isin(draft.kind, (DesireKind.CHARGE, DesireKind.CAP)) & ~situation.charging & ~limits.can_start
    draft = draft.where(starts, DesireKind.NONE, 0.0, draft.start_s, limits.why)
    idle = (
        np.isin(draft.kind, (DesireKind.NONE, DesireKind.CHARGE, DesireKind.CAP))
        & ~situation.charging
        & (draft.kw >= 0)
    )
    rested_s = situation.view.last_toggle_s + situation.settings.min_dwell_s
    return draft.where(idle & situation.resting & ~limits.can_start, DesireKind.CURTAIL, 0.0, rested_s, Reason.DWELL)


def _must_charge(draft: PlanDraft, limits: PlanLimits, situation: ZoneState, full_kw: Floats) -> PlanDraft:
    needed = limits.must_charge & limits.touch
    most_s = situation.now_s + LONGEST_S
    end_s = np.clip(situation.view.departure_s, situation.now_s + situation.settings.slot_s, most_s)
    draft = dataclasses.replace(draft, start_s=np.where(needed, situation.now_s, draft.start_s))
    return draft.where(needed, DesireKind.CHARGE, full_kw, end_s, limits.why)


def _within_nodes(draft: PlanDraft, limits: PlanLimits, situation: ZoneState) -> PlanDraft:
    """No node above the cars carries more than its limit: shares of those that must charge, then everybody else."""
    share, nodes = limits.share, limits.nodes
    if share is None or nodes is None:
        return draft
    latest_s = np.nan_to_num(situation.needs.latest_start_s, nan=situation.now_s, posinf=np.inf)
    until_s = np.where(limits.must_charge, share.until_s, np.minimum(share.until_s, latest_s))
    end_s = np.clip(until_s, situation.now_s + 1.0, situation.now_s + HELD_S)
    held = share.held & limits.touch
    reason = np.where(nodes.is_zone[share.node], int(Reason.IMPORT_CAP), int(Reason.GRID_LIMIT))
    draft = draft.where(held & (share.kw > 0), DesireKind.CAP, share.kw, end_s, reason)
    draft = draft.where(held & (share.kw <= 0), DesireKind.CURTAIL, 0.0, end_s, reason)
    by_choice = limits.touch & np.isinf(share.kw)
    stays = by_choice & situation.charging & ~limits.can_pause
    chosen = by_choice & ~stays & ((draft.kw > 0) | (draft.kind == DesireKind.SETPOINT))
    kw = within_rooms(nodes, situation, np.where(chosen, draft.kw, 0.0))
    cut = chosen & (np.abs(kw - draft.kw) > NOTHING_KW)
    # What may not be started is not told a part of its power, which would start it.
    kw = np.where((kw > 0) & ~situation.charging & ~limits.can_start, 0.0, kw)
    end_s = np.clip(latest_s, situation.now_s + 1.0, np.maximum(draft.end_s, situation.now_s + HELD_S))
    draft = draft.where(cut & (kw > 0), DesireKind.CAP, kw, end_s, Reason.GRID_LIMIT)
    draft = draft.where(cut & (kw < 0), DesireKind.SETPOINT, kw, np.minimum(end_s, draft.end_s), Reason.GRID_LIMIT)
    return draft.where(cut & (kw == 0), DesireKind.CURTAIL, 0.0, end_s, Reason.GRID_LIMIT)
