"""A fleet below a small grid, driven forward: what each node carried, and who was late."""

import dataclasses

import numpy as np
from fleet_cases import Drive
from grid_cases import sums
from planning_cases import SETTINGS

from ven_adapters.ven.fleet.grid.grid_tree import NO_TREE
from ven_adapters.ven.planning.charging_need import needs_of

NEARLY_KWH = 0.2


class GridDrive(Drive):
    """`carried`: per step what each node of `tree` carried; a car that is full within the step is left out of it."""

    tree = NO_TREE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.carried, self.switches = [], 0

    def _step(self, now_s, held):
        before, full = self.view.power_kw > 0, needs_of(self.view, now_s, SETTINGS).kwh < NEARLY_KWH
        super()._step(now_s, held)
        kw = np.where(full & (self.view.power_kw > 0), 0.0, self.view.power_kw)
        self.carried.append(sums(self.tree, self.view, kw))
        self.switches += int((before != (self.view.power_kw > 0)).sum())

    def late(self):
        """The cars that left below their targets."""
        return self.at_departure_pct < self.view.target_pct - 0.5

    @property
    def drawn_kw(self):
        """(steps, nodes)"""
        return np.array([drawn for drawn, _ in self.carried])


def drive(tree, view, requests, **given):
    """A night with the same asks all along."""
    driven = GridDrive(view, **given)
    driven.tree = tree
    return driven.run(lambda now_s: dataclasses.replace(requests, now_s=now_s))
