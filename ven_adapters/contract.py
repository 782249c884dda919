"""What an automaker's file implements, in the standard library alone: the one file its author reads.

A *directive* is a desired-state window: "from start to end this car's charging shall be X". A backend takes it, keeps
it true until its end, and never reports more certainty than it has. Powers are whole watts at the charging point,
+ from the grid, - to the grid. Every instant is UTC. A *snapshot* is one reading of a car; every value in it carries
the instant at which the car itself observed it, because only an observation newer than a send may confirm that send.

This module knows nothing of OpenADR, HTTP or storage.
"""

import dataclasses
import enum
import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

# The `source` of a reading that a meter at the charging point took: the only one that makes an effect METERED.
METER = "meter"

# Who asks for a reading younger than this wants a sleeping car woken, where its backend can; who asks for an older one
# takes its sleep for an answer (ASLEEP), so that readings by schedule cost no wakes and no battery.
WAKES_UP_TO_S = 60


@dataclasses.dataclass(frozen=True, slots=True)
class ReadingPrice:
    """What one reading costs, as an automaker's file may say in `READING_PRICE`: calls (at least 1), US dollars."""

    calls: int = 1
    usd: float = 0.0

    def __post_init__(self) -> None:
        if self.calls < 1 or not 0.0 <= self.usd < math.inf:
            raise ValueError(f"a reading takes at least one call and costs no less than nothing: {self}")


class DirectiveKind(enum.StrEnum):
    """What the window asks: pause; at most a power; prefer charging; a signed power; give control back."""

    CURTAIL = "CURTAIL"
    CAP = "CAP"
    CHARGE = "CHARGE"
    SETPOINT = "SETPOINT"
    RELEASE = "RELEASE"


class OnEnd(enum.StrEnum):
    """At the window's end: re-apply the driver's own settings as found, or leave the car as it is."""

    RESTORE = "RESTORE"
    LEAVE = "LEAVE"


class OnCommLoss(enum.StrEnum):
    """When the line goes dead: hand back to the driver's settings, or stop (the only choice for discharge)."""

    RELEASE = "RELEASE"
    STOP = "STOP"


class DirectiveState(enum.StrEnum):
    """Where a directive stands.

    IN_FORCE rests on an observation of the car, or of the meter at its charging point, newer than the send; or on a
    refusal that says that the car is so already (ALREADY_IN_STATE, LIMIT_REACHED), and then its certainty is
    BACKEND_REPORTED and no more.
    """

    REQUESTED = "REQUESTED"
    ACCEPTED = "ACCEPTED"
    IN_FORCE = "IN_FORCE"
    RELEASED = "RELEASED"
    OVERRIDDEN = "OVERRIDDEN"
    INTERRUPTED = "INTERRUPTED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    SUPERSEDED = "SUPERSEDED"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset(
    {
        DirectiveState.RELEASED,
        DirectiveState.OVERRIDDEN,
        DirectiveState.FAILED,
        DirectiveState.EXPIRED,
        DirectiveState.REJECTED,
        DirectiveState.SUPERSEDED,
        DirectiveState.CANCELLED,
    }
)


class Certainty(enum.IntEnum):
    """How a directive's effect is known; settlement quotes it and never rounds it up.

    What an automaker's cloud says of a directive is BACKEND_REPORTED at most; METERED takes a reading of a meter.
    """

    NONE = 0
    ACCEPTED = 1
    BACKEND_REPORTED = 2
    VEHICLE_OBSERVED = 3
    METERED = 4


class ChargeState(enum.StrEnum):
    """What the car is doing at its plug."""

    CHARGING = "CHARGING"
    PAUSED_BY_DIRECTIVE = "PAUSED_BY_DIRECTIVE"
    WAITING_SCHEDULE = "WAITING_SCHEDULE"
    STOPPED = "STOPPED"
    COMPLETE = "COMPLETE"
    NO_POWER = "NO_POWER"
    FAULT = "FAULT"
    DISCHARGING = "DISCHARGING"
    UNPLUGGED = "UNPLUGGED"
    UNKNOWN = "UNKNOWN"


class Known(enum.StrEnum):
    """A yes or no that a car may not have told us."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Reachability(enum.StrEnum):
    """Whether the automaker's cloud can talk to the car."""

    ONLINE = "ONLINE"
    ASLEEP = "ASLEEP"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class Validity(enum.StrEnum):
    """Whether a reading may be used: 255 % charge or a date in 1970 is a SENTINEL, not a value."""

    OK = "OK"
    STALE = "STALE"
    SENTINEL = "SENTINEL"


class Rung(enum.StrEnum):
    """The rung of the fallback ladder on which a backend holds a directive, best first."""

    POWER = "POWER"
    CURRENT = "CURRENT"
    PAUSE = "PAUSE"
    TARGET_LEVEL = "TARGET_LEVEL"
    SCHEDULE = "SCHEDULE"
    RESUME = "RESUME"


class ErrorCode(enum.StrEnum):
    """Why a backend did not, or cannot yet, do as asked."""

    INVALID_REQUEST = "INVALID_REQUEST"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    NOT_PERMITTED = "NOT_PERMITTED"
    CONSENT_REVOKED = "CONSENT_REVOKED"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    SUBSCRIPTION_LAPSED = "SUBSCRIPTION_LAPSED"
    NOT_PLUGGED = "NOT_PLUGGED"
    ASLEEP = "ASLEEP"
    UNREACHABLE = "UNREACHABLE"
    NOT_AT_SITE = "NOT_AT_SITE"
    NO_POWER = "NO_POWER"
    LIMIT_REACHED = "LIMIT_REACHED"
    ALREADY_IN_STATE = "ALREADY_IN_STATE"
    SCHEDULE_CONFLICT = "SCHEDULE_CONFLICT"
    USER_OVERRIDE = "USER_OVERRIDE"
    THIRD_PARTY_INTERFERENCE = "THIRD_PARTY_INTERFERENCE"
    RATE_LIMITED = "RATE_LIMITED"
    QUOTA_EXHAUSTED = "QUOTA_EXHAUSTED"
    BACKEND_TRANSIENT = "BACKEND_TRANSIENT"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    REJECTED_BY_VEHICLE = "REJECTED_BY_VEHICLE"
    STALE_TELEMETRY = "STALE_TELEMETRY"
    EXPIRED = "EXPIRED"


RETRYABLE = frozenset(
    {
        ErrorCode.ASLEEP,
        ErrorCode.UNREACHABLE,
        ErrorCode.NO_POWER,
        ErrorCode.RATE_LIMITED,
        ErrorCode.BACKEND_TRANSIENT,
    }
)
MAY_HAVE_HAPPENED = frozenset({ErrorCode.UNREACHABLE, ErrorCode.OUTCOME_UNKNOWN})


class BackendError(Exception):
    """A refusal or failure in the contract's own words; `retryable` and `may_have_happened` follow from the code."""

    def __init__(self, code: ErrorCode, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """True when the same call may be sent again."""
        return self.code in RETRYABLE

    @property
    def may_have_happened(self) -> bool:
        """True when the car may have obeyed although the answer was lost: read before any retry."""
        return self.code in MAY_HAVE_HAPPENED


@dataclasses.dataclass(frozen=True, slots=True)
class VehicleRef:
    """A car as its automaker's backend names it to us: a pseudonym, never a VIN."""

    ref: str


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """The event interval that a directive serves, for audit and for ranking conflicts (0 is the highest priority)."""

    program_id: str
    event_id: str
    interval_id: int
    priority: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Directive:
    """From `start` to `end` (half open) this car's charging shall be as `kind` and `power_w` say.

    The mobility constraints (`reserve_soc_pct`, `target_soc_pct`, `ready_by`) win over the directive. `key` is the
    idempotency key: the same key and body is the same directive, the same key with another body is a conflict.
    """

    directive_id: str
    key: str
    vehicle_ref: str
    kind: DirectiveKind
    start: datetime
    end: datetime
    not_after: datetime
    power_w: int | None = None
    revision: int = 0
    supersedes: str | None = None
    site_id: str | None = None
    reserve_soc_pct: float | None = None
    target_soc_pct: float | None = None
    ready_by: datetime | None = None
    max_energy_wh: int | None = None
    on_end: OnEnd = OnEnd.RESTORE
    on_comm_loss: OnCommLoss = OnCommLoss.RELEASE
    min_dwell_s: int = 300
    origin: Origin | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """What a car is really told, after the fallback ladder: the rung, and the power it can be expected to draw."""

    rung: Rung
    power_w: int | None = None
    current_a: int | None = None
    limit_soc_pct: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ack:
    """A backend took the call. It says nothing about the car."""

    directive_id: str
    state: DirectiveState
    setting: Setting | None = None
    backend_action_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DirectiveStatus:
    """A backend's own view of a directive."""

    directive_id: str
    vehicle_ref: str
    state: DirectiveState
    certainty: Certainty
    observed_at: datetime | None = None
    error: ErrorCode | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One value and its two clocks: when the car saw it, when we heard of it."""

    value: T
    observed_at: datetime
    received_at: datetime
    source: str = "backend"
    validity: Validity = Validity.OK

    @property
    def seen_at(self) -> datetime:
        """The instant by which readings are ordered and aged: what the car says, and no later than we heard of it.

        So a car whose clock runs ahead keeps out nothing that it says once its clock is right.
        """
        return min(self.observed_at, self.received_at)


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of a car, units fixed: percent 0..100, watts (+ into the car), watt-hours, seconds.

    `der_alarm`: whether an alarm of the inverter that feeds the grid stands, in the car or at its charging point. While
    one stands nothing is discharged.
    """

    vehicle_ref: str
    soc_pct: Reading[float] | None = None
    plugged: Reading[Known] | None = None
    at_site: Reading[Known] | None = None
    charge_state: Reading[ChargeState] | None = None
    power_w: Reading[float] | None = None
    current_a: Reading[float] | None = None
    voltage_v: Reading[float] | None = None
    phases: Reading[int] | None = None
    limit_soc_pct: Reading[float] | None = None
    limit_current_a: Reading[float] | None = None
    energy_added_wh: Reading[float] | None = None
    energy_exported_wh: Reading[float] | None = None
    time_to_complete_s: Reading[float] | None = None
    reachability: Reading[Reachability] | None = None
    der_alarm: Reading[Known] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LimitSocControl:
    """The charge-level targets a car takes, in percent: a range with a step, or a list of choices.

    Below `applies_from_pct` a lower target cannot pause the car.
    """

    min_pct: float
    max_pct: float
    step_pct: float
    applies_from_pct: float = 0.0
    choices_pct: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class CurrentControl:
    """The charging currents a car takes, in amperes per phase: a range with a step, or a list of choices."""

    min_a: int
    max_a: int
    step_a: int = 1
    choices_a: tuple[int, ...] = ()
    resets_on_replug: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleControl:
    """Charging windows kept by the car itself: `whole_hours` cars only take HH:00 in local time."""

    whole_hours: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class DischargeControl:
    """Discharge through the charging point or the car; watts, the maximum a positive magnitude."""

    via: str
    max_discharge_w: int
    min_discharge_w: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Capability:
    """What one car can be asked to do, discovered from its backend and never assumed from its badge."""

    model: str
    usable_wh: int
    max_charge_w: int
    phases: int = 1
    voltage_v: int = 240
    can_start: bool = True
    can_stop: bool = True
    can_resume_after_stop: bool = True
    can_set_power: bool = False
    limit_soc: LimitSocControl | None = None
    current: CurrentControl | None = None
    schedule: ScheduleControl | None = None
    discharge: DischargeControl | None = None
    wake_supported: bool = True
    latency_typical_s: float = 20.0
    latency_p99_s: float = 180.0
    telemetry_floor_s: int = 60


class DriverChoice(enum.StrEnum):
    """What a driver told the automaker's app."""

    OPT_OUT = "OPT_OUT"
    OPT_IN = "OPT_IN"
    BOOST = "BOOST"
    CONSENT_WITHDRAWN = "CONSENT_WITHDRAWN"


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotsSeen:
    """The backend pushes fresh readings."""

    snapshots: tuple[Snapshot, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class DirectivesChanged:
    """The backend pushes its view of directives."""

    statuses: tuple[DirectiveStatus, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class DriverChose:
    """A driver decided; `until` ends an opt-out or boost, None means until further notice."""

    vehicle_ref: str
    choice: DriverChoice
    at: datetime
    until: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WriteDown:
    """Drivers' choices came, and their push is not answered yet: it is once the next event is asked for.

    So whoever asks for it has written down what came before, and no choice that was acknowledged is forgotten.
    """


BackendEvent = SnapshotsSeen | DirectivesChanged | DriverChose | WriteDown


@runtime_checkable
class VehicleBackend(Protocol):
    """The port: six calls that an automaker can implement against its own bus in a week.

    Guarantees: `submit` with a key it has seen returns the first result; nothing is executed after `not_after`;
    OUTCOME_UNKNOWN is a legal answer and success is never invented; the backend enforces reserve and warranty limits
    of its own and may answer NOT_PERMITTED. Every method raises `BackendError` and nothing else.

    A backend whose calls rest on what it keeps on its own machine (a journal, open lines to cars) says so by an
    attribute `works_alone = True`: of several executors only one then works, and the others stand by.
    """

    def vehicles(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car of this backend."""

    async def capabilities(self, ref: str) -> Capability:
        """What the car can do."""

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """The newest reading, refreshed from the car when older than `max_age_s` and the car is awake.

        ASLEEP when it is older and the car sleeps; see `WAKES_UP_TO_S`.
        """

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """Take a directive; idempotent on `directive.key`."""

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """End a directive now, as a RELEASE would."""

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """The backend's own view of a directive."""

    def events(self) -> AsyncIterator[BackendEvent]:
        """Readings, directive changes and drivers' choices as the backend pushes them; see `WriteDown`."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class SetupFault:
    """What has to be set up outside before a car can be commanded, or its readings be had.

    `sentence` goes on after the car's name, names no car, and says what to do next. `vehicle_ref` None: every car.
    """

    vehicle_ref: str | None
    sentence: str
    takes_no_command: bool = False


@runtime_checkable
class ChecksSetup(Protocol):
    """A `VehicleBackend` that can say what is missing at its automaker's: one method more."""

    async def setup_faults(self) -> Sequence[SetupFault]:
        """Everything that is missing now, looked at no oftener than it is worth a call; never raises."""
