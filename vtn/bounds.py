"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

from typing import Annotated, Self

import pydantic

from vtn.settings import Section

MIB = 1_048_576
Count = Annotated[int, pydantic.Field(ge=1)]


class BodyBounds(Section):
    """What one request body may hold, and how its faults are told."""


class ClientQuotas(Section):
    """What one client may keep stored here, judged in the transaction that stores it.

    Programs, events and vens are counted for all clients together: the first two belong to Business Logic as a whole,
    and a client has one ven at most. Bytes are those of the JSON text. A refusal is 403 and names the bound.
    """

    programs: Count = pydantic.Field(10_000, description="Programs, of all clients together.")
    program_bytes: Count = pydantic.Field(256 * MIB, description="Bytes of programs, of all clients together.")
    events: Count = pydantic.Field(100_000, description="Events, of all clients together; all are held in memory.")
    event_bytes: Count = pydantic.Field(1024 * MIB, description="Bytes of events, of all clients together.")
    vens: Count = pydantic.Field(100_000, description="Vens, of all clients together.")
    ven_bytes: Count = pydantic.Field(256 * MIB, description="Bytes of vens, of all clients together.")
    resources: Count = pydantic.Field(10_000, description="Resources of one client's ven.")
    resource_bytes: Count = pydantic.Field(64 * MIB, description="Bytes of one client's resources.")
    reports: Count = pydantic.Field(1_000_000, description="Reports of one client.")
    report_bytes: Count = pydantic.Field(1024 * MIB, description="Bytes of one client's reports.")
    archive_bytes: Count = pydantic.Field(
        1024 * MIB, description="Bytes of one client's deleted reports that stay in the archive; its oldest go first."
    )
    subscriptions: Count = pydantic.Field(100, description="Subscriptions of one client.")
    subscription_bytes: Count = pydantic.Field(16 * MIB, description="Bytes of one client's subscriptions.")
    subscription_entries: Count = pydantic.Field(
        500, description="Entries of objectOperations in all subscriptions of one client: each may be owed every event."
    )
    entries_in_one: Count = pydantic.Field(100, description="Entries of objectOperations in one subscription.")
    targets_in_one: Count = pydantic.Field(1_000, description="Targets of one subscription.")


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
