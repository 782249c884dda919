"""What a car takes at its level, and what it draws when told: the power that its steps, list or switch achieve."""

import numpy as np

from ven_adapters.ven.fleet.columns import LEVEL_EDGES, Bools, Control, FleetView, Floats, Ints

_EDGES = np.array(LEVEL_EDGES)
EPSILON = 1e-9
WATT_SLACK = 1e-6


def drawn_kw(view: FleetView, most_kw: Floats, charging: Bools, needs: Bools) -> Floats:
    """What a car draws that charges freely: full power while it `needs` energy, else what it is seen to take."""
    seen_kw = np.where(charging, np.maximum(0.0, view.power_kw), 0.0)
    return np.where(needs, np.minimum(most_kw, usual_kw(view)), seen_kw)


def usual_kw(view: FleetView) -> Floats:
    """What a car usually takes at its level when nothing limits it; the data sheet where nothing is known."""
    place = np.clip(np.searchsorted(_EDGES, np.nan_to_num(view.soc_pct), side="right") - 1, 0, len(_EDGES) - 2)
    known_kw = view.usual_kw[np.arange(len(view)), place]
    return np.where(np.isnan(known_kw), view.max_charge_kw, known_kw)


def achieved_kw(view: FleetView, asked_kw: Floats, full_kw: Floats, cars: Ints | slice = slice(None)) -> Floats:
    """What cars draw when asked for at most `asked_kw`: the greatest step, listed level or switch position below.

    `cars`: which of the view's; `asked_kw` and `full_kw` are theirs.
    """
    control, floor_kw = view.control[cars], view.floor_kw[cars]
    asked = np.minimum(asked_kw, full_kw)
    step = np.where(view.step_kw[cars] > 0, view.step_kw[cars], 1.0)
    stepped = floor_kw + np.floor((asked - floor_kw) / step + EPSILON) * step
    partial = np.where(control == Control.STEPS, stepped, 0.0)
    lists = np.flatnonzero(control == Control.LEVELS)
    if len(lists):
        levels_kw = view.levels_kw[cars][lists]
        below = np.where(levels_kw <= asked[lists, None] + EPSILON, levels_kw, 0.0)
        partial[lists] = np.max(below, axis=1, initial=0.0)
    partial = np.where(asked + EPSILON >= floor_kw, np.maximum(partial, 0.0), 0.0)
    return np.where(asked + EPSILON >= full_kw, full_kw, partial)


def whole_w(kw: Floats) -> Floats:
    """Powers in whole watts, as directives have them, never more than given."""
    return np.asarray(np.floor(kw * 1000 + WATT_SLACK) / 1000)
