"""What a reading proves of a directive: newer than the send, by a clock that can be right, showing the effect. Pure.

One set of rules for the engine, the windows and OCPP. Two clocks stand on every reading: `observed_at` by the car, its
cloud or its station, `received_at` by our own. The power looked for is the one that the chosen rung of the fallback
ladder can achieve, because a 3.5 kW request that became a pause is in force when the car pauses.
"""

import dataclasses
import math
from datetime import datetime, timedelta
from typing import Self, TypeVar

from ven_adapters.contract import (
    METER,
    ChargeState,
    Directive,
    DirectiveKind,
    Known,
    Reading,
    Setting,
    Snapshot,
    Validity,
)

T = TypeVar("T")

# Clocks: two that are right differ by no more; what is ahead by more proves nothing, by much more it is no reading.
CLOCKS_AGREE = timedelta(seconds=60)
CLOCK_ERROR = timedelta(minutes=10)
OLDEST_BELIEVABLE_YEAR = 2000
# What comes later proves nothing: a clock of another time zone looks just so.
LATEST_NEWS = timedelta(minutes=55)
# A cable that was seen out once is out when it still is so much later.
UNPLUG_DEBOUNCE = timedelta(seconds=60)

TOLERANCE_W = 250.0
TOLERANCE_SHARE = 0.08
IDLE_W = 50.0
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


# --- clocks and newness -----------------------------------------------------------------------------------------------


def is_believable(observed_at: datetime, received_at: datetime) -> bool:
    """Whether an instant can be that of a reading at all: not before 2000, not more than ten minutes ahead."""
    return observed_at.year >= OLDEST_BELIEVABLE_YEAR and observed_at - received_at <= CLOCK_ERROR


def is_ahead(observed_at: datetime, received_at: datetime) -> bool:
    """Whether a clock ahead of ours gave this instant (field fault 26): it seems to answer what was not yet sent."""
    return observed_at - received_at > CLOCKS_AGREE


def is_newer(observed_at: datetime, received_at: datetime, since: datetime) -> bool:
    """Whether an observation was surely made after `since`, by a clock that can be right."""
    if is_ahead(observed_at, received_at) or received_at - observed_at > LATEST_NEWS:
        return False
    return observed_at > since


def newer(reading: Reading[T] | None, since: datetime) -> Reading[T] | None:
    """A reading that is valid, is a number where it should be one, and was observed after `since`; or None."""
    if reading is None or reading.validity is not Validity.OK or _odd(reading.value):
        return None
    return reading if is_newer(reading.observed_at, reading.received_at, since) else None


def newer_value(reading: Reading[T] | None, since: datetime) -> T | None:
    """The value of a reading that counts after `since`; see `newer`."""
    found = newer(reading, since)
    return None if found is None else found.value


def usable(reading: Reading[T] | None) -> T | None:
    """A reading's value, however old, unless it is missing, a sentinel or no number."""
    if reading is None or reading.validity is Validity.SENTINEL or _odd(reading.value):
        return None
    return reading.value


def _odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


# --- the cable --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class CableOut:
    """A sign that the cable is out: when it was first and last seen so, and whether that is sure."""

    first_at: datetime
    seen_at: datetime
    sure: bool


def cable_out(snapshot: Snapshot, since: datetime, first_out_at: datetime | None) -> CableOut | None:
    """What a reading newer than `since` says of a cable that may be out; `first_out_at`: when it was seen out before.

    A plug flag that falls once is a flicker (field fault 9). The cable is out when the charging state says so too, or
    when the flag is still down a minute later.
    """
    plugged = newer(snapshot.plugged, since)
    if plugged is None or plugged.value is not Known.NO:
        return None
    first_at = first_out_at or plugged.observed_at
    says_so_too = newer_value(snapshot.charge_state, since) is ChargeState.UNPLUGGED
    return CableOut(first_at, plugged.observed_at, says_so_too or plugged.observed_at - first_at >= UNPLUG_DEBOUNCE)


def cable_back(snapshot: Snapshot, out_at: datetime) -> bool:
    """Whether a car was seen plugged in after `out_at`; until then nothing else that it tells is an effect."""
    return newer_value(snapshot.plugged, out_at) is Known.YES


# --- the effect -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """One observation that shows the effect: what, when it was seen, who says so, and whether a meter took it."""

    text: str
    observed_at: datetime
    source: str = "backend"
    metered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectedEffect:
    """The power looked for in watts: None for any that charges, infinite for any but a discharge.

    A `bound` is kept by a car that draws nothing too.
    """

    power_w: float | None
    bound: bool = True

    @classmethod
    def of(cls, directive: Directive, setting: Setting | None) -> Self:
        """What a directive and its rung should make of a car."""
        if directive.kind is DirectiveKind.CHARGE:
            return cls(None)
        if directive.kind is DirectiveKind.RELEASE:
            return cls(math.inf)
        if setting is not None and setting.power_w is not None:
            return cls(float(setting.power_w), directive.kind is not DirectiveKind.SETPOINT)
        asked_w = 0.0 if directive.kind is DirectiveKind.CURTAIL else float(directive.power_w or 0)
        return cls(asked_w, directive.kind is not DirectiveKind.SETPOINT)

    def fits_power(self, power_w: float) -> bool:
        """Whether a measured power is the effect. A car near full, or near its reserve, may take or give less."""
        if self.power_w is None:
            return power_w > TOLERANCE_W
        if self.power_w < 0:
            return self.power_w - slack_w(self.power_w) <= power_w < -TOLERANCE_W
        least_w = -TOLERANCE_W if self.bound or self.power_w == 0 else TOLERANCE_W
        return least_w <= power_w <= self.power_w + slack_w(self.power_w)

    def opposes_power(self, power_w: float) -> bool:
        """Whether a measured power is something else. A car that should charge and draws a little is neither."""
        return not self.fits_power(power_w) and not (self.power_w is None and power_w > IDLE_W)

    def fits_state(self, state: ChargeState) -> bool:
        """Whether a charging state, where no power was told, is the effect. A full car obeys all but a discharge."""
        if self.power_w is not None and self.power_w < 0:
            return state is ChargeState.DISCHARGING
        if state is ChargeState.COMPLETE:
            return True
        if self.power_w == math.inf:
            return state is ChargeState.CHARGING or state in _IDLE
        charges = self.power_w is None or self.power_w > 0
        return state is ChargeState.CHARGING if charges else state in _IDLE


def slack_w(asked_w: float) -> float:
    """How far a measured power may be from the one asked for, in watts: 250 W or 8 %, whichever is more."""
    return max(TOLERANCE_W, TOLERANCE_SHARE * abs(asked_w))


def power_seen_w(snapshot: Snapshot, since: datetime) -> float | None:
    """The power of an observation newer than `since`, from current and voltage where power is told coarsely."""
    told_w = newer_value(snapshot.power_w, since)
    amps, volts = newer_value(snapshot.current_a, since), newer_value(snapshot.voltage_v, since)
    phases = newer_value(snapshot.phases, since)
    if told_w is None or amps is None or volts is None or phases is None:
        return told_w
    exact_w = amps * volts * phases
    return math.copysign(exact_w, told_w) if abs(exact_w - abs(told_w)) <= COARSE_W / 2 else told_w


def shows_effect(effect: ExpectedEffect, snapshot: Snapshot, since: datetime) -> Proof | None:
    """An observation newer than `since` that shows the effect."""
    power, charge = snapshot.power_w, snapshot.charge_state
    power_w, state = power_seen_w(snapshot, since), newer_value(charge, since)
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
    return power.observed_at if power is not None and power_w is not None and effect.opposes_power(power_w) else None
