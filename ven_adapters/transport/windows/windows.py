"""What a directive that we keep ourselves has come to, as values: judge a reading, and what the driver gets back.

Public automakers' interfaces take single commands, not windows; `window_keeper` keeps the window, and what it makes
of a reading is decided here. Only a reading that the car took after the send may say anything.
"""

import dataclasses
import enum
from datetime import datetime, timedelta
from typing import TypeVar

from ven_adapters.contract import (
    FINAL_STATES,
    Ack,
    Certainty,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    OnEnd,
    Reading,
    Rung,
    Setting,
    Snapshot,
    Validity,
)
from ven_adapters.lifecycle.evidence import (
    TOLERANCE_W,
    ExpectedEffect,
    cable_back,
    cable_out,
    newer,
    slack_w,
)

T = TypeVar("T")

# A car needs so long to obey; a reading from within it proves nothing against us.
OBEYS_WITHIN = timedelta(seconds=60)
# What a paused car is started again from; not to know errs towards a charged car.
RESTARTED = frozenset({ChargeState.CHARGING, ChargeState.UNKNOWN, None})
WAITED = frozenset({ChargeState.STOPPED, ChargeState.WAITING_SCHEDULE})
SWITCHES = frozenset({Rung.PAUSE, Rung.RESUME})
HOLDS = frozenset({DirectiveKind.CURTAIL, DirectiveKind.CAP, DirectiveKind.SETPOINT})
SAYS_NOTHING = frozenset({ChargeState.UNKNOWN, ChargeState.UNPLUGGED})


@dataclasses.dataclass(frozen=True, slots=True)
class KeptWindow:
    """One directive, what the car was told for it and when, and the car as its driver had left it.

    `sent_at` is set before a call leaves; `told` once it was answered; `sends` counts calls for this window;
    `unplugged_at` is a first sign that the cable is out, see `lifecycle.evidence.cable_out`; `ending` is the state
    that it gets as soon as the car has been given back; `owes` is what it was still to be told after a part was taken;
    `ends_by_itself`: the car, or its vendor, lets go at the end without us.
    """

    directive: Directive
    setting: Setting
    state: DirectiveState = DirectiveState.ACCEPTED
    certainty: Certainty = Certainty.ACCEPTED
    sent_at: datetime | None = None
    told: bool = False
    sends: int = 0
    action: str | None = None
    before: Snapshot | None = None
    been_in_force: bool = False
    unplugged_at: datetime | None = None
    ending: DirectiveState | None = None
    observed_at: datetime | None = None
    error: ErrorCode | None = None
    detail: str | None = None
    owes: tuple[Setting, ...] = ()
    ends_by_itself: bool = False

    @property
    def final(self) -> bool:
        """True when nothing more will happen."""
        return self.state in FINAL_STATES

    @property
    def off_its_plug(self) -> bool:
        """True when the cable was seen to come out."""
        return self.state is DirectiveState.INTERRUPTED and self.error is ErrorCode.NOT_PLUGGED

    def ack(self) -> Ack:
        """The answer to whoever submitted it."""
        return Ack(self.directive.directive_id, self.state, self.setting, self.action)

    def status(self) -> DirectiveStatus:
        """Where it stands."""
        named = self.directive
        return DirectiveStatus(
            named.directive_id, named.vehicle_ref, self.state, self.certainty, self.observed_at, self.error, self.detail
        )


class WindowVerdict(enum.Enum):
    """What one reading says of one window."""

    NOTHING = "nothing"
    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    MAYBE_UNPLUGGED = "maybe unplugged"
    UNPLUGGED = "unplugged"


def judge(window: KeptWindow, snapshot: Snapshot) -> tuple[WindowVerdict, datetime | None]:
    """What the reading says, and when the car saw it."""
    if window.sent_at is None:
        return WindowVerdict.NOTHING, None
    cable = cable_out(snapshot, window.sent_at, window.unplugged_at)
    if cable is not None:
        return (WindowVerdict.UNPLUGGED if cable.sure else WindowVerdict.MAYBE_UNPLUGGED), cable.seen_at
    if window.unplugged_at is not None and not cable_back(snapshot, window.unplugged_at):
        return WindowVerdict.NOTHING, None
    held, at = _held(window, snapshot, max(window.sent_at, window.unplugged_at or window.sent_at))
    if held is None or at is None:
        return WindowVerdict.NOTHING, None
    if held:
        return WindowVerdict.CONFIRMED, at
    return (WindowVerdict.CONTRADICTED if at - window.sent_at >= OBEYS_WITHIN else WindowVerdict.NOTHING), at


def _held(window: KeptWindow, snapshot: Snapshot, since: datetime) -> tuple[bool | None, datetime | None]:
    """Whether the car does as it was told, and since when that is known; power that flows wins over what is said."""
    setting, power = window.setting, newer(snapshot.power_w, since)
    if setting.rung is Rung.CURRENT:
        return _limited(setting, newer(snapshot.limit_current_a, since), power)
    if setting.rung is Rung.TARGET_LEVEL:
        target = newer(snapshot.limit_soc_pct, since)
        return (None, None) if target is None else (target.value == setting.limit_soc_pct, target.observed_at)
    charge = newer(snapshot.charge_state, since)
    if charge is None or charge.value in SAYS_NOTHING:
        return None, None
    if window.directive.kind is DirectiveKind.RELEASE:
        return True, charge.observed_at
    return _switched(setting, charge.value, None if power is None else power.value), charge.observed_at


def _limited(
    setting: Setting, limit: Reading[float] | None, power: Reading[float] | None
) -> tuple[bool | None, datetime | None]:
    if limit is None:
        return None, None
    asked_w = setting.power_w
    overdrawn = power is not None and asked_w is not None and power.value > asked_w + slack_w(asked_w)
    return limit.value == setting.current_a and not overdrawn, limit.observed_at


def _switched(setting: Setting, state: ChargeState, power_w: float | None) -> bool | None:
    """Whether a car is off, or on, as it was told; None when power and state together say neither."""
    effect = ExpectedEffect(0.0 if setting.rung is Rung.PAUSE else None)
    if setting.rung is Rung.PAUSE and state is ChargeState.FAULT:  # which says nothing of what flows
        return None if power_w is None else effect.fits_power(power_w)
    if not effect.fits_state(state):
        return False
    if power_w is None or effect.fits_power(power_w) or (state is ChargeState.COMPLETE and power_w <= TOLERANCE_W):
        return True
    return False if effect.opposes_power(power_w) else None


def restoration(window: KeptWindow) -> tuple[Setting, ...]:
    """What gives the car back to its driver as found; empty when there is nothing to give back."""
    replugged = window.off_its_plug  # a car that is plugged in again starts by itself
    owed = (one for one in window.owes if not (replugged and one.rung is Rung.RESUME))
    return (*_undone(window), *owed)


def dead_mans(window: KeptWindow, older: KeptWindow | None = None) -> tuple[Setting, ...]:
    """What gives a car back whose keeper has died; empty for a window that holds it in no way.

    Nothing in it holds a car: to stop one again that was found stopped can wait for the keeper. What `older` changed is
    in it too, for the command that takes it back may be the one that is never sent.
    """
    wanted = list(restoration(window) if window.directive.kind in HOLDS else window.owes)
    if older is not None:
        rungs = {one.rung for one in wanted}
        wanted += [one for one in restoration(older) if one.rung not in rungs]
    return tuple(one for one in wanted if one.rung is not Rung.PAUSE)


def _believed(reading: Reading[T] | None) -> Reading[T] | None:
    """A setting of the driver's that may be given back: 255 % was never one."""
    return None if reading is None or reading.validity is Validity.SENTINEL else reading


def _undone(window: KeptWindow) -> tuple[Setting, ...]:
    """What takes back the window's own setting."""
    before = window.before
    if window.directive.on_end is OnEnd.LEAVE or window.sent_at is None or before is None:
        return ()
    if window.directive.kind is DirectiveKind.RELEASE:
        return ()
    if window.setting.rung is Rung.CURRENT:
        limit = _believed(before.limit_current_a)
        return () if limit is None else (Setting(Rung.CURRENT, current_a=int(limit.value)),)
    if window.setting.rung is Rung.TARGET_LEVEL:
        target = _believed(before.limit_soc_pct)
        return () if target is None else (Setting(Rung.TARGET_LEVEL, limit_soc_pct=target.value),)
    was = None if before.charge_state is None else before.charge_state.value
    if window.setting.rung is Rung.PAUSE:
        # A car that is plugged in again starts by itself.
        return (Setting(Rung.RESUME),) if was in RESTARTED and not window.off_its_plug else ()
    return (Setting(Rung.PAUSE, 0),) if was in WAITED else ()


def steps(window: KeptWindow, older: KeptWindow | None) -> tuple[Setting, ...]:
    """What the car is told when `window` takes the place of `older`; nothing when it stands so already.

    What the older one changed and the newer does not is given back in the same turn, after the newer's own setting.
    """
    undo = () if older is None else restoration(older)
    if window.directive.kind is DirectiveKind.RELEASE:
        return undo
    if older is not None and older.been_in_force and older.setting == window.setting and not older.owes:
        return ()
    both_switch = window.setting.rung in SWITCHES
    kept = (one for one in undo if one.rung is not window.setting.rung and not (both_switch and one.rung in SWITCHES))
    return (window.setting, *kept)
