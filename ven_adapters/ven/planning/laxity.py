"""V1G: which cars charge under a ceiling. Least laxity first, the marginal car by its steps or as the nearer of on/off.

Reference 4.2 (laxity stack), in classes of laxity a quarter of an hour wide. A car that already charges is preferred
within a hysteresis, so that equals do not take turns; then who has borne most this season goes first, so that the least
burdened is the one to wait. O(N log N), indifferent to the order of rows: what is left of ties goes by the car's own
number.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Control, FleetView, Floats, Ints
from ven_adapters.ven.planning.car_power import EPSILON, achieved_kw

KEEP_ON, TURN_ON = 0.4, 0.6
LAXITY_CLASS_S = 900.0
# Finer differences are no injustice, and would make equals take turns.
BURDEN_CLASS_KWH = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class LaxityOrder:
    """The cars that may be given power: full kW, slack in seconds, whether each charges now, kWh borne this season."""

    view: FleetView
    full_kw: Floats
    slack_s: Floats
    charging: Bools


def fill(stack: LaxityOrder, budget_kw: float, *, hard: bool, hysteresis_s: float) -> Floats:
    """KW per car that add up to the budget as closely as the cars allow; never above it when `hard`.

    Soft budgets may be missed by half of one car's power, in either direction.
    """
    order = _order(stack, hysteresis_s)
    running_kw = np.cumsum(stack.full_kw[order])
    count = int(np.searchsorted(running_kw, budget_kw + EPSILON, side="right"))
    if not hard and (kept_kw := _as_they_are(stack, order[: int(stack.charging.sum())], count, budget_kw)) is not None:
        return kept_kw
    kw = np.zeros(len(order))
    kw[order[:count]] = stack.full_kw[order[:count]]
    left_kw = budget_kw - (running_kw[count - 1] if count else 0.0)
    if count < len(order) and left_kw > EPSILON:
        kw = _marginal(stack, kw, order, count, left_kw, hard=hard)
    return kw


def _as_they_are(stack: LaxityOrder, first: Ints, count: int, budget_kw: float) -> Floats | None:
    """Those that charge go on when they are the first in order and exceed the budget by no more than a car may.

    What met a set-point a moment ago shall not stop one of them now, because laxity ranks them in another order.
    """
    over_kw = float(stack.full_kw[first].sum()) - budget_kw
    if len(first) <= count or not stack.charging[first].all() or over_kw > TURN_ON * stack.full_kw[first].max():
        return None
    kw = np.zeros(len(stack.full_kw))
    kw[first] = stack.full_kw[first]
    trimmed = _trim(stack, kw, first, over_kw)
    return kw if trimmed is None else trimmed


def _order(stack: LaxityOrder, hysteresis_s: float) -> Ints:
    laxity = np.floor((stack.slack_s - hysteresis_s * stack.charging) / LAXITY_CLASS_S)
    borne = np.floor(stack.view.burden_kwh / BURDEN_CLASS_KWH)
    return np.lexsort((stack.view.u, -borne, ~stack.charging, laxity))


def _marginal(stack: LaxityOrder, kw: Floats, order: Ints, count: int, left_kw: float, *, hard: bool) -> Floats:
    """Fit the first car that does not fit whole: by its own steps, at its least by trimming others, or on or off."""
    car = order[count : count + 1]
    partial_kw = achieved_kw(stack.view.take(car), np.array([left_kw]), stack.full_kw[car])
    if partial_kw[0] > 0:
        kw[car] = partial_kw
        return kw
    least_kw = np.where(_adjustable(stack.view.control[car]), stack.view.floor_kw[car], stack.full_kw[car])
    trimmed = _trim(stack, kw, order[:count], float(least_kw[0]) - left_kw)
    if trimmed is not None:
        trimmed[car] = least_kw
        return trimmed
    threshold = KEEP_ON if stack.charging[car][0] else TURN_ON
    if not hard and left_kw >= threshold * stack.full_kw[car][0]:
        kw[car] = stack.full_kw[car]
    return kw


def _adjustable(control: Ints) -> Bools:
    return np.asarray((control == Control.STEPS) | (control == Control.LEVELS))


def _trim(stack: LaxityOrder, kw: Floats, on: Ints, over_kw: float) -> Floats | None:
    """Take `over_kw` from adjustable cars, the one with most slack first; None when they cannot spare it."""
    adjustable = on[_adjustable(stack.view.control[on])][::-1]
    room_kw = np.maximum(0.0, stack.full_kw[adjustable] - stack.view.floor_kw[adjustable])
    given_kw = np.cumsum(room_kw)
    if not len(adjustable) or given_kw[-1] < over_kw - EPSILON:
        return None
    cut_kw = np.clip(over_kw - (given_kw - room_kw), 0.0, room_kw)
    touched = adjustable[cut_kw > EPSILON]
    asked_kw = (stack.full_kw[adjustable] - cut_kw)[cut_kw > EPSILON]
    trimmed = kw.copy()
    trimmed[touched] = achieved_kw(stack.view.take(touched), asked_kw, stack.full_kw[touched])
    return trimmed
