"""The table `[backend]` of an automaker's own backend, which speaks the reference HTTP contract."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import pydantic

from ven_adapters.transport.http.session import BackendCredentials, SessionLimits
from ven_adapters.transport.http.webhooks import WebhookAddress
from ven_adapters.transport.settings import (
    LOOPBACK_HOST,
    AnswerSeconds,
    BackendTable,
    HttpAddress,
    Port,
    Seed,
    read_table,
)
from vtn.bounds import ConnectionBounds
from vtn.errors import Fault

Calls = Annotated[int, pydantic.Field(gt=0, le=1_000_000_000)]


class WebhookTable(BackendTable):
    """Where pushes are taken, once there is a secret that signs them."""

    webhook_secret: str | None = pydantic.Field(
        None, repr=False, description="signs what is pushed; without it nothing is"
    )
    webhook_host: str = pydantic.Field(LOOPBACK_HOST, description="where we listen for pushes")
    webhook_port: Port = pydantic.Field(0, description="0: one that is free")
    listening: ConnectionBounds = ConnectionBounds()

    @property
    def webhook(self) -> WebhookAddress | None:
        """Where to listen; None without a secret."""
        if self.webhook_secret is None:
            return None
        return WebhookAddress(self.webhook_secret, self.webhook_host, self.webhook_port, self.listening)


class BackendSettings(WebhookTable):
    """What it takes to speak to one automaker's backend."""

    url: HttpAddress = pydantic.Field(description="where the backend is")
    token: str | None = pydantic.Field(None, repr=False, description="who we are; or the next three keys")
    token_url: str | None = pydantic.Field(None, description="where tokens are had")
    client_id: str | None = pydantic.Field(None, description="our registration with the backend")
    client_secret: str | None = pydantic.Field(None, repr=False, description="of that registration")
    scope: str | None = pydantic.Field(None, description="of such a token")
    webhook_url: str | None = pydantic.Field(None, description="what the backend is told, when not host and port")
    webhook_quiet_s: Annotated[float, pydantic.Field(gt=0, le=7 * 86_400)] = pydantic.Field(
        60.0, description="we subscribe again when nothing was pushed for so long"
    )
    seed: Seed = pydantic.Field(0, description="spreads retries")
    connect_s: AnswerSeconds = pydantic.Field(5.0, description="real seconds that a connection may take")
    answer_s: AnswerSeconds = pydantic.Field(20.0, description="real seconds that an answer may take")
    connections: Annotated[int, pydantic.Field(gt=0, le=100_000)] = 32
    calls_burst: Calls = pydantic.Field(20_000, description="calls that we allow ourselves at once")
    calls_per_hour: Annotated[float, pydantic.Field(gt=0, le=1_000_000_000)] = pydantic.Field(
        1_000_000.0, description="and again in each hour of `clock`"
    )

    @pydantic.model_validator(mode="after")
    def _says_who_we_are(self) -> Self:
        missing = [key for key in ("token_url", "client_id", "client_secret") if getattr(self, key) is None]
        if self.token is None and missing:
            raise ValueError(*(Fault(key, "is required when there is no token") for key in missing))
        return self

    @property
    def credentials(self) -> BackendCredentials:
        """The token alone where there is one."""
        if self.token is not None:
            return BackendCredentials(token=self.token)
        return BackendCredentials(None, self.token_url, self.client_id, self.client_secret, self.scope)

    @property
    def limits(self) -> SessionLimits:
        """Time-outs, and what we allow ourselves."""
        return SessionLimits(
            connect_s=self.connect_s,
            answer_s=self.answer_s,
            connections=self.connections,
            app_burst=self.calls_burst,
            app_per_hour=self.calls_per_hour,
        )


def backend_settings(settings: Mapping[str, Any]) -> BackendSettings:
    """The table of a brand that adds no keys of its own; BackendError INVALID_REQUEST says what is wrong."""
    return read_table(BackendSettings, settings)
