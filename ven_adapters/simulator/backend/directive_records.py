"""Directives as a backend keeps them: one record each, found by id, by key and by car."""

import dataclasses
from datetime import datetime

from ven_adapters.contract import (
    FINAL_STATES,
    Ack,
    BackendError,
    Certainty,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
)
from ven_adapters.transport.http.codec import Order


class KeyConflict(BackendError):
    """The same key or id with another body; told as 409."""


@dataclasses.dataclass(slots=True)
class SimulatedDirective:
    """One accepted directive: what was asked, where it stands, and when it begins and ends for the car (seconds)."""

    order: Order
    body: bytes
    car: int
    begins_s: float
    ends_s: float
    state: DirectiveState = DirectiveState.ACCEPTED
    began: bool = False
    observed_s: float | None = None
    error: ErrorCode | None = None
    detail: str | None = None

    @property
    def final(self) -> bool:
        """True when nothing can change any more."""
        return self.state in FINAL_STATES

    def ack(self) -> Ack:
        """The answer to whoever sent it."""
        directive = self.order.directive
        return Ack(directive.directive_id, self.state, self.order.setting, f"act-{directive.directive_id}")


class SimulatedDirectives:
    """Every directive accepted so far; a car's oldest go once they are final and `kept` newer ones exist."""

    def __init__(self, cars: int, kept: int = 64) -> None:
        self._by_id: dict[str, SimulatedDirective] = {}
        self._by_key: dict[str, SimulatedDirective] = {}
        self._by_car: list[list[SimulatedDirective]] = [[] for _ in range(cars)]
        self._kept = kept

    def seen(self, order: Order, body: bytes) -> SimulatedDirective | None:
        """The record of this key and body; Conflict when the key or the id stands for something else."""
        found = self._by_key.get(order.directive.key)
        if found is None:
            if order.directive.directive_id in self._by_id:
                raise KeyConflict(ErrorCode.INVALID_REQUEST, "directive_id: is taken by a directive with another key")
            return None
        if found.body != body:
            raise KeyConflict(ErrorCode.INVALID_REQUEST, "key: was used with another body")
        return found

    def get(self, car: int, directive_id: str) -> SimulatedDirective:
        """The record of one car's directive; INVALID_REQUEST when there is none."""
        record = self._by_id.get(directive_id)
        if record is None or record.car != car:
            raise BackendError(ErrorCode.INVALID_REQUEST, "directive_id: is not known for this car")
        return record

    def add(self, record: SimulatedDirective) -> None:
        """Keep a new record."""
        mine = self._by_car[record.car]
        if len(mine) >= self._kept and mine[0].final:
            oldest = mine.pop(0).order.directive
            self._by_id.pop(oldest.directive_id, None)
            self._by_key.pop(oldest.key, None)
        mine.append(record)
        self._by_id[record.order.directive.directive_id] = record
        self._by_key[record.order.directive.key] = record

    def pending(self, car: int) -> list[SimulatedDirective]:
        """A car's directives that are accepted and not yet begun."""
        return [record for record in self._by_car[car] if record.state is DirectiveState.ACCEPTED]


def status_of(record: SimulatedDirective, observed_at: datetime | None) -> DirectiveStatus:
    """The backend's view: what the car has told it is BACKEND_REPORTED, all else no more than ACCEPTED."""
    return DirectiveStatus(
        record.order.directive.directive_id,
        record.order.directive.vehicle_ref,
        record.state,
        Certainty.BACKEND_REPORTED if record.began else Certainty.ACCEPTED,
        observed_at,
        record.error,
        record.detail,
    )
