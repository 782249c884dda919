"""Whose patience is at an end is left out of an event, and of nothing else.

A car with nothing left of what its driver agreed to (`FleetView.asks_left_s`) is planned as if no event asked anything:
by tariffs, limits on import, its own departure. The others are planned by the event, with what those cars will draw as
load that nobody controls. A grid emergency asks everybody. Pure; `guardrails.patience_is_kept` holds windows inside
what is left.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from ven_adapters.ven.fleet.columns import ALWAYS_S, Bools, FleetView, Floats
from ven_adapters.ven.openadr.zone_requests import GridRequest, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.zone_plan import ZonePlan, with_rows_of

ASKED = (Reason.SET_POINT, Reason.SIMPLE_LEVEL, Reason.ALERT)
"""The reasons by which an event holds a car back or makes it give; a limit on import is no event."""

_MUST = (Reason.READY_BY, Reason.BELOW_RESERVE)

Decide = Callable[[FleetView, ZoneRequests], ZonePlan]


def trying_ask(requests: ZoneRequests) -> GridRequest | None:
    """The ask that governs and that drivers' patience counts for; None in a grid emergency, and without any."""
    ask = requests.ruling_ask
    if ask is None or requests.pre_charge is not None or requests.emergency:
        return None
    return ask


def plan_with_patience(view: FleetView, requests: ZoneRequests, decide: Decide) -> ZonePlan:
    """One plan of two: those who are asked by the event, and those who are not any more."""
    endless = dataclasses.replace(view, asks_left_s=np.full(len(view), ALWAYS_S))
    if trying_ask(requests) is None:
        return decide(endless, requests)
    spent = view.asks_left_s <= 0
    if not spent.any():
        return decide(view, requests)
    own = _own_plan(endless, spent, without_event(requests), decide)
    asks_left_s = np.where(spent, ALWAYS_S, view.asks_left_s)
    beside = _drawing(dataclasses.replace(view, asks_left_s=asks_left_s), spent, own.expected_kw)
    return _joined(decide(beside, requests), own, spent)


def _own_plan(view: FleetView, spent: Bools, requests: ZoneRequests, decide: Decide) -> ZonePlan:
    """What cars do that no event asks. Of a limit on import they have what the others, held back, need not have."""
    own = decide(view, requests)
    if requests.import_cap_kw is None:
        return own
    by_choice = np.isin(own.kind, (DesireKind.CHARGE, DesireKind.CAP)) & ~np.isin(own.reason, _MUST)
    return decide(_drawing(view, ~spent, np.where(by_choice, 0.0, own.expected_kw)), requests)


def _drawing(view: FleetView, some: Bools, kw: Floats) -> FleetView:
    """The fleet with some cars out of reach that draw so much, whatever is decided of the others."""
    return dataclasses.replace(view, opted_out=view.opted_out | some, power_kw=np.where(some, kw, view.power_kw))


def without_event(requests: ZoneRequests) -> ZoneRequests:
    """What is left of what is asked when no event governs: money, levels of charge, limits."""
    return dataclasses.replace(
        requests,
        dispatch_kw=None,
        relative_kw=None,
        relative_share=None,
        simple=None,
        alert=None,
        pre_charge=None,
        restriction=None,
        set_points_kw=None,
        ruling=RulingDimension.NOTHING,
        recovery_from_s=math.nan,
    )


def _joined(asked: ZonePlan, own: ZonePlan, spent: Bools) -> ZonePlan:
    """The plan of those who are asked, with the rows of the others from their own; sums are those of the first."""
    both = with_rows_of(asked, own, spent)
    nameless = spent & (own.reason == Reason.NONE)
    return dataclasses.replace(both, reason=np.where(nameless, int(Reason.PATIENCE), both.reason))
