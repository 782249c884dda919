"""What can be set, with the defaults that make `vtn serve` work on an empty folder. Read by `vtn.settings.load`."""

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import pydantic

from vtn.bounds import Bounds
from vtn.clock import parse_clock
from vtn.rules.privacy import Match, NamesGrant
from vtn.settings import LOOPBACK, Section

SECURE_MQTT = frozenset({"mqtts", "ssl", "wss"})
ANYWHERE, ON_THIS_MACHINE = frozenset({"https"}), frozenset({"http", "https"})
Port = Annotated[int, pydantic.Field(ge=0, le=65535)]
A_YEAR_S = 31_536_000
Seconds = Annotated[float, pydantic.Field(gt=0, le=A_YEAR_S)]


class Server(Section):
    """Where the API listens, and the bounds on what comes in."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    reload_s: Seconds = 10.0
    client_ca: Path | None = None
    allow_plain_http: bool = False
    cors_origins: tuple[str, ...] = ()
    gzip_from_bytes: Annotated[int, pydantic.Field(ge=0, le=1_073_741_824)] = 1024
    metrics: Literal["local", "everyone", "off"] = "local"
    max_body_bytes: int = pydantic.Field(
        1_048_576,
        ge=1024,
        le=1_073_741_824,
        description="bytes of one request body, as sent and when decompressed; more are answered 413",
    )
    var: Path = Path("var")
    clock: str = "real"

    @pydantic.field_validator("clock")
    @classmethod
    def _a_clock_that_can_be_read(cls, text: str) -> str:
        parse_clock(text)
        return text

    @pydantic.field_validator("public_url")
    @classmethod
    def _a_url_that_clients_can_follow(cls, url: str | None) -> str | None:
        if url is not None and not (urlsplit(url).scheme in ON_THIS_MACHINE and urlsplit(url).hostname):
            raise ValueError("must be an absolute http or https URL")
        return url

    @pydantic.field_validator("cors_origins")
    @classmethod
    def _origins_as_browsers_name_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", origin) is None:
                raise ValueError(f"{origin!r} is no origin: scheme://host or scheme://host:port in small letters, or *")
        return origins

    @pydantic.model_validator(mode="after")
    def _plain_http_stays_on_this_machine(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs certificate and private_key")
        if self.certificate is None and self.host not in LOOPBACK and not self.allow_plain_http:
            raise ValueError("a server beyond this machine needs certificate and private_key (OpenADR is HTTPS only)")
        return self


class Storage(Section):
    """Where objects are kept; without a URL, SQLite in the `var` folder."""

    url: str | None = None
    log_days: Annotated[int, pydantic.Field(ge=1, le=36_500)] = 30
    prune_at: time = time(3, 0)
    archive_days: Annotated[int, pydantic.Field(ge=1, le=36_500)] = 1095
    lease_s: Annotated[float, pydantic.Field(ge=2, le=300)] = 10.0

    @pydantic.field_validator("prune_at")
    @classmethod
    def _an_hour_of_utc(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError("is an hour of UTC, such as 03:00:00, without an offset")
        return at


class Mqtt(Section):
    """The broker: the bundled one, an external one by URL, or none. `advertise` lists the URLs that clients use."""

    mode: Literal["bundled", "external", "off"] = "bundled"
    host: str = "127.0.0.1"
    port: Port = 1883
    url: str | None = None
    username: str | None = None
    password: str | None = pydantic.Field(None, repr=False)
    advertise: tuple[str, ...] = ()
    authentication: Literal["OAUTH2_BEARER_TOKEN", "ANONYMOUS", "CERTIFICATE"] = "OAUTH2_BEARER_TOKEN"
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    client_certificate_s: Annotated[int, pydantic.Field(ge=60, le=31_536_000)] = 86_400
    hook_password: str | None = pydantic.Field(None, repr=False)

    @pydantic.model_validator(mode="after")
    def _an_external_broker_has_a_url(self) -> Self:
        if self.mode == "external" and not self.url:
            raise ValueError("mode = 'external' needs url")
        return self

    @pydantic.model_validator(mode="after")
    def _client_certificates_need_tls_and_the_bundled_broker(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.authentication == "CERTIFICATE" and self.mode == "external":
            raise ValueError("authentication = 'CERTIFICATE' is for the bundled broker, which trusts our certificates")
        if self.authentication == "CERTIFICATE" and self.mode == "bundled" and self.certificate is None:
            raise ValueError("authentication = 'CERTIFICATE' needs TLS: certificate and private_key")
        return self

    @pydantic.model_validator(mode="after")
    def _clients_are_sent_to_brokers_that_speak_tls(self) -> Self:
        told = self.advertise or ((self.url,) if self.mode == "external" and self.url else ())
        for uri in told:
            parts = urlsplit(uri)
            if parts.scheme not in SECURE_MQTT and parts.hostname not in LOOPBACK:
                raise ValueError(f"clients are told {uri}, which is not mqtts://; set advertise (OpenADR is TLS only)")
        return self


class Webhooks(Section):
    """How callbacks are called."""

    timeout_s: float = pydantic.Field(10.0, ge=1, le=30, description="seconds that a callback may take to answer")
    give_up_s: float = pydantic.Field(
        86_400.0, gt=0, le=31_536_000, description="seconds for which one delivery is tried; then it is a dead letter"
    )
    attempts: int = pydantic.Field(
        0, ge=0, le=1_000_000, description="tries of one delivery; 0: as many as there is time for"
    )
    first_retry_s: Seconds = 1.0
    longest_retry_s: float = pydantic.Field(300.0, gt=0, le=86_400, description="seconds between two tries")
    broken_after: int = pydantic.Field(
        20,
        ge=1,
        le=1_000_000,
        description="failures in a row after which a callback that is given up is not called any more",
    )
    allow_loopback: bool = False
    local_networks: tuple[pydantic.IPvAnyNetwork, ...] = ()
    read_notice_s: Seconds = 60.0
    legacy_http: bool = False


class Issuer(Section):
    """An external OpenID provider, and where its tokens say who the client is and what it may do.

    A claim is named by its path: `realm_access.roles` is the member `roles` of the claim `realm_access`. A scope counts
    with `scope_prefix` taken off; the role still comes from the client's registration with this VTN.
    """

    issuer: str
    jwks_url: str
    audience: str | None = None
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "Ed25519", "EdDSA"], ...] = (
        "RS256",
        "ES256",
    )
    client_id_claims: tuple[str, ...] = ("client_id", "azp", "appid", "sub")
    scope_claims: tuple[str, ...] = ("scope", "scp", "roles")
    scope_prefix: str = ""
    refresh_s: Seconds = 3600.0
    shortest_refresh_s: Seconds = 30.0
    leeway_s: Annotated[float, pydantic.Field(ge=0, le=120)] = 30.0

    @pydantic.field_validator("jwks_url")
    @classmethod
    def _keys_come_safely(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in (ON_THIS_MACHINE if parts.hostname in LOOPBACK else ANYWHERE):
            raise ValueError("must be an https URL (http to this machine only)")
        return url


class Auth(Section):
    """Tokens of the VTN's own issuer and of others; how often tokens may be asked for; who needs none."""

    token_s: Annotated[int, pydantic.Field(ge=10, le=3600)] = 3600
    own_tokens: bool = True
    token_url: str | None = None
    issuers: tuple[Issuer, ...] = ()
    anonymous_read: bool = False
    tokens_per_minute: int = pydantic.Field(
        60, ge=1, le=1_000_000, description="token requests of one client at once and a minute"
    )
    tokens_per_minute_and_address: int = pydantic.Field(600, ge=1, le=1_000_000, description="the same of one address")
    certificate_clients: dict[str, str] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _somebody_issues_tokens(self) -> Self:
        if not self.own_tokens and not (self.issuers and self.token_url):
            raise ValueError("without own_tokens, token_url and at least one of issuers are needed")
        if len({trusted.issuer for trusted in self.issuers}) < len(self.issuers):
            raise ValueError("issuers names an issuer twice")
        if self.token_url is not None and not urlsplit(self.token_url).hostname:
            raise ValueError("token_url must be an absolute URL")
        return self


class Discovery(Section):
    """Announcing this VTN on its own network by mDNS (for VTNs at customers' sites)."""

    enabled: bool = False
    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")] = "evtn"
    addresses: tuple[pydantic.IPvAnyAddress, ...] = ()


class Protocol(Section):
    """The switches of the readings: where the standard leaves a choice, and what we chose (DIVERGENCES.md)."""

    strict_target_query: bool = False
    hide_events_of_hidden_programs: bool = True
    match_targets: Match = Match.ANY
    lenient_descriptors: bool = False
    strict_null: bool = False
    on_delete: Literal["cascade", "restrict"] = "cascade"
    default_limit: Annotated[int, pydantic.Field(ge=1, le=50)] = 50
    problem_media_type: Literal["application/json", "application/problem+json"] = "application/json"
    split_commas: bool = False
    names_grant: NamesGrant = NamesGrant.BUSINESS_LOGIC
    ven_clients: dict[str, str] = pydantic.Field(default_factory=dict)


class Settings(Section):
    """All of it."""

    server: Server = Server()
    storage: Storage = Storage()
    mqtt: Mqtt = Mqtt()
    webhooks: Webhooks = Webhooks()
    auth: Auth = Auth()
    discovery: Discovery = Discovery()
    bounds: Bounds = Bounds()
    protocol: Protocol = Protocol()

    @pydantic.field_validator("auth")
    @classmethod
    def _certificates_of_clients_are_asked_for(cls, auth: Auth, info: pydantic.ValidationInfo) -> Auth:
        server = info.data.get("server")
        if auth.certificate_clients and server is not None and server.client_ca is None:
            raise ValueError("certificate_clients needs client_ca in [server]")
        return auth
