"""What `vtn 20b serve` can be told. Read by `vtn.settings.load`."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from vtn.bounds import ConnectionBounds
from vtn.config import Port
from vtn.oadr20b.settings import BridgeSettings
from vtn.settings import LOOPBACK, Section

Seconds = Annotated[float, pydantic.Field(gt=0, le=86_400)]
PREFIX = "OADR20B_VTN"
PATH = "/OpenADR2/Simple/2.0b"


class Listener(Section):
    """Where VENs come to, and by which certificates both sides are known."""

    host: str = pydantic.Field("127.0.0.1", description="where to listen")
    port: Port = pydantic.Field(8081, description="the port")
    path: str = pydantic.Field(PATH, description="what stands before the names of the services")
    certificate: Path | None = pydantic.Field(None, description="our certificate with an RSA key, or the only one")
    private_key: Path | None = pydantic.Field(None, description="the key of it")
    ecc_certificate: Path | None = pydantic.Field(None, description="our certificate with an ECC key, at the same port")
    ecc_private_key: Path | None = pydantic.Field(None, description="the key of it")
    client_ca: Path | None = pydantic.Field(None, description="authorities of VENs' certificates; needed with TLS")
    all_ciphers: bool = pydantic.Field(
        default=False, description="also AES128-SHA256, the RSA suite of 2.0b, which has no forward secrecy"
    )
    most_bytes: int = pydantic.Field(8_388_608, ge=65_536, le=67_108_864, description="bytes of one message")
    connections: ConnectionBounds = ConnectionBounds()

    @pydantic.field_validator("path")
    @classmethod
    def _a_path(cls, path: str) -> str:
        if re.fullmatch(r"(/[A-Za-z0-9._\-]+)+", path) is None:
            raise ValueError("must be a path such as /OpenADR2/Simple/2.0b")
        return path

    @pydantic.model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        for certificate, key in (("certificate", "private_key"), ("ecc_certificate", "ecc_private_key")):
            if (getattr(self, certificate) is None) != (getattr(self, key) is None):
                raise ValueError(f"{certificate} and {key} go together")
        if self.ecc_certificate is not None and self.certificate is None:
            raise ValueError("ecc_certificate needs certificate; one that stands alone is certificate, of any kind")
        if (self.certificate is None) != (self.client_ca is None):
            raise ValueError("certificate and client_ca go together: VENs are known by their certificates")
        if self.certificate is None and self.host not in LOOPBACK:
            raise ValueError("a server beyond this machine needs certificate, private_key and client_ca")
        return self


class DownstreamSettings(BridgeSettings):
    """All of it."""

    server: Listener = Listener()
    vtn_id: str = pydantic.Field("EVTN", min_length=1, max_length=64, description="our vtnID")
    reports_client_id: str | None = pydantic.Field(
        None, description="a VEN client of the VTN that reports for 2.0b VENs which have none of their own"
    )
    reports_client_secret: str | None = pydantic.Field(None, repr=False, description="its secret")
    signatures: Literal["ignore", "when_present", "required"] = pydantic.Field(
        "when_present", description="whether VENs' signatures are verified; `required` refuses what bears none"
    )
    sign: bool = pydantic.Field(
        default=False, description="whether our messages are signed, with the first certificate"
    )
    poll_s: int = pydantic.Field(10, ge=1, le=86_400, description="how often VENs are asked to poll, in whole seconds")
    resend_s: Seconds = pydantic.Field(30.0, description="seconds until what was not acknowledged is sent again")
    look_s: Seconds = pydantic.Field(2.0, description="seconds between looks at the VTN")
    granularity_s: Seconds = pydantic.Field(60.0, description="length of the intervals that VENs are asked to report")
    report_back_s: Seconds = pydantic.Field(300.0, description="how often VENs are asked to report")
    history_hours: float = pydantic.Field(
        0.0, ge=0, le=8_760, description="hours of history that a VEN which offers it is asked for once; 0: none"
    )

    @property
    def poll(self) -> timedelta:
        """How often VENs are asked to poll."""
        return timedelta(seconds=self.poll_s)

    @pydantic.model_validator(mode="after")
    def _signing_needs_a_certificate(self) -> Self:
        if self.sign and self.server.certificate is None:
            raise ValueError("sign needs certificate in [server]")
        if (self.reports_client_id is None) != (self.reports_client_secret is None):
            raise ValueError("reports_client_id and reports_client_secret go together")
        return self
