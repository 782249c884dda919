"""Faults of cars that take a command otherwise than they were told: pure functions from a setting to what the car does.

The backend believes every one of them: it reports the directive in force. A car that was feeding the grid stops with
the window that told it to, whatever goes wrong with the next command.
"""

import dataclasses
import math

from ven_adapters.contract import Rung, Setting

LOW_A = 10
PHASES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """Under what a car is: a signed power limit (inf: none), the level to stop at, the level to keep."""

    limit_w: float
    ceiling_wh: float
    floor_wh: float

    def holds(self, target_wh: float) -> bool:
        """Whether it keeps the car from charging as its driver set it."""
        return self.limit_w < math.inf or self.ceiling_wh < target_wh


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A setting on its way into a car: what is asked, how the car stood before, its least power, how many it got."""

    setting: Setting
    asked: Hold
    before: Hold
    target_wh: float
    least_w: float
    number: int

    @property
    def starts(self) -> bool:
        """Whether the car is to charge more freely than before."""
        return not self.asked.holds(self.target_wh) and self.before.holds(self.target_wh)

    @property
    def unchanged(self) -> Hold:
        """The car as it was, but never feeding the grid."""
        return dataclasses.replace(self.before, limit_w=max(0.0, self.before.limit_w))


def silent_start(taken: Taken) -> Hold:
    """A start that is accepted and leaves the car as it was."""
    return taken.unchanged if taken.starts else taken.asked


def no_effect(taken: Taken) -> Hold:
    """A limit that is accepted and makes the car charge at 6 A, or does nothing to a car that did not charge."""
    if not taken.asked.holds(taken.target_wh):
        return taken.asked
    if taken.before.limit_w == math.inf:
        return dataclasses.replace(taken.before, limit_w=taken.least_w)
    return taken.unchanged


def amps_need_two_sends(taken: Taken) -> Hold:
    """A low current that is taken only when it is sent again."""
    low = taken.setting.rung is Rung.CURRENT and (taken.setting.current_a or 0) < LOW_A
    return taken.unchanged if low and taken.number % 2 == 1 else taken.asked


def three_phase(taken: Taken) -> Hold:
    """A current that flows through three phases where one was declared."""
    if taken.setting.rung is not Rung.CURRENT:
        return taken.asked
    return dataclasses.replace(taken.asked, limit_w=taken.asked.limit_w * PHASES)


def meter_disagrees(taken: Taken) -> Hold:
    """A stop that the cloud believes in while the charging point goes on."""
    return taken.unchanged if taken.asked.limit_w == 0.0 else taken.asked
