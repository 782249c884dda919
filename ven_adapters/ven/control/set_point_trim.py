"""How far to aim beside a set-point so that the zone as measured meets it: a bounded integrator, one per zone.

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
class SetPointTrim:
    """The integrator at `at_s` (epoch seconds), for a set-point that has been `asked_kw` since `since_s`."""

    kw: float = 0.0
    at_s: float = math.nan
    asked_kw: float = math.nan
    since_s: float = math.nan

    def after(
        self, now_s: float, asked_kw: float | None, measured_kw: float, share: float, most_kw: float
    ) -> "SetPointTrim":
        """The integrator a cycle later.

        `asked_kw`: None without set-point. `share`: of the plugged cars those that were measured lately. `most_kw`: the
        power of the zone's largest car.
        """
        if asked_kw is None:
            return SetPointTrim()
        if asked_kw != self.asked_kw:
            return SetPointTrim(self.kw, now_s, asked_kw, now_s)
        if now_s - self.since_s < SETTLES_S or share < ENOUGH_MEASURED:
            return dataclasses.replace(self, at_s=now_s)
        gained_kw = (asked_kw - measured_kw) * min(now_s - self.at_s, LONGEST_STEP_S) / TIME_CONSTANT_S
        return dataclasses.replace(self, kw=max(-most_kw, min(most_kw, self.kw + gained_kw)), at_s=now_s)
