"""What `vtn 20b upstream` can be told. Read by `vtn.settings.load`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import pydantic

from vtn.oadr20b.settings import BridgeSettings
from vtn.settings import Section, is_loopback

Name = Annotated[str, pydantic.Field(pattern=r"\A[a-z0-9][a-z0-9_-]{0,31}\z")]
Seconds = Annotated[float, pydantic.Field(gt=0, le=86_400)]
PREFIX = "OADR20B_VEN"


class UtilitySettings(Section):
    """One utility whose VTN speaks 2.0b."""

    url: str = pydantic.Field(
        description="its services, without the name of one: https://drms.example/OpenADR2/Simple/2.0b"
    )
    ven_name: str = pydantic.Field(min_length=1, max_length=128, description="how we are called there")
    ven_id: str | None = pydantic.Field(None, description="the venID that the utility gave out beforehand")
    ca: Path | None = pydantic.Field(None, description="authorities that its certificate is checked against")
    certificate: Path | None = pydantic.Field(None, description="our certificate, for TLS and signatures")
    private_key: Path | None = pydantic.Field(None, description="the key of it")
    fingerprint: str | None = pydantic.Field(
        None, description="fingerprint of the utility's certificate; its messages must be signed with it"
    )
    sign: bool = pydantic.Field(default=False, description="whether our messages are signed")
    strict: bool = pydantic.Field(default=True, description="whether messages that the schema refuses are refused")
    all_ciphers: bool = pydantic.Field(
        default=False, description="also AES128-SHA256, the RSA suite of 2.0b, which has no forward secrecy"
    )
    allow_plain_http: bool = pydantic.Field(default=False, description="speak plain HTTP beyond this machine")
    poll_s: Seconds = pydantic.Field(10.0, description="seconds between polls where the utility names none")
    opt: Literal["optIn", "optOut"] = pydantic.Field("optIn", description="what a new event is answered at once")
    opt_out_above: float = pydantic.Field(
        1.0,
        gt=0,
        le=1,
        description="the share of reporting resources that opted out from which the whole event is opted out",
    )
    granularity_s: Seconds = pydantic.Field(900.0, description="length of the intervals that our VENs report")
    report_every_s: Seconds = pydantic.Field(900.0, description="how often they report")
    resources: tuple[str, ...] = pydantic.Field(
        (), description="resources that are reported on their own beside the sum"
    )

    @pydantic.model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        found = urlsplit(self.url)
        if found.scheme not in {"http", "https"} or not found.hostname:
            raise ValueError("url must be an http or https URL")
        if found.scheme == "http" and not is_loopback(found.hostname) and not self.allow_plain_http:
            raise ValueError("url must be https beyond this machine, unless allow_plain_http says otherwise")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.sign and self.certificate is None:
            raise ValueError("sign needs certificate and private_key")
        if self.report_every_s < self.granularity_s:
            raise ValueError("report_every_s must not be below granularity_s")
        return self

    @property
    def granularity(self) -> timedelta:
        """Length of the intervals that our VENs report."""
        return timedelta(seconds=self.granularity_s)


class UpstreamSettings(BridgeSettings):
    """All of it."""

    utilities: dict[Name, UtilitySettings] = pydantic.Field(min_length=1, description="utilities by our name for them")
    look_s: Seconds = pydantic.Field(15.0, description="seconds between looks at what our VENs reported")
    first_retry_s: Seconds = pydantic.Field(1.0, description="the first wait after a failure")
    longest_retry_s: Seconds = pydantic.Field(300.0, description="the longest wait after failures")
