"""V1G: which cars charge under a ceiling. Least laxity first, the marginal car by its steps or as the nearer of on/off.

Reference 4.2 (laxity stack); a car that already charges is preferred within a hysteresis, so that equals do not take
turns. O(N log N), indifferent to the order of rows: ties go by the car's own number.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.columns import Bools, Control, FleetView, Floats, Ints
from ven_adapters.ven.enforcement import EPSILON, achieved_kw

KEEP_ON, TURN_ON = 0.4, 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Stack:
    """The cars that may be given power: full kW, slack in seconds, and whether each charges now."""

    view: FleetView
    full_kw: Floats
    slack_s: Floats
    charging: Bools


def fill(stack: Stack, budget_kw: float, *, hard: bool, hysteresis_s: float) -> Floats:
    """KW per car that add up to the budget as closely as the cars allow; never above it when `hard`.

    Soft budgets may be missed by half of one car's power, in either direction.
    """
    order = _order(stack, hysteresis_s)
    running_kw = np.cumsum(stack.full_kw[order])
    count = int(np.searchsorted(running_kw, budget_kw + EPSILON, side="right"))
    kw = np.zeros(len(order))
    kw[order[:count]] = stack.full_kw[order[:count]]
    left_kw = budget_kw - (running_kw[count - 1] if count else 0.0)
    if count < len(order) and left_kw > EPSILON:
        kw = _marginal(stack, kw, order, count, left_kw, hard=hard)
    return kw


def _order(stack: Stack, hysteresis_s: float) -> Ints:
    key = stack.slack_s - hysteresis_s * stack.charging
    return np.lexsort((stack.view.u, key))


def _marginal(stack: Stack, kw: Floats, order: Ints, count: int, left_kw: float, *, hard: bool) -> Floats:
    """Fit the first car that does not fit whole: by its own steps, by trimming others, or by the nearer of on/off."""
    car = order[count : count + 1]
    partial_kw = achieved_kw(stack.view.take(car), np.array([left_kw]), stack.full_kw[car])
    if partial_kw[0] > 0:
        kw[car] = partial_kw
        return kw
    over_kw = stack.full_kw[car][0] - left_kw
    trimmed = _trim(stack, kw, order[:count], over_kw)
    if trimmed is not None:
        trimmed[car] = stack.full_kw[car]
        return trimmed
    threshold = KEEP_ON if stack.charging[car][0] else TURN_ON
    if not hard and left_kw >= threshold * stack.full_kw[car][0]:
        kw[car] = stack.full_kw[car]
    return kw


def _trim(stack: Stack, kw: Floats, on: Ints, over_kw: float) -> Floats | None:
    """Take `over_kw` from adjustable cars, the one with most slack first; None when they cannot spare it."""
    adjustable = on[np.isin(stack.view.control[on], (Control.STEPS, Control.LEVELS))][::-1]
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
