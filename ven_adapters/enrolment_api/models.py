"""What the automaker's app says and hears, as JSON: strict, closed to unknown keys, bounded in every direction.

Powers are whole watts, energies watt-hours, levels percent, instants RFC 3339 with an offset. `vin`, `account_id`,
`holder` and the place of a home go in and never come out again: no answer, webhook or log has a field for them.
"""

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal, Self

import pydantic

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_PROGRAMS = 8
UNKNOWN = "unknown"
MOST_TERMS = 20_000
VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}", re.IGNORECASE)


def _pseudonym(text: str) -> str:
    if VIN.fullmatch(text.upper()):
        raise ValueError("must be a pseudonym, never a VIN")
    return text


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be an instant of the years 1 to 9999 in UTC") from None


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character 0, which not every database stores")
    return text


def _zone_name(text: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA time zone such as America/Los_Angeles") from None


Ref = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._~-]{1,120}$"), pydantic.AfterValidator(_pseudonym)]
Text = Annotated[str, pydantic.Field(min_length=1, max_length=120), pydantic.AfterValidator(_storable)]
LongText = Annotated[str, pydantic.Field(min_length=1, max_length=400)]
Terms = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_TERMS), pydantic.AfterValidator(_storable)]
Instant = Annotated[pydantic.AwareDatetime, pydantic.AfterValidator(_utc)]
Percent = Annotated[float, pydantic.Field(ge=0, le=100)]
Watts = Annotated[int, pydantic.Field(ge=0, le=10_000_000)]
WattHours = Annotated[int, pydantic.Field(ge=0, le=1_000_000_000)]
Cycles = Annotated[float, pydantic.Field(ge=0, le=10_000)]
ClockFace = Annotated[str, pydantic.Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
TimeZone = Annotated[str, pydantic.Field(max_length=64), pydantic.AfterValidator(_zone_name)]


class Model(pydantic.BaseModel):
    """The base of everything said here."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Nothing(Model):
    """The empty object: an act that needs no words."""


class Scope(enum.StrEnum):
    """What a consent is for; discharge is asked separately from charging."""

    CHARGING = "charging"
    DISCHARGE = "discharge"


class Status(enum.StrEnum):
    """Where an enrolment stands; SUSPENDED: the rules changed, it is in no programme and is left alone."""

    ENROLLED = "ENROLLED"
    SUSPENDED = "SUSPENDED"
    WITHDRAWN = "WITHDRAWN"
    SOLD = "SOLD"


class Period(Model):
    """When a paper holds: half open, without an end until it is withdrawn."""

    valid_from: Instant
    valid_until: Instant | None = None

    @pydantic.model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError("valid_until: must be later than valid_from")
        return self


class Interconnection(Period):
    """The agreement with the grid operator."""

    interconnection_id: Text


class ExportLimit(Period):
    """The most that the home may feed."""

    export_limit_w: Watts


class InverterListing(Period):
    """The listing that makes the inverter legal here, for example UL1741-SB."""

    inverter_listing: Text


class Permissions(Model):
    """The papers that a discharge needs besides the driver's consent; what is missing is a refusal."""

    interconnection: Interconnection | None = None
    export_limit: ExportLimit | None = None
    inverter_listing: InverterListing | None = None

    def papers(self) -> tuple[Period | None, ...]:
        """All of them, in the order in which a refusal names them."""
        return (self.interconnection, self.export_limit, self.inverter_listing)


class Budget(Model):
    """What the battery may give: per event and per year (AC side), and full equivalent cycles per year.

    Without a budget of cycles nothing is discharged.
    """

    max_event_wh: WattHours
    max_year_wh: WattHours
    max_year_cycles: Cycles | None = None


class Patience(Model):
    """How often events may ask the car, at most: caps of its driver's own; what is null is as the programme has it."""

    events_per_day: Annotated[int, pydantic.Field(ge=0, le=48)] | None = None
    hours_per_week: Annotated[float, pydantic.Field(ge=0, le=168)] | None = None
    hours_per_season: Annotated[float, pydantic.Field(ge=0, le=4_464)] | None = None
    consecutive_days: Annotated[int, pydantic.Field(ge=0, le=366)] | None = None


class Day(Model):
    """One weekday's wishes; `ready_by` is local time, null means no departure on that day.

    On the day that clocks are put forward, a time that is skipped is read an hour later: 02:30 as 03:30. On the day
    that they are put back, a time that comes twice is the first of the two.
    """

    ready_by: ClockFace | None
    target_soc_pct: Percent
    reserve_soc_pct: Percent

    @pydantic.model_validator(mode="after")
    def _reserve_is_within_target(self) -> Self:
        if self.reserve_soc_pct > self.target_soc_pct:
            raise ValueError("reserve_soc_pct: must not be above target_soc_pct")
        return self

    def ready_at(self) -> time | None:
        """The local time of departure."""
        return None if self.ready_by is None else time.fromisoformat(self.ready_by)


class Preferences(Model):
    """A driver's week, in the home's local time."""

    mon: Day
    tue: Day
    wed: Day
    thu: Day
    fri: Day
    sat: Day
    sun: Day

    def week(self) -> tuple[Day, ...]:
        """Monday first."""
        return (self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun)


class Consent(Model):
    """What a driver was shown and answered, and when; `agreed` false withdraws. `terms` is the text itself."""

    scope: Annotated[Scope, pydantic.Field(strict=False)]
    version: Text
    agreed: bool
    at: Instant
    terms: Terms
    valid_until: Instant | None = None


class Kept(Model):
    """The consent of one scope that counts now."""

    version: Text
    agreed: bool
    at: Instant
    valid_until: Instant | None = None


class Account(Model):
    """The customer at the utility. `account_id` and `holder` never leave the store."""

    account_id: Text
    utility: Text
    tariff: Text = UNKNOWN
    holder: Text | None = None


class Place(Model):
    """Where a home is; never leaves the store."""

    latitude: Annotated[float, pydantic.Field(ge=-90, le=90)]
    longitude: Annotated[float, pydantic.Field(ge=-180, le=180)]
    address: LongText | None = None


class Home(Model):
    """A home: the grid zone and region it lies in, its local time, its place.

    `site_id`: the app's pseudonym of the home, the same for all of its cars; without one a car has a home of its own.
    `grid_node`: the node of the adapter's grid file that it hangs from. `site_import_limit_w`, `site_export_limit_w`:
    what all cars of the home may draw and feed together.
    """

    zone: Text
    region: Text
    timezone: TimeZone
    place: Place
    site_id: Ref | None = None
    grid_node: Text | None = None
    site_import_limit_w: Watts | None = None
    site_export_limit_w: Watts | None = None


class Enrol(Model):
    """A car is enrolled."""

    vehicle_ref: Ref
    vin: Annotated[str, pydantic.Field(pattern=r"^[A-HJ-NPR-Z0-9]{17}$")]
    model: Text
    account: Account
    home: Home
    programs: Annotated[tuple[Text, ...], pydantic.Field(min_length=1, max_length=MOST_PROGRAMS, strict=False)]
    preferences: Preferences
    consents: Annotated[tuple[Consent, ...], pydantic.Field(min_length=1, max_length=8, strict=False)]
    permissions: Permissions = Permissions()
    discharge_budget: Budget | None = None
    patience: Patience | None = None

    @pydantic.model_validator(mode="after")
    def _the_vin_stands_nowhere_else(self) -> Self:
        """What leaves this store is made of these fields."""
        leaves = (self.vehicle_ref, self.model, self.account.utility, self.account.tariff, self.home.zone)
        grid = (self.home.site_id or "", self.home.grid_node or "")
        if any(self.vin in text.upper() for text in (*leaves, *grid, self.home.region, *self.programs)):
            raise ValueError("vin: must stand in no other field, vehicle_ref among them")
        return self


class Programs(Model):
    """The programmes that a car is in from now on."""

    programs: Annotated[tuple[Text, ...], pydantic.Field(min_length=1, max_length=MOST_PROGRAMS, strict=False)]


class Papers(Model):
    """The discharge papers on file from now on, all of them."""

    permissions: Permissions
    discharge_budget: Budget | None = None


class OptOut(Model):
    """Leave one event (`event_id`, and `until` when it is over), or all events until `until` or an opt-in."""

    event_id: Text | None = None
    until: Instant | None = None

    @pydantic.model_validator(mode="after")
    def _an_event_ends(self) -> Self:
        if self.event_id is not None and self.until is None:
            raise ValueError("until: is required beside event_id")
        return self


class Skip(Model):
    """Skip one event with one of the season's tokens; `until`: when the event is over."""

    event_id: Text
    until: Instant


class Boost(Model):
    """Charge now, whatever any event asks, until `until`."""

    until: Instant


class Question(Model):
    """Whether a car like this may join."""

    model: Text
    region: Text
    utility: Text
    tariff: Text = UNKNOWN
    program: Text | None = None


class Verdict(Model):
    """One programme's answer: every rule that the car does not meet."""

    program: str
    kind: str
    eligible: bool
    reasons: tuple[str, ...]


class Verdicts(Model):
    """Every programme's answer."""

    verdicts: tuple[Verdict, ...]


class Choice(Model):
    """A driver's choice that still holds."""

    choice: Literal["OPT_OUT", "OPT_IN", "BOOST"]
    at: Instant
    until: Instant | None = None
    event_id: str | None = None


class Agreement(Model):
    """What counts now for one car, without a word on whose it is: the only view that the engine has."""

    vehicle_ref: str
    status: Annotated[Status, pydantic.Field(strict=False)]
    model: str
    region: str
    zone: str
    timezone: str
    site_id: str
    utility: str
    tariff: str
    programs: Annotated[tuple[str, ...], pydantic.Field(strict=False)]
    discharge_program: bool
    left_by_rule: Annotated[tuple[str, ...], pydantic.Field(strict=False)] = ()
    preferences: Preferences | None
    consents: Mapping[str, Kept]
    permissions: Permissions
    discharge_budget: Budget | None
    patience: Patience | None = None
    grid_node: str | None = None
    site_import_limit_w: int | None = None
    site_export_limit_w: int | None = None
    enrolled_at: Instant
    ended_at: Instant | None = None


class RequestFault(Model):
    """One thing wrong with a request: where, as a JSON path, and the rule."""

    path: str
    rule: str


class Problem(Model):
    """Why a request was refused (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[RequestFault, ...] = ()


class Told(Model):
    """A signed webhook from the automaker: one decision about one car; `data` as the matching request has it.

    `at` says when the driver decided, where that is not the instant of signing, as for a webhook that is sent again.
    """

    event_id: Text
    at: Instant | None = None
    type: Literal[
        "opt_out",
        "skip",
        "opt_in",
        "boost",
        "consent",
        "preferences",
        "permissions",
        "patience",
        "programs",
        "home",
        "sale",
        "withdrawal",
    ]
    vehicle_ref: Ref
    data: dict[str, Any] = pydantic.Field(default_factory=dict)
