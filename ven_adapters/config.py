"""What can be set for one adapter process: one automaker, one VTN, its zones. Read by `vtn.settings.load`.

The `[backend]` table is handed to the automaker's file as it stands: only that file knows what its backend needs.
"""

import contextlib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import pydantic

from ven_adapters.transport.settings import Port, Seed
from vtn.bounds import ConnectionBounds
from vtn.clock import Clock, parse_clock
from vtn.errors import CannotStart, ConfigError
from vtn.settings import LOOPBACK, Section, load

Seconds = Annotated[float, pydantic.Field(gt=0, le=7 * 86_400)]
Name = Annotated[str, pydantic.Field(min_length=1, max_length=128)]

PREFIX = "VEN_ADAPTER"
EXECUTOR_PREFIX = "VEN_EXECUTOR"


class VtnSettings(Section):
    """The VTN and our client there; `ca` is a file of certificates to trust besides the system's.

    `lost_after_s`: when it could not be read for so long it is lost, and default limits hold where none that it sent is
    in force any more (seconds of `clock`).
    """

    url: Annotated[str, pydantic.Field(pattern=r"^https?://")]
    client_id: Name
    client_secret: str = pydantic.Field(repr=False)
    scope: str = ""
    ca: Path | None = None
    lost_after_s: Seconds = 900.0


SHORTEST_PACED_S = 0.5


class WakeSettings(Section):
    """What makes us poll early. Polling each `poll_s` seconds goes on whatever the mode.

    `poll_s` and the pauses between retries count in the adapter's clock, which may be fast; but no pause is cut to less
    than half a real second for it.
    """

    mode: Literal["mqtt", "webhook", "timer"] = "mqtt"
    poll_s: Seconds = 30.0
    first_retry_s: Seconds = 0.5
    longest_retry_s: Seconds = 60.0
    webhook_host: str = "127.0.0.1"
    webhook_port: Port = 0
    webhook_url: str | None = None
    listening: ConnectionBounds = ConnectionBounds()

    def paced(self, clock: Clock) -> Self:
        """The same, in real seconds."""
        speed = float(getattr(clock, "speed", 1.0))

        def real_s(seconds: float) -> float:
            return max(seconds / speed, min(seconds, SHORTEST_PACED_S))

        paced = {name: real_s(getattr(self, name)) for name in ("poll_s", "first_retry_s", "longest_retry_s")}
        return self.model_copy(update=paced)


class ReadingSettings(Section):
    """How often cars are read whose backend does not push, or whose pushes are lost; what that may cost.

    Seconds of `clock`. A car is read `often_s` apart while it is plugged in and its zone is asked for something, or it
    holds a directive; `arriving_s` apart while it is away and its zone is asked, or will be within an hour;
    `plugged_s` apart while it is plugged in otherwise; `seldom_s` apart while it is away, full or asleep. A car whose
    pushes come that often is never asked. `usd_per_car_and_month` counts where the automaker's file knows the price of
    a reading.
    """

    often_s: Annotated[float, pydantic.Field(ge=60, le=86_400)] = 300.0
    arriving_s: Annotated[float, pydantic.Field(ge=60, le=86_400)] = 420.0
    plugged_s: Annotated[float, pydantic.Field(ge=60, le=86_400)] = 900.0
    seldom_s: Annotated[float, pydantic.Field(ge=60, le=7 * 86_400)] = 3600.0
    old_after_s: Annotated[float, pydantic.Field(ge=60, le=86_400)] = 1200.0
    calls_per_car_and_day: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 200
    usd_per_car_and_month: Annotated[float, pydantic.Field(ge=0, le=10_000)] = 5.0
    at_once: Annotated[int, pydantic.Field(ge=1, le=1000)] = 32


Kilowatts = Annotated[float, pydantic.Field(ge=0, le=1_000_000)]
ProgramList = Annotated[tuple[Name, ...], pydantic.Field(max_length=64)]


class ZoneSettings(Section):
    """One zone; a zone with too few cars joins its parent, or without one the zone with the most cars.

    `programs`: the OpenADR programs that its cars are in. `fallback_import_kw`, `fallback_export_kw`: the limit that
    counts while a limit is asked that is not understood, and none of its program was before; and while the VTN is lost
    and no limit that it sent is in force.
    """

    parent: str | None = None
    programs: ProgramList = ()
    fallback_import_kw: Kilowatts | None = None
    fallback_export_kw: Kilowatts | None = None


class PatienceCaps(Section):
    """How often events may ask a car, at most; what is not set has no cap.

    A car is asked by an event that holds it back or makes it give: by a set-point, a level or an alert. An
    ALERT_GRID_EMERGENCY is exempt. Days and weeks (from Monday) are those of the car's home, seasons are May to October
    and November to April. `consecutive_days`: days in a row on which the car is asked.
    """

    events_per_day: Annotated[int, pydantic.Field(ge=0, le=48)] | None = None
    hours_per_week: Annotated[float, pydantic.Field(ge=0, le=168)] | None = None
    hours_per_season: Annotated[float, pydantic.Field(ge=0, le=4_464)] | None = None
    consecutive_days: Annotated[int, pydantic.Field(ge=0, le=366)] | None = None


class PatienceSettings(PatienceCaps):
    """What drivers are asked at most, where neither their programmes nor their enrolments say otherwise.

    `skip_tokens`: the events of a season that a driver may skip with a token. `notice_lead_s`: how long before an event
    drivers are told of it, where the automaker's app takes webhooks. Of a driver's last `overrides_of` events, when
    more than `override_share` were overridden or left out, the car is asked last.
    """

    skip_tokens: Annotated[int, pydantic.Field(ge=0, le=1_000)] = 3
    notice_lead_s: Annotated[float, pydantic.Field(ge=0, le=86_400)] = 3600.0
    override_share: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    overrides_of: Annotated[int, pydantic.Field(ge=1, le=30)] = 6


Patterns = Annotated[tuple[Name, ...], pydantic.Field(min_length=1)]
Secret = Annotated[str, pydantic.Field(min_length=16)]


class ProgramRules(Section):
    """Who may join a programme: patterns such as `i4*`. A car is in at most one programme of a `kind`.

    `openadr`: the VTN's programs that it stands for, by id, programName or target; its own name without any.
    `patience`: its caps, which count in place of those of [patience]; of several programmes the tightest counts.
    """

    kind: Name
    openadr: ProgramList = ()
    discharge: bool = False
    models: Patterns = ("*",)
    regions: Patterns = ("*",)
    utilities: Patterns = ("*",)
    tariffs: Patterns = ("*",)
    cars_per_account: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] | None = None
    most_cars: Annotated[int, pydantic.Field(ge=1, le=100_000_000)] | None = None
    patience: PatienceCaps = PatienceCaps()


class EnrollingSettings(Section):
    """The enrolment API and its store. `app_secret` signs what the app sends, `webhook_secret` what it is sent."""

    host: str = "127.0.0.1"
    port: Port = 9180
    certificate: Path | None = None
    key: Path | None = None
    allow_plain_http: bool = False
    store_url: str | None = pydantic.Field(None, repr=False)
    app_secret: Secret | None = pydantic.Field(None, repr=False)
    webhook_url: Annotated[str, pydantic.Field(pattern=r"^https?://")] | None = None
    webhook_secret: Secret | None = pydantic.Field(None, repr=False)
    requests_per_s: float = pydantic.Field(
        100.0, gt=0, le=10_000, description="enrolment requests of one client, with as many at once"
    )
    listening: ConnectionBounds = ConnectionBounds()
    programs: dict[Name, ProgramRules] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key: are given together")
        if self.certificate is None and not self.allow_plain_http and self.host not in LOOPBACK:
            raise ValueError("host: needs a certificate, or allow_plain_http where a proxy ends TLS")
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("webhook_secret: is required beside webhook_url")
        return self


class GuardSettings(Section):
    """Who gives held cars back when this process dies, for automakers whose cars take single commands.

    child: a guard that this process starts and leaves behind; service: one that the system keeps up
    (`ven-adapters guard`); off: nobody.
    """

    mode: Literal["child", "service", "off"] = "child"


ServerUrl = Annotated[str, pydantic.Field(pattern=r"^(nats|tls|ws|wss)://[^@,\s]+(,(nats|tls|ws|wss)://[^@,\s]+)*$")]


class QueueSettings(Section):
    """NATS JetStream between planners and executors; the same on all of them, but for credentials and `at_once`.

    `ack_wait_s` is how long a car waits for an executor that died, `call_s` the longest that one call may take, its
    retries included. `at_once` are the calls of one executor (and as many questions), `all_at_once` those of all.
    """

    url: ServerUrl
    stream: Name = "EVTN"
    user: str | None = None
    password: str | None = pydantic.Field(None, repr=False)
    credentials: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    allow_plain: bool = False
    replicas: Annotated[int, pydantic.Field(ge=1, le=5)] = 1
    ack_wait_s: Annotated[float, pydantic.Field(ge=1, le=600)] = 15.0
    call_s: Annotated[float, pydantic.Field(gt=0, le=600)] = 120.0
    at_once: Annotated[int, pydantic.Field(ge=1, le=1000)] = 64
    all_at_once: Annotated[int, pydantic.Field(ge=1, le=100_000)] = 1000

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key: are given together")
        if (self.user is None) is not (self.password is None):
            raise ValueError("user and password: are given together")
        away = any(urlsplit(url).hostname not in LOOPBACK for url in self.url.split(","))
        if away and not (self.secure or self.allow_plain):
            raise ValueError(
                "url: needs tls:// or wss:// beyond this machine, or `ca`, or allow_plain in a closed network"
            )
        return self

    @property
    def secure(self) -> bool:
        """Whether nothing may be said without TLS."""
        return self.ca is not None or self.url.startswith(("tls://", "wss://"))


class AdapterSettings(Section):
    """All of it. `cycle_s`, `margin_s` and `lead_s` count in the clock's seconds, which may be fast.

    `keep_days`: how long what is over can be explained; older directives, histories and figures are deleted.
    `flexibility_reports`: whether bands, nominations and shortfalls are told unasked.
    `grid`: a file of sites, transformers and feeders with their limits.
    `programs`: the OpenADR programs that the cars are in, by id, programName or target, where neither their enrolments
    nor their zones name any.
    """

    oem: Name
    client_name: Name
    vtn: VtnSettings
    backend: dict[str, Any] = pydantic.Field(
        default_factory=dict, repr=False, description="the automaker's table: below"
    )
    guard: GuardSettings = GuardSettings()
    queue: QueueSettings | None = None
    shard: tuple[Name, ...] = ()
    enrolments: tuple[Path, ...] = ()
    enrolling: EnrollingSettings | None = None
    zones: dict[Name, ZoneSettings] = pydantic.Field(default_factory=dict)
    grid: Path | None = None
    programs: ProgramList = ()
    wake: WakeSettings = WakeSettings()
    reading: ReadingSettings = ReadingSettings()
    patience: PatienceSettings = PatienceSettings()
    smallest_group: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] = 10
    flexibility_reports: bool = True
    cycle_s: Annotated[float, pydantic.Field(ge=10, le=86_400)] = 300.0
    margin_s: Annotated[float, pydantic.Field(ge=0, le=7 * 86_400)] = 1800.0
    lead_s: Annotated[float, pydantic.Field(ge=0, le=7 * 86_400)] = 300.0
    wear_per_kwh: float = pydantic.Field(
        0.08, ge=0, le=1_000, description="wear of a battery that gives for a price, in the tariff's money per kWh"
    )
    plans_per_s: Annotated[float, pydantic.Field(gt=0, le=50)] = 4.0
    keep_days: Annotated[float, pydantic.Field(ge=2, le=36_500)] = 35.0
    most_events: int = pydantic.Field(
        1_000, ge=1, le=10_000, description="events of the VTN that count at once: those that begin first"
    )
    calls_at_once: Annotated[int, pydantic.Field(ge=1, le=1000)] = 256
    seed: Seed = 0
    clock: str = "real"
    var: Path = Path("var")
    store_url: str | None = pydantic.Field(None, repr=False)

    @pydantic.field_validator("clock")
    @classmethod
    def _clock_is_readable(cls, text: str) -> str:
        parse_clock(text)
        return text

    @pydantic.field_validator("zones")
    @classmethod
    def _parents_are_zones(cls, zones: dict[str, ZoneSettings]) -> dict[str, ZoneSettings]:
        for name, zone in zones.items():
            if zone.parent is not None and zone.parent not in zones:
                raise ValueError(f"{name}.parent: {zone.parent!r} is not a zone of this file")
        return zones

    @pydantic.model_validator(mode="after")
    def _cars_come_from_somewhere(self) -> Self:
        if not self.enrolments and self.enrolling is None:
            raise ValueError("enrolments: name a file, or add the section [enrolling]")
        return self

    @pydantic.model_validator(mode="after")
    def _calls_go_somewhere(self) -> Self:
        if self.queue is None and "backend" not in self.model_fields_set:
            raise ValueError("backend: is required, or name executors in the section [queue]")
        unknown = sorted(set(self.shard) - self.zones.keys()) if self.zones else []
        if unknown:
            raise ValueError(f"shard: {unknown[0]!r} is not a zone of this file")
        return self

    @property
    def folder(self) -> Path:
        """Where this adapter keeps its own files; each shard has its own."""
        return self.var / self.oem / self.part if self.shard else self.var / self.oem

    @property
    def part(self) -> str:
        """This shard's name, made of its zones; "all" without a shard."""
        return (
            f"shard-{sha256(chr(10).join(sorted(set(self.shard))).encode()).hexdigest()[:12]}" if self.shard else "all"
        )

    def store(self) -> str:
        """The store's SQLAlchemy URL: as set, or SQLite in our folder."""
        return self.store_url or f"sqlite+aiosqlite:///{self.folder / 'adapter.sqlite'}"

    def enrolment_store(self) -> str | None:
        """The enrolment store's SQLAlchemy URL, apart from the engine's own; None without a section [enrolling]."""
        if self.enrolling is None:
            return None
        return self.enrolling.store_url or f"sqlite+aiosqlite:///{self.var / self.oem / 'enrolments.sqlite'}"

    def shared_clock(self) -> Clock:
        """The clock that the settings name."""
        return parse_clock(self.clock)


class ExecutorSettings(Section):
    """What one executor needs: the automaker's backend and the queue. It knows no VTN, no driver and no plan."""

    oem: Name
    backend: dict[str, Any] = pydantic.Field(repr=False, description="the automaker's table: below")
    queue: QueueSettings
    guard: GuardSettings = GuardSettings()
    seed: Seed = 0
    clock: str = "real"

    @pydantic.field_validator("clock")
    @classmethod
    def _clock_is_readable(cls, text: str) -> str:
        parse_clock(text)
        return text

    def shared_clock(self) -> Clock:
        """The clock that the settings name."""
        return parse_clock(self.clock)


def read_executor_settings(path: Path | None, environ: Mapping[str, str]) -> ExecutorSettings:
    """An executor's settings file, overridden by VEN_EXECUTOR_... variables; ConfigError says what is wrong."""
    return load(ExecutorSettings, path, prefix=EXECUTOR_PREFIX, environ=environ)


def read_settings(path: Path | None, environ: Mapping[str, str]) -> AdapterSettings:
    """The adapter's settings file, overridden by VEN_ADAPTER_... variables; ConfigError says what is wrong."""
    return load(AdapterSettings, path, prefix=PREFIX, environ=environ)


@contextlib.contextmanager
def opening(setting: str) -> Iterator[None]:
    """Turn the failure to open a database into a ConfigError that names its setting, and shows no password."""
    from sqlalchemy.exc import SQLAlchemyError

    from vtn.databases import OUT_OF_REACH, opening_failure

    try:
        yield
    except CannotStart as error:
        raise ConfigError(f"{setting}: {error}") from None
    except OUT_OF_REACH as error:
        raise ConfigError(f"{setting}: the database cannot be opened: {opening_failure(error)}") from None
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise ConfigError(f"{setting}: is no database that can be used: {type(error).__name__}") from None
