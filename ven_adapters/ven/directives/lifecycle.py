"""The life of one directive, as pure steps: what was sent, what came back, what the car was seen to do.

A step takes a held directive and a fact and returns the held directive that follows. IN_FORCE rests on telemetry that
the car observed after our send, or on the backend's word that the car was so already; certainty is never rounded up.
Knows nothing of transports, stores or clocks: every instant is an argument. Which step may follow which stands in
`lifecycle.transitions`, what a reading proves in `lifecycle.evidence`.
"""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.contract import (
    FINAL_STATES,
    METER,
    Ack,
    BackendError,
    Capability,
    Certainty,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Reading,
    Setting,
    Snapshot,
)
from ven_adapters.lifecycle import transitions
from ven_adapters.lifecycle.evidence import (
    ExpectedEffect,
    Proof,
    cable_back,
    cable_out,
    is_ahead,
    is_newer,
    newer_value,
    shows_contrary,
    shows_effect,
    usable,
)
from ven_adapters.lifecycle.transitions import Trigger, state_at_end

S = DirectiveState

# The rest of a window is not worth a command to a car (and start commands expire as well).
SEND_MARGIN = timedelta(seconds=60)
# How long past its end the backend is asked what became of a directive that an earlier life of this process sent.
READ_WITHIN = timedelta(minutes=15)
# So long a car may be seen to do otherwise before that counts as more than a moment.
CONTRARY_FOR = timedelta(seconds=300)
MAX_ATTEMPTS = 5
MAX_SENDS_AGAIN = 2
FIRST_RETRY_S = 15.0
LONGEST_RETRY_S = 300.0

# A driver who took over before we came is no mere refusal: nothing of this event is asked of the car again.
_VERDICTS: Mapping[ErrorCode, DirectiveState] = {ErrorCode.USER_OVERRIDE: S.OVERRIDDEN}

# Refusals that say: the car is already where we want it.
_ALREADY_SO = frozenset({ErrorCode.ALREADY_IN_STATE, ErrorCode.LIMIT_REACHED})


@dataclasses.dataclass(frozen=True, slots=True)
class DriverSettings:
    """What the driver had set before we acted, for the restore and for the proof of it."""

    limit_soc_pct: float | None = None
    limit_current_a: float | None = None
    charge_state: ChargeState | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SettingsLeft:
    """A car that we held and gave back: its driver's settings from before, and when it was given back."""

    before: DriverSettings
    at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class DirectiveRecord:
    """A directive and all that is known of it. `sent_at` is the instant before the newest send.

    `why`: the name of the `guardrails.Reason` that asked for it, `limited_by` that of the node of
    the grid whose limit did, `level_pct` the battery's level as it was then.
    `unread`: taken up from an earlier life, and its backend was not asked yet what became of it. `source`: of the
    observation in `evidence`. `ending_at`: when it was decided to cancel it.
    """

    directive: Directive
    zone: str = ""
    urgent: bool = False
    state: DirectiveState = S.REQUESTED
    certainty: Certainty = Certainty.NONE
    changed_at: datetime | None = None
    sent_at: datetime | None = None
    setting: Setting | None = None
    attempts: int = 0
    sends_again: int = 0
    retry_at: datetime | None = None
    in_doubt: bool = False
    confirmed_at: datetime | None = None
    contradicted_at: datetime | None = None
    unplugged_at: datetime | None = None
    evidence: str | None = None
    source: str | None = None
    error: ErrorCode | None = None
    before: DriverSettings | None = None
    confirmed_once: bool = False
    why: str = ""
    limited_by: str = ""
    level_pct: float | None = None
    action: str | None = None
    woken_at: datetime | None = None
    ending_at: datetime | None = None
    unread: bool = False

    @property
    def over_at(self) -> datetime:
        """When time by itself ends it: at its end, or when its backend has had time to say what became of it."""
        return self.directive.end + READ_WITHIN if self.unread else self.directive.end

    @property
    def final(self) -> bool:
        """Whether nothing can change any more."""
        return self.state in FINAL_STATES

    @property
    def ref(self) -> str:
        """The car."""
        return self.directive.vehicle_ref


def move(
    held: DirectiveRecord, to: DirectiveState, trigger: Trigger, now: datetime, **facts: object
) -> DirectiveRecord:
    """The next state; IllegalTransition for a step that the life cycle does not know."""
    state = transitions.move(held.state, to, trigger)
    return dataclasses.replace(held, state=state, changed_at=now, **facts)  # type: ignore[arg-type]


def settings_before(snapshot: Snapshot, left: SettingsLeft | None = None) -> DriverSettings:
    """How the driver has set a car that we do not hold.

    What a reading shows from a time when we held it (`left.at` or before), or by a clock that is ahead, may be our own
    doing: the driver's settings of then still count.
    """
    known = driver_settings(snapshot)
    if left is None:
        return known
    stale = {name: getattr(left.before, name) for name in _SETTINGS if not _since(getattr(snapshot, name), left.at)}
    return dataclasses.replace(known, **stale)


def _since(reading: Reading[Any] | None, at: datetime) -> bool:
    if reading is None or is_ahead(reading.observed_at, reading.received_at):
        return False
    return reading.observed_at > at


_SETTINGS = tuple(field.name for field in dataclasses.fields(DriverSettings))


def driver_settings(snapshot: Snapshot) -> DriverSettings:
    """What a reading shows of a driver's settings."""
    return DriverSettings(
        usable(snapshot.limit_soc_pct), usable(snapshot.limit_current_a), usable(snapshot.charge_state)
    )


def settings_since(snapshot: Snapshot, since: datetime) -> DriverSettings | None:
    """How a car is seen to be set after an instant; None until it was seen to charge or not to."""
    fresh = {name: newer_value(getattr(snapshot, name), since) for name in _SETTINGS}
    return None if fresh["charge_state"] is None else DriverSettings(**fresh)


def mark_sent(held: DirectiveRecord, now: datetime) -> DirectiveRecord:
    """About to be sent: from here on only newer observations count."""
    return dataclasses.replace(held, sent_at=now, attempts=held.attempts + 1, retry_at=None, changed_at=now)


def apply_ack(held: DirectiveRecord, ack: Ack, now: datetime, left_at: datetime | None = None) -> DirectiveRecord:
    """The backend took it, which says nothing of the car. `left_at`: when the call left, after it was written down."""
    if held.final or held.state is not S.REQUESTED:
        return dataclasses.replace(held, in_doubt=False)
    return move(
        held,
        S.ACCEPTED,
        Trigger.ACK,
        now,
        setting=ack.setting,
        action=ack.backend_action_id,
        certainty=Certainty.ACCEPTED,
        sent_at=left_at or held.sent_at,
        in_doubt=False,
        error=None,
        retry_at=None,
    )


def apply_refusal(
    held: DirectiveRecord, error: BackendError, now: datetime, chance: float, left_at: datetime | None = None
) -> DirectiveRecord:
    """The send failed. Retry what may be retried, doubt what may have happened, give up the rest.

    `chance` in [0, 1) spreads the retries (full jitter, above any wait that the backend names).
    """
    if held.state is not S.REQUESTED:
        return held
    held = dataclasses.replace(held, sent_at=left_at or held.sent_at)
    if error.code in _ALREADY_SO and not (error.code is ErrorCode.LIMIT_REACHED and _exports(held)):
        return _already_so(held, error, now)
    retry_at = _retry_at(held, error, now, chance)
    if error.may_have_happened or _conflicts(held, error):
        return dataclasses.replace(held, in_doubt=True, error=error.code, retry_at=retry_at, changed_at=now)
    if not error.retryable or held.attempts >= MAX_ATTEMPTS:
        verdict = S.FAILED if error.retryable else _VERDICTS.get(error.code, S.REJECTED)
        return move(held, verdict, Trigger.REFUSAL, now, error=error.code)
    if retry_at > held.directive.not_after:
        return move(held, S.EXPIRED, Trigger.REFUSAL, now, error=error.code)
    return dataclasses.replace(held, error=error.code, retry_at=retry_at, changed_at=now)


def _conflicts(held: DirectiveRecord, error: BackendError) -> bool:
    """A key that was sent before and is now called invalid may stand for the first send: read before giving up."""
    return error.code is ErrorCode.INVALID_REQUEST and 1 < held.attempts < MAX_ATTEMPTS


def should_wake(held: DirectiveRecord, capability: Capability) -> bool:
    """Whether a sleeping car may be woken for this: never twice, and only while it could still obey in time."""
    asleep = held.state is S.REQUESTED and held.error is ErrorCode.ASLEEP and held.woken_at is None
    in_time = held.retry_at is not None and held.retry_at <= held.directive.not_after
    return asleep and in_time and capability.wake_supported


def _exports(held: DirectiveRecord) -> bool:
    """A battery that reached its limit gives nothing, so that such a refusal proves no discharge."""
    return (held.directive.power_w or 0) < 0


def _already_so(held: DirectiveRecord, error: BackendError, now: datetime) -> DirectiveRecord:
    taken = move(held, S.ACCEPTED, Trigger.REFUSAL, now, certainty=Certainty.BACKEND_REPORTED)
    facts = {"evidence": error.code.value, "confirmed_at": now, "confirmed_once": True, "error": error.code}
    return move(taken, S.IN_FORCE, Trigger.REFUSAL, now, **facts)


def _retry_at(held: DirectiveRecord, error: BackendError, now: datetime, chance: float) -> datetime:
    back_off_s = chance * min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**held.attempts)
    return now + timedelta(seconds=(error.retry_after_s or 0.0) + back_off_s)


def keep_doubt(held: DirectiveRecord, error: BackendError, now: datetime, chance: float) -> DirectiveRecord:
    """The doubt could not be settled: ask again later."""
    return dataclasses.replace(held, retry_at=_retry_at(held, error, now, chance), changed_at=now)


def mark_never_arrived(held: DirectiveRecord, now: datetime) -> DirectiveRecord:
    """The backend does not know a directive that was in doubt: it may be sent again under its own key.

    One that it took before we were started anew, and knows no more, is left to what its car is seen to do.
    """
    if held.state is not S.REQUESTED:
        return dataclasses.replace(held, unread=False, retry_at=None, changed_at=now)
    if held.attempts >= MAX_ATTEMPTS:
        return move(held, S.FAILED, Trigger.REFUSAL, now, unread=False)
    return dataclasses.replace(held, in_doubt=False, unread=False, retry_at=now, changed_at=now)


def apply_status(held: DirectiveRecord, status: DirectiveStatus, now: datetime) -> DirectiveRecord:
    """The backend's own view. It settles a doubt and reports an override; its word alone puts nothing in force.

    A backend that says IN_FORCE raises the certainty to BACKEND_REPORTED and no further; what the car does, telemetry
    shows. Only a backend that reads a meter at the charging point itself says METERED, with the instant of that
    reading: one newer than send and start is proof.
    """
    if held.final:
        return held
    if held.unread:
        held = dataclasses.replace(held, unread=False, retry_at=None, changed_at=now)
    if held.in_doubt and status.state is not S.REQUESTED:
        held = move(held, S.ACCEPTED, Trigger.STATUS, now, certainty=Certainty.ACCEPTED, in_doubt=False)
    if held.state is not S.REQUESTED and status.state in _SHOWN_BY and status.certainty > held.certainty:
        held = _reported(held, status, now)
    if status.state in _TOLD:
        return move(held, _TOLD[status.state], Trigger.STATUS, now, error=status.error)
    return held


_SHOWN_BY = frozenset({S.IN_FORCE, S.RELEASED})


def _reported(held: DirectiveRecord, status: DirectiveStatus, now: datetime) -> DirectiveRecord:
    since = max(held.sent_at or held.directive.start, held.directive.start)
    metered = status.state is S.IN_FORCE and status.certainty is Certainty.METERED
    if metered and status.observed_at is not None and is_newer(status.observed_at, now, since):
        return _confirm(held, Proof("status=IN_FORCE", status.observed_at, METER, metered=True), Trigger.STATUS, now)
    reported = min(status.certainty, Certainty.BACKEND_REPORTED)
    return dataclasses.replace(held, certainty=max(held.certainty, reported), changed_at=now)


# How the backend's own verdicts end a directive that we still hold.
_TOLD: Mapping[DirectiveState, DirectiveState] = {
    S.OVERRIDDEN: S.OVERRIDDEN,
    S.FAILED: S.FAILED,
    S.EXPIRED: S.EXPIRED,
    S.REJECTED: S.FAILED,
    S.CANCELLED: S.CANCELLED,
    S.SUPERSEDED: S.SUPERSEDED,
}


def apply_telemetry(held: DirectiveRecord, snapshot: Snapshot, now: datetime) -> DirectiveRecord:
    """Telemetry came in: confirm, doubt or interrupt. Only observations newer than send and start are looked at."""
    if held.final or held.state is S.REQUESTED or held.sent_at is None:
        return held
    since = max(held.sent_at, held.directive.start)
    cable = cable_out(snapshot, since, held.unplugged_at)
    if cable is not None:
        held = dataclasses.replace(held, unplugged_at=cable.first_at)
        stays = held.state is S.INTERRUPTED or not cable.sure
        return held if stays else move(held, S.INTERRUPTED, Trigger.TELEMETRY, now, error=ErrorCode.NOT_PLUGGED)
    if held.unplugged_at is not None:
        if not cable_back(snapshot, held.unplugged_at):
            return held
        since = max(since, held.unplugged_at)
        held = dataclasses.replace(held, unplugged_at=None)
    effect = ExpectedEffect.of(held.directive, held.setting)
    proof = shows_effect(effect, snapshot, since)
    if proof is not None:
        return _confirm(held, proof, Trigger.TELEMETRY, now)
    if against := shows_contrary(effect, snapshot, since):
        return held if held.contradicted_at else dataclasses.replace(held, contradicted_at=against, changed_at=now)
    return held


def _confirm(held: DirectiveRecord, proof: Proof, trigger: Trigger, now: datetime) -> DirectiveRecord:
    """A meter at the charging point is the surest; whatever else the car was seen to do is an observation."""
    seen = Certainty.METERED if proof.metered else Certainty.VEHICLE_OBSERVED
    if seen < held.certainty and held.state is S.IN_FORCE:
        return held if held.contradicted_at is None else dataclasses.replace(held, contradicted_at=None)
    facts = {"confirmed_at": proof.observed_at, "evidence": proof.text, "source": proof.source}
    facts["certainty"] = max(held.certainty, seen)
    if held.state is S.IN_FORCE:
        return dataclasses.replace(held, contradicted_at=None, changed_at=now, **facts)  # type: ignore[arg-type]
    return move(held, S.IN_FORCE, trigger, now, contradicted_at=None, error=None, confirmed_once=True, **facts)


def apply_time(held: DirectiveRecord, now: datetime) -> DirectiveRecord:
    """Time went by: what never left by `not_after` has expired, and the end ends everything."""
    if held.final:
        return held
    directive = held.directive
    if held.state is S.REQUESTED and not held.in_doubt and now > directive.not_after:
        return move(held, S.EXPIRED, Trigger.TIME, now, error=held.error or ErrorCode.EXPIRED)
    if now < held.over_at:
        return held
    long_contrary = held.contradicted_at is not None and directive.end - held.contradicted_at >= CONTRARY_FOR
    contradicted = long_contrary and directive.kind in _BINDS
    to = state_at_end(held.state, was_in_force=held.confirmed_once, contradicted=contradicted)
    return move(held, to, Trigger.TIME, now)


_BINDS = frozenset({DirectiveKind.CURTAIL, DirectiveKind.CAP, DirectiveKind.SETPOINT})
