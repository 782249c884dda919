"""Batteries as the fleet reckons with them: efficiency of discharge, and how far a level may lie below what is told."""

import numpy as np

from ven_adapters.ven.fleet.columns import Floats

DISCHARGE_EFFICIENCY = 0.92
MOST_DOUBT_PCT = 0.2


def doubt_of(told_pct: Floats, before_pct: Floats, spent_pct: Floats) -> Floats:
    """How far below a level told in whole percent a battery that gives is taken to be: 0 to MOST_DOUBT_PCT.

    A step of a whole percent is kilowatt-hours: who plans by it gives too much before the step and too little after it.
    So between steps the energy given is counted down from `before_pct`; what is told is never exceeded, and a
    fall that is deeper than this is left to the next step.
    """
    whole = told_pct == np.floor(told_pct)
    return np.where(whole, np.clip(np.nan_to_num(told_pct - before_pct + spent_pct), 0.0, MOST_DOUBT_PCT), 0.0)
