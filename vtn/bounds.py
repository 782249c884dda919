"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

from typing import Annotated, Self

import pydantic

from vtn.settings import Section

Connections = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]


class BodyBounds(Section):
    """What one request body may hold, and how its faults are told."""


class ClientQuotas(Section):
    """What one client may keep stored here."""


class DeliveryBounds(Section):
    """What notifications may cost: of one subscription, one client, one host that is called."""


class ConnectionBounds(Section):
    """Connections to one listening port: how many of one address, how long they may say nothing.

    A connection is unproven until something that came by it carried a valid credential, or its WebSocket handshake is
    done. Unproven ones make room for newer ones, oldest first; proven ones are never closed for anybody.
    """

    connections: Connections = pydantic.Field(
        10_000, description="Connections at once to one port; when all are proven, further ones are closed."
    )
    of_one_address: Connections = pydantic.Field(
        5_000,
        description="Of them, those of one IPv4 address or IPv6 /64 network; behind a proxy all share one: raise it.",
    )
    unproven: Connections = pydantic.Field(
        4_000, description="Unproven ones at once; for one more, the oldest of the address with the most is closed."
    )
    unproven_of_one_address: Connections = pydantic.Field(
        1_000, description="Unproven ones of one address at once; for one more, its oldest is closed."
    )
    patience_s: Annotated[float, pydantic.Field(ge=0.1, le=600)] = pydantic.Field(
        30.0,
        description="Seconds a TLS or WebSocket handshake, a head or a body may take, or an answer may lie untaken.",
    )
    idle_s: Annotated[float, pydantic.Field(ge=1, le=86_400)] = pydantic.Field(
        620.0,
        description="Seconds a connection is kept between requests; longer than load balancers keep theirs.",
    )
    head_line_bytes: Annotated[int, pydantic.Field(ge=1024, le=65_536)] = pydantic.Field(
        8190, description="The longest request line and the longest header field."
    )
    head_fields: Annotated[int, pydantic.Field(ge=16, le=1024)] = pydantic.Field(
        128, description="Header fields of one request."
    )

    @pydantic.model_validator(mode="after")
    def _parts_fit_into_the_whole(self) -> Self:
        for name in ("of_one_address", "unproven", "unproven_of_one_address"):
            if name in self.model_fields_set and getattr(self, name) > self.connections:
                raise ValueError(f"{name} must not be above connections ({self.connections})")
        return self


class Bounds(Section):
    """All of them."""

    body: BodyBounds = BodyBounds()
    client: ClientQuotas = ClientQuotas()
    delivery: DeliveryBounds = DeliveryBounds()
    connections: ConnectionBounds = ConnectionBounds()
