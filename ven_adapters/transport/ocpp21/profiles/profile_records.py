"""Directives as the central system keeps them: one record each, found by id, by key and by car, and how they go on.

IN_FORCE rests on a meter value observed after sending and after the start, and on nothing else; it is METERED, or
VEHICLE_OBSERVED where the power is our own sum of currents and voltages. A cut line or a pulled cable interrupts, and
what was observed during the absence proves nothing of now. The end releases what was in force and expires what never
was. Knows no sockets.
"""

import collections
import dataclasses
from datetime import datetime, timedelta

from ven_adapters.contract import (
    FINAL_STATES,
    Ack,
    BackendError,
    Certainty,
    Directive,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Reading,
    Setting,
)
from ven_adapters.lifecycle import transitions
from ven_adapters.lifecycle.evidence import ExpectedEffect, newer, slack_w
from ven_adapters.lifecycle.transitions import Trigger, state_at_end
from ven_adapters.transport.ocpp21.profiles.charging_profiles import profile_id
from ven_adapters.transport.ocpp21.stations.charging_points import SOURCE, CarNeeds, ChargingPoint, Station
from ven_adapters.transport.windows.journal import Journal

KEPT_PER_CAR = 64
CLEARED_WITHIN = timedelta(hours=1)

S = DirectiveState


@dataclasses.dataclass(slots=True)
class ProfileRecord:
    """One directive: `in_doubt` while nobody knows whether the station took it, `to_clear` while its profile may stand.

    `needs` is what the car had said of itself by then, for it says it once in a session.
    A directive that only gives the car back has no profile: it is never `to_clear`.
    """

    directive: Directive
    setting: Setting
    transaction: str
    level: int
    sent_at: datetime
    state: DirectiveState = S.REQUESTED
    in_doubt: bool = True
    to_clear: bool = True
    clearing: bool = False
    certainty: Certainty = Certainty.NONE
    observed_at: datetime | None = None
    error: ErrorCode | None = None
    detail: str | None = None
    needs: CarNeeds | None = None

    @property
    def final(self) -> bool:
        """True when nothing can change any more."""
        return self.state in FINAL_STATES

    def lingers(self, now: datetime) -> bool:
        """True when it is over and its profile may still stand."""
        return self.final and self.to_clear and not self.clearing and now < self.directive.end + CLEARED_WITHIN

    @property
    def gives(self) -> bool:
        """True for a discharge."""
        return (self.setting.power_w or 0) < 0

    def ack(self) -> Ack:
        """The answer to whoever sent it."""
        number = str(profile_id(self.directive.directive_id))
        return Ack(self.directive.directive_id, self.state, self.setting, number)

    def status(self, note: str | None = None) -> DirectiveStatus:
        """Where it stands, with no more certainty than there is; `note` is said where there is no other detail."""
        ids = (self.directive.directive_id, self.directive.vehicle_ref)
        detail = note if self.detail is None and not self.final else self.detail
        return DirectiveStatus(*ids, self.state, self.certainty, self.observed_at, self.error, detail)

    def move(
        self, state: DirectiveState, trigger: Trigger, error: ErrorCode | None = None, detail: str | None = None
    ) -> None:
        """Go on to a state, or stay in it for what is newly known; IllegalTransition for one that may not follow."""
        if state is not self.state:
            transitions.move(self.state, state, trigger)
        self.state, self.error, self.detail = state, error, detail
        self.in_doubt = False
        if state is S.ACCEPTED:
            self.certainty = max(self.certainty, Certainty.ACCEPTED)


class ProfileRecords:
    """Every directive that was sent, per car; a car's oldest final ones go. What is not final is on disk, too."""

    def __init__(self, journal: Journal[ProfileRecord]) -> None:
        self._by_car: collections.defaultdict[str, list[ProfileRecord]] = collections.defaultdict(list)
        self._journal = journal

    def open(self, now: datetime) -> list[ProfileRecord]:
        """Take up what an earlier life left; whether a station still holds a profile is in doubt until it was read."""
        found = list(self._journal.open(now).values())
        for record in found:
            record.clearing = False
            record.in_doubt = record.to_clear and not record.final
            self._by_car[record.directive.vehicle_ref].append(record)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()

    def note(self, record: ProfileRecord) -> None:
        """Write down how a record stands."""
        self._journal.follow(record)
        if record.final:
            self._journal.shorten([one for mine in self._by_car.values() for one in mine])

    def of(self, ref: str) -> tuple[ProfileRecord, ...]:
        """A car's records, oldest first."""
        return tuple(self._by_car[ref])

    def live(self, ref: str) -> tuple[ProfileRecord, ...]:
        """A car's records that are not final, oldest first."""
        return tuple(record for record in self._by_car[ref] if not record.final)

    def get(self, ref: str, directive_id: str) -> ProfileRecord | None:
        """One car's directive."""
        return next((one for one in self._by_car[ref] if one.directive.directive_id == directive_id), None)

    def seen(self, directive: Directive) -> ProfileRecord | None:
        """The record of this key and body; INVALID_REQUEST when key or id stand for something else."""
        for record in self._by_car[directive.vehicle_ref]:
            if record.directive == directive:
                return record
            if record.directive.key == directive.key:
                raise BackendError(ErrorCode.INVALID_REQUEST, "key: was used with another body")
            if record.directive.directive_id == directive.directive_id:
                raise BackendError(ErrorCode.INVALID_REQUEST, "directive_id: is taken by a directive with another key")
        return None

    def add(self, record: ProfileRecord) -> None:
        """Keep a new record."""
        mine = self._by_car[record.directive.vehicle_ref]
        mine.append(record)
        self._journal.note(record)
        finals = [one for one in mine if one.final]
        for one in finals[: max(0, len(mine) - KEPT_PER_CAR)]:
            mine.remove(one)

    def drop(self, record: ProfileRecord) -> None:
        """Forget a record of which the station knows nothing."""
        self._by_car[record.directive.vehicle_ref].remove(record)
        self._journal.forget(record.directive.directive_id)


def advance(record: ProfileRecord, point: ChargingPoint, station: Station, now: datetime) -> bool:
    """Let what is known have its effect on a record; True when its state or its proof changed."""
    before = (record.state, record.certainty, record.error)
    if record.final or (record.in_doubt and now < record.directive.end):
        return False
    _step(record, point, station, now)
    return before != (record.state, record.certainty, record.error)


def _step(record: ProfileRecord, point: ChargingPoint, station: Station, now: datetime) -> None:
    if now >= record.directive.end:
        was_in_force = record.certainty >= Certainty.VEHICLE_OBSERVED
        ended = state_at_end(record.state, was_in_force=was_in_force)
        why = (record.error, record.detail) if ended is S.FAILED else (None, None)
        record.move(ended, Trigger.TIME, *why)
        # A profile ends by its station's clock, which may be behind: a discharge is taken away all the same.
        record.to_clear = record.to_clear and (record.gives or station.clock_offset_s != 0.0)
    elif point.transaction != record.transaction:
        _transaction_over(record, point)
    elif not station.connected:
        if now >= record.directive.start:
            record.move(S.INTERRUPTED, Trigger.LINE, ErrorCode.UNREACHABLE, "the station is offline")
    elif record.gives and station.controls and _curtailed(record, point, station):
        record.move(S.INTERRUPTED, Trigger.TELEMETRY, ErrorCode.NOT_PERMITTED, "a DER control holds the discharge back")
    elif (proof := _obeyed(record, point, station)) is not None:
        record.move(S.IN_FORCE, Trigger.TELEMETRY)
        seen = Certainty.METERED if proof.source == SOURCE else Certainty.VEHICLE_OBSERVED
        record.certainty, record.observed_at = max(record.certainty, seen), proof.observed_at


def _transaction_over(record: ProfileRecord, point: ChargingPoint) -> None:
    """A profile dies with its transaction: the next one needs a new directive."""
    record.to_clear = False
    if point.transaction is None:
        record.move(S.INTERRUPTED, Trigger.TELEMETRY, ErrorCode.NOT_PLUGGED, "the transaction ended")
    else:
        record.move(S.FAILED, Trigger.TELEMETRY, ErrorCode.NOT_PLUGGED, "the profile ended with its transaction")


def _curtailed(record: ProfileRecord, point: ChargingPoint, station: Station) -> bool:
    """Whether a discharge that is due gives less than it was told to."""
    power, asked_w = newer(point.snapshot.power_w, _since(record, station)), float(record.setting.power_w or 0)
    return power is not None and power.value > asked_w + slack_w(asked_w)


def _since(record: ProfileRecord, station: Station) -> datetime:
    """What was observed until then proves nothing: its sending, its start, and the line's beginning."""
    return max(record.sent_at, record.directive.start, station.connected_at or record.sent_at)


def _obeyed(record: ProfileRecord, point: ChargingPoint, station: Station) -> Reading[float] | None:
    """The reading that showed the power asked for, after sending and start, and while there was a line."""
    power = newer(point.snapshot.power_w, _since(record, station))
    fits = power is not None and ExpectedEffect.of(record.directive, record.setting).fits_power(power.value)
    return power if fits else None
