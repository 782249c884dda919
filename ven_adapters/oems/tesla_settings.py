"""Tesla's `[backend]` table: every vendor's keys, and `domain` and the table `telemetry` besides.

`domain` is where the public key of our application is registered. `telemetry`: `stream` (required), the MQTT broker
that Tesla's fleet-telemetry server publishes to, `stream_ca`, `user`, `password`, `topic_base`; and `hostname`, `port`
and `ca` of that server, by which cars are told where to connect (without `hostname` somebody else tells them).
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.consent import ConsentSettings, options
from ven_adapters.transport.http.settings import typed, wrong
from ven_adapters.transport.readings.mqtt_readings import VendorBroker, broker_of
from ven_adapters.transport.vendor_session import VendorSettings, vendor_settings

USUAL = ConsentSettings(
    authorize_url="https://auth.tesla.com/oauth2/v3/authorize",
    scope="openid offline_access vehicle_device_data vehicle_location vehicle_cmds vehicle_charging_cmds",
)
BASE, PORT = "telemetry", 443
_KINDS: Mapping[str, tuple[type, ...]] = {
    "stream": (str,),
    "stream_ca": (str,),
    "user": (str,),
    "password": (str,),
    "topic_base": (str,),
    "hostname": (str,),
    "port": (int,),
    "ca": (str,),
}


@dataclasses.dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """The table `telemetry`: the broker that we listen to; and the server that cars connect to, where we tell them."""

    broker: VendorBroker
    user: str | None
    password: str | None = dataclasses.field(repr=False)
    topic_base: str
    hostname: str | None
    port: int
    ca: str


def telemetry_settings(table: Any) -> TelemetrySettings | None:
    """Read strictly; None without the table."""
    if table is None:
        return None
    if not isinstance(table, Mapping):
        raise wrong("telemetry", "must be a table")
    typed(table, _KINDS, "telemetry.")
    if not table.get("stream"):
        raise wrong("telemetry.stream", "is required: the broker that Tesla's fleet-telemetry server publishes to")
    base = str(table.get("topic_base", BASE)).strip("/")
    if not base or set("+#") & set(base):
        raise wrong("telemetry.topic_base", "must be the server's topic_base, without wildcards")
    return TelemetrySettings(
        broker=broker_of(table["stream"], table.get("stream_ca"), "telemetry."),
        user=table.get("user"),
        password=table.get("password"),
        topic_base=base,
        hostname=table.get("hostname"),
        port=table.get("port", PORT),
        ca=_chain(table.get("ca")),
    )


def _chain(path: str | None) -> str:
    """The certificates by which cars know the server; empty where a public authority vouches for it."""
    if path is None:
        return ""
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise wrong("telemetry.ca", "is no file of certificates") from None
    if "BEGIN CERTIFICATE" not in text or "PRIVATE KEY" in text:
        raise wrong("telemetry.ca", "must be a file of certificates, and of no key")
    return text.strip()


@dataclasses.dataclass(frozen=True, slots=True)
class TeslaApp:
    """Our application: the domain of its key, the region of partner tokens, and whether cars are to stream."""

    domain: str = ""
    audience: str = ""
    streamed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class TeslaSettings:
    """What Tesla's table has beside every vendor's: the domain of our key, and where cars stream to."""

    vendor: VendorSettings
    app: TeslaApp
    telemetry: TelemetrySettings | None


def tesla_settings(settings: Mapping[str, Any]) -> TeslaSettings:
    """Read strictly; `state` is required: owners' grants are there."""
    given = dict(settings)
    domain, telemetry = given.pop("domain", None), telemetry_settings(given.pop("telemetry", None))
    if domain is not None and not isinstance(domain, str):
        raise BackendError(ErrorCode.INVALID_REQUEST, "settings.domain: must be str")
    read = vendor_settings("tesla", given)
    if read.state is None:
        raise BackendError(ErrorCode.INVALID_REQUEST, "settings.state: is required, for the owners' grants")
    audience = options(given.get("consent", {}), USUAL).audience
    return TeslaSettings(read, TeslaApp(domain or "", audience, streamed=telemetry is not None), telemetry)
