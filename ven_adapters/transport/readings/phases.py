"""Phases and power from current, voltage and what else a vendor tells: no figure is made of one that is missing. Pure.

Amperes are per phase, volts from phase to neutral, watts the sum of all phases.
"""

from datetime import timedelta

from ven_adapters.contract import Capability, Reading, Snapshot, Validity

MOST_PHASES = 3
LIVE_VOLTS = 90.0
LEAST_A = 1.0
# Two figures of one car agree within a twentieth, beyond how coarsely its power is told.
AGREES = 0.05
TOGETHER = timedelta(seconds=60)
# How coarsely a car may tell its power: in whole kilowatts.
COARSE_W = 1_000.0


def phases_shown(
    told: int | None, amps: float | None, volts: float | None, power_w: float | None, slack_w: float
) -> int | None:
    """How many phases carry the current: the count told, unless the power says otherwise; None when nothing tells.

    `slack_w`: how coarsely the power is told. Of several counts that fit the greatest is taken, which errs towards less
    current. A power that no count explains leaves the count that was told, or more when it is more than that draws.
    """
    if amps is None or volts is None or power_w is None or amps < LEAST_A or volts < LIVE_VOLTS or power_w <= 0:
        return told
    phase_w, slack_w = amps * volts, slack_w + AGREES * power_w
    fits = [count for count in range(1, MOST_PHASES + 1) if abs(count * phase_w - power_w) <= slack_w]
    if told in fits:
        return told
    if fits:
        return fits[-1]
    over = told is None or power_w > told * phase_w
    enough = (count for count in range(1, MOST_PHASES + 1) if count * phase_w + slack_w >= power_w)
    return next(enough, MOST_PHASES) if over else told


def power_shown_w(
    amps: float | None, volts: float | None, phases: int | None, told_w: float | None, slack_w: float
) -> float | None:
    """The power: current times voltage where all is known and nothing contradicts it, else as told; None when unknown.

    A current of nothing draws nothing, unless a power is told beside it (direct current does not pass the meter of the
    on-board charger).
    """
    if amps is not None and volts is not None and phases is not None and amps > 0 and volts >= LIVE_VOLTS:
        exact_w = amps * volts * phases
        if told_w is None or abs(exact_w - told_w) <= slack_w + AGREES * told_w:
            return exact_w
    if told_w is not None:
        return told_w
    return 0.0 if amps == 0 else None


def phases_in_use(capability: Capability, snapshot: Snapshot | None) -> int:
    """The phases by which a power becomes a current: those of the capability, or more when the readings show more."""
    if snapshot is None:
        return capability.phases
    readings: list[Reading[float] | None] = [snapshot.current_a, snapshot.voltage_v, snapshot.power_w]
    good = [one for one in readings if one is not None and one.validity is Validity.OK]
    if len(good) < len(readings):
        return capability.phases
    seen = [one.seen_at for one in good]
    if max(seen) - min(seen) > TOGETHER:
        return capability.phases
    amps, volts, power_w = (one.value for one in good)
    shown = phases_shown(capability.phases, amps, volts, power_w, COARSE_W)
    return max(capability.phases, shown or 0)
