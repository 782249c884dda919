"""What can be set, with the defaults that make `vtn serve` work on an empty folder. Read by `vtn.settings.load`."""

from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from vtn.clock import parse_clock
from vtn.rules.privacy import Match
from vtn.settings import Section

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Port = Annotated[int, pydantic.Field(ge=0, le=65535)]
Seconds = Annotated[float, pydantic.Field(gt=0)]


class Server(Section):
    """Where the API listens, and the bounds on what comes in."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    allow_plain_http: bool = False
    max_body_bytes: Annotated[int, pydantic.Field(ge=1024)] = 1_048_576
    var: Path = Path("var")
    clock: str = "real"

    @pydantic.field_validator("clock")
    @classmethod
    def _a_clock_that_can_be_read(cls, text: str) -> str:
        parse_clock(text)
        return text

    @pydantic.model_validator(mode="after")
    def _plain_http_stays_on_this_machine(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.certificate is None and self.host not in LOOPBACK and not self.allow_plain_http:
            raise ValueError("a server beyond this machine needs certificate and private_key (OpenADR is HTTPS only)")
        return self


class Storage(Section):
    """Where objects are kept; without a URL, SQLite in the `var` folder."""

    url: str | None = None
    log_days: Annotated[int, pydantic.Field(ge=1)] = 30


class Mqtt(Section):
    """The broker: the bundled one, an external one by URL, or none. `advertise` lists the URLs that clients use."""

    mode: Literal["bundled", "external", "off"] = "bundled"
    host: str = "127.0.0.1"
    port: Port = 1883
    url: str | None = None
    username: str | None = None
    password: str | None = pydantic.Field(None, repr=False)
    advertise: tuple[str, ...] = ()
    authentication: Literal["OAUTH2_BEARER_TOKEN", "ANONYMOUS"] = "OAUTH2_BEARER_TOKEN"
    certificate: Path | None = None
    private_key: Path | None = None

    @pydantic.model_validator(mode="after")
    def _an_external_broker_has_a_url(self) -> Self:
        if self.mode == "external" and not self.url:
            raise ValueError("mode = 'external' needs url")
        return self


class Webhooks(Section):
    """How callbacks are called."""

    timeout_s: Annotated[float, pydantic.Field(ge=1, le=30)] = 10.0
    attempts: Annotated[int, pydantic.Field(ge=1, le=50)] = 8
    first_retry_s: Seconds = 1.0
    longest_retry_s: Seconds = 300.0
    allow_loopback: bool = False


class Auth(Section):
    """Tokens of the VTN's own issuer."""

    token_s: Annotated[int, pydantic.Field(ge=10, le=3600)] = 3600


class Protocol(Section):
    """The switches of the readings: where the standard leaves a choice, and what we chose (DIVERGENCES.md)."""

    strict_target_query: bool = False
    match_targets: Match = Match.ANY
    lenient_descriptors: bool = False
    strict_null: bool = False
    on_delete: Literal["cascade", "restrict"] = "cascade"
    default_limit: Annotated[int, pydantic.Field(ge=1, le=50)] = 50
    problem_media_type: Literal["application/json", "application/problem+json"] = "application/json"
    split_commas: bool = False


class Settings(Section):
    """All of it."""

    server: Server = Server()
    storage: Storage = Storage()
    mqtt: Mqtt = Mqtt()
    webhooks: Webhooks = Webhooks()
    auth: Auth = Auth()
    protocol: Protocol = Protocol()
