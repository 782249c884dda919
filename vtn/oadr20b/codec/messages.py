"""The messages of OpenADR 2.0b as values. Identifiers are text as they came: `0042`, `1.2.3` and `true` stay so.

Names are those of the profile's schema. Durations are timedeltas and instants are UTC. An event without an end has
`duration` zero. Numbers are floats in the unit that the message's own item names.
"""

import dataclasses
import enum
from datetime import datetime, timedelta

ZERO = timedelta(0)


class Code(enum.IntEnum):
    """Response codes of the profile."""

    OK = 200
    OUT_OF_SEQUENCE = 450
    NOT_ALLOWED = 451
    INVALID_ID = 452
    NOT_RECOGNIZED = 453
    INVALID_DATA = 454
    COMPLIANCE_ERROR = 459
    SIGNAL_NOT_SUPPORTED = 460
    REPORT_NOT_SUPPORTED = 461
    TARGET_MISMATCH = 462
    NOT_REGISTERED = 463
    OTHER_ERROR = 469


class OptType(enum.StrEnum):
    """Whether a VEN takes part."""

    IN = "optIn"
    OUT = "optOut"


@dataclasses.dataclass(frozen=True, slots=True)
class EiResponse:
    """What one side answers: a code, words, and the requestID that is answered."""

    code: int = Code.OK
    description: str = "OK"
    request_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ItemBase:
    """The unit of a signal or report: its element (`powerReal`), description, unit and SI scale."""

    name: str
    description: str
    unit: str
    scale: str = "none"
    power_attributes: tuple[float, float, bool] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class EiTarget:
    """One target: its kind, by the element of the schema (`groupID`, `resourceID`, `endDeviceAsset` ...)."""

    kind: str
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class SignalInterval:
    """One interval of a signal; `duration` zero has no end."""

    start: datetime
    duration: timedelta
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class EiSignal:
    """One signal of an event; `device_classes` are the endDeviceAssets that it is for."""

    name: str
    kind: str
    signal_id: str
    intervals: tuple[SignalInterval, ...]
    item: ItemBase | None = None
    current_value: float | None = None
    device_classes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class EiEvent:
    """An event. `start_after` is the tolerance in which VENs begin at random; priority 0 is none, 1 the highest."""

    event_id: str
    modification: int
    market_context: str
    status: str
    created: datetime
    start: datetime
    duration: timedelta
    signals: tuple[EiSignal, ...]
    targets: tuple[EiTarget, ...] = ()
    priority: int = 0
    test: bool = False
    comment: str = ""
    start_after: timedelta = ZERO
    notification: timedelta = ZERO
    ramp_up: timedelta = ZERO
    recovery: timedelta = ZERO
    response_required: str = "always"


@dataclasses.dataclass(frozen=True, slots=True)
class EventResponse:
    """What a VEN says of one version of one event."""

    event_id: str
    modification: int
    opt: str
    request_id: str = ""
    code: int = Code.OK
    description: str = "OK"


@dataclasses.dataclass(frozen=True, slots=True)
class PartyRegistration:
    """What a VEN says of itself when it registers."""

    profile: str = "2.0b"
    transport: str = "simpleHttp"
    transport_address: str | None = None
    report_only: bool = False
    xml_signature: bool = False
    ven_name: str = ""
    pull: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class OptWindow:
    """A part of an availability schedule."""

    start: datetime
    duration: timedelta


@dataclasses.dataclass(frozen=True, slots=True)
class EiOpt:
    """An opt of resources in or out of one event, or over a schedule of times."""

    opt_id: str
    opt: str
    reason: str
    created: datetime
    event_id: str | None = None
    modification: int = 0
    market_context: str | None = None
    windows: tuple[OptWindow, ...] = ()
    targets: tuple[EiTarget, ...] = ()
    device_class: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ReportDescription:
    """One data point that can be reported (rID)."""

    r_id: str
    report_type: str
    reading_type: str
    item: ItemBase | None = None
    subject: str | None = None
    sources: tuple[EiTarget, ...] = ()
    market_context: str | None = None
    min_period: timedelta | None = None
    max_period: timedelta | None = None
    on_change: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class MetadataReport:
    """A report that can be asked for; `name` begins with METADATA_."""

    specifier_id: str
    name: str
    descriptions: tuple[ReportDescription, ...]
    created: datetime
    duration: timedelta | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OadrReportRequest:
    """A report that is asked for. `granularity` and `report_back` zero ask for one report."""

    request_id: str
    specifier_id: str
    r_ids: tuple[tuple[str, str], ...]
    granularity: timedelta
    report_back: timedelta
    start: datetime | None = None
    duration: timedelta | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceStatus:
    """The payload of a TELEMETRY_STATUS point; `levels` are the current values of the load control state."""

    online: bool
    override: bool
    levels: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ReportPoint:
    """One value of a report."""

    r_id: str
    start: datetime
    value: float | ResourceStatus
    duration: timedelta | None = None
    quality: str | None = None
    confidence: int | None = None
    accuracy: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class OadrReport:
    """A report with data."""

    request_id: str
    specifier_id: str
    name: str
    points: tuple[ReportPoint, ...]
    created: datetime
    report_id: str = ""
    start: datetime | None = None
    apart: bool = dataclasses.field(default=False, compare=False)
    """Whether each point is written in an interval of its own, which VTNs that cannot read several are sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class OadrMessage:
    """A message as it came: `kind` is its element. Which of the other parts are there depends on the kind."""

    kind: str
    request_id: str = ""
    ven_id: str | None = None
    vtn_id: str | None = None
    registration_id: str | None = None
    response: EiResponse | None = None
    events: tuple[EiEvent, ...] = ()
    faults: tuple[tuple[str, int, str], ...] = ()
    """Events that could not be read: eventID, modificationNumber, why."""
    event_responses: tuple[EventResponse, ...] = ()
    reply_limit: int | None = None
    registration: PartyRegistration | None = None
    poll_freq: timedelta | None = None
    opt: EiOpt | None = None
    opt_id: str | None = None
    metadata: tuple[MetadataReport, ...] = ()
    requests: tuple[OadrReportRequest, ...] = ()
    reports: tuple[OadrReport, ...] = ()
    report_request_ids: tuple[str, ...] = ()
    report_to_follow: bool = False
