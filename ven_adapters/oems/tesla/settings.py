"""Tesla's table `[backend]`: where its API and its owners are, the domain of our key, and where cars stream to."""

from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import pydantic

from ven_adapters.transport.readings.mqtt_readings import MqttBroker, VendorBroker
from ven_adapters.transport.settings import Authorities, HttpAddress, StrictSection
from ven_adapters.transport.vendor_settings import CodeConsentSettings, OwnersSettings, Word


class TeslaConsent(CodeConsentSettings):
    """Where an owner lets us into his Teslas."""

    authorize_url: HttpAddress = "https://auth.tesla.com/oauth2/v3/authorize"
    scope: str = "openid offline_access vehicle_device_data vehicle_location vehicle_cmds vehicle_charging_cmds"
    audience: str = pydantic.Field("", description="the region, when it is not `url`")


def _topic_base(given: str) -> str:
    base = given.strip("/")
    if not base or set("+#") & set(base):
        raise ValueError("must be the server's topic_base, without wildcards")
    return base


def _certificates(file: Any) -> str:
    try:
        text = Path(file).read_text(encoding="ascii")
    except (OSError, TypeError, ValueError):
        raise ValueError("is no file of certificates") from None
    if "BEGIN CERTIFICATE" not in text or "PRIVATE KEY" in text:
        raise ValueError("must be a file of certificates, and of no key")
    return text.strip()


class TelemetrySettings(StrictSection):
    """The table `telemetry`: the broker that we listen to; and the server that cars connect to, where we tell them."""

    stream: MqttBroker = pydantic.Field(description="the broker that Tesla's server publishes to, mqtts://HOST:PORT")
    stream_ca: Authorities | None = pydantic.Field(None, repr=False, description="certificates to trust there")
    user: str | None = pydantic.Field(None, description="our name at the broker")
    password: str | None = pydantic.Field(None, repr=False, description="of that user")
    topic_base: Annotated[str, pydantic.AfterValidator(_topic_base)] = pydantic.Field(
        "telemetry", description="as in the server's settings"
    )
    hostname: Word | None = pydantic.Field(
        None, description="where cars are told to connect to; without it somebody else tells them"
    )
    port: Annotated[int, pydantic.Field(ge=1, le=65_535)] = pydantic.Field(443, description="of that host")
    ca: Annotated[str, pydantic.PlainValidator(_certificates)] | None = pydantic.Field(
        None, repr=False, description="the server's whole chain, by which cars know it when no public authority does"
    )

    @property
    def broker(self) -> VendorBroker:
        """The broker, trusted by the certificates that are named for it."""
        return self.stream.trusted_by(self.stream_ca)


class TeslaSettings(OwnersSettings):
    """All of it."""

    vendor: ClassVar[str] = "tesla"
    consent: TeslaConsent = TeslaConsent()
    time_zones: dict[str, ZoneInfo] = pydantic.Field(
        default_factory=dict, description="of cars by our name: their homes', such as America/Los_Angeles"
    )
    domain: str = pydantic.Field(
        "", description="of our application's public key: checked at Tesla, and named to owners who have to add the key"
    )
    telemetry: TelemetrySettings | None = None
