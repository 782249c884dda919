"""What travels: a command for one car, the record of what became of it, a question; all as bounded JSON. No I/O.

Subjects carry a hash of the car's pseudonym, never the pseudonym; nothing here holds a VIN, a place or a token.
"""

import dataclasses
import enum
import hashlib
import re
from datetime import datetime, timedelta
from typing import TypeVar

from ven_adapters.contract import (
    Ack,
    BackendError,
    Capability,
    Directive,
    DirectiveStatus,
    ErrorCode,
    Snapshot,
    VehicleRef,
)
from ven_adapters.transport.http.codec import dumps, load, loads

T = TypeVar("T")
LARGEST_BYTES = 65_536
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CallKind(enum.StrEnum):
    """What an executor does for a car."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    STATUS = "STATUS"


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One call for one car. `answer_to` is the planner's own subject; a submit brings all that the call needs."""

    id: str
    act: CallKind
    vehicle_ref: str
    directive_id: str
    answer_to: str
    directive: Directive | None = None
    capability: Capability | None = None
    snapshot: Snapshot | None = None

    @property
    def not_after(self) -> datetime | None:
        """The last instant at which the call may be made."""
        return self.directive.not_after if self.directive is not None else None


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingPlanner:
    """Of a command that cannot be carried out as it stands: who waits for word of it."""

    id: str
    answer_to: str


@dataclasses.dataclass(frozen=True, slots=True)
class CallRefusal:
    """A `BackendError`, as it travels."""

    code: ErrorCode
    detail: str
    retry_after_s: float | None = None

    def error(self) -> BackendError:
        """The error to raise."""
        return BackendError(self.code, self.detail, retry_after_s=self.retry_after_s)


@dataclasses.dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended: exactly one of the three."""

    ack: Ack | None = None
    status: DirectiveStatus | None = None
    refusal: CallRefusal | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class CommandRecord:
    """What became of a car's newest command, the `of`-th message of the stream: begun, or done with its outcome.

    Begun, it is `executor`'s for `lease_s` from the instant at which the server stored it.
    """

    command: str
    of: int
    executor: str
    lease_s: float
    outcome: CallOutcome | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the server holds it: its place in the stream and when it was stored."""

    record: CommandRecord
    mark: int
    at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class CarQuestion:
    """A read that touches no directive; without `vehicle_ref` it asks which cars there are, from `after` on."""

    vehicle_ref: str | None = None
    snapshot: bool = False
    max_age_s: int | None = None
    after: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class CarReply:
    """What a question got: one of these; `more` says that the list of cars goes on."""

    capability: Capability | None = None
    snapshot: Snapshot | None = None
    vehicles: tuple[VehicleRef, ...] = ()
    more: bool = False
    refusal: CallRefusal | None = None


class Next(enum.Enum):
    """What to do with a command, given the car's record."""

    CARRY_OUT = "nobody is busy with the car"
    WAIT = "an executor is busy with the car"
    TAKE_OVER = "the executor that was busy with the car is gone"
    DROP = "a newer command has had its turn"
    REPEAT = "it is done; say so again"


def next_for(seq: int, kept: StoredRecord | None, now: datetime | None = None) -> Next:
    """What to do with the `seq`-th message; `now` is the server's own time, None asks as if the lease still ran."""
    if kept is None:
        return Next.CARRY_OUT
    if kept.record.of > seq:
        return Next.DROP
    if kept.record.outcome is not None:
        return Next.REPEAT if kept.record.of == seq else Next.CARRY_OUT
    over = now is not None and now >= kept.at + timedelta(seconds=kept.record.lease_s)
    return Next.TAKE_OVER if over else Next.WAIT


@dataclasses.dataclass(frozen=True, slots=True)
class QueueNames:
    """Streams and subjects of one automaker."""

    prefix: str
    oem: str

    @property
    def stream(self) -> str:
        """Holds commands and records."""
        return f"{token(self.prefix)}_{token(self.oem)}"

    @property
    def facts_stream(self) -> str:
        """Holds what the backend pushed."""
        return f"{self.stream}_FACTS"

    def command(self, car: str) -> str:
        """A car's one place; `*` for all cars."""
        return f"{self._root}.do.{car}"

    def record(self, car: str) -> str:
        """A car's record; `*` for all cars."""
        return f"{self._root}.was.{car}"

    def answers(self, planner: str) -> str:
        """Where one planner hears outcomes; `*` for all planners."""
        return f"{self._root}.answers.{planner}"

    @property
    def questions(self) -> str:
        """Where executors hear questions."""
        return f"{self._root}.ask"

    @property
    def facts(self) -> str:
        """Where what the backend pushed goes."""
        return f"{self._root}.facts"

    @property
    def _root(self) -> str:
        return f"{token(self.prefix).lower()}.{token(self.oem)}"


def token(text: str) -> str:
    """A text as one plain token of a subject; what is not plain is hashed."""
    return text if _PLAIN.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()[:32]


def place(vehicle_ref: str) -> str:
    """A car's token in subjects: half of the SHA-256 of its pseudonym."""
    return hashlib.sha256(vehicle_ref.encode()).hexdigest()[:32]


def write(message: Command | CommandRecord | CarQuestion | CarReply) -> bytes:
    """A message as bytes; INVALID_REQUEST when it is larger than any honest one."""
    body = dumps(message)
    if len(body) > LARGEST_BYTES:
        raise BackendError(ErrorCode.INVALID_REQUEST, f"message: has {len(body)} bytes, at most {LARGEST_BYTES}")
    return body


def read(of: type[T], body: bytes, now: datetime) -> T:
    """A message from bytes; INVALID_REQUEST names what is wrong with it."""
    if len(body) > LARGEST_BYTES:
        raise BackendError(ErrorCode.INVALID_REQUEST, f"message: has {len(body)} bytes, at most {LARGEST_BYTES}")
    return load(of, loads(body), received_at=now)


def read_command(body: bytes, now: datetime) -> Command:
    """A command from bytes, whole; INVALID_REQUEST when it is not."""
    command = read(Command, body, now)
    parts = (command.directive, command.capability, command.snapshot)
    if command.act is CallKind.SUBMIT and None in parts:
        raise BackendError(ErrorCode.INVALID_REQUEST, "directive, capability, snapshot: are required to submit")
    directive = command.directive
    if directive is not None and (directive.vehicle_ref, directive.directive_id) != (
        command.vehicle_ref,
        command.directive_id,
    ):
        raise BackendError(ErrorCode.INVALID_REQUEST, "directive: is another one than the command names")
    return command
