"""What a car must be seen to do for a directive to be in force, and what speaks against it. Pure.

Only valid observations that the car made after a given instant count. The power looked for is the one that the chosen
rung of the fallback ladder can achieve, because a 3.5 kW request that became a pause is in force when the car pauses.
"""

import dataclasses
import math
from datetime import datetime
from typing import Self, TypeVar

from ven_adapters.contract import METER, ChargeState, Directive, DirectiveKind, Reading, Setting, Snapshot, Validity
from ven_adapters.transport.readings import vendor_readings

T = TypeVar("T")

TOLERANCE_W = 250.0
TOLERANCE_SHARE = 0.08
COARSE_W = 1_000.0

_IDLE = frozenset(
    {
        ChargeState.PAUSED_BY_DIRECTIVE,
        ChargeState.STOPPED,
        ChargeState.COMPLETE,
        ChargeState.WAITING_SCHEDULE,
        ChargeState.NO_POWER,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """One observation that shows the effect: what, when it was seen, who says so, and whether a meter took it."""

    text: str
    observed_at: datetime
    source: str = "backend"
    metered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectedEffect:
    """The power looked for in watts, None for any that charges; a `bound` is kept by a car that draws nothing too."""

    power_w: float | None
    bound: bool = True

    @classmethod
    def of(cls, directive: Directive, setting: Setting | None) -> Self:
        """What a directive and its rung should make of a car."""
        if directive.kind in (DirectiveKind.CHARGE, DirectiveKind.RELEASE):
            return cls(None)
        if setting is not None and setting.power_w is not None:
            return cls(float(setting.power_w), directive.kind is not DirectiveKind.SETPOINT)
        asked_w = 0.0 if directive.kind is DirectiveKind.CURTAIL else float(directive.power_w or 0)
        return cls(asked_w, directive.kind is not DirectiveKind.SETPOINT)

    def fits_power(self, power_w: float) -> bool:
        """Whether a measured power is the effect. A car near full, or near its reserve, may take or give less."""
        if self.power_w is None:
            return power_w > TOLERANCE_W
        slack_w = max(TOLERANCE_W, TOLERANCE_SHARE * abs(self.power_w))
        if self.power_w < 0:
            return self.power_w - slack_w <= power_w < -TOLERANCE_W
        least_w = -slack_w if self.bound or self.power_w == 0 else TOLERANCE_W
        return least_w <= power_w <= self.power_w + slack_w

    def fits_state(self, state: ChargeState) -> bool:
        """Whether a charging state, where no power was told, is the effect. A full car obeys all but a discharge."""
        if self.power_w is not None and self.power_w < 0:
            return state is ChargeState.DISCHARGING
        charges = self.power_w is None or self.power_w > 0
        return state is ChargeState.COMPLETE or (state is ChargeState.CHARGING if charges else state in _IDLE)


def usable(reading: Reading[T] | None) -> T | None:
    """A reading's value unless it is missing, a sentinel or no number."""
    if reading is None or reading.validity is Validity.SENTINEL or _odd(reading.value):
        return None
    return reading.value


def _odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def newer(reading: Reading[T] | None, since: datetime) -> T | None:
    """A reading's value when it is valid and was observed after `since`; see `transport.sightings.newer`."""
    found = vendor_readings.newer(reading, since)
    return None if found is None else found.value


def power_seen_w(snapshot: Snapshot, since: datetime) -> float | None:
    """The power of an observation newer than `since`, from current and voltage where power is told coarsely."""
    told_w = newer(snapshot.power_w, since)
    amps, volts = newer(snapshot.current_a, since), newer(snapshot.voltage_v, since)
    phases = newer(snapshot.phases, since)
    if told_w is None or amps is None or volts is None or phases is None:
        return told_w
    exact_w = amps * volts * phases
    return math.copysign(exact_w, told_w) if abs(exact_w - abs(told_w)) <= COARSE_W / 2 else told_w


def shows_effect(effect: ExpectedEffect, snapshot: Snapshot, since: datetime) -> Proof | None:
    """An observation newer than `since` that shows the effect."""
    power, charge = snapshot.power_w, snapshot.charge_state
    power_w, state = power_seen_w(snapshot, since), newer(charge, since)
    if power is not None and power_w is not None and effect.fits_power(power_w):
        return Proof(f"power_w={power_w:.0f}", power.observed_at, power.source, power.source == METER)
    told = power_w is None or (state is ChargeState.COMPLETE and abs(power_w) <= TOLERANCE_W)
    if charge is not None and state is not None and told and effect.fits_state(state):
        # A state is no measurement, whoever tells it: it proves what a car does, not how much it draws.
        return Proof(f"charge_state={state}", charge.observed_at, charge.source)
    return None


def shows_contrary(effect: ExpectedEffect, snapshot: Snapshot, since: datetime) -> datetime | None:
    """When an observation newer than `since` showed the car doing something else."""
    power, power_w = snapshot.power_w, power_seen_w(snapshot, since)
    return None if power is None or power_w is None or effect.fits_power(power_w) else power.observed_at
