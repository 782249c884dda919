"""How far to aim beside a set-point or below a limit so that the zone as measured keeps it: a bounded integrator.

What cars take is never quite what they are expected to take. The error of each cycle is added up, in the proportion
of the time that passed, and the sum is bounded by the power of one car: a plan that is right in all but a few watts a
car comes to its set-point, and readings that are wrong cannot carry it away. It rests while a change of the set-point
is still on its way to the cars, and where too few cars are measured.
"""

import dataclasses
import math

TIME_CONSTANT_S = 900.0
SETTLES_S = 300.0
ENOUGH_MEASURED = 0.8
LONGEST_STEP_S = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class TrimmedAsk:
    """What a zone is held to, kW, and how far the plan may aim above it: one car's power, or not at all for a limit."""

    kw: float
    above_kw: float
    below_kw: float


@dataclasses.dataclass(frozen=True, slots=True)
class SetPointTrim:
    """The integrator at `at_s` (epoch seconds), for an ask that has been the same since `since_s`."""

    kw: float = 0.0
    at_s: float = math.nan
    asked_kw: float = math.nan
    since_s: float = math.nan

    def after(self, now_s: float, ask: TrimmedAsk | None, measured_kw: float, share: float) -> "SetPointTrim":
        """The integrator a cycle later. `share`: of the plugged cars those that were measured lately."""
        if ask is None:
            return SetPointTrim()
        if ask.kw != self.asked_kw:
            return SetPointTrim(max(-ask.below_kw, min(ask.above_kw, self.kw)), now_s, ask.kw, now_s)
        if now_s - self.since_s < SETTLES_S or share < ENOUGH_MEASURED:
            return dataclasses.replace(self, at_s=now_s)
        gained_kw = (ask.kw - measured_kw) * min(now_s - self.at_s, LONGEST_STEP_S) / TIME_CONSTANT_S
        return dataclasses.replace(self, kw=max(-ask.below_kw, min(ask.above_kw, self.kw + gained_kw)), at_s=now_s)
