"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

from typing import Self

import pydantic

from vtn.settings import Section


class BodyBounds(Section):
    """What one request body may hold, and how its faults are told."""


class ClientQuotas(Section):
    """What one client may keep stored here."""


class DeliveryBounds(Section):
    """What notifications may cost: of one subscription, one client, one host that is called.

    A host is a name with its port, as callback URLs write it.
    """

    owed_per_subscription: int = pydantic.Field(
        5_000, ge=1, description="deliveries that may wait for one subscription; beyond, its oldest are dead letters"
    )
    dead_letters_per_subscription: int = pydantic.Field(
        10_000, ge=1, description="dead letters that are kept of one subscription; beyond, its oldest are forgotten"
    )
    calls_per_host: int = pydantic.Field(16, ge=1, le=512, description="calls to one host at the same time")
    calls_per_host_and_second: float = pydantic.Field(
        100.0, ge=1, description="calls to one host in one second, at once or spread"
    )
    challenges_per_request: int = pydantic.Field(
        50, ge=1, description="new callback URLs in one request; each is called once before it is accepted"
    )
    challenges_per_client_and_minute: int = pydantic.Field(
        300, ge=1, description="new callback URLs of one client, at once and again each minute; beyond, 429"
    )
    challenges_per_host_and_minute: int = pydantic.Field(
        300, ge=1, description="new callback URLs that lead to one host, of all clients, at once and again each minute"
    )
    sessions_per_client: int = pydantic.Field(
        64, ge=1, description="MQTT sessions of one client at the same time; the bundled broker refuses more"
    )
    mqtt_identifiers_per_client: int = pydantic.Field(
        256, ge=1, description="MQTT client identifiers that belong to one client; beyond, it loses its oldest"
    )
    mqtt_session_kept_s: int = pydantic.Field(
        604_800,
        ge=3_600,
        description="for how many seconds the bundled broker keeps the session of a client that is away; for a day"
        " longer its identifier is nobody else's",
    )

    @pydantic.model_validator(mode="after")
    def _a_request_that_is_not_too_large_can_come_through(self) -> Self:
        for name in ("challenges_per_client_and_minute", "challenges_per_host_and_minute"):
            if getattr(self, name) < self.challenges_per_request:
                raise ValueError(f"{name} must not be below challenges_per_request ({self.challenges_per_request})")
        return self


class ConnectionBounds(Section):
    """Connections to a listening port: how many of one address, how long they may say nothing."""


class Bounds(Section):
    """All of them."""

    body: BodyBounds = BodyBounds()
    client: ClientQuotas = ClientQuotas()
    delivery: DeliveryBounds = DeliveryBounds()
    connections: ConnectionBounds = ConnectionBounds()
